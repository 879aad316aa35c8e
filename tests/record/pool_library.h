/* pool_library.h - a library with pools of its own, for --wrap. */
#ifndef POOL_LIBRARY_H
#define POOL_LIBRARY_H

#include <setjmp.h>
#include <stddef.h>

enum { POOL_LIMIT = 1 << 20 }; /* greater blocks are not to be had */
enum { POOL_SIGNAL = 333 };    /* and this size raises SIGUSR1 in the middle of the call */

enum pool_count {
	POOL_ALLOCS, POOL_FREES, POOL_BYTES, POOL_FREED_BYTES, POOL_FAILED, POOL_MALLOCS, SLAB_ALLOCS, SLAB_FREES, POOL_COUNTS
};
unsigned long pool_counted(enum pool_count which);

void *pool_get(void *pool, size_t size);
void *pool_get_zeroed(size_t n, void *pool, size_t size);
void pool_put(void *pool, void *block);
void *pool_regain(void *old, void *pool, size_t size);
void *slab_get(size_t size);
void slab_put(void *block);
/* More arguments than registers; what it returns depends on all of them. */
long pool_sum(void *pool, size_t size, long c, long d, long e, long f, double x, long g, long h, void **block);
/* Jumps out when size is too large. */
void *pool_leave(size_t size, jmp_buf out);

#endif

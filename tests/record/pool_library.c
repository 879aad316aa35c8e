/* Two pools as libraries have them: pool_get and its kin hand out pieces of memory from malloc, slab_get pieces of what
 * pool_get gives. Each counts its own calls from outside, which is what a trace is held against. */
#include "pool_library.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic unsigned long counts[POOL_COUNTS];

static void count(enum pool_count which, unsigned long n)
{
	atomic_fetch_add(&counts[which], n);
}

unsigned long pool_counted(enum pool_count which)
{
	return atomic_load(&counts[which]);
}

/* A block has its size in front. */
static void *get(size_t size)
{
	if (size == POOL_SIGNAL)
		raise(SIGUSR1);
	size_t *head = size > POOL_LIMIT ? NULL : malloc(sizeof(max_align_t) + size);
	if (!head) {
		errno = ENOMEM;
		return NULL;
	}
	count(POOL_MALLOCS, 1);
	*head = size;
	return (char *)head + sizeof(max_align_t);
}

static size_t size_of(const void *block)
{
	size_t size;
	memcpy(&size, (const char *)block - sizeof(max_align_t), sizeof(size));
	return size;
}

void *pool_get(void *pool, size_t size)
{
	(void)pool;
	void *block = get(size);
	count(block ? POOL_ALLOCS : POOL_FAILED, 1);
	count(POOL_BYTES, block ? size : 0);
	return block;
}

/* By way of the one above: a call within the pool. */
void *pool_get_zeroed(size_t n, void *pool, size_t size)
{
	void *block = pool_get(pool, n * size);
	if (block)
		memset(block, 0, n * size);
	return block;
}

void pool_put(void *pool, void *block)
{
	(void)pool;
	if (!block)
		return;
	count(POOL_FREES, 1);
	count(POOL_FREED_BYTES, size_of(block));
	free((char *)block - sizeof(max_align_t));
}

/* pool_regain(old, 0) releases, as realloc does. */
void *pool_regain(void *old, void *pool, size_t size)
{
	if (size == 0) {
		pool_put(pool, old);
		return NULL;
	}
	void *block = get(size);
	if (!block) {
		count(POOL_FAILED, 1);
		return NULL;
	}
	count(POOL_ALLOCS, 1);
	count(POOL_BYTES, size);
	if (old) {
		memcpy(block, old, size_of(old) < size ? size_of(old) : size);
		pool_put(pool, old);
	}
	return block;
}

void *slab_get(size_t size)
{
	count(SLAB_ALLOCS, 1);
	return pool_get(NULL, size + 64);
}

void slab_put(void *block)
{
	count(SLAB_FREES, 1);
	pool_put(NULL, block);
}

long pool_sum(void *pool, size_t size, long c, long d, long e, long f, double x, long g, long h, void **block)
{
	*block = pool_get(pool, size);
	return c + 2 * d + 3 * e + 4 * f + (long)(5 * x) + 6 * g + 7 * h;
}

void *pool_leave(size_t size, jmp_buf out)
{
	if (size > POOL_LIMIT)
		longjmp(out, 1);
	return pool_get(NULL, size);
}

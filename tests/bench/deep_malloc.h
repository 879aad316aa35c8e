/* deep_malloc.h - malloc from frames that change with every call, for benchmarks. */
#ifndef DEEP_MALLOC_H
#define DEEP_MALLOC_H

#include <stdint.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

enum { INNER = 4, LIVE = 1024 }; /* frames that change; blocks that a thread holds at a time */

/* depth: frames still to come. path: which of two functions each of them is, bit by bit. */
static NOINLINE void *inner_a(int depth, uint64_t path, size_t size);
static NOINLINE void *inner_b(int depth, uint64_t path, size_t size);

static inline void *inner_next(int depth, uint64_t path, size_t size)
{
	if (depth == 0)
		return malloc(size);
	return path & 1 ? inner_a(depth - 1, path >> 1, size) : inner_b(depth - 1, path >> 1, size);
}

static NOINLINE void *inner_a(int depth, uint64_t path, size_t size)
{
	void *volatile p = inner_next(depth, path, size);
	return p;
}

static NOINLINE void *inner_b(int depth, uint64_t path, size_t size)
{
	void *volatile p = inner_next(depth, path, size);
	__asm__ volatile("" : : : "memory");
	return p;
}

#endif

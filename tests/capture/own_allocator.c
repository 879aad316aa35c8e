/* own_allocator.c - an allocator of the kind that is preloaded: calloc and realloc go through its own malloc
 * by name, so that the hooks in front of it see those calls too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t);
void __libc_free(void *);
void *__libc_realloc(void *, size_t);

void *malloc(size_t size)
{
	return __libc_malloc(size);
}

void free(void *p)
{
	__libc_free(p);
}

void *calloc(size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX / 2 + 1; /* fails */
	void *volatile p = malloc(bytes); /* volatile: gcc would make this calloc again */
	return p ? memset(p, 0, bytes) : NULL;
}

void *realloc(void *old, size_t size)
{
	if (!old)
		return malloc(size);
	if (size == 0) {
		free(old);
		return NULL;
	}
	return __libc_realloc(old, size);
}

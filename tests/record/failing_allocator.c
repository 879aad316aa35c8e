/* Linked into msrecord for the tests: one allocation fails, or all do from one on.
 *
 * $MS_FAILING_ALLOCATOR names a file of struct failing_allocator, which is mapped: the count is shared with the
 * children that msrecord forks (an exec ends it). Counting begins before main. Without a sanitizer this is the malloc
 * of the whole process, libc's and libdw's calls included; with one, the linker sends the calls of our own code here
 * (--wrap), and the sanitizer looks for leaks. */
#include "failing_allocator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct failing_allocator *state;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("MS_FAILING_ALLOCATOR");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *p = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		state = p;
}

static bool fails(void)
{
	if (!state)
		return false;
	uint64_t n = atomic_fetch_add(&state->count, 1) + 1;
	bool is_due = state->is_lasting ? n >= state->at : n == state->at;
	if (!state->at || !is_due)
		return false;
	atomic_store(&state->has_failed, true);
	errno = ENOMEM;
	return true;
}

#ifdef MS_WRAP_ALLOCATOR
#define OURS(name) __wrap_##name
#define REAL(name) __real_##name
void *REAL(aligned_alloc)(size_t align, size_t n);
#else
#define OURS(name) name
#define REAL(name) __libc_##name
void *__libc_memalign(size_t align, size_t n);
#define __libc_aligned_alloc __libc_memalign
#endif

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t n);
void *OURS(malloc)(size_t n);
void *OURS(calloc)(size_t n, size_t size);
void *OURS(realloc)(void *p, size_t n);
void *OURS(aligned_alloc)(size_t align, size_t n);

void *OURS(malloc)(size_t n)
{
	return fails() ? NULL : REAL(malloc)(n);
}

void *OURS(calloc)(size_t n, size_t size)
{
	return fails() ? NULL : REAL(calloc)(n, size);
}

void *OURS(realloc)(void *p, size_t n)
{
	return fails() ? NULL : REAL(realloc)(p, n);
}

void *OURS(aligned_alloc)(size_t align, size_t n)
{
	return fails() ? NULL : REAL(aligned_alloc)(align, n);
}

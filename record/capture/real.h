/* real.h - the functions behind the hooks: what the program would have called without us.
 *
 * They are found with dlsym(RTLD_NEXT) once, before the first call goes through. dlsym itself may allocate,
 * and so may a foreign library that is asked on the way; and a call may come before this library has been
 * relocated (an IFUNC resolver of another one). Such calls are served from the bootstrap arena: memory that
 * is handed out upward and never taken back. Its blocks may be passed to free, realloc and malloc_usable_size
 * like any other. */
#ifndef MS_REAL_H
#define MS_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* posix_spawn(3), whose two last structs are opaque to us. (<spawn.h> is hidden here by record/spawn.h.) */
typedef int ms_spawn_function(
	pid_t *, const char *, const void *actions, const void *attributes, char *const[], char *const[]);

struct ms_real {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*reallocarray)(void *, size_t, size_t);
	void (*free)(void *);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void *(*memalign)(size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
	/* Found with the others, since after fork is too late to look: the loader's lock may be held for good. */
	int (*execve)(const char *, char *const[], char *const[]);
	int (*execv)(const char *, char *const[]);
	int (*execvp)(const char *, char *const[]);
	int (*execvpe)(const char *, char *const[], char *const[]);
	int (*fexecve)(int, char *const[], char *const[]);
	int (*execveat)(int, const char *, char *const[], char *const[], int);
	ms_spawn_function *posix_spawn, *posix_spawnp;
	int (*setuid)(uid_t);
	int (*seteuid)(uid_t);
	int (*setreuid)(uid_t, uid_t);
	int (*setresuid)(uid_t, uid_t, uid_t);
	int (*chroot)(const char *);
	/* The mapping layer's: the kernel itself until they are found. */
	void *(*mmap)(void *, size_t, int, int, int, off_t);
	int (*munmap)(void *, size_t);
	void *(*mremap)(void *, size_t, size_t, int, ...);
	int (*brk)(void *);
	void *(*sbrk)(intptr_t);
	int (*madvise)(void *, size_t, int);
	int (*mprotect)(void *, size_t, int);
};
/* syscall(3), for confinement.c; NULL until the others are found. */
extern void *ms_real_syscall;
/* Where libc keeps a thread's number, as it tells debuggers: bits, count, bytes from pthread_self(). NULL: not known. */
extern const uint32_t *ms_real_tid_place;
/* Those of the heap are callable once ms_real_prepare has returned, with whatever result. */
extern struct ms_real ms_real;

/* Fills ms_real: with the real functions (true), or for the time being with the bootstrap arena's (false:
 * this thread is looking them up already, or the library is not relocated yet). Any thread, any number of
 * times. */
bool ms_real_prepare(void);

/* The next definition of `name` after ours, for functions that few programs call; remembered in *place. It
 * must exist: a search that fails allocates its error message. */
void *ms_real_find(void *_Atomic *place, const char *name);

/* One envelope around all bootstrap memory, so that free costs one comparison. */
struct ms_boot_range {
	_Atomic uintptr_t lo, hi;
};
extern struct ms_boot_range ms_boot_range;

/* Is p, which is not NULL, of the bootstrap arena? */
bool ms_boot_owns_slow(const void *p);
static inline bool ms_boot_owns(const void *p)
{
	uintptr_t at = (uintptr_t)p;
	return __builtin_expect(at < ms_boot_range.hi && at >= ms_boot_range.lo, 0) && ms_boot_owns_slow(p);
}

/* Bytes that were asked for when p, a block of the bootstrap arena, was handed out. */
size_t ms_boot_size(const void *p);

#endif

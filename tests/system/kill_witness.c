/* kill_witness.so - counts the heap calls of a program when they begin and when they return, between the program and
 * the capture library: LD_PRELOAD="kill_witness.so:libmscapture.so". Whatever the program is killed by, at least the
 * calls that had returned must be in the trace, and at most those that had begun.
 *
 * Calls inside calls (operator new calls malloc) are the capture library's and libc's affair: the outermost counts. The
 * counts of a forked child are nobody's. Shares no code with the product. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kill_witness.h"

#define EXPORT __attribute__((visibility("default")))

static struct witness nobodys, *witness = &nobodys;
static bool has_begun;
static __thread __attribute__((tls_model("initial-exec"))) struct {
	uint32_t place; /* + 1; 0: none yet */
	uint32_t depth;
} mine;

static void in_child(void)
{
	witness = &nobodys;
}

static void begin(void)
{
	if (!environ)
		return; /* before libc is set up: a call or two that nobody will miss */
	has_begun = true;
	const char *path = getenv(WITNESS_VARIABLE);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *p = mmap(NULL, sizeof *witness, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return;
	witness = p;
	pthread_atfork(NULL, NULL, in_child);
	atomic_store(&witness->pid, (uint32_t)getpid());
}

/* Where the call is counted; NULL inside another. */
static void enter(enum witness_kind kind)
{
	if (mine.depth++)
		return;
	if (!has_begun) {
		int error = errno;
		begin();
		errno = error;
	}
	if (!mine.place) {
		uint32_t n = atomic_fetch_add(&witness->n_threads, 1);
		mine.place = (n < WITNESS_THREADS ? n : WITNESS_THREADS - 1) + 1;
	}
	atomic_fetch_add_explicit(&witness->threads[mine.place - 1].begun[kind], 1, memory_order_relaxed);
}

static void leave(enum witness_kind kind)
{
	if (--mine.depth)
		return;
	atomic_fetch_add_explicit(&witness->threads[mine.place - 1].returned[kind], 1, memory_order_release);
}

/* The next library's function. dlsym may allocate: that comes back here, and on to libc by its own name. */
static void *find(void **next, const char *name)
{
	if (!*next)
		*next = dlsym(RTLD_NEXT, name);
	return *next;
}

#define NEXT(name, type)           \
	static void *next_##name;  \
	type real = (type)find(&next_##name, #name)

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
static _Thread_local bool is_looking;

EXPORT void *malloc(size_t n)
{
	static void *(*real)(size_t);
	if (!real) {
		if (is_looking)
			return __libc_malloc(n);
		is_looking = true;
		*(void **)&real = dlsym(RTLD_NEXT, "malloc");
		is_looking = false;
	}
	enter(WITNESS_ACQUIRE);
	void *p = real(n);
	leave(WITNESS_ACQUIRE);
	return p;
}

EXPORT void *calloc(size_t n, size_t size)
{
	static void *(*real)(size_t, size_t);
	if (!real) {
		if (is_looking)
			return __libc_calloc(n, size);
		is_looking = true;
		*(void **)&real = dlsym(RTLD_NEXT, "calloc");
		is_looking = false;
	}
	enter(WITNESS_ACQUIRE);
	void *p = real(n, size);
	leave(WITNESS_ACQUIRE);
	return p;
}

EXPORT void *realloc(void *old, size_t n)
{
	typedef void *type(void *, size_t);
	NEXT(realloc, type *);
	enter(WITNESS_REALLOC);
	void *p = real(old, n);
	leave(WITNESS_REALLOC);
	return p;
}

EXPORT void *reallocarray(void *old, size_t n, size_t size)
{
	typedef void *type(void *, size_t, size_t);
	NEXT(reallocarray, type *);
	enter(WITNESS_REALLOC);
	void *p = real(old, n, size);
	leave(WITNESS_REALLOC);
	return p;
}

EXPORT void *memalign(size_t align, size_t n)
{
	typedef void *type(size_t, size_t);
	NEXT(memalign, type *);
	enter(WITNESS_ACQUIRE);
	void *p = real(align, n);
	leave(WITNESS_ACQUIRE);
	return p;
}

EXPORT void *aligned_alloc(size_t align, size_t n)
{
	typedef void *type(size_t, size_t);
	NEXT(aligned_alloc, type *);
	enter(WITNESS_ACQUIRE);
	void *p = real(align, n);
	leave(WITNESS_ACQUIRE);
	return p;
}

EXPORT int posix_memalign(void **out, size_t align, size_t n)
{
	typedef int type(void **, size_t, size_t);
	NEXT(posix_memalign, type *);
	enter(WITNESS_ACQUIRE);
	int rc = real(out, align, n);
	leave(WITNESS_ACQUIRE);
	return rc;
}

EXPORT void free(void *p)
{
	typedef void type(void *);
	if (!p)
		return;
	NEXT(free, type *);
	enter(WITNESS_RELEASE);
	real(p);
	leave(WITNESS_RELEASE);
}

/* operator new and delete, which the capture library may record as such. */
#define ACQUIRING_1(name)                       \
	EXPORT void *name(size_t n);            \
	EXPORT void *name(size_t n)             \
	{                                       \
		typedef void *type(size_t);     \
		NEXT(name, type *);             \
		enter(WITNESS_ACQUIRE);         \
		void *p = real(n);              \
		leave(WITNESS_ACQUIRE);         \
		return p;                       \
	}
#define ACQUIRING_2(name, second)                      \
	EXPORT void *name(size_t n, second b);         \
	EXPORT void *name(size_t n, second b)          \
	{                                              \
		typedef void *type(size_t, second);    \
		NEXT(name, type *);                    \
		enter(WITNESS_ACQUIRE);                \
		void *p = real(n, b);                  \
		leave(WITNESS_ACQUIRE);                \
		return p;                              \
	}
#define RELEASING_1(name)                     \
	EXPORT void name(void *p);            \
	EXPORT void name(void *p)             \
	{                                     \
		typedef void type(void *);    \
		if (!p)                       \
			return;               \
		NEXT(name, type *);           \
		enter(WITNESS_RELEASE);       \
		real(p);                      \
		leave(WITNESS_RELEASE);       \
	}
#define RELEASING_2(name, second)                     \
	EXPORT void name(void *p, second b);          \
	EXPORT void name(void *p, second b)           \
	{                                             \
		typedef void type(void *, second);    \
		if (!p)                               \
			return;                       \
		NEXT(name, type *);                   \
		enter(WITNESS_RELEASE);               \
		real(p, b);                           \
		leave(WITNESS_RELEASE);               \
	}

ACQUIRING_1(_Znwm)
ACQUIRING_1(_Znam)
ACQUIRING_2(_ZnwmRKSt9nothrow_t, const void *)
ACQUIRING_2(_ZnamRKSt9nothrow_t, const void *)
ACQUIRING_2(_ZnwmSt11align_val_t, size_t)
ACQUIRING_2(_ZnamSt11align_val_t, size_t)
RELEASING_1(_ZdlPv)
RELEASING_1(_ZdaPv)
RELEASING_2(_ZdlPvm, size_t)
RELEASING_2(_ZdaPvm, size_t)
RELEASING_2(_ZdlPvSt11align_val_t, size_t)
RELEASING_2(_ZdaPvSt11align_val_t, size_t)

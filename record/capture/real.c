/* Finding the real functions, and the bootstrap arena. See real.h.
 *
 * The arena is a list of mapped regions, bumped with one CAS each. A block has a 16-byte head whose last word
 * looks like glibc's size field of an mmapped chunk (size + 16, bit 1 set), so that malloc_usable_size, which
 * is not interposed, answers with the size asked for. */
#include "real.h"

#include "rawcall.h"
#include "sigmask.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

struct ms_real ms_real;
const uint32_t *ms_real_tid_place;
struct ms_boot_range ms_boot_range;

/* ---- the bootstrap arena ---- */

enum { BOOT_REGION = 256 * 1024, BOOT_ALIGN = 16, CHUNK_IS_MMAPPED = 2 };

struct boot_region {
	struct boot_region *next;
	uintptr_t end;
	_Atomic uintptr_t pos;
};

static struct boot_region *_Atomic boot_regions;

static void widen_envelope(uintptr_t lo, uintptr_t hi)
{
	uintptr_t old = atomic_load(&ms_boot_range.lo);
	while ((old == 0 || lo < old) && !atomic_compare_exchange_weak(&ms_boot_range.lo, &old, lo))
		;
	old = atomic_load(&ms_boot_range.hi);
	while (hi > old && !atomic_compare_exchange_weak(&ms_boot_range.hi, &old, hi))
		;
}

static struct boot_region *add_region(size_t need)
{
	size_t size = (need + sizeof(struct boot_region) + BOOT_REGION - 1) / BOOT_REGION * BOOT_REGION;
	long at = ms_rawcall(
		SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at < 0 && at > -4096)
		return NULL;
	struct boot_region *r = (struct boot_region *)at;
	r->end = (uintptr_t)at + size;
	atomic_store(&r->pos, (uintptr_t)(r + 1));
	widen_envelope((uintptr_t)at, r->end);
	r->next = atomic_load(&boot_regions);
	while (!atomic_compare_exchange_weak(&boot_regions, &r->next, r))
		;
	return r;
}

static void *bump(struct boot_region *r, size_t align, size_t size)
{
	uintptr_t pos = atomic_load(&r->pos), at;
	do {
		at = (pos + 2 * sizeof(size_t) + align - 1) & ~(uintptr_t)(align - 1);
		if (at < pos || at > r->end || r->end - at < size)
			return NULL;
	} while (!atomic_compare_exchange_weak(&r->pos, &pos, at + size));
	((size_t *)at)[-2] = size;
	((size_t *)at)[-1] = (size + 16) | CHUNK_IS_MMAPPED;
	return (void *)at;
}

static void *boot_memalign(size_t align, size_t size)
{
	if (align < BOOT_ALIGN)
		align = BOOT_ALIGN;
	if ((align & (align - 1)) != 0 || align > PTRDIFF_MAX / 4 || size > PTRDIFF_MAX / 4) {
		errno = ENOMEM;
		return NULL;
	}
	struct boot_region *r = atomic_load(&boot_regions);
	void *p = r ? bump(r, align, size) : NULL;
	if (!p && (r = add_region(size + align + 2 * sizeof(size_t))) != NULL)
		p = bump(r, align, size);
	if (!p)
		errno = ENOMEM;
	return p;
}

bool ms_boot_owns_slow(const void *p)
{
	for (struct boot_region *r = atomic_load(&boot_regions); r; r = r->next) {
		if ((uintptr_t)p > (uintptr_t)r && (uintptr_t)p < r->end)
			return true;
	}
	return false;
}

size_t ms_boot_size(const void *p)
{
	return ((const size_t *)p)[-2];
}

/* ---- the arena as an allocator, while nothing better is known ---- */

static void *boot_malloc(size_t size)
{
	return boot_memalign(BOOT_ALIGN, size);
}

static void *boot_calloc(size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX;
	return boot_memalign(BOOT_ALIGN, bytes); /* fresh pages are zero */
}

static void *boot_realloc(void *old, size_t size)
{
	void *p = boot_memalign(BOOT_ALIGN, size);
	if (p && old && ms_boot_owns_slow(old))
		memcpy(p, old, ms_boot_size(old) < size ? ms_boot_size(old) : size);
	return p;
}

static void *boot_reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX;
	return boot_realloc(old, bytes);
}

static void boot_free(void *p)
{
	(void)p; /* either the arena's, which takes nothing back, or a block nobody can have yet */
}

static int boot_posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno;
	void *p = boot_memalign(align, size);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

static void *boot_valloc(size_t size)
{
	return boot_memalign(4096, size);
}

static void *boot_pvalloc(size_t size)
{
	return boot_memalign(4096, size > PTRDIFF_MAX / 4 ? size : (size + 4095) & ~(size_t)4095);
}

/* ---- the kernel itself, while nothing better is known ---- */

/* Result of a system call as libc gives it. Before this library is relocated errno cannot be reached. */
static long kernel_says(long result);

static void *kernel_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return (void *)kernel_says(ms_rawcall(SYS_mmap, (long)addr, (long)length, prot, flags, fd, offset));
}

static int kernel_munmap(void *addr, size_t length)
{
	return (int)kernel_says(ms_rawcall(SYS_munmap, (long)addr, (long)length, 0, 0, 0, 0));
}

static void *kernel_mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	long fixed = (long)va_arg(args, void *);
	va_end(args);
	return (void *)kernel_says(
		ms_rawcall(SYS_mremap, (long)old, (long)old_length, (long)length, flags, fixed, 0));
}

static int kernel_brk(void *to)
{
	long now = ms_rawcall(SYS_brk, (long)to, 0, 0, 0, 0, 0);
	return (int)kernel_says(now < (long)to ? -ENOMEM : 0);
}

static void *kernel_sbrk(intptr_t increment)
{
	long from = ms_rawcall(SYS_brk, 0, 0, 0, 0, 0, 0);
	return increment && kernel_brk((void *)(from + increment)) ? (void *)-1 : (void *)from;
}

static int kernel_madvise(void *addr, size_t length, int advice)
{
	return (int)kernel_says(ms_rawcall(SYS_madvise, (long)addr, (long)length, advice, 0, 0, 0));
}

static int kernel_mprotect(void *addr, size_t length, int prot)
{
	return (int)kernel_says(ms_rawcall(SYS_mprotect, (long)addr, (long)length, prot, 0, 0, 0));
}

/* ---- looking the real ones up ---- */

enum { UNKNOWN, FOUND };
static _Atomic int state;
/* volatile: dlsym is declared not to call back into us, but what it calls may. */
static __thread volatile int is_looking __attribute__((tls_model("initial-exec")));

/* Does not point to `relocated` until the loader has relocated this library. */
static const char relocated;
static const char *const volatile relocation_probe = &relocated;

static long kernel_says(long result)
{
	if (result >= 0 || result <= -4096)
		return result;
	if (relocation_probe == &relocated)
		errno = (int)-result;
	return -1;
}

/* Field by field and by code: a table in data would need relocations, which may still be missing. */
static void lend_boot_functions(void)
{
	ms_real.calloc = boot_calloc;
	ms_real.realloc = boot_realloc;
	ms_real.reallocarray = boot_reallocarray;
	ms_real.free = boot_free;
	ms_real.posix_memalign = boot_posix_memalign;
	ms_real.aligned_alloc = boot_memalign;
	ms_real.memalign = boot_memalign;
	ms_real.valloc = boot_valloc;
	ms_real.pvalloc = boot_pvalloc;
	ms_real.mmap = kernel_mmap;
	ms_real.munmap = kernel_munmap;
	ms_real.mremap = kernel_mremap;
	ms_real.brk = kernel_brk;
	ms_real.sbrk = kernel_sbrk;
	ms_real.madvise = kernel_madvise;
	ms_real.mprotect = kernel_mprotect;
	ms_real.malloc = boot_malloc;
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* A function that is nowhere to be found keeps the arena's; every libc since 2.26 has them all. */
#define FIND(field)                                                                                          \
	do {                                                                                                 \
		void *found_ = next(#field);                                                                 \
		if (found_)                                                                                  \
			memcpy(&real.field, &found_, sizeof(found_));                                        \
	} while (0)

static void look_up(void)
{
	struct ms_real real = ms_real;
	FIND(calloc);
	FIND(realloc);
	FIND(reallocarray);
	FIND(free);
	FIND(posix_memalign);
	FIND(aligned_alloc);
	FIND(memalign);
	FIND(valloc);
	FIND(pvalloc);
	FIND(execve);
	FIND(execv);
	FIND(execvp);
	FIND(execvpe);
	FIND(fexecve);
	FIND(execveat);
	FIND(posix_spawn);
	FIND(posix_spawnp);
	FIND(mmap);
	FIND(munmap);
	FIND(mremap);
	FIND(brk);
	FIND(sbrk);
	FIND(madvise);
	FIND(mprotect);
	FIND(setuid);
	FIND(seteuid);
	FIND(setreuid);
	FIND(setresuid);
	FIND(chroot);
	ms_real_syscall = next("syscall");
	ms_real_tid_place = next("_thread_db_pthread_tid");
	FIND(malloc);
	ms_real = real;
}

bool ms_real_prepare(void)
{
	if (atomic_load_explicit(&state, memory_order_acquire) == FOUND)
		return true;
	if (!ms_real.malloc)
		lend_boot_functions();
	if (relocation_probe != &relocated || is_looking)
		return false;
	int saved = errno;
	uint64_t mask = ms_signals_block(); /* a jump out of dlsym would leave the loader locked */
	is_looking = 1;
	look_up();
	is_looking = 0;
	ms_signals_restore(mask);
	errno = saved;
	atomic_store_explicit(&state, FOUND, memory_order_release);
	return true;
}

void *ms_real_find(void *_Atomic *place, const char *name)
{
	void *found = atomic_load_explicit(place, memory_order_acquire);
	if (!found) {
		found = next(name);
		atomic_store_explicit(place, found, memory_order_release);
	}
	return found;
}

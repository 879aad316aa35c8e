/* mappings.c - the entry points of the mapping layer as the program sees them: mmap and its kin.
 *
 * Only calls that the program makes come here. libc's malloc, its threads' stacks and the loader map by their own
 * inner names, and an allocator that maps in the middle of a heap call is the guard's case (a): it goes unseen, as all
 * that an allocator does. Our own memory is mapped by ms_rawcall.
 *
 * Every call is told after it has returned, with its result. What may unmap is told of beforehand too (MS_U_MAP_BEGIN):
 * in between, another thread may be given the addresses.
 *
 * The path of a mapped file is asked for here, with one readlink of /proc/self/fd: msrecord would come too late for a
 * descriptor, and for a short mapping. It is the one system call a hook makes that the program did not, so it stops
 * when the program is about to confine itself (a filter may kill for it). Rejected: /proc/PID/maps by msrecord (too
 * late, and as long as the process has mappings), hooks of open (descriptors come in many ways). */
#include "mappings.h"

#include "emit.h"
#include "hook.h"
#include "rawcall.h"
#include "real.h"
#include "unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Also while the recording is paused: a region that is unmapped meanwhile must not be taken for one that is there. */
#define ENTER(call) MS_LIKELY(ms_enter_for(call, __builtin_frame_address(0), MS_NEED_NOTHING))

enum { PATH_BYTES = 1024, LINK_BYTES = 32 };

static _Atomic bool is_confined;

void ms_mappings_confine(void)
{
	atomic_store(&is_confined, true);
}

/* ---- what the hooks share ---- */

/* addr as for heap calls: the result, or errno with MS_UF_FAILED. `more` as in wire.h. */
static void tell(const struct ms_call *call, uint32_t kind, uint64_t addr, uint64_t length, const uint64_t *more,
	uint32_t n_more, bool is_failed)
{
	struct ms_event ev = {
		.kind = kind,
		.flags = MS_UF_ALIGN | (is_failed ? (uint32_t)MS_UF_FAILED : 0),
		.addr = is_failed ? (uint32_t)errno : addr,
		.size = length,
		.align = n_more,
		.more = more,
	};
	ms_emit_acquired(call, &ev);
	ms_leave(call);
}

static void begin(const struct ms_call *call, uint64_t addr)
{
	ms_emit_note(call, MS_U_MAP_BEGIN, &addr, 1);
}

static uint64_t pair(uint64_t low, uint64_t high)
{
	return (low & UINT32_MAX) | high << 32;
}

/* ---- the real calls, after which rules of generated code may be void ---- */

static void *real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *p = ms_real.mmap(addr, length, prot, flags, fd, offset);
	if (flags & MAP_FIXED && p != MAP_FAILED)
		ms_unwind_unmapped((uintptr_t)p, length);
	return p;
}

static int real_munmap(void *addr, size_t length)
{
	int rc = ms_real.munmap(addr, length);
	if (rc == 0)
		ms_unwind_unmapped((uintptr_t)addr, length);
	return rc;
}

static void *real_mremap(void *old, size_t old_length, size_t length, int flags, void *fixed)
{
	void *p = ms_real.mremap(old, old_length, length, flags, fixed);
	if (p != MAP_FAILED && p != old)
		ms_unwind_unmapped((uintptr_t)old, old_length);
	if (p != MAP_FAILED && flags & MREMAP_FIXED)
		ms_unwind_unmapped((uintptr_t)p, length);
	return p;
}

/* ---- mmap ---- */

/* "/proc/self/fd/N" without stdio. */
static void spell_link(char *out, unsigned fd)
{
	char digits[10];
	size_t n = 0;
	memcpy(out, "/proc/self/fd/", 14);
	out += 14;
	do
		digits[n++] = (char)('0' + fd % 10);
	while ((fd /= 10) != 0);
	while (n > 0)
		*out++ = digits[--n];
	*out = 0;
}

/* Bytes of the path behind fd, put at out; 0 if it cannot be had, or all of it. */
static size_t path_of(int fd, char *out)
{
	char link[LINK_BYTES];
	if (fd < 0 || atomic_load_explicit(&is_confined, memory_order_relaxed) || !ms_may_ask())
		return 0;
	spell_link(link, (unsigned)fd);
	long n = ms_rawcall(SYS_readlinkat, AT_FDCWD, (long)link, (long)out, PATH_BYTES, 0, 0);
	return n > 0 && n < PATH_BYTES ? (size_t)n : 0;
}

/* Not inlined: few calls need room for a path on their stack. */
static __attribute__((noinline)) void tell_file(const struct ms_call *call, const void *p, size_t length,
	const uint64_t *facts, int fd)
{
	uint64_t more[MS_MAP_WORDS + PATH_BYTES / 8];
	size_t n = path_of(fd, (char *)(more + MS_MAP_WORDS));
	memcpy(more, facts, MS_MAP_WORDS * sizeof(*more));
	more[3] = pair((uint32_t)fd, n);
	memset((char *)(more + MS_MAP_WORDS) + n, 0, -n & 7);
	tell(call, MS_CALL_MMAP, (uintptr_t)p, length, more, MS_MAP_WORDS + (uint32_t)(n + 7) / 8, false);
}

static void *map(void *addr, size_t length, int prot, int flags, int fd, off_t offset, const void *frame)
{
	struct ms_call call;
	if (!ms_enter_for(&call, frame, MS_NEED_NOTHING))
		return real_mmap(addr, length, prot, flags, fd, offset);
	void *p = real_mmap(addr, length, prot, flags, fd, offset);
	const uint64_t more[MS_MAP_WORDS] = {
		(uintptr_t)addr, pair((unsigned)prot, (unsigned)flags), (uint64_t)offset, (uint32_t)fd};
	if (p == MAP_FAILED || flags & MAP_ANONYMOUS)
		tell(&call, MS_CALL_MMAP, (uintptr_t)p, length, more, MS_MAP_WORDS, p == MAP_FAILED);
	else
		tell_file(&call, p, length, more, fd);
	return p;
}

HOOK void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return map(addr, length, prot, flags, fd, offset, __builtin_frame_address(0));
}

HOOK void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
	return map(addr, length, prot, flags, fd, offset, __builtin_frame_address(0));
}

/* ---- the others ---- */

HOOK int munmap(void *addr, size_t length)
{
	struct ms_call call;
	if (!ENTER(&call))
		return real_munmap(addr, length);
	begin(&call, (uintptr_t)addr);
	int rc = real_munmap(addr, length);
	const uint64_t more[MS_MAP_WORDS] = {(uintptr_t)addr};
	tell(&call, MS_CALL_MUNMAP, (uintptr_t)addr, length, more, MS_MAP_WORDS, rc != 0);
	return rc;
}

/* glibc reads the fifth argument only where the kernel does. */
HOOK void *mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
	struct ms_call call;
	void *fixed = NULL;
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list args;
		va_start(args, flags);
		fixed = va_arg(args, void *);
		va_end(args);
	}
	if (!ENTER(&call))
		return real_mremap(old, old_length, length, flags, fixed);
	begin(&call, (uintptr_t)old);
	void *p = real_mremap(old, old_length, length, flags, fixed);
	const uint64_t more[MS_MAP_WORDS] = {(uintptr_t)old, pair(0, (unsigned)flags), old_length};
	tell(&call, MS_CALL_MREMAP, (uintptr_t)p, length, more, MS_MAP_WORDS, p == MAP_FAILED);
	return p;
}

static uint64_t distance(uintptr_t a, uintptr_t b)
{
	return a < b ? b - a : a - b;
}

/* sbrk(0) asks libc, not the kernel, for the break. */
HOOK int brk(void *to)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.brk(to);
	uintptr_t from = (uintptr_t)ms_real.sbrk(0);
	if ((uintptr_t)to < from)
		begin(&call, from);
	int rc = ms_real.brk(to);
	/* The kernel leaves the break where it was if it may not be so low, which glibc takes for a success. */
	uintptr_t now = rc == 0 ? (uintptr_t)ms_real.sbrk(0) : (uintptr_t)to;
	const uint64_t more[MS_MAP_WORDS] = {from, 0, now};
	tell(&call, MS_CALL_BRK, now, distance(now, from), more, MS_MAP_WORDS, rc != 0);
	return rc;
}

HOOK void *sbrk(intptr_t increment)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.sbrk(increment);
	uintptr_t from = (uintptr_t)ms_real.sbrk(0);
	if (increment < 0)
		begin(&call, from);
	void *p = ms_real.sbrk(increment);
	bool is_failed = p == (void *)-1;
	uintptr_t before = is_failed ? from : (uintptr_t)p, to = before + (uintptr_t)increment;
	const uint64_t more[MS_MAP_WORDS] = {before, 0, to};
	tell(&call, MS_CALL_SBRK, to, distance(to, before), more, MS_MAP_WORDS, is_failed);
	return p;
}

HOOK int madvise(void *addr, size_t length, int advice)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.madvise(addr, length, advice);
	int rc = ms_real.madvise(addr, length, advice);
	const uint64_t more[MS_MAP_WORDS] = {(uintptr_t)addr, pair(0, (unsigned)advice)};
	tell(&call, MS_CALL_MADVISE, (uintptr_t)addr, length, more, MS_MAP_WORDS, rc != 0);
	return rc;
}

HOOK int mprotect(void *addr, size_t length, int prot)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.mprotect(addr, length, prot);
	int rc = ms_real.mprotect(addr, length, prot);
	const uint64_t more[MS_MAP_WORDS] = {(uintptr_t)addr, pair((unsigned)prot, 0)};
	tell(&call, MS_CALL_MPROTECT, (uintptr_t)addr, length, more, MS_MAP_WORDS, rc != 0);
	return rc;
}

/* Slots, blocks and nesting. See thread.h. */
#include "thread.h"

#include "libc_needs.h"
#include "pools.h"
#include "rawcall.h"
#include "real.h"

#include <dlfcn.h>
#include <elf.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

__thread struct ms_tls ms_tls;
struct ms_image_page ms_image_page;
_Atomic uint32_t ms_is_silent;

void ms_go_silent(void)
{
	atomic_store(&ms_is_silent, 1);
	atomic_store(&ms_image_page.is_recording, 0);
	atomic_store(&ms_image_page.is_attached, 0);
}

/* ---- nesting ---- */

static bool on_alternate_stack(uintptr_t sp)
{
	stack_t alt;
	return ms_may_ask() && ms_rawcall(SYS_sigaltstack, 0, (long)&alt, 0, 0, 0, 0) == 0 && !(alt.ss_flags & SS_DISABLE) &&
	       sp - (uintptr_t)alt.ss_sp < alt.ss_size;
}

/* Where libc's code lies: its signal frames return to a few instructions there. */
static bool find_libc_code(uintptr_t *start, uintptr_t *end)
{
	static _Atomic uintptr_t known_start, known_end;
	struct dl_find_object found;
	*end = atomic_load(&known_end);
	*start = atomic_load(&known_start);
	if (*end)
		return true;
	if (_dl_find_object((void *)(uintptr_t)gnu_get_libc_version, &found) < 0)
		return false;
	const Elf64_Ehdr *eh = found.dlfo_map_start;
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return false;
	const Elf64_Phdr *ph = (const void *)((const char *)eh + eh->e_phoff);
	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_X) && (ph[i].p_flags & PF_R)) {
			*start = found.dlfo_link_map->l_addr + ph[i].p_vaddr;
			*end = *start + ph[i].p_memsz;
			atomic_store(&known_start, *start);
			atomic_store(&known_end, *end);
			return true;
		}
	}
	return false;
}

/* Copies words of the stack. The thread's own is there for sure; what lies between two places on another may
 * have been unmapped, or never was one stack: that is asked of the kernel, which fails where a load would
 * crash. */
size_t ms_thread_copy_stack(uintptr_t from, uintptr_t *to, size_t n)
{
	const struct ms_thread *t = ms_tls.thread;
	struct iovec local = {to, n * sizeof(*to)}, remote = {(void *)from, n * sizeof(*to)};
	if (t && from >= t->unwind.stack.lo && from < t->unwind.stack.hi &&
		t->unwind.stack.hi - from >= n * sizeof(*to)) {
		memcpy(to, (const void *)from, n * sizeof(*to));
		return n;
	}
	if (!ms_may_ask())
		return 0;
	long pid = ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0);
	long got = ms_rawcall(SYS_process_vm_readv, pid, (long)&local, 1, (long)&remote, 1, 0);
	return got > 0 ? (size_t)got / sizeof(*to) : 0;
}

/* Does a word in [from, to) of the stack look like the return address of a signal frame? */
static bool has_signal_frame(uintptr_t from, uintptr_t to)
{
	enum { PIECE = 64 };
	static const unsigned char restorer[] = {
		0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}; /* rt_sigreturn */
	uintptr_t start, end, words[PIECE];
	if (!find_libc_code(&start, &end))
		return false;
	for (from &= ~(uintptr_t)7; from < to; from += sizeof(words)) {
		size_t left = (to - from) / sizeof(*words),
		       n = ms_thread_copy_stack(from, words, left < PIECE ? left : PIECE);
		for (size_t i = 0; i < n; i++) {
			if (words[i] >= start && words[i] < end - sizeof(restorer) &&
				memcmp((const void *)words[i], restorer, sizeof(restorer)) == 0)
				return true;
		}
		if (n < PIECE)
			return false;
	}
	return false;
}

bool ms_thread_is_hook(uintptr_t ip)
{
	static const char here;
	static _Atomic uintptr_t known_start, known_end;
	struct dl_find_object us;
	uintptr_t end = atomic_load(&known_end), start = atomic_load(&known_start);
	if (!end) {
		if (_dl_find_object((void *)(uintptr_t)&here, &us) < 0)
			return true; /* proves nothing */
		start = (uintptr_t)us.dlfo_map_start;
		end = (uintptr_t)us.dlfo_map_end;
		atomic_store(&known_start, start);
		atomic_store(&known_end, end);
	}
	return ip >= start && ip < end && !ms_pools_is_return(ip);
}

/* Is there no hook any more on the way out from the one at `frame`? A stack that can not be followed to its
 * end proves nothing. */
static bool is_abandoned(uintptr_t frame, bool (*is_hook)(uintptr_t ip))
{
	enum { NEAR = 8, FAR = 48 };
	struct ms_thread *t = ms_tls.thread;
	const uintptr_t *words = (const uintptr_t *)frame;
	struct ms_unwind_regs at = {words[1], frame + 16, words[0]};
	uintptr_t ips[FAR], guard = ms_tls.guard;
	unsigned flags = 0;
	bool is_met = false;
	if (!t)
		return false;
	ms_tls.guard =
		frame | MS_GUARD_ASIDE | MS_GUARD_RECORDING; /* a module met now goes to the side buffer */
	for (uint32_t depth = NEAR; !is_met && depth <= FAR; depth += FAR - NEAR) {
		uint32_t n = ms_unwind_fresh(&t->unwind, &at, ips, depth, &flags);
		for (uint32_t i = 0; i < n && !is_met; i++)
			is_met = is_hook(ips[i]);
	}
	ms_tls.guard = guard;
	return !is_met && flags == 0;
}

enum ms_nesting ms_thread_nesting(uintptr_t guard, uintptr_t frame, bool (*is_hook)(uintptr_t ip))
{
	enum { SCAN_MAX = 256 * 1024 };
	uintptr_t outer = MS_GUARD_FRAME(guard);
	bool is_alternate = on_alternate_stack(frame);
	if (frame >= outer && !is_alternate)
		return MS_NEST_LEFTOVER;
	if (is_abandoned(frame, is_hook))
		return MS_NEST_LEFTOVER;
	if (guard & MS_GUARD_RECORDING)
		return MS_NEST_SIGNAL; /* nothing that we call while recording calls a hook */
	if (is_alternate && !on_alternate_stack(outer))
		return MS_NEST_SIGNAL;
	if (frame >= outer || outer - frame > SCAN_MAX)
		return MS_NEST_SIGNAL; /* no allocator uses that much stack */
	return has_signal_frame(frame, outer) ? MS_NEST_SIGNAL : MS_NEST_ALLOCATOR;
}

/* ---- slots and blocks ---- */

/* Block of the thread that holds slot i. Entries are set by the slot's tenant and stay. */
static struct ms_thread *_Atomic blocks[MS_MAX_SLOTS];
static size_t block_size; /* the same for all: a session's stack depth holds for its fork children too */

static struct ms_thread *block_of(uint32_t slot)
{
	struct ms_thread *block = atomic_load_explicit(&blocks[slot], memory_order_acquire);
	if (block)
		return block;
	if (!block_size)
		block_size = sizeof(struct ms_thread) + 64 +
			     ms_unwind_storage_size(ms_session.stack_depth ? ms_session.stack_depth : 1);
	long at = ms_rawcall(SYS_mmap, 0, (long)block_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at < 0 && at > -4096)
		return NULL;
	atomic_store_explicit(&blocks[slot], (struct ms_thread *)at, memory_order_release);
	return (struct ms_thread *)at;
}

/* What the thread that forked this image hands to its continuation here. */
static struct ms_unwind_bounds forked_stack;
static _Atomic bool modules_are_due;

void ms_thread_inherit(void)
{
	if (ms_tls.thread)
		forked_stack = ms_tls.thread->unwind.stack;
	modules_are_due = true;
	ms_tls.thread = NULL;
}

void ms_thread_retire(void)
{
	ms_tls.slotless_calls = UINT32_MAX;
	ms_tls.thread = NULL;
}

/* 0: not known. In a sandbox the kernel must not be asked. */
static uint32_t own_tid(void)
{
	const uint32_t *place = ms_real_tid_place;
	if (ms_may_ask())
		return (uint32_t)ms_rawcall(SYS_gettid, 0, 0, 0, 0, 0, 0);
	return place && place[0] == 32 ? *(const uint32_t *)((const char *)pthread_self() + place[2]) : 0;
}

struct ms_thread *ms_thread_claim(uintptr_t frame)
{
	struct ms_unwind_bounds stack = forked_stack;
	struct ms_writer writer;
	if (atomic_exchange(&ms_session.has_thread, true))
		atomic_store(&ms_session.has_threads, true);
	if (ms_session.stack_depth && (frame < stack.lo || frame >= stack.hi))
		stack = ms_unwind_find_stack(frame);
	uint32_t tid = own_tid();
	if (!tid || (ms_session.is_tsc && ms_may_ask() && !ms_session_may_read_tsc())) {
		ms_thread_retire();
		return NULL;
	}
	if (!ms_slot_claim(&ms_session.segment, &writer, tid, ms_session_stamp(MS_RELEASING)))
		return NULL;
	struct ms_thread *t = block_of(writer.index);
	if (!t) {
		ms_thread_retire(); /* or every try would take another slot */
		return NULL;
	}
	t->writer = writer;
	t->attention = atomic_exchange(&modules_are_due, false) ? MS_ATTEND_MODULES : 0;
	t->needs_whole_stack = true;
	t->is_cut = false;
	t->depth = 0;
	t->lost = (struct ms_lost){0};
	t->n_pools = 0;
	atomic_store(&t->side.n, 0);
	atomic_store(&t->side.n_dropped, 0);
	t->side.first = 0;
	t->side.may_move = false;
	t->side.start[0] = 0;
	void *storage = (void *)(((uintptr_t)(t + 1) + 63) & ~(uintptr_t)63);
	ms_unwind_init(&t->unwind, storage, ms_session.stack_depth ? ms_session.stack_depth : 1, stack);
	ms_tls.thread = t;
	return t;
}

/* Slots, blocks and nesting. See thread.h. */
#include "thread.h"

#include "rawcall.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

__thread struct ms_tls ms_tls;
struct ms_image_page ms_image_page;
_Atomic uint32_t ms_is_silent;

void ms_go_silent(void)
{
	atomic_store(&ms_is_silent, 1);
	atomic_store(&ms_image_page.is_attached, 0);
}

/* ---- nesting ------------------------------------------------------------------------------------------------ */

static bool on_alternate_stack(uintptr_t sp)
{
	stack_t alt;
	return ms_rawcall(SYS_sigaltstack, 0, (long)&alt, 0, 0, 0, 0) == 0 && !(alt.ss_flags & SS_DISABLE) &&
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
	if (_dl_find_object((void *)(uintptr_t)dlsym, &found) < 0)
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

/* Does a word in [from, to) of the stack look like the return address of a signal frame? */
static bool has_signal_frame(uintptr_t from, uintptr_t to)
{
	static const unsigned char restorer[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}; /* rt_sigreturn */
	uintptr_t start, end;
	if (!find_libc_code(&start, &end))
		return false;
	for (uintptr_t at = (from + 7) & ~(uintptr_t)7; at < to; at += 8) {
		uintptr_t word = *(const uintptr_t *)at;
		if (word >= start && word < end - sizeof(restorer) &&
			memcmp((const void *)word, restorer, sizeof(restorer)) == 0)
			return true;
	}
	return false;
}

/* Is a hook that was interrupted while recording really below the one at `frame`? Only a signal handler can come in
 * between, so the unwinder must meet our own code; but a stack that it can not follow to the end proves nothing. */
static bool is_abandoned(uintptr_t frame)
{
	enum { DEPTH = 48 };
	static const char here;
	struct dl_find_object us;
	struct ms_thread *t = ms_tls.thread;
	const uintptr_t *words = (const uintptr_t *)frame;
	struct ms_unwind_regs at = {words[1], frame + 16, words[0]};
	uintptr_t ips[DEPTH];
	unsigned flags;
	if (!t || _dl_find_object((void *)(uintptr_t)&here, &us) < 0)
		return false;
	uintptr_t guard = ms_tls.guard;
	ms_tls.guard = frame | MS_GUARD_ASIDE | MS_GUARD_RECORDING; /* a module met now goes to the side buffer */
	uint32_t n = ms_unwind_fresh(&t->unwind, &at, ips, DEPTH, &flags);
	ms_tls.guard = guard;
	for (uint32_t i = 0; i < n; i++) {
		if (ips[i] >= (uintptr_t)us.dlfo_map_start && ips[i] < (uintptr_t)us.dlfo_map_end)
			return false;
	}
	return flags == 0;
}

enum ms_nesting ms_thread_nesting(uintptr_t guard, uintptr_t frame)
{
	enum { SCAN_MAX = 256 * 1024 };
	uintptr_t outer = guard & ~(uintptr_t)MS_GUARD_PHASE;
	bool is_alternate = on_alternate_stack(frame);
	if (frame > outer && !is_alternate)
		return MS_NEST_LEFTOVER;
	if (guard & MS_GUARD_RECORDING) /* nothing that we call while recording calls a hook */
		return is_abandoned(frame) ? MS_NEST_LEFTOVER : MS_NEST_SIGNAL;
	if (is_alternate && !on_alternate_stack(outer))
		return MS_NEST_SIGNAL;
	if (frame > outer || outer - frame > SCAN_MAX)
		return MS_NEST_SIGNAL; /* no allocator uses that much stack */
	return has_signal_frame(frame, outer) ? MS_NEST_SIGNAL : MS_NEST_ALLOCATOR;
}

/* ---- slots and blocks ----------------------------------------------------------------------------------------- */

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

struct ms_thread *ms_thread_claim(uintptr_t frame)
{
	struct ms_unwind_bounds stack = forked_stack;
	struct ms_writer writer;
	if (ms_session.stack_depth && (frame < stack.lo || frame >= stack.hi))
		stack = ms_unwind_find_stack(frame);
	uint32_t tid = (uint32_t)ms_rawcall(SYS_gettid, 0, 0, 0, 0, 0, 0);
	if (ms_session.is_tsc && !ms_session_may_read_tsc()) {
		ms_thread_retire();
		return NULL;
	}
	if (!ms_slot_claim(&ms_session.segment, &writer, tid, ms_session_stamp(MS_RELEASING)))
		return NULL;
	struct ms_thread *t = block_of(writer.index);
	if (!t)
		return NULL; /* the slot is given back with the thread */
	t->writer = writer;
	t->attention = atomic_exchange(&modules_are_due, false) ? MS_ATTEND_MODULES : 0;
	t->needs_whole_stack = true;
	t->is_cut = false;
	t->depth = 0;
	t->lost = (struct ms_lost){0};
	atomic_store(&t->side.n, 0);
	atomic_store(&t->side.n_dropped, 0);
	t->side.start[0] = 0;
	void *storage = (void *)(((uintptr_t)(t + 1) + 63) & ~(uintptr_t)63);
	ms_unwind_init(&t->unwind, storage, ms_session.stack_depth ? ms_session.stack_depth : 1, stack);
	ms_tls.thread = t;
	return t;
}

void ms_thread_retire(void)
{
	ms_tls.slotless_calls = UINT32_MAX;
	ms_tls.thread = NULL;
}

/* unwind_walk.c - foreign stacks, and rules that the table does not have. */
#include "unwind_walk.h"

#include "rawcall.h"

#include <sys/uio.h>

cold bool ms_walk_slide(struct walk *w, uintptr_t at)
{
	size_t first = 4096 - at % 4096;
	struct iovec local = {w->window, w->window_size};
	struct iovec remote[2];
	long got;

	if (!w->foreign || at > (UINT64_C(1) << ADDRESS_BITS) || !ms_may_ask())
		return false;
	if (first > w->window_size)
		first = w->window_size;
	remote[0] = (struct iovec){(void *)at, first};
	remote[1] = (struct iovec){(void *)(at + first), w->window_size - first};
	got = ms_rawcall(SYS_process_vm_readv, ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0), (long)&local, 1,
		(long)remote, 2, 0);
	if (got < 8)
		return false;
	w->lo = at;
	w->span = (uintptr_t)got - 8;
	w->delta = (uintptr_t)w->window - at;
	return true;
}

/* Not in the table. Code outside of all modules is not remembered: a module may be loaded there later. */
cold ms_cfi_rule ms_walk_find_rule(struct walk *w, uintptr_t pc)
{
	struct ms_cfi_code code;
	ms_cfi_rule rule;

	if (!ms_rules_meet(pc))
		return ms_cfi_make(MS_CFI_UNKNOWN, 0, 0, 0);
	rule = ms_rules_read(pc, &code);
	if (!w->use_table)
		return rule;
	w->stale = atomic_load_explicit(&ms_rules_epoch, memory_order_acquire) != w->epoch;
	if (!w->stale)
		ms_rules_publish(pc, w->generation, rule);
	return rule;
}

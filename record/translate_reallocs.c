/* translate_reallocs.c - reallocs under way: each is told when it has ended, as one event, unless another thread takes the
 * old block's address in between. Then its release is told before that, and its acquisition by itself. */
#include "translator.h"

#include <stdlib.h>

int ms_translator_begin_realloc(
	struct ms_process *proc, const struct ms_tenant *t, const struct ms_item *item, uint32_t pool)
{
	if (proc->n_pending == proc->cap_pending) {
		size_t cap = proc->cap_pending * 2 + 8;
		struct ms_pending *grown = realloc(proc->pending, cap * sizeof *grown);
		if (!grown)
			return MST_ENOMEM;
		proc->pending = grown;
		proc->cap_pending = cap;
	}
	proc->pending[proc->n_pending++] = (struct ms_pending){
		.tenant = t,
		.addr = item->addr,
		.stamp = MS_ITEM_STAMP(item->key),
		.pool = pool,
		.function = item->align,
	};
	return 0;
}

int ms_translator_split_reallocs(
	struct ms_translator *tr, struct ms_process *proc, uint32_t pool, uint64_t addr, uint64_t ns)
{
	for (size_t i = 0; i < proc->n_pending; i++) {
		struct ms_pending *p = &proc->pending[i];
		if (p->addr != addr || p->pool != pool || p->is_split)
			continue;
		p->is_split = true;
		int rc = ms_process_has_paused(proc) ? ms_translator_knows(tr, proc, pool, addr) : 1;
		p->is_unknown = rc == 0;
		/* At the place it had to come before: its own stamp is behind us. */
		const struct ms_item begin = {
			.key = MS_ITEM_KEY(tr->last_stamp, false), .addr = addr, .align = pool ? p->function : 0};
		if (rc > 0)
			rc = ms_translator_tell_event(tr, p->tenant, &begin, pool ? MST_OP_POOL_FREE : MST_OP_REALLOC_BEGIN, ns);
		if (rc < 0)
			return rc;
	}
	return 0;
}

enum ms_begun ms_translator_end_realloc(
	struct ms_process *proc, const struct ms_tenant *t, uint32_t pool, uint64_t old_addr)
{
	for (size_t i = proc->n_pending; i-- > 0;) {
		struct ms_pending p = proc->pending[i];
		if (p.tenant != t || p.pool != pool || p.addr != old_addr)
			continue;
		proc->pending[i] = proc->pending[--proc->n_pending];
		return !p.is_split ? MS_BEGUN_WHOLE : p.is_unknown ? MS_BEGUN_SPLIT_UNTOLD : MS_BEGUN_SPLIT;
	}
	return MS_BEGUN_WHOLE;
}

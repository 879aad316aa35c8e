/* translate.c - items, each by its kind; but most are ordinary calls, and what one of them costs is in gather_calls. See
 * translator.h. */
#include "translator.h"

#include <stdlib.h>
#include <string.h>

#include "mapcall.h"

void ms_translator_init(
	struct ms_translator *tr, struct mst_writer *w, struct ms_clock_map *clock, uint32_t first_pid)
{
	memset(tr, 0, sizeof *tr);
	tr->writer = w;
	tr->clock = clock;
	tr->first_pid = first_pid;
}

void ms_translator_release(struct ms_translator *tr)
{
	ms_translator_drop_points(tr);
}

int ms_translator_intern(struct ms_translator *tr, const char *s, size_t len, uint32_t *id)
{
	if (len == 0) {
		*id = 0;
		return 0;
	}
	return mst_writer_string(tr->writer, s, len, id);
}

uint64_t ms_translator_next_event(const struct ms_translator *tr)
{
	struct mst_totals totals;
	mst_writer_totals(tr->writer, &totals);
	return totals.events;
}

/* ---- one by one ------------------------------------------------------------------------------------- */

static int tell_note(struct ms_translator *tr, struct ms_tenant *t, const struct ms_item *item, uint64_t ns)
{
	const struct ms_note *note = item->note;
	switch (item->kind) {
	case MS_U_MODULE:
		return ms_translator_tell_module(tr, t->process, note, ns);
	case MS_U_UNMODULE:
		return ms_translator_tell_unmodule(tr, t->process, note->words[1], ns);
	case MS_U_NAME:
		memcpy(t->name, &note->words[1], sizeof t->name);
		return ms_translator_update_thread(tr, t, UINT64_MAX);
	case MS_U_LOSS:
		return ms_translator_tell_loss(tr, t, note->words, ns);
	case MS_U_MAP_BEGIN:
		ms_map_begins_put(&t->begins, note->words[1], ms_translator_next_event(tr));
		return 0;
	case MS_U_UNFOLLOWED:
		return ms_translator_tell_unfollowed(tr, t->process, note->words[1], ns);
	case MS_U_FORK:
		return ms_translator_add_point(tr, t->process, note->words[1]);
	case MS_U_MARK:
	case MS_U_PAUSE:
	case MS_U_RESUME:
		return ms_translator_tell_annotation(tr, t, item, ns);
	default:
		return 0;
	}
}

static int translate_one(struct ms_translator *tr, struct ms_tenant *t, struct ms_item *item)
{
	uint64_t stamp = MS_ITEM_STAMP(item->key);
	uint64_t ns = ms_clock_ns(tr->clock, stamp);
	int rc = t->thread ? 0 : ms_translator_introduce(tr, t);
	if (rc >= 0 && (item->kind < MST_OP_MMAP || mst_op_pools(item->kind)))
		rc = ms_translator_tell_call(tr, t, item, ns);
	else if (rc >= 0)
		rc = mst_op_maps(item->kind) ? ms_translator_tell_mapping(tr, t, item, ns) : tell_note(tr, t, item, ns);
	if (mst_op_maps(item->kind))
		free(item->more);
	else if (item->kind >= MS_U_MODULE)
		free(item->note);
	if (stamp > tr->last_stamp)
		tr->last_stamp = stamp;
	return rc;
}

/* ---- in runs ---------------------------------------------------------------------------------------- */

/* Ends the realloc of this tenant that is the only one under way, if it is of that block. */
static bool end_only_pending(struct ms_process *proc, const struct ms_tenant *t, uint64_t old_addr)
{
	const struct ms_pending *p = proc->pending;
	if (proc->n_pending != 1 || p->tenant != t || p->pool || p->addr != old_addr || p->is_split)
		return false;
	proc->n_pending = 0;
	return true;
}

/* A call that succeeded, with nothing special about it, that nobody's realloc concerns; the realloc that it ends is ended. */
static inline bool is_ordinary(struct ms_process *proc, const struct ms_tenant *t, const struct ms_item *item)
{
	if (item->kind >= MST_OP_MMAP || item->kind == MST_OP_REALLOC_FREE || item->flags & MS_UF_FAILED || item->align)
		return false;
	return item->flags & MS_UF_OLD ? end_only_pending(proc, t, item->old_addr) : proc->n_pending == 0;
}

/* Puts what most items are to the calls on their way: ordinary ones in their order, and the beginnings of reallocs, as long as
 * no pause concerns them. Returns how many it took; the next one is to be told by itself. */
static uint32_t gather_calls(
	struct ms_translator *tr, const struct ms_tenant *t, const struct ms_item *items, uint32_t n)
{
	struct ms_process *proc = t->process;
	const struct ms_node *nodes = proc->tree.nodes;
	const uint32_t era = proc->era;
	uint64_t last_stamp = tr->last_stamp;
	struct mst_call *call = tr->calls + tr->n_calls;
	uint32_t i = 0;
	if (!t->thread || proc->is_paused || proc->resume_stamp > last_stamp)
		return 0;
	for (; i < n; i++) {
		const struct ms_item *item = &items[i];
		uint64_t stamp = MS_ITEM_STAMP(item->key);
		if (stamp < last_stamp)
			break;
		if (item->kind == MST_OP_REALLOC_BEGIN) {
			if (ms_translator_begin_realloc(proc, t, item, 0) < 0)
				break;
			last_stamp = stamp;
			continue;
		}
		if (!is_ordinary(proc, t, item))
			break;
		uint32_t stack = nodes[item->node].stack;
		if (nodes[item->node].era != era && ms_translator_find_stack(tr, proc, item->node, &stack) < 0)
			break;
		*call++ = (struct mst_call){
			.time_ns = ms_clock_ns(tr->clock, stamp),
			.size = item->size,
			.addr = item->addr,
			.old_addr = item->old_addr,
			.stack = stack,
			.op = item->kind,
		};
		last_stamp = stamp;
	}
	tr->n_calls = (uint32_t)(call - tr->calls);
	tr->last_stamp = last_stamp;
	return i;
}

static int send_calls(struct ms_translator *tr, const struct ms_tenant *t)
{
	uint32_t n = tr->n_calls;
	tr->n_calls = 0;
	return n ? mst_writer_calls(tr->writer, t->thread, tr->calls, n) : 0;
}

int ms_translate(void *ctx, struct ms_queue *q, struct ms_item *items, uint32_t *n)
{
	struct ms_translator *tr = ctx;
	struct ms_tenant *t = (struct ms_tenant *)(void *)q;
	uint32_t i = 0;
	int rc = 0;
	while (rc >= 0 && i < *n) {
		i += gather_calls(tr, t, items + i, *n - i);
		if (i == *n)
			break;
		rc = send_calls(tr, t);
		if (rc >= 0)
			rc = translate_one(tr, t, &items[i++]);
	}
	int sent = send_calls(tr, t);
	*n = i;
	tr->error = rc < 0 ? rc : sent < 0 ? sent : 0;
	return tr->error;
}

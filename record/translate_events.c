/* translate_events.c - calls, one by one. */
#include "translator.h"

#include <string.h>

#include "mapcall.h"

/* ---- calls of pools --------------------------------------------------------------------------------- */

/* The pool of a call (a struct ms_pending knows it by that number), or 0: no pool's, or a function that nobody wraps. */
static uint32_t pool_of(const struct ms_translator *tr, const struct ms_item *item)
{
	const struct ms_wrap_function *f =
		mst_op_pools(item->kind) ? ms_wraps_get(tr->wraps, item->align) : NULL;
	return f ? f->as.pool + 1 : 0;
}

/* The string id of a pool's name. */
static int name_pool(struct ms_translator *tr, uint32_t pool, uint32_t *id)
{
	struct ms_wrap_pool *p = &tr->wraps->pools[pool - 1];
	int rc = p->string ? 0 : mst_writer_string(tr->writer, p->name, strlen(p->name), &p->string);
	*id = p->string;
	return rc;
}

static int tell_pool_call(struct ms_translator *tr, const struct ms_item *item, struct mst_event *ev)
{
	struct ms_wrap_function *f = ms_wraps_get(tr->wraps, item->align);
	struct mst_pool_call call = {.addr = item->addr, .size = item->size};
	int rc = name_pool(tr, f->as.pool + 1, &call.pool);
	if (rc < 0)
		return rc;
	call.old_addr = ev->op == MST_OP_POOL_REALLOC ? item->old_addr : 0;
	ev->align = 0;
	f->n_calls++;
	tr->wraps->pools[f->as.pool].n_calls++;
	return mst_writer_pool_event(tr->writer, ev, &call);
}

int ms_translator_knows(
	struct ms_translator *tr, const struct ms_process *proc, uint32_t pool, uint64_t addr)
{
	uint32_t id;
	if (!pool)
		return mst_writer_knows(tr->writer, proc->id, addr);
	int rc = name_pool(tr, pool, &id);
	return rc < 0 ? rc : mst_writer_pool_knows(tr->writer, proc->id, id, addr);
}

/* ---- calls of the heap, and of pools ---------------------------------------------------------------- */

int ms_translator_tell_event(struct ms_translator *tr, const struct ms_tenant *t, const struct ms_item *item, unsigned op,
	uint64_t ns)
{
	struct mst_event ev = {
		.thread = t->thread,
		.op = (uint8_t)op,
		.flags = item->flags & MS_UF_FAILED ? MST_EV_FAILED : 0,
		.time_ns = ns,
		.size = item->size,
		.addr = item->addr,
		.old_addr = item->old_addr,
		.align = item->align,
		.err = item->err,
	};
	int rc = ms_translator_find_stack(tr, t->process, item->node, &ev.stack);
	if (rc < 0)
		return rc;
	if (MS_ITEM_STAMP(item->key) < tr->last_stamp) {
		ev.flags |= MST_EV_LATE;
		tr->n_late++;
	}
	return mst_op_pools(op) ? tell_pool_call(tr, item, &ev) : mst_writer_event(tr->writer, &ev);
}

static bool acquires(unsigned op)
{
	return mst_op_acquires(op) || op == MST_OP_POOL_ALLOC || op == MST_OP_POOL_REALLOC;
}

/* A call in a pause, its realloc's BEGIN taken away: told if it releases a block that the trace knows. */
static int tell_paused(struct ms_translator *tr, struct ms_tenant *t, struct ms_item *item, unsigned op,
	uint32_t pool, enum ms_begun begun, uint64_t ns)
{
	uint64_t released = item->flags & MS_UF_OLD ? item->old_addr : item->addr;
	if (item->flags & MS_UF_FAILED || begun == MS_BEGUN_SPLIT_UNTOLD ||
		(acquires(op) && !(item->flags & MS_UF_OLD)))
		return 0;
	int rc = begun == MS_BEGUN_SPLIT ? 1 : ms_translator_knows(tr, t->process, pool, released);
	item->node = MS_NODE_NONE;
	return rc > 0 ? ms_translator_tell_event(tr, t, item, op, ns) : rc;
}

int ms_translator_tell_call(struct ms_translator *tr, struct ms_tenant *t, struct ms_item *item, uint64_t ns)
{
	struct ms_process *proc = t->process;
	enum ms_begun begun = MS_BEGUN_WHOLE;
	unsigned op = item->kind;
	bool is_failed = item->flags & MS_UF_FAILED;
	uint32_t pool = pool_of(tr, item);
	if (mst_op_pools(op) && !pool)
		return 0; /* the program has scribbled */
	if (op == MST_OP_REALLOC_BEGIN || op == MS_POOL_REALLOC_BEGIN)
		return ms_translator_begin_realloc(proc, t, item, pool);
	if (item->flags & MS_UF_OLD) {
		bool is_free = op == MST_OP_REALLOC_FREE || op == MST_OP_POOL_REALLOC_FREE;
		begun = ms_translator_end_realloc(proc, t, pool, item->old_addr);
		if (begun != MS_BEGUN_WHOLE && is_free)
			return 0; /* all of it has been told */
		if (begun != MS_BEGUN_WHOLE && !is_failed)
			op = pool ? MST_OP_POOL_ALLOC : MST_OP_REALLOC_END;
		if (is_free)
			item->addr = item->old_addr;
	}
	if (proc->n_pending && !is_failed && (acquires(op) || ms_process_has_paused(proc))) {
		int rc = ms_translator_split_reallocs(tr, proc, pool, item->addr, ns);
		if (rc < 0)
			return rc;
	}
	if (ms_process_is_in_pause(proc, MS_ITEM_STAMP(item->key)))
		return tell_paused(tr, t, item, op, pool, begun, ns);
	return ms_translator_tell_event(tr, t, item, op, ns);
}

/* ---- calls of the mapping layer --------------------------------------------------------------------- */

int ms_translator_tell_mapping(struct ms_translator *tr, struct ms_tenant *t, const struct ms_item *item, uint64_t ns)
{
	struct mst_event ev = {
		.thread = t->thread,
		.op = item->kind,
		.flags = item->flags & MS_UF_FAILED ? MST_EV_FAILED : 0,
		.time_ns = ns,
		.err = item->err,
	};
	struct mst_map_call call;
	const char *path;
	size_t path_len;
	ms_map_call_get(item, &call, &path, &path_len);
	call.begun = ms_translator_next_event(tr);
	if (item->more && (ev.op == MST_OP_MUNMAP || ev.op == MST_OP_MREMAP || ev.op == MST_OP_BRK ||
				  ev.op == MST_OP_SBRK))
		call.begun = ms_map_begins_take(&t->begins, item->more->words[MS_MAP_ADDR], call.begun);
	int rc = ms_translator_intern(tr, path, path_len, &call.file);
	if (rc >= 0)
		rc = ms_translator_find_stack(tr, t->process, item->node, &ev.stack);
	if (rc >= 0 && !(ev.flags & MST_EV_FAILED) && ev.op == MST_OP_MMAP)
		rc = ms_translator_tell_mapped_code(tr, t->process, &call, ns);
	if (rc >= 0 && !(ev.flags & MST_EV_FAILED) && ev.op == MST_OP_MUNMAP)
		rc = ms_translator_tell_unmapped_code(tr, t->process, &call, ns);
	if (rc < 0)
		return rc;
	if (MS_ITEM_STAMP(item->key) < tr->last_stamp) {
		ev.flags |= MST_EV_LATE;
		tr->n_late++;
	}
	return mst_writer_map_event(tr->writer, &ev, &call);
}

/* writer_events.c - events into the batch.
 *
 * Runs of ordinary calls (store_calls) are most of what is recorded, and there the instructions count: for a run the cache
 * lines are prefetched first, then each call is stored and looked up in one go, and what it changes stands in a local
 * struct, since a store to the array of op bytes might, for all C knows, change any of the others. What is done for each
 * call is in this file, or inline in writer_resolve.h; only the live map is called. */
#include "writer.h"

#include "writer_resolve.h"

#define LAG 16u /* a single event is looked up at least so many events after it came in */
#define RUN_MAX 64u /* calls stored at once: their cache lines of the live map, prefetched, must not push each other out */

/* ---- a frame's end ---------------------------------------------------------------------------------------- */

/* In units: an event of that time is of the next frame. The frame has had an event that is not LATE. */
static uint64_t frame_end(const struct mst_writer *w, const struct mst_batch *b)
{
	unsigned shift = w->header.time_shift;
	uint64_t span = (w->frame_ns >> shift) + ((w->frame_ns & (((uint64_t)1 << shift) - 1)) != 0);

	return span < UINT64_MAX - b->evt.time_first ? b->evt.time_first + span : UINT64_MAX;
}

static bool frame_is_due(const struct mst_writer *w, const struct mst_batch *b, uint64_t units)
{
	return b->ev.n == w->frame_events || (b->ev.n != 0 && units >= frame_end(w, b));
}

/* ---- single events ---------------------------------------------------------------------------------------- */

static const char *event_fault(const struct mst_writer *w, const struct mst_event *ev)
{
	if (ev->op == 0 || ev->op > MST_OP_MAX)
		return "an event's op is out of range";
	if (ev->thread == 0 || ev->thread > w->n_threads)
		return "an event's thread is unknown";
	if (ev->stack > w->n_stacks)
		return "an event's stack is unknown";
	if (ev->time_ns > MST_NUMBER_MAX || ev->size > MST_NUMBER_MAX)
		return "an event's time or size is out of range";
	return NULL;
}

/* The row of an event of the mapping layer; without its facts, one that says nothing. */
static int store_map_call(struct mst_writer *w, struct mst_batch *b, const struct mst_event *ev)
{
	static const struct mst_map_call unknown;
	const struct mst_map_call *call = w->map_call ? w->map_call : &unknown;
	uint64_t span = w->map_call && call->begun < w->totals.events ? w->totals.events - call->begun : 0;

	mst_map_row_put(&b->maps, call, ev->op, span, &b->last_map_addr);
	return b->maps.failed ? MST_ENOMEM : 0;
}

/* Those of blocks that have an ordinal. */
static void hide_pool_addresses(struct mst_pool_call *call)
{
	if (call->freed != 0)
		call->old_addr = 0;
	if (call->freed != 0 || call->alloc != 0)
		call->addr = 0;
}

/* The row of an event of the pool layer; without its facts, one that says nothing. */
static int store_pool_call(struct mst_writer *w, struct mst_batch *b, const struct mst_event *ev)
{
	static const struct mst_pool_call unknown;
	const struct mst_pool_call *call = w->pool_call ? w->pool_call : &unknown;
	struct mst_pool_call shown;

	if (w->pool_call && !(ev->flags & MST_EV_FAILED) && mst_writer_resolve_pool_call(w, ev, w->pool_call) < 0)
		return MST_ENOMEM;
	shown = *call;
	if (!w->header.has_addresses)
		hide_pool_addresses(&shown);
	mst_pool_row_put(&b->pools, &shown, ev->op, &b->last_pool_row);
	return b->pools.failed ? MST_ENOMEM : 0;
}

/* Stores the facts of *ev at place n of the batch. */
static int store_event(struct mst_writer *w, struct mst_batch *b, const struct mst_event *ev, uint64_t units)
{
	uint32_t i = b->ev.n;
	bool failed = ev->flags & MST_EV_FAILED;
	bool late = ev->flags & MST_EV_LATE || units < w->clock_units;
	bool acquires = w->traits[ev->op] & MST_TRAIT_ACQUIRES, releases = w->traits[ev->op] & MST_TRAIT_RELEASES;
	struct mst_writer_thread *t = &w->threads[ev->thread];

	if (ev->align != 0 && mst_batch_add_extra(b, i, MST_EXTRA_ALIGN, ev->align) < 0)
		return MST_ENOMEM;
	if (w->traits[ev->op] & MST_TRAIT_MAPS && store_map_call(w, b, ev) < 0)
		return MST_ENOMEM;
	if (w->traits[ev->op] & MST_TRAIT_POOLS && store_pool_call(w, b, ev) < 0)
		return MST_ENOMEM;
	if (failed && ev->err != 0 && mst_batch_add_extra(b, i, MST_EXTRA_ERRNO, ev->err) < 0)
		return MST_ENOMEM;
	b->ev.op[i] = (uint8_t)(ev->op | (failed ? MST_OPBIT_FAILED : 0u) | (late ? MST_OPBIT_LATE : 0u));
	b->ev.thread[i] = ev->thread;
	b->ev.time[i] = units;
	b->ev.stack[i] = ev->stack;
	/* Of a sized release until it is resolved, then 0 as for all releases. */
	b->ev.size[i] = acquires || failed || w->traits[ev->op] & MST_TRAIT_SIZED ? ev->size : 0;
	b->ev.addr[i] = acquires && !failed ? ev->addr : 0;
	b->ev.freed_addr[i] = !releases || failed ? 0 : acquires ? ev->old_addr : ev->addr;
	b->evt.n_late += late;
	if (t->frame != w->frame) {
		t->frame = w->frame;
		b->evt.n_threads++;
	}
	if (late)
		return 0;
	if (!b->has_order_time)
		b->evt.time_first = units;
	b->has_order_time = true;
	w->clock_units = units;
	return 0;
}

static void prefetch(const struct mst_writer *w, const struct mst_batch *b, uint32_t i)
{
	const struct mst_image *image = mst_images_get(&w->images, w->threads[b->ev.thread[i]].process);

	if (!image->map)
		return;
	if (b->ev.freed_addr[i] != 0)
		mst_addrmap_prefetch(image->map, &b->ev.freed_addr[i], 1);
	if (b->ev.addr[i] != 0)
		mst_addrmap_prefetch(image->map, &b->ev.addr[i], 1);
}

int mst_writer_event(struct mst_writer *w, struct mst_event *ev)
{
	const char *fault = event_fault(w, ev);
	uint64_t units = ev->time_ns >> w->header.time_shift;
	struct mst_batch *b;
	bool acquired;
	int rc;

	if (w->rc < 0)
		return w->rc;
	if (fault)
		return mst_writer_fail(w, MST_EARG, fault);
	if (frame_is_due(w, w->fill, units) && (rc = mst_writer_next_frame(w)) < 0)
		return rc;
	acquired = w->traits[ev->op] & MST_TRAIT_ACQUIRES && !(ev->flags & MST_EV_FAILED);
	if (acquired && w->next_ordinal > MST_ORDINAL_MAX)
		return mst_writer_fail(w, MST_ENOMEM, "");
	b = w->fill;
	if (b->ev.n == 0)
		mst_writer_open_frame(w, b, units);
	if (store_event(w, b, ev, units) < 0)
		return mst_writer_fail(w, MST_ENOMEM, "");
	ev->number = w->totals.events++;
	ev->alloc = acquired ? w->next_ordinal++ : 0;
	w->totals.allocs += acquired;
	w->totals.failed += ev->flags & MST_EV_FAILED && !(w->traits[ev->op] & (MST_TRAIT_MAPS | MST_TRAIT_POOLS)) ? 1u : 0u;
	b->ev.n_alloc += acquired;
	if (units > w->max_units)
		w->max_units = units;
	prefetch(w, b, b->ev.n++);
	return b->ev.n - w->resolved > LAG ? mst_writer_resolve_upto(w, b->ev.n - LAG) : 0;
}

int mst_writer_map_event(struct mst_writer *w, struct mst_event *ev, const struct mst_map_call *call)
{
	int rc;

	if (!mst_op_maps(ev->op) || call->file > mst_table_last(&w->ledger.dict.strings))
		return mst_writer_fail(w, MST_EARG, "a mapping call's op or file is out of range");
	ev->addr = call->addr;
	ev->old_addr = call->old_addr;
	ev->size = call->length <= MST_NUMBER_MAX ? call->length : MST_NUMBER_MAX;
	w->map_call = call;
	rc = mst_writer_event(w, ev);
	w->map_call = NULL;
	return rc;
}

int mst_writer_pool_event(struct mst_writer *w, struct mst_event *ev, struct mst_pool_call *call)
{
	int rc;

	if (!mst_op_pools(ev->op) || call->pool == 0 || call->pool > mst_table_last(&w->ledger.dict.strings))
		return mst_writer_fail(w, MST_EARG, "a pool call's op or pool is out of range");
	if (w->next_pool_ordinal > MST_ORDINAL_MAX)
		return mst_writer_fail(w, MST_ENOMEM, "");
	if (call->size > MST_NUMBER_MAX)
		call->size = MST_NUMBER_MAX;
	call->alloc = call->freed = 0;
	ev->addr = call->addr;
	ev->old_addr = call->old_addr;
	ev->size = call->size;
	w->pool_call = call;
	rc = mst_writer_event(w, ev);
	w->pool_call = NULL;
	return rc;
}

/* ---- runs of calls ---------------------------------------------------------------------------------------- */

/* Event i of the batch becomes *c, an ordinary call at `units`, and goes through the live map at once. */
static inline int store_call(struct mst_batch *b, struct mst_run *r, uint32_t i, uint32_t thread, const struct mst_call *c,
	unsigned trait, uint64_t units)
{
	struct mst_batch_arrays *a = b->arrays;
	bool acquires = trait & MST_TRAIT_ACQUIRES;
	uint64_t released = !(trait & MST_TRAIT_RELEASES) ? 0 : acquires ? c->old_addr : c->addr;
	struct mst_live block = {0};
	int rc = released != 0 ? mst_run_release(r, released, &block) : 0;

	a->op[i] = (uint8_t)c->op;
	a->thread[i] = thread;
	a->time[i] = units;
	a->stack[i] = c->stack;
	a->freed[i] = rc > 0 ? block.ordinal : 0;
	a->freed_addr[i] = released;
	a->size[i] = acquires ? c->size : 0;
	a->addr[i] = acquires ? c->addr : 0;
	if (trait & MST_TRAIT_SIZED && rc > 0 && c->size != block.size)
		rc = mst_batch_add_extra(b, i, MST_EXTRA_SAID_SIZE, c->size);
	return rc < 0 ? rc : acquires ? mst_run_acquire(r, c->addr, c->size) : 0;
}

/* How many of the n calls are stored: those before the first that wants a closer look. */
static uint32_t store_calls(struct mst_writer *w, struct mst_run *r, uint32_t thread, const struct mst_call *calls, uint32_t n,
	int *status)
{
	struct mst_batch *b = w->fill;
	const uint64_t end = frame_end(w, b);
	const unsigned shift = w->header.time_shift;
	const uint32_t n_stacks = w->n_stacks;
	struct mst_run run = *r; /* whose address nobody has */
	uint64_t units = w->clock_units;
	uint32_t k = 0;
	int rc = 0;

	for (; k < n && rc == 0; k++) {
		const struct mst_call *c = &calls[k];
		uint64_t now = c->time_ns >> shift;
		unsigned trait = c->op <= MST_OP_MAX ? w->traits[c->op] : 0;

		if (now - units >= end - units || (c->time_ns | c->size) > MST_NUMBER_MAX || c->stack > n_stacks ||
			c->addr == 0 || !(trait & (MST_TRAIT_ACQUIRES | MST_TRAIT_RELEASES)) || trait & MST_TRAIT_SPLIT)
			break;
		units = now;
		rc = store_call(b, &run, b->ev.n + k, thread, c, trait, units);
	}
	w->clock_units = units;
	if (units > w->max_units)
		w->max_units = units;
	*r = run;
	*status = rc;
	return k;
}

static void prefetch_calls(const struct mst_addrmap *map, const struct mst_call *calls, uint32_t n)
{
	uint64_t touched[2 * RUN_MAX];
	uint32_t n_touched = 0;

	for (uint32_t k = 0; k < n; k++) {
		touched[n_touched++] = calls[k].addr;
		touched[n_touched] = calls[k].old_addr;
		n_touched += calls[k].old_addr != 0;
	}
	mst_addrmap_prefetch(map, touched, n_touched);
}

/* Takes what it can of a run of calls into the frame that is open; returns how many. */
static uint32_t take_calls(struct mst_writer *w, uint32_t thread, const struct mst_call *calls, size_t n, int *rc)
{
	struct mst_batch *b = w->fill;
	uint32_t room = w->frame_events - b->ev.n, n_stored;
	uint64_t n_acquired;
	struct mst_run run;

	if (b->ev.n == 0 || !b->has_order_time || w->frame_events <= b->ev.n || thread == 0 || thread > w->n_threads ||
		w->threads[thread].frame != w->frame || w->next_ordinal > MST_ORDINAL_MAX - RUN_MAX)
		return 0; /* mst_writer_event sees to it */
	*rc = mst_writer_resolve_upto(w, b->ev.n);
	if (*rc == 0)
		*rc = mst_run_begin(w, thread, &run);
	if (*rc < 0 || !run.map)
		return 0;
	if (room > RUN_MAX)
		room = RUN_MAX;
	if (room > n)
		room = (uint32_t)n;
	prefetch_calls(run.map, calls, room);
	n_stored = store_calls(w, &run, thread, calls, room, rc);
	n_acquired = run.ordinal - w->resolve_ordinal;
	mst_run_end(w, &run);
	b->ev.n += n_stored;
	b->ev.n_alloc += (uint32_t)n_acquired;
	w->resolved = b->ev.n;
	w->next_ordinal += n_acquired;
	w->totals.events += n_stored;
	w->totals.allocs += n_acquired;
	return n_stored;
}

int mst_writer_calls(struct mst_writer *w, uint32_t thread, const struct mst_call *calls, size_t n)
{
	int rc = w->rc;

	for (size_t done = 0; done < n && rc == 0;) {
		uint32_t n_taken = take_calls(w, thread, calls + done, n - done, &rc);

		if (rc < 0)
			return mst_writer_fail(w, rc, "");
		if (n_taken == 0) {
			const struct mst_call *c = &calls[done];
			struct mst_event ev = {.thread = thread, .op = (uint8_t)c->op, .time_ns = c->time_ns, .size = c->size,
				.addr = c->addr, .old_addr = c->old_addr, .stack = c->stack};

			rc = c->op <= MST_OP_MAX ? mst_writer_event(w, &ev)
						 : mst_writer_fail(w, MST_EARG, "an event's op is out of range");
			n_taken = 1;
		}
		done += n_taken;
	}
	return rc;
}

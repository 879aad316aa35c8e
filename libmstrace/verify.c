/* verify.c - every rule of FORMAT.md that one pass can check.
 *
 * The reader does most of it, because it never trusts what it reads. What it has no use for is checked here: the counts
 * in event headers against the events, ids against the dictionaries, the index against the frames, END against all. */
#include "verify.h"

#include <string.h>

#include "column.h"
#include "problem.h"

static void note(struct mst_check *c, const struct mst_frame *f, const char *why)
{
	struct mst_damage d = {.offset = f->offset, .length = mst_frame_size(f)};

	d.first_event = c->reader->pos.event;
	mst_problem_set(&d.problem, MST_EDAMAGED, f->offset, f->seq, "%s", why);
	mst_damages_add(&c->reader->damages, &d, true);
}

/* Rules that hold only while nothing is missing. */
static bool is_whole(const struct mst_check *c)
{
	return c->reader->damages.loss.places == 0;
}

/* ---- events ----------------------------------------------------------------------------------------------- */

/* Blocks of pools are numbered one behind the other; where a trace begins with a checkpoint that says nothing of pools,
 * from any number on. Asked only while nothing is missing. */
static const char *pool_fault(struct mst_check *c, const struct mst_event *ev)
{
	const struct mst_pool_call *call = mst_op_pools(ev->op) ? mst_reader_pool_call(c->reader, ev) : NULL;
	bool is_first = c->last_pool_block == 0 && mst_reader_checkpoint(c->reader);
	size_t len;

	if (!call)
		return NULL;
	if (call->pool && !mst_dict_string(&c->reader->dict, call->pool, &len))
		return "a pool's name is in no table";
	if (call->alloc != 0 && !is_first && call->alloc != c->last_pool_block + 1)
		return "a block of a pool has not the number that follows";
	if (call->alloc != 0)
		c->last_pool_block = call->alloc;
	return (call->freed > c->last_pool_block && !is_first) || (call->alloc != 0 && call->freed == call->alloc)
		? "a pool releases a block of the future"
		: NULL;
}

static const char *event_fault(struct mst_check *c, const struct mst_event *ev)
{
	const struct mst_reader *r = c->reader;
	bool acquires = mst_op_acquires(ev->op) && !(ev->flags & MST_EV_FAILED);

	if (acquires)
		c->alloc_bytes += ev->size;
	if (c->alloc_bytes > MST_NUMBER_MAX)
		return "an event's size is out of range";
	if (ev->freed != 0 && ev->alloc != 0 && ev->freed >= ev->alloc)
		return "an event releases a block of the future";
	if (!is_whole(c))
		return NULL;
	if (!mst_reader_thread(r, ev->thread))
		return "an event's thread is in no table";
	if (ev->stack >= MST_STACK_FIRST && !mst_reader_stack(r, ev->stack))
		return "an event's stack is in no table";
	const struct mst_map_call *call = mst_op_maps(ev->op) ? mst_reader_map_call(r, ev) : NULL;
	size_t len;
	if (call && call->file && !mst_dict_string(&r->dict, call->file, &len))
		return "the file of a mapping is in no table";
	return pool_fault(c, ev);
}

/* Times of the order: LATE events apart, they never decrease. */
static const char *time_fault(struct mst_check *c, const struct mst_event *ev)
{
	uint64_t units = ev->time_ns >> c->evt.time_shift;

	if (ev->flags & MST_EV_LATE)
		return NULL;
	if (!c->has_order_time)
		c->first_units = units;
	else if (units < c->last_units)
		return "time goes back inside a frame";
	c->has_order_time = true;
	c->last_units = units;
	return NULL;
}

static const char *frame_fault(const struct mst_check *c)
{
	const struct mst_evt *e = &c->evt;

	if (c->n_free != e->n_free)
		return "the number of releases is not what the header says";
	if (c->n_late != e->n_late)
		return "the number of late events is not what the header says";
	if (c->alloc_bytes != e->alloc_bytes)
		return "the bytes acquired are not what the header says";
	if (c->has_order_time && (c->first_units != e->time_first || c->last_units != e->time_last))
		return "the times of the first and last event are not what the header says";
	return NULL;
}

static void check_event(struct mst_check *c, const struct mst_event *ev)
{
	const char *fault = event_fault(c, ev), *late = time_fault(c, ev);
	uint64_t old = mst_op_acquires(ev->op) ? ev->old_addr : ev->addr;

	if (mst_op_releases(ev->op) && !(ev->flags & MST_EV_FAILED) && (ev->freed != 0 || old != 0))
		c->n_free++;
	c->n_late += ev->flags & MST_EV_LATE ? 1u : 0u;
	c->failed += ev->flags & MST_EV_FAILED && mst_op_is_heap(ev->op) ? 1u : 0u;
	if (!fault)
		fault = late;
	if (++c->n_seen == c->frame.n_items && !fault)
		fault = frame_fault(c);
	if (fault)
		note(c, &c->frame, fault);
}

/* ---- the index -------------------------------------------------------------------------------------------- */

static bool same_entry(const struct mst_index_entry *a, const struct mst_index_entry *b)
{
	return a->offset == b->offset && a->size == b->size && a->seq == b->seq && a->kind == b->kind &&
		a->n_items == b->n_items && a->first_event == b->first_event && a->t_first_ns == b->t_first_ns &&
		a->t_last_ns == b->t_last_ns;
}

/* Every frame seen must stand in the index; an entry for a frame that was lost on the way is no fault. */
static const char *claims_fault(struct mst_check *c)
{
	size_t k = 0;

	for (; c->seen_upto < c->seen.n && k < c->claimed.n; k++) {
		const struct mst_index_entry *seen = &c->seen.entries[c->seen_upto];

		if (same_entry(seen, &c->claimed.entries[k]))
			c->seen_upto++;
		else if (is_whole(c) || seen->offset <= c->claimed.entries[k].offset)
			return "the index does not describe the frames";
	}
	return k < c->claimed.n && is_whole(c) ? "the index has more frames than the file" : NULL;
}

static int check_index(struct mst_check *c, const struct mst_frame *f)
{
	const uint8_t *raw;
	const char *why = "the header of an INDEX frame is too short";
	uint64_t previous;
	int rc;

	if (f->header_len < MST_INDEX_HEADER_LEN) {
		note(c, f, why);
		return 0;
	}
	previous = mst_load64(f->header + MST_AT_INDEX_PREVIOUS);
	if (previous == MST_NO_OFFSET)
		c->seen_upto = 0;
	else if (previous != c->last_index && is_whole(c))
		note(c, f, "an INDEX frame does not name the one before it");
	c->last_index = f->offset;
	c->claimed.n = 0;
	rc = mst_frame_unpack(c->reader->unpacker, f, &raw, &why);
	if (rc == 0)
		rc = mst_index_decode(&c->claimed, f->n_items, raw, f->raw_len, f->offset, &why);
	if (rc == 0)
		why = claims_fault(c);
	if (rc == MST_ENOMEM)
		return mst_problem_memory(&c->reader->problem);
	if (why)
		note(c, f, why);
	return 0;
}

/* ---- END -------------------------------------------------------------------------------------------------- */

static const char *end_fault(const struct mst_check *c)
{
	const struct mst_end *e = &c->reader->end;
	const struct mst_position *p = &c->reader->pos;

	if (e->totals.events > p->event)
		return NULL; /* some are missing behind the last frame, which the reader tells */
	if (e->index_offset != c->last_index)
		return "the END frame does not name the index";
	if (e->totals.events != p->event || e->totals.allocs + 1 != p->alloc || e->totals.allocated_bytes != p->bytes ||
		e->totals.live_blocks != p->live_blocks || e->totals.live_bytes != p->live_bytes)
		return "the totals of the END frame are not those of the events";
	if (e->totals.frees != c->frees || e->totals.failed != c->failed)
		return "the calls counted in the END frame are not those of the events";
	return NULL;
}

/* ---- the pass --------------------------------------------------------------------------------------------- */

static void tally(struct mst_check *c, const struct mst_frame *f, const struct mst_evt *evt)
{
	unsigned kind = f->kind < 31 ? f->kind : 31;
	struct mst_frame_info info = {
		.offset = f->offset, .seq = f->seq, .header_len = f->header_len, .stored_len = f->stored_len,
		.raw_len = f->raw_len, .n_items = f->n_items, .kind = f->kind, .codec = f->codec, .flags = f->flags,
	};

	c->result->n_frames++;
	c->result->frames_by_kind[kind]++;
	c->result->stored_by_kind[kind] += mst_frame_size(f);
	c->result->raw_by_kind[kind] += evt && f->codec == 0 ? mst_columns_raw_size(f->payload, f->stored_len) : f->raw_len;
	c->result->has_index |= f->kind == MST_KIND_INDEX;
	if (evt) {
		c->result->n_events += f->n_items;
		info.first_event = evt->first_event;
		info.t_first_ns = evt->time_first << evt->time_shift;
		info.t_last_ns = evt->time_last << evt->time_shift;
	}
	if (c->on_frame)
		c->on_frame(c->ctx, &info);
}

static int take_frame(void *ctx, const struct mst_frame *f, const struct mst_evt *evt)
{
	struct mst_check *c = ctx;
	int rc = 0;

	tally(c, f, evt);
	if (evt) {
		c->evt = *evt;
		c->frame = *f;
		c->n_seen = c->n_free = c->n_late = 0;
		c->alloc_bytes = 0;
		c->has_order_time = false;
		c->frees += evt->n_free;
	}
	if (f->kind == MST_KIND_CHECKPOINT && !c->reader->has_events) {
		c->frees = c->reader->checkpoint.frees;
		c->failed = c->reader->checkpoint.failed;
	}
	if (f->kind == MST_KIND_POOL && !c->reader->has_events)
		c->last_pool_block = c->reader->parts.pool.at.next_alloc - 1;
	if (f->kind == MST_KIND_INDEX)
		rc = check_index(c, f);
	else if (f->kind == MST_KIND_END && is_whole(c) && end_fault(c))
		note(c, f, end_fault(c));
	else if (f->kind != MST_KIND_END && mst_index_add(&c->seen, f, evt) < 0)
		rc = mst_problem_memory(&c->reader->problem);
	return rc == 0 && c->on_intact ? c->on_intact(c->ctx, f, evt) : rc;
}

static void tell_damage(void *ctx, const struct mst_damage *d)
{
	struct mst_check *c = ctx;

	if (c->on_damage)
		c->on_damage(c->ctx, d);
}

static int read_all(struct mst_check *c)
{
	const struct mst_event *events;
	size_t n;
	int rc;

	while ((rc = mst_reader_next_batch(c->reader, &events, &n)) > 0)
		for (size_t i = 0; i < n; i++)
			check_event(c, &events[i]);
	return rc;
}

/* What the pass found, as one code and one problem. */
static int verdict(const struct mst_check *c, struct mst_problem *problem)
{
	const struct mst_damages *d = &c->reader->damages;

	if (d->loss.places != 0) {
		if (problem && d->n != 0)
			*problem = d->list[0].problem;
		return MST_EDAMAGED;
	}
	if (d->loss.is_truncated)
		return mst_problem_set(problem, MST_EDAMAGED, c->result->bytes, MST_NO_FRAME,
			"the file ends before its END frame");
	return 0;
}

/* The reader is open: hooks in, then everything from the first frame on. */
static int run(struct mst_check *c, struct mst_problem *problem)
{
	struct mst_reader *r = c->reader;
	int rc;

	r->on_frame = take_frame;
	r->ctx = c;
	rc = read_all(c);
	c->result->bytes = r->scan.pos;
	c->result->has_end = r->has_end;
	c->result->loss = r->damages.loss;
	if (rc == 0 && c->on_end)
		rc = c->on_end(c->ctx, r);
	if (rc < 0) {
		if (problem && r->problem.code != 0)
			*problem = r->problem;
		return rc;
	}
	return verdict(c, problem);
}

int mst_check_run(struct mst_check *c, int fd, struct mst_problem *problem)
{
	unsigned kind;
	int rc;

	memset(c->result, 0, sizeof(*c->result));
	c->last_index = MST_NO_OFFSET;
	rc = mst_reader_new(fd, false, NULL, &c->reader);
	if (rc < 0)
		return mst_problem_memory(problem);
	c->reader->damages.on_damage = tell_damage;
	c->reader->damages.ctx = c;
	rc = mst_reader_find_start(c->reader, &kind);
	if (rc == 0)
		rc = run(c, problem);
	else if (problem)
		*problem = c->reader->problem;
	mst_reader_close(c->reader);
	mst_index_release(&c->seen);
	mst_index_release(&c->claimed);
	return rc;
}

int mst_verify(int fd, struct mst_verify_result *out, void (*on_frame)(void *ctx, const struct mst_frame_info *),
	void (*on_damage)(void *ctx, const struct mst_damage *), void *ctx, struct mst_problem *problem)
{
	struct mst_check c = {.result = out, .on_frame = on_frame, .on_damage = on_damage, .ctx = ctx};

	return mst_check_run(&c, fd, problem);
}

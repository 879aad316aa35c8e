#include "trim.h"

#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "problem.h"
#include "reader.h"
#include "spaces.h"

#define WRITE_AT ((size_t)1 << 20) /* bytes packed before they are written */

static int fail(struct mst_trim *t, int rc, const struct mst_problem *problem)
{
	if (problem && problem->code != 0)
		t->problem = *problem;
	else if (rc == MST_ENOMEM)
		mst_problem_memory(&t->problem);
	return rc;
}

static int give_up(struct mst_trim *t, const char *why)
{
	return mst_problem_set(&t->problem, MST_EARG, t->cut_offset, MST_NO_FRAME, "%s", why);
}

static int written(struct mst_trim *t, int rc)
{
	return rc < 0 ? fail(t, rc, &t->out->problem) : 0;
}

static void advance(const struct mst_trim *t, uint64_t done)
{
	if (t->pace)
		mst_pace_advance(t->pace, done);
}

static int write_if_much(struct mst_trim *t)
{
	return t->out->bytes.len < WRITE_AT ? 0 : written(t, mst_output_write(t->out));
}

/* ---- what is dropped -------------------------------------------------------------------------------------- */

/* A pool that has been called. Its counts are those of the events, and what a checkpoint before them says. */
struct pool {
	uint32_t name;
	char *spelled; /* what the replay's only_pool points to */
	struct mst_replay *replay;
	struct mst_checkpoint before;
};

struct dropped {
	struct mst_trim *trim;
	struct mst_reader *reader;
	struct mst_reader *ahead; /* of the same trace: its tables as far as they are written, with forks told late */
	struct mst_replay *replay;
	struct mst_spaces *spaces;
	struct pool *pools; /* in the order in which they are met */
	size_t n_pools, cap_pools;
	uint64_t next_pool_alloc;
	bool has_begun;
	struct mst_checkpoint_part part;
	unsigned time_shift; /* the least of all frames' */
	uint64_t frees, failed;
	struct mst_block *blocks; /* of the part at hand */
	uint32_t n_blocks;
};

static int see_frame(void *ctx, const struct mst_frame *f, const struct mst_evt *evt)
{
	struct dropped *d = ctx;

	if (!evt) {
		advance(d->trim, f->kind == MST_KIND_SAMPLE ? 0 : f->n_items);
		return 0;
	}
	d->frees += evt->n_free;
	if (evt->time_shift < d->time_shift)
		d->time_shift = evt->time_shift;
	return 0;
}

static bool is_at_cut(const struct mst_reader *r, uint64_t cut)
{
	return r->pos.event >= cut && r->slice_at == r->slice_n && r->slicer.at >= r->slicer.ev.n;
}

/* The pool of that name, which may be met for the first time. NULL without memory. */
static struct pool *pool_of(struct dropped *d, uint32_t name)
{
	struct mst_replay_options counting = {0};
	const char *text;
	struct pool *pool;
	size_t len = 0;

	for (size_t i = 0; i < d->n_pools; i++)
		if (d->pools[i].name == name)
			return &d->pools[i];
	if (mst_grow(&d->pools, &d->cap_pools, d->n_pools + 1, sizeof(*d->pools)) < 0)
		return NULL;
	pool = &d->pools[d->n_pools];
	text = mst_reader_string(d->reader, name, &len);
	*pool = (struct pool){.name = name, .spelled = strndup(text ? text : "", len)};
	counting.only_pool = pool->spelled;
	if (!pool->spelled || mst_replay_new(d->reader, &counting, &pool->replay) < 0) {
		free(pool->spelled);
		return NULL;
	}
	d->n_pools++;
	return pool;
}

/* The pools that the trace's own checkpoint has: their replays must begin with it. */
static int adopt_pools(struct dropped *d)
{
	const struct mst_checkpoint *c;
	uint32_t name;

	d->has_begun = true;
	d->next_pool_alloc = 1;
	for (size_t i = 0; (c = mst_reader_pool_checkpoint(d->reader, i, &name)); i++) {
		struct pool *pool = pool_of(d, name);

		if (!pool || mst_replay_apply_batch(pool->replay, NULL, 0) < 0)
			return MST_ENOMEM;
		pool->before = *c;
		d->next_pool_alloc = c->next_alloc;
	}
	return 0;
}

static int take_pool_call(struct dropped *d, const struct mst_event *ev)
{
	const struct mst_pool_call *call = mst_reader_pool_call(d->reader, ev);
	struct pool *pool;

	if (!call || call->pool == 0)
		return 0;
	pool = pool_of(d, call->pool);
	if (!pool)
		return MST_ENOMEM;
	if (call->alloc >= d->next_pool_alloc)
		d->next_pool_alloc = call->alloc + 1;
	return mst_replay_apply_batch(pool->replay, ev, 1);
}

static int take_events(struct dropped *d, const struct mst_event *events, size_t n)
{
	int rc = d->has_begun ? 0 : adopt_pools(d);

	for (size_t i = 0; i < n && rc == 0; i++) {
		bool is_pools = mst_op_pools(events[i].op);

		d->failed += events[i].flags & MST_EV_FAILED && mst_op_is_heap(events[i].op) ? 1u : 0u;
		rc = is_pools ? take_pool_call(d, &events[i]) : 0;
	}
	if (rc == 0)
		rc = mst_replay_apply_batch(d->replay, events, n);
	return rc == 0 ? mst_spaces_apply_batch(d->spaces, events, n) : rc;
}

static int replay_dropped(struct dropped *d)
{
	struct mst_trim *t = d->trim;
	struct mst_reader *r = d->reader;
	const struct mst_event *events;
	size_t n;

	while (!is_at_cut(r, t->cut_event)) {
		int rc = mst_reader_next_batch(r, &events, &n);

		if (rc < 0)
			return fail(t, rc, &r->problem);
		if (rc == 0 || atomic_load_explicit(&t->is_cancelled, memory_order_relaxed))
			return give_up(t, rc == 0 ? "the trace ends before the cut" : "cancelled");
		rc = take_events(d, events, n);
		if (rc < 0)
			return fail(t, rc, NULL);
		advance(t, n);
	}
	if (r->pos.event != t->cut_event || r->damages.loss.places != 0)
		return give_up(t, "the frames to be dropped are not sound");
	if (mst_replay_totals(d->replay)->live_blocks != r->pos.live_blocks ||
		mst_replay_totals(d->replay)->live_bytes != r->pos.live_bytes)
		return give_up(t, "the live set at the cut is not what the frames say");
	return 0;
}

/* ---- the new beginning ------------------------------------------------------------------------------------ */

/* The dictionaries as they are at the cut. */
static int write_tables(struct dropped *d)
{
	static const unsigned kinds[] = {MST_KIND_STRING, MST_KIND_MODULE, MST_KIND_CODE, MST_KIND_STACK, MST_KIND_PROC,
		MST_KIND_THREAD, MST_KIND_MAP, MST_KIND_REGION,
		MST_KIND_LOSS, MST_KIND_API, MST_KIND_SYM};
	const struct mst_ledger all = {.dict = d->reader->dict}; /* borrowed */
	struct mst_pages pages = {0};
	int rc = mst_output_header(d->trim->out, &d->reader->header, 0);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && rc == 0; i++) {
		mst_pages_clear(&pages);
		rc = mst_ledger_all(&all, kinds[i], &pages);
		if (rc == 0)
			rc = mst_output_pages(d->trim->out, &pages, 0);
		if (rc == 0)
			rc = mst_output_write(d->trim->out);
		for (size_t page = 0; page < pages.n; page++)
			advance(d->trim, pages.pages[page].n_items);
	}
	mst_pages_release(&pages);
	return written(d->trim, rc);
}

static int write_part(struct dropped *d)
{
	int rc = mst_output_checkpoint(d->trim->out, &d->part, d->blocks, d->n_blocks);

	d->part.first_block += d->n_blocks;
	advance(d->trim, d->n_blocks);
	d->n_blocks = 0;
	return rc < 0 ? written(d->trim, rc) : write_if_much(d->trim);
}

static int add_block(void *ctx, const struct mst_block *b)
{
	struct dropped *d = ctx;

	d->blocks[d->n_blocks++] = *b;
	if (d->n_blocks < MST_CHECKPOINT_BLOCKS_MAX)
		return 0;
	if (atomic_load_explicit(&d->trim->is_cancelled, memory_order_relaxed))
		return give_up(d->trim, "cancelled");
	return write_part(d);
}

/* The higher of the two peaks is the peak. */
static void join(struct mst_checkpoint *c, const struct mst_checkpoint *before)
{
	c->frees += before->frees;
	c->failed += before->failed;
	if (before->peak_bytes < c->peak_bytes)
		return;
	c->peak_bytes = before->peak_bytes;
	c->peak_event = before->peak_event;
	c->peak_time_ns = before->peak_time_ns;
}

static struct mst_checkpoint place_of(const struct dropped *d)
{
	const struct mst_position *pos = &d->reader->pos;
	const struct mst_checkpoint *before = mst_reader_checkpoint(d->reader);
	struct mst_checkpoint c = {
		.event = pos->event,
		.next_alloc = pos->alloc,
		.time_ns = pos->time_ns,
		.live_blocks = pos->live_blocks,
		.live_bytes = pos->live_bytes,
		.allocated_bytes = pos->bytes,
		.frees = d->frees,
		.failed = d->failed,
		.peak_bytes = mst_replay_totals(d->replay)->peak_bytes,
		.peak_event = mst_replay_peak_event(d->replay),
		.peak_time_ns = mst_replay_peak_time_ns(d->replay),
	};

	for (size_t i = 0; i < d->reader->dict.n_losses; i++)
		c.lost_events += d->reader->dict.losses[i].events;
	if (before)
		join(&c, before);
	return c;
}

static struct mst_checkpoint place_of_pool(const struct dropped *d, const struct pool *pool)
{
	const struct mst_counters *total = mst_replay_totals(pool->replay);
	struct mst_checkpoint c = {
		.event = d->reader->pos.event,
		.next_alloc = d->next_pool_alloc,
		.time_ns = d->reader->pos.time_ns,
		.live_blocks = total->live_blocks,
		.live_bytes = total->live_bytes,
		.allocated_bytes = pool->before.allocated_bytes + total->allocated_bytes,
		.frees = total->frees,
		.failed = total->failed,
		.peak_bytes = total->peak_bytes,
		.peak_event = mst_replay_peak_event(pool->replay),
		.peak_time_ns = mst_replay_peak_time_ns(pool->replay),
	};

	join(&c, &pool->before);
	return c;
}

/* What lives in a replay, in as many parts as it takes. */
static int write_live(struct dropped *d, const struct mst_replay *replay, const struct mst_checkpoint *at, uint32_t pool)
{
	int rc;

	d->part = (struct mst_checkpoint_part){.at = *at, .time_shift = (uint8_t)d->time_shift, .pool = pool};
	rc = mst_replay_each_live(replay, add_block, d);
	if (rc == 0 && (d->n_blocks != 0 || d->part.first_block == 0))
		rc = write_part(d);
	if (rc == 0)
		rc = written(d->trim, mst_output_write(d->trim->out));
	return rc == MST_ENOMEM ? fail(d->trim, rc, NULL) : rc;
}

/* What a process has mapped, in as many parts as it takes: each with as many rows and pieces as a frame may have. */
static int write_space(struct dropped *d, uint32_t process, const struct mst_space *space)
{
	struct mst_space_rows all, some;
	struct mst_space_part part = {
		.event = d->reader->pos.event,
		.peak_bytes = d->spaces->totals.peak_bytes,
		.peak_ns = d->spaces->totals.peak_ns,
		.own_peak_bytes = space->peak_bytes,
		.own_peak_ns = space->peak_ns,
		.process = process,
	};
	int rc = mst_space_rows_of(&space->at, &all);

	if (rc < 0)
		return fail(d->trim, rc, NULL);
	part.n_rows = all.n;
	some = (struct mst_space_rows){.rows = all.rows, .pieces = all.pieces};
	do {
		some.n = some.n_pieces = 0;
		while (part.first_row + some.n < all.n && some.n < MST_SPACE_ROWS_MAX &&
			some.n_pieces + some.rows[some.n].n_pieces <= MST_SPACE_ROWS_MAX)
			some.n_pieces += some.rows[some.n++].n_pieces;
		rc = mst_output_space(d->trim->out, &part, &some);
		part.first_row += some.n;
		some.rows += some.n;
		some.pieces += some.n_pieces;
	} while (rc == 0 && part.first_row < all.n);
	mst_space_rows_release(&all);
	return rc < 0 ? written(d->trim, rc) : write_if_much(d->trim);
}

/* A forked child that has ended and left nothing of its own says nothing. */
static bool is_worth_a_frame(const struct dropped *d, uint32_t process, const struct mst_space *space)
{
	const struct mst_process *p = mst_reader_process(d->ahead, process);

	return !space->is_ended || space->at.n_pieces != 0 || !p || p->origin != MST_ORIGIN_FORK;
}

static int write_spaces(struct dropped *d)
{
	int rc = 0;

	for (uint32_t id = 1; id < d->spaces->cap && rc == 0; id++) {
		const struct mst_space *space = d->spaces->spaces[id];

		if (space && is_worth_a_frame(d, id, space))
			rc = write_space(d, id, space);
		if (rc == 0 && atomic_load_explicit(&d->trim->is_cancelled, memory_order_relaxed))
			rc = give_up(d->trim, "cancelled");
	}
	return rc == 0 ? written(d->trim, mst_output_write(d->trim->out)) : rc;
}

static int write_checkpoint(struct dropped *d)
{
	struct mst_checkpoint at = place_of(d);
	int rc;

	d->blocks = malloc(MST_CHECKPOINT_BLOCKS_MAX * sizeof(*d->blocks));
	if (!d->blocks)
		return fail(d->trim, MST_ENOMEM, NULL);
	rc = write_live(d, d->replay, &at, 0);
	for (size_t i = 0; i < d->n_pools && rc == 0; i++) {
		at = place_of_pool(d, &d->pools[i]);
		rc = write_live(d, d->pools[i].replay, &at, d->pools[i].name);
	}
	free(d->blocks);
	return rc == 0 ? write_spaces(d) : rc;
}

/* ---- both ------------------------------------------------------------------------------------------------- */

static int open_both(struct dropped *d)
{
	struct mst_trim *t = d->trim;
	int rc = mst_reader_open_fd(t->in, NULL, &d->reader, &t->problem);

	if (rc == 0)
		rc = mst_reader_open_fd(t->in, NULL, &d->ahead, &t->problem);
	if (rc < 0)
		return rc;
	rc = mst_reader_load_tables(d->ahead);
	if (rc < 0)
		return fail(t, rc, &d->ahead->problem);
	d->reader->on_frame = see_frame;
	d->reader->ctx = d;
	rc = mst_replay_new(d->reader, NULL, &d->replay);
	if (rc == 0)
		rc = mst_spaces_new(d->reader, NULL, &d->spaces);
	if (rc < 0)
		return fail(t, rc, NULL);
	d->spaces->names = d->ahead;
	d->spaces->keeps_ended = true;
	return 0;
}

static void close_both(struct dropped *d)
{
	for (size_t i = 0; i < d->n_pools; i++) {
		mst_replay_free(d->pools[i].replay);
		free(d->pools[i].spelled);
	}
	free(d->pools);
	mst_spaces_free(d->spaces);
	mst_replay_free(d->replay);
	mst_reader_close(d->ahead);
	mst_reader_close(d->reader);
}

int mst_trim_begin(struct mst_trim *t)
{
	struct dropped d = {.trim = t, .time_shift = MST_TIME_SHIFT_MAX};
	int rc = open_both(&d);

	if (rc == 0)
		rc = replay_dropped(&d);
	if (rc == 0)
		rc = write_tables(&d);
	if (rc == 0)
		rc = write_checkpoint(&d);
	t->base_bytes = t->out->offset;
	close_both(&d);
	return rc;
}

/* ---- what is kept ----------------------------------------------------------------------------------------- */

static int copy_frame(struct mst_trim *t, const struct mst_frame *f)
{
	struct mst_evt evt;
	const char *why;
	bool is_evt = f->kind == MST_KIND_EVT;

	if (is_evt && !mst_evt_load(f, &evt, &why))
		return give_up(t, why);
	if (mst_output_copy(t->out, f, is_evt ? &evt : NULL) < 0)
		return written(t, t->out->rc);
	return write_if_much(t);
}

int mst_trim_copy(struct mst_trim *t, uint64_t from, uint64_t to)
{
	struct mst_source source;
	struct mst_scan scan;
	int rc = 0;

	mst_source_init(&source, t->in, false);
	mst_scan_init(&scan, &source);
	scan.file_id = t->out->file_id;
	while (from < to && rc == 0) {
		struct mst_frame f;
		struct mst_gap gap;

		scan.pos = from;
		scan.pad = 0;
		rc = mst_scan_next(&scan, &f, &gap, &t->problem);
		if (rc == MST_SCAN_FRAME) {
			from += mst_frame_size(&f);
			rc = copy_frame(t, &f);
			advance(t, mst_frame_size(&f) / MST_TRIM_COPIED_PER_WORK);
		} else if (rc >= 0) {
			rc = give_up(t, "the frames to be kept are not sound");
		}
		if (rc == 0 && atomic_load_explicit(&t->is_cancelled, memory_order_relaxed))
			rc = give_up(t, "cancelled");
	}
	mst_source_release(&source);
	return rc == 0 ? written(t, mst_output_write(t->out)) : rc;
}

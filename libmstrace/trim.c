#include "trim.h"

#include <stdlib.h>

#include "problem.h"
#include "reader.h"

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

static int write_if_much(struct mst_trim *t)
{
	return t->out->bytes.len < WRITE_AT ? 0 : written(t, mst_output_write(t->out));
}

/* ---- what is dropped -------------------------------------------------------------------------------------- */

struct dropped {
	struct mst_trim *trim;
	struct mst_reader *reader;
	struct mst_replay *replay;
	struct mst_checkpoint_part part;
	unsigned time_shift; /* the least of all frames' */
	uint64_t frees, failed;
	struct mst_block *blocks; /* of the part at hand */
	uint32_t n_blocks;
};

static int see_frame(void *ctx, const struct mst_frame *f, const struct mst_evt *evt)
{
	struct dropped *d = ctx;

	(void)f;
	if (!evt)
		return 0;
	d->frees += evt->n_free;
	if (evt->time_shift < d->time_shift)
		d->time_shift = evt->time_shift;
	return 0;
}

static bool is_at_cut(const struct mst_reader *r, uint64_t cut)
{
	return r->pos.event >= cut && r->slice_at == r->slice_n && r->slicer.at >= r->slicer.ev.n;
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
		for (size_t i = 0; i < n; i++)
			d->failed += events[i].flags & MST_EV_FAILED ? 1u : 0u;
		rc = mst_replay_apply_batch(d->replay, events, n);
		if (rc < 0)
			return fail(t, rc, NULL);
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
	}
	mst_pages_release(&pages);
	return written(d->trim, rc);
}

static int write_part(struct dropped *d)
{
	int rc = mst_output_checkpoint(d->trim->out, &d->part, d->blocks, d->n_blocks);

	d->part.first_block += d->n_blocks;
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
	if (!before)
		return c;
	c.frees += before->frees;
	c.failed += before->failed;
	if (before->peak_bytes >= c.peak_bytes) {
		c.peak_bytes = before->peak_bytes;
		c.peak_event = before->peak_event;
		c.peak_time_ns = before->peak_time_ns;
	}
	return c;
}

static int write_checkpoint(struct dropped *d)
{
	int rc;

	d->part = (struct mst_checkpoint_part){.at = place_of(d), .time_shift = (uint8_t)d->time_shift};
	d->blocks = malloc(MST_CHECKPOINT_BLOCKS_MAX * sizeof(*d->blocks));
	if (!d->blocks)
		return fail(d->trim, MST_ENOMEM, NULL);
	rc = mst_replay_each_live(d->replay, add_block, d);
	if (rc == 0 && (d->n_blocks != 0 || d->part.first_block == 0))
		rc = write_part(d);
	if (rc == 0)
		rc = written(d->trim, mst_output_write(d->trim->out));
	free(d->blocks);
	return rc == MST_ENOMEM ? fail(d->trim, rc, NULL) : rc;
}

int mst_trim_begin(struct mst_trim *t)
{
	struct dropped d = {.trim = t, .time_shift = MST_TIME_SHIFT_MAX};
	int rc = mst_reader_open_fd(t->in, NULL, &d.reader, &t->problem);

	if (rc < 0)
		return rc;
	d.reader->on_frame = see_frame;
	d.reader->ctx = &d;
	rc = mst_replay_new(d.reader, NULL, &d.replay);
	if (rc < 0)
		fail(t, rc, NULL);
	if (rc == 0)
		rc = replay_dropped(&d);
	if (rc == 0)
		rc = write_tables(&d);
	if (rc == 0)
		rc = write_checkpoint(&d);
	t->base_bytes = t->out->offset;
	mst_replay_free(d.replay);
	mst_reader_close(d.reader);
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
		} else if (rc >= 0) {
			rc = give_up(t, "the frames to be kept are not sound");
		}
		if (rc == 0 && atomic_load_explicit(&t->is_cancelled, memory_order_relaxed))
			rc = give_up(t, "cancelled");
	}
	mst_source_release(&source);
	return rc == 0 ? written(t, mst_output_write(t->out)) : rc;
}

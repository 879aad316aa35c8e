/* salvage.c - the intact frames of a file, bit for bit, closed anew.
 *
 * Frames are copied as they are, numbers and all: what is missing stays visible as gaps in the numbering, and a reader
 * of the salvaged file names the same loss as a reader of the damaged one. */
#include "salvage.h"

#include "problem.h"
#include "verify.h"

struct salvage {
	struct mst_output out;
	int fd;
	bool has_output;    /* the first frame, which tells the file's id, has been seen */
	bool has_tail;      /* an INDEX or END has been seen behind the last frame copied ... */
	uint64_t tail_seq;  /* ... and this was its number: what the new one gets */
	struct mst_check check;
	struct mst_problem problem;
	int (*add)(void *ctx, const struct mst_reader *r, struct mst_output *out); /* NULL: nothing is added */
	void *add_ctx;
};

static int start_output(struct salvage *s, const struct mst_frame *f)
{
	if (s->has_output)
		return 0;
	if (mst_output_init(&s->out, s->fd, f->file_id, 0) < 0) {
		mst_output_release(&s->out);
		return mst_problem_memory(&s->problem);
	}
	s->has_output = true;
	return 0;
}

static int copy_frame(void *ctx, const struct mst_frame *f, const struct mst_evt *evt)
{
	static const uint8_t zeros[MST_FRAME_ALIGN];
	struct salvage *s = ctx;
	struct mst_frame copy = *f;
	size_t len = f->header_len + (size_t)f->stored_len;

	if (f->kind == MST_KIND_INDEX || f->kind == MST_KIND_END) {
		if (!s->has_tail)
			s->tail_seq = f->seq;
		s->has_tail = true;
		return 0;
	}
	if (start_output(s, f) < 0)
		return MST_ENOMEM;
	s->has_tail = false;
	s->out.seq = f->seq + 1;
	copy.offset = s->out.offset;
	if (mst_index_add(&s->out.index, &copy, evt) < 0)
		return mst_problem_memory(&s->problem);
	/* Header and payload stand together in the reader's window. */
	if (mst_output_raw(&s->out, f->header, len) < 0 ||
		mst_output_raw(&s->out, zeros, (size_t)mst_frame_size(f) - len) < 0) {
		s->problem = s->out.problem;
		return s->out.rc;
	}
	return 0;
}

/* Totals from the old END if it was intact, else what the frames add up to. */
static struct mst_totals totals_of(const struct salvage *s, const struct mst_reader *r)
{
	struct mst_totals t = {.exit_status = -1};

	if (r->end_known && r->end.totals.events >= r->pos.event)
		return r->end.totals;
	t.events = r->pos.event;
	t.allocs = r->pos.alloc - 1;
	t.allocated_bytes = r->pos.bytes;
	t.live_blocks = r->pos.live_blocks;
	t.live_bytes = r->pos.live_bytes;
	t.frees = s->check.frees;
	t.failed = s->check.failed;
	t.duration_ns = r->pos.time_ns;
	for (size_t i = 0; i < r->dict.n_losses; i++) {
		t.lost_events += r->dict.losses[i].events;
		t.lost_bytes += r->dict.losses[i].bytes;
	}
	return t;
}

/* What was whole is as clean as it was, what has lost something is not. */
static uint32_t flags_of(const struct salvage *s, const struct mst_reader *r)
{
	bool is_whole = r->end_known && s->has_tail && s->check.result->loss.places == 0;

	if (is_whole)
		return r->end.flags;
	return (r->end_known ? r->end.flags & ~(uint32_t)MST_END_CLEAN : 0) | MST_END_SALVAGED;
}

static int close_output(void *ctx, const struct mst_reader *r)
{
	struct salvage *s = ctx;
	struct mst_totals totals = totals_of(s, r);

	if (!s->has_output)
		return mst_problem_set(&s->problem, MST_ENOTRACE, 0, MST_NO_FRAME, "no frame is worth keeping");
	if (s->has_tail && s->tail_seq > s->out.seq && s->tail_seq <= MST_SEQ_MAX - MST_SEQ_TAIL)
		s->out.seq = s->tail_seq;
	if (s->add) {
		int rc = s->add(s->add_ctx, r, &s->out);

		if (rc < 0)
			return mst_problem_set(&s->problem, rc, s->out.offset, s->out.seq, "what was to be added is invalid");
	}
	mst_output_end(&s->out, &totals, flags_of(s, r));
	if (mst_output_write(&s->out) < 0)
		s->problem = s->out.problem;
	return s->out.rc;
}

int mst_salvage_and_add(int in, int out,
	int (*add)(void *ctx, const struct mst_reader *r, struct mst_output *out), void *ctx,
	struct mst_verify_result *result, struct mst_problem *problem)
{
	struct salvage s = {.fd = out, .add = add, .add_ctx = ctx};
	int rc;

	s.check = (struct mst_check){
		.result = result, .on_intact = copy_frame, .on_end = close_output, .ctx = &s};
	rc = mst_check_run(&s.check, in, problem);
	if (rc < 0 && s.problem.code != 0 && problem)
		*problem = s.problem;
	if (s.has_output)
		mst_output_release(&s.out);
	/* Damage in the input is what salvage is for. */
	return rc == MST_EDAMAGED ? 0 : rc;
}

int mst_salvage(int in, int out, struct mst_verify_result *result, struct mst_problem *problem)
{
	return mst_salvage_and_add(in, out, NULL, NULL, result, problem);
}

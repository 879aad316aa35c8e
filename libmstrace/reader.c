/* reader.c - frames in order, what they must agree on, and what is missing between them (FORMAT.md "Reading").
 *
 * The scan says which frames are intact. Here they are held against each other: seq against seq, event numbers against
 * event numbers, so that a loss is named and counted, and nothing is given out twice or out of order. */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "header.h"
#include "problem.h"

/* ---- damage ----------------------------------------------------------------------------------------------- */

/* A damaged place. events: UINT64_MAX if only the next event frame can tell; f: the frame concerned, or NULL. */
static void note(struct mst_reader *r, uint64_t offset, uint64_t length, const struct mst_frame *f,
	uint64_t first_event, uint64_t events, const char *why)
{
	struct mst_damage d = {.offset = offset, .length = length, .first_event = first_event, .events = events};

	mst_problem_set(&d.problem, MST_EDAMAGED, offset, f ? f->seq : MST_NO_FRAME, "%s", why);
	mst_damages_add(&r->damages, &d, events != UINT64_MAX);
}

/* An intact frame that cannot be used. */
static void note_frame(struct mst_reader *r, const struct mst_frame *f, uint64_t events, const char *why)
{
	note(r, f->offset, mst_frame_size(f), f, r->pos.event, events, why);
}

/* ---- tables and facts ------------------------------------------------------------------------------------- */

static int take_header(struct mst_reader *r, const struct mst_frame *f, const uint8_t *raw, const char **why)
{
	int rc;

	if (r->has_header)
		return 0;
	rc = mst_header_decode(raw, f->raw_len, f->n_items, &r->header, &r->header_text, why);
	r->has_header = rc == 0;
	return rc;
}

static int take_end(struct mst_reader *r, const struct mst_frame *f, const char **why)
{
	struct mst_end end;

	if (!mst_end_load(f, &end, why))
		return MST_EDAMAGED;
	r->end = end;
	r->end_known = true;
	return 0;
}

/* What is to be known of a checkpoint before it is read in its turn. */
static int take_checkpoint(struct mst_reader *r, const struct mst_frame *f)
{
	struct mst_checkpoint_part p;
	const char *why;

	if (!r->has_checkpoint && mst_checkpoint_load(f, &p, &why)) {
		r->checkpoint = p.at;
		r->has_checkpoint = true;
	}
	return 0;
}

int mst_reader_take(struct mst_reader *r, const struct mst_frame *f, const char **why)
{
	const uint8_t *raw;
	int rc;

	if (f->kind == MST_KIND_END)
		return take_end(r, f, why);
	if (f->kind == MST_KIND_CHECKPOINT)
		return take_checkpoint(r, f);
	if (f->kind != MST_KIND_HEADER && !mst_dict_is_table(f->kind))
		return 0;
	rc = mst_frame_unpack(r->unpacker, f, &raw, why);
	if (rc == 0)
		rc = f->kind == MST_KIND_HEADER ? take_header(r, f, raw, why)
			: mst_dict_decode(&r->dict, f->kind, f->n_items, raw, f->raw_len, why);
	return rc;
}

static int fail(struct mst_reader *r, int rc, const struct mst_frame *f, const char *why)
{
	if (rc == MST_ENOMEM)
		return mst_problem_memory(&r->problem);
	return mst_problem_set(&r->problem, rc, f->offset, f->seq, "%s", why);
}

/* Samples are checked in any case, and kept if somebody takes them. */
static int read_samples(struct mst_reader *r, const struct mst_frame *f, const char **why)
{
	const uint8_t *raw;
	int rc;

	if (!r->wants_samples || r->sample_at == r->samples.n)
		r->samples.n = r->sample_at = 0;
	rc = mst_frame_unpack(r->unpacker, f, &raw, why);
	if (rc == 0)
		rc = mst_samples_decode(raw, f->raw_len, f->n_items, &r->samples, why);
	r->has_new_samples = rc == 0 && r->wants_samples;
	if (!r->wants_samples)
		r->samples.n = 0;
	return rc;
}

/* A frame that is not of events, in its turn. */
static int read_other(struct mst_reader *r, const struct mst_frame *f)
{
	const char *why = "";
	int rc = 0;

	if (f->kind == MST_KIND_SAMPLE) {
		rc = read_samples(r, f, &why);
	} else if (f->offset >= r->tables_upto && !r->tables_loaded) {
		rc = mst_reader_take(r, f, &why);
		r->tables_upto = f->offset + mst_frame_size(f);
	} else if (f->kind == MST_KIND_END) {
		rc = take_end(r, f, &why);
	}
	if (rc == MST_EDAMAGED) {
		note_frame(r, f, 0, why);
		return 0;
	}
	if (rc < 0)
		return fail(r, rc, f, why);
	r->has_end = f->kind == MST_KIND_END;
	return r->on_frame ? r->on_frame(r->ctx, f, NULL) : 0;
}

/* A part of a checkpoint in its turn. The events before it were dropped on purpose: none of them is missing. */
static int read_checkpoint(struct mst_reader *r, const struct mst_frame *f)
{
	const char *why = "";
	int rc = mst_reader_take_part(r, f, &why);

	if (!r->has_events && f->kind == MST_KIND_CHECKPOINT)
		mst_damages_settle(&r->damages, 0);
	if (rc == MST_EDAMAGED) {
		note_frame(r, f, 0, why);
		return 0;
	}
	if (rc < 0)
		return fail(r, rc, f, why);
	r->has_end = false;
	return r->on_frame ? r->on_frame(r->ctx, f, NULL) : 0;
}

/* ---- events ----------------------------------------------------------------------------------------------- */

/* What was released in a gap: acquired before and in it, minus what lives behind it. */
static void add_uncertain(struct mst_reader *r, uint64_t alloc, uint64_t bytes, uint64_t live_blocks,
	uint64_t live_bytes)
{
	uint64_t blocks_in = r->pos.live_blocks + (alloc - r->pos.alloc);
	uint64_t bytes_in = r->pos.live_bytes + (bytes - r->pos.bytes);

	if (alloc < r->pos.alloc || bytes < r->pos.bytes || blocks_in < live_blocks || bytes_in < live_bytes)
		return; /* the counts are lies; the checks that follow say so */
	r->damages.loss.uncertain_blocks += blocks_in - live_blocks;
	r->damages.loss.uncertain_bytes += bytes_in - live_bytes;
}

/* The events between the last frame and number `event` are missing. */
static void settle_events(struct mst_reader *r, uint64_t event, uint64_t offset, const struct mst_frame *f)
{
	uint64_t lost = event - r->pos.event;

	if (!r->damages.is_open && lost != 0)
		note(r, offset, 0, f, r->pos.event, UINT64_MAX, "events are missing before this frame");
	mst_damages_settle(&r->damages, lost);
}

/* Holds an event frame's header against what came before. False: it contradicts that and must not be used. */
static bool continues(const struct mst_position *p, const struct mst_evt *e, const char **why)
{
	uint64_t missing = e->first_event - p->event;

	*why = "event numbers overlap those before";
	if (e->first_event < p->event)
		return false;
	*why = "allocation ordinals do not continue those before";
	if (e->first_alloc < p->alloc || e->first_alloc - p->alloc > missing)
		return false;
	*why = "time goes back";
	if (e->time_first << e->time_shift < p->time_ns)
		return false;
	*why = "live totals do not continue those before";
	return missing != 0 || (e->live_blocks == p->live_blocks && e->live_bytes == p->live_bytes &&
		e->bytes_before == p->bytes);
}

/* Settles what is missing before an event frame that continues what came before. */
static void settle_gap(struct mst_reader *r, const struct mst_frame *f, const struct mst_evt *e)
{
	if (!r->pos.is_known) {
		mst_damages_settle(&r->damages, UINT64_MAX);
		return;
	}
	if (e->first_event != r->pos.event)
		add_uncertain(r, e->first_alloc, e->bytes_before, e->live_blocks, e->live_bytes);
	settle_events(r, e->first_event, f->offset, f);
}

static bool live_after(const struct mst_frame *f, const struct mst_evt *e, struct mst_position *next, const char **why)
{
	uint64_t blocks = e->live_blocks + e->n_alloc, bytes = e->live_bytes + e->alloc_bytes;
	uint64_t gone = e->n_free - e->n_unowned;

	*why = "more is released than lives";
	if (blocks < gone || bytes < e->freed_bytes)
		return false;
	*next = (struct mst_position){
		.seq = f->seq + 1,
		.event = e->first_event + f->n_items,
		.alloc = e->first_alloc + e->n_alloc,
		.bytes = e->bytes_before + e->alloc_bytes,
		.live_blocks = blocks - gone,
		.live_bytes = bytes - e->freed_bytes,
		.time_ns = e->time_last << e->time_shift,
		.is_known = true,
	};
	return true;
}

static const char *gap_sentence(enum mst_gap_cause cause)
{
	static const char *const sentences[] = {
		[MST_GAP_HEADER] = "no intact frame header",
		[MST_GAP_PAYLOAD] = "payload checksum mismatch",
		[MST_GAP_CUT] = "the file ends inside a frame",
		[MST_GAP_ZEROS] = "nothing but zeros to the end of the file",
		[MST_GAP_FOREIGN] = "a frame of another trace",
		[MST_GAP_PAD] = "padding that is not zero",
	};

	return sentences[cause];
}

/* A payload is lost and its header is not: if the header fits the order, what is lost is known exactly. Returns the
 * number of events, or UINT64_MAX if only the next event frame can tell. */
static uint64_t account_lost_frame(struct mst_reader *r, const struct mst_frame *f)
{
	struct mst_checkpoint_part part;
	struct mst_position next;
	struct mst_evt e;
	const char *why;

	if (!r->pos.is_known || f->seq != r->pos.seq || r->damages.is_open)
		return UINT64_MAX;
	if (f->kind == MST_KIND_EVT) {
		if (!mst_evt_load(f, &e, &why) || !live_after(f, &e, &next, &why) || !continues(&r->pos, &e, &why))
			return UINT64_MAX;
		r->pos = next;
		r->damages.loss.uncertain_blocks += e.n_free - e.n_unowned;
		r->damages.loss.uncertain_bytes += e.freed_bytes;
		r->has_events = true;
	} else {
		r->pos.seq++;
		if (f->kind == MST_KIND_CHECKPOINT && mst_reader_enter_checkpoint(r, f, &part, &why))
			r->parts.heap.is_missing = true;
	}
	r->damages.loss.frames++;
	return f->kind == MST_KIND_EVT ? f->n_items : 0;
}

static void note_gap(struct mst_reader *r, const struct mst_gap *g)
{
	uint64_t first_event = r->pos.event;
	uint64_t events = UINT64_MAX;

	if (g->frame_known)
		events = account_lost_frame(r, &g->frame);
	else if (g->cause == MST_GAP_PAD || g->cause == MST_GAP_ZEROS || g->cause == MST_GAP_FOREIGN)
		events = 0;
	note(r, g->offset, g->length, g->frame_known ? &g->frame : NULL, first_event, events, gap_sentence(g->cause));
}

/* An event frame has been met: the checkpoint before the first one must be whole. */
static void end_checkpoint(struct mst_reader *r, const struct mst_frame *f)
{
	const char *fault = r->has_events ? NULL : mst_reader_end_checkpoint(r);

	r->has_events = true;
	if (fault && r->damages.loss.places == 0)
		note_frame(r, f, 0, fault);
}

/* 1: the frame's events are ready; 0: it cannot be used, and why is noted; negative: reading ends. */
static int read_events(struct mst_reader *r, const struct mst_frame *f)
{
	struct mst_position next;
	struct mst_events ev;
	struct mst_evt e;
	const char *why;
	unsigned columns = r->columns | (r->skip_until_ns ? (unsigned)MST_COL_TIME : 0u);
	int rc;

	if (!mst_evt_load(f, &e, &why) || !live_after(f, &e, &next, &why) ||
		(r->pos.is_known && !continues(&r->pos, &e, &why))) {
		note_frame(r, f, UINT64_MAX, why);
		return 0;
	}
	settle_gap(r, f, &e);
	end_checkpoint(r, f);
	if (!r->decoder && mst_event_decoder_new(&r->decoder) < 0)
		return mst_problem_memory(&r->problem);
	ev = (struct mst_events){.n = f->n_items, .first_alloc = e.first_alloc, .first_time = e.time_base};
	why = "an event frame must be stored, not compressed as a whole";
	rc = f->codec == MST_CODEC_STORED ? mst_event_decode(r->decoder, f->payload, f->stored_len, columns, &ev, &why)
		: MST_EDAMAGED;
	if (rc == 0 && ev.n_alloc != e.n_alloc) {
		why = "the number of acquisitions is not what the header says";
		rc = MST_EDAMAGED;
	}
	r->pos = next;
	if (rc == MST_EDAMAGED) {
		r->pos.event = e.first_event;
		note_frame(r, f, f->n_items, why);
		r->pos = next;
		return 0;
	}
	if (rc < 0)
		return fail(r, rc, f, why);
	r->has_end = false;
	if (r->parts.is_given) /* whoever replays the events has begun with the frame before */
		mst_reader_forget_parts(r);
	r->parts.is_given = true;
	mst_slicer_begin(&r->slicer, &ev, &e);
	rc = r->on_frame ? r->on_frame(r->ctx, f, &e) : 0;
	return rc < 0 ? rc : 1;
}

/* ---- order of frames -------------------------------------------------------------------------------------- */

/* A frame with a higher number than expected is either behind a gap or not in its place; the frame behind it tells. */
static int is_misplaced(struct mst_reader *r, struct mst_frame *f)
{
	struct mst_frame after;
	int rc = mst_scan_peek(&r->scan, f->offset + mst_frame_size(f), &after, &r->problem);
	int found = rc;

	if (rc >= 0)
		rc = mst_scan_reload(&r->scan, f, &r->problem);
	if (rc < 0)
		return rc;
	return found && after.seq >= r->pos.seq && after.seq < f->seq;
}

/* 1: f is the next frame; 0: it is not in its place, which is noted. */
static int check_order(struct mst_reader *r, struct mst_frame *f)
{
	uint64_t missing = f->seq - r->pos.seq;
	int rc;

	if (!r->pos.is_known || missing == 0)
		return 1;
	if (f->seq < r->pos.seq) {
		note_frame(r, f, 0, "a frame stands here a second time, or too late");
		return 0;
	}
	rc = r->damages.is_open ? 0 : is_misplaced(r, f);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		note_frame(r, f, 0, "a frame stands here too early");
		return 0;
	}
	r->damages.loss.frames += missing;
	if (!r->damages.is_open)
		note(r, f->offset, 0, f, r->pos.event, UINT64_MAX, "frames are missing before this one");
	return 1;
}

static bool is_checkpoint_kind(unsigned kind)
{
	return kind == MST_KIND_CHECKPOINT || kind == MST_KIND_POOL || kind == MST_KIND_SPACE;
}

static int refuse_unknown(struct mst_reader *r, const struct mst_frame *f)
{
	bool known = f->kind == MST_KIND_HEADER || f->kind == MST_KIND_EVT || f->kind == MST_KIND_INDEX ||
		f->kind == MST_KIND_END || is_checkpoint_kind(f->kind) || f->kind == MST_KIND_SAMPLE ||
		mst_dict_is_table(f->kind);

	if ((f->flags & MST_FLAG_CRITICAL && !known) || f->flags & MST_FLAGS_REFUSE)
		return fail(r, MST_EVERSION, f, "a frame of a kind that this program does not know and needs");
	return 0;
}

/* 1: the frame has events, which are ready. */
static int read_frame(struct mst_reader *r, struct mst_frame *f)
{
	int rc = check_order(r, f);

	if (rc <= 0)
		return rc;
	r->pos.seq = f->seq + 1;
	rc = refuse_unknown(r, f);
	if (rc < 0)
		return rc;
	if (f->kind == MST_KIND_EVT)
		return read_events(r, f);
	if (is_checkpoint_kind(f->kind))
		return read_checkpoint(r, f);
	rc = read_other(r, f);
	if (rc == 0 && f->kind == MST_KIND_END)
		r->source.follow = false;
	return rc;
}

/* The end of the file: what is still open is settled by the END frame, if there was one. */
static void finish(struct mst_reader *r)
{
	const struct mst_totals *t = &r->end.totals;

	r->damages.loss.is_truncated = !r->has_end;
	if (r->has_end && r->pos.is_known && t->events >= r->pos.event) {
		if (t->events > r->pos.event)
			add_uncertain(r, t->allocs + 1, t->allocated_bytes, t->live_blocks, t->live_bytes);
		settle_events(r, t->events, r->scan.pos, NULL);
		r->pos.event = t->events;
	} else if (r->has_end && r->pos.is_known) {
		note(r, r->scan.pos, 0, NULL, r->pos.event, 0, "the END frame counts fewer events than there are");
	}
	mst_damages_settle(&r->damages, UINT64_MAX);
}

int mst_reader_advance(struct mst_reader *r)
{
	for (;;) {
		struct mst_frame f;
		struct mst_gap gap;
		int rc = mst_scan_next(&r->scan, &f, &gap, &r->problem);

		if (rc == MST_SCAN_END) {
			finish(r);
			return 0;
		}
		if (rc == MST_SCAN_GAP) {
			r->has_end = false;
			note_gap(r, &gap);
			continue;
		}
		if (rc == MST_SCAN_FRAME)
			rc = read_frame(r, &f);
		if (rc != 0 || r->has_new_samples)
			return rc < 0 ? rc : 1;
	}
}

/* ---- events to the caller --------------------------------------------------------------------------------- */

/* After a seek: drops the events before the time asked for. */
static void skip_early(struct mst_reader *r)
{
	while (r->slice_at < r->slice_n && r->slice[r->slice_at].time_ns < r->skip_until_ns)
		r->slice_at++;
	if (r->slice_at < r->slice_n)
		r->skip_until_ns = 0;
}

/* Fills the slice: 1, 0 at the end, or negative. It stays empty where there are samples instead. */
static int next_slice(struct mst_reader *r)
{
	do {
		r->has_new_samples = false;
		r->slice_at = 0;
		r->slice_n = mst_slicer_next(&r->slicer, r->slice);
		if (r->slice_n == 0) {
			int rc = mst_reader_advance(r);

			if (rc <= 0)
				return rc;
		} else if (r->skip_until_ns != 0) {
			skip_early(r);
		}
	} while (r->slice_at == r->slice_n && !r->has_new_samples);
	return 1;
}

int mst_reader_next(struct mst_reader *r, struct mst_event *ev)
{
	while (r->slice_at == r->slice_n) {
		int rc = next_slice(r);

		if (rc <= 0)
			return rc;
	}
	*ev = r->slice[r->slice_at++];
	return 1;
}

int mst_reader_next_batch(struct mst_reader *r, const struct mst_event **events, size_t *n)
{
	if (r->slice_at == r->slice_n) {
		int rc = next_slice(r);

		if (rc <= 0)
			return rc;
	}
	*events = r->slice + r->slice_at;
	*n = r->slice_n - r->slice_at;
	r->slice_at = r->slice_n;
	return 1;
}

int mst_reader_next_sample(struct mst_reader *r, uint64_t event, struct mst_sample *s)
{
	if (r->sample_at == r->samples.n || r->samples.items[r->sample_at].event > event)
		return 0;
	*s = r->samples.items[r->sample_at++];
	return 1;
}

const struct mst_map_call *mst_reader_map_call(const struct mst_reader *r, const struct mst_event *ev)
{
	return mst_slicer_map_call(&r->slicer, ev->number);
}

const struct mst_pool_call *mst_reader_pool_call(const struct mst_reader *r, const struct mst_event *ev)
{
	return mst_slicer_pool_call(&r->slicer, ev->number);
}

/* ---- life cycle ------------------------------------------------------------------------------------------- */

void mst_reader_jump(struct mst_reader *r, uint64_t offset, bool is_start)
{
	r->scan.pos = offset;
	r->scan.pad = 0;
	r->scan.hashed = 0;
	r->scan.skip_payloads = 0;
	r->pos = (struct mst_position){.alloc = 1, .is_known = is_start};
	r->slicer = (struct mst_slicer){0};
	r->slice_at = r->slice_n = 0;
	r->skip_until_ns = 0;
	r->samples.n = r->sample_at = 0;
	r->has_new_samples = false;
	r->has_end = false;
	r->has_events = !is_start;
	mst_reader_forget_parts(r);
	mst_damages_clear(&r->damages);
}

void mst_reader_close(struct mst_reader *r)
{
	if (!r)
		return;
	if (r->own_fd >= 0)
		close(r->own_fd);
	mst_source_release(&r->source);
	mst_dict_release(&r->dict);
	mst_index_release(&r->index);
	mst_damages_release(&r->damages);
	mst_samples_release(&r->samples);
	mst_reader_forget_parts(r);
	mst_unpacker_free(r->unpacker);
	mst_event_decoder_free(r->decoder);
	free(r->pools);
	free(r->header_text);
	free(r);
}

int mst_reader_find_start(struct mst_reader *r, unsigned *kind)
{
	struct mst_frame f;
	struct mst_gap gap;
	int rc;

	while ((rc = mst_scan_next(&r->scan, &f, &gap, &r->problem)) == MST_SCAN_GAP)
		if (gap.cause != MST_GAP_ZEROS)
			note_gap(r, &gap);
	if (rc == MST_SCAN_END)
		return mst_problem_set(&r->problem, MST_ENOTRACE, 0, MST_NO_FRAME, "%s",
			r->scan.pos == 0 ? "the file is empty" : "this is not a trace, or nothing in it is intact");
	if (rc < 0)
		return rc;
	*kind = f.kind;
	r->scan.pos = f.offset;
	r->scan.pad = 0;
	return 0;
}

static void set_blank_header(struct mst_header *h)
{
	*h = (struct mst_header){.has_addresses = true, .tool = "", .host = "", .kernel = "", .arch = "", .clock = "",
		.cwd = "", .cmdline = ""};
}

int mst_reader_new(int fd, bool owns, const struct mst_reader_options *opt, struct mst_reader **out)
{
	struct mst_reader *r = calloc(1, sizeof(*r));

	if (!r) {
		if (owns)
			close(fd);
		return MST_ENOMEM;
	}
	mst_source_init(&r->source, fd, opt && opt->follow);
	mst_scan_init(&r->scan, &r->source);
	mst_dict_init(&r->dict);
	set_blank_header(&r->header);
	r->own_fd = owns ? fd : -1;
	r->wants_samples = opt && opt->samples;
	r->columns = opt && opt->columns ? opt->columns : MST_COL_ALL;
	r->pos = (struct mst_position){.alloc = 1, .is_known = true};
	r->unpacker = mst_unpacker_new();
	if (!r->unpacker) {
		mst_reader_close(r);
		return MST_ENOMEM;
	}
	*out = r;
	return 0;
}

/* The HEADER, if it is the first frame, so that its facts are there from the start. If it is lost the other frames say
 * all that is needed to read them. */
static int read_header(struct mst_reader *r)
{
	struct mst_frame f;
	struct mst_gap gap;
	unsigned kind = 0;
	int rc = mst_reader_find_start(r, &kind);

	if (rc == 0 && kind == MST_KIND_HEADER) {
		rc = mst_scan_next(&r->scan, &f, &gap, &r->problem);
		rc = rc == MST_SCAN_FRAME ? read_frame(r, &f) : rc < 0 ? rc : 0;
	}
	return rc;
}

static int open_source(int fd, bool owns, const struct mst_reader_options *opt, struct mst_reader **out,
	struct mst_problem *problem)
{
	struct mst_reader *r = NULL;
	int rc;

	*out = NULL;
	rc = mst_reader_new(fd, owns, opt, &r);
	if (rc < 0)
		return mst_problem_memory(problem);
	rc = read_header(r);
	if (rc < 0) {
		if (problem)
			*problem = r->problem;
		mst_reader_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

int mst_reader_open_fd(int fd, const struct mst_reader_options *opt, struct mst_reader **out,
	struct mst_problem *problem)
{
	return open_source(fd, false, opt, out, problem);
}

int mst_reader_open(const char *path, const struct mst_reader_options *opt, struct mst_reader **out,
	struct mst_problem *problem)
{
	int fd;

	*out = NULL;
	if (strcmp(path, "-") == 0)
		return open_source(STDIN_FILENO, false, opt, out, problem);
	do {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return mst_problem_os(problem, 0, "open");
	return open_source(fd, true, opt, out, problem);
}

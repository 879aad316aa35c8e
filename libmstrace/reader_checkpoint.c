/* reader_checkpoint.c - the checkpoint that a trace without its oldest events begins with.
 *
 * Its blocks are checked as they are read, a frame at a time, and not kept: a hostile file could make them a thousand
 * times as large as itself. What is kept for whoever replays the events are the frames' payloads as they stand in
 * the file, until the second event frame is given out. */
#include <stdlib.h>

#include "problem.h"
#include "reader.h"

void mst_reader_forget_parts(struct mst_reader *r)
{
	free(r->parts.list);
	mst_buffer_release(&r->parts.stored);
	r->parts = (struct mst_checkpoint_parts){0};
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* Keeps the frame, whose payload is sound, for mst_reader_each_checkpoint_block. */
static int keep_part(struct mst_reader *r, const struct mst_frame *f, const struct mst_checkpoint_part *p)
{
	struct mst_checkpoint_parts *parts = &r->parts;

	if (parts->n == parts->cap) {
		size_t cap = parts->cap ? 2 * parts->cap : 8;
		struct mst_stored_part *grown = realloc(parts->list, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		parts->list = grown;
		parts->cap = cap;
	}
	parts->list[parts->n++] = (struct mst_stored_part){.frame = *f, .part = *p, .start = parts->stored.len};
	mst_buffer_put(&parts->stored, f->payload, f->stored_len);
	return parts->stored.failed ? MST_ENOMEM : 0;
}

static int decode(struct mst_unpacker *u, const struct mst_frame *f, const struct mst_checkpoint_part *p,
	struct mst_block **blocks, const char **why)
{
	const uint8_t *raw;
	int rc;

	rc = mst_frame_unpack(u, f, &raw, why);
	*blocks = rc == 0 ? malloc((f->n_items + (size_t)1) * sizeof(**blocks)) : NULL;
	if (rc == 0)
		rc = *blocks ? mst_checkpoint_decode(p, raw, f->raw_len, f->n_items, *blocks, why) : MST_ENOMEM;
	return rc;
}

static bool same_place(const struct mst_checkpoint *a, const struct mst_checkpoint *b)
{
	return a->event == b->event && a->next_alloc == b->next_alloc && a->time_ns == b->time_ns &&
		a->live_blocks == b->live_blocks && a->live_bytes == b->live_bytes &&
		a->lost_events == b->lost_events && a->allocated_bytes == b->allocated_bytes && a->frees == b->frees &&
		a->failed == b->failed && a->peak_bytes == b->peak_bytes && a->peak_event == b->peak_event &&
		a->peak_time_ns == b->peak_time_ns;
}

/* Is it what the events before it add up to? (Behind events a checkpoint is for those who start there.) */
static bool repeats(const struct mst_position *p, const struct mst_checkpoint *c)
{
	return !p->is_known || (c->event == p->event && c->next_alloc == p->alloc && c->allocated_bytes == p->bytes &&
		c->live_blocks == p->live_blocks && c->live_bytes == p->live_bytes);
}

static void go_there(struct mst_reader *r, const struct mst_checkpoint *c)
{
	r->checkpoint = *c;
	r->has_checkpoint = true;
	r->pos.event = c->event;
	r->pos.alloc = c->next_alloc;
	r->pos.bytes = c->allocated_bytes;
	r->pos.live_blocks = c->live_blocks;
	r->pos.live_bytes = c->live_bytes;
	r->pos.time_ns = c->time_ns;
}

bool mst_reader_enter_checkpoint(struct mst_reader *r, const struct mst_frame *f, struct mst_checkpoint_part *p,
	const char **why)
{
	if (!mst_checkpoint_load(f, p, why))
		return false;
	*why = "a checkpoint does not agree with the events before it";
	if (r->has_events)
		return repeats(&r->pos, &p->at);
	*why = "the parts of a checkpoint do not agree";
	if (r->parts.is_open && !same_place(&r->checkpoint, &p->at))
		return false;
	r->parts.is_open = true;
	go_there(r, &p->at);
	return true;
}

int mst_reader_take_part(struct mst_reader *r, const struct mst_frame *f, const char **why)
{
	struct mst_checkpoint_parts *parts = &r->parts;
	struct mst_checkpoint_part p;
	struct mst_block *blocks = NULL;
	int rc;

	if (!mst_reader_enter_checkpoint(r, f, &p, why))
		return MST_EDAMAGED;
	rc = decode(r->unpacker, f, &p, &blocks, why);
	if (rc == 0 && !r->has_events) {
		*why = "the parts of a checkpoint overlap";
		if (p.first_block < parts->blocks ||
			(f->n_items != 0 && parts->n != 0 && blocks[0].alloc <= parts->last_alloc))
			rc = MST_EDAMAGED;
	}
	if (rc == 0 && !r->has_events) {
		parts->is_missing |= p.first_block != parts->blocks;
		parts->blocks = p.first_block + f->n_items;
		for (uint32_t i = 0; i < f->n_items; i++)
			parts->bytes += blocks[i].size;
		if (f->n_items != 0)
			parts->last_alloc = blocks[f->n_items - 1].alloc;
		rc = keep_part(r, f, &p);
	}
	free(blocks);
	return rc;
}

const char *mst_reader_end_checkpoint(struct mst_reader *r)
{
	const struct mst_checkpoint_parts *parts = &r->parts;
	const struct mst_checkpoint *c = &r->checkpoint;

	if (!parts->is_open)
		return NULL;
	if (parts->is_missing || parts->blocks != c->live_blocks)
		return "a part of the checkpoint is missing: not all blocks that lived at it are known";
	return parts->bytes != c->live_bytes ? "the blocks of a checkpoint are not as large as it says" : NULL;
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

const struct mst_checkpoint *mst_reader_checkpoint(const struct mst_reader *r)
{
	return r->has_checkpoint ? &r->checkpoint : NULL;
}

static int visit_part(const struct mst_reader *r, const struct mst_stored_part *s, struct mst_unpacker *u,
	int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	struct mst_frame f = s->frame;
	struct mst_block *blocks = NULL;
	const char *why;
	int rc;

	f.payload = r->parts.stored.bytes + s->start;
	rc = decode(u, &f, &s->part, &blocks, &why);
	for (uint32_t i = 0; i < f.n_items && rc == 0; i++) {
		const struct mst_thread *t = mst_reader_thread(r, blocks[i].thread);

		blocks[i].process = t ? t->process : 0;
		rc = visit(ctx, &blocks[i]);
	}
	free(blocks);
	return rc;
}

int mst_reader_each_checkpoint_block(
	const struct mst_reader *r, int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	struct mst_unpacker *u = mst_unpacker_new();
	int rc = u ? 0 : MST_ENOMEM;

	for (size_t i = 0; i < r->parts.n && rc == 0; i++)
		rc = visit_part(r, &r->parts.list[i], u, visit, ctx);
	mst_unpacker_free(u);
	return rc;
}

/* reader_checkpoint.c - the checkpoint that a trace without its oldest events begins with: what lived in the heap (CHECKPOINT
 * frames) and in pools (POOL), and what was mapped (SPACE).
 *
 * Its blocks are checked as they are read, a frame at a time, and not kept: a hostile file could make them a thousand
 * times as large as itself. What is kept for whoever replays the events are the frames' payloads as they stand in
 * the file, until the second event frame is given out. */
#include <stdlib.h>

#include "grow.h"
#include "problem.h"
#include "reader.h"

void mst_reader_forget_parts(struct mst_reader *r)
{
	free(r->parts.list);
	mst_buffer_release(&r->parts.stored);
	r->parts = (struct mst_checkpoint_parts){0};
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* Keeps the frame, whose payload is sound, for whoever asks. Returns where to put what its header says, or NULL. */
static struct mst_stored_part *keep_part(struct mst_reader *r, const struct mst_frame *f)
{
	struct mst_checkpoint_parts *parts = &r->parts;
	struct mst_stored_part *kept;

	if (mst_grow(&parts->list, &parts->cap, parts->n + 1, sizeof(*parts->list)) < 0)
		return NULL;
	kept = &parts->list[parts->n];
	*kept = (struct mst_stored_part){.frame = *f, .start = parts->stored.len};
	mst_buffer_put(&parts->stored, f->payload, f->stored_len);
	if (parts->stored.failed)
		return NULL;
	parts->n++;
	return kept;
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
	if (r->parts.heap.is_open && !same_place(&r->checkpoint, &p->at))
		return false;
	r->parts.heap.is_open = true;
	r->parts.heap.at = p->at;
	go_there(r, &p->at);
	return true;
}

/* What is wrong with parts that are all there, or NULL. */
static const char *sum_fault(const struct mst_part_sum *sum)
{
	if (!sum->is_open)
		return NULL;
	if (sum->is_missing || sum->blocks != sum->at.live_blocks)
		return "a part of the checkpoint is missing: not all blocks that lived at it are known";
	return sum->bytes != sum->at.live_bytes ? "the blocks of a checkpoint are not as large as it says" : NULL;
}

static void end_sum(struct mst_checkpoint_parts *parts, const struct mst_part_sum *sum)
{
	if (!parts->fault)
		parts->fault = sum_fault(sum);
}

static void end_space(struct mst_checkpoint_parts *parts)
{
	if (!parts->fault && parts->space.process != 0 && parts->space_rows != parts->space.n_rows)
		parts->fault = "a part of the checkpoint is missing: not all that was mapped at it is known";
}

/* The blocks of one more part. False: they contradict those before. */
static bool add_part(struct mst_part_sum *sum, const struct mst_checkpoint_part *p, const struct mst_block *blocks,
	uint32_t n)
{
	if (p->first_block < sum->blocks || (n != 0 && blocks[0].alloc <= sum->last_alloc))
		return false;
	sum->is_missing |= p->first_block != sum->blocks;
	sum->blocks = p->first_block + n;
	for (uint32_t i = 0; i < n; i++)
		sum->bytes += blocks[i].size;
	if (n != 0)
		sum->last_alloc = blocks[n - 1].alloc;
	return true;
}

static const struct mst_pool_place *find_pool(const struct mst_reader *r, uint32_t pool)
{
	for (size_t i = 0; i < r->n_pools; i++)
		if (r->pools[i].pool == pool)
			return &r->pools[i];
	return NULL;
}

/* The header of a POOL frame, before events, with what came before it. 0, MST_EDAMAGED with *why, or MST_ENOMEM. */
static int enter_pool(struct mst_reader *r, const struct mst_checkpoint_part *p, const char **why)
{
	struct mst_checkpoint_parts *parts = &r->parts;
	const struct mst_pool_place *known = find_pool(r, p->pool);

	*why = "a pool's blocks are of another checkpoint";
	if (parts->heap.is_open && p->at.event != r->checkpoint.event)
		return MST_EDAMAGED;
	*why = "the parts of a checkpoint do not agree";
	if (known && !same_place(&known->at, &p->at))
		return MST_EDAMAGED;
	if (!parts->pool.is_open || parts->pool.pool != p->pool) {
		end_sum(parts, &parts->pool);
		parts->pool = (struct mst_part_sum){.at = p->at, .pool = p->pool, .is_open = true};
	}
	if (known)
		return 0;
	if (mst_grow(&r->pools, &r->cap_pools, r->n_pools + 1, sizeof(*r->pools)) < 0)
		return MST_ENOMEM;
	r->pools[r->n_pools++] = (struct mst_pool_place){p->pool, p->at};
	return 0;
}

static int enter_blocks(struct mst_reader *r, const struct mst_frame *f, struct mst_checkpoint_part *p, const char **why)
{
	if (f->kind == MST_KIND_CHECKPOINT)
		return mst_reader_enter_checkpoint(r, f, p, why) ? 0 : MST_EDAMAGED;
	if (!mst_checkpoint_load(f, p, why))
		return MST_EDAMAGED;
	return r->has_events ? 0 : enter_pool(r, p, why);
}

static int take_blocks(struct mst_reader *r, const struct mst_frame *f, const char **why)
{
	struct mst_part_sum *sum = f->kind == MST_KIND_CHECKPOINT ? &r->parts.heap : &r->parts.pool;
	struct mst_checkpoint_part p;
	struct mst_stored_part *kept;
	struct mst_block *blocks = NULL;
	int rc = enter_blocks(r, f, &p, why);

	if (rc == 0)
		rc = decode(r->unpacker, f, &p, &blocks, why);
	if (rc == 0 && !r->has_events) {
		*why = "the parts of a checkpoint overlap";
		rc = add_part(sum, &p, blocks, f->n_items) ? 0 : MST_EDAMAGED;
	}
	if (rc == 0 && !r->has_events) {
		kept = keep_part(r, f);
		rc = kept ? 0 : MST_ENOMEM;
		if (kept)
			kept->part = p;
	}
	free(blocks);
	return rc;
}

/* The header of a SPACE frame, before events, with what came before it. */
static const char *enter_space(struct mst_reader *r, const struct mst_space_part *p, uint32_t n)
{
	struct mst_checkpoint_parts *parts = &r->parts;

	if (parts->heap.is_open && p->event != r->checkpoint.event)
		return "what was mapped is of another checkpoint";
	if (parts->space.process != p->process) {
		end_space(parts);
		parts->space_rows = 0;
	} else if (p->n_rows != parts->space.n_rows || p->first_row < parts->space_rows) {
		return "the parts of a checkpoint do not agree";
	}
	if (p->first_row != parts->space_rows && !parts->fault)
		parts->fault = "a part of the checkpoint is missing: not all that was mapped at it is known";
	parts->space = *p;
	parts->space_rows = p->first_row + n;
	return NULL;
}

static int take_space(struct mst_reader *r, const struct mst_frame *f, const char **why)
{
	struct mst_space_rows rows = {0};
	struct mst_space_part p;
	struct mst_stored_part *kept;
	const uint8_t *raw;
	int rc = mst_space_part_load(f, &p, why) ? 0 : MST_EDAMAGED;

	if (rc == 0)
		rc = mst_frame_unpack(r->unpacker, f, &raw, why);
	if (rc == 0)
		rc = mst_space_rows_decode(raw, f->raw_len, f->n_items, &rows, why);
	mst_space_rows_release(&rows);
	if (rc < 0 || r->has_events)
		return rc;
	*why = enter_space(r, &p, f->n_items);
	if (*why)
		return MST_EDAMAGED;
	kept = keep_part(r, f);
	if (!kept)
		return MST_ENOMEM;
	kept->space = p;
	r->knows_spaces = true;
	return 0;
}

int mst_reader_take_part(struct mst_reader *r, const struct mst_frame *f, const char **why)
{
	return f->kind == MST_KIND_SPACE ? take_space(r, f, why) : take_blocks(r, f, why);
}

const char *mst_reader_end_checkpoint(struct mst_reader *r)
{
	struct mst_checkpoint_parts *parts = &r->parts;

	end_sum(parts, &parts->heap);
	end_sum(parts, &parts->pool);
	end_space(parts);
	return parts->fault;
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

const struct mst_checkpoint *mst_reader_checkpoint(const struct mst_reader *r)
{
	return r->has_checkpoint ? &r->checkpoint : NULL;
}

size_t mst_reader_n_pool_checkpoints(const struct mst_reader *r)
{
	return r->n_pools;
}

const struct mst_checkpoint *mst_reader_pool_checkpoint(const struct mst_reader *r, size_t i, uint32_t *pool)
{
	if (i >= r->n_pools)
		return NULL;
	if (pool)
		*pool = r->pools[i].pool;
	return &r->pools[i].at;
}

bool mst_reader_knows_spaces(const struct mst_reader *r)
{
	return r->knows_spaces;
}

static struct mst_frame stored_frame(const struct mst_reader *r, const struct mst_stored_part *s)
{
	struct mst_frame f = s->frame;

	f.payload = r->parts.stored.bytes + s->start;
	return f;
}

static int visit_part(const struct mst_reader *r, const struct mst_stored_part *s, struct mst_unpacker *u,
	int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	struct mst_frame f = stored_frame(r, s);
	struct mst_block *blocks = NULL;
	const char *why;
	int rc;

	rc = decode(u, &f, &s->part, &blocks, &why);
	for (uint32_t i = 0; i < f.n_items && rc == 0; i++) {
		const struct mst_thread *t = mst_reader_thread(r, blocks[i].thread);

		blocks[i].process = t ? t->process : 0;
		rc = visit(ctx, &blocks[i]);
	}
	free(blocks);
	return rc;
}

/* Of a pool, or of the heap (0). */
static int each_block(const struct mst_reader *r, unsigned kind, uint32_t pool,
	int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	struct mst_unpacker *u = mst_unpacker_new();
	int rc = u ? 0 : MST_ENOMEM;

	for (size_t i = 0; i < r->parts.n && rc == 0; i++)
		if (r->parts.list[i].frame.kind == kind && r->parts.list[i].part.pool == pool)
			rc = visit_part(r, &r->parts.list[i], u, visit, ctx);
	mst_unpacker_free(u);
	return rc;
}

int mst_reader_each_checkpoint_block(
	const struct mst_reader *r, int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	return each_block(r, MST_KIND_CHECKPOINT, 0, visit, ctx);
}

int mst_reader_each_pool_block(const struct mst_reader *r, uint32_t pool,
	int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	return each_block(r, MST_KIND_POOL, pool, visit, ctx);
}

int mst_reader_each_space_part(const struct mst_reader *r,
	int (*visit)(void *ctx, const struct mst_space_part *, const struct mst_space_rows *), void *ctx)
{
	struct mst_unpacker *u = mst_unpacker_new();
	int rc = u ? 0 : MST_ENOMEM;

	for (size_t i = 0; i < r->parts.n && rc == 0; i++) {
		const struct mst_stored_part *s = &r->parts.list[i];
		struct mst_frame f = stored_frame(r, s);
		struct mst_space_rows rows = {0};
		const uint8_t *raw;
		const char *why;

		if (f.kind != MST_KIND_SPACE)
			continue;
		rc = mst_frame_unpack(u, &f, &raw, &why);
		if (rc == 0)
			rc = mst_space_rows_decode(raw, f.raw_len, f.n_items, &rows, &why);
		if (rc == 0)
			rc = visit(ctx, &s->space, &rows);
		mst_space_rows_release(&rows);
	}
	mst_unpacker_free(u);
	return rc;
}

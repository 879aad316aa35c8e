#include "checkpoint.h"

#include <string.h>

#include "bytes.h"

/* Places in format.h count from the start of the header. */
static uint8_t *at(uint8_t *extension, unsigned place)
{
	return extension + (place - MST_AT_EXTENSION);
}

void mst_checkpoint_store(const struct mst_checkpoint_part *p, uint8_t x[MST_CHECKPOINT_EXTENSION_LEN])
{
	const struct mst_checkpoint *c = &p->at;

	memset(x, 0, MST_CHECKPOINT_EXTENSION_LEN);
	mst_store64(at(x, MST_AT_CHECKPOINT_EVENT), c->event);
	mst_store64(at(x, MST_AT_CHECKPOINT_ALLOC), c->next_alloc);
	mst_store64(at(x, MST_AT_CHECKPOINT_TIME), c->time_ns);
	mst_store64(at(x, MST_AT_CHECKPOINT_LIVE_BLOCKS), c->live_blocks);
	mst_store64(at(x, MST_AT_CHECKPOINT_LIVE_BYTES), c->live_bytes);
	mst_store64(at(x, MST_AT_CHECKPOINT_LOST_EVENTS), c->lost_events);
	mst_store64(at(x, MST_AT_CHECKPOINT_ALLOC_BYTES), c->allocated_bytes);
	mst_store64(at(x, MST_AT_CHECKPOINT_FREES), c->frees);
	mst_store64(at(x, MST_AT_CHECKPOINT_FAILED), c->failed);
	mst_store64(at(x, MST_AT_CHECKPOINT_PEAK_BYTES), c->peak_bytes);
	mst_store64(at(x, MST_AT_CHECKPOINT_PEAK_EVENT), c->peak_event);
	mst_store64(at(x, MST_AT_CHECKPOINT_PEAK_TIME), c->peak_time_ns);
	mst_store64(at(x, MST_AT_CHECKPOINT_FIRST_BLOCK), p->first_block);
	*at(x, MST_AT_CHECKPOINT_TIME_SHIFT) = p->time_shift;
	mst_store32(at(x, MST_AT_CHECKPOINT_POOL), p->pool);
}

static bool in_range(const struct mst_checkpoint *c)
{
	return c->event <= MST_NUMBER_MAX && c->next_alloc != 0 && c->next_alloc <= MST_ORDINAL_MAX + 1 &&
		c->time_ns <= MST_NUMBER_MAX && c->live_bytes <= MST_NUMBER_MAX && c->lost_events <= MST_NUMBER_MAX &&
		c->allocated_bytes <= MST_NUMBER_MAX && c->peak_bytes <= MST_NUMBER_MAX &&
		c->peak_time_ns <= MST_NUMBER_MAX;
}

bool mst_checkpoint_load(const struct mst_frame *f, struct mst_checkpoint_part *p, const char **why)
{
	const uint8_t *h = f->header;
	struct mst_checkpoint *c = &p->at;

	*why = "the header of a checkpoint is too short";
	if (f->header_len < MST_CHECKPOINT_HEADER_LEN)
		return false;
	*c = (struct mst_checkpoint){
		.event = mst_load64(h + MST_AT_CHECKPOINT_EVENT),
		.next_alloc = mst_load64(h + MST_AT_CHECKPOINT_ALLOC),
		.time_ns = mst_load64(h + MST_AT_CHECKPOINT_TIME),
		.live_blocks = mst_load64(h + MST_AT_CHECKPOINT_LIVE_BLOCKS),
		.live_bytes = mst_load64(h + MST_AT_CHECKPOINT_LIVE_BYTES),
		.lost_events = mst_load64(h + MST_AT_CHECKPOINT_LOST_EVENTS),
		.allocated_bytes = mst_load64(h + MST_AT_CHECKPOINT_ALLOC_BYTES),
		.frees = mst_load64(h + MST_AT_CHECKPOINT_FREES),
		.failed = mst_load64(h + MST_AT_CHECKPOINT_FAILED),
		.peak_bytes = mst_load64(h + MST_AT_CHECKPOINT_PEAK_BYTES),
		.peak_event = mst_load64(h + MST_AT_CHECKPOINT_PEAK_EVENT),
		.peak_time_ns = mst_load64(h + MST_AT_CHECKPOINT_PEAK_TIME),
	};
	p->first_block = mst_load64(h + MST_AT_CHECKPOINT_FIRST_BLOCK);
	p->time_shift = h[MST_AT_CHECKPOINT_TIME_SHIFT];
	p->pool = f->kind == MST_KIND_POOL ? mst_load32(h + MST_AT_CHECKPOINT_POOL) : 0;
	*why = "a number of a checkpoint is out of range";
	if (!in_range(c) || p->time_shift > MST_TIME_SHIFT_MAX ||
		(f->kind == MST_KIND_POOL && (p->pool == 0 || p->pool > MST_IDS_MAX)))
		return false;
	*why = "the counts of a checkpoint do not fit each other";
	return c->next_alloc - 1 <= c->event && c->frees <= c->event && c->failed <= c->event &&
		c->live_blocks < c->next_alloc && c->live_bytes <= c->allocated_bytes &&
		f->n_items <= MST_CHECKPOINT_BLOCKS_MAX && p->first_block <= c->live_blocks &&
		f->n_items <= c->live_blocks - p->first_block;
}

void mst_checkpoint_encode(const struct mst_block *b, uint32_t n, unsigned shift, struct mst_buffer *out)
{
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, b[i].alloc - (i ? b[i - 1].alloc : 0));
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, mst_delta(b[i].addr, i ? b[i - 1].addr : 0));
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, b[i].size);
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, mst_delta(b[i].stack, i ? b[i - 1].stack : 0));
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, b[i].thread);
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, mst_delta(b[i].time_ns >> shift, i ? b[i - 1].time_ns >> shift : 0));
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put8(out, b[i].op);
	for (uint32_t i = 0; i < n; i++) /* 2^(k - 1) as k */
		mst_buffer_put8(out, b[i].align ? (uint8_t)(32 - __builtin_clz(b[i].align)) : 0);
}

static void decode_columns(struct mst_cursor *c, unsigned shift, uint32_t n, struct mst_block *b)
{
	uint64_t last = 0, most = (uint64_t)MST_NUMBER_MAX >> shift;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t step = mst_get_varint_max(c, MST_ORDINAL_MAX - last);

		if (step == 0)
			mst_cursor_fail(c);
		b[i].alloc = last += step;
	}
	last = 0;
	for (uint32_t i = 0; i < n; i++)
		b[i].addr = last = mst_undelta(mst_get_varint(c), last);
	for (uint32_t i = 0; i < n; i++)
		b[i].size = mst_get_varint_max(c, MST_NUMBER_MAX);
	last = 0;
	for (uint32_t i = 0; i < n; i++) {
		last = mst_undelta(mst_get_varint(c), last);
		if (last > UINT32_MAX)
			mst_cursor_fail(c);
		b[i].stack = (uint32_t)last;
	}
	for (uint32_t i = 0; i < n; i++)
		b[i].thread = (uint32_t)mst_get_varint_max(c, UINT32_MAX);
	last = 0;
	for (uint32_t i = 0; i < n; i++) {
		last = mst_undelta(mst_get_varint(c), last);
		if (last > most)
			mst_cursor_fail(c);
		b[i].time_ns = last << shift;
	}
	for (uint32_t i = 0; i < n; i++) {
		b[i].op = mst_get8(c);
		if (b[i].op == 0 || b[i].op > MST_OP_MAX)
			mst_cursor_fail(c);
	}
	for (uint32_t i = 0; i < n; i++) {
		unsigned k = mst_get8(c);

		if (k > 32)
			mst_cursor_fail(c);
		else if (k != 0)
			b[i].align = UINT32_C(1) << (k - 1);
	}
}

int mst_checkpoint_decode(const struct mst_checkpoint_part *p, const uint8_t *raw, size_t len, uint32_t n,
	struct mst_block *out, const char **why)
{
	struct mst_cursor c = mst_cursor_over(raw, len);
	uint64_t bytes = 0;

	*why = "a block of a checkpoint is out of range";
	if (n > MST_CHECKPOINT_BLOCKS_MAX || n > len)
		return MST_EDAMAGED;
	memset(out, 0, n * sizeof(*out));
	decode_columns(&c, p->time_shift, n, out);
	if (!mst_cursor_finish(&c) || (n != 0 && out[n - 1].alloc >= p->at.next_alloc))
		return MST_EDAMAGED;
	for (uint32_t i = 0; i < n && bytes <= p->at.live_bytes; i++)
		bytes += out[i].size; /* both summands are below 2^63 */
	*why = "the blocks of a checkpoint are larger than it says";
	return bytes <= p->at.live_bytes ? 0 : MST_EDAMAGED;
}

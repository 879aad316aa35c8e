/* writer_frame.c - from a full batch to the next one.
 *
 * A batch goes out with whatever the tables and samples have that the file has not. With a bound for the file's length, this
 * is where it is kept: then there is no next one. */
#include "writer.h"

#include "writer_resolve.h"

/* What max_bytes leaves room for, all of it more than usual. */
#define EVENT_BYTES 16u     /* an event not yet written */
#define CODE_BYTES 64u      /* a code address: its function, file and line, compressed */
#define FRAME_BYTES 16u     /* a frame's entry in the index */
#define TAIL_BYTES 4096u    /* header again, empty frames, END */

/* With the output idle: would another batch, and what must come behind the last one, be more than is allowed? Then
 * there is no frame that could take an event. */
static void check_length(struct mst_writer *w, const struct mst_batch *b)
{
	uint64_t batches = EVENT_BYTES * (b->ev.n + (uint64_t)w->frame_events) + 2 * (uint64_t)b->pages.raw.len;
	uint64_t tail = CODE_BYTES * (uint64_t)mst_table_last(&w->ledger.dict.codes) +
		FRAME_BYTES * (uint64_t)w->output.index.n + TAIL_BYTES;
	uint64_t length = w->output.offset + batches + tail;

	if (length + length / MST_COPY_DIVISOR > w->max_bytes)
		w->frame_events = 0;
}

static int hand_over(struct mst_writer *w)
{
	struct mst_batch *b = w->fill;

	if (mst_writer_wait(w) < 0)
		return w->rc;
	if (w->max_bytes != 0)
		check_length(w, b);
	w->fill = b == &w->batches[0] ? &w->batches[1] : &w->batches[0];
	mst_batch_clear(w->fill);
	w->resolved = 0;
	mst_handover_give(&w->handover, b);
	return w->handover.threaded ? 0 : mst_writer_wait(w);
}

static void hide_addresses(struct mst_events *ev)
{
	for (uint32_t i = 0; i < ev->n; i++) {
		ev->addr[i] = 0;
		if (ev->freed[i] != 0)
			ev->freed_addr[i] = 0;
	}
}

int mst_writer_close_batch(struct mst_writer *w)
{
	struct mst_batch *b = w->fill;
	int rc = mst_writer_settle(w);

	if (rc < 0)
		return rc;
	if (mst_ledger_pending(&w->ledger, &b->pages) < 0 || mst_writer_put_samples(w, &b->pages) < 0)
		return mst_writer_fail(w, MST_ENOMEM, "");
	if (b->ev.n == 0 && b->pages.n == 0)
		return 0;
	b->evt.n_alloc = b->ev.n_alloc;
	b->evt.time_last = w->clock_units;
	b->ev.maps = b->maps.bytes;
	b->ev.maps_len = b->maps.len;
	b->ev.pools = b->pools.bytes;
	b->ev.pools_len = b->pools.len;
	b->flags |= b->evt.n_late ? MST_FLAG_LATE : 0u;
	b->flags |= w->totals.lost_events ? MST_FLAG_LOSS : 0u;
	if (!w->header.has_addresses)
		hide_addresses(&b->ev);
	return hand_over(w);
}

void mst_writer_open_frame(struct mst_writer *w, struct mst_batch *b, uint64_t units)
{
	w->frame++;
	b->has_order_time = false;
	b->ev.first_alloc = w->next_ordinal;
	b->ev.first_time = units;
	b->evt = (struct mst_evt){
		.first_event = w->totals.events,
		.first_alloc = w->next_ordinal,
		.time_base = units,
		.time_first = w->clock_units,
		.live_blocks = w->totals.live_blocks,
		.live_bytes = w->totals.live_bytes,
		.lost_events = w->totals.lost_events,
		.bytes_before = w->totals.allocated_bytes,
		.time_shift = w->header.time_shift,
	};
}

int mst_writer_next_frame(struct mst_writer *w)
{
	if (mst_writer_close_batch(w) < 0)
		return w->rc;
	if (w->frame_events != 0)
		return 0;
	w->is_limited = true;
	return mst_writer_fail(w, MST_EFULL, "the trace is as long as allowed");
}

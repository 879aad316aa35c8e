/* event_order.c - which thread made which event of a frame.
 *
 * THREAD lists the ids in order of first appearance; a thread's place in it is its slot. With more than one thread the
 * total order is a sequence of runs: RUN_SLOT and RUN_LENGTH - 1, one varint each a run. */
#include "event_frame.h"

#include "mstrace.h"

/* Fills order and slot_end from slot: a counting sort. */
static void sort_by_slot(struct mst_event_frame *f)
{
	uint32_t n = f->ev.n, start = 0;

	memset(f->slot_end, 0, f->n_threads * sizeof(f->slot_end[0]));
	for (uint32_t i = 0; i < n; i++)
		f->slot_end[f->slot[i]]++;
	for (uint32_t s = 0; s < f->n_threads; s++) {
		uint32_t count = f->slot_end[s];
		f->slot_end[s] = start;
		start += count;
	}
	for (uint32_t i = 0; i < n; i++)
		f->order[f->slot_end[f->slot[i]]++] = (uint16_t)i;
}

/* One thread: slot 0 for all, in their order. Made once for as long as no frame has more threads: who writes other
 * slots resets n_identity. */
static void identity(struct mst_event_frame *f)
{
	for (uint32_t i = f->n_identity; i < f->ev.n; i++) {
		f->slot[i] = 0;
		f->order[i] = (uint16_t)i;
	}
	if (f->n_identity < f->ev.n)
		f->n_identity = f->ev.n;
	f->slot_end[0] = f->ev.n;
}

#define TABLE_BITS 17

/* The slot of a thread id, new if need be; table holds slot + 1. */
static uint32_t find_slot(struct mst_event_frame *f, uint32_t thread)
{
	uint32_t at = (thread * 0x9e3779b1u) >> (32 - TABLE_BITS);

	for (; f->table[at] != 0; at = (at + 1) & ((1u << TABLE_BITS) - 1))
		if (f->slot_thread[f->table[at] - 1] == thread)
			return f->table[at] - 1;
	if (f->n_threads > 0)
		f->n_identity = 0;
	f->slot_thread[f->n_threads] = thread;
	f->table[at] = ++f->n_threads;
	return f->n_threads - 1;
}

static void put_runs(struct mst_event_frame *f)
{
	struct mst_column_bytes *slots = &f->cols.at[MST_COLUMN_RUN_SLOT];
	struct mst_column_bytes *lengths = &f->cols.at[MST_COLUMN_RUN_LENGTH];

	for (uint32_t i = 0, end; i < f->ev.n; i = end) {
		for (end = i + 1; end < f->ev.n && f->slot[end] == f->slot[i]; end++)
			;
		slots->p = mst_put_varint(slots->p, f->slot[i]);
		lengths->p = mst_put_varint(lengths->p, end - i - 1);
	}
}

static bool is_one_thread(const struct mst_events *ev)
{
	return memcmp(ev->thread, ev->thread + 1, (ev->n - 1) * sizeof(ev->thread[0])) == 0; /* each is as the one before */
}

/* Fills slot and slot_thread. */
static bool number_threads(struct mst_event_frame *f)
{
	uint32_t last = 0, slot = 0;

	memset(f->table, 0, sizeof(f->table[0]) << TABLE_BITS);
	for (uint32_t i = 0; i < f->ev.n; i++) {
		uint32_t thread = f->ev.thread[i];
		if (thread == 0)
			return false;
		if (thread != last)
			slot = find_slot(f, thread);
		last = thread;
		f->slot[i] = (uint16_t)slot;
	}
	return true;
}

bool mst_event_encode_order(struct mst_event_frame *f)
{
	struct mst_column_bytes *threads = &f->cols.at[MST_COLUMN_THREAD];

	f->n_threads = 0;
	if (f->ev.thread[0] != 0 && is_one_thread(&f->ev))
		f->slot_thread[f->n_threads++] = f->ev.thread[0];
	else if (!number_threads(f))
		return mst_columns_fail(&f->cols, MST_EARG, "an event has no thread");
	for (uint32_t s = 0; s < f->n_threads; s++)
		threads->p = mst_put_varint(threads->p, f->slot_thread[s]);
	if (f->n_threads > 1) {
		sort_by_slot(f);
		put_runs(f);
	} else {
		identity(f);
	}
	return true;
}

static bool get_threads(struct mst_event_frame *f)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_THREAD);

	for (f->n_threads = 0; mst_cursor_left(&c) > 0 && f->n_threads < f->ev.n; f->n_threads++) {
		uint64_t thread = mst_get_varint_max(&c, UINT32_MAX);
		if (thread == 0)
			return mst_columns_bad(&f->cols, MST_COLUMN_THREAD);
		f->slot_thread[f->n_threads] = (uint32_t)thread;
	}
	if (f->n_threads == 0)
		return mst_columns_bad(&f->cols, MST_COLUMN_THREAD);
	return mst_columns_close(&f->cols, MST_COLUMN_THREAD, &c);
}

/* n events' worth of runs, and nothing behind them. */
static bool get_runs(struct mst_event_frame *f, uint32_t n)
{
	struct mst_cursor slots = mst_columns_open(&f->cols, MST_COLUMN_RUN_SLOT);
	struct mst_cursor lengths = mst_columns_open(&f->cols, MST_COLUMN_RUN_LENGTH);

	if (n > 0)
		f->n_identity = 0;
	for (uint32_t i = 0; i < n && !slots.failed && !lengths.failed;) {
		uint16_t slot = (uint16_t)mst_get_varint_max(&slots, f->n_threads - 1);
		uint32_t end = i + (uint32_t)mst_get_varint_max(&lengths, n - i - 1) + 1;
		while (i < end)
			f->slot[i++] = slot;
	}
	return mst_columns_close(&f->cols, MST_COLUMN_RUN_SLOT, &slots) &&
		mst_columns_close(&f->cols, MST_COLUMN_RUN_LENGTH, &lengths);
}

bool mst_event_decode_order(struct mst_event_frame *f)
{
	if (!get_threads(f))
		return false;
	if (f->n_threads > 1) {
		if (!get_runs(f, f->ev.n))
			return false;
		sort_by_slot(f);
	} else {
		if (!get_runs(f, 0))
			return false;
		identity(f);
	}
	if (f->n_threads == 1)
		for (uint32_t i = 0; i < f->ev.n; i++)
			f->ev.thread[i] = f->slot_thread[0];
	else
		for (uint32_t i = 0; i < f->ev.n; i++)
			f->ev.thread[i] = f->slot_thread[f->slot[i]];
	return true;
}

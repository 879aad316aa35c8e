#include "extension.h"

#include <string.h>

#include "bytes.h"
#include "event.h"
#include "format.h"

/* Places in format.h count from the start of the header. */
static uint8_t *at(uint8_t *extension, unsigned place)
{
	return extension + (place - MST_AT_EXTENSION);
}

void mst_evt_store(const struct mst_evt *e, uint8_t x[MST_EVT_EXTENSION_LEN])
{
	memset(x, 0, MST_EVT_EXTENSION_LEN);
	mst_store64(at(x, MST_AT_EVT_FIRST_EVENT), e->first_event);
	mst_store64(at(x, MST_AT_EVT_FIRST_ALLOC), e->first_alloc);
	mst_store64(at(x, MST_AT_EVT_TIME_BASE), e->time_base);
	mst_store64(at(x, MST_AT_EVT_TIME_FIRST), e->time_first);
	mst_store64(at(x, MST_AT_EVT_TIME_LAST), e->time_last);
	mst_store64(at(x, MST_AT_EVT_LIVE_BLOCKS), e->live_blocks);
	mst_store64(at(x, MST_AT_EVT_LIVE_BYTES), e->live_bytes);
	mst_store64(at(x, MST_AT_EVT_LOST_EVENTS), e->lost_events);
	mst_store64(at(x, MST_AT_EVT_BYTES_BEFORE), e->bytes_before);
	mst_store64(at(x, MST_AT_EVT_ALLOC_BYTES), e->alloc_bytes);
	mst_store64(at(x, MST_AT_EVT_FREED_BYTES), e->freed_bytes);
	mst_store32(at(x, MST_AT_EVT_N_ALLOC), e->n_alloc);
	mst_store32(at(x, MST_AT_EVT_N_FREE), e->n_free);
	mst_store32(at(x, MST_AT_EVT_N_UNOWNED), e->n_unowned);
	mst_store32(at(x, MST_AT_EVT_N_LATE), e->n_late);
	mst_store32(at(x, MST_AT_EVT_N_THREADS), e->n_threads);
	*at(x, MST_AT_EVT_TIME_SHIFT) = e->time_shift;
}

static bool evt_times_good(const struct mst_evt *e)
{
	uint64_t max = MST_NUMBER_MAX >> e->time_shift;

	return e->time_base <= max && e->time_first <= e->time_last && e->time_last <= max;
}

bool mst_evt_load(const struct mst_frame *f, struct mst_evt *e, const char **why)
{
	const uint8_t *h = f->header;

	*why = "the header of an event frame is too short";
	if (f->header_len < MST_EVT_HEADER_LEN)
		return false;
	*e = (struct mst_evt){
		.first_event = mst_load64(h + MST_AT_EVT_FIRST_EVENT),
		.first_alloc = mst_load64(h + MST_AT_EVT_FIRST_ALLOC),
		.time_base = mst_load64(h + MST_AT_EVT_TIME_BASE),
		.time_first = mst_load64(h + MST_AT_EVT_TIME_FIRST),
		.time_last = mst_load64(h + MST_AT_EVT_TIME_LAST),
		.live_blocks = mst_load64(h + MST_AT_EVT_LIVE_BLOCKS),
		.live_bytes = mst_load64(h + MST_AT_EVT_LIVE_BYTES),
		.lost_events = mst_load64(h + MST_AT_EVT_LOST_EVENTS),
		.bytes_before = mst_load64(h + MST_AT_EVT_BYTES_BEFORE),
		.alloc_bytes = mst_load64(h + MST_AT_EVT_ALLOC_BYTES),
		.freed_bytes = mst_load64(h + MST_AT_EVT_FREED_BYTES),
		.n_alloc = mst_load32(h + MST_AT_EVT_N_ALLOC),
		.n_free = mst_load32(h + MST_AT_EVT_N_FREE),
		.n_unowned = mst_load32(h + MST_AT_EVT_N_UNOWNED),
		.n_late = mst_load32(h + MST_AT_EVT_N_LATE),
		.n_threads = mst_load32(h + MST_AT_EVT_N_THREADS),
		.time_shift = h[MST_AT_EVT_TIME_SHIFT],
	};
	*why = "an event frame has no events, or too many";
	if (f->n_items == 0 || f->n_items > MST_FRAME_EVENTS_MAX)
		return false;
	*why = "the counts of an event frame do not fit each other";
	if (e->n_alloc > f->n_items || e->n_free > f->n_items || e->n_unowned > e->n_free ||
		e->n_late > f->n_items || e->n_threads == 0 || e->n_threads > f->n_items)
		return false;
	*why = "a number of an event frame is out of range";
	return e->first_event <= (uint64_t)MST_NUMBER_MAX - f->n_items && e->first_alloc != 0 &&
		e->first_alloc + e->n_alloc - 1 <= MST_ORDINAL_MAX && e->first_alloc <= MST_ORDINAL_MAX + 1 &&
		e->live_blocks <= MST_ORDINAL_MAX && e->live_bytes <= MST_NUMBER_MAX &&
		e->lost_events <= MST_NUMBER_MAX && e->bytes_before <= MST_NUMBER_MAX && e->alloc_bytes <= MST_NUMBER_MAX &&
		e->freed_bytes <= MST_NUMBER_MAX && e->time_shift <= MST_TIME_SHIFT_MAX && evt_times_good(e);
}

void mst_end_store(const struct mst_end *e, uint8_t x[MST_END_EXTENSION_LEN])
{
	memset(x, 0, MST_END_EXTENSION_LEN);
	mst_store64(at(x, MST_AT_END_INDEX), e->index_offset);
	mst_store64(at(x, MST_AT_END_EVENTS), e->totals.events);
	mst_store64(at(x, MST_AT_END_ALLOCS), e->totals.allocs);
	mst_store64(at(x, MST_AT_END_FREES), e->totals.frees);
	mst_store64(at(x, MST_AT_END_FAILED), e->totals.failed);
	mst_store64(at(x, MST_AT_END_LOST_EVENTS), e->totals.lost_events);
	mst_store64(at(x, MST_AT_END_LOST_BYTES), e->totals.lost_bytes);
	mst_store64(at(x, MST_AT_END_DURATION), e->totals.duration_ns);
	mst_store64(at(x, MST_AT_END_LIVE_BLOCKS), e->totals.live_blocks);
	mst_store64(at(x, MST_AT_END_LIVE_BYTES), e->totals.live_bytes);
	mst_store64(at(x, MST_AT_END_ALLOC_BYTES), e->totals.allocated_bytes);
	mst_store64(at(x, MST_AT_END_OVERLAPS), e->totals.overlaps);
	mst_store32(at(x, MST_AT_END_EXIT_STATUS), (uint32_t)e->totals.exit_status);
	mst_store32(at(x, MST_AT_END_FLAGS), e->flags);
}

bool mst_end_load(const struct mst_frame *f, struct mst_end *e, const char **why)
{
	const uint8_t *h = f->header;

	*why = "the header of an END frame is too short";
	if (f->header_len < MST_END_HEADER_LEN)
		return false;
	*e = (struct mst_end){
		.index_offset = mst_load64(h + MST_AT_END_INDEX),
		.totals = {
			.events = mst_load64(h + MST_AT_END_EVENTS),
			.allocs = mst_load64(h + MST_AT_END_ALLOCS),
			.frees = mst_load64(h + MST_AT_END_FREES),
			.failed = mst_load64(h + MST_AT_END_FAILED),
			.lost_events = mst_load64(h + MST_AT_END_LOST_EVENTS),
			.lost_bytes = mst_load64(h + MST_AT_END_LOST_BYTES),
			.duration_ns = mst_load64(h + MST_AT_END_DURATION),
			.live_blocks = mst_load64(h + MST_AT_END_LIVE_BLOCKS),
			.live_bytes = mst_load64(h + MST_AT_END_LIVE_BYTES),
			.allocated_bytes = mst_load64(h + MST_AT_END_ALLOC_BYTES),
			.overlaps = mst_load64(h + MST_AT_END_OVERLAPS),
			.exit_status = (int32_t)mst_load32(h + MST_AT_END_EXIT_STATUS),
		},
		.flags = mst_load32(h + MST_AT_END_FLAGS),
	};
	e->totals.is_clean = e->flags & MST_END_CLEAN;
	e->totals.is_salvaged = e->flags & MST_END_SALVAGED;
	e->totals.is_limited = e->flags & MST_END_LIMITED;
	*why = "an END frame has a payload";
	if (f->stored_len != 0)
		return false;
	*why = "a number of an END frame is out of range";
	return e->totals.events <= MST_NUMBER_MAX && e->totals.live_bytes <= MST_NUMBER_MAX &&
		e->totals.allocated_bytes <= MST_NUMBER_MAX && e->totals.live_blocks <= MST_ORDINAL_MAX &&
		e->totals.allocs <= MST_ORDINAL_MAX;
}

/* extension.h - the kind-specific fields of frame headers: EVT, END (FORMAT.md "EVT", "END").
 *
 * They stand in the header, not in the payload, so that the header hash covers them and that a reader which skips
 * or loses a payload still knows what it held. */
#ifndef MST_EXTENSION_H
#define MST_EXTENSION_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "mstrace.h"

struct mst_evt {
	uint64_t first_event;
	uint64_t first_alloc;  /* ordinal of the frame's first successful acquisition, or of the next to come */
	uint64_t time_base;    /* time of event 0; this and the next two in units of 2^time_shift ns */
	uint64_t time_first;   /* where the order's clock stands at the frame's start and end: */
	uint64_t time_last;    /* the time of its first and last event that is not LATE */
	uint64_t live_blocks;  /* at the start of the frame, over all processes: own acquisitions - own releases */
	uint64_t live_bytes;
	uint64_t lost_events;  /* counted as lost so far */
	uint64_t bytes_before; /* acquired before this frame, in the whole trace */
	uint64_t alloc_bytes;  /* acquired in this frame */
	uint64_t freed_bytes;  /* released in this frame, as far as it lowers live_bytes */
	uint32_t n_alloc;      /* successful acquisitions */
	uint32_t n_free;       /* successful releases */
	uint32_t n_unowned;    /* releases that do not lower live_blocks: inherited or unknown blocks */
	uint32_t n_late;
	uint32_t n_threads;
	uint8_t time_shift;
};

#define MST_EVT_EXTENSION_LEN (MST_EVT_HEADER_LEN - MST_HEADER_MIN)
#define MST_END_EXTENSION_LEN (MST_END_HEADER_LEN - MST_HEADER_MIN)

void mst_evt_store(const struct mst_evt *e, uint8_t extension[MST_EVT_EXTENSION_LEN]);
/* False if the header of f is too short or a field is out of range; *why says which. */
bool mst_evt_load(const struct mst_frame *f, struct mst_evt *e, const char **why);

struct mst_end {
	uint64_t index_offset; /* MST_NO_OFFSET = none */
	struct mst_totals totals;
	uint32_t flags; /* enum mst_end_flag */
};
void mst_end_store(const struct mst_end *e, uint8_t extension[MST_END_EXTENSION_LEN]);
bool mst_end_load(const struct mst_frame *f, struct mst_end *e, const char **why);
#endif

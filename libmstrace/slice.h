/* slice.h - a frame's arrays -> struct mst_event, some at a time.
 *
 * Eighty bytes an event times 65,536 would fall out of the cache before the caller has seen the first; so events are
 * made in slices that stay in it. */
#ifndef MST_SLICE_H
#define MST_SLICE_H

#include <stdint.h>

#include "event.h"
#include "extension.h"
#include "mstrace.h"

#define MST_SLICE_EVENTS 512u

struct mst_slicer {
	struct mst_events ev; /* as the decoder gave them */
	struct mst_evt evt;
	uint32_t at;          /* events made so far */
	uint32_t extra;       /* extras used so far */
	uint64_t ordinal;     /* of the next acquisition */
	uint8_t traits[256];  /* by op byte: whether the call acquired, released */
	struct mst_cursor maps; /* rows of column MAPPING not used yet */
	uint64_t last_map_addr;
	uint32_t n_calls;
	struct mst_sliced_call { /* of the latest slice, in order */
		uint64_t number;
		struct mst_map_call call;
	} calls[MST_SLICE_EVENTS];
	struct mst_cursor pools; /* the same of column POOL */
	struct mst_pool_row last_pool_row;
	uint32_t n_pool_calls;
	struct mst_sliced_pool_call {
		uint64_t number;
		struct mst_pool_call call;
	} pool_calls[MST_SLICE_EVENTS];
};

void mst_slicer_begin(struct mst_slicer *s, const struct mst_events *ev, const struct mst_evt *evt);
/* Makes the next events, at most MST_SLICE_EVENTS; returns how many, 0 at the end of the frame. */
uint32_t mst_slicer_next(struct mst_slicer *s, struct mst_event *out);
/* The mapping call with that event number in the latest slice, or NULL. */
const struct mst_map_call *mst_slicer_map_call(const struct mst_slicer *s, uint64_t number);
/* The same for a pool's call. */
const struct mst_pool_call *mst_slicer_pool_call(const struct mst_slicer *s, uint64_t number);
#endif

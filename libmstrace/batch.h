/* batch.h - one frame's events on their way into the file, with the table frames that must come before it.
 *
 * The writer fills it, the output encodes and writes it; it belongs to one of them at a time (handover.h). */
#ifndef MST_BATCH_H
#define MST_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "event.h"
#include "extension.h"
#include "ledger.h"
#include "mstrace.h"

/* A frame's events. One struct, so that the loops that fill it need one address. */
struct mst_batch_arrays {
	uint64_t time[MST_FRAME_EVENTS_MAX], size[MST_FRAME_EVENTS_MAX], freed[MST_FRAME_EVENTS_MAX],
		addr[MST_FRAME_EVENTS_MAX], freed_addr[MST_FRAME_EVENTS_MAX];
	uint32_t thread[MST_FRAME_EVENTS_MAX], stack[MST_FRAME_EVENTS_MAX];
	uint8_t op[MST_FRAME_EVENTS_MAX];
};

struct mst_batch {
	struct mst_batch_arrays *arrays;
	struct mst_events ev; /* points into them */
	struct mst_evt evt;
	struct mst_pages pages;
	uint32_t flags;
	uint32_t cap_extra;
	struct mst_buffer maps; /* what ev.maps will point to */
	uint64_t last_map_addr;
	struct mst_buffer pools; /* the same for ev.pools */
	struct mst_pool_row last_pool_row;
	bool has_order_time; /* an event that is not LATE has set evt.time_first */
};

/* 0 or MST_ENOMEM; release in either case. */
int mst_batch_init(struct mst_batch *b);
void mst_batch_release(struct mst_batch *b);

void mst_batch_clear(struct mst_batch *b);
/* An extra fact of event i, after those it has. 0 or MST_ENOMEM. */
int mst_batch_add_extra(struct mst_batch *b, uint32_t i, enum mst_extra_kind kind, uint64_t value);
#endif

/* index.h - where each frame is: the convenience at the end of a file (FORMAT.md "INDEX").
 *
 * Nothing depends on it: a reader without one finds the same frames by walking their headers, and with one it still
 * checks every frame it goes to. Memory: one entry of 64 bytes per frame, i.e. per 65,536 events. */
#ifndef MST_INDEX_H
#define MST_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "bytes.h"
#include "extension.h"
#include "frame.h"

struct mst_index_entry {
	uint64_t offset, size; /* of the whole frame, pad included */
	uint64_t seq;
	uint64_t first_event;             /* EVT only, else 0 */
	uint64_t t_first_ns, t_last_ns;   /* EVT only, else 0 */
	uint64_t live_blocks;             /* where an EVT frame begins; 0 in an index that was read */
	uint32_t n_items;
	uint32_t kind;
};

struct mst_index {
	struct mst_index_entry *entries; /* by offset, ascending, not overlapping; grows by doubling */
	size_t n, cap;
};

void mst_index_release(struct mst_index *x);

/* Notes a frame behind all others; `evt` for EVT frames, else NULL. 0 or MST_ENOMEM. */
int mst_index_add(struct mst_index *x, const struct mst_frame *f, const struct mst_evt *evt);

/* Appends the payload of one INDEX frame with entries from `first` on; returns how many. */
uint32_t mst_index_encode(const struct mst_index *x, size_t first, struct mst_buffer *out);
/* Reads one payload; its entries come behind those x has and must end before `limit`, the place of the INDEX frame
 * itself: so a hostile index is no larger than its file. 0, MST_EDAMAGED (x unchanged) or MST_ENOMEM. */
int mst_index_decode(struct mst_index *x, uint32_t n_items, const uint8_t *raw, size_t len, uint64_t limit,
	const char **why);

/* Number of the first entry that is an event frame with t_last_ns >= t_ns; n if there is none. */
size_t mst_index_find_time(const struct mst_index *x, uint64_t t_ns);
#endif

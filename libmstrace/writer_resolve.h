/* writer_resolve.h - what lives in each process, and what a release ended.
 *
 * A single event is looked up in the live map some events after it came in: its cache lines were prefetched when it
 * came, so the lookup does not wait for memory. Ordinals need no lookup (they count successful acquisitions), so
 * they are given out at once. Calls that come as a run are looked up as they are stored (writer_events.c). */
#ifndef MST_WRITER_RESOLVE_H
#define MST_WRITER_RESOLVE_H

#include <stdint.h>

#include "addrmap.h"
#include "images.h"
#include "mstrace.h"
#include "writer.h"

/* Some calls of one thread on their way through the live map of its process: what they change, added to the writer's
 * numbers when they are through. */
struct mst_run {
	struct mst_image *image;
	struct mst_addrmap *map; /* the image's; NULL = it has ended */
	uint64_t ordinal;        /* of the next acquisition */
	uint64_t first_own;
	uint64_t acquired_bytes, ended_bytes;
	uint64_t now_bytes, peak_bytes;
	uint32_t n_released, n_unknown, n_inherited, n_ended; /* n_released is the sum of the others */
	uint32_t n_overlaps;
};

/* Of a process whose image there is. 0 or MST_ENOMEM. */
int mst_run_begin(struct mst_writer *w, uint32_t thread, struct mst_run *r);
void mst_run_end(struct mst_writer *w, const struct mst_run *r);

/* The next ordinal lives at addr. */
static inline int mst_run_acquire(struct mst_run *r, uint64_t addr, uint64_t size)
{
	uint64_t ordinal = r->ordinal++;
	struct mst_live old;
	int rc;

	r->acquired_bytes += size;
	if (!r->map)
		return 0;
	r->now_bytes += size;
	if (r->now_bytes > r->peak_bytes)
		r->peak_bytes = r->now_bytes;
	rc = addr != 0 ? mst_addrmap_insert(r->map, addr, ordinal, size, &old) : 0;
	r->n_overlaps += rc > 0;
	return rc < 0 ? rc : 0;
}

/* What lived at addr ends. 1 and *block; 0 if it is not known; MST_ENOMEM. */
static inline int mst_run_release(struct mst_run *r, uint64_t addr, struct mst_live *block)
{
	int rc = r->map ? mst_addrmap_remove(r->map, addr, block) : 0;

	r->n_released++;
	if (rc <= 0) {
		r->n_unknown++;
	} else if (block->ordinal < r->first_own) {
		r->n_inherited++;
	} else {
		r->n_ended++;
		r->ended_bytes += block->size;
		r->now_bytes -= block->size;
	}
	return rc;
}

/* Brings the live map up to event `end` of the batch, or to the last one. 0 or the writer's error. */
int mst_writer_resolve_upto(struct mst_writer *w, uint32_t end);
int mst_writer_settle(struct mst_writer *w);

/* What a pool's call has acquired and released in the image of its process. At once: pools are called too seldom for
 * the wait of a lookup to matter. 0 or MST_ENOMEM. */
int mst_writer_resolve_pool_call(struct mst_writer *w, const struct mst_event *ev, struct mst_pool_call *call);
#endif

/* writer.h - the writer's inside, shared by its files.
 *
 *     mst_writer_event --> batch (arrays) --some events later--> live map: what did this release end?
 *     mst_writer_calls --> both, a run at a time                                  |
 *     mst_writer_string, ... -> ledger                                            |
 *                                     batch full | one second | flush             v
 *     ledger's new entries + arrays --> output: columns, zstd, hashes, write(2)      (perhaps in a second thread)
 *
 *     writer.c          opening, closing, what it all comes to
 *     writer_events.c   events into the batch
 *     writer_resolve.c  releases to blocks, by the live maps
 *     writer_frame.c    from a full batch to the next one
 *     writer_process.c  processes and threads          writer_tables.c  the other dictionaries
 *     writer_sample.c   samples
 *
 * Two batches: with a second thread, one is filled while the other is encoded and written (handover.h). Failures of the
 * output latch there and surface at the next hand-over. */
#ifndef MST_WRITER_H
#define MST_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "handover.h"
#include "images.h"
#include "ledger.h"
#include "mstrace.h"
#include "output.h"
#include "sample.h"

#define MST_COPY_DIVISOR 100u /* tables said again at the close cost at most this part of the file */

/* What an op byte says; of a failed call FAILED and its layer alone. */
enum mst_trait { MST_TRAIT_ACQUIRES = 1u << 0, MST_TRAIT_RELEASES = 1u << 1, MST_TRAIT_MAPS = 1u << 2,
	MST_TRAIT_SIZED = 1u << 3, MST_TRAIT_POOLS = 1u << 4,
	MST_TRAIT_SPLIT = 1u << 5, /* REALLOC_BEGIN, REALLOC_END */
	MST_TRAIT_FAILED = 1u << 6 };

struct mst_writer_thread {
	uint32_t process;
	uint32_t frame;        /* number of the last frame the thread had an event in (low bits) */
	uint64_t begun;        /* ordinal released by its last REALLOC_BEGIN */
};

struct mst_writer {
	struct mst_header header;
	char *header_text;
	uint32_t frame_events;   /* 0: the trace is as long as allowed */
	uint64_t frame_ns;
	bool copy_stacks;
	uint64_t max_bytes;
	bool is_limited;         /* an event has been refused because of it */

	struct mst_ledger ledger;
	struct mst_images images;
	struct mst_writer_thread *threads; /* by thread id; grows by doubling */
	size_t cap_threads;
	uint64_t now_bytes; /* live in running processes */
	bool has_paused; /* so that blocks may be unknown for that reason */
	struct mst_totals totals;
	uint64_t next_ordinal;   /* of the next successful acquisition */
	uint64_t next_pool_ordinal; /* of the next one in a pool */
	uint64_t clock_units;    /* greatest time of an event that is not LATE */
	uint64_t max_units;      /* greatest time of all */
	struct mst_samples samples; /* not yet in a frame; fewer than MST_SAMPLES_MAX */
	uint64_t sampled_ns;        /* time of the last one */

	struct mst_batch batches[2];
	struct mst_batch *fill;  /* the one being filled */
	uint32_t resolved;       /* events of it that went through the live map */
	uint64_t resolve_ordinal;
	uint32_t frame;          /* counts batches with events */
	uint32_t n_threads, n_stacks; /* greatest ids in use, for the check of every event */
	uint8_t traits[256]; /* by op byte: enum mst_trait */
	const struct mst_map_call *map_call; /* of the event being stored, if it is of the mapping layer */
	struct mst_pool_call *pool_call;     /* the same of the pool layer */
	int rc;                  /* latched */
	struct mst_problem problem;

	struct mst_output output;
	struct mst_handover handover;
};

/* Notes a failure and returns it. MST_ENOMEM latches: something that happened could not be kept. A bad argument, of which
 * `what` tells, concerns only its call. */
int mst_writer_fail(struct mst_writer *w, int rc, const char *what);
/* The same if rc is one. */
static inline int mst_writer_check(struct mst_writer *w, int rc, const char *what)
{
	return rc < 0 ? mst_writer_fail(w, rc, what) : rc;
}

/* Waits until the output is idle; it is then safe to look at. Its failure becomes the writer's. 0 or what has latched. */
int mst_writer_wait(struct mst_writer *w);

/* The first event of the batch, at `units`: what the frame's header says of its start. */
void mst_writer_open_frame(struct mst_writer *w, struct mst_batch *b, uint64_t units);
/* Gives the batch out, with whatever dictionary entries and samples are new. 0 or the writer's error. */
int mst_writer_close_batch(struct mst_writer *w);
/* The batch is full, or has lasted long enough: the next one, if there may be one. 0, or MST_EFULL, or the writer's error. */
int mst_writer_next_frame(struct mst_writer *w);

/* Those that are in no frame yet, as a page of their own. 0 or MST_ENOMEM. */
int mst_writer_put_samples(struct mst_writer *w, struct mst_pages *pages);
#endif

/* handover.h - batches on their way to the output, which may work in a thread of its own.
 *
 *     writer fills a batch --give--> output encodes, compresses, writes
 *     writer fills the other one     (with the thread: at the same time)
 *
 * The writer's side owns the ledger, the images and the totals; the other side owns the output. A batch belongs to one of
 * them at a time, and the hand-over under the mutex is all they share. Failures of the output latch there, and are seen by
 * whoever waits. */
#ifndef MST_HANDOVER_H
#define MST_HANDOVER_H

#include <pthread.h>
#include <stdbool.h>

#include "batch.h"
#include "output.h"

struct mst_handover {
	struct mst_output *output; /* borrowed */
	bool threaded;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;         /* job or quit changed */
	const struct mst_batch *job; /* given, not yet written */
	bool quit;
};

/* Without a thread, at first. */
void mst_handover_init(struct mst_handover *h, struct mst_output *o);
void mst_handover_release(struct mst_handover *h); /* stops */

/* 0 or MST_ENOMEM. */
int mst_handover_start(struct mst_handover *h);
/* What was given is written first. */
void mst_handover_stop(struct mst_handover *h);

/* Waits until the output is idle; it is then safe to look at. */
void mst_handover_wait(struct mst_handover *h);
/* To an output that is idle. It has the batch until it is idle again: without the thread that is at once. */
void mst_handover_give(struct mst_handover *h, const struct mst_batch *b);
#endif

/* merge.h - many queues, each in the order of its thread's stamps, become one order.
 *
 * A binary heap of queues by the key of their first item (then by queue.order). Threads run for thousands of
 * events between switches, so the loop takes a run: all items of the first queue that precede the second
 * queue's first; the heap is touched once per run, and with one active thread never. */
#ifndef MS_MERGE_H
#define MS_MERGE_H

#include "queue.h"

struct ms_merge_entry {
	uint64_t key; /* of the queue's first item */
	struct ms_queue *queue;
};

struct ms_merge {
	struct ms_merge_entry *heap; /* from 1 */
	size_t n, cap;
};

void ms_merge_release(struct ms_merge *m);

/* q has got items, or its first item has changed: takes its place among the others. 0, or -1 without memory:
 * the queue is then not merged until the next try. */
int ms_merge_update(struct ms_merge *m, struct ms_queue *q);
/* q is to be forgotten with whatever it holds. */
void ms_merge_remove(struct ms_merge *m, struct ms_queue *q);

/* Hands every item with a stamp <= watermark to emit, in order, and drops it from its queue. emit gets runs: *n items that
 * follow each other in one block of one queue. When it returns non-zero, which is passed on, it has taken only as many as it
 * says by *n. What it has taken is dropped; emit owns the notes of it. */
typedef int ms_merge_emit(void *ctx, struct ms_queue *q, struct ms_item *items, uint32_t *n);
int ms_merge_run(struct ms_merge *m, struct ms_pool *pool, uint64_t watermark, ms_merge_emit *emit, void *ctx);

#endif

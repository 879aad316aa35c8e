/* See merge.h. */
#include "merge.h"

#include <stdlib.h>

static bool before(const struct ms_merge_entry *a, const struct ms_merge_entry *b)
{
	return a->key != b->key ? a->key < b->key : a->queue->order < b->queue->order;
}

static void place(struct ms_merge *m, size_t at, struct ms_merge_entry e)
{
	m->heap[at] = e;
	e.queue->at = (uint32_t)at;
}

static void sift_up(struct ms_merge *m, size_t at)
{
	struct ms_merge_entry e = m->heap[at];
	for (; at > 1 && before(&e, &m->heap[at / 2]); at /= 2)
		place(m, at, m->heap[at / 2]);
	place(m, at, e);
}

static void sift_down(struct ms_merge *m, size_t at)
{
	struct ms_merge_entry e = m->heap[at];
	for (;;) {
		size_t child = at * 2;
		if (child > m->n)
			break;
		if (child < m->n && before(&m->heap[child + 1], &m->heap[child]))
			child++;
		if (!before(&m->heap[child], &e))
			break;
		place(m, at, m->heap[child]);
		at = child;
	}
	place(m, at, e);
}

void ms_merge_release(struct ms_merge *m)
{
	free(m->heap);
	m->heap = NULL;
	m->n = m->cap = 0;
}

static int add(struct ms_merge *m, struct ms_queue *q)
{
	if (m->n + 1 >= m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct ms_merge_entry *heap = realloc(m->heap, cap * sizeof *heap);
		if (!heap)
			return -1;
		m->heap = heap;
		m->cap = cap;
	}
	m->n++;
	place(m, m->n, (struct ms_merge_entry){.queue = q});
	return 0;
}

int ms_merge_update(struct ms_merge *m, struct ms_queue *q)
{
	if (q->n == 0)
		return 0;
	if (!q->at && add(m, q))
		return -1;
	m->heap[q->at].key = ms_queue_head(q)->key;
	sift_up(m, q->at);
	return 0;
}

void ms_merge_remove(struct ms_merge *m, struct ms_queue *q)
{
	size_t at = q->at;
	if (!at)
		return;
	q->at = 0;
	struct ms_merge_entry last = m->heap[m->n--];
	if (last.queue == q)
		return;
	place(m, at, last);
	sift_up(m, at);
	sift_down(m, last.queue->at);
}

/* The greatest key that the run of the first queue may have: below the second's first item, and not beyond `last`. */
static uint64_t run_last(const struct ms_merge *m, uint64_t last)
{
	if (m->n < 2)
		return last;
	const struct ms_merge_entry *next = m->n > 2 && before(&m->heap[3], &m->heap[2]) ? &m->heap[3] : &m->heap[2];
	uint64_t key = next->key - (m->heap[1].queue->order > next->queue->order);
	return key < last ? key : last;
}

/* Items at the head of q that stand in one block and do not pass `last`; the first does not. */
static uint32_t run_length(const struct ms_queue *q, uint64_t last)
{
	const struct ms_item *items = ms_queue_head(q);
	uint64_t in_block = MS_BLOCK_ITEMS - q->first, n = 1;
	if (in_block > q->n)
		in_block = q->n;
	while (n < in_block && items[n].key <= last)
		n++;
	return (uint32_t)n;
}

int ms_merge_run(struct ms_merge *m, struct ms_pool *pool, uint64_t watermark, ms_merge_emit *emit, void *ctx)
{
	uint64_t watermark_key = MS_ITEM_KEY(watermark, true);
	int rc = 0;
	while (rc == 0 && m->n && m->heap[1].key <= watermark_key) {
		struct ms_queue *q = m->heap[1].queue;
		uint64_t last = run_last(m, watermark_key);
		do {
			uint32_t n = run_length(q, last);
			rc = emit(ctx, q, ms_queue_head(q), &n);
			ms_queue_drop(q, pool, n);
		} while (rc == 0 && q->n && ms_queue_head(q)->key <= last);
		if (q->n == 0) {
			ms_merge_remove(m, q);
		} else {
			m->heap[1].key = ms_queue_head(q)->key;
			sift_down(m, 1);
		}
	}
	return rc;
}

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

/* Where the run of the first queue ends: at the second's first item, or at the watermark. */
static struct ms_merge_entry run_end(const struct ms_merge *m)
{
	if (m->n < 2)
		return (struct ms_merge_entry){.key = UINT64_MAX};
	return m->n > 2 && before(&m->heap[3], &m->heap[2]) ? m->heap[3] : m->heap[2];
}

int ms_merge_run(struct ms_merge *m, struct ms_pool *pool, uint64_t watermark,
	int (*emit)(void *ctx, struct ms_queue *q, struct ms_item *item), void *ctx)
{
	uint64_t last_key = MS_ITEM_KEY(watermark, true);
	int rc = 0;
	while (rc == 0 && m->n && m->heap[1].key <= last_key) {
		struct ms_queue *q = m->heap[1].queue;
		struct ms_merge_entry end = run_end(m);
		do {
			rc = emit(ctx, q, ms_queue_head(q));
			ms_queue_drop(q, pool);
			if (rc || q->n == 0)
				break;
			m->heap[1].key = ms_queue_head(q)->key;
		} while (m->heap[1].key <= last_key && (!end.queue || before(&m->heap[1], &end)));
		if (q->n == 0) {
			ms_merge_remove(m, q);
		} else {
			m->heap[1].key = ms_queue_head(q)->key;
			sift_down(m, 1);
		}
	}
	return rc;
}

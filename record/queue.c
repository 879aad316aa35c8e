/* See queue.h. */
#include "queue.h"

#include <stdlib.h>

#include "mstrace.h"
#include "wire.h"

#define KEEP_FREE 512u /* blocks the pool keeps, 4 MiB; beyond that they go back to the system */

void ms_pool_release(struct ms_pool *p)
{
	while (p->free) {
		struct ms_block *next = p->free->next;
		free(p->free);
		p->free = next;
	}
	p->n_free = 0;
}

struct ms_item *ms_queue_grow(struct ms_queue *q, struct ms_pool *p)
{
	struct ms_block *block = p->free;
	if (block) {
		p->free = block->next;
		p->n_free--;
	} else {
		block = malloc(sizeof *block);
		if (!block)
			return NULL;
	}
	p->n_used++;
	block->next = NULL;
	if (q->tail)
		q->tail->next = block;
	else
		q->head = block;
	q->tail = block;
	q->end = 1;
	q->n++;
	return &block->items[0];
}

void ms_queue_settle(struct ms_queue *q)
{
	struct ms_item *items = q->tail->items;
	uint32_t lowest = q->head == q->tail ? q->first : 0;
	for (uint32_t i = q->end - 1; i > lowest && items[i].key < items[i - 1].key; i--) {
		struct ms_item later = items[i - 1];
		items[i - 1] = items[i];
		items[i] = later;
	}
}

void ms_queue_shift(struct ms_queue *q, struct ms_pool *p)
{
	struct ms_block *block = q->head;
	q->head = block->next;
	q->first = 0;
	if (!q->head) {
		q->tail = NULL;
		q->end = 0;
	}
	p->n_used--;
	if (p->n_free >= KEEP_FREE) {
		free(block);
		return;
	}
	block->next = p->free;
	p->free = block;
	p->n_free++;
}

void ms_queue_clear(struct ms_queue *q, struct ms_pool *p)
{
	while (q->n) {
		struct ms_item *item = ms_queue_head(q);
		if (item->kind >= MS_U_MODULE)
			free(item->note);
		else if (mst_op_maps(item->kind))
			free(item->more);
		ms_queue_drop(q, p, 1);
	}
}

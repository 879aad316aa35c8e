/* queue.h - the units of one thread, drained and waiting for their place in the order.
 *
 * A list of fixed blocks of items: written at the tail by drain.c, taken from the head by merge.c. Blocks
 * come from a pool that keeps what was freed last on top, so that in the steady state the same few blocks
 * stay in cache, and memory is bounded by what waits, whatever the number of threads. */
#ifndef MS_QUEUE_H
#define MS_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One unit. */
struct ms_item {
	uint64_t key; /* stamp and rank in the order: MS_ITEM_KEY */
	uint64_t addr;
	uint64_t size;
	union {
		uint64_t old_addr;
		struct ms_note *more; /* calls of the mapping layer: their words (unit.h), owned by the item; or NULL */
	};
	union {
		void *note; /* kinds from 64: what the unit says (struct ms_note), owned by the item */
		struct {
			uint32_t node; /* stack, in the image's tree */
			uint32_t align;
		};
	};
	uint16_t err;
	uint8_t kind;  /* enum mst_op or enum ms_unit_kind */
	uint8_t flags; /* enum ms_unit_flag */
};

/* At equal stamps, what releases (or tells) goes before what acquires. */
#define MS_ITEM_KEY(stamp, acquires) ((stamp) << 1 | (uint64_t) !!(acquires))
#define MS_ITEM_STAMP(key) ((key) >> 1)

#define MS_BLOCK_ITEMS 168u

struct ms_block {
	struct ms_block *next;
	struct ms_item items[MS_BLOCK_ITEMS];
};

struct ms_pool {
	struct ms_block *free;
	size_t n_free;
	size_t n_used; /* blocks in queues */
};
void ms_pool_release(struct ms_pool *p);

struct ms_queue {
	struct ms_block *head, *tail;
	uint32_t first; /* next item of head */
	uint32_t end;	/* items used in tail */
	uint64_t n;	/* items waiting */
	uint32_t order; /* decides between equal keys */
	uint32_t at;	/* place in the merge's heap, from 1; 0 = not in it */
};

/* Room for one more item at the tail, which the caller fills at once; NULL without memory. */
struct ms_item *ms_queue_grow(struct ms_queue *q, struct ms_pool *p);
static inline struct ms_item *ms_queue_push(struct ms_queue *q, struct ms_pool *p)
{
	if (!q->tail || q->end == MS_BLOCK_ITEMS)
		return ms_queue_grow(q, p);
	q->n++;
	return &q->tail->items[q->end++];
}

/* Moves the item just pushed before those of a greater key that stand in the same block: a signal handler's
 * events are published after the event they interrupted, with earlier stamps. */
void ms_queue_settle(struct ms_queue *q);

/* The first item; the queue is not empty. Valid until it is dropped. */
static inline struct ms_item *ms_queue_head(const struct ms_queue *q)
{
	return &q->head->items[q->first];
}

/* Gives the head's block back to the pool: it is used up. */
void ms_queue_shift(struct ms_queue *q, struct ms_pool *p);
/* Drops the first n items, which stand in one block. */
static inline void ms_queue_drop(struct ms_queue *q, struct ms_pool *p, uint32_t n)
{
	q->first += n;
	q->n -= n;
	if (n && (q->n == 0 || q->first == MS_BLOCK_ITEMS))
		ms_queue_shift(q, p);
}

/* Drops all items. Their notes are freed. */
void ms_queue_clear(struct ms_queue *q, struct ms_pool *p);

#endif

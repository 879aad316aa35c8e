/* liveset.h - the blocks that live, by ordinal.
 *
 * A block is known by its ordinal, never by its address: addresses come back. Live blocks lie in a pool of
 * 48-byte slots whose free slots form a LIFO list, so that the short-lived majority keeps using the same few
 * cache lines; a chained table of pool indices finds a slot by ordinal:
 *
 *     heads[home(ordinal)] -> pool[i] -> pool[pool[i].next] -> ...        load factor <= 1/2
 *
 * home() keeps 64 consecutive ordinals side by side (whoever frees the blocks of one burst walks one run of
 * heads) and scatters the runs by an odd multiplier drawn per set, so that no file can choose ordinals that
 * all fall into one chain. Open addressing was rejected: ordinals come in dense runs, and runs are what makes
 * linear probing degenerate. */
#ifndef MST_LIVESET_H
#define MST_LIVESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MST_NO_SLOT UINT32_MAX
#define MST_RUN_BITS 6 /* consecutive ordinals kept side by side in heads[] */

struct mst_live { /* one slot of the pool; alloc 0 = free slot */
	uint64_t alloc, addr, size, time_ns;
	uint32_t site; /* the caller's, as are addr, size, time_ns, thread, op */
	uint32_t thread;
	uint32_t next; /* in the same chain, or in the free list */
	uint8_t op;
	uint8_t align_bits; /* alignment asked for is 2^(align_bits - 1); 0 = none */
};

struct mst_liveset {
	struct mst_live *pool;
	uint32_t n_slots, cap_slots; /* slots ever used, and there */
	uint32_t free_slot;	     /* first of the free list, MST_NO_SLOT = none */
	uint32_t n_live;
	uint32_t *heads; /* 2^head_bits chains, MST_NO_SLOT = empty */
	unsigned head_bits;
	uint64_t scatter; /* odd */
};

int mst_liveset_init(struct mst_liveset *s);
void mst_liveset_release(struct mst_liveset *s);

/* Makes room for at least one more block. MST_ENOMEM is the only failure. */
int mst_liveset_grow(struct mst_liveset *s);

static inline size_t mst_liveset_home(const struct mst_liveset *s, uint64_t alloc)
{
	uint64_t run = ((alloc >> MST_RUN_BITS) * s->scatter) >> (64 - (s->head_bits - MST_RUN_BITS));
	return (size_t)(run << MST_RUN_BITS | (alloc & ((1u << MST_RUN_BITS) - 1)));
}

/* The link (head or next) that holds the block's slot index, or NULL. Valid until the next insertion. */
static inline uint32_t *mst_liveset_find(const struct mst_liveset *s, uint64_t alloc)
{
	uint32_t *link = &s->heads[mst_liveset_home(s, alloc)];
	while (*link != MST_NO_SLOT && s->pool[*link].alloc != alloc)
		link = &s->pool[*link].next;
	return *link == MST_NO_SLOT ? NULL : link;
}

/* Takes the block that a link of find() holds out of the set. */
static inline void mst_liveset_remove(struct mst_liveset *s, uint32_t *link)
{
	uint32_t slot = *link;
	*link = s->pool[slot].next;
	s->pool[slot].alloc = 0;
	s->pool[slot].next = s->free_slot;
	s->free_slot = slot;
	s->n_live--;
}

/* A slot for a block of that ordinal, which must not be there yet; the caller fills the rest. NULL: no
 * memory. */
static inline struct mst_live *mst_liveset_insert(struct mst_liveset *s, uint64_t alloc)
{
	if (s->free_slot == MST_NO_SLOT && mst_liveset_grow(s) < 0)
		return NULL;
	uint32_t slot = s->free_slot;
	s->free_slot = s->pool[slot].next;
	uint32_t *head = &s->heads[mst_liveset_home(s, alloc)];
	s->pool[slot].alloc = alloc;
	s->pool[slot].next = *head;
	*head = slot;
	s->n_live++;
	return &s->pool[slot];
}

/* A live block, where blocks are wanted by age. */
struct mst_aged {
	uint64_t alloc;
	uint32_t slot;
};
/* All of them, n_live, oldest first; to be freed. NULL without memory. */
struct mst_aged *mst_liveset_by_age(const struct mst_liveset *s);

#endif

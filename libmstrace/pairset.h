/* pairset.h - (64 bits, 32 bits) -> id: the writer's interning of stack nodes, code addresses, and the hashes of
 * strings and modules.
 *
 * Open addressing with linear probing at a load of at most 5/8; 16-byte slots, so a lookup is one cache miss. Only
 * ever grows. */
#ifndef MST_PAIRSET_H
#define MST_PAIRSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mst_pair {
	uint64_t a;
	uint32_t b;
	uint32_t id; /* > 0; 0 = empty slot */
};

struct mst_pairset {
	struct mst_pair *slots; /* 2^bits, NULL while empty */
	unsigned bits;
	size_t n;
};

void mst_pairset_release(struct mst_pairset *s);

/* The slot of (a, b): its id is 0 if the pair is new, and the caller then sets it (a and b are in place) and counts
 * with mst_pairset_added. Lives until the next call. NULL when memory is short. */
struct mst_pair *mst_pairset_at(struct mst_pairset *s, uint64_t a, uint32_t b);

static inline void mst_pairset_added(struct mst_pairset *s)
{
	s->n++;
}
#endif

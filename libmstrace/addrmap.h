/* addrmap.h - the writer's live map of one process image: address -> (ordinal, size).
 *
 * It answers one question per release, "which allocation does this address end?", for millions of live blocks
 * at some ten nanoseconds, in <= 20 bytes per block of a dense heap (51 of one per KiB or two, 74 where all are alone in their
 * tract), and it can be cloned at a fork in O(tracts).
 *
 * Shape: a page table. What a program acquires next lies mostly beside what it acquired last, so neighbours stand together:
 * a hash table of 64-KiB tracts of the address space, in each of them 64 cells of a KiB, and for each cell that has blocks a leaf,
 * an array that doubles when it is full. Within a leaf blocks stand in no order: a new one goes to the end, the last
 * one fills the place of one that is gone, and an address is found by comparing 32 tags at a time. A tract begins without
 * cells, as one array (few.h), and gets them when it has more than 24 blocks: 64 cells are too much for a heap of large blocks.
 *
 *     addr --bits 16..63, 0..2--> table --> few, or
 *                                           tract { refs | cell[64] }    (bits 0..2: so that 7 bits are left to tell blocks
 *     cell[bits 10..15] = { number of entries, leaf, size of the leaf }   of a cell apart, whatever the alignment)
 *     leaf = tag[0], tag[1], ...  -->     <--  ..., entry[1], entry[0]    9 bytes a block
 *     tag = bits 3..9 of the address      entry = { ordinal:40, size:24 }
 *
 * A size that does not fit stands in an entry of its own, under the same tag with its 8th bit set.
 * So growth moves one leaf at a time (no pause, no moment with two copies of it all), memory is given back leaf by leaf, and a clone
 * shares all tracts: they carry a reference count and are copied, with their leaves, when first changed.
 *
 * Rejected: one big open-addressing table (a rehash stops the recorder for seconds at 100 M blocks, and a clone
 * copies everything), trees (3-4 dependent misses per lookup instead of 1-2), extendible hashing (4-KiB segments of cache lines
 * of four slots, hashed; each block of a growing heap touches a line of its own, and the splits copy: jq took four times as long). */
#ifndef MST_ADDRMAP_H
#define MST_ADDRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mst_addrmap;

/* What lives at an address. */
struct mst_live {
	uint64_t ordinal; /* 1..MST_ORDINAL_MAX */
	uint64_t size;
};

struct mst_addrmap *mst_addrmap_new(void);
/* A second map with the same content; either may then change alone. NULL when memory is short. Both maps must
 * stay on one thread. */
struct mst_addrmap *mst_addrmap_clone(struct mst_addrmap *m);
void mst_addrmap_free(struct mst_addrmap *m); /* NULL is fine */

/* Fetches the cache lines that inserts or removals of n addresses will touch; worth calling some events ahead. */
void mst_addrmap_prefetch(const struct mst_addrmap *m, const uint64_t *addrs, size_t n);

/* Notes a block at addr (> 0) with its ordinal (<= MST_ORDINAL_MAX) and size. Returns 1 if there was one already: it is replaced and handed out in *old; 0 if
 * not; MST_ENOMEM with the map unchanged. */
int mst_addrmap_insert(struct mst_addrmap *m, uint64_t addr, uint64_t ordinal, uint64_t size, struct mst_live *old);

/* Takes out the block at addr. Returns 1 and *block, 0 if there is none, or MST_ENOMEM (a shared tract could not
 * be copied) with the map unchanged. */
int mst_addrmap_remove(struct mst_addrmap *m, uint64_t addr, struct mst_live *block);

/* Is there a block at addr? */
bool mst_addrmap_has(const struct mst_addrmap *m, uint64_t addr);

/* Blocks in the map. */
uint64_t mst_addrmap_count(const struct mst_addrmap *m);
/* Bytes of memory this map would free if it shared nothing. */
size_t mst_addrmap_memory(const struct mst_addrmap *m);
#endif

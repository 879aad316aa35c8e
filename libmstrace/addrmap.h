/* addrmap.h - the writer's live map of one process image: address -> (ordinal, size).
 *
 * It answers one question per release, "which allocation does this address end?", for millions of live blocks
 * at tens of nanoseconds, in <= 30 bytes per block, and it can be cloned at a fork in O(live / 250).
 *
 * Shape: extendible hashing. A directory of 2^depth pointers, indexed by the top bits of the address's hash,
 * leads to segments: 4-KiB tables of 63 cache lines of four 16-byte slots. An address belongs to one line; it stands there
 * or, if that is full, in one of the next few (a stray, which its own line counts, so that a lookup knows when one
 * line is enough). A segment without room there is split in two by one more bit; the directory doubles only
 * when that segment used all of its bits. So growth moves one page at a time (no pause, no moment with two copies),
 * and a clone shares all segments: they carry a reference count and are copied when first changed.
 *
 *     hash 0b 1011.... --top bits--> directory[0b1011] --> segment { refs depth reach | line line line ... }
 *     line = 4 x { addr:48, ordinal:40, size:39 }, and one bit each that together count the line's strays
 *
 * What does not fit a slot (a size of 2^39 - 1 or more, an address of 2^48 or more or with nothing but zeros in its low
 * half) stands in a short side list.
 * Rejected: one big open-addressing table (a rehash stops the recorder for seconds at 100 M blocks, and a clone
 * copies everything), trees (3-4 dependent misses per lookup instead of 1-2), linear probing slot by slot (at this
 * load a pair of insert and remove took twice the time), and lines of neighbouring addresses (fewer cache lines, but so many
 * strays that CPython's events took a third more). */
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

/* Takes out the block at addr. Returns 1 and *block, 0 if there is none, or MST_ENOMEM (a shared segment could not
 * be copied) with the map unchanged. */
int mst_addrmap_remove(struct mst_addrmap *m, uint64_t addr, struct mst_live *block);

/* Is there a block at addr? */
bool mst_addrmap_has(const struct mst_addrmap *m, uint64_t addr);

/* Blocks in the map. */
uint64_t mst_addrmap_count(const struct mst_addrmap *m);
/* Bytes of memory this map would free if it shared nothing. */
size_t mst_addrmap_memory(const struct mst_addrmap *m);
#endif

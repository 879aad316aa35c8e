/* slabs.h - pieces of memory of 32 bytes to 4 KiB, taken and given back one by one, for a structure that is hit at random places.
 *
 * A piece's size is a power of two, its address a multiple of it. Pages of 4 KiB are each cut into pieces of one size and stay so;
 * they come out of blocks that grow with the whole. From MST_SLABS_HUGE on, a block is aligned to and asks for huge pages
 * (madvise(2), a wish only): with millions of live blocks in the address map, half of the recorder's time went
 * into the translation of addresses before. Blocks go back to the system when the last user has let go.
 *
 * One thread at a time, as the maps that share it. */
#ifndef MST_SLABS_H
#define MST_SLABS_H

#include <stddef.h>

#define MST_SLABS_BITS_MIN 5u
#define MST_SLABS_BITS_MAX 12u
#define MST_SLABS_HUGE ((size_t)2 << 20)

struct mst_slabs;

/* Empty, with one reference; NULL when memory is short. */
struct mst_slabs *mst_slabs_new(void);
void mst_slabs_ref(struct mst_slabs *s);
/* The last one frees everything, every piece included. */
void mst_slabs_unref(struct mst_slabs *s);

/* A piece of 2^bits bytes of whatever content; the caller's until given back. NULL when memory is short. */
void *mst_slabs_take(struct mst_slabs *s, unsigned bits);
/* `bits` as it was taken with. */
void mst_slabs_give(struct mst_slabs *s, void *piece, unsigned bits);
#endif

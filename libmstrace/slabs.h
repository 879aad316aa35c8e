/* slabs.h - pieces of memory of 32 bytes to 4 KiB, taken and given back one by one, for a structure that is hit at random places.
 *
 * A piece's size is a power of two, its address a multiple of it. Pages of 4 KiB are each cut into pieces of one size and stay so;
 * they come out of blocks that grow with the whole, up to huge pages. Blocks go back to the system when the last user has
 * let go.
 *
 * One thread at a time, as the maps that share it. */
#ifndef MST_SLABS_H
#define MST_SLABS_H

#include <stddef.h>

#define MST_SLABS_BITS_MIN 5u
#define MST_SLABS_BITS_MAX 12u

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

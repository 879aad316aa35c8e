/* pagepool.h - pages of 4 KiB, taken and given back one by one, for a structure that is hit at random places.
 *
 * They come out of blocks that grow with the pool. From MST_PAGEPOOL_HUGE on, a block is aligned to and asks for huge pages
 * (madvise(2), a wish only): with millions of live blocks in the address map, half of the recorder's time went
 * into the translation of addresses before. Blocks go back to the system when the last user has let go.
 *
 * One thread at a time, as the maps that share it. */
#ifndef MST_PAGEPOOL_H
#define MST_PAGEPOOL_H

#include <stddef.h>

#define MST_PAGEPOOL_PAGE ((size_t)4096)
#define MST_PAGEPOOL_HUGE ((size_t)2 << 20)

struct mst_pagepool;

/* An empty pool with one reference; NULL when memory is short. */
struct mst_pagepool *mst_pagepool_new(void);
void mst_pagepool_ref(struct mst_pagepool *p);
/* The last one frees the pool and every page of it. */
void mst_pagepool_unref(struct mst_pagepool *p);

/* A page of whatever content, aligned to its size; the caller's until given back. NULL when memory is short. */
void *mst_pagepool_take(struct mst_pagepool *p);
void mst_pagepool_give(struct mst_pagepool *p, void *page);
#endif

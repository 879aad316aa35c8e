/* huge.h - memory for what is large and hit at random places, such as hash tables; for the library and for msrecord.
 *
 * It asks for huge pages (madvise(2), a wish only): with millions of live blocks, half of the recorder's time went into the
 * translation of addresses before, and with a million stack nodes an eighth. */
#ifndef MST_HUGE_H
#define MST_HUGE_H

#include <stddef.h>

#define MST_HUGE_PAGE ((size_t)2 << 20)
#define MST_HUGE_SMALL ((size_t)4096) /* alignment of what is smaller */

/* Asks for huge pages for those of a table's bytes that can be in one. A kernel without them gives small ones. */
void mst_huge_wish(void *table, size_t bytes);

/* `size` bytes of whatever content, a multiple of MST_HUGE_SMALL and, from MST_HUGE_PAGE on, of that: then it is aligned to huge
 * pages and has asked for them. Freed by free(3); NULL when memory is short. */
void *mst_huge_alloc(size_t size);
#endif

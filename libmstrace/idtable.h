/* idtable.h - entries of one size by dense id.
 *
 * Ids are dense in a sound file, so a table is one growing array. After damage it has holes: it is then a few
 * contiguous pieces in ascending order, never an array as large as the greatest id a hostile file cares to name.
 * Memory stays within 1.5 times the entries there are. */
#ifndef MST_IDTABLE_H
#define MST_IDTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mst_piece {
	uint32_t first, n, cap; /* ids first .. first + n - 1 */
	uint8_t *entries;
};

struct mst_table {
	size_t entry_size;
	struct mst_piece *pieces; /* ascending, never overlapping, never touching where it could be avoided */
	size_t n_pieces, cap_pieces;
};

void mst_table_init(struct mst_table *t, size_t entry_size);
void mst_table_release(struct mst_table *t);

/* The entry of id, NULL if there is none. Lives until the next add. */
void *mst_table_get(const struct mst_table *t, uint32_t id);

/* Makes room for id. *is_new: the entry was made now and is all zero. NULL when memory or the limit of pieces is
 * exhausted. */
void *mst_table_add(struct mst_table *t, uint32_t id, bool *is_new);

/* Greatest id in use, 0 if there is none. */
static inline uint32_t mst_table_last(const struct mst_table *t)
{
	const struct mst_piece *p = t->n_pieces ? &t->pieces[t->n_pieces - 1] : NULL;

	return p ? p->first + p->n - 1 : 0;
}

/* The entry behind the last one, of any content, if there is room for it already; else NULL, and mst_table_add makes some. */
static inline void *mst_table_append(struct mst_table *t)
{
	struct mst_piece *p = t->n_pieces ? &t->pieces[t->n_pieces - 1] : NULL;

	return p && p->n < p->cap ? p->entries + (size_t)p->n++ * t->entry_size : NULL;
}

/* The entries from id on that stand side by side: the first, NULL if there is none, and *n, how many. */
const void *mst_table_run(const struct mst_table *t, uint32_t id, uint32_t *n);
#endif

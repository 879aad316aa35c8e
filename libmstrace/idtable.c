#include "idtable.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"

void mst_table_init(struct mst_table *t, size_t entry_size)
{
	*t = (struct mst_table){.entry_size = entry_size};
}

void mst_table_release(struct mst_table *t)
{
	for (size_t i = 0; i < t->n_pieces; i++)
		free(t->pieces[i].entries);
	free(t->pieces);
	*t = (struct mst_table){.entry_size = t->entry_size};
}

/* Number of pieces that start at or before id. */
static size_t pieces_upto(const struct mst_table *t, uint32_t id)
{
	size_t low = 0, high = t->n_pieces;

	if (high != 0 && t->pieces[high - 1].first <= id)
		return high;
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (t->pieces[mid].first <= id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void *mst_table_get(const struct mst_table *t, uint32_t id)
{
	size_t i = pieces_upto(t, id);
	const struct mst_piece *p;

	if (i == 0)
		return NULL;
	p = &t->pieces[i - 1];
	return id - p->first < p->n ? p->entries + (size_t)(id - p->first) * t->entry_size : NULL;
}

const void *mst_table_run(const struct mst_table *t, uint32_t id, uint32_t *n)
{
	size_t i = pieces_upto(t, id);
	const struct mst_piece *p = i ? &t->pieces[i - 1] : NULL;
	uint32_t at = p ? id - p->first : 0;

	*n = p && at < p->n ? p->n - at : 0;
	return *n ? p->entries + (size_t)at * t->entry_size : NULL;
}

/* An empty piece at place i, starting with id. */
static struct mst_piece *insert_piece(struct mst_table *t, size_t i, uint32_t id)
{
	if (t->n_pieces == MST_PIECES_MAX)
		return NULL;
	if (t->n_pieces == t->cap_pieces) {
		size_t cap = t->cap_pieces ? 2 * t->cap_pieces : 1;
		struct mst_piece *grown = realloc(t->pieces, cap * sizeof(*grown));

		if (!grown)
			return NULL;
		t->pieces = grown;
		t->cap_pieces = cap;
	}
	memmove(&t->pieces[i + 1], &t->pieces[i], (t->n_pieces - i) * sizeof(*t->pieces));
	t->pieces[i] = (struct mst_piece){.first = id};
	t->n_pieces++;
	return &t->pieces[i];
}

static bool grow_piece(struct mst_table *t, struct mst_piece *p)
{
	size_t cap = (size_t)p->cap + p->cap / 2 + 1;
	uint8_t *grown;

	if (p->n < p->cap)
		return true;
	grown = realloc(p->entries, cap * t->entry_size);
	if (!grown)
		return false;
	p->entries = grown;
	p->cap = (uint32_t)(cap < UINT32_MAX ? cap : UINT32_MAX);
	return true;
}

void *mst_table_add(struct mst_table *t, uint32_t id, bool *is_new)
{
	size_t i = pieces_upto(t, id);
	struct mst_piece *p = i ? &t->pieces[i - 1] : NULL;
	void *entry;

	*is_new = false;
	if (p && id - p->first < p->n)
		return p->entries + (size_t)(id - p->first) * t->entry_size;
	if (!p || id - p->first != p->n) {
		p = insert_piece(t, i, id);
		if (!p)
			return NULL;
	}
	if (!grow_piece(t, p)) {
		if (p->n == 0) { /* take the empty piece out again */
			memmove(p, p + 1, (size_t)(&t->pieces[t->n_pieces] - (p + 1)) * sizeof(*p));
			t->n_pieces--;
		}
		return NULL;
	}
	entry = p->entries + (size_t)p->n * t->entry_size;
	memset(entry, 0, t->entry_size);
	p->n++;
	*is_new = true;
	return entry;
}

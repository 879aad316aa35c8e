#include "slabs.h"

#include <assert.h>
#include <stdlib.h>

#include "huge.h"

#define PAGE ((size_t)1 << MST_SLABS_BITS_MAX)
_Static_assert(PAGE == MST_HUGE_SMALL, "a block is aligned to pages");
#define FIRST_BLOCK (16 * PAGE) /* most traced processes never need a second one */

/* A free piece; its first bytes serve as the link. */
struct piece {
	struct piece *next;
};

/* Stands apart from the block it describes, which is all pages. */
struct block {
	struct block *next;
	void *start;
};

/* Memory never taken. */
struct fresh {
	char *p, *end;
};

struct mst_slabs {
	unsigned refs;
	struct piece *free[MST_SLABS_BITS_MAX + 1]; /* by size */
	struct fresh fresh[MST_SLABS_BITS_MAX + 1]; /* of the latest page of each size; of whole pages: of the latest block */
	struct block *blocks;
	size_t next_size;
};

struct mst_slabs *mst_slabs_new(void)
{
	struct mst_slabs *s = calloc(1, sizeof(*s));

	if (s) {
		s->refs = 1;
		s->next_size = FIRST_BLOCK;
	}
	return s;
}

void mst_slabs_ref(struct mst_slabs *s)
{
	s->refs++;
}

void mst_slabs_unref(struct mst_slabs *s)
{
	if (--s->refs != 0)
		return;
	while (s->blocks) {
		struct block *b = s->blocks;

		s->blocks = b->next;
		free(b->start);
		free(b);
	}
	free(s);
}

/* Each block is as large as all before it, until it fills a huge page. */
static void *add_block(struct mst_slabs *s, size_t *size)
{
	struct block *b = malloc(sizeof(*b));

	*size = s->next_size;
	if (!b)
		return NULL;
	b->start = mst_huge_alloc(*size);
	if (!b->start) {
		free(b);
		return NULL;
	}
	if (*size < MST_HUGE_PAGE)
		s->next_size = 2 * *size;
	b->next = s->blocks;
	s->blocks = b;
	return b->start;
}

/* More memory to cut pieces of that size from: a page, or for pages a block. */
static __attribute__((noinline)) char *refill(struct mst_slabs *s, unsigned bits)
{
	size_t size = PAGE;
	char *p = bits == MST_SLABS_BITS_MAX ? add_block(s, &size) : mst_slabs_take(s, MST_SLABS_BITS_MAX);

	if (p)
		s->fresh[bits] = (struct fresh){p, p + size};
	return p;
}

void *mst_slabs_take(struct mst_slabs *s, unsigned bits)
{
	struct piece *piece = s->free[bits];
	struct fresh *fresh = &s->fresh[bits];
	char *p;

	assert(bits >= MST_SLABS_BITS_MIN && bits <= MST_SLABS_BITS_MAX);
	if (piece) {
		s->free[bits] = piece->next;
		return piece;
	}
	if (fresh->p == fresh->end && !refill(s, bits))
		return NULL;
	p = fresh->p;
	fresh->p += (size_t)1 << bits;
	return p;
}

void mst_slabs_give(struct mst_slabs *s, void *piece, unsigned bits)
{
	struct piece *given = piece;

	given->next = s->free[bits];
	s->free[bits] = given;
}

#include "pagepool.h"

#include <stdlib.h>
#include <sys/mman.h>

#define FIRST_BLOCK ((size_t)16 * MST_PAGEPOOL_PAGE) /* most traced processes never need a second one */

/* A free page; its first bytes serve as the link. */
struct page {
	struct page *next;
};

/* Stands apart from the block it describes, which is all pages. */
struct block {
	struct block *next;
	void *start;
};

struct mst_pagepool {
	unsigned refs;
	struct page *free;
	struct block *blocks;
	char *fresh, *fresh_end; /* of the latest block: pages never taken */
	size_t next_size;
};

struct mst_pagepool *mst_pagepool_new(void)
{
	struct mst_pagepool *p = calloc(1, sizeof(*p));

	if (p) {
		p->refs = 1;
		p->next_size = FIRST_BLOCK;
	}
	return p;
}

void mst_pagepool_ref(struct mst_pagepool *p)
{
	p->refs++;
}

void mst_pagepool_unref(struct mst_pagepool *p)
{
	if (--p->refs != 0)
		return;
	while (p->blocks) {
		struct block *b = p->blocks;

		p->blocks = b->next;
		free(b->start);
		free(b);
	}
	free(p);
}

/* Each block is as large as all before it, until it fills a huge page. */
static void *add_block(struct mst_pagepool *p)
{
	size_t size = p->next_size;
	struct block *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	b->start = aligned_alloc(size < MST_PAGEPOOL_HUGE ? MST_PAGEPOOL_PAGE : MST_PAGEPOOL_HUGE, size);
	if (!b->start) {
		free(b);
		return NULL;
	}
	if (size < MST_PAGEPOOL_HUGE)
		p->next_size = 2 * size;
	else
		(void)madvise(b->start, size, MADV_HUGEPAGE); /* a kernel without them gives small ones */
	b->next = p->blocks;
	p->blocks = b;
	p->fresh = b->start;
	p->fresh_end = p->fresh + size;
	return b->start;
}

void *mst_pagepool_take(struct mst_pagepool *p)
{
	void *page = p->free;

	if (page) {
		p->free = p->free->next;
		return page;
	}
	if (p->fresh == p->fresh_end && !add_block(p))
		return NULL;
	page = p->fresh;
	p->fresh += MST_PAGEPOOL_PAGE;
	return page;
}

void mst_pagepool_give(struct mst_pagepool *p, void *page)
{
	struct page *freed = page;

	freed->next = p->free;
	p->free = freed;
}

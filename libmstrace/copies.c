/* copies.c - what has no heir any more is swept out when the set has doubled since the last time, so that a release
 * costs the same however many there are. */
#include "copies.h"

#include "grow.h"
#include "mstrace.h"

#include <stdlib.h>
#include <string.h>

enum { SWEEP_AT_LEAST = 1024 };

void mst_copies_release(struct mst_copies *c)
{
	free(c->heirs);
	if (c->is_set_up)
		mst_liveset_release(&c->blocks);
}

static void look_at_heirs(struct mst_copies *c)
{
	c->below = c->n_heirs ? c->heirs[c->n_heirs - 1].base : 0;
}

int mst_copies_fork(struct mst_copies *c, uint32_t process, uint64_t start, uint64_t base)
{
	int rc = c->is_set_up ? 0 : mst_liveset_init(&c->blocks);
	if (rc < 0)
		return rc;
	c->is_set_up = true;
	rc = mst_grow(&c->heirs, &c->cap_heirs, c->n_heirs + 1, sizeof *c->heirs);
	if (rc < 0)
		return rc;
	if (c->n_heirs && start < c->heirs[c->n_heirs - 1].start)
		start = c->heirs[c->n_heirs - 1].start;
	c->heirs[c->n_heirs++] = (struct mst_heir){start, base, process};
	look_at_heirs(c);
	return 0;
}

void mst_copies_end(struct mst_copies *c, uint32_t process)
{
	size_t i = 0;
	while (i < c->n_heirs && c->heirs[i].process != process)
		i++;
	if (i == c->n_heirs)
		return;
	c->n_heirs--;
	memmove(c->heirs + i, c->heirs + i + 1, (c->n_heirs - i) * sizeof *c->heirs);
	look_at_heirs(c);
}

/* Of those forked before the release, the last has the greatest base. */
static bool has_heir(const struct mst_copies *c, const struct mst_live *b)
{
	size_t low = 0, high = c->n_heirs;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (c->heirs[mid].start <= b->time_ns)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 && b->alloc < c->heirs[low - 1].base;
}

static void sweep(struct mst_copies *c)
{
	for (uint32_t i = 0; i < c->blocks.n_slots; i++) {
		const struct mst_live *b = &c->blocks.pool[i];
		if (b->alloc && !has_heir(c, b))
			mst_liveset_remove(&c->blocks, mst_liveset_find(&c->blocks, b->alloc));
	}
	c->sweep_at = 2 * c->blocks.n_live;
	if (c->sweep_at < SWEEP_AT_LEAST)
		c->sweep_at = SWEEP_AT_LEAST;
}

int mst_copies_keep(struct mst_copies *c, const struct mst_live *b, uint64_t event)
{
	if (b->alloc >= c->below || mst_liveset_find(&c->blocks, b->alloc))
		return 0;
	if (c->blocks.n_live >= c->sweep_at)
		sweep(c);
	struct mst_live *copy = mst_liveset_insert(&c->blocks, b->alloc);
	if (!copy)
		return MST_ENOMEM;
	copy->addr = b->addr;
	copy->size = b->size;
	copy->time_ns = event;
	return 0;
}

const struct mst_live *mst_copies_find(const struct mst_copies *c, uint64_t alloc)
{
	uint32_t *link = c->is_set_up ? mst_liveset_find(&c->blocks, alloc) : NULL;
	return link ? &c->blocks.pool[*link] : NULL;
}

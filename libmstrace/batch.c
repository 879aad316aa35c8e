/* See batch.h. */
#include "batch.h"

#include <stdlib.h>

void mst_batch_release(struct mst_batch *b)
{
	free(b->arrays);
	free(b->ev.extra);
	mst_buffer_release(&b->maps);
	mst_buffer_release(&b->pools);
	mst_pages_release(&b->pages);
}

int mst_batch_init(struct mst_batch *b)
{
	struct mst_batch_arrays *a = malloc(sizeof(*a)); /* touched as far as frames are long */

	if (!a)
		return MST_ENOMEM;
	b->arrays = a;
	b->ev = (struct mst_events){.op = a->op, .thread = a->thread, .time = a->time, .stack = a->stack,
		.size = a->size, .freed = a->freed, .addr = a->addr, .freed_addr = a->freed_addr};
	return 0;
}

void mst_batch_clear(struct mst_batch *b)
{
	b->ev.n = b->ev.n_alloc = b->ev.n_extra = 0;
	b->flags = 0;
	mst_buffer_clear(&b->maps);
	b->last_map_addr = 0;
	mst_buffer_clear(&b->pools);
	b->last_pool_row = (struct mst_pool_row){0};
	mst_pages_clear(&b->pages);
}

int mst_batch_add_extra(struct mst_batch *b, uint32_t i, enum mst_extra_kind kind, uint64_t value)
{
	struct mst_events *ev = &b->ev;
	uint32_t at = ev->n_extra;

	if (ev->n_extra == b->cap_extra) {
		uint32_t cap = b->cap_extra ? 2 * b->cap_extra : 64;
		struct mst_extra *grown = realloc(ev->extra, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		ev->extra = grown;
		b->cap_extra = cap;
	}
	for (; at > 0 && ev->extra[at - 1].index > i; at--) /* events that were stored since i */
		ev->extra[at] = ev->extra[at - 1];
	ev->extra[at] = (struct mst_extra){.index = i, .kind = kind, .value = value};
	ev->n_extra++;
	return 0;
}

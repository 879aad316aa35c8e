/* dict_loss.c - LOSS: rows of thread, reason, first and length of the span, events, bytes. */
#include "dict.h"

#include <stdlib.h>

int mst_dict_add_loss(struct mst_dict *d, const struct mst_lost *l)
{
	if (d->n_losses == d->cap_losses) {
		size_t cap = d->cap_losses + d->cap_losses / 2 + 1;
		struct mst_lost *grown = realloc(d->losses, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		d->losses = grown;
		d->cap_losses = cap;
	}
	d->losses[d->n_losses++] = *l;
	return 0;
}

void mst_loss_encode(const struct mst_lost *l, struct mst_buffer *out)
{
	mst_buffer_put_varint(out, l->thread);
	mst_buffer_put_varint(out, l->reason);
	mst_buffer_put_varint(out, l->first_ns);
	mst_buffer_put_varint(out, l->last_ns - l->first_ns);
	mst_buffer_put_varint(out, l->events);
	mst_buffer_put_varint(out, l->bytes);
}

int mst_losses_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	for (uint32_t i = 0; i < n_items && !c->failed; i++) {
		struct mst_lost l = {0};
		int rc;

		l.thread = (uint32_t)mst_get_varint_max(c, MST_THREADS_MAX);
		l.reason = (uint32_t)mst_get_varint_max(c, UINT32_MAX);
		l.first_ns = mst_get_varint_max(c, MST_NUMBER_MAX);
		l.last_ns = l.first_ns + mst_get_varint_max(c, MST_NUMBER_MAX - l.first_ns);
		l.events = mst_get_varint_max(c, MST_NUMBER_MAX);
		l.bytes = mst_get_varint_max(c, MST_NUMBER_MAX);
		if (c->failed) {
			*why = "a loss entry is out of range";
			return MST_EDAMAGED;
		}
		rc = mst_dict_add_loss(d, &l);
		if (rc < 0)
			return rc;
	}
	return 0;
}

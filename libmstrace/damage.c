#include "damage.h"

#include <stdlib.h>

void mst_damages_release(struct mst_damages *d)
{
	free(d->list);
	*d = (struct mst_damages){0};
}

void mst_damages_clear(struct mst_damages *d)
{
	d->n = d->n_kept;
	d->loss = (struct mst_loss){.places = d->n_kept};
	d->is_open = false;
}

static void list_place(struct mst_damages *d, const struct mst_damage *place)
{
	if (d->n == d->cap && d->cap < MST_DAMAGE_LISTED) {
		size_t cap = d->cap ? 2 * d->cap : 8;
		struct mst_damage *grown;

		if (cap > MST_DAMAGE_LISTED)
			cap = MST_DAMAGE_LISTED;
		grown = realloc(d->list, cap * sizeof(*grown));
		if (grown) {
			d->list = grown;
			d->cap = cap;
		}
	}
	if (d->n < d->cap)
		d->list[d->n++] = *place;
}

static void finish(struct mst_damages *d, const struct mst_damage *place)
{
	if (place->events != UINT64_MAX)
		d->loss.events += place->events;
	list_place(d, place);
	if (d->on_damage)
		d->on_damage(d->ctx, place);
}

void mst_damages_add(struct mst_damages *d, const struct mst_damage *place, bool known)
{
	/* Of several places between two event frames the first bears the events missing there. */
	bool joins = !known && d->is_open;

	d->loss.places++;
	if (known || joins) {
		struct mst_damage p = *place;

		if (joins)
			p.events = 0;
		finish(d, &p);
	} else {
		d->open = *place;
		d->is_open = true;
	}
}

void mst_damages_settle(struct mst_damages *d, uint64_t events)
{
	if (!d->is_open)
		return;
	d->is_open = false;
	d->open.events = events;
	finish(d, &d->open);
}

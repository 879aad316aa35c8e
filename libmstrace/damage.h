/* damage.h - what reading has found wrong: the list of places, and their sum. */
#ifndef MST_DAMAGE_H
#define MST_DAMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "mstrace.h"

#define MST_DAMAGE_LISTED 1000u

struct mst_damages {
	struct mst_damage *list; /* the first MST_DAMAGE_LISTED places; grows by doubling */
	size_t n, cap;
	struct mst_loss loss;
	size_t n_kept;           /* places that clearing keeps: found while the tables were loaded */
	void (*on_damage)(void *ctx, const struct mst_damage *); /* NULL, or told of each place when it is final */
	void *ctx;
	bool is_open;            /* the newest place's events are not known yet */
	struct mst_damage open;  /* that place */
};

void mst_damages_release(struct mst_damages *d);
/* Forgets all but what is kept. */
void mst_damages_clear(struct mst_damages *d);

/* Notes a place. `known`: events is final; else it waits for mst_damages_settle. Memory failure only shortens the
 * list. */
void mst_damages_add(struct mst_damages *d, const struct mst_damage *place, bool known);
/* The number of events lost at the open place is now known (UINT64_MAX: never will be). */
void mst_damages_settle(struct mst_damages *d, uint64_t events);
#endif

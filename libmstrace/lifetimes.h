/* lifetimes.h - when processes start and end, in the order of events.
 *
 * The reader's table of processes fills as reading goes on. Each start and each end is taken from it once,
 * when it is known, and waits in a heap for its place in the order. */
#ifndef MST_LIFETIMES_H
#define MST_LIFETIMES_H

#include "mstrace.h"

struct mst_lifetime {	/* the start or the end of a process image */
	uint64_t event; /* number of the first event after it */
	uint32_t process;
	bool is_end;
};

struct mst_lifetimes {
	struct mst_lifetime *heap;
	size_t n, cap;
	uint64_t next_event; /* of the first of them; UINT64_MAX = none waits */
	uint32_t n_known;    /* processes 1..n_known have been taken */
	uint32_t *watched;   /* those whose end the reader did not know yet */
	size_t n_watched, cap_watched;
};

void mst_lifetimes_init(struct mst_lifetimes *l);
void mst_lifetimes_release(struct mst_lifetimes *l);

/* Takes what the reader has learnt since the last time. */
int mst_lifetimes_look(struct mst_lifetimes *l, const struct mst_reader *r);

/* Removes the first change that lies before `event`: 1 and *out, or 0. */
int mst_lifetimes_next(struct mst_lifetimes *l, uint64_t event, struct mst_lifetime *out);

#endif

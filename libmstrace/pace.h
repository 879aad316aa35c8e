/* pace.h - how much may be written while something else is being worked through: in proportion.
 *
 * A flight recorder's file grows while its copy is made, and there is room for so much. Were the output to go on until
 * the room is used up and then to wait for all the rest of the copy, the program would stand still for seconds, or
 * for so long that it gives its recorder up. So the output waits often and little: of the room it may have used the part
 * that has been done of the work, and an eighth more.
 *
 *     may have grown by <= room/8 + 7/8 room * done/work
 *
 * The work is counted, not timed: a machine that is slow, or busy with other things, is so for both sides. */
#ifndef MST_PACE_H
#define MST_PACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct mst_pace {
	pthread_mutex_t mutex;
	pthread_cond_t moved; /* done, work or is_over has changed */
	uint64_t room;        /* bytes */
	uint64_t work, done;  /* of any unit; done <= work */
	bool is_over;
};

void mst_pace_init(struct mst_pace *p);
void mst_pace_release(struct mst_pace *p);

/* A new piece of work, at least 1. */
void mst_pace_begin(struct mst_pace *p, uint64_t room, uint64_t work);
/* The worker: so much more has been done, */
void mst_pace_advance(struct mst_pace *p, uint64_t done);
/* or there is nothing more to wait for, whatever was done. */
void mst_pace_end(struct mst_pace *p);

/* The other side: what it may have grown by now, */
uint64_t mst_pace_allows(struct mst_pace *p);
/* and a wait until it may have grown by so much, or by as much as there is room for. */
void mst_pace_wait(struct mst_pace *p, uint64_t grown);
#endif

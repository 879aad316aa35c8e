/* keeper.h - the flight recorder: keeps a trace within bounds by dropping its oldest events (trim.h).
 *
 * It stands beside the writer's output. When the file has grown enough a thread of its own begins the copy, while
 * the output goes on appending to the old file; when it has caught up but for the last frames, the output copies those
 * itself, gives the new file the trace's name, and goes on there. At any instant the file with the name is a whole trace.
 *
 * Both bounds are kept by counting, never by the clock, so that they hold on a machine that is busy with other things, too.
 * The bytes allowed are for both files together: a copy begins when the trace takes two fifths of them and keeps the most
 * recent fifth; the rest is room to grow meanwhile. For a bound in time a copy begins when the trace covers twice that time, or
 * later, when there is as much to drop as there is in dictionaries and live blocks; it may grow meanwhile by what it keeps.
 * So a byte of events is copied about once, and the output waits for the copy in proportion (pace.h) if the program is faster.
 *
 * Rejected: to wait only when the room is used up (the program stood still for seconds, at times so long that it gave its recorder
 * up), and to rest after a copy for as long as it took (with a program faster than a third of the copy, each took longer than the last). */
#ifndef MST_KEEPER_H
#define MST_KEEPER_H

#include "output.h"

struct mst_keeper;

/* *keep is copied. 0 or MST_ENOMEM. */
int mst_keeper_new(const struct mst_keep *keep, struct mst_keeper **out);
/* Gives up a copy under way. NULL is fine. */
void mst_keeper_free(struct mst_keeper *k);
/* To be called by whoever owns o, after each write: begins a copy if it is time, and goes over to one that is complete.
 * A failure latches in o. */
int mst_keeper_turn(struct mst_keeper *k, struct mst_output *o);
/* The same owner, at any time. */
void mst_keeper_tell(const struct mst_keeper *k, struct mst_kept *out);
#endif

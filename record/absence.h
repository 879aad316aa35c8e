/* absence.h - programs that were started under the recording and could not be followed: who they were and why.
 *
 * The process that starts one tells (record/capture/exec.c), before it is known whether the exec will do; so a
 * notice waits a moment for its withdrawal, and until the order has come to it, before it goes into the trace. */
#ifndef MS_ABSENCE_H
#define MS_ABSENCE_H

#include <stddef.h>
#include <stdint.h>

#include "translate.h"

struct ms_absent_program { /* not terminated names are cut to fit */
	char path[256];
	enum mst_obstacle why;
	uint64_t n; /* processes */
};

enum { MS_ABSENT_PROGRAMS = 8 };

struct ms_absences {
	struct ms_arrival *waiting; /* oldest first */
	struct ms_absent_program programs[MS_ABSENT_PROGRAMS];
	size_t n_programs;
	uint64_t n_others; /* processes of programs that found no place above */
};

/* Takes a notice (an arrival with MS_IMAGE_UNFOLLOWED). */
void ms_absences_take(struct ms_absences *x, struct ms_arrival *notice);

/* Writes the processes whose place in the order is before `stamp` and who have waited since before `settled`; all of
 * them if both are UINT64_MAX. Those with a malloc of their own wait for that: they may still come. 0 or the writer's
 * error. */
int ms_absences_tell(struct ms_absences *x, struct ms_translator *tr, uint64_t stamp, uint64_t settled);

/* Counts a program that is told of by other means. */
void ms_absences_count(struct ms_absences *x, const struct ms_arrival *a);

void ms_absences_release(struct ms_absences *x);

#endif

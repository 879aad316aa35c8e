/* pauses.h - when the recording of a trace was paused, and which processes it did not see end. */
#ifndef MSANALYZE_PAUSES_H
#define MSANALYZE_PAUSES_H

#include "mstrace.h"

struct pauses {
	uint64_t n;	       /* pauses of somebody who was not paused yet */
	uint64_t total_ns;     /* time in which some process that counts was paused */
	uint64_t n_unfinished; /* processes that were still running when the recording ended */
};

/* Of the processes of this kernel pid, 0 = all. To be asked when all of the trace has been read, up to last_ns. */
struct pauses pauses_of(const struct mst_reader *r, uint64_t pid, uint64_t last_ns);

/* One line each for what a reader of any numbers of this trace should know; none as a rule. */
void pauses_say(const char *path, const struct pauses *p);

#endif

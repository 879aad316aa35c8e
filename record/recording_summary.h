/* recording_summary.h - the five lines at the end of a recording. */
#ifndef MS_RECORDING_SUMMARY_H
#define MS_RECORDING_SUMMARY_H

#include "mstrace.h"

struct ms_summary {
	const char *path; /* of the trace; "-" = standard output */
	struct mst_totals totals;
	struct mst_kept kept; /* of a flight recorder, else zeros */
	uint64_t bytes; /* of the trace */
	uint64_t n_processes;
};

/* Takes the memory that printing needs, or ends msrecord: to be called while there is nothing to lose. */
void ms_summary_prepare(void);
/* Prints it on standard error, unless messages are silenced. */
void ms_summary_print(const struct ms_summary *s);

#endif

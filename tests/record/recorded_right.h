/* What is left of a recording into which a fault was injected, and whether that is as it should be. Of files in
 * the current directory: the command's output in "out", msrecord's messages in "err". */
#ifndef MS_RECORDED_RIGHT_H
#define MS_RECORDED_RIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTCOME_TRACE "faulty.mst"

struct mst_outcome {
	int wait_status; /* of msrecord; -1: it did not end in time */
	bool has_output, has_native_output;
	bool has_file, is_trace, is_clean, has_leftovers;
	uint64_t damaged, events, lost;
	uint32_t processes;
	bool is_mute; /* the caller's: no message could be written */
	char messages[4096];
};

/* Removes what a run has left. */
void outcome_clean_up(void);
/* Reads what a run has left; `wait_status` as above. */
void outcome_read(struct mst_outcome *o, int wait_status);
/* A fault had no effect. */
bool outcome_is_complete(const struct mst_outcome *o);
/* The outcome is one that is allowed, given that of a run without a fault (of the same command). If not, `what` says
 * why. */
bool outcome_is_right(const struct mst_outcome *o, const struct mst_outcome *reference, char *what, size_t room);

#endif

/* One line on standard error that says how far a long run is; only if that is a terminal, and redrawn at most
 * ten times a second, so that the caller may report every frame it reads. */
#ifndef MS_CLI_PROGRESS_H
#define MS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct ms_progress {
	const char *label; /* ours, lives on: "events" */
	uint64_t total;	   /* 0 when unknown, as for a pipe */
	uint64_t next_ns;  /* when to draw again */
	bool is_shown;	   /* false: every call does nothing */
	bool is_drawn;	   /* there is a line to remove */
};

/* Nothing is drawn in the first half second, nor ever if is_quiet or standard error is no terminal. */
void ms_progress_begin(struct ms_progress *p, const char *label, uint64_t total, bool is_quiet);
void ms_progress_update(struct ms_progress *p, uint64_t done);

/* Removes the line. Before any other output to the terminal, and at the end. */
void ms_progress_end(struct ms_progress *p);

#endif

/* sites.h - the stacks of a trace, ranked by one of their counters. */
#ifndef MSANALYZE_SITES_H
#define MSANALYZE_SITES_H

#include "analysis.h"

/* Which counters of each stack to show. A stack in which all of them are zero is left out. */
struct ranking {
	const size_t *metrics; /* offsets in struct mst_counters; --sort words stand in the same order */
	size_t n_metrics;
	size_t n_sums; /* the first so many make sense when added up over the stacks: the head shows them */
	const struct ms_column *head; /* the sums, stacks, shown, first metric not shown; then what
				       * the analysis adds */
	size_t n_head;
	const struct ms_column *rows; /* the metrics, share of the first, stack id, frames */
	size_t n_rows;
};

/* Fills *answer: the head over all stacks, its row open for more cells, and the options->top first rows by
 * metric number options->sort, with their call stacks. */
void sites_rank(const struct ranking *ranking, const struct pass *pass, struct answer *answer);

#endif

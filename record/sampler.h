/* sampler.h - measures the traced processes and their control groups while they are recorded.
 *
 * A thread of its own: reading smaps_rollup of a large process takes tens of milliseconds, for which no event may
 * wait. It starts nothing, and after a process has been added it allocates nothing.
 *
 *	add → [open files] → every interval: status, stat of each; smaps_rollup while the budget lasts → ring → session
 *
 * Budget: cheap readings and rollups may each take 0.5 % of the time, by the processor time they really take. When
 * the cheap ones take more, the interval grows; when rollups do, they are taken less often and in turn, and the
 * samples between say nothing of PSS and what is private. Every reading says what it cost.
 *
 * A reading is stamped with the events' clock before it is taken, so the session can put it at its place among
 * them. */
#ifndef MS_SAMPLER_H
#define MS_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "mstrace.h"
#include "timebase.h"

struct ms_sampler;
struct ms_subject; /* a process that is being sampled */

struct ms_sampler_options {
	uint64_t interval_ns;		  /* > 0 */
	const struct ms_clock_map *clock; /* for stamps; only its constant parts are read */
};

/* One reading, as the session gets it. */
struct ms_reading {
	uint64_t stamp;
	void *who;	   /* as given to ms_sampler_add; NULL: a control group */
	const char *group; /* path of the group, or of that of the process; lives as long as the sampler; NULL = unknown */
	struct mst_sample sample; /* cost_ns, known and value are filled in */
};

/* Starts the thread. 0 or a negative errno. */
int ms_sampler_open(const struct ms_sampler_options *opt, struct ms_sampler **out);
/* Ends the thread; what has been read can still be taken. */
void ms_sampler_stop(struct ms_sampler *s);
/* Stops and frees. NULL is fine. */
void ms_sampler_close(struct ms_sampler *s);

/* Samples a process from now on. proc_dir is a descriptor of its /proc/PID, which becomes the sampler's. The result
 * is to be given to ms_sampler_remove; NULL (no memory, or too many processes): it goes unsampled. */
struct ms_subject *ms_sampler_add(struct ms_sampler *s, int proc_dir, void *who);
/* No more of it. NULL is fine. */
void ms_sampler_remove(struct ms_sampler *s, struct ms_subject *subject);

/* The next reading whose stamp is not above `upto`: true and *out. By the session's thread alone. */
bool ms_sampler_next(struct ms_sampler *s, uint64_t upto, struct ms_reading *out);

struct ms_sampler_report {
	uint64_t cost_ns;   /* processor time of all readings */
	uint64_t n_dropped; /* readings for which the session had no time */
	int rollup_errno;   /* smaps_rollup could not be read: why, the first time; 0 = it could */
};
void ms_sampler_tell(const struct ms_sampler *s, struct ms_sampler_report *out);

#endif

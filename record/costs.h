/* costs.h - what being recorded costs a program, and the recording its machine: measured in passing, told in the
 * trace as a sample at the end of each process and of the recording. */
#ifndef MS_COSTS_H
#define MS_COSTS_H

#include "mstrace.h"
#include "process.h"
#include "sampler.h"
#include "timebase.h"

/* Of a process: time in hooks (a few calls are timed, wire.h), time stalled, events lost, shared memory. The threads
 * that are still there count as well. `lost_events`: what the process lost beyond what its threads have told. */
void ms_costs_of_process(
	struct ms_process *proc, const struct ms_clock_map *clock, uint64_t lost_events, struct mst_sample *out);

/* Of msrecord so far: its memory and processor time, the most shared memory of all processes together, the time that
 * samples took (sampler may be NULL). */
void ms_costs_of_recorder(uint64_t arena_peak, const struct ms_sampler *sampler, struct mst_sample *out);

#endif

/* timebase.h - the clock that stamps events, and its conversion to the trace's time.
 *
 * Events are stamped with raw ticks (struct ms_control.clock says which): the TSC where the kernel itself
 * keeps time by it, else CLOCK_MONOTONIC. The trace counts nanoseconds of CLOCK_MONOTONIC since the start of
 * the recording. The TSC's rate is not known from anywhere reliable, so it is measured: ms_clock_sample()
 * compares the two clocks, and every sample starts a new straight segment that continues where the last one
 * stands and steers towards what was measured. The conversion therefore never steps and never runs backwards,
 * whatever the samples say.
 *
 * ms_ticks_now() may be called by any thread; everything else by the thread that owns the struct. */
#ifndef MS_TIMEBASE_H
#define MS_TIMEBASE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

#define MS_CLOCK_SEGMENTS 16u
#define MS_CLOCK_MILESTONES 128u

struct ms_clock_segment {
	uint64_t ticks, ns; /* where it starts */
	uint64_t rate;	    /* ns per tick, 32.32 fixed point, > 0 */
};

/* A place that the time has passed. What lies before the segments is converted along straight lines between these. */
struct ms_clock_milestone {
	uint64_t ticks, ns;
};

struct ms_clock_map {
	enum ms_clock kind;
	uint64_t base;			  /* raw ticks at the start: what control.clock_base is set to */
	uint64_t monotonic_ns;		  /* CLOCK_MONOTONIC at the start */
	uint64_t realtime_ns;		  /* CLOCK_REALTIME at the start */
	uint64_t sampled_ns;		  /* time of the last sample */
	uint64_t origin_ticks, origin_ns; /* where the rate is measured from: the start, or the last step */
	uint64_t rate;			  /* as measured, 32.32; 0 = not yet */
	uint64_t steps;			  /* samples that were more than 1 ms off: suspend, migration */
	unsigned n;  /* segments ever made; the newest is segments[(n - 1) % MS_CLOCK_SEGMENTS] */
	unsigned at; /* segment of the last conversion ... */
	struct ms_clock_segment here; /* ... a copy of it ... */
	uint64_t until;		      /* ... and where the next one begins; 0 = not looked up */
	struct ms_clock_segment segments[MS_CLOCK_SEGMENTS];
	unsigned n_milestones, stride; /* one for so many segments that are no more: doubled whenever there is no room */
	struct ms_clock_milestone milestones[MS_CLOCK_MILESTONES];
};

/* The best clock of this machine. */
enum ms_clock ms_clock_choose(void);
/* "tsc", "monotonic": for the trace's header. Static storage. */
const char *ms_clock_name(enum ms_clock kind);

/* Starts the trace's time: now is 0. */
void ms_clock_start(struct ms_clock_map *c, enum ms_clock kind);
/* Compares the clocks; to be called every 100 ms, and once a few ms after the start. */
void ms_clock_sample(struct ms_clock_map *c);
/* The same from given readings; what ms_clock_sample does with real ones. */
void ms_clock_sample_at(struct ms_clock_map *c, uint64_t ticks, uint64_t ns);

/* Ticks since the start, now. */
uint64_t ms_ticks_now(const struct ms_clock_map *c);
/* How many ticks go into ns, by the newest rate. */
uint64_t ms_clock_ticks(const struct ms_clock_map *c, uint64_t ns);
/* ms_clock_ns for ticks outside the segment of the last conversion. */
uint64_t ms_clock_ns_elsewhere(struct ms_clock_map *c, uint64_t ticks);
/* Nanoseconds since the start. Never decreases along increasing ticks, between two samples. The same ticks may be some
 * microseconds earlier or later when seconds have passed: a time that is to be told twice is to be kept. */
static inline uint64_t ms_clock_ns(struct ms_clock_map *c, uint64_t ticks)
{
	if (ticks < c->here.ticks || ticks >= c->until)
		return ms_clock_ns_elsewhere(c, ticks);
	return c->here.ns + (uint64_t)(((unsigned __int128)(ticks - c->here.ticks) * c->here.rate) >> 32);
}

/* CLOCK_MONOTONIC, absolute. */
uint64_t ms_monotonic_ns(void);

#endif

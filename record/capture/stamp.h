/* stamp.h - the stamps that order the units of all threads.
 *
 * A release is stamped before the real call, an acquisition after it; then a block's life in the trace lies
 * within its real life, and no merge by stamp can put a block on an address that is still taken. What the
 * instructions must give for that:
 *  - acquired: not earlier than the allocator's loads, by which it saw another thread's free: rdtscp waits
 *    for all earlier loads. While there is one thread it sees no free but its own, and rdtsc will do (and lets the
 *    processor go on meanwhile): ms_session_moment().
 *  - releasing: not later than the allocator's stores become visible: rdtsc retires before any later store
 *    leaves the store buffer, so the plain one will do. */
#ifndef MS_STAMP_H
#define MS_STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum ms_moment { MS_RELEASING, MS_ACQUIRED };

static inline uint64_t ms_clock_monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now); /* bound at load, served by the vDSO */
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t ms_clock_raw(bool is_tsc, enum ms_moment moment)
{
	unsigned cpu;
	if (!is_tsc)
		return ms_clock_monotonic_ns();
	return moment == MS_ACQUIRED ? __builtin_ia32_rdtscp(&cpu) : __builtin_ia32_rdtsc();
}

#endif

/* See costs.h. */
#include "costs.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "procfs.h"

static void set(struct mst_sample *s, unsigned field, uint64_t value)
{
	if (value > INT64_MAX)
		return;
	s->known |= UINT64_C(1) << field;
	s->value[field] = value;
}

static uint64_t load(const _Atomic uint64_t *word)
{
	return ms_process_believe(atomic_load_explicit(word, memory_order_relaxed));
}

static uint64_t ticks_to_ns(const struct ms_clock_map *clock, uint64_t ticks)
{
	uint64_t per_second = ms_clock_ticks(clock, 1000000000u);
	return per_second ? (uint64_t)((unsigned __int128)ticks * 1000000000u / per_second) : 0;
}

void ms_costs_of_process(
	struct ms_process *proc, const struct ms_clock_map *clock, uint64_t lost_events, struct mst_sample *out)
{
	uint64_t stall_ns = proc->stall_ns, ticks = proc->hook_ticks, n_timed = proc->hooks_timed;
	memset(out, 0, sizeof *out);
	for (uint32_t i = 0; proc->arrival && i < proc->n_tenants; i++) {
		const struct ms_slot *slot = &ms_process_segment(proc)->slots[i];
		if (!proc->tenants[i])
			continue;
		stall_ns += load(&slot->stall_ns);
		ticks += load(&slot->hook_ticks);
		n_timed += load(&slot->hooks_timed);
	}
	if (n_timed) {
		set(out, MST_SAMPLE_HOOK_TIME, ticks_to_ns(clock, ticks));
		set(out, MST_SAMPLE_HOOKS_TIMED, n_timed);
	}
	set(out, MST_SAMPLE_STALL_TIME, stall_ns);
	set(out, MST_SAMPLE_LOST_EVENTS, proc->lost_events + lost_events);
	set(out, MST_SAMPLE_ARENA, (uint64_t)proc->n_chunks * MS_CHUNK_SIZE);
	set(out, MST_SAMPLE_ARENA_PEAK, (uint64_t)proc->max_chunks * MS_CHUNK_SIZE);
}

static uint64_t ns_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

void ms_costs_of_recorder(uint64_t arena_peak, const struct ms_sampler *sampler, struct mst_sample *out)
{
	struct rusage usage;
	char text[128];
	unsigned long long resident;
	ssize_t n = ms_procfs_read(getpid(), "statm", text, sizeof text - 1);
	memset(out, 0, sizeof *out);
	text[n > 0 ? n : 0] = 0;
	if (sscanf(text, "%*s %llu", &resident) == 1)
		set(out, MST_SAMPLE_RSS, resident * (uint64_t)sysconf(_SC_PAGESIZE));
	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		set(out, MST_SAMPLE_PEAK_RSS, (uint64_t)usage.ru_maxrss * 1024);
		set(out, MST_SAMPLE_CPU, ns_of(usage.ru_utime) + ns_of(usage.ru_stime));
	}
	set(out, MST_SAMPLE_ARENA_PEAK, arena_peak);
	if (sampler) {
		struct ms_sampler_report report;
		ms_sampler_tell(sampler, &report);
		set(out, MST_SAMPLE_SAMPLING_TIME, report.cost_ns);
	}
}

/* See session.h. */
#include "session.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/time_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "costs.h"
#include "population.h"
#include "procfs.h"
#include "wishes.h"

#define MS 1000000u
#define SLEEP_MIN_NS (1u * MS)
#define SLEEP_MAX_NS (20u * MS)
#define SLEEP_PER_THREAD_NS 2000u
#define CLOCK_SAMPLE_NS (100u * MS)
#define FLUSH_NS (1000u * MS)
#define GUARD_NS 100000u		   /* a store leaves the store buffer sooner than this */
#define PATIENCE_NS (250u * MS)		   /* a unit is waited for, unless its thread did not get to run */
#define LEEWAY_NS (10000u * (uint64_t)MS) /* stamps further ahead of us are garbage */
#define ARRIVAL_GRACE_NS (1000u * MS)
#define LOOK_NS (20u * MS)
#define LATE_LOOK_NS (250u * MS) /* after that grace */
#define LOOK_AGAIN_NS (4u * MS)
#define WITHDRAWAL_NS (100u * MS) /* who told of an exec tells of its failure sooner than this */
#define ITEMS_WAITING 1000000u /* of all threads together, about: 48 MB */
#define ITEMS_PER_THREAD 4096u /* at least */

int ms_session_init(struct ms_session *s)
{
	memset(s, 0, sizeof *s);
	ms_clock_start(&s->clock, ms_clock_choose());
	s->poller = epoll_create1(EPOLL_CLOEXEC);
	s->sleep_ns = SLEEP_MIN_NS;
	s->last_remark = &s->remarks;
	s->recording_since_ns = UINT64_MAX;
	return s->poller < 0 ? -errno : 0;
}

void ms_session_release(struct ms_session *s)
{
	struct ms_process *next;
	for (struct ms_process *proc = s->translator.processes; proc; proc = next) {
		next = proc->next;
		ms_process_free(proc, &s->drain.pool);
	}
	s->translator.processes = NULL;
	ms_absences_release(&s->absences);
	for (struct ms_remark *r = s->remarks, *next_remark; r; r = next_remark) {
		next_remark = r->next;
		free(r);
	}
	s->remarks = NULL;
	ms_merge_release(&s->merge);
	ms_jit_release(&s->jit);
	ms_pool_release(&s->drain.pool);
	free(s->live);
	s->live = NULL;
	if (s->poller > 0)
		close(s->poller);
	s->poller = 0;
}

/* ---- sleeping --------------------------------------------------------------------------------------- */

void ms_session_wake(void *ctx)
{
	struct ms_session *s = ctx;
	atomic_fetch_add(&s->wake, 1);
	syscall(SYS_futex, &s->wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Sleeps until somebody wants us: on our own word, and on those by which programs cry that they fill up. */
static void sleep_until_wanted(struct ms_session *s, uint32_t wake_seen)
{
	struct futex_waitv waits[FUTEX_WAITV_MAX] = {
		{.uaddr = (uintptr_t)&s->wake, .val = wake_seen, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG}};
	size_t n_asked = s->n_live < FUTEX_WAITV_MAX - 1 ? s->n_live : FUTEX_WAITV_MAX - 1;
	for (size_t i = 0; i < n_asked; i++) {
		_Atomic uint32_t *asleep = &ms_process_segment(s->live[i])->control->recorder_asleep;
		atomic_store(asleep, 1);
		waits[i + 1] = (struct futex_waitv){.uaddr = (uintptr_t)asleep, .val = 1, .flags = FUTEX_32};
	}
	uint64_t until = ms_monotonic_ns() + s->sleep_ns;
	struct timespec deadline = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
	long rc = syscall(SYS_futex_waitv, waits, n_asked + 1, 0, &deadline, CLOCK_MONOTONIC);
	if (rc < 0 && errno == ENOSYS) { /* before Linux 5.16: only on our own word, and not for long */
		struct timespec step = {.tv_nsec = SLEEP_MIN_NS * 2};
		syscall(SYS_futex, &s->wake, FUTEX_WAIT_PRIVATE, wake_seen, &step, NULL, 0);
	}
	for (size_t i = 0; i < n_asked; i++)
		atomic_store(&ms_process_segment(s->live[i])->control->recorder_asleep, 0);
}

/* ---- a pass ----------------------------------------------------------------------------------------- */

/* `now` was read before the arrivals were taken: whoever is not among them takes stamps later than that. */
static int scan_all(struct ms_session *s, struct ms_scan *scan, uint64_t now)
{
	uint64_t n_tenants = 1;
	for (size_t i = 0; i < s->n_live; i++)
		n_tenants += s->live[i]->n_live;
	*scan = (struct ms_scan){
		.drain = &s->drain,
		.merge = &s->merge,
		.now = now,
		.guard = ms_clock_ticks(&s->clock, GUARD_NS),
		.clock = &s->clock,
		.leeway = ms_clock_ticks(&s->clock, LEEWAY_NS),
		.patience = ms_clock_ticks(&s->clock, PATIENCE_NS),
		.max_items = ITEMS_WAITING / n_tenants > ITEMS_PER_THREAD ? ITEMS_WAITING / n_tenants
									  : ITEMS_PER_THREAD,
		.stack_depth = s->options.stack_depth,
		.n_tenants = n_tenants,
	};
	scan->bound = scan->now > scan->guard ? scan->now - scan->guard : 0;
	uint64_t arena = 0;
	for (size_t i = 0; i < s->n_live; i++) {
		if (ms_process_scan(s->live[i], scan))
			return MST_ENOMEM;
		uint64_t held = (uint64_t)s->live[i]->n_chunks * MS_CHUNK_SIZE;
		if (held > s->image_arena_peak)
			s->image_arena_peak = held;
		arena += held;
	}
	if (arena > s->arena_peak)
		s->arena_peak = arena;
	return 0;
}

static void sample_no_more(struct ms_session *s, struct ms_process *proc)
{
	if (proc->subject)
		ms_sampler_remove(s->options.sampler, proc->subject);
	proc->subject = NULL;
}

static int tell_end(struct ms_session *s, struct ms_process *proc, struct ms_tenant *t)
{
	const struct ms_slot *slot = &ms_process_segment(proc)->slots[t->cursor.slot];
	return ms_translate_thread_end(&s->translator, t,
		ms_process_believe(atomic_load_explicit(&slot->lost_events, memory_order_relaxed) +
			atomic_load_explicit(&slot->aside, memory_order_relaxed)),
		ms_process_believe(atomic_load_explicit(&slot->lost_bytes, memory_order_relaxed)));
}

static int part_with_tenants(struct ms_session *s, struct ms_process *proc)
{
	for (uint32_t i = 0; i < proc->n_tenants; i++) {
		struct ms_tenant *t = proc->tenants[i];
		if (!t || !t->is_over || t->queue.n)
			continue;
		t->end_stamp = ms_ticks_now(&s->clock);
		if (proc->is_dead && proc->end_stamp < t->end_stamp)
			t->end_stamp = proc->end_stamp;
		int rc = tell_end(s, proc, t);
		if (rc < 0)
			return rc;
		ms_process_part(proc, t, &s->drain.pool);
	}
	return 0;
}

/* It was let in, and then could not use what it was given. */
static void note_failed_attachment(
	struct ms_session *s, struct ms_process *proc, const struct ms_control *control)
{
	uint32_t attached = atomic_load_explicit(&control->attached, memory_order_relaxed);
	if (attached == MS_ATTACHED || proc->n_tenants) /* who had a thread has attached, whatever stands there */
		return;
	proc->arrival->obstacle = attached == MS_ATTACH_NO_TSC ? MS_OBSTACLE_CLOCK : MS_OBSTACLE_MEMORY;
	proc->fate = MST_FATE_UNRECORDED;
	proc->status = (int32_t)proc->arrival->obstacle;
	ms_absences_count(&s->absences, proc->arrival);
	s->n_processes--;
}

static int tell_jit_names(struct ms_session *s, struct ms_process *proc)
{
	if (!s->options.wants_jit_names)
		return 0;
	uint64_t started_ns = s->clock.realtime_ns + ms_clock_ns(&s->clock, proc->start_stamp);
	return ms_jit_tell(&s->jit, s->options.writer, proc, started_ns);
}

static int finish_process(struct ms_session *s, struct ms_process *proc)
{
	const struct ms_control *control = ms_process_segment(proc)->control;
	note_failed_attachment(s, proc, control);
	int rc = ms_translate_process_end(&s->translator, proc,
		ms_process_believe(atomic_load_explicit(&control->unslotted_events, memory_order_relaxed)),
		ms_process_believe(atomic_load_explicit(&control->unslotted_bytes, memory_order_relaxed)));
	if (proc->faults && !s->n_faults)
		s->first_fault_pid = proc->pid;
	s->n_faults += proc->faults;
	sample_no_more(s, proc);
	if (rc >= 0)
		rc = tell_jit_names(s, proc); /* before the file is removed, or its place */
	epoll_ctl(s->poller, EPOLL_CTL_DEL, proc->arrival->pidfd, NULL);
	ms_process_close(proc, &s->drain.pool);
	return rc;
}

/* Events, and the remarks in their places among them. */
static int merge_up_to(struct ms_session *s, uint64_t stamp)
{
	int rc = 0;
	while (rc >= 0 && s->remarks && s->remarks->stamp <= stamp) {
		struct ms_remark *r = s->remarks;
		rc = ms_merge_run(&s->merge, &s->drain.pool, r->stamp, ms_translate, &s->translator);
		if (rc >= 0)
			rc = ms_translate_annotation(
				&s->translator, r->kind, r->process, r->name, r->name_len, r->stamp);
		s->remarks = r->next;
		if (!s->remarks)
			s->last_remark = &s->remarks;
		free(r);
	}
	return rc < 0 ? rc : ms_merge_run(&s->merge, &s->drain.pool, stamp, ms_translate, &s->translator);
}

/* Readings go to their places among the events. */
static int merge_with_readings_up_to(struct ms_session *s, uint64_t stamp)
{
	struct ms_reading reading;
	while (s->options.sampler && ms_sampler_next(s->options.sampler, stamp, &reading)) {
		int rc = merge_up_to(s, reading.stamp);
		if (rc >= 0)
			rc = ms_translate_reading(&s->translator, &reading);
		if (rc < 0)
			return rc;
		s->has_unflushed_samples = true;
	}
	return merge_up_to(s, stamp);
}

/* The dead process that ended first, by the watermark; its place in s->live, or SIZE_MAX. */
static size_t first_to_end(const struct ms_session *s, uint64_t watermark)
{
	size_t first = SIZE_MAX;
	for (size_t i = 0; i < s->n_live; i++) {
		const struct ms_process *proc = s->live[i];
		if (proc->is_dead && proc->end_stamp <= watermark &&
			(first == SIZE_MAX || proc->end_stamp < s->live[first]->end_stamp))
			first = i;
	}
	return first;
}

/* Merges up to the watermark. A process ends at its place in the order, so that what it held counts as live
 * until then and not longer. */
static int merge_and_end(struct ms_session *s, uint64_t watermark)
{
	for (size_t i; (i = first_to_end(s, watermark)) != SIZE_MAX;) {
		struct ms_process *proc = s->live[i];
		int rc = merge_with_readings_up_to(s, proc->end_stamp);
		if (rc >= 0)
			rc = part_with_tenants(s, proc);
		if (rc < 0)
			return rc;
		if (proc->n_live) {
			/* stamps beyond its end: scribbled on, or an odd clock */
			proc->end_stamp = watermark + 1;
			continue;
		}
		s->live[i] = s->live[--s->n_live];
		rc = finish_process(s, proc);
		if (rc < 0)
			return rc;
	}
	return merge_with_readings_up_to(s, watermark);
}

static int see_to_threads(struct ms_session *s)
{
	uint64_t now = ms_monotonic_ns();
	for (size_t i = 0; i < s->n_live; i++) {
		struct ms_process *proc = s->live[i];
		int rc = part_with_tenants(s, proc);
		if (rc >= 0)
			rc = ms_wishes_see_to_mute(s, proc, now);
		if (rc < 0)
			return rc;
		ms_process_reap(proc, now);
		ms_population_check(s, proc, now);
	}
	return 0;
}

/* Frames are written as they fill; a quiet program's must not wait for that. */
static int flush_now_and_then(struct ms_session *s)
{
	struct mst_totals totals;
	uint64_t now = ms_monotonic_ns();
	if (now - s->flushed_ns < FLUSH_NS)
		return 0;
	s->flushed_ns = now;
	mst_writer_totals(s->options.writer, &totals);
	if (totals.events == s->flushed_events && !s->has_unflushed_samples)
		return 0;
	s->has_unflushed_samples = false;
	s->flushed_events = totals.events;
	return mst_writer_flush(s->options.writer);
}

static int pass(struct ms_session *s, struct ms_scan *scan)
{
	uint64_t now = ms_ticks_now(&s->clock);
	int rc = ms_population_take_arrivals(s);
	if (rc < 0)
		return rc;
	ms_population_take_deaths(s);
	rc = ms_wishes_see_to(s);
	if (rc < 0)
		return rc;
	uint64_t interval = s->clock.n == 1 ? 0 : CLOCK_SAMPLE_NS;
	if (ms_session_now_ns(s) - s->clock.sampled_ns >= interval)
		ms_clock_sample(&s->clock);
	rc = scan_all(s, scan, now);
	if (rc < 0)
		return rc;
	uint64_t watermark = scan->bound == UINT64_MAX ? UINT64_MAX : scan->bound ? scan->bound - 1 : 0;
	uint64_t before = s->translator.last_stamp;
	rc = merge_and_end(s, watermark);
	if (rc < 0)
		return rc;
	s->has_merged = s->translator.last_stamp != before;
	uint64_t settling = ms_clock_ticks(&s->clock, WITHDRAWAL_NS);
	rc = ms_absences_tell(&s->absences, &s->translator, watermark, now > settling ? now - settling : 0);
	if (rc >= 0)
		rc = see_to_threads(s);
	return rc < 0 ? rc : flush_now_and_then(s);
}

/* ---- the end ---------------------------------------------------------------------------------------- */

static void say_who_is_waited_for(struct ms_session *s, size_t n)
{
	if (!s->has_notified && s->options.on_waiting)
		s->options.on_waiting(s->options.ctx, n);
	s->has_notified = true;
}

/* A process that was forked, or is on its way through exec, may not have called the heap yet; a daemon that sleeps may not for
 * hours. Who is about to become one forks and ends, and /proc may be read as it was before the one and after the other: so
 * where forks have been told of whose children have not come, only several looks at nobody are believed. */
static bool is_somebody_coming(struct ms_session *s, uint64_t now)
{
	enum { LOOKS = 4 };
	bool is_late = now - s->child_ended_ns > ARRIVAL_GRACE_NS;
	if (!s->options.is_forking_followed)
		return false;
	if (now < s->next_look_ns)
		return true;
	size_t n = ms_server_count_expected(s->options.server, is_late);
	if (n > 0) {
		s->next_look_ns = now + (is_late ? LATE_LOOK_NS : LOOK_NS);
		s->n_looks_at_nobody = 0;
		if (is_late)
			say_who_is_waited_for(s, n);
		return true;
	}
	s->next_look_ns = now + LOOK_AGAIN_NS;
	return ++s->n_looks_at_nobody < LOOKS && s->translator.points;
}

static bool is_finished(struct ms_session *s)
{
	if (s->is_over)
		return true;
	if (!s->child_ended_ns)
		return false;
	if (s->options.stops_with_command || ms_signals_stop())
		return true;
	uint64_t now = ms_monotonic_ns();
	if (s->n_live == 0)
		return !is_somebody_coming(s, now);
	size_t n_running = 0;
	for (size_t i = 0; i < s->n_live; i++)
		n_running += !s->live[i]->is_dead;
	if (n_running && now - s->child_ended_ns > 200u * MS)
		say_who_is_waited_for(s, n_running);
	return false;
}

/* Sends everyone on their way unrecorded. */
static void detach_all(struct ms_session *s)
{
	for (struct ms_arrival *a; (a = ms_server_take(s->options.server));) {
		ms_share_detach(&a->share);
		ms_arrival_free(a);
	}
	for (size_t i = 0; i < s->n_live; i++)
		ms_share_detach(&s->live[i]->arrival->share);
}

/* Takes what running programs had published when the recording was stopped. */
static int take_the_rest(struct ms_session *s)
{
	struct ms_scan scan;
	do {
		int rc = scan_all(s, &scan, ms_ticks_now(&s->clock));
		if (rc >= 0) /* what is not all there yet cannot say where readings belong */
			rc = scan.is_behind ? merge_up_to(s, UINT64_MAX) : merge_with_readings_up_to(s, UINT64_MAX);
		if (rc < 0)
			return rc;
	} while (scan.is_behind);
	return 0;
}

/* What the recording has cost: of those that go on, whose end nobody sees, and of ourselves. */
static int tell_costs(struct ms_session *s)
{
	struct mst_sample costs;
	for (size_t i = 0; i < s->n_live; i++) {
		int rc = ms_translate_costs(&s->translator, s->live[i], 0);
		if (rc >= 0)
			rc = tell_jit_names(s, s->live[i]);
		if (rc < 0)
			return rc;
	}
	ms_costs_of_recorder(s->arena_peak, s->options.sampler, &costs);
	return ms_translate_sample(&s->translator, &costs, ms_ticks_now(&s->clock));
}

static void adapt_sleep(struct ms_session *s, const struct ms_scan *scan)
{
	if (scan->n_units)
		s->sleep_ns = SLEEP_MIN_NS;
	else
		s->sleep_ns *= 2;
	/* A pass looks at every thread, so many of them are looked at less often. */
	if (s->sleep_ns < scan->n_tenants * SLEEP_PER_THREAD_NS)
		s->sleep_ns = scan->n_tenants * SLEEP_PER_THREAD_NS;
	if (s->sleep_ns > SLEEP_MAX_NS)
		s->sleep_ns = SLEEP_MAX_NS;
	uint64_t wish_ns = ms_wishes_until_next(s);
	if (s->sleep_ns > wish_ns)
		s->sleep_ns = wish_ns;
}

/* Those that are still there when the recording ends: they go on without us, and keep their slots, in which their threads
 * may still be writing. */
static int leave_running(struct ms_session *s)
{
	int rc = 0;
	while (rc >= 0 && s->n_live > 0) {
		struct ms_process *proc = s->live[--s->n_live];
		bool was_dead = proc->is_dead;
		ms_process_die(proc, MST_FATE_UNFINISHED, 0, ms_ticks_now(&s->clock));
		s->n_left_running += !was_dead;
		for (uint32_t i = 0; rc >= 0 && i < proc->n_tenants; i++) {
			struct ms_tenant *t = proc->tenants[i];
			if (!t)
				continue;
			const struct ms_slot *slot = &ms_process_segment(proc)->slots[i];
			proc->stall_ns += ms_process_believe(
				atomic_load_explicit(&slot->stall_ns, memory_order_relaxed));
			proc->faults += t->faults;
			t->end_stamp = was_dead ? proc->end_stamp : UINT64_MAX;
			rc = tell_end(s, proc, t);
		}
		if (rc >= 0)
			rc = finish_process(s, proc);
	}
	return rc;
}

int ms_session_run(struct ms_session *s, const struct ms_session_options *opt)
{
	struct ms_scan scan;
	s->options = *opt;
	ms_translator_init(&s->translator, opt->writer, &s->clock, (uint32_t)opt->child->pid);
	s->translator.wraps = opt->wraps;
	s->flushed_ns = ms_monotonic_ns();
	int rc = opt->starts_paused ? ms_wishes_add_remark(s, MST_ANNOTATION_PAUSE, NULL, "", 0, 0) : 0;
	s->is_paused = opt->starts_paused;
	if (!opt->starts_paused)
		s->recording_since_ns = 0;
	while (rc >= 0) {
		uint32_t wake_seen = atomic_load(&s->wake);
		rc = pass(s, &scan);
		if (rc < 0 || is_finished(s))
			break;
		if (opt->on_pass)
			opt->on_pass(opt->ctx, ms_session_now_ns(s));
		/* Queues that are full and wait for the watermark are no reason to spin: the threads that
		 * hold it up may be waiting for this very core. */
		adapt_sleep(s, &scan);
		if (!scan.is_behind || !s->has_merged)
			sleep_until_wanted(s, wake_seen);
	}
	ms_server_stop(opt->server);
	if (opt->sampler)
		ms_sampler_stop(opt->sampler);
	ms_population_take_deaths(s);
	detach_all(s);
	if (rc >= 0)
		rc = take_the_rest(s);
	if (rc >= 0)
		rc = ms_absences_tell(&s->absences, &s->translator, UINT64_MAX, UINT64_MAX);
	if (rc >= 0)
		rc = tell_costs(s);
	if (rc >= 0)
		rc = leave_running(s);
	s->has_paused = s->translator.has_paused;
	ms_translator_release(&s->translator);
	return rc;
}

/* See shortcomings.h. */
#include "shortcomings.h"

#include <string.h>

#include "report.h"
#include "units.h"

/* Nothing came: an empty trace needs an explanation. */
static void say_why_nothing_came(struct ms_server *server, const char *library, bool is_selective)
{
	struct ms_refusals refused;
	ms_server_refusals(server, &refused);
	if (refused.wrong_abi)
		ms_warn("nothing was recorded: the capture library '%s' is of another build than "
			"this msrecord",
			library);
	else if (refused.failed)
		ms_warn("nothing was recorded: the command could not be given its shared segment: %s (see "
			"ulimit -v, ulimit -f and ulimit -n, and the limits of the container)",
			strerror(refused.error));
	else if (is_selective)
		ms_warn("nothing was recorded: no program of those that --only names has called malloc through the dynamic "
			"linker (patterns match the whole name; with a / in it, the whole path)");
	else
		ms_warn("nothing was recorded: the command never called malloc through the dynamic linker; it "
			"may be static, set-uid, use an allocator of its own, begin in a sandbox, or clear its environment "
			"(LD_PRELOAD, MSTRACE_SOCKET)");
}

static void say_what_was_not_sampled(const struct ms_sampler *sampler)
{
	struct ms_sampler_report report;
	ms_sampler_tell(sampler, &report);
	if (report.rollup_errno)
		ms_info("samples without PSS and private memory: cannot read smaps_rollup: %s",
			strerror(report.rollup_errno));
	if (report.n_dropped)
		ms_info("%llu samples were left out: the recorder had no time for them",
			(unsigned long long)report.n_dropped);
}

static void say_who_is_absent(const struct ms_absences *x, const uint64_t n_unfollowed[MST_OBSTACLES])
{
	for (size_t i = 0; i < x->n_programs; i++) {
		const struct ms_absent_program *p = &x->programs[i];
		if (p->n == 1)
			ms_warn("'%s' was not recorded: %s", p->path, mst_obstacle_text(p->why));
		else
			ms_warn("'%s' was not recorded, %llu times: %s", p->path, (unsigned long long)p->n,
				mst_obstacle_text(p->why));
	}
	for (unsigned why = 0; why < MST_OBSTACLES; why++)
		if (n_unfollowed[why])
			ms_warn("%llu process%s not recorded: %s", (unsigned long long)n_unfollowed[why],
				n_unfollowed[why] == 1 ? " was" : "es were", mst_obstacle_text(why));
	if (x->n_others)
		ms_warn("%llu more processes were not recorded; the trace has their names",
			(unsigned long long)x->n_others);
}

/* Memory that grew while malloc was hardly called came from somewhere we do not see. What the program is made of
 * is no growth, nor is our own segment, which counts as its memory. */
static void say_what_was_not_seen(const struct ms_session *s, const struct mst_totals *totals, bool is_selective)
{
	enum { NO_GROWTH = 128 << 20, TIMES = 16 };
	struct ms_out o;
	uint64_t rss = s->options.child->max_rss_bytes, ours = s->image_arena_peak;
	rss -= ours < rss ? ours : rss;
	if (is_selective || /* it may be another process that has grown */
		rss < NO_GROWTH || (rss - NO_GROWTH) / TIMES < totals->peak_bytes)
		return;
	ms_out_init_memory(&o);
	ms_out_str(&o, "the command's memory grew to ");
	ms_print_size(&o, rss);
	ms_out_str(&o, ", of which only ");
	ms_print_size(&o, totals->peak_bytes);
	ms_out_str(&o, " came from the malloc that is recorded: it maps memory itself, or has an allocator of its own "
		       "linked in; build it with the allocator of libc, or with a shared one");
	ms_warn("%s", ms_out_text(&o));
	ms_out_release(&o);
}

/* A few such releases are nothing: memory from before the start, or of events that were lost. */
static void say_what_came_from_elsewhere(const struct mst_totals *totals)
{
	enum { SELDOM = 10000 };
	if (totals->unknown_frees <= totals->frees / SELDOM || totals->lost_events)
		return;
	ms_warn("%llu releases of memory that nobody is known to have acquired: an allocator's functions that are not "
		"recorded (mallocx, tc_malloc, mi_malloc, ..., or libc's own in a module loaded with RTLD_DEEPBIND or "
		"dlmopen) may have handed it out",
		(unsigned long long)totals->unknown_frees);
}

static void say_what_was_not_wrapped(struct ms_wraps *wraps)
{
	char why[512];
	for (uint32_t i = 0; i < wraps->n; i++)
		if (ms_wraps_finding(wraps, i, why) == MS_WRAPS_UNSEEN)
			ms_warn("%s", why);
	for (uint32_t i = 0; i < wraps->n; i++)
		if (ms_wraps_complaint(wraps, i, why))
			ms_warn("%s", why);
}

void ms_shortcomings_say(
	const struct ms_session *s, const struct mst_totals *totals, const char *library, bool is_selective)
{
	struct ms_refusals refused;
	say_who_is_absent(&s->absences, s->translator.n_unfollowed);
	say_what_was_not_seen(s, totals, is_selective);
	if (s->n_processes == 0) {
		if (!s->absences.n_programs)
			say_why_nothing_came(s->options.server, library, is_selective);
		return;
	}
	if (s->options.wraps)
		say_what_was_not_wrapped(s->options.wraps);
	if (!s->has_paused) /* else it was acquired in a pause */
		say_what_came_from_elsewhere(totals);
	ms_server_refusals(s->options.server, &refused);
	if (refused.failed)
		ms_warn("%llu process%s could not be given the shared segment and went unrecorded: %s",
			(unsigned long long)refused.failed, refused.failed == 1 ? "" : "es",
			strerror(refused.error));
	if (s->n_faults)
		ms_warn("process %u has written over the shared segment: some events are lost",
			s->first_fault_pid);
	if (totals->lost_events)
		ms_warn("%llu events were lost; the trace says where",
			(unsigned long long)totals->lost_events);
	if (s->options.sampler)
		say_what_was_not_sampled(s->options.sampler);
	if (s->n_left_running)
		ms_info("%zu process%s went on unrecorded", s->n_left_running,
			s->n_left_running == 1 ? "" : "es");
}

/* summarize.c - how much was allocated, how much stayed, how high did it go, and is the trace all there? */
#include "analysis.h"
#include "pauses.h"
#include "report.h"
#include "room.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct calls {
	uint64_t made, failed;
};

/* What being recorded has cost a process. */
struct cost {
	uint64_t hook_ns, n_timed;
};

struct state {
	uint64_t n_events; /* of the processes that count */
	struct calls ops[MST_OP_MAX + 1];
	struct cost *costs; /* by process id: the latest sample of it counts */
	size_t n_costs;
	struct mst_sample recorder; /* its latest */
	struct pool {
		uint32_t name;       /* string id */
		char *spelled;       /* what replay.only_pool points to */
		uint64_t calls;
		struct mst_replay *replay;
	} *pools; /* in the order in which the trace meets them */
	size_t n_pools, cap_pools;
	bool has_begun;
};

/* In text, nothing that begins with "alloc" or "free" and is followed by a number may stand before the first
 * two of them: scripts look for these lines. */
static const struct ms_column head[] = {
	{"events", "events", MS_COLUMN_COUNT},
	{"allocations", "allocations", MS_COLUMN_COUNT},
	{"frees", "frees", MS_COLUMN_COUNT},
	{"allocated_bytes", "bytes allocated", MS_COLUMN_BYTES},
	{"freed_bytes", "bytes freed", MS_COLUMN_BYTES},
	{"live_blocks", "blocks live at the end", MS_COLUMN_COUNT},
	{"live_bytes", "bytes live at the end", MS_COLUMN_BYTES},
	{"peak_bytes", "peak", MS_COLUMN_BYTES},
	{"peak_blocks", "blocks at the peak", MS_COLUMN_COUNT},
	{"peak_time_ns", "peak reached after", MS_COLUMN_DURATION},
	{"peak_event", "peak reached by event", MS_COLUMN_COUNT},
	{"failed", "failed calls", MS_COLUMN_COUNT},
	{"temporary", "temporary blocks", MS_COLUMN_COUNT},
	{"foreign_frees", "releases of unknown blocks", MS_COLUMN_COUNT},
	{"inherited_frees", "releases of blocks inherited by fork", MS_COLUMN_COUNT},
	{"lost_events", "events lost while recording", MS_COLUMN_COUNT},
	{"missing_events", "events missing in the file", MS_COLUMN_COUNT},
	{"uncertain_bytes", "bytes whose release may be missing", MS_COLUMN_BYTES},
	{"dropped_events", "events dropped (flight recorder)", MS_COLUMN_COUNT},
	{"dropped_peak_bytes", "peak in those events", MS_COLUMN_BYTES},
	{"dropped_until_ns", "the last of them after", MS_COLUMN_DURATION},
	{"limited", "ended at its size limit", MS_COLUMN_BOOL},
	{"threads", "threads", MS_COLUMN_COUNT},
	{"processes", "processes", MS_COLUMN_COUNT},
	{"duration_ns", "duration", MS_COLUMN_DURATION},
	{"stall_ns", "waited for the recorder", MS_COLUMN_DURATION},
	{"hook_ns", "time to record a call, on average", MS_COLUMN_DURATION},
	{"hooks_timed", "calls timed for that", MS_COLUMN_COUNT},
	{"arena_peak_bytes", "shared memory in use, highest", MS_COLUMN_BYTES},
	{"recorder_peak_bytes", "memory of the recorder, highest", MS_COLUMN_BYTES},
	{"recorder_cpu_ns", "processor time of the recorder", MS_COLUMN_DURATION},
	{"sampling_ns", "of that, for samples", MS_COLUMN_DURATION},
	{"pauses", "pauses of the recording", MS_COLUMN_COUNT},
	{"paused_ns", "paused for", MS_COLUMN_DURATION},
	{"unfinished", "still running at the end", MS_COLUMN_COUNT},
	{"complete", "complete", MS_COLUMN_BOOL},
	{"exit", "exit status", MS_COLUMN_NUMBER},
	{"command", "command", MS_COLUMN_STRING},
	{"unrecorded", "programs not recorded", MS_COLUMN_STRING},
};

static const struct ms_column calls_columns[] = {
	{"function", "function", MS_COLUMN_STRING},
	{"calls", "calls", MS_COLUMN_COUNT},
	{"failed", "failed", MS_COLUMN_COUNT},
};

static const struct ms_column pool_columns[] = {
	{"pool", "pool", MS_COLUMN_STRING},
	{"calls", "calls", MS_COLUMN_COUNT},
	{"failed", "failed", MS_COLUMN_COUNT},
	{"allocations", "allocations", MS_COLUMN_COUNT},
	{"frees", "frees", MS_COLUMN_COUNT},
	{"allocated_bytes", "bytes", MS_COLUMN_BYTES},
	{"live_blocks", "live blocks", MS_COLUMN_COUNT},
	{"live_bytes", "live", MS_COLUMN_BYTES},
	{"peak_bytes", "peak", MS_COLUMN_BYTES},
	{"foreign_frees", "unknown", MS_COLUMN_COUNT},
};

static void *begin(const struct pass *pass)
{
	(void)pass;
	return ms_zeroed(1, sizeof(struct state));
}

static bool is_of_pid(const struct mst_process *p, uint64_t pid)
{
	return pid == 0 || (p && p->pid == pid);
}

static bool is_counted(const struct pass *pass, uint32_t thread)
{
	if (pass->options->pid == 0)
		return true;
	const struct mst_thread *t = mst_reader_thread(pass->reader, thread);

	return t && is_of_pid(mst_reader_process(pass->reader, t->process), pass->options->pid);
}

/* The pool of that name, which the trace may meet for the first time. */
static struct pool *pool_of(struct state *s, const struct pass *pass, uint32_t name)
{
	for (size_t i = 0; i < s->n_pools; i++)
		if (s->pools[i].name == name)
			return &s->pools[i];
	s->pools = ms_room(s->pools, &s->cap_pools, s->n_pools + 1, sizeof(*s->pools));
	struct pool *pool = &s->pools[s->n_pools++];
	size_t len = 0;
	const char *text = mst_reader_string(pass->reader, name, &len);

	*pool = (struct pool){.name = name, .spelled = strndup(text ? text : "", len)};
	const struct mst_replay_options counting = {
		.only_pid = (uint32_t)pass->options->pid, .only_pool = pool->spelled};

	if (!pool->spelled || mst_replay_new(pass->reader, &counting, &pool->replay) < 0)
		ms_die("out of memory");
	return pool;
}

/* Every pool has a replay of its own: what it holds is no part of the heap. */
static void pool_event(struct state *s, const struct pass *pass, const struct mst_event *ev)
{
	const struct mst_pool_call *call = mst_reader_pool_call(pass->reader, ev);

	if (!call)
		return;
	struct pool *pool = pool_of(s, pass, call->pool);

	pool->calls += is_counted(pass, ev->thread);
	if (mst_replay_apply_batch(pool->replay, ev, 1) < 0)
		ms_die("out of memory");
}

/* Pools that lived at the checkpoint, called since or not. */
static void adopt_pools(struct state *s, const struct pass *pass)
{
	uint32_t name;

	for (size_t i = 0; mst_reader_pool_checkpoint(pass->reader, i, &name); i++)
		if (mst_replay_apply_batch(pool_of(s, pass, name)->replay, NULL, 0) < 0)
			ms_die("out of memory");
	s->has_begun = true;
}

static void events(void *state, const struct pass *pass, const struct mst_event *events, size_t n)
{
	struct state *s = state;

	if (!s->has_begun)
		adopt_pools(s, pass);
	for (size_t i = 0; i < n; i++) {
		if (mst_op_pools(events[i].op))
			pool_event(s, pass, &events[i]);
		if (!is_counted(pass, events[i].thread))
			continue;
		struct calls *c = &s->ops[events[i].op & MST_OP_MAX];

		s->n_events++;
		c->made++;
		c->failed += (events[i].flags & MST_EV_FAILED) != 0;
	}
}

static struct cost *cost_of(struct state *s, uint32_t process)
{
	s->costs = ms_room_zeroed(s->costs, &s->n_costs, process + (size_t)1, sizeof(*s->costs));
	return &s->costs[process];
}

static bool knows(const struct mst_sample *sample, unsigned field)
{
	return sample->known >> field & 1;
}

static void sample(void *state, const struct pass *pass, const struct mst_sample *sample)
{
	struct state *s = state;

	if (sample->process == 0 && sample->group == 0) {
		s->recorder = *sample;
		return;
	}
	if (!knows(sample, MST_SAMPLE_STALL_TIME) ||
		!is_of_pid(mst_reader_process(pass->reader, sample->process), pass->options->pid))
		return;
	*cost_of(s, sample->process) = (struct cost){
		.hook_ns = sample->value[MST_SAMPLE_HOOK_TIME],
		.n_timed = sample->value[MST_SAMPLE_HOOKS_TIMED],
	};
}

/* Sums over the processes that count, and what became of the last of them. */
struct people {
	uint64_t n_processes, n_threads, lost_events, stall_ns;
	int exit; /* status, 128 + signal, -1 unknown */
};

static int exit_status(const struct mst_process *p)
{
	if (p->fate == MST_FATE_EXITED)
		return p->status;
	return p->fate == MST_FATE_KILLED ? 128 + p->status : -1;
}

static bool is_unrecorded(const struct mst_process *p)
{
	return p && p->fate == MST_FATE_UNRECORDED;
}

static struct people count_people(const struct pass *pass)
{
	struct people people = {.exit = -1};
	uint64_t pid = pass->options->pid;

	for (uint32_t id = 1; id <= mst_reader_n_processes(pass->reader); id++) {
		const struct mst_process *p = mst_reader_process(pass->reader, id);

		if (!is_of_pid(p, pid) || is_unrecorded(p))
			continue;
		people.n_processes++;
		people.lost_events += p ? p->lost_events : 0;
		people.stall_ns += p ? p->stall_ns : 0;
		people.exit = p ? exit_status(p) : -1;
	}
	for (uint32_t id = 1; id <= mst_reader_n_threads(pass->reader); id++)
		people.n_threads += is_counted(pass, id);
	if (pid)
		return people;
	const struct mst_totals *totals = mst_reader_end(pass->reader);

	people.lost_events = ms_trace_lost_events(pass->reader);
	people.exit = totals ? totals->exit_status : -1;
	return people;
}

/* The arguments, joined by blanks. */
static void add_command(struct ms_table *t, const struct mst_header *header)
{
	char *line = ms_zeroed(header->cmdline_len + 1, 1);

	for (size_t i = 0; i < header->cmdline_len; i++)
		line[i] = header->cmdline[i] ? header->cmdline[i] : ' ';
	ms_table_stringn(t, line, header->cmdline_len);
	free(line);
}

/* The programs that were started and not followed, with the reasons. */
static void add_unrecorded(struct ms_table *t, const struct pass *pass)
{
	enum { LISTED = 5 };
	struct ms_out o;
	unsigned n = 0;

	ms_out_init_memory(&o);
	for (uint32_t id = 1; id <= mst_reader_n_processes(pass->reader); id++) {
		const struct mst_process *p = mst_reader_process(pass->reader, id);

		if (!is_unrecorded(p) || !is_of_pid(p, pass->options->pid) || ++n > LISTED)
			continue;
		const char *why = mst_obstacle_text((unsigned)p->status);
		size_t len = 0;
		const char *path = mst_reader_string(pass->reader, p->exe, &len);

		ms_out_str(&o, n > 1 ? ", " : "");
		ms_out_write(&o, path, path ? len : 0);
		ms_out_printf(&o, " (%s)", why ? why : "why is not known");
	}
	if (n > LISTED)
		ms_out_printf(&o, ", and %u more", n - LISTED);
	if (n)
		ms_table_stringn(t, ms_out_text(&o), o.len);
	else
		ms_table_absent(t);
	ms_out_release(&o);
}

static void add_memory(struct ms_table *t, const struct pass *pass)
{
	const struct mst_counters *c = mst_replay_totals(pass->replay);

	ms_table_number(t, c->allocs);
	ms_table_number(t, c->frees);
	ms_table_number(t, c->allocated_bytes);
	ms_table_number(t, c->freed_bytes);
	ms_table_number(t, c->live_blocks);
	ms_table_number(t, c->live_bytes);
	ms_table_number(t, c->peak_bytes);
	ms_table_number(t, c->peak_blocks);
	ms_table_number(t, mst_replay_peak_time_ns(pass->replay));
	ms_table_number(t, mst_replay_peak_event(pass->replay));
	ms_table_number(t, c->failed);
	ms_table_number(t, c->temporary);
	ms_table_number(t, mst_replay_foreign_frees(pass->replay));
	ms_table_number(t, mst_replay_inherited_frees(pass->replay));
}

static void add_field(struct ms_table *t, const struct mst_sample *sample, unsigned field)
{
	if (knows(sample, field))
		ms_table_number(t, sample->value[field]);
	else
		ms_table_absent(t);
}

/* What was measured of the recording itself. */
static void add_costs(struct ms_table *t, const struct state *s)
{
	uint64_t ns = 0, n = 0;

	for (uint32_t id = 0; id < s->n_costs; id++) {
		ns += s->costs[id].hook_ns;
		n += s->costs[id].n_timed;
	}
	if (n)
		ms_table_number(t, ns / n);
	else
		ms_table_absent(t);
	ms_table_number(t, n);
	add_field(t, &s->recorder, MST_SAMPLE_ARENA_PEAK);
	add_field(t, &s->recorder, MST_SAMPLE_PEAK_RSS);
	add_field(t, &s->recorder, MST_SAMPLE_CPU);
	add_field(t, &s->recorder, MST_SAMPLE_SAMPLING_TIME);
}

static void add_recording(struct ms_table *t, const struct pass *pass, const struct state *s)
{
	const struct mst_totals *totals = mst_reader_end(pass->reader);
	struct people people = count_people(pass);
	struct pauses pauses = pauses_of(pass->reader, pass->options->pid, pass->last_ns);
	const struct mst_checkpoint *before = mst_reader_checkpoint(pass->reader);
	struct mst_loss loss;

	mst_reader_loss(pass->reader, &loss);
	ms_table_number(t, people.lost_events);
	ms_table_number(t, loss.events);
	ms_table_number(t, loss.uncertain_bytes);
	ms_table_number(t, before ? before->event : 0);
	if (before) {
		ms_table_number(t, before->peak_bytes);
		ms_table_number(t, before->time_ns);
	} else {
		ms_table_absent(t);
		ms_table_absent(t);
	}
	ms_table_number(t, totals && totals->is_limited);
	ms_table_number(t, people.n_threads);
	ms_table_number(t, people.n_processes);
	ms_table_number(t, totals ? totals->duration_ns : pass->last_ns);
	ms_table_number(t, people.stall_ns);
	add_costs(t, s);
	ms_table_number(t, pauses.n);
	ms_table_number(t, pauses.total_ns);
	ms_table_number(t, pauses.n_unfinished);
	ms_table_number(t, totals && totals->is_clean && loss.places == 0 && people.lost_events == 0);
	if (people.exit < 0)
		ms_table_absent(t);
	else
		ms_table_number(t, (uint64_t)people.exit);
	add_command(t, mst_reader_header(pass->reader));
	add_unrecorded(t, pass);
}

static struct ms_table *calls_table(const struct state *s)
{
	struct ms_table *t = ms_table_new(calls_columns, sizeof(calls_columns) / sizeof(*calls_columns));

	for (unsigned op = 0; op <= MST_OP_MAX; op++) {
		char number[16];

		if (s->ops[op].made == 0)
			continue;
		snprintf(number, sizeof(number), "op-%u", op);
		ms_table_row(t);
		ms_table_string(t, mst_op_name(op) ? mst_op_name(op) : number);
		ms_table_number(t, s->ops[op].made);
		ms_table_number(t, s->ops[op].failed);
	}
	return t;
}

/* NULL if there are none. */
static struct ms_table *pools_table(const struct state *s)
{
	if (s->n_pools == 0)
		return NULL;
	struct ms_table *t = ms_table_new(pool_columns, sizeof(pool_columns) / sizeof(*pool_columns));

	for (size_t i = 0; i < s->n_pools; i++) {
		const struct pool *pool = &s->pools[i];
		const struct mst_counters *c = mst_replay_totals(pool->replay);

		ms_table_row(t);
		ms_table_string(t, pool->spelled);
		ms_table_number(t, pool->calls);
		ms_table_number(t, c->failed);
		ms_table_number(t, c->allocs);
		ms_table_number(t, c->frees);
		ms_table_number(t, c->allocated_bytes);
		ms_table_number(t, c->live_blocks);
		ms_table_number(t, c->live_bytes);
		ms_table_number(t, c->peak_bytes);
		ms_table_number(t, mst_replay_foreign_frees(pool->replay));
	}
	return t;
}

static void free_pools(struct state *s)
{
	for (size_t i = 0; i < s->n_pools; i++) {
		mst_replay_free(s->pools[i].replay);
		free(s->pools[i].spelled);
	}
	free(s->pools);
}

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	struct state *s = state;

	answer->head = ms_table_new(head, sizeof(head) / sizeof(*head));
	ms_table_row(answer->head);
	ms_table_number(answer->head, s->n_events);
	add_memory(answer->head, pass);
	add_recording(answer->head, pass, s);
	answer->rows = calls_table(s);
	answer->rows_key = "calls";
	answer->more = pools_table(s);
	answer->more_key = "pools";
	free_pools(s);
	free(s->costs);
	free(s);
}

const struct analysis analysis_summary = {
	.name = "summary",
	.summary = "the numbers of the whole trace: calls, bytes, peak, losses",
	.needs_pools = true,
	.is_record = true,
	.begin = begin,
	.events = events,
	.sample = sample,
	.end = end,
};

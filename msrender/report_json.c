/* Written in one go through the streaming writer; only the ranking of the sites is ever held in memory. */
#include "report_json.h"

#include "json.h"
#include "report.h"
#include "room.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>

struct rank {
	uint64_t weight;
	uint32_t stack;
};

struct ranking {
	struct rank *ranks; /* heaviest first, equal ones by stack id */
	uint32_t n, n_shown;
	uint64_t weight, weight_shown;
};

/* ---- the trace ---- */

static void put_bytes(struct ms_json *j, const char *key, const struct mst_reader *r, uint32_t string_id)
{
	size_t n = 0;
	const char *s = string_id ? mst_reader_string(r, string_id, &n) : NULL;

	ms_json_key(j, key);
	if (s)
		ms_json_strn(j, s, n);
	else
		ms_json_null(j);
}

/* Arguments that NUL bytes separate, as an array. */
static void put_arguments(struct ms_json *j, const char *key, const char *s, size_t n)
{
	ms_json_key(j, key);
	ms_json_array(j);
	while (s && n > 0) {
		const char *end = memchr(s, '\0', n);
		size_t len = end ? (size_t)(end - s) : n;

		ms_json_strn(j, s, len);
		s += len;
		n -= len;
		if (n > 0) {
			s++;
			n--;
		}
	}
	ms_json_end(j);
}

static void put_u64_str(struct ms_json *j, const char *key, uint64_t v)
{
	ms_json_key(j, key);
	ms_json_u64_str(j, v);
}

static void put_null(struct ms_json *j, const char *key)
{
	ms_json_key(j, key);
	ms_json_null(j);
}

static void put_gaps(struct ms_json *j, const struct survey *s)
{
	struct mst_loss loss;

	mst_reader_loss(s->reader, &loss);
	ms_json_key(j, "gaps");
	ms_json_object(j);
	ms_json_put_u64(j, "damaged_places", loss.places);
	ms_json_put_u64(j, "damaged_events", loss.events);
	ms_json_put_u64(j, "uncertain_blocks", loss.uncertain_blocks);
	ms_json_put_u64(j, "uncertain_bytes", loss.uncertain_bytes);
	ms_json_put_bool(j, "truncated", loss.is_truncated);
	ms_json_put_u64(j, "lost_events", ms_trace_lost_events(s->reader));
	ms_json_end(j);
}

static void put_trace(struct ms_json *j, const struct survey *s)
{
	const struct mst_header *h = mst_reader_header(s->reader);
	char version[32];

	snprintf(version, sizeof(version), "%u.%u", h->format_major, h->format_minor);
	ms_json_key(j, "trace");
	ms_json_object(j);
	ms_json_put_str(j, "format", version);
	ms_json_put_str(j, "recorder", h->tool);
	put_arguments(j, "command", h->cmdline, h->cmdline_len);
	ms_json_put_str(j, "directory", h->cwd);
	ms_json_put_str(j, "host", h->host);
	ms_json_put_str(j, "kernel", h->kernel);
	ms_json_put_str(j, "arch", h->arch);
	put_u64_str(j, "start_realtime_ns", h->start_realtime_ns);
	ms_json_put_bool(j, "complete", s->status == MS_EXIT_OK);
	put_gaps(j, s);
	ms_json_end(j);
}

/* What was counted: the whole, or a part chosen by options. */
static void put_selection(struct ms_json *j, const struct survey *s)
{
	ms_json_key(j, "selection");
	ms_json_object(j);
	if (s->options.pid)
		ms_json_put_u64(j, "pid", s->options.pid);
	else
		put_null(j, "pid");
	if (s->options.at_ns != SURVEY_TO_THE_END)
		ms_json_put_u64(j, "at_ns", s->options.at_ns);
	else
		put_null(j, "at_ns");
	ms_json_end(j);
}

static void put_counters(struct ms_json *j, const struct mst_counters *c)
{
	ms_json_put_u64(j, "allocations", c->allocs);
	ms_json_put_u64(j, "frees", c->frees);
	ms_json_put_u64(j, "allocated_bytes", c->allocated_bytes);
	ms_json_put_u64(j, "freed_bytes", c->freed_bytes);
	ms_json_put_u64(j, "live_blocks", c->live_blocks);
	ms_json_put_u64(j, "live_bytes", c->live_bytes);
	ms_json_put_u64(j, "peak_blocks", c->peak_blocks);
	ms_json_put_u64(j, "peak_bytes", c->peak_bytes);
	ms_json_put_u64(j, "max_bytes", c->max_bytes);
	ms_json_put_u64(j, "temporary", c->temporary);
	ms_json_put_u64(j, "failed", c->failed);
}

static void put_summary(struct ms_json *j, const struct survey *s)
{
	const struct mst_totals *end = mst_reader_end(s->reader);

	ms_json_key(j, "summary");
	ms_json_object(j);
	ms_json_put_u64(j, "events", s->n_events);
	put_counters(j, mst_replay_totals(s->replay));
	ms_json_put_u64(j, "peak_time_ns", mst_replay_peak_time_ns(s->replay));
	ms_json_put_u64(j, "peak_event", mst_replay_peak_event(s->replay));
	ms_json_put_u64(j, "foreign_frees", mst_replay_foreign_frees(s->replay));
	ms_json_put_u64(j, "threads", mst_reader_n_threads(s->reader));
	ms_json_put_u64(j, "processes", mst_reader_n_processes(s->reader));
	ms_json_put_u64(j, "duration_ns", survey_duration_ns(s));
	ms_json_key(j, "exit");
	if (end && end->exit_status >= 0)
		ms_json_i64(j, end->exit_status);
	else
		ms_json_null(j);
	ms_json_end(j);
}

/* ---- processes and threads ---- */

static const char *origin_name(unsigned origin)
{
	static const char *const names[] = {NULL, "start", "fork", "exec", "attach"};

	return origin < sizeof(names) / sizeof(names[0]) ? names[origin] : NULL;
}

static const char *fate_name(unsigned fate)
{
	static const char *const names[] = {"running", "exited", "killed", "exec", "gone", "unfinished",
		"unrecorded"};

	return fate < sizeof(names) / sizeof(names[0]) ? names[fate] : NULL;
}

static bool has_status(const struct mst_process *p)
{
	return p->fate == MST_FATE_EXITED || p->fate == MST_FATE_KILLED;
}

static void put_process(struct ms_json *j, const struct survey *s, uint32_t id, const struct mst_process *p)
{
	const struct mst_counters *c = mst_replay_process(s->replay, id);
	size_t n = 0;
	const char *cmdline = p->cmdline ? mst_reader_string(s->reader, p->cmdline, &n) : NULL;

	ms_json_object(j);
	ms_json_put_u64(j, "id", id);
	ms_json_put_u64(j, "pid", p->pid);
	if (p->parent)
		ms_json_put_u64(j, "parent_id", p->parent);
	else
		put_null(j, "parent_id");
	put_bytes(j, "executable", s->reader, p->exe);
	put_arguments(j, "command", cmdline, n);
	ms_json_put_str(j, "origin", origin_name(p->origin));
	ms_json_put_str(j, "fate", fate_name(p->fate));
	ms_json_key(j, "status");
	if (has_status(p))
		ms_json_i64(j, p->status);
	else
		ms_json_null(j);
	ms_json_put_u64(j, "start_ns", p->start_ns);
	if (p->fate == MST_FATE_RUNNING)
		put_null(j, "end_ns");
	else
		ms_json_put_u64(j, "end_ns", p->end_ns);
	ms_json_put_u64(j, "lost_events", p->lost_events);
	if (c)
		put_counters(j, c);
	ms_json_end(j);
}

static void put_processes(struct ms_json *j, const struct survey *s)
{
	uint32_t n = mst_reader_n_processes(s->reader);
	uint32_t n_shown = n < REPORT_JSON_MAX_RUNNERS ? n : REPORT_JSON_MAX_RUNNERS;

	ms_json_key(j, "processes");
	ms_json_object(j);
	ms_json_key(j, "rows");
	ms_json_array(j);
	for (uint32_t id = 1; id <= n_shown; id++) {
		const struct mst_process *p = mst_reader_process(s->reader, id);

		if (p)
			put_process(j, s, id, p);
	}
	ms_json_end(j);
	ms_json_put_u64(j, "rows_left_out", n - n_shown);
	ms_json_end(j);
}

static void put_thread(struct ms_json *j, const struct survey *s, uint32_t id, const struct mst_thread *t)
{
	ms_json_object(j);
	ms_json_put_u64(j, "id", id);
	ms_json_put_u64(j, "tid", t->tid);
	ms_json_put_u64(j, "process_id", t->process);
	put_bytes(j, "name", s->reader, t->name);
	ms_json_put_u64(j, "start_ns", t->start_ns);
	if (t->end_ns == UINT64_MAX)
		put_null(j, "end_ns");
	else
		ms_json_put_u64(j, "end_ns", t->end_ns);
	ms_json_put_u64(j, "lost_events", t->lost_events);
	ms_json_end(j);
}

static void put_threads(struct ms_json *j, const struct survey *s)
{
	uint32_t n = mst_reader_n_threads(s->reader);
	uint32_t n_shown = n < REPORT_JSON_MAX_RUNNERS ? n : REPORT_JSON_MAX_RUNNERS;

	ms_json_key(j, "threads");
	ms_json_object(j);
	ms_json_key(j, "rows");
	ms_json_array(j);
	for (uint32_t id = 1; id <= n_shown; id++) {
		const struct mst_thread *t = mst_reader_thread(s->reader, id);

		if (t)
			put_thread(j, s, id, t);
	}
	ms_json_end(j);
	ms_json_put_u64(j, "rows_left_out", n - n_shown);
	ms_json_end(j);
}

/* ---- sites ---- */

static int compare_ranks(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

static struct ranking rank_stacks(const struct survey *s, enum survey_value value, uint64_t top)
{
	uint32_t n_stacks = mst_replay_n_stacks(s->replay);
	struct ranking r = {.ranks = ms_zeroed(n_stacks, sizeof(*r.ranks))};

	for (uint32_t stack = 0; stack < n_stacks; stack++) {
		const struct mst_counters *c = mst_replay_stack(s->replay, stack);
		uint64_t weight = c ? survey_weight(c, value) : 0;

		if (!weight)
			continue;
		r.ranks[r.n++] = (struct rank){weight, stack};
		r.weight += weight;
	}
	qsort(r.ranks, r.n, sizeof(*r.ranks), compare_ranks);
	r.n_shown = r.n < top ? r.n : (uint32_t)top;
	for (uint32_t i = 0; i < r.n_shown; i++)
		r.weight_shown += r.ranks[i].weight;
	return r;
}

static void put_stack(struct ms_json *j, const struct survey *s, uint32_t stack, struct ms_frames *frames)
{
	size_t n, n_shown;

	ms_trace_frames(s->reader, stack, frames);
	n = frames->n - (frames->is_cut ? 1 : 0);
	n_shown = n < REPORT_JSON_MAX_FRAMES ? n : REPORT_JSON_MAX_FRAMES;
	ms_json_put_u64(j, "stack", stack);
	ms_json_key(j, "frames");
	ms_json_array(j);
	for (size_t i = 0; i < n_shown; i++)
		ms_callframe_json(j, &frames->items[i]);
	ms_json_end(j);
	ms_json_put_u64(j, "frames_left_out", n - n_shown);
	ms_json_put_bool(j, "cut", frames->is_cut);
}

static void put_ranking(struct ms_json *j, const struct survey *s, enum survey_value value, uint64_t top)
{
	struct ranking r = rank_stacks(s, value, top);
	struct ms_frames frames = {0};

	ms_json_put_str(j, "by", survey_value_names[value]);
	ms_json_put_str(j, "unit", survey_unit(value) == VIEW_BYTES ? "bytes" : "allocations");
	ms_json_put_u64(j, "total", r.weight);
	ms_json_key(j, "rows");
	ms_json_array(j);
	for (uint32_t i = 0; i < r.n_shown; i++) {
		ms_json_object(j);
		ms_json_put_u64(j, "value", r.ranks[i].weight);
		put_counters(j, mst_replay_stack(s->replay, r.ranks[i].stack));
		put_stack(j, s, r.ranks[i].stack, &frames);
		ms_json_end(j);
	}
	ms_json_end(j);
	ms_json_put_u64(j, "rows_left_out", r.n - r.n_shown);
	ms_json_put_u64(j, "value_left_out", r.weight - r.weight_shown);
	free(frames.items);
	free(r.ranks);
}

static void put_list(
	struct ms_json *j, const char *key, const struct survey *s, enum survey_value value, uint64_t top)
{
	ms_json_key(j, key);
	ms_json_object(j);
	put_ranking(j, s, value, top);
	ms_json_end(j);
}

void report_json_write(const struct survey *s, enum survey_value value, uint64_t top, struct ms_out *out)
{
	struct ms_json j;

	ms_json_init(&j, out, true);
	ms_json_object(&j);
	ms_json_put_str(&j, "kind", "mstrace-report");
	ms_json_put_u64(&j, "version", REPORT_JSON_VERSION);
	put_trace(&j, s);
	put_selection(&j, s);
	put_summary(&j, s);
	put_processes(&j, s);
	put_threads(&j, s);
	put_list(&j, "sites", s, value, top);
	put_list(&j, "leaks", s, SURVEY_LEAKED, top);
	put_list(&j, "peak", s, SURVEY_PEAK, top);
	ms_json_end(&j);
	ms_json_line(&j);
}

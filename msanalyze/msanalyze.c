/* msanalyze - ask a trace a question.
 *
 * The table below lists the analyses. One pass over the trace feeds one replay and all the analyses chosen: a
 * single one by its name, or every one of them by "all". What they answer is printed here. */
#include "analysis.h"
#include "pauses.h"
#include "report.h"
#include "trace.h"

#include <stdlib.h>

static const struct analysis *const analyses[] = {
	&analysis_summary,
	&analysis_leaks,
	&analysis_peak,
	&analysis_top,
	&analysis_memory,
	&analysis_mismatches,
	&analysis_maps,
	&analysis_modules,
	&analysis_processes,
	&analysis_threads,
};

enum { N_ANALYSES = sizeof(analyses) / sizeof(*analyses) };

static const struct ms_opt shared_options[] = {
	MS_OPT_ENUM(0, "format", struct options, format, ms_format_names,
		"how to print (default {}); sizes are rounded in text, exact bytes and nanoseconds elsewhere"),
	MS_OPT_COUNT('n', "top", struct options, top, "N",
		"show the first N rows (memory: of the N largest processes; summary: always all), 0 for all (default {}); "
		"what stands above the rows counts all"),
	MS_OPT_COUNT(0, "pid", struct options, pid, "PID", "count only this process (all its images)"),
	MS_OPT_END,
};

static const struct ms_example examples[] = {
	{"msanalyze summary app.mst", "how much, how high, and was anything lost"},
	{"msanalyze leaks --fail-over=64K app.mst", "for continuous integration: exits 1 above the limit"},
	{"msanalyze top --sort calls -n 5 app.mst", "the five busiest call stacks"},
	{"msanalyze mismatches --fail app.mst", "new and free, delete of new[], wrong sized deletes"},
	{"msanalyze memory --points=20 app.mst", "how resident memory grew, beside the heap"},
	{"msanalyze processes --top=0 build.mst", "what became of every process, and what it left"},
	{"msanalyze maps --sort=live app.mst", "what the program mapped and has not unmapped"},
	{"msanalyze leaks --pool=pool_alloc app.mst", "the same of a pool that msrecord --wrap recorded"},
	{"msanalyze peak --format=json app.mst | jq .bytes", "the exact peak, in bytes"},
	{0},
};

static const struct ms_exit_code exit_codes[] = {
	{"0", "success"},
	{"1", "there are mismatches, with --fail; or more leaks than --fail-over allows"},
	{"2", "it could not be done: wrong usage, unreadable file, not a trace, disk full"},
	{"3", "done with all that could be read, but the trace is damaged or incomplete: a 1 would not be certain"},
	{NULL, NULL},
};

static const struct ms_tool tool = {
	.name = "msanalyze",
	.summary = "ask a memory trace a question",
	.description =
		"Reads a trace written by msrecord, \"-\" for standard input, and answers one question about it "
		"in one pass. Memory use grows with the live blocks and the call stacks, never with the "
		"events.\n\n"
		"Every successful reallocation of a block counts as one free and one allocation, moved or not; "
		"one that only frees is a free. A block is temporary if its thread releases it in its very next "
		"call. The peak is the highest sum of live bytes over all running processes, exact to the "
		"event; blocks that a process leaves when it ends count as leaks, and no longer towards the "
		"peak. In a forked child, blocks acquired before the fork stay the parent's.\n\n"
		"memory sets what the kernel counts beside that; resident memory includes what recording adds to "
		"a process: the shared memory of events on their way, and the capture library.\n\n"
		"A program's own pools, recorded by msrecord --wrap, are a layer of their own: their bytes came from "
		"the heap or from mappings already, and are in none of these numbers unless --pool asks for them.\n\n"
		"maps knows what the program mapped by calls of its own, and what was mapped when its recording "
		"began. What libc and the loader map later (malloc's memory, the stacks of threads, modules) is "
		"not among it. A region that a forked child inherits stays its parent's. In a trace of msrecord "
		"--keep-last, regions that the dropped events had unmapped are not among it; what was still mapped is.\n\n"
		"processes has a row for every image of a process, for an exec begins another one, and for every program that "
		"could not be recorded, with the reason. threads has one for every thread that called the heap, under its last "
		"name; what it released it need not have acquired itself.",
	.options = shared_options,
	.examples = examples,
	.exit_codes = exit_codes,
};

static void print_rows(const struct ms_table *rows, struct ms_out *o)
{
	struct ms_table_style style = {.width = ms_terminal_width(o->fd)};

	if (!rows || ms_table_rows(rows) == 0)
		return;
	ms_out_char(o, '\n');
	ms_table_print(rows, MS_FORMAT_TEXT, o, style);
}

static void print_text(
	const struct analysis *const *chosen, const struct answer *answers, size_t n, struct ms_out *o)
{
	for (size_t i = 0; i < n; i++) {
		if (n > 1)
			ms_out_printf(
				o, "%s== %s: %s\n\n", i ? "\n" : "", chosen[i]->name, chosen[i]->summary);
		ms_table_print(
			answers[i].head, MS_FORMAT_TEXT, o, (struct ms_table_style){.is_record = true});
		print_rows(answers[i].rows, o);
		print_rows(answers[i].more, o);
	}
}

static void json_answer(const struct answer *a, struct ms_json *j)
{
	ms_json_object(j);
	ms_table_json_members(a->head, j);
	if (a->rows) {
		ms_json_key(j, a->rows_key);
		ms_table_json(a->rows, j, false);
	}
	if (a->more) {
		ms_json_key(j, a->more_key);
		ms_table_json(a->more, j, false);
	}
	ms_json_end(j);
}

/* The object of a single analysis; of several, an object of them by name. */
static void print_json(
	const struct analysis *const *chosen, const struct answer *answers, size_t n, struct ms_out *o)
{
	struct ms_json j;

	ms_json_init(&j, o, true);
	if (n > 1)
		ms_json_object(&j);
	for (size_t i = 0; i < n; i++) {
		if (n > 1)
			ms_json_key(&j, chosen[i]->name);
		json_answer(&answers[i], &j);
	}
	if (n > 1)
		ms_json_end(&j);
	ms_json_line(&j);
}

/* One table after the other, separated by an empty line. */
static void print_csv(
	const struct analysis *const *chosen, const struct answer *answers, size_t n, struct ms_out *o)
{
	for (size_t i = 0; i < n; i++) {
		bool is_head = chosen[i]->is_record;

		if (i)
			ms_out_str(o, "\r\n");
		ms_table_print(is_head ? answers[i].head : answers[i].rows, MS_FORMAT_CSV, o,
			(struct ms_table_style){0});
	}
}

static bool has_pid(const struct mst_reader *r, uint64_t pid)
{
	for (uint32_t id = 1; id <= mst_reader_n_processes(r); id++) {
		const struct mst_process *p = mst_reader_process(r, id);

		if (p && p->pid == pid)
			return true;
	}
	return false;
}

static bool has_calls(const struct mst_replay *replay)
{
	const struct mst_counters *c = mst_replay_totals(replay);

	return c->allocs || c->frees || c->failed || c->live_blocks;
}

/* What is being fed: the analyses chosen and what they have found so far. */
struct feed {
	struct mst_reader *reader;
	struct mst_replay *replay;
	struct pass *pass;
	const struct analysis *const *chosen;
	void **states;
	size_t n;
};

static void feed_events(const struct feed *f, const struct mst_event *events, size_t n)
{
	if (n == 0)
		return;
	if (mst_replay_apply_batch(f->replay, events, n) < 0)
		ms_die("out of memory");
	f->pass->n_events += n;
	f->pass->last_ns = events[n - 1].time_ns;
	for (size_t i = 0; i < f->n; i++)
		if (f->chosen[i]->events)
			f->chosen[i]->events(f->states[i], f->pass, events, n);
}

static void feed_sample(const struct feed *f, const struct mst_sample *sample)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->chosen[i]->sample)
			f->chosen[i]->sample(f->states[i], f->pass, sample);
}

/* The events of a batch, cut where samples stand among them. */
static void feed_batch(const struct feed *f, const struct mst_event *events, size_t n)
{
	struct mst_sample sample;
	size_t done = 0;

	while (n && mst_reader_next_sample(f->reader, events[n - 1].number, &sample)) {
		size_t at = done;

		while (at < n && events[at].number < sample.event)
			at++;
		feed_events(f, events + done, at - done);
		feed_sample(f, &sample);
		done = at;
	}
	feed_events(f, events + done, n - done);
}

/* Feeds the whole trace to the replay and the analyses. */
static void feed_all(const struct feed *f, const char *path)
{
	const struct mst_event *events;
	struct mst_sample sample;
	size_t n;
	int rc;

	while ((rc = mst_reader_next_batch(f->reader, &events, &n)) > 0)
		feed_batch(f, events, n);
	if (rc < 0)
		ms_trace_die(f->reader, path, rc);
	while (mst_reader_next_sample(f->reader, UINT64_MAX, &sample))
		feed_sample(f, &sample);
}

static void print_answers(const struct analysis *const *chosen, const struct answer *answers, size_t n,
	int format, struct ms_out *o)
{
	if (format == MS_FORMAT_JSON)
		print_json(chosen, answers, n, o);
	else if (format == MS_FORMAT_CSV)
		print_csv(chosen, answers, n, o);
	else
		print_text(chosen, answers, n, o);
}

static int print_and_free(
	const struct analysis *const *chosen, struct answer *answers, size_t n, int format, int status)
{
	struct ms_out o;

	ms_report_open(&o, NULL, 0);
	print_answers(chosen, answers, n, format, &o);
	for (size_t i = 0; i < n; i++) {
		if (answers[i].is_no && status == MS_EXIT_OK)
			status = MS_EXIT_NO;
		ms_table_free(answers[i].head);
		ms_table_free(answers[i].rows);
		ms_table_free(answers[i].more);
	}
	return ms_report_close(&o, NULL, status);
}

/* The analyses that hear of each release. */
struct listeners {
	const struct analysis *const *chosen;
	void **states;
	size_t n;
};

static void tell_release(void *ctx, const struct mst_event *ev, const struct mst_block *block)
{
	const struct listeners *l = ctx;

	for (size_t i = 0; i < l->n; i++)
		if (l->chosen[i]->released)
			l->chosen[i]->released(l->states[i], ev, block);
}

static void say_caveats(
	const char *path, const struct mst_reader *r, const struct analysis *const *chosen, size_t n)
{
	const struct mst_checkpoint *before = mst_reader_checkpoint(r);

	if (!before || before->event == 0 || mst_reader_knows_spaces(r))
		return;
	for (size_t i = 0; i < n; i++)
		if (chosen[i]->lacks_spaces)
			ms_info("'%s': %s: %s", path, chosen[i]->name, chosen[i]->lacks_spaces);
}

static int analyze(
	const char *path, const struct options *options, const struct analysis *const *chosen, size_t n)
{
	struct mst_reader_options columns = {.columns = MST_COL_TIME | MST_COL_SIZE | MST_COL_FREED};
	struct mst_replay_options counting = {.only_pid = (uint32_t)options->pid, .only_pool = options->pool};
	struct mst_replay *replay = NULL;
	void *states[N_ANALYSES] = {0};
	struct listeners listeners = {chosen, states, n};
	struct answer answers[N_ANALYSES] = {0};

	for (size_t i = 0; i < n; i++) {
		columns.columns |= chosen[i]->needs_stacks ? MST_COL_STACK : 0u;
		counting.by_stack |= chosen[i]->needs_stacks;
		columns.samples |= chosen[i]->sample != NULL;
		columns.columns |= chosen[i]->needs_maps ? MST_COL_MAPS : 0u;
		columns.columns |= chosen[i]->needs_pools || options->pool ? MST_COL_POOLS : 0u;
		if (!chosen[i]->released)
			continue;
		columns.columns |= MST_COL_EXTRA; /* alignments, and what sized releases said */
		counting.released = tell_release;
		counting.released_ctx = &listeners;
	}
	struct mst_reader *r = ms_trace_open(path, &columns);

	ms_trace_load_tables(r, path);
	if (mst_replay_new(r, &counting, &replay) < 0)
		ms_die("out of memory");
	struct pass pass = {.options = options, .reader = r, .replay = replay};

	for (size_t i = 0; i < n; i++)
		states[i] = chosen[i]->begin ? chosen[i]->begin(&pass) : NULL;
	feed_all(&(struct feed){r, replay, &pass, chosen, states, n}, path);
	if (options->pid && !has_pid(r, options->pid))
		ms_die("no process %llu in '%s'", (unsigned long long)options->pid, path);
	if (options->pool && !has_calls(replay))
		ms_die("no calls of a pool '%s' in '%s' (msanalyze summary lists the pools)", options->pool, path);
	for (size_t i = 0; i < n; i++)
		chosen[i]->end(states[i], &pass, &answers[i]);
	int status = ms_trace_report_gaps(r, path, pass.n_events);
	say_caveats(path, r, chosen, n);
	struct pauses pauses = pauses_of(r, options->pid, pass.last_ns);

	pauses_say(path, &pauses);
	status = print_and_free(chosen, answers, n, options->format, status);
	mst_replay_free(replay);
	mst_reader_close(r);
	return status;
}

/* The analysis of that name: 1 and its place in the table, or all of them. */
static size_t choose(const char *name, const struct analysis *const **chosen)
{
	for (size_t i = 0; i < N_ANALYSES; i++) {
		*chosen = &analyses[i];
		if (strcmp(analyses[i]->name, name) == 0)
			return 1;
	}
	*chosen = analyses;
	return N_ANALYSES;
}

int main(int argc, char **argv)
{
	struct options options = {.top = 20, .points = 100, .fail_over = UINT64_MAX};
	struct ms_command commands[N_ANALYSES + 2] = {0};
	struct ms_tool with_commands = tool;
	struct ms_parsed parsed;
	const struct analysis *const *chosen;

	for (size_t i = 0; i < N_ANALYSES; i++)
		commands[i] = (struct ms_command){
			analyses[i]->name, analyses[i]->summary, "TRACE", 1, 1, analyses[i]->options};
	commands[N_ANALYSES] = (struct ms_command){"all", "all of these, in one pass", "TRACE", 1, 1, NULL};
	with_commands.commands = commands;
	ms_report_init(tool.name, MS_EXIT_FAIL);
	int rc = ms_options_parse(&with_commands, argc, argv, &options, &parsed);

	if (rc != MS_OPTIONS_RUN)
		return rc;
	if (options.pid > UINT32_MAX)
		ms_die("no process has the id %llu", (unsigned long long)options.pid);
	size_t n = choose(parsed.command->name, &chosen);

	return analyze(parsed.operands[0], &options, chosen, n);
}

/* msdump - print every event of a trace, say what the file consists of, check it, save what is intact. */
#include "dump.h"
#include "report.h"

#include <stdlib.h>

static const char *const format_names[] = {"auto", "text", "jsonl", "csv", "json", NULL};

static const struct ms_opt options_table[] = {
	MS_OPT_GROUP("What to do, instead of printing the events"),
	MS_OPT_FLAG(0, "info", struct options, is_info,
		"print who recorded what, and how much room each kind of frame takes"),
	MS_OPT_FLAG(0, "samples", struct options, is_samples,
		"print the samples: what the kernel counted for processes and control groups, and what the "
		"recording cost; --from, --to, --limit, --pid and --format apply"),
	MS_OPT_FLAG(0, "verify", struct options, is_verify,
		"check every byte; exits 0 if the file is sound, 1 if not"),
	MS_OPT_STRING(0, "salvage", struct options, salvage, "OUT",
		"copy all intact frames, bit for bit, to the new trace OUT"),
	MS_OPT_FLAG(0, "force", struct options, is_forced, "let --salvage replace OUT"),
	MS_OPT_GROUP("Which events"),
	MS_OPT_DURATION(0, "from", struct options, from_ns, "TIME",
		"from this time after the start of the recording"),
	MS_OPT_DURATION(0, "to", struct options, to_ns, "TIME", "up to and including this time"),
	MS_OPT_COUNT(0, "limit", struct options, limit, "N", "print N events at most; 0 for all"),
	MS_OPT_STRINGS(0, "op", struct options, ops, "NAME",
		"only these calls, such as malloc or realloc; may be repeated"),
	MS_OPT_COUNTS(0, "pid", struct options, pids, "PID", "only these processes; may be repeated"),
	MS_OPT_COUNTS(0, "tid", struct options, tids, "TID", "only these threads; may be repeated"),
	MS_OPT_GROUP("How to print"),
	MS_OPT_ENUM(0, "format", struct options, format, format_names,
		"auto is jsonl for events, text otherwise (default {})"),
	MS_OPT_FLAG(0, "stacks", struct options, with_stacks,
		"print the call stack of each event, innermost function first"),
	MS_OPT_END,
};

static const struct ms_example examples[] = {
	{"msdump app.mst | jq -c 'select(.op == \"realloc\")'", "all reallocations"},
	{"msdump --stacks --limit=10 --format=text app.mst", "the first ten calls with their stacks"},
	{"msdump --from=1.5s --to=1.6s app.mst", "a tenth of a second"},
	{"msdump --samples app.mst | jq 'select(.rss > 1e9)'", "when memory was above 1 GB"},
	{"msdump --verify app.mst && echo sound", "check a file"},
	{"msdump --salvage=good.mst bad.mst", "keep what is intact of a damaged file"},
	{0},
};

static const struct ms_exit_code exit_codes[] = {
	{"0", "success; with --verify: the file is sound"},
	{"1", "--verify: the file is damaged or incomplete"},
	{"2", "it could not be done: wrong usage, unreadable file, not a trace, disk full"},
	{"3", "done with all that could be read, but the trace is damaged or incomplete"},
	{NULL, NULL},
};

static const struct ms_tool tool = {
	.name = "msdump",
	.summary = "print the events of a memory trace",
	.description =
		"Prints every event of a trace written by msrecord, \"-\" for standard input, in the exact "
		"total order of the calls of all threads and processes.\n\n"
		"JSON, one object a line: event is the number in that order, time_ns the time since the start "
		"of the recording. addr is the address acquired, or released; size the bytes asked for, or "
		"released; alloc identifies the block and is never used twice, unlike addresses; stack "
		"identifies the call stack. Reallocations have old_addr and old_alloc, the block that was "
		"released. align, errno, said_size (of a sized release that named another size than the "
		"block's) and the flags failed (nothing happened), late (printed after its place "
		"in the order), foreign (releases what was never seen acquired) and inherited (a forked child "
		"releases its copy of a block) appear where they apply. Unknown values are null; numbers "
		"beyond 2^53 are strings.\n\n"
		"An option that says nothing to what is to be done (--stacks with --info) is refused, and so is a process that "
		"the trace has not.\n\n"
		"Marks, pauses and resumes of the recording stand among the events, as objects with annotation "
		"(mark, pause or resume) instead of op, before_event (the number of the event that comes next), "
		"time_ns, pid (null: all processes), tid (null: nobody in the program) and, of marks, name. They are "
		"not counted by --limit, not printed with --op, and not part of CSV.\n\n"
		"--samples prints, one object each, what was measured of a process, a control group (group_*) or "
		"the recorder; event is the number of the first event that comes after it. Bytes, unless the "
		"name ends in _ns or counts something; what was not known is left out; a limit of 2^63-1 is "
		"none.\n\n"
		"mmap, munmap, mremap, brk, sbrk, madvise and mprotect stand among the others, as far as the "
		"program itself called them, and have no part in the heap. addr and size are the range; prot, "
		"flags and advice are Linux's numbers; fd, offset and file are those of a mapped file. mremap "
		"has old_addr and old_size, brk and sbrk the break before as old_addr. begun, where other "
		"events came during the call, is the number of the first of them.\n\n"
		"--stacks adds frames: function, file, line, module, inlined; and cut where the outer callers "
		"are not known.",
	.exit_codes = exit_codes,
	.self = {.operands = "TRACE", .min_operands = 1, .max_operands = 1},
	.options = options_table,
	.examples = examples,
};

const uint64_t *dump_unknown_pid(const struct mst_reader *r, const struct options *options)
{
	for (size_t i = 0; i < options->pids.n; i++) {
		uint32_t n = mst_reader_n_processes(r), id = 1;
		const struct mst_process *p = NULL;

		for (; id <= n && !((p = mst_reader_process(r, id)) && p->pid == options->pids.items[i]); id++)
			;
		if (id > n)
			return &options->pids.items[i];
	}
	return NULL;
}

enum mode { EVENTS = 1, SAMPLES = 2, INFO = 4, VERIFY = 8, SALVAGE = 16 };

/* An option without effect is a misunderstanding, and better said than passed over. */
static void refuse_what_has_no_effect(const struct options *o, enum mode mode)
{
	const struct {
		const char *name;
		bool is_given;
		int modes; /* in which it says something */
	} all[] = {
		{"--force", o->is_forced, SALVAGE},
		{"--from", o->from_ns != 0, EVENTS | SAMPLES},
		{"--to", o->to_ns != UINT64_MAX, EVENTS | SAMPLES},
		{"--limit", o->limit != 0, EVENTS | SAMPLES},
		{"--op", o->ops.n != 0, EVENTS},
		{"--pid", o->pids.n != 0, EVENTS | SAMPLES},
		{"--tid", o->tids.n != 0, EVENTS},
		{"--format", o->format != FORMAT_AUTO, EVENTS | SAMPLES | INFO | VERIFY},
		{"--stacks", o->with_stacks, EVENTS},
	};
	const char *with = mode == SAMPLES ? "--samples" : mode == INFO ? "--info" : mode == VERIFY ? "--verify" : "--salvage";

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (!all[i].is_given || all[i].modes & (int)mode)
			continue;
		if (mode == EVENTS)
			ms_die("%s has no effect without --salvage", all[i].name);
		ms_die("%s has no effect with %s", all[i].name, with);
	}
	if (o->format == FORMAT_CSV && mode == VERIFY)
		ms_die("--format=csv has no effect with --verify");
}

static enum mode mode_of(const struct options *o)
{
	return o->is_info ? INFO : o->is_verify ? VERIFY : o->is_samples ? SAMPLES : o->salvage ? SALVAGE : EVENTS;
}

static int run(const char *path, const struct options *o)
{
	if (o->is_info + o->is_verify + o->is_samples + (o->salvage != NULL) > 1)
		ms_die("--info, --samples, --verify and --salvage exclude one another");
	refuse_what_has_no_effect(o, mode_of(o));
	if (o->is_info)
		return dump_info(path, o);
	if (o->is_verify)
		return dump_verify(path, o);
	if (o->is_samples)
		return dump_samples(path, o);
	return o->salvage ? dump_salvage(path, o) : dump_events(path, o);
}

int main(int argc, char **argv)
{
	struct options options = {.to_ns = UINT64_MAX};
	struct ms_parsed parsed;

	ms_report_init(tool.name, MS_EXIT_FAIL);
	int rc = ms_options_parse(&tool, argc, argv, &options, &parsed);

	if (rc == MS_OPTIONS_RUN)
		rc = run(parsed.operands[0], &options);
	free(options.ops.items);
	free(options.pids.items);
	free(options.tids.items);
	return rc;
}

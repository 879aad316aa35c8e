/* msrender KIND TRACE: one survey of the trace, then one of the outputs in the table below.
 *
 * The output is opened before the trace is read, so that a wrong path does not cost a long wait, and it gets
 * its name only when it is complete. */
#include "flame.h"
#include "folded.h"
#include "options.h"
#include "report.h"
#include "report_json.h"
#include "survey.h"

#include <sys/stat.h>
#include <unistd.h>

struct options {
	const char *output;
	bool is_forced;
	bool is_quiet;
	uint64_t pid;
	uint64_t at_ns;
	int value; /* enum survey_value */
	uint64_t width;
	bool is_inverted;
	uint64_t top;
};

static const struct ms_opt shared_options[] = {
	MS_OPT_GROUP("What"),
	MS_OPT_ENUM(0, "value", struct options, value, survey_value_names,
		"what a stack weighs: bytes allocated, count of allocations, bytes live at the end (or "
		"--at TIME), bytes live at the peak, bytes leaked, count of temporary allocations, which the "
		"same thread frees with its next heap call (default {})"),
	MS_OPT_COUNT_RANGE(0, "pid", struct options, pid, "N", 1, INT32_MAX, "only process N"),
	MS_OPT_DURATION(
		0, "at", struct options, at_ns, "TIME", "only what happened until TIME after the start"),
	MS_OPT_GROUP("Output"),
	MS_OPT_STRING('o', "output", struct options, output, "FILE",
		"write to FILE, which is replaced when the new one is complete; - is standard output"),
	MS_OPT_FLAG(0, "force", struct options, is_forced,
		"write through a symbolic link, into a FIFO or a device"),
	MS_OPT_FLAG('q', "quiet", struct options, is_quiet, "no progress line on the terminal"),
	MS_OPT_END,
};

static const struct ms_opt flame_options[] = {
	MS_OPT_GROUP("Picture"),
	MS_OPT_FLAG('i', "inverted", struct options, is_inverted,
		"icicle: callers on top, callees hanging below"),
	MS_OPT_COUNT_RANGE('w', "width", struct options, width, "PIXELS", FLAME_MIN_WIDTH, FLAME_MAX_WIDTH,
		"width of the picture (default {})"),
	MS_OPT_END,
};

static const struct ms_opt json_options[] = {
	MS_OPT_GROUP("Report"),
	MS_OPT_COUNT_RANGE('n', "top", struct options, top, "N", 1, UINT32_MAX,
		"entries in each list of sites (default {})"),
	MS_OPT_END,
};

enum kind { KIND_FLAMEGRAPH, KIND_FOLDED, KIND_JSON };

static const struct ms_command commands[] = {
	[KIND_FLAMEGRAPH] = {"flamegraph", "an SVG with zoom and search, for any browser, without a network",
		"TRACE", 1, 1, flame_options},
	[KIND_FOLDED] = {"folded", "collapsed stacks: one line a stack, its functions and its weight",
		"TRACE", 1, 1, NULL},
	[KIND_JSON] = {"json", "a report for programs: totals, processes, threads, sites, leaks, peak",
		"TRACE", 1, 1, json_options},
	{0},
};

static const struct ms_example examples[] = {
	{"msrender flamegraph app.mst -o app.svg", "who allocates how many bytes"},
	{"msrender flamegraph --value=peak app.mst -o peak.svg",
		"what filled the memory when most was in use"},
	{"msrender folded --value=leaked app.mst | sort -t' ' -k2", "what was never freed, for other tools"},
	{"msrender json --top=5 app.mst | jq .leaks.rows[].value", "the five greatest leaks"},
	{NULL, NULL},
};

static const struct ms_exit_code exit_codes[] = {
	{"0", "the output is complete"},
	{"2", "it could not be done: wrong usage, unreadable file, not a trace, disk full"},
	{"3", "the output shows all that could be read, but the trace is damaged or incomplete"},
	{NULL, NULL},
};

static const struct ms_tool tool = {
	.name = "msrender",
	.summary = "draw a picture or write a report of a memory trace",
	.description =
		"Reads a trace that msrecord wrote (- is standard input) and writes one of the outputs below. "
		"Every picture stands alone: it opens from a file, sends nothing anywhere, and its size is "
		"bounded; what it leaves out, it says.\n\n"
		"Where callers are not known, a stack stands under [cut stack]; code without a known function "
		"is named by its module and offset.",
	.commands = commands,
	.options = shared_options,
	.examples = examples,
	.exit_codes = exit_codes,
};

static void draw_flame(const struct survey *s, const struct options *o, struct ms_out *out)
{
	const struct flame_options look = {.width = o->width, .is_inverted = o->is_inverted};
	struct survey_facts facts = {0};
	struct survey_tree t = {0};

	survey_build_tree(s, (enum survey_value)o->value, &t);
	survey_describe(s, (enum survey_value)o->value, &facts);
	flame_draw(&t.tree, &facts.facts, &look, out);
	survey_release_facts(&facts);
	survey_release_tree(&t);
}

static void write_folded(const struct survey *s, const struct options *o, struct ms_out *out)
{
	struct survey_tree t = {0};

	survey_build_tree(s, (enum survey_value)o->value, &t);
	folded_write(&t.tree, out);
	survey_release_tree(&t);
}

static void write_json(const struct survey *s, const struct options *o, struct ms_out *out)
{
	report_json_write(s, (enum survey_value)o->value, o->top, out);
}

typedef void render_fn(const struct survey *s, const struct options *o, struct ms_out *out);

static render_fn *const renders[] = {
	[KIND_FLAMEGRAPH] = draw_flame,
	[KIND_FOLDED] = write_folded,
	[KIND_JSON] = write_json,
};

/* Mistakes that cost something: a trace replaced by its own picture; an SVG in the terminal, unless asked for
 * by "-o -". */
static void check_output(const struct options *o, enum kind kind, const char *path)
{
	struct stat in, out;

	if (o->output && stat(o->output, &out) == 0 && stat(path, &in) == 0 && in.st_dev == out.st_dev &&
		in.st_ino == out.st_ino)
		ms_die("cannot write '%s': it is the trace itself", o->output);
	if (!o->output && kind == KIND_FLAMEGRAPH && isatty(STDOUT_FILENO))
		ms_die("say where the picture goes: -o FILE");
}

static int render(const struct options *o, enum kind kind, const char *path)
{
	const struct survey_options what = {.pid = o->pid, .at_ns = o->at_ns, .is_quiet = o->is_quiet};
	struct survey s;
	struct ms_out out;
	int status;

	check_output(o, kind, path);
	ms_report_open(&out, o->output, o->is_forced ? MS_OUT_FORCE : 0);
	survey_run(&s, path, &what);
	renders[kind](&s, o, &out);
	status = s.status;
	survey_release(&s);
	return ms_report_close(&out, o->output, status);
}

int main(int argc, char **argv)
{
	struct options o = {.at_ns = SURVEY_TO_THE_END, .width = FLAME_DEFAULT_WIDTH, .top = 50};
	struct ms_parsed parsed;
	int rc;

	ms_report_init("msrender", MS_EXIT_FAIL);
	rc = ms_options_parse(&tool, argc, argv, &o, &parsed);
	if (rc != MS_OPTIONS_RUN)
		return rc;
	return render(&o, (enum kind)(parsed.command - commands), parsed.operands[0]);
}

/* A tool with every kind of option, for the tests of man page and completion. */
#include "options.h"
#include "report.h"

struct options {
	const char *output;
	int format;
	bool is_quiet;
	uint64_t top;
};

static const char *const formats[] = {"text", "csv", "json", NULL};

static const struct ms_opt shared[] = {
	MS_OPT_GROUP("Output"),
	MS_OPT_STRING('o', "output", struct options, output, "FILE", "write to FILE, not to standard output"),
	MS_OPT_ENUM(0, "format", struct options, format, formats, "how to print (default {})"),
	MS_OPT_FLAG('q', "quiet", struct options, is_quiet, "say nothing"),
	MS_OPT_END,
};

static const struct ms_opt leak_options[] = {
	MS_OPT_COUNT('n', "top", struct options, top, "N", "rows to print (default {})"),
	MS_OPT_END,
};

static const struct ms_command commands[] = {
	{"leaks", "what was never freed", "TRACE", 1, 1, leak_options},
	{"summary", "the numbers of the whole trace", "TRACE", 1, 1, NULL},
	{0},
};

static const struct ms_tool tool = {
	.name = "demo_tool",
	.summary = "shows a table of options",
	.description = "First paragraph with a \\backslash and a --hyphen.\n\n.dot starts the second.",
	.commands = commands,
	.options = shared,
};

int main(int argc, char **argv)
{
	struct options o = {.top = 20};
	struct ms_parsed parsed;
	int rc;

	ms_report_init("demo_tool", MS_EXIT_FAIL);
	rc = ms_options_parse(&tool, argc, argv, &o, &parsed);
	return rc == MS_OPTIONS_RUN ? MS_EXIT_OK : rc;
}

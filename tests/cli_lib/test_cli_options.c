#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "options.h"
#include "report.h"

#include <stdio.h>
#include <unistd.h>

struct values {
	const char *output;
	uint64_t top, limit, from_ns, interval_ns;
	bool is_quiet, is_verbose;
	int format;
	struct ms_u64_list pids;
	struct ms_string_list names;
};

static const char *const formats[] = {"text", "csv", "json", NULL};

static const struct ms_opt shared[] = {
	MS_OPT_GROUP("Output"),
	MS_OPT_STRING('o', "output", struct values, output, "FILE", "write to FILE"),
	MS_OPT_ENUM('f', "format", struct values, format, formats, "how to print (default {})"),
	MS_OPT_FLAG('q', "quiet", struct values, is_quiet, "say nothing"),
	MS_OPT_FLAG('v', "verbose", struct values, is_verbose, "say more"),
	MS_OPT_END,
};

static const struct ms_opt leak_options[] = {
	MS_OPT_COUNT_RANGE('n', "top", struct values, top, "N", 1, 1000, "rows (default {})"),
	MS_OPT_SIZE(0, "limit", struct values, limit, "SIZE", "smallest leak (default {})"),
	MS_OPT_DURATION(0, "from", struct values, from_ns, "TIME", "from when"),
	{MS_OPT_VALUE(
		 MS_OPT_KIND_DURATION, uint64_t, 0, "system", struct values, interval_ns, "TIME", "sample"),
		.implied = "1s"},
	MS_OPT_COUNTS(0, "pid", struct values, pids, "N", "only process N, repeatable"),
	MS_OPT_STRINGS(0, "name", struct values, names, "GLOB", "only names like GLOB, repeatable"),
	MS_OPT_END,
};

static const struct ms_command commands[] = {
	{"leaks", "what was never freed", "TRACE", 1, 1, leak_options},
	{"summary", "the numbers", "TRACE...", 1, -1, NULL},
	{0},
};

static const struct ms_example examples[] = {{"tool leaks app.mst", "show leaks"}, {NULL, NULL}};

static const struct ms_tool tool = {
	.name = "tool",
	.summary = "does things",
	.description = "Long words.\n\n.Second paragraph.",
	.commands = commands,
	.options = shared,
	.examples = examples,
};

static const struct ms_tool runner = {
	.name = "runner",
	.summary = "runs things",
	.self = {"runner", "runs", "COMMAND [ARG...]", 1, -1, NULL},
	.options = shared,
	.stops_at_operand = true,
	.usage_status = 125,
};

static struct values values;
static struct ms_parsed parsed;
static char said[8192];

/* Splits line at blanks and parses it, collecting what is said on standard error and output. */
static int parse(const struct ms_tool *t, const char *line)
{
	static char words[1024];
	static char *argv[64];
	int argc = 0, rc, saved_err = dup(STDERR_FILENO), saved_out = dup(STDOUT_FILENO);
	FILE *f = tmpfile();
	size_t n;

	free(values.pids.items);
	free(values.names.items);
	values = (struct values){.top = 20, .format = 2, .limit = 4096};
	snprintf(words, sizeof(words), "%s", line);
	for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	assert_non_null(f);
	dup2(fileno(f), STDERR_FILENO);
	dup2(fileno(f), STDOUT_FILENO);
	rc = ms_options_parse(t, argc, argv, &values, &parsed);
	dup2(saved_err, STDERR_FILENO);
	dup2(saved_out, STDOUT_FILENO);
	close(saved_err);
	close(saved_out);
	rewind(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	fclose(f);
	return rc;
}

#define ASSERT_REFUSED(line, why) \
	do { \
		assert_int_equal(parse(&tool, line), 2); \
		if (!strstr(said, why)) \
			fail_msg("'%s' said: %s", line, said); \
	} while (0)

static void every_spelling_of_a_value(void **state)
{
	static const char *const lines[] = {"tool leaks -o x t", "tool leaks -ox t",
		"tool leaks --output=x t", "tool leaks --output x t", "tool -o x leaks t",
		"tool leaks t -qo x", "tool leaks t --output x"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(parse(&tool, lines[i]), MS_OPTIONS_RUN);
		assert_string_equal(values.output, "x");
		assert_int_equal(parsed.n_operands, 1);
		assert_string_equal(parsed.operands[0], "t");
		assert_null(parsed.operands[1]);
		assert_ptr_equal(parsed.command, &commands[0]);
	}
}

static void values_are_typed(void **state)
{
	(void)state;
	assert_int_equal(
		parse(&tool, "tool leaks --limit=1.5K --from 250ms -n5 -f csv -qv -- -t"), MS_OPTIONS_RUN);
	assert_int_equal(values.limit, 1536);
	assert_int_equal(values.from_ns, 250000000);
	assert_int_equal(values.top, 5);
	assert_int_equal(values.format, 1);
	assert_true(values.is_quiet && values.is_verbose);
	assert_string_equal(parsed.operands[0], "-t");
}

static void lists_keep_order(void **state)
{
	(void)state;
	assert_int_equal(parse(&tool, "tool leaks --pid 3 --pid=0x10 --name a --name=b - "), MS_OPTIONS_RUN);
	assert_int_equal(values.pids.n, 2);
	assert_int_equal(values.pids.items[0], 3);
	assert_int_equal(values.pids.items[1], 16);
	assert_int_equal(values.names.n, 2);
	assert_string_equal(values.names.items[1], "b");
	assert_string_equal(parsed.operands[0], "-");
}

static void implied_value_only_without_equals(void **state)
{
	(void)state;
	assert_int_equal(parse(&tool, "tool leaks --system t"), MS_OPTIONS_RUN);
	assert_int_equal(values.interval_ns, 1000000000);
	assert_int_equal(parse(&tool, "tool leaks --system=5ms t"), MS_OPTIONS_RUN);
	assert_int_equal(values.interval_ns, 5000000);
}

static void mistakes_are_explained(void **state)
{
	(void)state;
	ASSERT_REFUSED("tool leaks --ouptut=x t", "unknown option '--ouptut'; did you mean '--output'?");
	ASSERT_REFUSED("tool leaks --form=x t", "did you mean '--format'?");
	ASSERT_REFUSED("tool leaks --zzzzzz t", "unknown option '--zzzzzz'\n");
	ASSERT_REFUSED("tool leaks -z t", "unknown option '-z'");
	ASSERT_REFUSED("tool leak t", "did you mean 'leaks'?");
	ASSERT_REFUSED("tool", "say what to do");
	ASSERT_REFUSED("tool leaks", "missing argument: TRACE");
	ASSERT_REFUSED("tool leaks a b", "too many arguments");
	ASSERT_REFUSED("tool leaks t --output", "option '--output' needs a value");
	ASSERT_REFUSED("tool leaks t --quiet=yes", "option '--quiet' takes no value");
	ASSERT_REFUSED("tool leaks t --limit=1X", "'1X' is not a valid value for --limit: it must be a size");
	ASSERT_REFUSED("tool leaks t --top=0", "must be at least 1");
	ASSERT_REFUSED("tool leaks t --top=1001", "must be at most 1000");
	ASSERT_REFUSED("tool leaks t --format=jsn", "text, csv or json; did you mean 'json'?");
	ASSERT_REFUSED("tool summary --top=3 t", "unknown option '--top'");
	ASSERT_REFUSED("tool leaks --\033[2J t", "\\x1b[2J");
	ASSERT_REFUSED("tool leaks --zzz t", "try 'tool leaks --help'");
}

static void errors_store_nothing(void **state)
{
	(void)state;
	assert_int_equal(parse(&tool, "tool leaks -q --pid 1 --top=x t"), 2);
	assert_false(values.is_quiet);
	assert_int_equal(values.pids.n, 0);
}

static void first_operand_can_end_the_options(void **state)
{
	(void)state;
	assert_int_equal(parse(&runner, "runner -q ls -l --output=x"), MS_OPTIONS_RUN);
	assert_int_equal(parsed.n_operands, 3);
	assert_string_equal(parsed.operands[2], "--output=x");
	assert_null(values.output);
	assert_int_equal(parse(&runner, "runner -q -- ls"), MS_OPTIONS_RUN);
	assert_string_equal(parsed.operands[0], "ls");
	assert_int_equal(parse(&runner, "runner --bad"), 125);
}

static void help_shows_defaults_and_exit_codes(void **state)
{
	(void)state;
	assert_int_equal(parse(&tool, "tool leaks --top=7 --help"), 0);
	assert_non_null(strstr(said, "Usage: tool leaks [OPTION]... TRACE\n"));
	assert_non_null(strstr(said, "  -n, --top=N               rows (default 20)\n"));
	assert_non_null(strstr(said, "smallest leak (default 4.00 KiB)"));
	assert_non_null(strstr(said, "--format=text|csv|json"));
	assert_non_null(strstr(said, "(default json)"));
	assert_non_null(strstr(said, "--system[=TIME]"));
	assert_int_equal(parse(&tool, "tool -h"), 0);
	assert_non_null(strstr(said, "leaks                     what was never freed\n"));
	assert_non_null(strstr(said, "Exit status:\n  0                         success\n"));
	assert_non_null(strstr(said, "tool leaks app.mst"));
}

static void version_is_printed(void **state)
{
	(void)state;
	assert_int_equal(parse(&tool, "tool --version"), 0);
	assert_memory_equal(said, "tool (mstrace) ", 15);
}

static void nearest_word_finds_typos_only(void **state)
{
	static const char *const words[] = {"flamegraph", "folded", "json", NULL};

	(void)state;
	assert_string_equal(ms_nearest_word("flamegrahp", words), "flamegraph");
	assert_string_equal(ms_nearest_word("flame", words), "flamegraph");
	assert_string_equal(ms_nearest_word("jsno", words), "json");
	assert_null(ms_nearest_word("xyzzy", words));
	assert_null(ms_nearest_word("", words));
}

static int release(void **state)
{
	(void)state;
	free(values.pids.items);
	free(values.names.items);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_of_a_value),
		cmocka_unit_test(values_are_typed),
		cmocka_unit_test(lists_keep_order),
		cmocka_unit_test(implied_value_only_without_equals),
		cmocka_unit_test(mistakes_are_explained),
		cmocka_unit_test(errors_store_nothing),
		cmocka_unit_test(first_operand_can_end_the_options),
		cmocka_unit_test(help_shows_defaults_and_exit_codes),
		cmocka_unit_test(version_is_printed),
		cmocka_unit_test(nearest_word_finds_typos_only),
	};

	ms_report_init("tool", MS_EXIT_FAIL);
	return cmocka_run_group_tests(tests, NULL, release);
}

/* The parser: one walk over argv, run twice. The first walk only checks (and looks for --help), so that a
 * usage error has no side effect and help shows the defaults, not half-parsed values; the second stores. */
#include "options.h"

#include "report.h"
#include "room.h"
#include "units.h"

#include <stdlib.h>

struct walk {
	const struct ms_tool *tool;
	const struct ms_command *command; /* NULL until known */
	void *values;
	char **argv;
	int argc;
	int at;		/* the next argument to read */
	int n_operands; /* so far; on the storing walk they are argv[1] and on */
	bool is_storing;
	bool wants_help;
};

static const struct ms_opt builtin_options[] = {
	{.kind = MS_OPT_KIND_FLAG, .letter = 'h', .name = "help"},
	{.kind = MS_OPT_KIND_FLAG, .name = "version"},
	{.kind = MS_OPT_KIND_FLAG, .name = "print-man"},
	{.kind = MS_OPT_KIND_FLAG, .name = "print-completion"},
	MS_OPT_END,
};

enum { MAX_WORDS = 128, MAX_DISTANCE_LENGTH = 64 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edit distance with adjacent transpositions as one step; both at most MAX_DISTANCE_LENGTH long. */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned rows[3][MAX_DISTANCE_LENGTH + 1];
	size_t n = strlen(b);

	for (size_t k = 0; k <= n; k++)
		rows[0][k] = (unsigned)k;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t k = 1; k <= n; k++) {
			now[k] = min3(now[k - 1] + 1, last[k] + 1, last[k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
				before[k - 2] + 1 < now[k])
				now[k] = before[k - 2] + 1;
		}
	}
	return rows[strlen(a) % 3][n];
}

const char *ms_nearest_word(const char *word, const char *const *candidates)
{
	const char *best = NULL;
	unsigned best_distance = (unsigned)strlen(word) / 3 + 2;

	if (strlen(word) > MAX_DISTANCE_LENGTH)
		return NULL;
	for (; *candidates; candidates++) {
		unsigned d;

		if (strlen(*candidates) > MAX_DISTANCE_LENGTH)
			continue;
		/* The beginning of a word is worth more than any distance. */
		if (strlen(word) >= 3 && strncmp(word, *candidates, strlen(word)) == 0)
			return *candidates;
		d = edit_distance(word, *candidates);
		if (d < best_distance && d < strlen(*candidates)) {
			best_distance = d;
			best = *candidates;
		}
	}
	return best;
}

static int usage_error(const struct walk *w)
{
	const char *command = w->command && w->tool->commands ? w->command->name : "";

	ms_error("try '%s%s%s --help'", w->tool->name, *command ? " " : "", command);
	return w->tool->usage_status ? w->tool->usage_status : MS_EXIT_FAIL;
}

static const struct ms_opt *find_in(const struct ms_opt *table, const char *name, size_t n, char letter)
{
	for (const struct ms_opt *opt = table; opt && opt->kind; opt++) {
		if (!opt->name)
			continue;
		if (letter && opt->letter == letter)
			return opt;
		if (!letter && strlen(opt->name) == n && strncmp(opt->name, name, n) == 0)
			return opt;
	}
	return NULL;
}

/* By long name of n bytes, or by letter when that is not 0. */
static const struct ms_opt *find_option(const struct walk *w, const char *name, size_t n, char letter)
{
	const struct ms_opt *opt = find_in(w->tool->options, name, n, letter);

	if (!opt && w->command)
		opt = find_in(w->command->options, name, n, letter);
	return opt ? opt : find_in(builtin_options, name, n, letter);
}

static size_t collect_names(const struct ms_opt *table, const char **words, size_t n)
{
	for (const struct ms_opt *opt = table; opt && opt->kind; opt++)
		if (opt->name && n < MAX_WORDS - 1 && strncmp(opt->name, "print-", 6) != 0)
			words[n++] = opt->name;
	words[n] = NULL;
	return n;
}

static int unknown_option(const struct walk *w, const char *name, size_t n)
{
	const char *words[MAX_WORDS];
	size_t n_words = collect_names(w->tool->options, words, 0);
	char typed[MAX_DISTANCE_LENGTH + 1];
	const char *nearest = NULL;

	n_words = collect_names(w->command ? w->command->options : NULL, words, n_words);
	collect_names(builtin_options, words, n_words);
	if (n < sizeof(typed)) {
		memcpy(typed, name, n);
		typed[n] = '\0';
		nearest = ms_nearest_word(typed, words);
	}
	if (nearest)
		ms_error("unknown option '--%.*s'; did you mean '--%s'?", (int)n, name, nearest);
	else
		ms_error("unknown option '--%.*s'", (int)n, name);
	return usage_error(w);
}

static int bad_value(const struct walk *w, const struct ms_opt *opt, const char *text, const char *accepted)
{
	ms_error("'%s' is not a valid value for --%s: it must be %s", text, opt->name, accepted);
	return usage_error(w);
}

static int bad_choice(const struct walk *w, const struct ms_opt *opt, const char *text)
{
	const char *nearest = ms_nearest_word(text, opt->choices);
	struct ms_out words;

	ms_out_init_memory(&words);
	for (size_t i = 0; opt->choices[i]; i++) {
		const char *comma = i == 0 ? "" : opt->choices[i + 1] ? ", " : " or ";

		ms_out_printf(&words, "%s%s", comma, opt->choices[i]);
	}
	if (nearest)
		ms_error("'%s' is not a valid value for --%s: it must be %s; did you mean '%s'?", text,
			opt->name, ms_out_text(&words), nearest);
	else
		ms_error("'%s' is not a valid value for --%s: it must be %s", text, opt->name,
			ms_out_text(&words));
	ms_out_release(&words);
	return usage_error(w);
}

static void store_number(const struct walk *w, const struct ms_opt *opt, uint64_t number)
{
	void *field = (char *)w->values + opt->offset;

	if (opt->kind == MS_OPT_KIND_ENUM) {
		*(int *)field = (int)number;
	} else if (opt->kind == MS_OPT_KIND_COUNTS) {
		struct ms_u64_list *list = field;

		list->items = ms_room(list->items, &list->cap, list->n + 1, sizeof(*list->items));
		list->items[list->n++] = number;
	} else {
		*(uint64_t *)field = number;
	}
}

static void store_string(const struct walk *w, const struct ms_opt *opt, const char *text)
{
	void *field = (char *)w->values + opt->offset;

	if (opt->kind == MS_OPT_KIND_STRINGS) {
		struct ms_string_list *list = field;

		list->items = ms_room(list->items, &list->cap, list->n + 1, sizeof(*list->items));
		list->items[list->n++] = text;
	} else {
		*(const char **)field = text;
	}
}

static int parse_number(const struct walk *w, const struct ms_opt *opt, const char *text, uint64_t *number)
{
	const char *accepted;
	int rc;

	if (opt->kind == MS_OPT_KIND_SIZE) {
		rc = ms_parse_size(text, number);
		accepted = ms_size_syntax;
	} else if (opt->kind == MS_OPT_KIND_DURATION) {
		rc = ms_parse_duration(text, number);
		accepted = ms_duration_syntax;
	} else {
		rc = ms_parse_count(text, number);
		accepted = ms_count_syntax;
	}
	if (rc < 0)
		return bad_value(w, opt, text, accepted);
	if (*number < opt->min) {
		ms_error("'%s' is not a valid value for --%s: it must be at least %llu", text, opt->name,
			(unsigned long long)opt->min);
		return usage_error(w);
	}
	if (opt->max && *number > opt->max) {
		ms_error("'%s' is not a valid value for --%s: it must be at most %llu", text, opt->name,
			(unsigned long long)opt->max);
		return usage_error(w);
	}
	return MS_OPTIONS_RUN;
}

static int take_value(const struct walk *w, const struct ms_opt *opt, const char *text)
{
	uint64_t number = 0;

	if (opt->kind == MS_OPT_KIND_STRING || opt->kind == MS_OPT_KIND_STRINGS) {
		if (w->is_storing)
			store_string(w, opt, text);
		return MS_OPTIONS_RUN;
	}
	if (opt->kind == MS_OPT_KIND_ENUM) {
		while (opt->choices[number] && strcmp(opt->choices[number], text) != 0)
			number++;
		if (!opt->choices[number])
			return bad_choice(w, opt, text);
	} else {
		int rc = parse_number(w, opt, text, &number);

		if (rc != MS_OPTIONS_RUN)
			return rc;
	}
	if (w->is_storing)
		store_number(w, opt, number);
	return MS_OPTIONS_RUN;
}

static bool is_builtin(const struct ms_opt *opt)
{
	return opt >= builtin_options &&
	       opt < builtin_options + sizeof(builtin_options) / sizeof(builtin_options[0]);
}

static int print_and_finish(void (*print)(struct ms_out *, const struct walk *), const struct walk *w)
{
	struct ms_out out;

	ms_report_open(&out, NULL, 0);
	print(&out, w);
	return ms_report_close(&out, NULL, MS_EXIT_OK);
}

static void print_help(struct ms_out *o, const struct walk *w)
{
	size_t width = ms_terminal_width(1);

	if (width == 0 || width > 100)
		width = 80;
	ms_options_help(o, w->tool, w->command, w->values, width < 40 ? 40 : width);
}

static void print_version(struct ms_out *o, const struct walk *w)
{
	ms_out_printf(o, "%s (mstrace) %s\n", w->tool->name, MS_VERSION);
}

static void print_man(struct ms_out *o, const struct walk *w)
{
	ms_options_man(o, w->tool, w->values);
}

static void print_completion(struct ms_out *o, const struct walk *w)
{
	ms_options_completion(o, w->tool);
}

/* --help waits for the end of the walk, when the command is known; the others act at once. */
static int take_builtin(struct walk *w, const struct ms_opt *opt)
{
	if (strcmp(opt->name, "help") == 0) {
		w->wants_help = true;
		return MS_OPTIONS_RUN;
	}
	if (strcmp(opt->name, "version") == 0)
		return print_and_finish(print_version, w);
	if (strcmp(opt->name, "print-man") == 0)
		return print_and_finish(print_man, w);
	return print_and_finish(print_completion, w);
}

static int take_flag(struct walk *w, const struct ms_opt *opt)
{
	if (is_builtin(opt))
		return take_builtin(w, opt);
	if (w->is_storing)
		*(bool *)((char *)w->values + opt->offset) = true;
	return MS_OPTIONS_RUN;
}

/* An option with a value that is not attached to it: the next argument is. */
static int take_next(struct walk *w, const struct ms_opt *opt)
{
	if (opt->implied)
		return take_value(w, opt, opt->implied);
	if (w->at >= w->argc) {
		ms_error("option '--%s' needs a value", opt->name);
		return usage_error(w);
	}
	return take_value(w, opt, w->argv[w->at++]);
}

static int take_long(struct walk *w, const char *text)
{
	size_t n = strcspn(text, "=");
	const struct ms_opt *opt = find_option(w, text, n, 0);

	if (!opt)
		return unknown_option(w, text, n);
	if (opt->kind == MS_OPT_KIND_FLAG && text[n]) {
		ms_error("option '--%s' takes no value", opt->name);
		return usage_error(w);
	}
	if (opt->kind == MS_OPT_KIND_FLAG)
		return take_flag(w, opt);
	return text[n] ? take_value(w, opt, text + n + 1) : take_next(w, opt);
}

static int take_letters(struct walk *w, const char *text)
{
	for (; *text; text++) {
		const struct ms_opt *opt = find_option(w, NULL, 0, *text);
		int rc;

		if (!opt) {
			ms_error("unknown option '-%c'", *text);
			return usage_error(w);
		}
		if (opt->kind != MS_OPT_KIND_FLAG)
			return text[1] ? take_value(w, opt, text + 1) : take_next(w, opt);
		rc = take_flag(w, opt);
		if (rc != MS_OPTIONS_RUN)
			return rc;
	}
	return MS_OPTIONS_RUN;
}

static int take_command(struct walk *w, const char *name)
{
	const char *words[MAX_WORDS];
	size_t n = 0;
	const char *nearest;

	for (const struct ms_command *c = w->tool->commands; c->name; c++) {
		if (strcmp(c->name, name) == 0) {
			w->command = c;
			return MS_OPTIONS_RUN;
		}
		if (n < MAX_WORDS - 1)
			words[n++] = c->name;
	}
	words[n] = NULL;
	nearest = ms_nearest_word(name, words);
	if (nearest)
		ms_error("there is no '%s %s'; did you mean '%s'?", w->tool->name, name, nearest);
	else
		ms_error("there is no '%s %s'", w->tool->name, name);
	return usage_error(w);
}

static int take_operand(struct walk *w, char *text)
{
	if (!w->command)
		return take_command(w, text);
	/* Never overtakes the reading: every operand was one argument. */
	if (w->is_storing)
		w->argv[1 + w->n_operands] = text;
	w->n_operands++;
	return MS_OPTIONS_RUN;
}

static int check_operands(const struct walk *w)
{
	if (!w->command) {
		ms_error("say what to do: the first argument names it");
		return usage_error(w);
	}
	if (w->n_operands < w->command->min_operands) {
		ms_error("missing argument: %s", w->command->operands);
		return usage_error(w);
	}
	if (w->command->max_operands >= 0 && w->n_operands > w->command->max_operands) {
		ms_error("too many arguments: %s",
			w->command->operands ? w->command->operands : "none expected");
		return usage_error(w);
	}
	return MS_OPTIONS_RUN;
}

static int walk_arguments(struct walk *w)
{
	bool only_operands = false;
	int rc = MS_OPTIONS_RUN;

	while (w->at < w->argc && rc == MS_OPTIONS_RUN) {
		char *arg = w->argv[w->at++];

		if (only_operands || arg[0] != '-' || !arg[1]) {
			rc = take_operand(w, arg);
			only_operands = only_operands || (w->tool->stops_at_operand && w->n_operands > 0);
		} else if (strcmp(arg, "--") == 0) {
			only_operands = true;
		} else if (arg[1] == '-') {
			rc = take_long(w, arg + 2);
		} else {
			rc = take_letters(w, arg + 1);
		}
	}
	if (rc == MS_OPTIONS_RUN && w->wants_help)
		return print_and_finish(print_help, w);
	return rc == MS_OPTIONS_RUN ? check_operands(w) : rc;
}

int ms_options_parse(const struct ms_tool *tool, int argc, char **argv, void *values,
	struct ms_parsed *parsed)
{
	struct walk start = {.tool = tool, .values = values, .argv = argv, .argc = argc, .at = 1};
	struct walk w;
	int rc;

	start.command = tool->commands ? NULL : &tool->self;
	w = start;
	rc = walk_arguments(&w);
	if (rc != MS_OPTIONS_RUN)
		return rc;
	w = start;
	w.is_storing = true;
	walk_arguments(&w);
	argv[1 + w.n_operands] = NULL; /* argv[argc] is NULL already; there is room */
	*parsed = (struct ms_parsed){.command = w.command, .operands = argv + 1, .n_operands = w.n_operands};
	return MS_OPTIONS_RUN;
}

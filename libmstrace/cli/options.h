/* One table per tool describes its commands, options, operands, examples and exit codes. From it come the
 * parser, --help, --version, the man page (--print-man) and the bash completion (--print-completion): they
 * cannot disagree.
 *
 *	struct options { const char *output; uint64_t top; bool is_quiet; int format; };
 *
 *	static const struct ms_opt options[] = {
 *		MS_OPT_GROUP("Output"),
 *		MS_OPT_STRING('o', "output", struct options, output, "FILE", "write to FILE"),
 *		MS_OPT_COUNT(0, "top", struct options, top, "N", "rows to print (default {})"),
 *		MS_OPT_ENUM(0, "format", struct options, format, formats, "how to print (default {})"),
 *		MS_OPT_FLAG('q', "quiet", struct options, is_quiet, "no summary at the end"),
 *		MS_OPT_END
 *	};
 *
 * The values live in a struct of the tool, filled with the defaults before the call; "{}" in a help text is
 * replaced by the default. The macros check each field's type at compile time.
 *
 * Syntax: --name=V, --name V, -nV, -n V, bundled short flags, "--" ends the options, "-" is an operand,
 * options and operands mix freely. Names are not abbreviated (a new option must never break a script).
 * getopt_long was rejected: a command's options are only known once its name, an operand, has been read; and
 * it can not suggest what was meant. */
#ifndef MS_CLI_OPTIONS_H
#define MS_CLI_OPTIONS_H

#include "out.h"

enum ms_opt_kind {
	MS_OPT_KIND_END,
	MS_OPT_KIND_GROUP,    /* a heading: help is its text */
	MS_OPT_KIND_FLAG,     /* bool */
	MS_OPT_KIND_STRING,   /* const char *, points into argv */
	MS_OPT_KIND_COUNT,    /* uint64_t, 20 or 0x1f */
	MS_OPT_KIND_SIZE,     /* uint64_t bytes, 64K */
	MS_OPT_KIND_DURATION, /* uint64_t ns, 1.5s */
	MS_OPT_KIND_ENUM,     /* int (or an enum): index into choices */
	MS_OPT_KIND_STRINGS,  /* struct ms_string_list, repeatable */
	MS_OPT_KIND_COUNTS,   /* struct ms_u64_list, repeatable */
};

struct ms_string_list {
	const char **items; /* pointing into argv; free(items) */
	size_t n, cap;
};

struct ms_u64_list {
	uint64_t *items; /* free(items) */
	size_t n, cap;
};

struct ms_opt {
	enum ms_opt_kind kind;
	char letter; /* -o, or 0 */
	const char *name;
	size_t offset;	/* of the field in the tool's struct */
	const char *arg; /* name of the value in the help */
	const char *const *choices; /* ENUM: the words, NULL-terminated */
	const char *implied; /* not NULL: the value may be left out and is then this */
	const char *help;
	uint64_t min, max; /* COUNT, SIZE, DURATION: what is accepted; max 0: anything */
};

/* The offset of a field, refusing to compile if it has not the type T. */
#define MS_OPT_FIELD(S, field, T) (offsetof(S, field) + 0 * sizeof(_Generic(((S *)0)->field, T: 1)))
#define MS_OPT_FIELD_INT(S, field) \
	(offsetof(S, field) + 0 * sizeof(_Generic(((S *)0)->field, int: 1, unsigned: 1)))

#define MS_OPT_GROUP(text) {.kind = MS_OPT_KIND_GROUP, .help = (text)}
#define MS_OPT_END {.kind = MS_OPT_KIND_END}
#define MS_OPT_FLAG(l, n, S, f, h) \
	{.kind = MS_OPT_KIND_FLAG, .letter = (l), .name = (n), .offset = MS_OPT_FIELD(S, f, bool), \
		.help = (h)}
#define MS_OPT_VALUE(k, T, l, n, S, f, a, h) \
	.kind = (k), .letter = (l), .name = (n), .offset = MS_OPT_FIELD(S, f, T), .arg = (a), .help = (h)
#define MS_OPT_STRING(l, n, S, f, a, h) {MS_OPT_VALUE(MS_OPT_KIND_STRING, const char *, l, n, S, f, a, h)}
#define MS_OPT_COUNT(l, n, S, f, a, h) {MS_OPT_VALUE(MS_OPT_KIND_COUNT, uint64_t, l, n, S, f, a, h)}
#define MS_OPT_COUNT_MIN(l, n, S, f, a, m, h) \
	{MS_OPT_VALUE(MS_OPT_KIND_COUNT, uint64_t, l, n, S, f, a, h), .min = (m)}
#define MS_OPT_COUNT_RANGE(l, n, S, f, a, lo, hi, h) \
	{MS_OPT_VALUE(MS_OPT_KIND_COUNT, uint64_t, l, n, S, f, a, h), .min = (lo), .max = (hi)}
#define MS_OPT_SIZE(l, n, S, f, a, h) {MS_OPT_VALUE(MS_OPT_KIND_SIZE, uint64_t, l, n, S, f, a, h)}
#define MS_OPT_DURATION(l, n, S, f, a, h) {MS_OPT_VALUE(MS_OPT_KIND_DURATION, uint64_t, l, n, S, f, a, h)}
#define MS_OPT_STRINGS(l, n, S, f, a, h) \
	{MS_OPT_VALUE(MS_OPT_KIND_STRINGS, struct ms_string_list, l, n, S, f, a, h)}
#define MS_OPT_COUNTS(l, n, S, f, a, h) \
	{MS_OPT_VALUE(MS_OPT_KIND_COUNTS, struct ms_u64_list, l, n, S, f, a, h)}
#define MS_OPT_ENUM(l, n, S, f, c, h) \
	{.kind = MS_OPT_KIND_ENUM, .letter = (l), .name = (n), .offset = MS_OPT_FIELD_INT(S, f), \
		.choices = (c), .help = (h)}

/* One way of calling the tool: "msrender flamegraph", or the tool itself when it has no commands. */
struct ms_command {
	const char *name; /* NULL ends an array of commands */
	const char *summary; /* one line */
	const char *operands; /* "TRACE", "-- COMMAND [ARG...]"; NULL: none */
	int min_operands;
	int max_operands; /* -1: any number */
	const struct ms_opt *options; /* only of this command; may be NULL */
};

struct ms_example {
	const char *line;
	const char *what;
};

struct ms_exit_code {
	const char *code; /* "0", "128+n" */
	const char *meaning;
};

struct ms_tool {
	const char *name;
	const char *summary;	 /* one line, after the name in the man page */
	const char *description; /* paragraphs, separated by an empty line */
	const struct ms_command *commands; /* several, ended by a NULL name; or NULL */
	struct ms_command self;	 /* when there are no commands; its name is not used */
	const struct ms_opt *options; /* accepted by every command; before its name, too */
	const struct ms_example *examples; /* ended by a NULL line */
	const struct ms_exit_code *exit_codes; /* ended by a NULL code; NULL: ms_exit_codes */
	bool stops_at_operand; /* the first operand ends the options, as for msrecord's command */
	int usage_status; /* exit status of a usage error; 0 means MS_EXIT_FAIL */
};

/* The codes of enum ms_exit, for tools that read traces. */
extern const struct ms_exit_code ms_exit_codes[];

struct ms_parsed {
	const struct ms_command *command; /* the one chosen; &tool->self without commands */
	char **operands; /* inside argv, NULL-terminated */
	int n_operands;
};

enum { MS_OPTIONS_RUN = -1 };

/* Parses argv into values and *parsed. argv is checked whole before anything is stored, and its operands are
 * then moved to its front. Returns MS_OPTIONS_RUN, or the status to exit with: help was printed, or the user
 * was told on standard error what is wrong. Afterwards lists in values are the caller's to free. */
int ms_options_parse(const struct ms_tool *tool, int argc, char **argv, void *values,
	struct ms_parsed *parsed);

/* What --help, --print-man and --print-completion print. command NULL: whole tool; values: defaults. */
void ms_options_help(struct ms_out *o, const struct ms_tool *tool, const struct ms_command *command,
	const void *values, size_t width);
void ms_options_man(struct ms_out *o, const struct ms_tool *tool, const void *values);
void ms_options_completion(struct ms_out *o, const struct ms_tool *tool);

/* The word among candidates (NULL-terminated) that a typist most likely meant, or NULL when none is near. */
const char *ms_nearest_word(const char *word, const char *const *candidates);

#endif

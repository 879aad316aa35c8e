/* Help, man page and completion: three prints of the option table. */
#include "escape.h"
#include "options.h"
#include "report.h"
#include "units.h"

const struct ms_exit_code ms_exit_codes[] = {
	{"0", "success"},
	{"1", "it worked, and the answer is no"},
	{"2", "it could not be done: wrong usage, unreadable file, not a trace, disk full"},
	{"3", "done with all that could be read, but the trace is damaged or incomplete"},
	{NULL, NULL},
};

static const char help_of_help[] = "print this help and exit";
static const char help_of_version[] = "print the version and exit";

/* "-o, --output=FILE" */
static void write_signature(struct ms_out *o, const struct ms_opt *opt)
{
	if (opt->letter)
		ms_out_printf(o, "-%c, ", opt->letter);
	else
		ms_out_str(o, "    ");
	ms_out_printf(o, "--%s", opt->name);
	if (opt->kind == MS_OPT_KIND_FLAG)
		return;
	ms_out_str(o, opt->implied ? "[=" : "=");
	if (opt->kind == MS_OPT_KIND_ENUM)
		for (size_t i = 0; opt->choices[i]; i++)
			ms_out_printf(o, "%s%s", i ? "|" : "", opt->choices[i]);
	else
		ms_out_str(o, opt->arg);
	if (opt->implied)
		ms_out_char(o, ']');
}

static void write_default(struct ms_out *o, const struct ms_opt *opt, const void *values)
{
	const char *field = (const char *)values + opt->offset;
	const uint64_t *number = (const void *)field;

	if (opt->kind == MS_OPT_KIND_STRING)
		ms_out_str(o, *(const char *const *)(const void *)field);
	else if (opt->kind == MS_OPT_KIND_ENUM)
		ms_out_str(o, opt->choices[*(const int *)(const void *)field]);
	else if (opt->kind == MS_OPT_KIND_SIZE)
		ms_print_size(o, *number);
	else if (opt->kind == MS_OPT_KIND_DURATION)
		ms_print_duration(o, *number);
	else
		ms_out_u64(o, *number);
}

static void write_help_text(struct ms_out *o, const struct ms_opt *opt, const void *values)
{
	const char *braces = strstr(opt->help, "{}");

	if (!braces) {
		ms_out_str(o, opt->help);
		return;
	}
	ms_out_write(o, opt->help, (size_t)(braces - opt->help));
	write_default(o, opt, values);
	ms_out_str(o, braces + 2);
}

/* Words of text between the columns indent and width; the cursor stands at column `at`. */
static void write_wrapped(struct ms_out *o, const char *text, size_t at, size_t indent, size_t width)
{
	while (*text) {
		size_t n = strcspn(text, " \n");

		if (at > indent && at + n + 1 > width) {
			ms_out_char(o, '\n');
			at = 0;
		} else if (at > indent && n) {
			ms_out_char(o, ' ');
			at++;
		}
		if (at < indent) {
			ms_out_fill(o, ' ', indent - at);
			at = indent;
		}
		ms_out_write(o, text, n);
		at += n;
		text += n;
		if (text[0] == '\n' && text[1] == '\n') {
			ms_out_str(o, "\n\n");
			at = 0;
		}
		text += strspn(text, " \n");
	}
	ms_out_char(o, '\n');
}

enum { HELP_INDENT = 28 };

static void write_entry(struct ms_out *o, struct ms_out *left, struct ms_out *right, size_t width)
{
	ms_out_printf(o, "  %s", ms_out_text(left));
	if (left->len + 3 > HELP_INDENT) {
		ms_out_char(o, '\n');
		write_wrapped(o, ms_out_text(right), 0, HELP_INDENT, width);
	} else {
		write_wrapped(o, ms_out_text(right), left->len + 2, HELP_INDENT, width);
	}
	left->len = right->len = 0;
}

static void write_pair(struct ms_out *o, const char *left, const char *right, size_t width)
{
	struct ms_out l, r;

	ms_out_init_memory(&l);
	ms_out_init_memory(&r);
	ms_out_str(&l, left);
	ms_out_str(&r, right);
	write_entry(o, &l, &r, width);
	ms_out_release(&l);
	ms_out_release(&r);
}

static bool is_grouped(const struct ms_opt *table)
{
	for (const struct ms_opt *opt = table; opt && opt->kind; opt++)
		if (opt->kind == MS_OPT_KIND_GROUP)
			return true;
	return false;
}

static void write_options(
	struct ms_out *o, const struct ms_opt *table, const void *values, size_t width, bool has_heading)
{
	struct ms_out left, right;

	if (table && table->kind != MS_OPT_KIND_GROUP && table->kind != MS_OPT_KIND_END && !has_heading)
		ms_out_str(o, "\nOptions:\n");
	ms_out_init_memory(&left);
	ms_out_init_memory(&right);
	for (const struct ms_opt *opt = table; opt && opt->kind; opt++) {
		if (opt->kind == MS_OPT_KIND_GROUP) {
			ms_out_printf(o, "\n%s:\n", opt->help);
			continue;
		}
		write_signature(&left, opt);
		write_help_text(&right, opt, values);
		write_entry(o, &left, &right, width);
	}
	ms_out_release(&left);
	ms_out_release(&right);
}

static void write_usage(struct ms_out *o, const struct ms_tool *tool, const struct ms_command *c)
{
	ms_out_str(o, tool->name);
	if (c && tool->commands)
		ms_out_printf(o, " %s", c->name);
	else if (!c)
		ms_out_str(o, " COMMAND");
	ms_out_str(o, " [OPTION]...");
	if (c && c->operands)
		ms_out_printf(o, " %s", c->operands);
	else if (!c && tool->commands[0].operands)
		ms_out_printf(o, " %s", tool->commands[0].operands);
}

static void write_commands(struct ms_out *o, const struct ms_tool *tool, size_t width)
{
	ms_out_str(o, "\nCommands:\n");
	for (const struct ms_command *c = tool->commands; c->name; c++)
		write_pair(o, c->name, c->summary, width);
	ms_out_printf(o, "\n'%s COMMAND --help' lists the options of one command.\n", tool->name);
}

static void write_examples(struct ms_out *o, const struct ms_tool *tool)
{
	if (!tool->examples)
		return;
	ms_out_str(o, "\nExamples:\n");
	for (const struct ms_example *e = tool->examples; e->line; e++)
		ms_out_printf(o, "  %s\n        %s\n", e->line, e->what);
}

static const struct ms_exit_code *exit_codes_of(const struct ms_tool *tool)
{
	return tool->exit_codes ? tool->exit_codes : ms_exit_codes;
}

void ms_options_help(struct ms_out *o, const struct ms_tool *tool, const struct ms_command *command,
	const void *values, size_t width)
{
	bool is_one_of_many = command && tool->commands;

	ms_out_printf(o, "%s%s%s - %s\n\nUsage: ", tool->name, is_one_of_many ? " " : "",
		is_one_of_many ? command->name : "", is_one_of_many ? command->summary : tool->summary);
	write_usage(o, tool, command);
	ms_out_char(o, '\n');
	if (tool->description && !is_one_of_many) {
		ms_out_char(o, '\n');
		write_wrapped(o, tool->description, 0, 0, width);
	}
	if (!command)
		write_commands(o, tool, width);
	if (command)
		write_options(o, command->options, values, width, false);
	write_options(o, tool->options, values, width, command && command->options && !is_grouped(command->options));
	ms_out_str(o, "\nOther options:\n");
	write_pair(o, "-h, --help", help_of_help, width);
	write_pair(o, "    --version", help_of_version, width);
	if (is_one_of_many)
		return;
	write_examples(o, tool);
	ms_out_str(o, "\nExit status:\n");
	for (const struct ms_exit_code *e = exit_codes_of(tool); e->code; e++)
		write_pair(o, e->code, e->meaning, width);
}

/* roff: a backslash or a hyphen is escaped, a leading dot or quote is defused; paragraphs become .PP. */
static void write_roff(struct ms_out *o, const char *text)
{
	bool at_line_start = true;

	for (; *text; text++) {
		if (text[0] == '\n' && text[1] == '\n') {
			ms_out_str(o, "\n.PP\n");
			at_line_start = true;
			text += strspn(text, "\n") - 1;
			continue;
		}
		if (at_line_start && (*text == '.' || *text == '\''))
			ms_out_str(o, "\\&");
		at_line_start = *text == '\n';
		if (*text == '\\')
			ms_out_str(o, "\\e");
		else if (*text == '-')
			ms_out_str(o, "\\-");
		else
			ms_out_char(o, *text);
	}
}

static void write_roff_of(struct ms_out *o, struct ms_out *text)
{
	write_roff(o, ms_out_text(text));
	text->len = 0;
}

static void write_man_pair(struct ms_out *o, const char *left, const char *right)
{
	ms_out_str(o, ".TP\n.B ");
	write_roff(o, left);
	ms_out_char(o, '\n');
	write_roff(o, right);
	ms_out_char(o, '\n');
}

static void write_man_options(struct ms_out *o, const struct ms_opt *table, const void *values)
{
	struct ms_out text;

	ms_out_init_memory(&text);
	for (const struct ms_opt *opt = table; opt && opt->kind; opt++) {
		if (opt->kind == MS_OPT_KIND_GROUP) {
			ms_out_str(o, ".SS \"");
			write_roff(o, opt->help);
			ms_out_str(o, "\"\n");
			continue;
		}
		ms_out_str(o, ".TP\n.B ");
		write_signature(&text, opt);
		write_roff(o, ms_out_text(&text) + strspn(ms_out_text(&text), " "));
		text.len = 0;
		ms_out_char(o, '\n');
		write_help_text(&text, opt, values);
		write_roff_of(o, &text);
		ms_out_char(o, '\n');
	}
	ms_out_release(&text);
}

static void write_man_synopsis(struct ms_out *o, const struct ms_tool *tool, const struct ms_command *c)
{
	struct ms_out text;

	ms_out_init_memory(&text);
	write_usage(&text, tool, c);
	ms_out_str(o, ".B ");
	write_roff_of(o, &text);
	ms_out_str(o, "\n.br\n");
	ms_out_release(&text);
}

static void write_man_commands(struct ms_out *o, const struct ms_tool *tool, const void *values)
{
	ms_out_str(o, ".SH COMMANDS\n");
	for (const struct ms_command *c = tool->commands; c->name; c++) {
		ms_out_str(o, ".SS \"");
		write_roff(o, c->name);
		ms_out_str(o, "\"\n");
		write_roff(o, c->summary);
		ms_out_str(o, ".\n");
		write_man_options(o, c->options, values);
	}
}

void ms_options_man(struct ms_out *o, const struct ms_tool *tool, const void *values)
{
	ms_out_str(o, ".TH ");
	for (const char *c = tool->name; *c; c++)
		ms_out_char(o, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c);
	ms_out_printf(
		o, " 1 \"\" \"mstrace %s\" \"User Commands\"\n.SH NAME\n%s \\- ", MS_VERSION, tool->name);
	write_roff(o, tool->summary);
	ms_out_str(o, "\n.SH SYNOPSIS\n");
	for (const struct ms_command *c = tool->commands; c && c->name; c++)
		write_man_synopsis(o, tool, c);
	if (!tool->commands)
		write_man_synopsis(o, tool, &tool->self);
	ms_out_str(o, ".SH DESCRIPTION\n");
	write_roff(o, tool->description ? tool->description : tool->summary);
	ms_out_char(o, '\n');
	if (tool->commands)
		write_man_commands(o, tool, values);
	ms_out_str(o, ".SH OPTIONS\n");
	write_man_options(o, tool->self.options, values);
	write_man_options(o, tool->options, values);
	write_man_pair(o, "-h, --help", help_of_help);
	write_man_pair(o, "--version", help_of_version);
	if (tool->examples) {
		ms_out_str(o, ".SH EXAMPLES\n");
		for (const struct ms_example *e = tool->examples; e->line; e++)
			write_man_pair(o, e->line, e->what);
	}
	ms_out_str(o, ".SH \"EXIT STATUS\"\n");
	for (const struct ms_exit_code *e = exit_codes_of(tool); e->code; e++)
		write_man_pair(o, e->code, e->meaning);
}

static void write_completion_words(struct ms_out *o, const struct ms_opt *table)
{
	for (const struct ms_opt *opt = table; opt && opt->kind; opt++)
		if (opt->name)
			ms_out_printf(o, " --%s%s", opt->name, opt->kind == MS_OPT_KIND_FLAG ? "" : "=");
}

static void write_completion_choices(struct ms_out *o, const struct ms_opt *table)
{
	for (const struct ms_opt *opt = table; opt && opt->kind; opt++) {
		if (opt->kind != MS_OPT_KIND_ENUM)
			continue;
		ms_out_printf(o, "\t--%s) words=\"", opt->name);
		for (size_t i = 0; opt->choices[i]; i++)
			ms_out_printf(o, "%s%s", i ? " " : "", opt->choices[i]);
		ms_out_str(o, "\" ;;\n");
	}
}

static void write_completion_commands(struct ms_out *o, const struct ms_tool *tool)
{
	ms_out_str(o,
		"\tlocal w command=\n\tfor w in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase $w in\n");
	for (const struct ms_command *c = tool->commands; c->name; c++) {
		ms_out_printf(o, "\t\t%s) command=$w; options+=\"", c->name);
		write_completion_words(o, c->options);
		ms_out_str(o, "\" ;;\n");
	}
	ms_out_str(o, "\t\tesac\n\tdone\n\tif [[ -z $command && $cur != -* ]]; then\n"
		      "\t\tCOMPREPLY=($(compgen -W \"");
	for (const struct ms_command *c = tool->commands; c->name; c++)
		ms_out_printf(o, "%s%s", c == tool->commands ? "" : " ", c->name);
	ms_out_str(o, "\" -- \"$cur\"))\n\t\treturn\n\tfi\n");
}

void ms_options_completion(struct ms_out *o, const struct ms_tool *tool)
{
	ms_out_printf(o, "# bash completion for %s, printed by '%s --print-completion'\n_%s()\n{\n",
		tool->name, tool->name, tool->name);
	ms_out_str(o, "\tlocal cur prev words=\n\tCOMPREPLY=()\n\tcur=${COMP_WORDS[COMP_CWORD]}\n"
		      "\tprev=${COMP_WORDS[COMP_CWORD-1]}\n"
		      "\t# bash splits --name=value at the equals sign\n"
		      "\t[[ $cur == = ]] && cur=\n"
		      "\t[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n\tcase $prev in\n");
	write_completion_choices(o, tool->options);
	write_completion_choices(o, tool->self.options);
	for (const struct ms_command *c = tool->commands; c && c->name; c++)
		write_completion_choices(o, c->options);
	ms_out_str(o,
		"\tesac\n\tif [[ $words ]]; then\n\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		"\t\treturn\n\tfi\n\tlocal options=\"--help --version");
	write_completion_words(o, tool->options);
	write_completion_words(o, tool->self.options);
	ms_out_str(o, "\"\n");
	if (tool->commands)
		write_completion_commands(o, tool);
	ms_out_printf(o,
		"\tif [[ $cur == -* ]]; then\n"
		"\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
		"\t\t[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
		"\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n\t\tcompopt -o filenames\n\tfi\n}\n"
		"complete -F _%s %s\n",
		tool->name, tool->name);
}

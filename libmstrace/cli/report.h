/* What a tool says about itself: messages on standard error, and its exit status.
 *
 * Every message is one line, "tool: text". The finished text goes through ms_escape_text() as a whole, so
 * a file name or a thread name in it can neither colour the terminal nor start a line of its own; very
 * long messages lose their middle. Wording: lower case, no full stop, the subject in quotes, what failed
 * first, then why: cannot read 'app.mst': block 17 at offset 311296: checksum mismatch. */
#ifndef MS_CLI_REPORT_H
#define MS_CLI_REPORT_H

#include "out.h"

/* The contract with scripts. msrecord differs: it exits with the program's status, 125 for its own faults. */
enum ms_exit {
	MS_EXIT_OK = 0,
	MS_EXIT_NO = 1,	  /* it worked, and the answer is no: leaks over the limit, damage found */
	MS_EXIT_FAIL = 2, /* could not do it: usage, no such file, not a trace, disk full */
	MS_EXIT_GAPS = 3, /* done with what could be read; the trace is damaged or incomplete */
};

/* Names the tool in messages, and the status ms_die() exits with (MS_EXIT_FAIL; 125 for msrecord).
 * tool must live on. First thing in main(). */
void ms_report_init(const char *tool, int fail_status);
const char *ms_report_tool(void);

/* --quiet: ms_info() says nothing. Warnings and errors are never silenced. */
void ms_report_quiet(bool is_quiet);

void ms_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ms_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* "tool: warning: ..." */
void ms_error(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* and go on */
void ms_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Opens the output of -o FILE (NULL or "-": standard output), or dies saying why not. Until
 * ms_report_close(), dying takes a half-written file back; one output at a time. */
void ms_report_open(struct ms_out *o, const char *path, unsigned flags);

/* Closes an output, named `what` in the message. Returns status, or the fail status after saying that
 * writing failed: a full disk must not look like success. A pipe that nobody reads any more ("| head") is not
 * a failure, and not worth a word. */
int ms_report_close(struct ms_out *o, const char *what, int status);

/* Whether to colour what goes to fd: a terminal, NO_COLOR unset or empty, TERM not "dumb". */
bool ms_use_color(int fd);

/* Columns of the terminal at fd; 0 if it is none. */
size_t ms_terminal_width(int fd);

#endif

/* A message is built in memory and written with one write(2), so that lines of processes do not mix. The memory is
 * taken before anything happens: a tool must be able to say that there is none, and go on. */
#include "report.h"

#include "escape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MAX_MESSAGE = 4096, TEXT_ROOM = 3 * MAX_MESSAGE, LINE_ROOM = 5 * MAX_MESSAGE };

static const char *tool_name = "mstrace";
static int tool_fail_status = MS_EXIT_FAIL;
static bool is_quiet_now;
static struct ms_out text = {.fd = -1}, line = {.fd = -1}; /* of the message, kept for the next */
static struct ms_out *unfinished; /* the output to take back if the tool dies */

void ms_report_init(const char *tool, int fail_status)
{
	tool_name = tool;
	tool_fail_status = fail_status;
	ms_out_no_memory_status(fail_status);
	ms_out_reserve(&text, TEXT_ROOM);
	ms_out_reserve(&line, LINE_ROOM);
}

const char *ms_report_tool(void)
{
	return tool_name;
}

void ms_report_quiet(bool is_quiet)
{
	is_quiet_now = is_quiet;
}

bool ms_use_color(int fd)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

size_t ms_terminal_width(int fd)
{
	struct winsize ws;

	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &ws) == 0 ? ws.ws_col : 0;
}

/* Escaped; of an endless text the middle goes, since its ends hold the name and the reason. */
static void append_message(const char *message, size_t n)
{
	if (n <= MAX_MESSAGE) {
		ms_escape_text(&line, message, n);
		return;
	}
	ms_escape_text(&line, message, MAX_MESSAGE / 2);
	ms_out_printf(&line, " ...[%zu bytes left out]... ", n - MAX_MESSAGE);
	ms_escape_text(&line, message + n - MAX_MESSAGE / 2, MAX_MESSAGE / 2);
}

__attribute__((format(printf, 3, 0)))
static void say(const char *label, const char *color, const char *fmt, va_list ap)
{
	bool has_color = *label && ms_use_color(STDERR_FILENO);

	ms_out_clear(&text);
	ms_out_clear(&line);
	ms_out_vprintf(&text, fmt, ap);
	ms_out_printf(&line, "%s: ", tool_name);
	if (*label)
		ms_out_printf(&line, "%s%s:%s ", has_color ? color : "", label, has_color ? "\033[0m" : "");
	append_message(ms_out_text(&text), text.len);
	ms_out_char(&line, '\n');
	for (size_t done = 0; done < line.len;) {
		ssize_t n = write(STDERR_FILENO, line.buf + done, line.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
}

void ms_info(const char *fmt, ...)
{
	va_list ap;

	if (is_quiet_now)
		return;
	va_start(ap, fmt);
	say("", "", fmt, ap);
	va_end(ap);
}

void ms_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("warning", "\033[33m", fmt, ap);
	va_end(ap);
}

void ms_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", "", fmt, ap);
	va_end(ap);
}

void ms_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", "", fmt, ap);
	va_end(ap);
	if (unfinished)
		ms_out_release(unfinished);
	exit(tool_fail_status);
}

void ms_report_open(struct ms_out *o, const char *path, unsigned flags)
{
	const char *why = NULL;

	if (ms_out_open(o, path, flags, &why) < 0)
		ms_die("cannot write '%s': %s", path, why);
	unfinished = o;
}

int ms_report_close(struct ms_out *o, const char *path, int status)
{
	int error = ms_out_close(o);

	if (!error || error == EPIPE) /* whoever reads a pipe may have had enough */
		return status;
	if (!path || strcmp(path, "-") == 0)
		ms_error("cannot write standard output: %s", strerror(error));
	else
		ms_error("cannot write '%s': %s", path, strerror(error));
	return tool_fail_status;
}

/* selection.h - which programs are recorded: those that --only names. */
#ifndef MS_SELECTION_H
#define MS_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Shell patterns, borrowed. One with a slash in it is for the whole path, else for the name. None at all: every program. */
struct ms_selection {
	const char *const *patterns;
	size_t n;
};

/*
 * Is the program selected? It has two names: that of its file (`path`, of path_len bytes), and that by which it was called, the
 * first of its arguments (`cmdline`, joined by NUL): one file can be many programs. If both are empty nobody knows what it
 * is, and it is. Any thread.
 */
bool ms_selection_has(
	const struct ms_selection *s, const char *path, size_t path_len, const char *cmdline, size_t cmdline_len);

/* The same of a process that runs, as /proc has it. */
bool ms_selection_has_process(const struct ms_selection *s, pid_t pid);

#endif

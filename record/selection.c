/* See selection.h. */
#include "selection.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

#include "procfs.h"

static bool matches(const char *pattern, const char *path)
{
	const char *slash = strrchr(path, '/');
	return fnmatch(pattern, strchr(pattern, '/') || !slash ? path : slash + 1, 0) == 0;
}

/* A copy that ends; false if there is nothing to copy, or too much. */
static bool copy(char to[PATH_MAX], const char *from, size_t len)
{
	len = strnlen(from, len);
	if (len == 0 || len >= PATH_MAX)
		return false;
	memcpy(to, from, len);
	to[len] = 0;
	return true;
}

/* The kernel says so of a file that has been removed while its program runs. */
static void drop_deleted(char *path)
{
	static const char mark[] = " (deleted)";
	size_t len = strlen(path);
	if (len >= sizeof mark && strcmp(path + len - (sizeof mark - 1), mark) == 0)
		path[len - (sizeof mark - 1)] = 0;
}

bool ms_selection_has(
	const struct ms_selection *s, const char *path, size_t path_len, const char *cmdline, size_t cmdline_len)
{
	char file[PATH_MAX], called[PATH_MAX];
	bool has_file = copy(file, path, path_len), has_called = copy(called, cmdline, cmdline_len);
	if (s->n == 0 || (!has_file && !has_called))
		return true;
	if (has_file)
		drop_deleted(file);
	for (size_t i = 0; i < s->n; i++)
		if ((has_file && matches(s->patterns[i], file)) || (has_called && matches(s->patterns[i], called)))
			return true;
	return false;
}

bool ms_selection_has_process(const struct ms_selection *s, pid_t pid)
{
	char exe[PATH_MAX], cmdline[PATH_MAX];
	if (s->n == 0)
		return true;
	ssize_t exe_len = ms_procfs_exe(pid, exe, sizeof exe);
	ssize_t cmdline_len = ms_procfs_read(pid, "cmdline", cmdline, sizeof cmdline);
	return ms_selection_has(s, exe, exe_len > 0 ? (size_t)exe_len : 0, cmdline, cmdline_len > 0 ? (size_t)cmdline_len : 0);
}

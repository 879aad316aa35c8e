/* See library.h. */
#include "library.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "libmscapture.so"

static bool is_there(struct ms_library *lib, const char *directory, const char *below)
{
	char candidate[sizeof lib->path];
	int n = snprintf(candidate, sizeof candidate, "%s%s%s", directory, below, FILE_NAME);
	return n > 0 && (size_t)n < sizeof candidate && access(candidate, R_OK) == 0 &&
	       realpath(candidate, lib->path);
}

static bool find_file(struct ms_library *lib)
{
	const char *named = getenv("MSTRACE_CAPTURE_LIB");
	char own[4096];
	if (named && *named)
		return access(named, R_OK) == 0 && realpath(named, lib->path);
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
	if (n > 0) {
		own[n] = 0;
		*strrchr(own, '/') = 0;
		if (is_there(lib, own, "/../lib/") || is_there(lib, own, "/../" MS_LIBDIR "/mstrace/"))
			return true;
	}
	return is_there(lib, MS_FULL_LIBDIR, "/mstrace/");
}

int ms_library_find(struct ms_library *lib, const char *directory, const char **why)
{
	memset(lib, 0, sizeof *lib);
	if (!find_file(lib)) {
		*why = access("/proc/self/exe", F_OK)
			       ? "not found where it is installed, and where this program is cannot be told without /proc; "
				 "MSTRACE_CAPTURE_LIB may name it"
			       : "not found beside this program, nor where it is installed; "
				 "MSTRACE_CAPTURE_LIB may name it";
		return -1;
	}
	if (!strpbrk(lib->path, " :\t\n")) {
		memcpy(lib->name, lib->path, sizeof lib->name);
		return 0;
	}
	int n = snprintf(lib->link, sizeof lib->link, "%s/" FILE_NAME, directory);
	if (n < 0 || (size_t)n >= sizeof lib->link || symlink(lib->path, lib->link)) {
		*why = "its path has blanks or colons, and a link to it could not be made";
		lib->link[0] = 0;
		return -1;
	}
	memcpy(lib->name, lib->link, sizeof lib->name);
	return 0;
}

void ms_library_release(struct ms_library *lib)
{
	if (lib->link[0])
		unlink(lib->link);
	lib->link[0] = 0;
}

/* See tracefile.h. */
#include "tracefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAGS (O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY)

static int open_stdout(struct ms_tracefile *f, const char **why)
{
	if (isatty(STDOUT_FILENO)) {
		*why = "standard output is a terminal";
		return -1;
	}
	f->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (f->fd < 0)
		*why = strerror(errno);
	return f->fd < 0 ? -1 : 0;
}

static int open_new(struct ms_tracefile *f)
{
	f->fd = open(f->path, FLAGS | O_CREAT | O_EXCL, 0600);
	f->is_new = f->fd >= 0;
	return f->is_new ? 0 : -1;
}

/* The name is taken. */
static int open_forced(struct ms_tracefile *f, const char **why)
{
	struct stat st;
	if (lstat(f->path, &st)) {
		*why = strerror(errno);
		return -1;
	}
	if (S_ISLNK(st.st_mode)) {
		*why = "it is a symbolic link";
		return -1;
	}
	if (S_ISREG(st.st_mode)) {
		if (!unlink(f->path) && !open_new(f))
			return 0;
	} else {
		f->fd = open(f->path, FLAGS);
		if (f->fd >= 0)
			return 0;
	}
	*why = strerror(errno);
	return -1;
}

int ms_tracefile_open(struct ms_tracefile *f, const char *path, const char *command, pid_t pid,
	bool is_forced, const char **why)
{
	const char *slash = strrchr(command, '/');
	int n;
	*f = (struct ms_tracefile){.fd = -1};
	if (path)
		n = snprintf(f->path, sizeof f->path, "%s", path);
	else
		n = snprintf(f->path, sizeof f->path, "%.200s.%d.mst", slash ? slash + 1 : command, (int)pid);
	if (n < 0 || (size_t)n >= sizeof f->path) {
		*why = strerror(ENAMETOOLONG);
		return -1;
	}
	if (strcmp(f->path, "-") == 0)
		return open_stdout(f, why);
	if (!open_new(f))
		return 0;
	if (errno == EEXIST && is_forced)
		return open_forced(f, why);
	*why = errno == EEXIST ? "it exists already (--force replaces it)" : strerror(errno);
	return -1;
}

int ms_tracefile_close(struct ms_tracefile *f)
{
	int fd = f->fd;
	f->fd = -1;
	return fd >= 0 && close(fd) ? errno : 0;
}

void ms_tracefile_discard(struct ms_tracefile *f)
{
	ms_tracefile_close(f);
	if (f->is_new)
		unlink(f->path);
	f->is_new = false;
}

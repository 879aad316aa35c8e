/* See tracefile.h. */
#include "tracefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMON_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NOCTTY)

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
	f->fd = open(f->path, COMMON_FLAGS | O_RDWR | O_CREAT | O_EXCL, 0600);
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
		f->fd = open(f->path, COMMON_FLAGS | O_WRONLY);
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

/* ---- the file that takes its place ------------------------------------------------------------------ */

/* How much of path is the directory, slash included. */
static int directory_len(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? (int)(slash - path) + 1 : 0;
}

/* A name beside the trace that nobody can foresee. */
static void name_next(struct ms_tracefile *f)
{
	uint64_t r = 0;
	if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
		r = (uint64_t)getpid() << 32;
	snprintf(f->next, sizeof f->next, "%.*s.mst-%016llx.tmp", directory_len(f->path), f->path,
		(unsigned long long)r);
}

static int open_unnamed(const struct ms_tracefile *f)
{
	char dir[sizeof f->path];
	int n = directory_len(f->path);
	snprintf(dir, sizeof dir, "%.*s", n ? n : 1, n ? f->path : ".");
	return access("/proc/self/fd", X_OK) ? -1 : open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

int ms_tracefile_begin_next(struct ms_tracefile *f)
{
	int fd = open_unnamed(f);
	f->next[0] = 0;
	if (fd >= 0)
		return fd;
	name_next(f);
	fd = open(f->next, COMMON_FLAGS | O_RDWR | O_CREAT | O_EXCL, 0600);
	return fd >= 0 ? fd : -errno;
}

/* A name of its own first: linkat replaces nothing. */
static int name_unnamed(struct ms_tracefile *f, int fd)
{
	char self[64];
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	name_next(f);
	if (!linkat(AT_FDCWD, self, AT_FDCWD, f->next, AT_SYMLINK_FOLLOW))
		return 0;
	int error = errno;
	f->next[0] = 0;
	return -error;
}

int ms_tracefile_commit_next(struct ms_tracefile *f, int fd)
{
	int rc = f->next[0] ? 0 : name_unnamed(f, fd);
	if (rc < 0)
		return rc;
	if (f->on_next)
		f->on_next(f->ctx, fd);
	if (rename(f->next, f->path)) {
		int error = errno;
		if (f->on_next)
			f->on_next(f->ctx, f->fd); /* it stays after all */
		return -error;
	}
	f->next[0] = 0;
	close(f->fd);
	f->fd = fd;
	return 0;
}

void ms_tracefile_abandon_next(struct ms_tracefile *f, int fd)
{
	close(fd);
	if (f->next[0])
		unlink(f->next);
	f->next[0] = 0;
}

/* ---- the end ---------------------------------------------------------------------------------------- */

int ms_tracefile_close(struct ms_tracefile *f)
{
	struct stat st;
	int fd = f->fd;
	f->fd = -1;
	if (fd < 0)
		return 0;
	bool is_gone = f->is_new && !fstat(fd, &st) && st.st_nlink == 0;
	if (close(fd))
		return errno;
	return is_gone ? ENOENT : 0;
}

void ms_tracefile_discard(struct ms_tracefile *f)
{
	ms_tracefile_close(f);
	if (f->is_new)
		unlink(f->path);
	f->is_new = false;
}

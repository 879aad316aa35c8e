/* See procfs.h. */
#include "procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static ssize_t read_file(int dir, const char *path, char *buf, size_t cap)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t n = 0;
	ssize_t got = 0;
	while (n < cap && (got = read(fd, buf + n, cap - n)) > 0)
		n += (size_t)got;
	int error = errno;
	close(fd);
	return got < 0 ? -error : (ssize_t)n;
}

ssize_t ms_procfs_read(pid_t pid, const char *file, char *buf, size_t cap)
{
	char path[96];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	return read_file(AT_FDCWD, path, buf, cap);
}

int ms_procfs_dir(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

ssize_t ms_procfs_read_at(int proc_dir, const char *file, char *buf, size_t cap)
{
	return read_file(proc_dir, file, buf, cap);
}

char *ms_procfs_maps(pid_t pid, size_t *len)
{
	enum { FIRST = 64 * 1024, LAST = 64 * 1024 * 1024 };
	for (size_t cap = FIRST; cap <= LAST; cap *= 4) {
		char *text = malloc(cap);
		ssize_t n = text ? ms_procfs_read(pid, "maps", text, cap) : -1;
		if (n > 0 && (size_t)n < cap) {
			*len = (size_t)n;
			return text;
		}
		free(text);
		if (n <= 0)
			break;
	}
	*len = 0;
	return NULL;
}

static bool is_same_file(int dir, const char *one, const char *other)
{
	struct stat a, b;
	return fstatat(dir, one, &a, 0) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int ms_procfs_tmp(int proc_dir)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	if (is_same_file(proc_dir, "ns/mnt", "/proc/self/ns/mnt") && is_same_file(proc_dir, "root", "/"))
		return AT_FDCWD;
	int root = openat(proc_dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	int tmp = (int)syscall(SYS_openat2, root, "tmp", &how, sizeof how); /* no link leads out of its root */
	close(root);
	return tmp < 0 ? -1 : tmp;
}

ssize_t ms_procfs_exe(pid_t pid, char *buf, size_t cap)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	ssize_t n = readlink(path, buf, cap);
	return n < 0 ? -errno : n;
}

bool ms_procfs_exe_id(pid_t pid, uint64_t id[2])
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	if (stat(path, &st))
		return false;
	id[0] = st.st_dev;
	id[1] = st.st_ino;
	return true;
}

ssize_t ms_procfs_thread_name(pid_t pid, pid_t tid, char *buf, size_t cap)
{
	char file[64];
	snprintf(file, sizeof file, "task/%d/comm", (int)tid);
	ssize_t n = ms_procfs_read(pid, file, buf, cap);
	return n > 0 && buf[n - 1] == '\n' ? n - 1 : n;
}

bool ms_procfs_thread_state(pid_t pid, pid_t tid, char *state, uint64_t *cpu_ticks)
{
	char file[64], text[1024];
	unsigned long long user, kernel;
	snprintf(file, sizeof file, "task/%d/stat", (int)tid);
	ssize_t n = ms_procfs_read(pid, file, text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	const char *name_end = strrchr(text, ')'); /* the name may be anything */
	if (!name_end || sscanf(name_end, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", state, &user, &kernel) != 3)
		return false;
	*cpu_ticks = user + kernel;
	return true;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

static int reserve(uint32_t **tids, size_t *cap, size_t n)
{
	if (n < *cap)
		return 0;
	size_t room = *cap ? *cap * 2 : 64;
	uint32_t *grown = realloc(*tids, room * sizeof *grown);
	if (!grown)
		return -1;
	*tids = grown;
	*cap = room;
	return 0;
}

ssize_t ms_procfs_threads(pid_t pid, uint32_t **tids, size_t *cap)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		return -errno;
	size_t n = 0;
	ssize_t rc = 0;
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		uint32_t tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
		if (reserve(tids, cap, n)) {
			rc = -ENOMEM;
			break;
		}
		(*tids)[n++] = tid;
	}
	closedir(dir);
	if (rc)
		return rc;
	if (n)
		qsort(*tids, n, sizeof **tids, by_value);
	return (ssize_t)n;
}

bool ms_procfs_has_thread(pid_t pid, pid_t tid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d", (int)pid, (int)tid);
	return access(path, F_OK) == 0 || errno != ENOENT;
}

/* The last number of the NSpid line: the id in the innermost namespace. 0 if there is no such line. */
static uint32_t inner_id(pid_t pid, pid_t tid)
{
	char file[64], text[4096];
	snprintf(file, sizeof file, "task/%d/status", (int)tid);
	ssize_t n = ms_procfs_read(pid, file, text, sizeof text - 1);
	if (n <= 0)
		return 0;
	text[n] = 0;
	const char *line = strstr(text, "\nNSpid:");
	if (!line)
		return 0;
	uint32_t id = 0;
	char *end;
	for (line += 7; *line == '\t'; line = end)
		id = (uint32_t)strtoul(line + 1, &end, 10);
	return id;
}

pid_t ms_procfs_outer_tid(pid_t pid, uint32_t tid)
{
	uint32_t *outer = NULL;
	size_t cap = 0;
	pid_t found = 0;
	ssize_t n = ms_procfs_threads(pid, &outer, &cap);
	for (ssize_t i = 0; i < n && !found; i++)
		if (inner_id(pid, (pid_t)outer[i]) == tid)
			found = (pid_t)outer[i];
	free(outer);
	return found;
}

bool ms_procfs_exit_status(pid_t pid, int *wait_status)
{
	char text[2048];
	ssize_t n = ms_procfs_read(pid, "stat", text, sizeof text - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	/* The name stands in parentheses and may hold anything; what follows the last one is ours to count.
	 */
	const char *p = strrchr(text, ')');
	if (!p || (p[1] && p[2] != 'Z'))
		return false;
	const char *last = strrchr(p, ' '); /* field 52, exit_code, is the last one */
	if (!last)
		return false;
	*wait_status = (int)strtol(last + 1, NULL, 10);
	return true;
}

static bool has_variable(pid_t pid, const char *variable, char *buf, size_t cap)
{
	size_t len = strlen(variable) + 1;
	ssize_t n = ms_procfs_read(pid, "environ", buf, cap - 1);
	if (n < (ssize_t)len)
		return false;
	buf[n] = 0; /* the last string may be cut */
	const char *at = memmem(buf, (size_t)n + 1, variable, len);
	return at && (at == buf || at[-1] == 0);
}

size_t ms_procfs_count_with_env(
	const char *variable, bool (*counts)(const void *ctx, pid_t pid), const void *ctx, size_t max)
{
	enum { ENVIRON_MAX = 256 * 1024 };
	char *buf = malloc(ENVIRON_MAX);
	DIR *dir = buf ? opendir("/proc") : NULL;
	size_t found = 0;
	for (struct dirent *entry; dir && found < max && (entry = readdir(dir));) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid_t pid = (pid_t)strtoul(entry->d_name, NULL, 10);
		found += has_variable(pid, variable, buf, ENVIRON_MAX) && (!counts || counts(ctx, pid));
	}
	if (dir)
		closedir(dir);
	free(buf);
	return found;
}

bool ms_procfs_maps_file(pid_t pid, const char *name)
{
	char line_end[128];
	size_t len, n = (size_t)snprintf(line_end, sizeof line_end, "/%s\n", name);
	char *maps = ms_procfs_maps(pid, &len);
	bool is_there = maps && n < sizeof line_end && memmem(maps, len, line_end, n);
	free(maps);
	return is_there;
}

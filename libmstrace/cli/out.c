/* The sink of out.h. A file sink owns one fixed buffer and flushes it when full; a memory sink doubles.
 *
 * After an error a file sink swallows what follows: the reader of the error is ms_out_close(), and nothing
 * in between may behave differently. An earlier draft used FILE and fopencookie; stdio's locks and its
 * error flag without errno made both the hot path and the message worse. */
#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BUFFER = 1 << 16, MAX_RESERVE = 4096, TEMP_ATTEMPTS = 16 };

static int no_memory_status = 2;

void ms_out_no_memory_status(int status)
{
	no_memory_status = status;
}

static void *must_alloc(void *old, size_t n)
{
	void *p = realloc(old, n);

	if (!p) {
		static const char text[] = "out of memory\n";
		ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

		(void)ignored;
		_exit(no_memory_status);
	}
	return p;
}

static char *must_strdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(must_alloc(NULL, n), s, n);
}

static void write_all(struct ms_out *o, const char *p, size_t n)
{
	while (n > 0 && !o->error) {
		ssize_t done = write(o->fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			o->error = done < 0 ? errno : EIO;
			return;
		}
		p += done;
		n -= (size_t)done;
		o->n_written += (uint64_t)done;
	}
}

void ms_out_init_memory(struct ms_out *o)
{
	*o = (struct ms_out){.fd = -1};
}

void ms_out_init_fd(struct ms_out *o, int fd)
{
	*o = (struct ms_out){.fd = fd, .cap = FILE_BUFFER, .buf = must_alloc(NULL, FILE_BUFFER)};
}

/* path's directory and a name nobody can guess, so that nobody can plant it. */
static char *random_sibling(const char *path)
{
	const char *slash = strrchr(path, '/');
	int n_dir = slash ? (int)(slash - path) + 1 : 0;
	size_t cap = strlen(path) + 40;
	char *name = must_alloc(NULL, cap);
	uint64_t r = 0;

	if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
		r = (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)name;
	snprintf(name, cap, "%.*s.mst-%016llx.tmp", n_dir, path, (unsigned long long)r);
	return name;
}

/* A file that has no name until it is complete: whatever kills us, nothing stays behind. Not every file
 * system has these, and giving the name needs /proc. */
static int open_unnamed(struct ms_out *o, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? must_strdup(path) : must_strdup(".");
	int fd = -1;

	if (slash)
		dir[slash - path + 1] = '\0';
	if (access("/proc/self/fd", X_OK) == 0)
		fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	free(dir);
	o->is_unnamed = fd >= 0;
	return fd;
}

static int open_temporary(struct ms_out *o, const char *path)
{
	for (int i = 0; i < TEMP_ATTEMPTS; i++) {
		char *temp = random_sibling(path);
		int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

		if (fd >= 0) {
			o->temp_path = temp;
			return fd;
		}
		free(temp);
		if (errno != EEXIST)
			break;
	}
	return -1;
}

/* NULL if a file may be created or replaced under the name, else why not. */
static const char *refuse_target(const char *path, unsigned flags)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? NULL : strerror(errno);
	if (S_ISDIR(st.st_mode))
		return "it is a directory";
	if (flags & MS_OUT_NEW)
		return "it exists already";
	if (S_ISLNK(st.st_mode))
		return "it is a symbolic link";
	if (!S_ISREG(st.st_mode))
		return "it is not a regular file";
	return NULL;
}

/* With force: what is no regular file is written in place; the rest still goes by rename. */
static bool goes_in_place(const char *path, unsigned flags)
{
	struct stat st;

	return (flags & MS_OUT_FORCE) && lstat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
	       !S_ISDIR(st.st_mode);
}

int ms_out_open(struct ms_out *o, const char *path, unsigned flags, const char **why)
{
	int fd;

	if (!path || strcmp(path, "-") == 0) {
		ms_out_init_fd(o, STDOUT_FILENO);
		return 0;
	}
	*o = (struct ms_out){.fd = -1};
	if (goes_in_place(path, flags)) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	} else {
		*why = *path ? refuse_target(path, flags) : "the name is empty";
		if (*why)
			return -1;
		fd = open_unnamed(o, path);
		if (fd < 0)
			fd = open_temporary(o, path);
	}
	if (fd < 0) {
		*why = strerror(errno);
		return -1;
	}
	o->fd = fd;
	o->owns_fd = true;
	o->is_new_only = flags & MS_OUT_NEW;
	o->path = must_strdup(path);
	o->cap = FILE_BUFFER;
	o->buf = must_alloc(NULL, FILE_BUFFER);
	return 0;
}

int ms_out_flush(struct ms_out *o)
{
	if (o->fd >= 0) {
		write_all(o, o->buf, o->len);
		o->len = 0;
	}
	return o->error;
}

/* From unnamed to a temporary name; rename() can then replace an old file, which linkat() cannot. */
static int give_temporary_name(struct ms_out *o)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
	o->temp_path = random_sibling(o->path);
	if (linkat(AT_FDCWD, self, AT_FDCWD, o->temp_path, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	free(o->temp_path);
	o->temp_path = NULL;
	return errno;
}

static int give_name(struct ms_out *o)
{
	if (o->is_new_only) {
		/* link() refuses an existing name; rename() would replace it. */
		if (link(o->temp_path, o->path) < 0)
			return errno;
		unlink(o->temp_path);
	} else if (rename(o->temp_path, o->path) < 0) {
		return errno;
	}
	free(o->temp_path);
	o->temp_path = NULL;
	return 0;
}

int ms_out_close(struct ms_out *o)
{
	int error = ms_out_flush(o);

	if (!error && o->is_unnamed)
		error = give_temporary_name(o);
	if (o->owns_fd) {
		/* Some file systems report a full disk or quota only here. */
		if (close(o->fd) < 0 && !error)
			error = errno;
		o->owns_fd = false;
	}
	if (!error && o->temp_path)
		error = give_name(o);
	ms_out_release(o);
	return error;
}

void ms_out_release(struct ms_out *o)
{
	if (o->owns_fd)
		close(o->fd);
	if (o->temp_path)
		unlink(o->temp_path);
	free(o->temp_path);
	free(o->path);
	free(o->buf);
	*o = (struct ms_out){.fd = -1};
}

void ms_out_clear(struct ms_out *o)
{
	o->len = 0;
}

void ms_out_reserve(struct ms_out *o, size_t n)
{
	size_t cap = o->cap ? o->cap : 256;

	if (o->cap - o->len >= n)
		return;
	if (o->fd >= 0) {
		ms_out_flush(o);
		return;
	}
	while (cap - o->len < n)
		cap *= 2;
	o->buf = must_alloc(o->buf, cap);
	o->cap = cap;
}

const char *ms_out_text(struct ms_out *o)
{
	ms_out_reserve(o, 1);
	o->buf[o->len] = '\0';
	return o->buf;
}

void ms_out_write(struct ms_out *o, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	if (o->fd >= 0 && n > MAX_RESERVE) {
		ms_out_flush(o);
		write_all(o, bytes, n);
		return;
	}
	ms_out_reserve(o, n);
	memcpy(o->buf + o->len, bytes, n);
	o->len += n;
}

void ms_out_vprintf(struct ms_out *o, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n >= 0 && (size_t)n < sizeof(small)) {
		ms_out_write(o, small, (size_t)n);
	} else if (n >= 0 && o->fd < 0) {
		ms_out_reserve(o, (size_t)n + 1);
		vsnprintf(o->buf + o->len, (size_t)n + 1, fmt, again);
		o->len += (size_t)n;
	} else if (n >= 0) {
		char *big = must_alloc(NULL, (size_t)n + 1);

		vsnprintf(big, (size_t)n + 1, fmt, again);
		ms_out_write(o, big, (size_t)n);
		free(big);
	}
	va_end(again);
}

void ms_out_printf(struct ms_out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ms_out_vprintf(o, fmt, ap);
	va_end(ap);
}

void ms_out_fill(struct ms_out *o, char c, size_t n)
{
	while (n-- > 0)
		ms_out_char(o, c);
}

void ms_out_u64(struct ms_out *o, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	ms_out_write(o, digits + i, sizeof(digits) - i);
}

void ms_out_hex(struct ms_out *o, uint64_t v)
{
	char digits[16];
	size_t i = sizeof(digits);

	do {
		digits[--i] = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v);
	ms_out_write(o, digits + i, sizeof(digits) - i);
}

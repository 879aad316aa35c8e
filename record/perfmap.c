/* See perfmap.h. Lines are read from the last to the first, and an address that has its name is out of the game: so
 * the last line wins, and a million lines that all cover a million addresses cost no more than others. */
#include "perfmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLOCK_SLACK_NS 2000000000u /* file times are coarse */

/* ---- the file --------------------------------------------------------------------------------------- */

static int open_map(int tmp_dir, uint32_t pid)
{
	enum { FLAGS = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY };
	char path[64];
	bool is_ours = tmp_dir == AT_FDCWD;
	snprintf(path, sizeof path, "%sperf-%u.map", is_ours ? "/tmp/" : "", pid);
	return openat(tmp_dir, path, FLAGS); /* one name: with NOFOLLOW, it leads nowhere else */
}

static bool is_credible(const struct stat *st, uid_t owner, uint64_t not_before_ns)
{
	uint64_t written_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
	return S_ISREG(st->st_mode) && (st->st_uid == owner || st->st_uid == 0) &&
	       written_ns + CLOCK_SLACK_NS >= not_before_ns;
}

static int read_text(int fd, uint64_t size, struct ms_perfmap *out)
{
	uint64_t from = size > MS_PERFMAP_MAX ? size - MS_PERFMAP_MAX : 0;
	size_t len = (size_t)(size - from), n = 0;
	ssize_t got = 1;
	char *text = malloc(len + 1);
	if (!text)
		return -ENOMEM;
	while (n < len && got > 0) {
		got = pread(fd, text + n, len - n, (off_t)(from + n));
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			n += (size_t)got;
	}
	*out = (struct ms_perfmap){text, n};
	return 0;
}

int ms_perfmap_read(int tmp_dir, uint32_t pid, uid_t owner, uint64_t not_before_ns, struct ms_perfmap *out)
{
	struct stat st;
	int fd = open_map(tmp_dir, pid), rc = -ENOENT;
	*out = (struct ms_perfmap){0};
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && is_credible(&st, owner, not_before_ns))
		rc = read_text(fd, (uint64_t)st.st_size, out);
	close(fd);
	return rc;
}

void ms_perfmap_release(struct ms_perfmap *m)
{
	free(m->text);
	*m = (struct ms_perfmap){0};
}

/* ---- lines ------------------------------------------------------------------------------------------ */

struct line {
	uint64_t start, end;
	const char *name;
	size_t len;
};

static bool get_hex(const char **p, const char *end, uint64_t *value)
{
	const char *at = *p;
	if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
		at += 2;
	const char *digits = at;
	for (*value = 0; at < end; at++) {
		unsigned c = (unsigned char)*at, digit = c - '0';
		if (digit > 9)
			digit = (c | 32u) - 'a' < 6 ? (c | 32u) - 'a' + 10 : 16;
		if (digit > 15)
			break;
		if (*value >> 60)
			return false;
		*value = *value << 4 | digit;
	}
	*p = at;
	return at > digits && at < end && *at == ' ';
}

static bool parse(const char *at, const char *end, struct line *line)
{
	uint64_t size;
	if (!get_hex(&at, end, &line->start))
		return false;
	at++;
	if (!get_hex(&at, end, &size) || __builtin_add_overflow(line->start, size, &line->end))
		return false;
	line->name = ++at;
	line->len = (size_t)(end - at);
	if (line->len > MS_PERFMAP_NAME_MAX)
		line->len = MS_PERFMAP_NAME_MAX;
	return line->len > 0 && size > 0 && !memchr(line->name, 0, line->len);
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static size_t first_from(const struct ms_perfmap_query *queries, size_t n, uint64_t addr)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (queries[mid].addr < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The first query from i on that has no name yet; next[i] is i for those, else a place further on. */
static size_t next_open(size_t *next, size_t i)
{
	while (next[i] != i)
		i = next[i] = next[next[i]];
	return i;
}

int ms_perfmap_find(const struct ms_perfmap *m, struct ms_perfmap_query *queries, size_t n)
{
	size_t *next = malloc((n + 1) * sizeof *next), n_open = n, end = m->len;
	if (!next)
		return -1;
	for (size_t i = 0; i <= n; i++)
		next[i] = i;
	while (end > 0 && n_open > 0) {
		const char *newline = memrchr(m->text, '\n', end - 1);
		size_t start = newline ? (size_t)(newline + 1 - m->text) : 0;
		size_t stop = end - (m->text[end - 1] == '\n');
		struct line line;
		if (parse(m->text + start, m->text + stop, &line)) {
			size_t i = next_open(next, first_from(queries, n, line.start));
			for (; i < n && queries[i].addr < line.end; i = next_open(next, i)) {
				queries[i].name = line.name;
				queries[i].len = (uint32_t)line.len;
				next[i] = i + 1;
				n_open--;
			}
		}
		end = start;
	}
	free(next);
	return 0;
}

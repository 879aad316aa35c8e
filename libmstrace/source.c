#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "problem.h"

#define READ_AHEAD ((size_t)256 << 10)
#define FOLLOW_NS 50000000L /* how long to sleep before looking for more: one twentieth of a second */

void mst_source_init(struct mst_source *s, int fd, bool follow)
{
	struct stat st;

	*s = (struct mst_source){.fd = fd, .follow = follow};
	s->is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void mst_source_release(struct mst_source *s)
{
	free(s->window);
	s->window = NULL;
	s->len = s->cap = 0;
}

uint64_t mst_source_size(const struct mst_source *s)
{
	struct stat st;

	return s->is_file && fstat(s->fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static int reserve(struct mst_source *s, size_t cap, struct mst_problem *problem)
{
	uint8_t *grown;

	if (cap <= s->cap)
		return 0;
	grown = realloc(s->window, cap);
	if (!grown)
		return mst_problem_memory(problem);
	s->window = grown;
	s->cap = cap;
	return 0;
}

/* Lets the window start at offset, keeping what it already has from there on. */
static int move_window(struct mst_source *s, uint64_t offset, struct mst_problem *problem)
{
	if (offset >= s->start && offset - s->start <= s->len) {
		size_t gone = (size_t)(offset - s->start);
		if (gone > 0) /* before the first read there is no window yet */
			memmove(s->window, s->window + gone, s->len - gone);
		s->len -= gone;
		s->start = offset;
		return 0;
	}
	if (s->is_file) {
		s->len = 0;
		s->start = offset;
		return 0;
	}
	return mst_problem_set(problem, MST_EARG, offset, MST_NO_FRAME, "a pipe cannot be read twice");
}

/* One read behind the window's end: bytes read, 0 at the end, negative on failure. */
static int read_more(struct mst_source *s, size_t *got, struct mst_problem *problem)
{
	uint64_t offset = s->start + s->len;
	ssize_t n;

	do {
		if (s->is_file)
			n = pread(s->fd, s->window + s->len, s->cap - s->len, (off_t)offset);
		else
			n = read(s->fd, s->window + s->len, s->cap - s->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return mst_problem_os(problem, offset, s->is_file ? "pread" : "read");
	s->len += (size_t)n;
	*got = (size_t)n;
	return 0;
}

static void sleep_a_little(void)
{
	struct timespec pause = {0, FOLLOW_NS};

	nanosleep(&pause, NULL);
}

static int fill(struct mst_source *s, size_t want, struct mst_problem *problem)
{
	while (s->len < want && !s->at_end) {
		size_t got = 0;
		int rc = read_more(s, &got, problem);

		if (rc < 0)
			return rc;
		if (got != 0)
			continue;
		if (!s->is_file)
			s->at_end = true;
		else if (s->follow)
			sleep_a_little();
		else
			break;
	}
	return 0;
}

/* Brings a pipe to offset: what lies before it and was never asked for is read past. */
static int skip_to(struct mst_source *s, uint64_t offset, struct mst_problem *problem)
{
	while (offset > s->start + s->len) {
		int rc = move_window(s, s->start + s->len, problem);

		if (rc == 0)
			rc = reserve(s, READ_AHEAD, problem);
		if (rc == 0 && !s->at_end)
			rc = fill(s, 1, problem);
		if (rc < 0)
			return rc;
		if (s->at_end && s->len == 0)
			s->start = offset;
	}
	return 0;
}

static size_t behind(const struct mst_source *s, uint64_t offset)
{
	return offset >= s->start && offset - s->start <= s->len ? s->len - (size_t)(offset - s->start) : 0;
}

int mst_source_view(struct mst_source *s, uint64_t offset, size_t least, size_t want, const uint8_t **bytes, size_t *n,
	struct mst_problem *problem)
{
	uint64_t first = s->keep < offset && !s->is_file ? s->keep : offset;
	size_t before = (size_t)(offset - first);
	int rc = 0;

	if (behind(s, offset) < least) {
		if (!s->is_file)
			rc = skip_to(s, first, problem);
		if (rc == 0)
			rc = move_window(s, first, problem);
		if (rc == 0)
			rc = reserve(s, before + want + READ_AHEAD, problem);
		if (rc == 0)
			rc = fill(s, before + least, problem);
		if (rc < 0)
			return rc;
	}
	*n = behind(s, offset);
	*bytes = s->window + (s->len - *n);
	if (*n > want)
		*n = want;
	return 0;
}

/* check_data.c - one file of tests/data: does the library take it as its name says?
 *
 *     good-*          verify finds nothing wrong; the events named are there
 *     bad-*           verify says MST_EDAMAGED, reading goes on to the end, salvage leaves a file that reads
 *     unsupported-*   MST_EVERSION, and no event is given out before that is known */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mstrace.h"

static int failures;

static void expect(bool holds, const char *what, int rc, const struct mst_problem *problem)
{
	if (holds)
		return;
	fprintf(stderr, "check_data: %s: got %d (%s)\n", what, rc, problem->text);
	failures++;
}

static int count_events(int fd, uint64_t *n)
{
	struct mst_reader *r;
	struct mst_event ev;
	int rc = mst_reader_open_fd(fd, NULL, &r, NULL);

	*n = 0;
	if (rc < 0)
		return rc;
	while ((rc = mst_reader_next(r, &ev)) > 0)
		++*n;
	mst_reader_close(r);
	return rc;
}

static void check_bad(int fd)
{
	int out = memfd_create("salvaged", MFD_CLOEXEC);
	struct mst_verify_result result;
	struct mst_problem problem = {0};
	uint64_t before, after;
	int rc = mst_verify(fd, &result, NULL, NULL, NULL, &problem);

	expect(rc == MST_EDAMAGED && problem.code == MST_EDAMAGED && problem.text[0], "verify", rc, &problem);
	rc = count_events(fd, &before);
	expect(rc == 0, "reading to the end", rc, &problem);
	rc = mst_salvage(fd, out, &result, &problem);
	expect(rc == 0, "salvage", rc, &problem);
	rc = count_events(out, &after);
	expect(rc == 0 && before == after, "reading what was salvaged", rc, &problem);
	close(out);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? strrchr(argv[1], '/') : NULL;
	struct mst_verify_result result;
	struct mst_problem problem = {0};
	uint64_t n;
	int fd, rc;

	if (!name || (fd = open(argv[1], O_RDONLY | O_CLOEXEC)) < 0)
		return 2;
	rc = mst_verify(fd, &result, NULL, NULL, NULL, &problem);
	if (strncmp(name, "/good-", 6) == 0) {
		expect(rc == 0, "verify", rc, &problem);
		rc = count_events(fd, &n);
		expect(rc == 0 && n == result.n_events && n != 0, "reading", rc, &problem);
	} else if (strncmp(name, "/bad-", 5) == 0) {
		check_bad(fd);
	} else {
		expect(rc == MST_EVERSION, "verify", rc, &problem);
		rc = count_events(fd, &n);
		expect(rc == MST_EVERSION && n == 0, "reading", rc, &problem);
	}
	close(fd);
	return failures != 0;
}

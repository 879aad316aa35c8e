/* test_fault.c - the n-th allocation, write or read fails, for every n: a clean error, nothing leaked (the sanitizer
 * build says), and what was written before is a readable prefix.
 *
 * The linker sends the library's calls here (--wrap); `fuse` counts down to the one that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sample_trace.h"

enum fault { NOTHING, ALLOCATION, WRITE, READ };

static enum fault armed;
static int fuse;         /* calls of that kind until one fails */
static bool has_blown;
static bool is_nervous;  /* every other read and write is interrupted, all are short */

static bool blows(enum fault kind)
{
	if (armed != kind || fuse-- != 0)
		return false;
	has_blown = true;
	return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __real_pread(int fd, void *p, size_t n, off_t at);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_pread(int fd, void *p, size_t n, off_t at);

void *__wrap_malloc(size_t n)
{
	return blows(ALLOCATION) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return blows(ALLOCATION) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return blows(ALLOCATION) ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return blows(ALLOCATION) ? NULL : __real_aligned_alloc(align, n);
}

/* Interrupts every other call; what goes through is cut to a few bytes. */
static bool interrupts(size_t *n)
{
	static unsigned calls;

	if (!is_nervous)
		return false;
	if (*n > 13)
		*n = 13;
	errno = EINTR;
	return calls++ % 2 == 0;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	if (interrupts(&n))
		return -1;
	errno = ENOSPC;
	return blows(WRITE) ? -1 : __real_write(fd, p, n);
}

ssize_t __wrap_read(int fd, void *p, size_t n)
{
	if (interrupts(&n))
		return -1;
	errno = EIO;
	return blows(READ) ? -1 : __real_read(fd, p, n);
}

ssize_t __wrap_pread(int fd, void *p, size_t n, off_t at)
{
	if (interrupts(&n))
		return -1;
	errno = EIO;
	return blows(READ) ? -1 : __real_pread(fd, p, n, at);
}

static void arm(enum fault kind, int calls)
{
	armed = kind;
	fuse = calls;
	has_blown = false;
}

static void disarm(void)
{
	armed = NOTHING;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static int write_tables(struct mst_writer *w, uint32_t *thread, uint32_t *stack)
{
	struct mst_process p = {.pid = 1, .origin = MST_ORIGIN_START};
	struct mst_thread t = {.tid = 1, .end_ns = UINT64_MAX};
	struct mst_module m = {.file_size = 9};
	struct mst_mapping map = {.start = 1, .end = 2, .unload_ns = UINT64_MAX};
	struct mst_symbol s = {.line = 3};
	uint32_t code;
	int rc = mst_writer_string(w, "name", 4, &m.path);

	if (rc == 0)
		rc = mst_writer_module(w, &m, &map.module);
	if (rc == 0)
		rc = mst_writer_code(w, map.module, 77, &code);
	if (rc == 0)
		rc = mst_writer_stack(w, MST_STACK_CUT, code, stack);
	if (rc == 0)
		rc = mst_writer_symbols(w, code, &s, 1);
	if (rc == 0)
		rc = mst_writer_process(w, &p, &t.process);
	map.process = t.process;
	if (rc == 0)
		rc = mst_writer_mapping(w, &map);
	if (rc == 0)
		rc = mst_writer_thread(w, &t, thread);
	return rc;
}

static int write_events(struct mst_writer *w, uint32_t thread, uint32_t stack, unsigned n)
{
	int rc = 0;

	for (unsigned i = 0; i < n && rc == 0; i++) {
		struct mst_event ev = {.op = i % 4 == 3 ? MST_OP_FREE : MST_OP_MEMALIGN, .thread = thread, .stack = stack,
			.time_ns = i, .size = i, .align = 64, .addr = 0x1000 + (i - (i % 4 == 3)) * 64};
		rc = mst_writer_event(w, &ev);
	}
	return rc;
}

static int write_all(int fd, bool threaded)
{
	struct mst_writer_options opt = {.header = {.tool = "t", .has_addresses = true}, .file_id = 5, .frame_events = 300,
		.threaded = threaded};
	struct mst_process child = {.pid = 2, .origin = MST_ORIGIN_FORK};
	struct mst_writer *w = NULL;
	uint32_t thread, stack;
	int rc = mst_writer_open(fd, &opt, &w), closed;

	if (rc < 0)
		return rc;
	rc = write_tables(w, &thread, &stack);
	if (rc == 0)
		rc = write_events(w, thread, stack, 700);
	child.parent = 1;
	if (rc == 0)
		rc = mst_writer_process(w, &child, &child.parent);
	if (rc == 0)
		rc = write_events(w, thread, stack, 100);
	if (rc == 0)
		rc = mst_writer_loss(w, thread, 1, 2, 3, 4, MST_LOSS_DROPPED);
	closed = mst_writer_close(w, true, 0, NULL);
	return rc < 0 ? rc : closed;
}

/* Events that can be read from fd without any damage but a missing end. */
static size_t readable(int fd)
{
	struct mst_loss loss = {0};
	struct mst_reader *r;
	struct mst_event ev;
	size_t n = 0;

	if (mst_reader_open_fd(fd, NULL, &r, NULL) < 0)
		return 0;
	while (mst_reader_next(r, &ev) > 0)
		assert_int_equal(ev.number, n++);
	mst_reader_loss(r, &loss);
	assert_true(loss.places <= 1); /* a frame half written */
	mst_reader_close(r);
	return n;
}

static void each_failure_while_writing_is_clean(enum fault kind, int code)
{
	for (unsigned threaded = 0; threaded < 2; threaded++)
		for (int calls = 0;; calls++) {
			int fd = sample_fd((const uint8_t *)"", 0), rc;

			arm(kind, calls);
			rc = write_all(fd, threaded);
			disarm();
			assert_int_equal(rc, has_blown ? code : 0);
			if (!has_blown)
				assert_int_equal(readable(fd), 800);
			else
				readable(fd);
			close(fd);
			if (!has_blown) {
				assert_true(calls > 3); /* it did fail some */
				break;
			}
		}
}

static void a_writer_survives_every_failing_allocation(void **state)
{
	(void)state;
	each_failure_while_writing_is_clean(ALLOCATION, MST_ENOMEM);
}

static void a_writer_survives_every_failing_write(void **state)
{
	(void)state;
	each_failure_while_writing_is_clean(WRITE, MST_EIO);
}

static void short_and_interrupted_calls_change_nothing(void **state)
{
	int plain = sample_fd((const uint8_t *)"", 0), nervous = sample_fd((const uint8_t *)"", 0);
	uint8_t a[30000], b[30000];
	ssize_t n, m;

	(void)state;
	assert_int_equal(write_all(plain, false), 0);
	is_nervous = true;
	assert_int_equal(write_all(nervous, true), 0);
	assert_int_equal(readable(nervous), 800);
	is_nervous = false;
	n = pread(plain, a, sizeof(a), 0);
	m = pread(nervous, b, sizeof(b), 0);
	assert_true(n > 0 && n < (ssize_t)sizeof(a));
	assert_int_equal(n, m);
	assert_memory_equal(a, b, (size_t)n);
	close(plain);
	close(nervous);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static int read_all(int fd)
{
	struct mst_problem problem = {0};
	struct mst_reader *r;
	struct mst_event ev;
	int rc = mst_reader_open_fd(fd, NULL, &r, &problem);

	if (rc < 0) {
		assert_int_equal(problem.code, rc);
		return rc;
	}
	rc = mst_reader_load_tables(r);
	while (rc == 0 && (rc = mst_reader_next(r, &ev)) > 0)
		rc = 0;
	if (rc == 0)
		rc = mst_reader_seek_time(r, 200);
	if (rc == 0 && (rc = mst_reader_next(r, &ev)) > 0)
		rc = 0;
	if (rc < 0)
		assert_int_equal(mst_reader_problem(r)->code, rc);
	mst_reader_close(r);
	return rc;
}

static int read_pipe(int fd)
{
	struct mst_reader *r;
	struct mst_event ev;
	uint8_t bytes[30000];
	ssize_t n;
	int ends[2], rc;

	enum fault kind = armed;

	armed = NOTHING;
	n = pread(fd, bytes, sizeof(bytes), 0);
	if (pipe(ends) < 0 || write(ends[1], bytes, (size_t)n) != n)
		return MST_EARG;
	armed = kind;
	close(ends[1]);
	rc = mst_reader_open_fd(ends[0], NULL, &r, NULL);
	if (rc == 0) {
		while ((rc = mst_reader_next(r, &ev)) > 0)
			;
		mst_reader_close(r);
	}
	close(ends[0]);
	return rc;
}

static int verify(int fd)
{
	struct mst_verify_result result;
	struct mst_problem problem;

	return mst_verify(fd, &result, NULL, NULL, NULL, &problem);
}

static int salvage(int fd)
{
	struct mst_verify_result result;
	struct mst_problem problem;
	enum fault kind = armed;
	int out, rc;

	armed = NOTHING;
	out = sample_fd((const uint8_t *)"", 0);
	armed = kind;
	rc = mst_salvage(fd, out, &result, &problem);
	close(out);
	return rc;
}

static void each_failure_while_reading_is_clean(int (*read)(int fd), enum fault kind, int code)
{
	int fd = sample_fd((const uint8_t *)"", 0);

	assert_int_equal(write_all(fd, false), 0);
	for (int calls = 0;; calls++) {
		int rc;

		arm(kind, calls);
		rc = read(fd);
		disarm();
		assert_int_equal(rc, has_blown ? code : 0);
		if (!has_blown) {
			assert_true(calls > 1);
			break;
		}
	}
	close(fd);
}

static void readers_survive_every_failing_allocation(void **state)
{
	(void)state;
	each_failure_while_reading_is_clean(read_all, ALLOCATION, MST_ENOMEM);
	each_failure_while_reading_is_clean(read_pipe, ALLOCATION, MST_ENOMEM);
	each_failure_while_reading_is_clean(verify, ALLOCATION, MST_ENOMEM);
	each_failure_while_reading_is_clean(salvage, ALLOCATION, MST_ENOMEM);
}

static void readers_survive_every_failing_read(void **state)
{
	(void)state;
	each_failure_while_reading_is_clean(read_all, READ, MST_EIO);
	each_failure_while_reading_is_clean(read_pipe, READ, MST_EIO);
	each_failure_while_reading_is_clean(verify, READ, MST_EIO);
	each_failure_while_reading_is_clean(salvage, READ, MST_EIO);
}

static void a_salvage_survives_every_failing_write(void **state)
{
	(void)state;
	each_failure_while_reading_is_clean(salvage, WRITE, MST_EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_writer_survives_every_failing_allocation),
		cmocka_unit_test(a_writer_survives_every_failing_write),
		cmocka_unit_test(short_and_interrupted_calls_change_nothing),
		cmocka_unit_test(readers_survive_every_failing_allocation),
		cmocka_unit_test(readers_survive_every_failing_read),
		cmocka_unit_test(a_salvage_survives_every_failing_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_writer.c - what the writer makes of events, and what it does when it cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sample_trace.h"

/* ---- a small trace by hand -------------------------------------------------------------------------------- */

struct desk {
	int fd;
	struct mst_writer *w;
	uint32_t process, thread;
	uint64_t time_ns;
};

static void desk_open(struct desk *d)
{
	struct mst_writer_options opt = {.header = {.has_addresses = true}, .file_id = 1};
	struct mst_process p = {.pid = 1, .origin = MST_ORIGIN_START};
	struct mst_thread t = {.process = 1, .tid = 1, .end_ns = UINT64_MAX};

	*d = (struct desk){.fd = sample_fd((const uint8_t *)"", 0)};
	assert_int_equal(mst_writer_open(d->fd, &opt, &d->w), 0);
	assert_int_equal(mst_writer_process(d->w, &p, &d->process), 0);
	assert_int_equal(mst_writer_thread(d->w, &t, &d->thread), 0);
}

static uint64_t put(struct desk *d, uint32_t thread, unsigned op, uint64_t addr, uint64_t old_addr, uint64_t size)
{
	struct mst_event ev = {.op = (uint8_t)op, .thread = thread, .addr = addr, .old_addr = old_addr, .size = size,
		.time_ns = ++d->time_ns};

	assert_int_equal(mst_writer_event(d->w, &ev), 0);
	return ev.alloc;
}

/* Closes, and gives the events back. */
static size_t desk_close(struct desk *d, struct mst_event *events, size_t max)
{
	struct mst_reader *r;
	size_t n = 0;

	assert_int_equal(mst_writer_close(d->w, true, 0, NULL), 0);
	assert_int_equal(mst_reader_open_fd(d->fd, NULL, &r, NULL), 0);
	while (n < max && mst_reader_next(r, &events[n]) > 0)
		n++;
	mst_reader_close(r);
	close(d->fd);
	return n;
}

static void a_release_names_the_block_it_ends(void **state)
{
	struct mst_event ev[10];
	struct desk d;

	(void)state;
	desk_open(&d);
	assert_int_equal(put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 10), 1);
	assert_int_equal(put(&d, 1, MST_OP_MALLOC, 0x2000, 0, 20), 2);
	put(&d, 1, MST_OP_FREE, 0x1000, 0, 0);
	assert_int_equal(put(&d, 1, MST_OP_REALLOC, 0x1000, 0x2000, 30), 3);
	put(&d, 1, MST_OP_FREE, 0x1000, 0, 0);
	put(&d, 1, MST_OP_FREE, 0x1000, 0, 0); /* a second time: of no known block */
	assert_int_equal(desk_close(&d, ev, 10), 6);
	assert_int_equal(ev[2].freed, 1);
	assert_int_equal(ev[3].freed, 2);
	assert_int_equal(ev[3].old_addr, 0x2000);
	assert_int_equal(ev[4].freed, 3);
	assert_int_equal(ev[5].freed, 0);
	assert_int_equal(ev[5].addr, 0x1000);
	assert_int_equal(ev[5].flags, MST_EV_FOREIGN);
}

static void a_forked_child_releases_what_it_inherited(void **state)
{
	struct mst_process child = {.pid = 2, .parent = 1, .origin = MST_ORIGIN_FORK};
	struct mst_thread t = {.tid = 2, .end_ns = UINT64_MAX};
	struct mst_event ev[10];
	struct mst_totals totals;
	uint64_t token, dropped;
	uint32_t thread;
	struct desk d;

	(void)state;
	desk_open(&d);
	put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 10);
	assert_int_equal(mst_writer_fork_point(d.w, 1, &token), 0);
	assert_int_equal(mst_writer_fork_point(d.w, 1, &dropped), 0);
	mst_writer_fork_drop(d.w, dropped);
	put(&d, 1, MST_OP_MALLOC, 0x2000, 0, 20); /* after the fork: the child has none of it */
	put(&d, 1, MST_OP_FREE, 0x1000, 0, 0);
	assert_int_equal(mst_writer_process_forked(d.w, &child, dropped, &t.process), MST_EARG);
	assert_int_equal(mst_writer_process_forked(d.w, &child, token, &t.process), 0);
	assert_int_equal(mst_writer_thread(d.w, &t, &thread), 0);
	put(&d, thread, MST_OP_FREE, 0x1000, 0, 0);
	put(&d, thread, MST_OP_FREE, 0x2000, 0, 0);
	put(&d, thread, MST_OP_MALLOC, 0x3000, 0, 5);
	put(&d, thread, MST_OP_FREE, 0x3000, 0, 0);
	assert_int_equal(mst_writer_flush(d.w), 0);
	mst_writer_totals(d.w, &totals);
	assert_int_equal(totals.live_blocks, 1);
	assert_int_equal(totals.live_bytes, 20);
	assert_int_equal(desk_close(&d, ev, 10), 7);
	assert_int_equal(ev[2].freed, 1);
	assert_int_equal(ev[3].freed, 1); /* the same block ends in each process */
	assert_int_equal(ev[4].freed, 0);
	assert_int_equal(ev[6].freed, 3);
}

static void an_address_acquired_twice_is_an_overlap(void **state)
{
	struct mst_event ev[4];
	struct mst_totals totals;
	struct desk d;

	(void)state;
	desk_open(&d);
	put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 10);
	put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 20);
	put(&d, 1, MST_OP_FREE, 0x1000, 0, 0);
	assert_int_equal(mst_writer_flush(d.w), 0);
	mst_writer_totals(d.w, &totals);
	assert_int_equal(totals.overlaps, 1);
	assert_int_equal(totals.live_blocks, 1); /* the first, whose release was missed */
	assert_int_equal(totals.live_bytes, 10);
	assert_int_equal(desk_close(&d, ev, 4), 3);
	assert_int_equal(ev[2].freed, 2);
}

static void an_exec_starts_with_nothing(void **state)
{
	struct mst_process end = {.fate = MST_FATE_EXEC}, image = {.pid = 1, .parent = 1, .origin = MST_ORIGIN_EXEC};
	struct mst_thread t = {.tid = 1, .end_ns = UINT64_MAX};
	struct mst_event ev[4];
	uint32_t thread;
	struct desk d;

	(void)state;
	desk_open(&d);
	put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 10);
	assert_int_equal(mst_writer_process_end(d.w, 1, &end), 0);
	assert_int_equal(mst_writer_process(d.w, &image, &t.process), 0);
	assert_int_equal(mst_writer_thread(d.w, &t, &thread), 0);
	put(&d, thread, MST_OP_FREE, 0x1000, 0, 0);
	put(&d, 1, MST_OP_FREE, 0x1000, 0, 0); /* a straggler of the image that is gone */
	assert_int_equal(desk_close(&d, ev, 4), 3);
	assert_int_equal(ev[1].freed, 0);
	assert_int_equal(ev[2].freed, 0);
}

static void what_lives_is_known_at_once(void **state)
{
	struct mst_event ev[3];
	struct desk d;

	(void)state;
	desk_open(&d);
	assert_int_equal(mst_writer_knows(d.w, 1, 0x1000), 0);
	put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 10);
	assert_int_equal(mst_writer_knows(d.w, 1, 0x1000), 1);
	assert_int_equal(mst_writer_knows(d.w, 1, 0x2000), 0);
	assert_int_equal(mst_writer_knows(d.w, 7, 0x1000), 0);
	put(&d, 1, MST_OP_FREE, 0x1000, 0, 0);
	assert_int_equal(mst_writer_knows(d.w, 1, 0x1000), 0);
	put(&d, 1, MST_OP_MALLOC, UINT64_C(1) << 60, 0, 10);
	assert_int_equal(mst_writer_knows(d.w, 1, UINT64_C(1) << 60), 1);
	assert_int_equal(desk_close(&d, ev, 3), 3);
}

static void annotations_stand_before_the_event_that_comes_next(void **state)
{
	const struct mst_annotation bad[] = {{.kind = 0}, {.kind = 1, .process = 9}, {.kind = 1, .thread = 9},
		{.kind = 1, .name = 99}, {.kind = 1, .time_ns = UINT64_MAX}};
	struct mst_annotation a = {.kind = MST_ANNOTATION_PAUSE, .event = 77, .time_ns = 5};
	const struct mst_annotation *got;
	struct mst_reader *r;
	struct mst_event ev;
	struct desk d;

	(void)state;
	desk_open(&d);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(mst_writer_annotation(d.w, &bad[i]), MST_EARG);
	assert_int_equal(mst_writer_annotation(d.w, &a), 0);
	put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 10);
	assert_int_equal(mst_writer_flush(d.w), 0);
	a = (struct mst_annotation){.kind = MST_ANNOTATION_MARK, .process = 1, .thread = 1, .time_ns = 9};
	assert_int_equal(mst_writer_string(d.w, "here", 4, &a.name), 0);
	assert_int_equal(mst_writer_annotation(d.w, &a), 0);
	put(&d, 1, MST_OP_FREE, 0x1000, 0, 0);
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	lseek(d.fd, 0, SEEK_SET);
	assert_int_equal(mst_reader_open_fd(d.fd, NULL, &r, NULL), 0);
	assert_int_equal(mst_reader_next(r, &ev), 1);
	assert_int_equal(mst_reader_n_annotations(r), 1); /* the second stands behind this frame */
	assert_int_equal(mst_reader_annotation(r, 0)->kind, MST_ANNOTATION_PAUSE);
	assert_int_equal(mst_reader_annotation(r, 0)->event, 0);
	assert_int_equal(mst_reader_next(r, &ev), 1);
	got = mst_reader_annotation(r, 1);
	assert_non_null(got);
	assert_int_equal(got->event, 1);
	assert_int_equal(got->time_ns, 9);
	assert_int_equal(got->thread, 1);
	assert_string_equal(mst_reader_string(r, got->name, &(size_t){0}), "here");
	assert_null(mst_reader_annotation(r, 2));
	mst_reader_close(r);
	close(d.fd);
}

static void time_that_goes_back_is_marked_late(void **state)
{
	struct mst_event ev[3];
	struct desk d;

	(void)state;
	desk_open(&d);
	d.time_ns = 1000;
	put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 10);
	d.time_ns = 500;
	put(&d, 1, MST_OP_MALLOC, 0x2000, 0, 10);
	assert_int_equal(desk_close(&d, ev, 3), 2);
	assert_int_equal(ev[0].flags, 0);
	assert_int_equal(ev[1].flags, MST_EV_LATE);
	assert_int_equal(ev[1].time_ns, 501);
}

static void events_that_make_no_sense_are_refused_and_forgotten(void **state)
{
	struct mst_event bad[] = {
		{.op = 0, .thread = 1},
		{.op = 64, .thread = 1},
		{.op = MST_OP_MALLOC, .thread = 0},
		{.op = MST_OP_MALLOC, .thread = 9},
		{.op = MST_OP_MALLOC, .thread = 1, .stack = 5},
		{.op = MST_OP_MALLOC, .thread = 1, .size = UINT64_MAX},
	};
	struct mst_event ev[2];
	struct desk d;

	(void)state;
	desk_open(&d);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(mst_writer_event(d.w, &bad[i]), MST_EARG);
		assert_true(strlen(mst_writer_problem(d.w)->text) > 0);
	}
	put(&d, 1, MST_OP_MALLOC, 0x1000, 0, 10);
	assert_int_equal(desk_close(&d, ev, 2), 1);
}

/* ---- files ------------------------------------------------------------------------------------------------ */

static void two_threads_write_the_same_file_as_one(void **state)
{
	struct sample_options opt = {.n_events = 30000, .frame_events = 1000, .seed = 4};
	struct sample alone, together;

	(void)state;
	sample_make(&alone, &opt);
	opt.threaded = true;
	sample_make(&together, &opt);
	assert_int_equal(alone.len, together.len);
	assert_memory_equal(alone.bytes, together.bytes, alone.len);
	sample_release(&alone);
	sample_release(&together);
}

static void what_is_flushed_can_be_read_at_once(void **state)
{
	struct mst_reader *r;
	struct mst_event ev;
	struct desk d;

	(void)state;
	desk_open(&d);
	for (uint64_t i = 1; i <= 50; i++) {
		uint64_t n = 0;

		put(&d, 1, MST_OP_MALLOC, i * 0x1000, 0, 10);
		assert_int_equal(mst_writer_flush(d.w), 0);
		assert_int_equal(mst_reader_open_fd(d.fd, NULL, &r, NULL), 0);
		while (mst_reader_next(r, &ev) > 0)
			n++;
		assert_int_equal(n, i);
		mst_reader_close(r);
	}
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	close(d.fd);
}

static void a_frame_closes_after_its_span_of_time(void **state)
{
	struct mst_verify_result result;
	struct desk d;

	(void)state;
	desk_open(&d);
	for (uint64_t i = 0; i < 10; i++) {
		d.time_ns = i * 600000000;
		put(&d, 1, MST_OP_MALLOC, 0x1000 + i * 64, 0, 10);
	}
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	assert_int_equal(mst_verify(d.fd, &result, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(result.frames_by_kind[7], 5);
	close(d.fd);
}

static void copies_of_tables_fit_one_percent_and_verify(void **state)
{
	struct sample_options opt = {.n_events = 60000, .frame_events = 8000, .seed = 2};
	struct mst_verify_result result;
	struct sample s;
	int fd;

	(void)state;
	sample_make(&s, &opt);
	fd = sample_fd(s.bytes, s.len);
	assert_int_equal(mst_verify(fd, &result, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(result.frames_by_kind[1], 2);  /* HEADER */
	assert_true(result.frames_by_kind[2] >= 3);     /* PROC: as they came, their ends, the copy */
	close(fd);
	sample_release(&s);
}

static void a_full_disk_is_a_clean_failure_and_leaves_a_readable_prefix(void **state)
{
	char path[] = "/tmp/test_writer.XXXXXX";
	struct rlimit before, limit;
	struct mst_reader *r;
	struct mst_event ev;
	struct sample s;
	size_t n = 0;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = (struct rlimit){40000, before.rlim_max};
	for (unsigned threaded = 0; threaded < 2; threaded++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		lseek(fd, 0, SEEK_SET);
		setrlimit(RLIMIT_FSIZE, &limit);
		assert_int_equal(sample_write(&s, &(struct sample_options){.n_events = 40000, .frame_events = 500,
			.seed = 5, .threaded = threaded}, fd), MST_EIO);
		setrlimit(RLIMIT_FSIZE, &before);
		assert_int_equal(mst_reader_open_fd(fd, NULL, &r, NULL), 0);
		for (n = 0; mst_reader_next(r, &ev) > 0; n++)
			assert_true(sample_agrees(&s.events[n], &ev));
		assert_true(n > 500);
		mst_reader_close(r);
		sample_release(&s);
	}
	close(fd);
}

static void a_closed_pipe_is_a_clean_failure(void **state)
{
	struct sample s;
	int ends[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(sample_write(&s, &(struct sample_options){.n_events = 100, .seed = 5}, ends[1]), MST_EIO);
	close(ends[1]);
	sample_release(&s);
	assert_int_equal(mst_writer_close(NULL, true, 0, NULL), 0);
}

/* ---- the mapping layer ------------------------------------------------------------------------------------ */

static void put_map(struct desk *d, unsigned op, unsigned flags, const struct mst_map_call *call)
{
	struct mst_event ev = {.op = (uint8_t)op, .flags = (uint8_t)flags, .thread = 1, .time_ns = ++d->time_ns,
		.err = flags ? 12 : 0};

	assert_int_equal(mst_writer_map_event(d->w, &ev, call), 0);
	assert_int_equal(ev.alloc, 0);
}

static void mapping_calls_come_back_as_they_were_and_leave_the_heap_alone(void **state)
{
	static const struct mst_map_call calls[] = {
		{.addr = 0x7f0000001000, .length = 5000, .prot = 3, .flags = 0x22, .fd = -1, .begun = 2},
		{.addr = 0x1000, .length = UINT64_C(1) << 62, .prot = UINT32_MAX, .flags = UINT32_MAX, .fd = INT32_MAX,
			.offset = UINT64_MAX, .begun = 1},
		{.addr = UINT64_MAX, .length = 1, .old_addr = 1, .old_length = UINT64_MAX, .begun = 0},
	};
	static const uint8_t ops[] = {MST_OP_MMAP, MST_OP_MMAP, MST_OP_MREMAP};
	struct mst_replay *replay;
	struct mst_totals totals;
	struct mst_reader *r;
	struct mst_event ev;
	struct desk d;

	(void)state;
	desk_open(&d);
	put(&d, 1, MST_OP_MALLOC, 0x7f0000001000, 0, 10); /* at an address that is mapped over: another layer */
	put_map(&d, ops[0], 0, &calls[0]);
	put_map(&d, ops[1], MST_EV_FAILED, &calls[1]);
	put_map(&d, ops[2], 0, &calls[2]);
	put(&d, 1, MST_OP_FREE, 0x7f0000001000, 0, 0);
	mst_writer_totals(d.w, &totals);
	assert_int_equal(totals.events, 5);
	assert_int_equal(totals.failed, 0);
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	assert_int_equal(mst_reader_open_fd(d.fd, NULL, &r, NULL), 0);
	assert_int_equal(mst_replay_new(r, NULL, &replay), 0);
	for (unsigned i = 0; mst_reader_next(r, &ev) > 0; i++) {
		const struct mst_map_call *call = mst_reader_map_call(r, &ev);
		struct mst_map_call want;

		assert_int_equal(call != NULL, i >= 1 && i <= 3);
		if (call) {
			want = calls[i - 1];
			want.begun = i == 1 ? 1 : want.begun; /* cannot begin after its own event */
			assert_memory_equal(call, &want, sizeof(want));
			assert_int_equal(ev.addr, want.addr);
			assert_int_equal(ev.size, want.length);
			assert_int_equal(ev.err, i == 2 ? 12 : 0);
		}
		assert_int_equal(mst_replay_apply(replay, &ev), 0);
	}
	const struct mst_counters *c = mst_replay_totals(replay);
	assert_int_equal(c->allocs, 1);
	assert_int_equal(c->frees, 1);
	assert_int_equal(c->failed, 0);
	assert_int_equal(c->temporary, 1); /* nothing of the heap came between */
	assert_int_equal(c->peak_bytes, 10);
	mst_replay_free(replay);
	mst_reader_close(r);
	close(d.fd);
}

static void a_column_that_was_not_asked_for_gives_no_mapping_calls(void **state)
{
	const struct mst_map_call call = {.addr = 0x1000, .length = 1};
	struct mst_reader_options opt = {.columns = MST_COL_TIME};
	struct mst_reader *r;
	struct mst_event ev;
	struct desk d;

	(void)state;
	desk_open(&d);
	put_map(&d, MST_OP_MMAP, 0, &call);
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	assert_int_equal(mst_reader_open_fd(d.fd, &opt, &r, NULL), 0);
	assert_int_equal(mst_reader_next(r, &ev), 1);
	assert_null(mst_reader_map_call(r, &ev));
	mst_reader_close(r);
	opt.columns = MST_COL_MAPS; /* alone */
	assert_int_equal(mst_reader_open_fd(d.fd, &opt, &r, NULL), 0);
	assert_int_equal(mst_reader_next(r, &ev), 1);
	assert_int_equal(mst_reader_map_call(r, &ev)->addr, 0x1000);
	mst_reader_close(r);
	close(d.fd);
}

static void wrong_mapping_calls_and_regions_are_refused(void **state)
{
	struct mst_map_call call = {.addr = 0x1000, .length = 1, .file = 1};
	struct mst_event ev = {.op = MST_OP_MMAP, .thread = 1};
	struct mst_region region = {.process = 2, .start = 1, .end = 2};
	struct desk d;

	(void)state;
	desk_open(&d);
	assert_int_equal(mst_writer_map_event(d.w, &ev, &call), MST_EARG); /* no such file */
	call.file = 0;
	ev.op = MST_OP_MALLOC;
	assert_int_equal(mst_writer_map_event(d.w, &ev, &call), MST_EARG);
	assert_int_equal(mst_writer_region(d.w, &region), MST_EARG); /* no such process */
	region.process = 1;
	assert_int_equal(mst_writer_region(d.w, &region), 0);
	region.end = 0;
	assert_int_equal(mst_writer_region(d.w, &region), MST_EARG);
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	close(d.fd);
}

/* ---- the pool layer --------------------------------------------------------------------------------------- */

static struct mst_pool_call put_pool(struct desk *d, unsigned op, uint32_t pool, uint64_t addr, uint64_t old_addr,
	uint64_t size)
{
	struct mst_event ev = {.op = (uint8_t)op, .thread = 1, .time_ns = ++d->time_ns, .flags = addr ? 0 : MST_EV_FAILED};
	struct mst_pool_call call = {.pool = pool, .addr = addr, .old_addr = old_addr, .size = size};

	assert_int_equal(mst_writer_pool_event(d->w, &ev, &call), 0);
	assert_int_equal(ev.alloc, 0);
	return call;
}

static void put_two_pools(struct desk *d, struct mst_pool_call *calls)
{
	uint32_t a, b;

	desk_open(d);
	assert_int_equal(mst_writer_string(d->w, "arena", 5, &a), 0);
	assert_int_equal(mst_writer_string(d->w, "slab", 4, &b), 0);
	put(d, 1, MST_OP_MALLOC, 0x1000, 0, 64); /* a block of the heap, and a pool's in it */
	calls[0] = put_pool(d, MST_OP_POOL_ALLOC, a, 0x1000, 0, 10);
	calls[1] = put_pool(d, MST_OP_POOL_ALLOC, b, 0x1000, 0, 20); /* and another's in that */
	calls[2] = put_pool(d, MST_OP_POOL_REALLOC, a, 0x1010, 0x1000, 30);
	calls[3] = put_pool(d, MST_OP_POOL_ALLOC, a, 0, 0, 40); /* fails */
	calls[4] = put_pool(d, MST_OP_POOL_FREE, a, 0x1000, 0, 0); /* is b's */
	assert_int_equal(mst_writer_pool_knows(d->w, 1, b, 0x1000), 1);
	calls[5] = put_pool(d, MST_OP_POOL_REALLOC_FREE, b, 0x1000, 0, 0);
	assert_int_equal(mst_writer_pool_knows(d->w, 1, b, 0x1000), 0);
	calls[6] = put_pool(d, MST_OP_POOL_REALLOC, a, 0x1020, 0, UINT64_C(1) << 40);
	calls[7] = put_pool(d, MST_OP_POOL_FREE, a, 0x1010, 0, 0);
	put(d, 1, MST_OP_FREE, 0x1000, 0, 0);
}

static void pool_calls_come_back_with_blocks_of_their_own_and_leave_the_heap_alone(void **state)
{
	static const struct {
		uint64_t alloc, freed;
	} want[] = {{1, 0}, {2, 0}, {3, 1}, {0, 0}, {0, 0}, {0, 2}, {4, 0}, {0, 3}};
	struct mst_pool_call calls[8];
	struct mst_replay *replay;
	struct mst_totals totals;
	struct mst_reader *r;
	struct mst_event ev;
	struct desk d;

	(void)state;
	put_two_pools(&d, calls);
	mst_writer_totals(d.w, &totals);
	assert_int_equal(totals.events, 10);
	assert_int_equal(totals.failed, 0);
	assert_int_equal(totals.overlaps, 0);
	assert_int_equal(totals.unknown_frees, 0);
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	assert_int_equal(mst_reader_open_fd(d.fd, NULL, &r, NULL), 0);
	assert_int_equal(mst_replay_new(r, NULL, &replay), 0);
	for (unsigned i = 0; mst_reader_next(r, &ev) > 0; i++) {
		const struct mst_pool_call *call = mst_reader_pool_call(r, &ev);

		assert_int_equal(call != NULL, i >= 1 && i <= 8);
		if (call) {
			assert_int_equal(call->pool, calls[i - 1].pool);
			assert_int_equal(call->addr, calls[i - 1].addr);
			assert_int_equal(call->old_addr, calls[i - 1].old_addr);
			assert_int_equal(call->size, calls[i - 1].size);
			assert_int_equal(call->alloc, want[i - 1].alloc);
			assert_int_equal(call->freed, want[i - 1].freed);
			assert_int_equal(ev.size, call->size);
			assert_int_equal(ev.alloc, 0);
		}
		assert_int_equal(mst_replay_apply(replay, &ev), 0);
	}
	const struct mst_counters *c = mst_replay_totals(replay);
	assert_int_equal(c->allocs, 1);
	assert_int_equal(c->frees, 1);
	assert_int_equal(c->failed, 0);
	assert_int_equal(c->temporary, 1);
	assert_int_equal(c->peak_bytes, 64);
	mst_replay_free(replay);
	mst_reader_close(r);
	close(d.fd);
}

static void a_pool_is_replayed_by_its_name(void **state)
{
	struct mst_reader_options opt = {.columns = MST_COL_POOLS | MST_COL_TIME};
	struct mst_replay_options only = {.only_pool = "arena"}, none = {.only_pool = "aren"};
	struct mst_replay *replay, *nobody;
	struct mst_pool_call calls[8];
	const struct mst_event *events;
	struct mst_reader *r;
	struct desk d;
	size_t n;

	(void)state;
	put_two_pools(&d, calls);
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	assert_int_equal(mst_reader_open_fd(d.fd, &opt, &r, NULL), 0);
	assert_int_equal(mst_replay_new(r, &only, &replay), 0);
	assert_int_equal(mst_replay_new(r, &none, &nobody), 0);
	while (mst_reader_next_batch(r, &events, &n) > 0) {
		assert_int_equal(mst_replay_apply_batch(replay, events, n), 0);
		assert_int_equal(mst_replay_apply_batch(nobody, events, n), 0);
	}
	const struct mst_counters *c = mst_replay_totals(replay);
	assert_int_equal(c->allocs, 3);
	assert_int_equal(c->frees, 3); /* one of them of an unknown block */
	assert_int_equal(mst_replay_foreign_frees(replay), 1);
	assert_int_equal(c->failed, 1);
	assert_int_equal(c->live_blocks, 1);
	assert_int_equal(c->live_bytes, UINT64_C(1) << 40);
	assert_int_equal(c->peak_bytes, (UINT64_C(1) << 40) + 30);
	assert_int_equal(mst_replay_totals(nobody)->allocs, 0);
	mst_replay_free(nobody);
	mst_replay_free(replay);
	mst_reader_close(r);
	close(d.fd);
}

static void a_forked_child_inherits_what_pools_hold(void **state)
{
	struct mst_process child = {.pid = 2, .parent = 1, .origin = MST_ORIGIN_FORK};
	struct mst_thread thread = {.process = 2, .tid = 2, .end_ns = UINT64_MAX};
	struct mst_pool_call call;
	struct mst_event ev = {.op = MST_OP_POOL_FREE};
	uint32_t pool, id;
	uint64_t token;
	struct desk d;

	(void)state;
	desk_open(&d);
	assert_int_equal(mst_writer_string(d.w, "arena", 5, &pool), 0);
	put_pool(&d, MST_OP_POOL_ALLOC, pool, 0x1000, 0, 10);
	assert_int_equal(mst_writer_fork_point(d.w, 1, &token), 0);
	put_pool(&d, MST_OP_POOL_ALLOC, pool, 0x2000, 0, 10); /* after the fork */
	assert_int_equal(mst_writer_process_forked(d.w, &child, token, &id), 0);
	thread.process = id;
	assert_int_equal(mst_writer_thread(d.w, &thread, &ev.thread), 0);
	call = (struct mst_pool_call){.pool = pool, .addr = 0x1000};
	assert_int_equal(mst_writer_pool_event(d.w, &ev, &call), 0);
	assert_int_equal(call.freed, 1);
	call.addr = 0x2000;
	assert_int_equal(mst_writer_pool_event(d.w, &ev, &call), 0);
	assert_int_equal(call.freed, 0);
	assert_int_equal(mst_writer_pool_knows(d.w, 1, pool, 0x1000), 1); /* the parent's copy */
	assert_int_equal(put_pool(&d, MST_OP_POOL_FREE, pool, 0x1000, 0, 0).freed, 1);
	assert_int_equal(mst_writer_fork_point(d.w, 1, &token), 0);
	mst_writer_fork_drop(d.w, token);
	assert_int_equal(mst_writer_process_end(d.w, id, &(struct mst_process){.fate = MST_FATE_EXITED}), 0);
	assert_int_equal(mst_writer_pool_knows(d.w, id, pool, 0x1000), 0);
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	close(d.fd);
}

static void wrong_pool_calls_are_refused(void **state)
{
	struct mst_pool_call call = {.pool = 1, .addr = 0x1000};
	struct mst_event ev = {.op = MST_OP_POOL_ALLOC, .thread = 1};
	struct desk d;
	uint32_t pool;

	(void)state;
	desk_open(&d);
	assert_int_equal(mst_writer_pool_event(d.w, &ev, &call), MST_EARG); /* no such name */
	assert_int_equal(mst_writer_string(d.w, "arena", 5, &pool), 0);
	call.pool = 0;
	assert_int_equal(mst_writer_pool_event(d.w, &ev, &call), MST_EARG);
	call.pool = pool;
	ev.op = MST_OP_MALLOC;
	assert_int_equal(mst_writer_pool_event(d.w, &ev, &call), MST_EARG);
	assert_int_equal(mst_writer_close(d.w, true, 0, NULL), 0);
	close(d.fd);
}

/* A writer with two threads of two processes and many frames. */
static int open_for_runs(struct mst_writer **w)
{
	struct mst_writer_options opt = {.header = {.has_addresses = true, .time_shift = 3}, .file_id = 1,
		.frame_events = 3000, .frame_ns = 40000};
	int fd = sample_fd((const uint8_t *)"", 0);
	uint32_t id;

	assert_int_equal(mst_writer_open(fd, &opt, w), 0);
	for (uint32_t n = 1; n <= 2; n++) {
		struct mst_process p = {.pid = n, .origin = MST_ORIGIN_START};
		struct mst_thread t = {.process = n, .tid = n, .end_ns = UINT64_MAX};

		assert_int_equal(mst_writer_process(*w, &p, &id), 0);
		assert_int_equal(mst_writer_thread(*w, &t, &id), 0);
	}
	for (uint32_t code = 1; code <= 3; code++) {
		assert_int_equal(mst_writer_code(*w, 0, code, &id), 0);
		assert_int_equal(mst_writer_stack(*w, MST_STACK_NONE, id, &id), 0);
	}
	return fd;
}

static uint8_t *read_all(int fd, size_t *len)
{
	struct stat st;
	uint8_t *bytes;

	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	bytes = malloc(*len);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, *len, 0), (ssize_t)*len);
	return bytes;
}

/* Any call: releases of blocks that live or not, with right and wrong sizes, and times that seldom go back. */
static struct mst_call any_call(uint64_t *time_ns)
{
	static const uint8_t ops[] = {MST_OP_MALLOC, MST_OP_NEW, MST_OP_FREE, MST_OP_DELETE, MST_OP_DELETE_SIZED,
		MST_OP_REALLOC, MST_OP_REALLOC_FREE, MST_OP_REALLOC_BEGIN, MST_OP_REALLOC_END, MST_OP_MALLOC, MST_OP_FREE};
	unsigned op = ops[(unsigned)rand() % sizeof(ops)];
	uint64_t n = (uint64_t)rand() % 300;

	*time_ns += (uint64_t)rand() % 30;
	return (struct mst_call){
		.time_ns = rand() % 100 ? *time_ns : *time_ns / 2,
		.size = 16 * (n % 7),
		.addr = rand() % 50 ? 0x1000 + 48 * n : 0,
		.old_addr = op == MST_OP_REALLOC ? 0x1000 + 48 * ((uint64_t)rand() % 300) : 0,
		.stack = (uint32_t)rand() % 5,
		.op = op,
	};
}

static void calls_by_the_run_make_the_same_file(void **state)
{
	struct mst_call calls[200];
	struct mst_totals a, b;
	struct mst_writer *runs, *single;
	uint64_t time_ns = 0;
	int fds[] = {open_for_runs(&runs), open_for_runs(&single)};
	size_t len[2];
	uint8_t *bytes[2];

	(void)state;
	srand(4);
	for (unsigned round = 0; round < 300; round++) {
		uint32_t thread = 1 + (uint32_t)rand() % 2, n = (uint32_t)rand() % 200;

		for (uint32_t i = 0; i < n; i++)
			calls[i] = any_call(&time_ns);
		assert_int_equal(mst_writer_calls(runs, thread, calls, n), 0);
		for (uint32_t i = 0; i < n; i++) {
			struct mst_event ev = {.thread = thread, .op = (uint8_t)calls[i].op, .time_ns = calls[i].time_ns,
				.size = calls[i].size, .addr = calls[i].addr, .old_addr = calls[i].old_addr,
				.stack = calls[i].stack};
			assert_int_equal(mst_writer_event(single, &ev), 0);
		}
	}
	assert_int_equal(mst_writer_flush(runs), 0);
	assert_int_equal(mst_writer_flush(single), 0);
	mst_writer_totals(runs, &a);
	mst_writer_totals(single, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_true(a.events > 20000 && a.frees > 1000 && a.live_blocks > 0);
	assert_int_equal(mst_writer_close(runs, true, 0, NULL), 0);
	assert_int_equal(mst_writer_close(single, true, 0, NULL), 0);
	for (int i = 0; i < 2; i++) {
		bytes[i] = read_all(fds[i], &len[i]);
		close(fds[i]);
	}
	assert_int_equal(len[0], len[1]);
	assert_memory_equal(bytes[0], bytes[1], len[0]);
	free(bytes[0]);
	free(bytes[1]);
}

static void a_call_that_makes_no_sense_ends_its_run(void **state)
{
	const struct mst_call good = {.op = MST_OP_MALLOC, .addr = 0x1000, .size = 1, .time_ns = 1};
	struct mst_call calls[3] = {good, good, good};
	struct mst_event ev[4];
	struct desk d;

	(void)state;
	desk_open(&d);
	calls[1].op = MST_OP_MAX + 1;
	assert_int_equal(mst_writer_calls(d.w, 1, calls, 3), MST_EARG);
	calls[1].op = 0;
	assert_int_equal(mst_writer_calls(d.w, 1, calls + 1, 2), MST_EARG);
	calls[1] = good;
	calls[1].stack = 1000;
	assert_int_equal(mst_writer_calls(d.w, 1, calls, 3), MST_EARG);
	assert_int_equal(mst_writer_calls(d.w, 2, &good, 1), MST_EARG);
	assert_int_equal(mst_writer_calls(d.w, 1, NULL, 0), 0);
	assert_int_equal(desk_close(&d, ev, 4), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_release_names_the_block_it_ends),
		cmocka_unit_test(mapping_calls_come_back_as_they_were_and_leave_the_heap_alone),
		cmocka_unit_test(a_column_that_was_not_asked_for_gives_no_mapping_calls),
		cmocka_unit_test(wrong_mapping_calls_and_regions_are_refused),
		cmocka_unit_test(pool_calls_come_back_with_blocks_of_their_own_and_leave_the_heap_alone),
		cmocka_unit_test(a_pool_is_replayed_by_its_name),
		cmocka_unit_test(a_forked_child_inherits_what_pools_hold),
		cmocka_unit_test(wrong_pool_calls_are_refused),
		cmocka_unit_test(a_forked_child_releases_what_it_inherited),
		cmocka_unit_test(an_address_acquired_twice_is_an_overlap),
		cmocka_unit_test(an_exec_starts_with_nothing),
		cmocka_unit_test(what_lives_is_known_at_once),
		cmocka_unit_test(annotations_stand_before_the_event_that_comes_next),
		cmocka_unit_test(time_that_goes_back_is_marked_late),
		cmocka_unit_test(events_that_make_no_sense_are_refused_and_forgotten),
		cmocka_unit_test(calls_by_the_run_make_the_same_file),
		cmocka_unit_test(a_call_that_makes_no_sense_ends_its_run),
		cmocka_unit_test(two_threads_write_the_same_file_as_one),
		cmocka_unit_test(what_is_flushed_can_be_read_at_once),
		cmocka_unit_test(a_frame_closes_after_its_span_of_time),
		cmocka_unit_test(copies_of_tables_fit_one_percent_and_verify),
		cmocka_unit_test(a_full_disk_is_a_clean_failure_and_leaves_a_readable_prefix),
		cmocka_unit_test(a_closed_pipe_is_a_clean_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_reader.c - what was written comes back: from files, pipes, growing files; by name, in order, after a seek. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sample_trace.h"

static const struct sample_options usual = {.n_events = 20000, .frame_events = 3000, .seed = 1};

/* Reads to the end and holds every event against the sample's, from number `first` on. */
static void read_all(struct mst_reader *r, const struct sample *s, size_t first)
{
	struct mst_event ev;
	size_t i = first;
	int rc;

	while ((rc = mst_reader_next(r, &ev)) > 0) {
		assert_true(i < s->n_events);
		if (!sample_agrees(&s->events[i], &ev))
			fail_msg("event %zu differs", i);
		i++;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(i, s->n_events);
}

static struct mst_reader *open_bytes(const struct sample *s, int *fd, const struct mst_reader_options *opt)
{
	struct mst_reader *r;

	*fd = sample_fd(s->bytes, s->len);
	assert_int_equal(mst_reader_open_fd(*fd, opt, &r, NULL), 0);
	return r;
}

static void no_damage(const struct mst_reader *r)
{
	struct mst_loss loss;

	mst_reader_loss(r, &loss);
	assert_int_equal(loss.places, 0);
	assert_int_equal(loss.events, 0);
	assert_false(loss.is_truncated);
}

static void every_event_comes_back(void **state)
{
	const uint32_t frame_events[] = {1, 7, 512, 3000, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(frame_events) / sizeof(frame_events[0]); i++) {
		struct sample_options opt = {
			.n_events = 4000, .frame_events = frame_events[i], .seed = 10 + (uint32_t)i};
		struct sample s;
		struct mst_reader *r;
		int fd;

		sample_make(&s, &opt);
		r = open_bytes(&s, &fd, NULL);
		read_all(r, &s, 0);
		no_damage(r);
		mst_reader_close(r);
		close(fd);
		sample_release(&s);
	}
}

static void addresses_of_acquisitions_and_of_releases_in_the_same_frame_come_back(void **state)
{
	struct sample s;
	struct mst_reader *r;
	struct mst_event ev;
	size_t releases = 0;
	int fd;

	(void)state;
	sample_make(&s, &(struct sample_options){.n_events = 500, .seed = 3});
	r = open_bytes(&s, &fd, NULL);
	for (size_t i = 0; mst_reader_next(r, &ev) > 0; i++) {
		assert_int_equal(ev.addr, s.events[i].addr);
		assert_int_equal(ev.old_addr, s.events[i].old_addr);
		releases += ev.freed != 0;
	}
	assert_true(releases > 50);
	mst_reader_close(r);
	close(fd);
	sample_release(&s);
}

static void a_trace_without_addresses_keeps_identities(void **state)
{
	struct sample s;
	struct mst_reader *r;
	struct mst_event ev;
	int fd;

	(void)state;
	sample_make(&s, &(struct sample_options){.n_events = 500, .seed = 3, .no_addresses = true});
	r = open_bytes(&s, &fd, NULL);
	assert_false(mst_reader_header(r)->has_addresses);
	for (size_t i = 0; mst_reader_next(r, &ev) > 0; i++) {
		assert_true(sample_agrees(&s.events[i], &ev));
		assert_true(ev.alloc == 0 || ev.addr == 0);
	}
	mst_reader_close(r);
	close(fd);
	sample_release(&s);
}

static void columns_not_asked_for_are_zero(void **state)
{
	struct mst_reader_options opt = {.columns = MST_COL_SIZE};
	struct sample s;
	struct mst_reader *r;
	struct mst_event ev;
	int fd;

	(void)state;
	sample_make(&s, &usual);
	r = open_bytes(&s, &fd, &opt);
	for (size_t i = 0; mst_reader_next(r, &ev) > 0; i++) {
		assert_int_equal(ev.alloc, s.events[i].alloc);
		assert_int_equal(ev.size, s.events[i].size);
		assert_int_equal(ev.thread, s.events[i].thread);
		assert_int_equal(ev.op, s.events[i].op);
		assert_int_equal(ev.time_ns | ev.stack | ev.freed | ev.addr | ev.old_addr | ev.align | ev.err, 0);
	}
	mst_reader_close(r);
	close(fd);
	sample_release(&s);
}

static void batches_hold_the_same_events(void **state)
{
	const struct mst_event *events;
	struct sample s;
	struct mst_reader *r;
	size_t n, at = 0;
	int fd;

	(void)state;
	sample_make(&s, &usual);
	r = open_bytes(&s, &fd, NULL);
	while (mst_reader_next_batch(r, &events, &n) > 0) {
		assert_true(n > 0 && n <= 65536);
		for (size_t i = 0; i < n; i++)
			assert_true(sample_agrees(&s.events[at + i], &events[i]));
		at += n;
	}
	assert_int_equal(at, s.n_events);
	mst_reader_close(r);
	close(fd);
	sample_release(&s);
}

static void check_names(const struct mst_reader *r)
{
	const struct mst_symbol *symbols;
	size_t len, n;

	assert_int_equal(mst_reader_n_processes(r), 3);
	assert_int_equal(mst_reader_process(r, 1)->pid, 4001);
	assert_int_equal(mst_reader_process(r, 1)->fate, MST_FATE_EXITED);
	assert_int_equal(mst_reader_process(r, 1)->status, 3);
	assert_int_equal(mst_reader_process(r, 2)->origin, MST_ORIGIN_FORK);
	assert_int_equal(mst_reader_process(r, 2)->parent, 1);
	assert_true(mst_reader_process(r, 2)->end_event == UINT64_MAX);
	assert_string_equal(mst_reader_string(r, mst_reader_process(r, 1)->exe, &len), "/usr/lib/libsample.so.1");
	assert_int_equal(len, strlen("/usr/lib/libsample.so.1"));
	assert_int_equal(mst_reader_n_threads(r), 5);
	assert_string_equal(mst_reader_string(r, mst_reader_thread(r, 1)->name, NULL), "worker\xff thread");
	assert_int_equal(mst_reader_thread(r, 1)->lost_events, 2);
	assert_true(mst_reader_thread(r, 2)->end_ns == UINT64_MAX);
	assert_int_equal(mst_reader_n_modules(r), 1);
	assert_int_equal(mst_reader_module(r, 1)->build_id_len, 20);
	assert_int_equal(mst_reader_module(r, 1)->build_id[3], 4);
	assert_int_equal(mst_reader_n_mappings(r), 3);
	assert_true(mst_reader_mapping(r, 0)->unload_ns != UINT64_MAX);
	assert_true(mst_reader_mapping(r, 1)->unload_ns == UINT64_MAX);
	assert_true(mst_reader_mapping(r, 1)->bias == 0x7f0000000000);
	symbols = mst_reader_symbols(r, 3, &n);
	assert_int_equal(n, 2);
	assert_true(symbols[0].is_inlined && !symbols[1].is_inlined);
	assert_int_equal(symbols[0].line, 42);
	assert_string_equal(mst_reader_string(r, symbols[0].file, NULL), "sample.c");
	mst_reader_symbols(r, 2, &n);
	assert_int_equal(n, 0);
	assert_int_equal(mst_reader_n_lost(r), 1);
	assert_int_equal(mst_reader_lost(r, 0)->events, 2);
	assert_null(mst_reader_stack(r, 1));
	assert_int_equal(mst_reader_stack(r, 2)->parent, MST_STACK_NONE);
	assert_null(mst_reader_process(r, 4));
	assert_string_equal(mst_reader_string(r, 9999, &len), "");
	assert_int_equal(len, 0);
}

static void names_are_complete_after_the_last_event(void **state)
{
	struct sample s;
	struct mst_reader *r;
	int fd;

	(void)state;
	sample_make(&s, &usual);
	r = open_bytes(&s, &fd, NULL);
	read_all(r, &s, 0);
	check_names(r);
	mst_reader_close(r);
	close(fd);
	sample_release(&s);
}

static void names_are_complete_after_load_tables_and_stay_so(void **state)
{
	struct sample s;
	struct mst_reader *r;
	int fd;

	(void)state;
	sample_make(&s, &usual);
	for (unsigned with_index = 0; with_index < 2; with_index++) {
		if (!with_index)
			s.len -= 168; /* END gone: the headers have to be walked */
		r = open_bytes(&s, &fd, NULL);
		assert_int_equal(mst_reader_load_tables(r), 0);
		check_names(r);
		read_all(r, &s, 0);
		check_names(r);
		assert_int_equal(mst_reader_rewind(r), 0);
		read_all(r, &s, 0);
		check_names(r);
		mst_reader_close(r);
		close(fd);
		if (!with_index)
			s.len += 168;
	}
	sample_release(&s);
}

static void header_and_end_tell_the_facts(void **state)
{
	const struct mst_totals *t;
	const struct mst_header *h;
	struct sample s;
	struct mst_reader *r;
	int fd;

	(void)state;
	sample_make(&s, &usual);
	r = open_bytes(&s, &fd, NULL);
	h = mst_reader_header(r);
	assert_string_equal(h->tool, "sample 1");
	assert_int_equal(h->cmdline_len, 3);
	assert_memory_equal(h->cmdline, "a\0b", 4);
	assert_int_equal(h->format_major, 1);
	assert_int_equal(h->time_shift, 8);
	assert_null(mst_reader_end(r));
	read_all(r, &s, 0);
	t = mst_reader_end(r);
	assert_non_null(t);
	assert_int_equal(t->events, s.totals.events);
	assert_int_equal(t->allocs, s.totals.allocs);
	assert_int_equal(t->frees, s.totals.frees);
	assert_int_equal(t->failed, s.totals.failed);
	assert_int_equal(t->live_blocks, s.totals.live_blocks);
	assert_int_equal(t->live_bytes, s.totals.live_bytes);
	assert_int_equal(t->allocated_bytes, s.totals.allocated_bytes);
	assert_int_equal(t->lost_events, 2);
	assert_int_equal(t->exit_status, 3);
	assert_true(t->is_clean);
	mst_reader_close(r);
	close(fd);
	sample_release(&s);
}

static void seek_gives_the_first_event_at_or_after_the_time(void **state)
{
	struct sample s;
	struct mst_reader *r;
	struct mst_event ev;
	int fd;

	(void)state;
	sample_make(&s, &usual);
	r = open_bytes(&s, &fd, NULL);
	for (size_t i = 0; i < s.n_events; i += 1777) {
		uint64_t t = s.events[i].time_ns;
		size_t first = 0;

		while (s.events[first].time_ns < t)
			first++;
		assert_int_equal(mst_reader_seek_time(r, t), 0);
		assert_int_equal(mst_reader_next(r, &ev), 1);
		assert_int_equal(ev.number, first);
		read_all(r, &s, first + 1);
		no_damage(r);
	}
	assert_int_equal(mst_reader_seek_time(r, UINT64_MAX / 4), 0);
	assert_int_equal(mst_reader_next(r, &ev), 0);
	mst_reader_close(r);
	close(fd);
	sample_release(&s);
}

/* ---- pipes and growing files ------------------------------------------------------------------------------ */

struct feeder {
	int fd;
	const struct sample *sample;
	size_t piece;
	bool slowly, closes;
};

static void *feed(void *arg)
{
	const struct feeder *f = arg;
	size_t done = 0;

	while (done < f->sample->len) {
		size_t n = f->sample->len - done < f->piece ? f->sample->len - done : f->piece;
		ssize_t got = write(f->fd, f->sample->bytes + done, n);
		if (got <= 0)
			break;
		done += (size_t)got;
		if (f->slowly)
			nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	if (f->closes)
		close(f->fd);
	return NULL;
}

static void a_pipe_gives_the_same_events(void **state)
{
	const size_t pieces[] = {13, 4096, 100000};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sample s;
		struct mst_reader *r;
		pthread_t thread;
		struct feeder feeder;
		int ends[2];

		sample_make(&s, &usual);
		assert_int_equal(pipe(ends), 0);
		feeder = (struct feeder){.fd = ends[1], .sample = &s, .piece = pieces[i], .closes = true};
		assert_int_equal(pthread_create(&thread, NULL, feed, &feeder), 0);
		assert_int_equal(mst_reader_open_fd(ends[0], NULL, &r, NULL), 0);
		assert_int_equal(mst_reader_load_tables(r), MST_EARG);
		assert_int_equal(mst_reader_rewind(r), MST_EARG);
		read_all(r, &s, 0);
		pthread_join(thread, NULL);
		no_damage(r);
		check_names(r);
		mst_reader_close(r);
		close(ends[0]);
		sample_release(&s);
	}
}

static void a_growing_file_is_followed_to_its_end(void **state)
{
	struct mst_reader_options opt = {.follow = true};
	struct sample s;
	struct mst_reader *r;
	pthread_t thread;
	struct feeder feeder;
	int fd = sample_fd((const uint8_t *)"", 0);

	(void)state;
	sample_make(&s, &usual);
	feeder = (struct feeder){.fd = fd, .sample = &s, .piece = s.len / 20, .slowly = true};
	assert_int_equal(pthread_create(&thread, NULL, feed, &feeder), 0);
	assert_int_equal(mst_reader_open_fd(fd, &opt, &r, NULL), 0);
	read_all(r, &s, 0);
	no_damage(r);
	pthread_join(thread, NULL);
	mst_reader_close(r);
	close(fd);
	sample_release(&s);
}

/* ---- what is no trace ------------------------------------------------------------------------------------- */

static void what_is_no_trace_is_refused(void **state)
{
	const char *const texts[] = {"", "x", "hello, this is not a trace at all, however long it may go on and on and on",
		"\x8aMST\r\n\x1a\n"};
	struct mst_problem problem;
	struct mst_reader *r;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		int fd = sample_fd((const uint8_t *)texts[i], strlen(texts[i]));

		assert_int_equal(mst_reader_open_fd(fd, NULL, &r, &problem), MST_ENOTRACE);
		assert_null(r);
		assert_int_equal(problem.code, MST_ENOTRACE);
		assert_true(strlen(problem.text) > 0);
		close(fd);
	}
	assert_int_equal(mst_reader_open("/nonexistent/trace.mst", NULL, &r, &problem), MST_EIO);
	assert_int_equal(problem.os_errno, 2);
	mst_reader_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_comes_back),
		cmocka_unit_test(addresses_of_acquisitions_and_of_releases_in_the_same_frame_come_back),
		cmocka_unit_test(a_trace_without_addresses_keeps_identities),
		cmocka_unit_test(columns_not_asked_for_are_zero),
		cmocka_unit_test(batches_hold_the_same_events),
		cmocka_unit_test(names_are_complete_after_the_last_event),
		cmocka_unit_test(names_are_complete_after_load_tables_and_stay_so),
		cmocka_unit_test(header_and_end_tell_the_facts),
		cmocka_unit_test(seek_gives_the_first_event_at_or_after_the_time),
		cmocka_unit_test(a_pipe_gives_the_same_events),
		cmocka_unit_test(a_growing_file_is_followed_to_its_end),
		cmocka_unit_test(what_is_no_trace_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

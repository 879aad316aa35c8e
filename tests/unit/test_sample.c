/* test_sample.c - samples keep their numbers, their place among the events, and what is not known. */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "format.h"
#include "sample_trace.h"

static void set(struct mst_sample *s, unsigned field, uint64_t value)
{
	s->known |= UINT64_C(1) << field;
	s->value[field] = value;
}

/* n samples of three processes, a group and the recorder in turn, with gaps in what is known. */
static struct mst_sample *make(uint32_t n)
{
	struct mst_sample *s = calloc(n, sizeof(*s));
	uint64_t seed = 12345;

	for (uint32_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		s[i].process = i % 5 < 3 ? i % 5 + 1 : 0;
		s[i].group = i % 5 == 3 ? 7 : 0;
		s[i].time_ns = i / 5 * UINT64_C(10000000);
		s[i].event = i / 2;
		s[i].cost_ns = seed >> 50;
		set(&s[i], MST_SAMPLE_RSS, (seed >> 40) * 4096);
		if (i % 3)
			set(&s[i], MST_SAMPLE_PSS, (seed >> 41) * 1024);
		if (i % 5 == 3)
			set(&s[i], MST_SAMPLE_GROUP_MAX, i % 2 ? MST_NO_LIMIT : 1);
		set(&s[i], MST_SAMPLE_MAJOR_FAULTS, 0);
	}
	return s;
}

static void assert_same(const struct mst_sample *a, const struct mst_sample *b)
{
	assert_int_equal(a->process, b->process);
	assert_int_equal(a->group, b->group);
	assert_int_equal(a->time_ns, b->time_ns);
	assert_int_equal(a->event, b->event);
	assert_int_equal(a->cost_ns, b->cost_ns);
	assert_int_equal(a->known, b->known);
	assert_memory_equal(a->value, b->value, sizeof(a->value));
}

static void a_frame_gives_its_samples_back(void **state)
{
	static const uint32_t sizes[] = {1, 2, 5, 100, MST_SAMPLES_MAX};

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
		struct mst_sample *s = make(sizes[k]);
		struct mst_buffer out = {0};
		struct mst_samples got = {0};
		const char *why;

		assert_int_equal(mst_samples_encode(s, sizes[k], &out), 0);
		assert_int_equal(mst_samples_decode(out.bytes, out.len, sizes[k], &got, &why), 0);
		assert_int_equal(got.n, sizes[k]);
		for (uint32_t i = 0; i < sizes[k]; i++)
			assert_same(&s[i], &got.items[i]);
		mst_samples_release(&got);
		mst_buffer_release(&out);
		free(s);
	}
}

static void unknown_is_not_zero(void **state)
{
	struct mst_sample s[2] = {{.process = 1}, {.process = 1}};
	struct mst_buffer out = {0};
	struct mst_samples got = {0};
	const char *why;
	uint64_t uss;

	(void)state;
	set(&s[0], MST_SAMPLE_PRIVATE_CLEAN, 0);
	set(&s[1], MST_SAMPLE_PRIVATE_CLEAN, 4096);
	set(&s[1], MST_SAMPLE_PRIVATE_DIRTY, 8192);
	assert_int_equal(mst_samples_encode(s, 2, &out), 0);
	assert_int_equal(mst_samples_decode(out.bytes, out.len, 2, &got, &why), 0);
	assert_true(got.items[0].known >> MST_SAMPLE_PRIVATE_CLEAN & 1);
	assert_false(got.items[0].known >> MST_SAMPLE_PRIVATE_DIRTY & 1);
	assert_false(mst_sample_uss(&got.items[0], &uss));
	assert_true(mst_sample_uss(&got.items[1], &uss));
	assert_int_equal(uss, 12288);
	mst_samples_release(&got);
	mst_buffer_release(&out);
}

static void a_cut_payload_is_damage(void **state)
{
	struct mst_sample *s = make(20);
	struct mst_buffer out = {0};
	const char *why;

	(void)state;
	assert_int_equal(mst_samples_encode(s, 20, &out), 0);
	for (size_t len = 0; len < out.len; len++) {
		uint8_t *cut = malloc(len + 1); /* its own allocation: a sanitizer sees any byte read beyond it */
		struct mst_samples got = {0};

		memcpy(cut, out.bytes, len);
		assert_int_equal(mst_samples_decode(cut, len, 20, &got, &why), MST_EDAMAGED);
		assert_int_equal(got.n, 0);
		mst_samples_release(&got);
		free(cut);
	}
	mst_buffer_release(&out);
	free(s);
}

static void lies_are_damage(void **state)
{
	static const struct {
		uint32_t n;
		const char *bytes;
		size_t len;
	} lies[] = {
		{0, "\1\1\0\0\0\0\0\0", 8},                                   /* no samples */
		{1, "\0\0\0\0\0\0", 6},                                       /* no subject */
		{1, "\2\1\1\0\0\0\0\0\0\0", 10},                              /* more subjects than samples */
		{1, "\1\1\0\1\0\0\0\0", 8},                                   /* a subject that is not there */
		{1, "\1\1\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0\0\0", 17}, /* a time of 2^64-1 */
		{1, "\1\1\0\0\0\0\0\1\0\2\0\1", 12},                          /* field 0 */
		{1, "\1\1\0\0\0\0\0\1\1\3\0\1\1", 13},                        /* a byte too many in a column */
		{1, "\1\1\0\0\0\0\0\1\1\2\x1f\1", 12},                        /* a shift of 31 */
		{1, "\1\1\0\0\0\0\0\1\1\2\0\2", 12},                          /* a value of -1 */
		{1, "\1\1\0\0\0\0\0\2\1\2\0\1\1\2\0\1", 16},                  /* the same field twice */
		{1, "\1\1\0\0\0\0\0\xff\xff\xff\x7f\1\2\0\1", 15},            /* many fields, of which one is there */
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct mst_samples got = {0};

		assert_int_equal(
			mst_samples_decode((const uint8_t *)lies[i].bytes, lies[i].len, lies[i].n, &got, &why), MST_EDAMAGED);
		mst_samples_release(&got);
	}
}

static void a_later_field_is_skipped(void **state)
{
	struct mst_samples got = {0};
	const char *why;

	(void)state;
	/* RSS 0, then field 100 with three bytes that nobody here understands. */
	assert_int_equal(
		mst_samples_decode((const uint8_t *)"\1\1\0\0\0\0\0\2\1\2\0\1\x64\3\xff\xff\xff", 17, 1, &got, &why), 0);
	assert_int_equal(got.items[0].known, 1u << MST_SAMPLE_RSS);
	mst_samples_release(&got);
}

static void names_are_those_of_fields(void **state)
{
	(void)state;
	assert_string_equal(mst_sample_field_name(MST_SAMPLE_RSS), "rss");
	assert_null(mst_sample_field_name(0));
	assert_null(mst_sample_field_name(31));
	assert_null(mst_sample_field_name(MST_SAMPLE_FIELDS));
	assert_int_equal(mst_sample_field_unit(MST_SAMPLE_STALL_TIME), MST_UNIT_NS);
}

/* ---- in a file -------------------------------------------------------------------------------------------- */

static void put_event(struct mst_writer *w, uint64_t time_ns)
{
	struct mst_event ev = {.op = MST_OP_MALLOC, .thread = 1, .addr = 0x1000 + time_ns, .size = 1, .time_ns = time_ns};

	assert_int_equal(mst_writer_event(w, &ev), 0);
}

/* Two events, then a sample, ten times; three samples behind the last event. In frames of 4 events. */
static int write_trace(struct mst_sample *s)
{
	struct mst_writer_options opt = {.header = {.has_addresses = true}, .file_id = 1, .frame_events = 4};
	struct mst_process p = {.pid = 1, .origin = MST_ORIGIN_START};
	struct mst_thread t = {.process = 1, .tid = 1, .end_ns = UINT64_MAX};
	struct mst_writer *w;
	int fd = sample_fd((const uint8_t *)"", 0);
	uint32_t id;

	assert_int_equal(mst_writer_open(fd, &opt, &w), 0);
	assert_int_equal(mst_writer_process(w, &p, &id), 0);
	assert_int_equal(mst_writer_thread(w, &t, &id), 0);
	for (uint32_t i = 0; i < 13; i++) {
		if (i < 10) {
			put_event(w, 1000 * (2 * i + 1));
			put_event(w, 1000 * (2 * i + 2));
		}
		s[i] = (struct mst_sample){.time_ns = 1000 * (2 * i + 2) + 500, .event = 2 * (i < 10 ? i + 1 : 10), .process = 1};
		set(&s[i], MST_SAMPLE_RSS, i * 4096u);
		assert_int_equal(mst_writer_sample(w, &s[i]), 0);
	}
	s[13] = s[12];
	s[13].time_ns = 1;
	assert_int_equal(mst_writer_sample(w, &s[13]), MST_EARG); /* time goes back */
	s[13].time_ns = s[12].time_ns;
	s[13].process = 2;
	assert_int_equal(mst_writer_sample(w, &s[13]), MST_EARG); /* nobody */
	assert_int_equal(mst_writer_close(w, true, 0, NULL), 0);
	return fd;
}

static void samples_come_at_their_place_among_the_events(void **state)
{
	struct mst_reader_options opt = {.samples = true};
	struct mst_sample want[14], got;
	const struct mst_event *events;
	struct mst_verify_result verified;
	int fd = write_trace(want), rc;
	uint64_t n_events = 0;
	size_t n, n_samples = 0;
	struct mst_reader *r;

	(void)state;
	assert_int_equal(mst_verify(fd, &verified, NULL, NULL, NULL, NULL), 0);
	assert_true(verified.frames_by_kind[MST_KIND_SAMPLE] > 1);
	assert_int_equal(mst_reader_open_fd(fd, &opt, &r, NULL), 0);
	for (int pass = 0; pass < 2; pass++) { /* front to back, and with the tables read first */
		while ((rc = mst_reader_next_batch(r, &events, &n)) > 0)
			for (size_t i = 0; i < n; i++, n_events++)
				while (mst_reader_next_sample(r, events[i].number, &got)) {
					assert_int_equal(got.event, n_events);
					assert_same(&want[n_samples++], &got);
				}
		assert_int_equal(rc, 0);
		while (mst_reader_next_sample(r, UINT64_MAX, &got))
			assert_same(&want[n_samples++], &got);
		assert_int_equal(n_events, 20);
		assert_int_equal(n_samples, 13);
		n_events = n_samples = 0;
		assert_int_equal(mst_reader_load_tables(r), 0);
	}
	mst_reader_close(r);
	close(fd);
}

static void who_does_not_ask_gets_events_only(void **state)
{
	struct mst_sample want[14], got;
	struct mst_event ev;
	const struct mst_event *events;
	int fd = write_trace(want);
	struct mst_reader *r;
	size_t n, total = 0;

	(void)state;
	assert_int_equal(mst_reader_open_fd(fd, NULL, &r, NULL), 0);
	while (mst_reader_next_batch(r, &events, &n) > 0) {
		assert_true(n > 0);
		total += n;
	}
	assert_int_equal(total, 20);
	assert_int_equal(mst_reader_next_sample(r, UINT64_MAX, &got), 0);
	mst_reader_close(r);
	assert_int_equal(mst_reader_open_fd(fd, &(struct mst_reader_options){.samples = true}, &r, NULL), 0);
	for (total = 0; mst_reader_next(r, &ev) > 0; total++)
		assert_int_equal(ev.number, total);
	assert_int_equal(total, 20);
	mst_reader_close(r);
	close(fd);
}

static void a_salvaged_file_keeps_them(void **state)
{
	struct mst_sample want[14], got;
	int fd = write_trace(want), out = sample_fd((const uint8_t *)"", 0);
	struct mst_verify_result result;
	struct mst_event ev;
	struct mst_reader *r;
	size_t n = 0;

	(void)state;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(mst_salvage(fd, out, &result, NULL), 0);
	assert_int_equal(mst_reader_open_fd(out, &(struct mst_reader_options){.samples = true}, &r, NULL), 0);
	while (mst_reader_next(r, &ev) > 0)
		;
	while (mst_reader_next_sample(r, UINT64_MAX, &got))
		assert_same(&want[n++], &got);
	assert_int_equal(n, 13);
	mst_reader_close(r);
	close(fd);
	close(out);
}

static void many_samples_make_frames_of_their_own(void **state)
{
	struct mst_writer_options opt = {.file_id = 1};
	struct mst_verify_result verified;
	struct mst_sample s = {0};
	struct mst_writer *w;
	int fd = sample_fd((const uint8_t *)"", 0);
	uint64_t bytes;

	(void)state;
	assert_int_equal(mst_writer_open(fd, &opt, &w), 0);
	for (uint32_t i = 0; i < 3 * MST_SAMPLES_MAX + 1; i++) {
		s.time_ns = i * UINT64_C(10000000);
		set(&s, MST_SAMPLE_RSS, 4096 * (uint64_t)(i / 100));
		set(&s, MST_SAMPLE_THREADS, 4);
		assert_int_equal(mst_writer_sample(w, &s), 0);
	}
	assert_int_equal(mst_writer_close(w, true, 0, &bytes), 0);
	assert_int_equal(mst_verify(fd, &verified, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(verified.frames_by_kind[MST_KIND_SAMPLE], 4);
	assert_true(bytes < 3 * MST_SAMPLES_MAX); /* a quiet program's samples take less than a byte each */
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_gives_its_samples_back),
		cmocka_unit_test(unknown_is_not_zero),
		cmocka_unit_test(a_cut_payload_is_damage),
		cmocka_unit_test(lies_are_damage),
		cmocka_unit_test(a_later_field_is_skipped),
		cmocka_unit_test(names_are_those_of_fields),
		cmocka_unit_test(samples_come_at_their_place_among_the_events),
		cmocka_unit_test(who_does_not_ask_gets_events_only),
		cmocka_unit_test(a_salvaged_file_keeps_them),
		cmocka_unit_test(many_samples_make_frames_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

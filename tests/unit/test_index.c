/* test_index.c - the index: what is noted comes back, and what lies about the file is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "index.h"
#include "mstrace.h"

/* n frames one behind the other, every third of events. */
static void fill(struct mst_index *x, size_t n)
{
	uint64_t offset = 0, event = 0, time = 0;

	for (size_t i = 0; i < n; i++) {
		struct mst_frame f = {.offset = offset, .header_len = 64, .stored_len = (uint32_t)(i * 13 % 900),
			.seq = i, .n_items = 5, .kind = i % 3 ? MST_KIND_STRING : MST_KIND_EVT};
		struct mst_evt e = {.first_event = event, .time_first = time, .time_last = time + 100, .time_shift = 4};

		assert_int_equal(mst_index_add(x, &f, i % 3 ? NULL : &e), 0);
		offset += mst_frame_size(&f);
		event += i % 3 ? 0 : 5;
		time += i % 3 ? 0 : 150;
	}
}

static void entries_come_back_over_several_frames(void **state)
{
	const size_t n = 2 * MST_INDEX_ENTRIES_MAX + 10;
	struct mst_index x = {0}, back = {0};
	const char *why;
	size_t done = 0;

	(void)state;
	fill(&x, n);
	while (done < n) {
		struct mst_buffer raw = {0};
		uint32_t got = mst_index_encode(&x, done, &raw);

		assert_true(got > 0 && got <= MST_INDEX_ENTRIES_MAX);
		assert_int_equal(mst_index_decode(&back, got, raw.bytes, raw.len, UINT64_MAX / 2, &why), 0);
		mst_buffer_release(&raw);
		done += got;
	}
	assert_int_equal(back.n, n);
	assert_memory_equal(back.entries, x.entries, n * sizeof(*x.entries));
	mst_index_release(&x);
	mst_index_release(&back);
}

static void entries_beyond_the_index_itself_are_refused(void **state)
{
	struct mst_index x = {0}, back = {0};
	struct mst_buffer raw = {0};
	const struct mst_index_entry *last;
	const char *why;

	(void)state;
	fill(&x, 50);
	mst_index_encode(&x, 0, &raw);
	last = &x.entries[49];
	assert_int_equal(mst_index_decode(&back, 50, raw.bytes, raw.len, last->offset + last->size - 1, &why),
		MST_EDAMAGED);
	assert_int_equal(back.n, 0);
	assert_int_equal(mst_index_decode(&back, 50, raw.bytes, raw.len, last->offset + last->size, &why), 0);
	/* The same again would overlap what is there. */
	assert_int_equal(mst_index_decode(&back, 50, raw.bytes, raw.len, UINT64_MAX / 2, &why), MST_EDAMAGED);
	assert_int_equal(back.n, 50);
	mst_buffer_release(&raw);
	mst_index_release(&x);
	mst_index_release(&back);
}

static void every_cut_is_refused(void **state)
{
	struct mst_index x = {0}, back = {0};
	struct mst_buffer raw = {0};
	const char *why;

	(void)state;
	fill(&x, 20);
	mst_index_encode(&x, 0, &raw);
	for (size_t len = 0; len < raw.len; len++)
		assert_int_equal(mst_index_decode(&back, 20, raw.bytes, len, UINT64_MAX / 2, &why), MST_EDAMAGED);
	assert_int_equal(mst_index_decode(&back, 19, raw.bytes, raw.len, UINT64_MAX / 2, &why), MST_EDAMAGED);
	assert_int_equal(mst_index_decode(&back, 0, NULL, 0, UINT64_MAX / 2, &why), 0);
	assert_int_equal(back.n, 0);
	mst_buffer_release(&raw);
	mst_index_release(&x);
	mst_index_release(&back);
}

static void time_finds_the_first_event_frame_that_reaches_it(void **state)
{
	struct mst_index x = {0};

	(void)state;
	fill(&x, 10); /* event frames 0, 3, 6, 9: units 0-100, 150-250, 300-400, 450-550 of 16 ns */
	assert_int_equal(mst_index_find_time(&x, 0), 0);
	assert_int_equal(mst_index_find_time(&x, 100 * 16), 0);
	assert_int_equal(mst_index_find_time(&x, 100 * 16 + 1), 3);
	assert_int_equal(mst_index_find_time(&x, 300 * 16), 6);
	assert_int_equal(mst_index_find_time(&x, 550 * 16), 9);
	assert_int_equal(mst_index_find_time(&x, 550 * 16 + 1), 10);
	mst_index_release(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_back_over_several_frames),
		cmocka_unit_test(entries_beyond_the_index_itself_are_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(time_finds_the_first_event_frame_that_reaches_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

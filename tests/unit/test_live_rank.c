#include "live_rank.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct mst_live_rank live;

/* The definition, by counting. */
static uint32_t counted_rank(const bool *lives, uint32_t n, uint32_t i)
{
	uint32_t rank = 0;

	while (++i < n)
		rank += lives[i];
	return rank;
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void rank_and_select_agree_with_counting(void **state)
{
	static bool lives[3000];
	uint32_t random = 1;

	(void)state;
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t n = 0, n_live = 0, bias = round % 4;
		mst_live_reset(&live, 3000);
		while (n < 3000) {
			if (n_live == 0 || next_random(&random) % 5 > bias) {
				lives[n++] = true;
				n_live++;
				continue;
			}
			uint32_t rank = next_random(&random) % n_live, i = mst_live_select(&live, n, rank);
			assert_in_range(i, 0, n - 1);
			assert_true(lives[i] && mst_live_has(&live, i));
			assert_int_equal(counted_rank(lives, n, i), rank);
			assert_int_equal(mst_live_rank_of(&live, n, i), rank);
			assert_int_equal(mst_live_select(&live, n, n_live), MST_LIVE_NONE);
			mst_live_remove(&live, i);
			assert_false(mst_live_has(&live, i));
			lives[i] = false;
			n_live--;
		}
	}
}

static void nothing_is_selected_among_none(void **state)
{
	(void)state;
	mst_live_reset(&live, 0);
	assert_int_equal(mst_live_select(&live, 0, 0), MST_LIVE_NONE);
	mst_live_reset(&live, 1);
	mst_live_remove(&live, 0);
	assert_int_equal(mst_live_select(&live, 1, 0), MST_LIVE_NONE);
}

static void greatest_rank_reaches_the_oldest_block(void **state)
{
	const uint32_t n = MST_FRAME_EVENTS_MAX;

	(void)state;
	mst_live_reset(&live, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(mst_live_rank_of(&live, n, i), n - 1 - i);
		assert_int_equal(mst_live_select(&live, n, n - 1 - i), i);
		mst_live_remove(&live, i);
	}
	assert_int_equal(mst_live_select(&live, n, 0), MST_LIVE_NONE);
}

static void reset_revives_what_is_spoken_of(void **state)
{
	(void)state;
	mst_live_reset(&live, 1100);
	for (uint32_t i = 0; i < 1100; i++)
		mst_live_remove(&live, i);
	mst_live_reset(&live, 1100);
	for (uint32_t i = 0; i < 1100; i++)
		assert_int_equal(mst_live_rank_of(&live, 1100, i), 1099 - i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rank_and_select_agree_with_counting),
		cmocka_unit_test(nothing_is_selected_among_none),
		cmocka_unit_test(greatest_rank_reaches_the_oldest_block),
		cmocka_unit_test(reset_revives_what_is_spoken_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

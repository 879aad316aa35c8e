/* The map against its rule, computed the slow way: the interval that starts last wins, the first added of equal ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "interval_map.h"

static void nothing_added_finds_nothing(void **state)
{
	struct ms_interval_map m = { 0 };

	(void)state;
	assert_int_equal(ms_interval_map_finish(&m), 0);
	assert_null(ms_interval_map_get(&m, 0));
	assert_null(ms_interval_map_get(&m, UINT64_MAX));
	ms_interval_map_release(&m);
}

static void inner_interval_wins_and_outer_returns_behind_it(void **state)
{
	struct ms_interval_map m = { 0 };

	(void)state;
	ms_interval_map_add(&m, 10, 100, 1);
	ms_interval_map_add(&m, 20, 30, 2);
	ms_interval_map_add(&m, 50, 40, 3); /* reversed: ignored */
	assert_int_equal(ms_interval_map_finish(&m), 0);
	assert_null(ms_interval_map_get(&m, 9));
	assert_int_equal(ms_interval_map_get(&m, 19)->value, 1);
	assert_int_equal(ms_interval_map_get(&m, 20)->value, 2);
	assert_int_equal(ms_interval_map_get(&m, 29)->value, 2);
	assert_int_equal(ms_interval_map_get(&m, 30)->value, 1);
	assert_int_equal(ms_interval_map_get(&m, 99)->value, 1);
	assert_null(ms_interval_map_get(&m, 100));
	ms_interval_map_release(&m);
}

static const struct ms_interval *slow_get(const struct ms_interval *items, size_t n, uint64_t address)
{
	const struct ms_interval *best = NULL;

	for (size_t i = 0; i < n; i++) {
		if (items[i].start <= address && address < items[i].end && (!best || items[i].start > best->start))
			best = &items[i];
	}
	return best;
}

static void random_overlaps_agree_with_the_rule(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 500; round++) {
		struct ms_interval_map m = { 0 };
		struct ms_interval items[24];
		size_t n = 1 + (size_t)rand() % 24;

		for (size_t i = 0; i < n; i++) {
			uint64_t start = (uint64_t)rand() % 60;

			items[i] = (struct ms_interval){ start, start + (uint64_t)rand() % 30, (uint32_t)i };
			assert_int_equal(ms_interval_map_add(&m, items[i].start, items[i].end, items[i].value), 0);
		}
		assert_int_equal(ms_interval_map_finish(&m), 0);
		for (size_t i = 1; i < m.n; i++)
			assert_true(m.items[i - 1].end <= m.items[i].start);
		for (uint64_t a = 0; a < 100; a++) {
			const struct ms_interval *want = slow_get(items, n, a), *got = ms_interval_map_get(&m, a);

			assert_true(!want == !got);
			if (want)
				assert_int_equal(got->value, want->value);
		}
		ms_interval_map_release(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_added_finds_nothing),
		cmocka_unit_test(inner_interval_wins_and_outer_returns_behind_it),
		cmocka_unit_test(random_overlaps_agree_with_the_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

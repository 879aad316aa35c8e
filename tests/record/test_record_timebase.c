/* The conversion of ticks: it never steps back, whatever the samples say, and ends up right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "timebase.h"

#define SECOND 1000000000u

static uint64_t difference(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* A clock of `rate` ticks per ns whose samples are off by up to `noise` ns. Returns the greatest error after
 * the first second. */
static uint64_t greatest_error(double rate, uint64_t noise)
{
	struct ms_clock_map c;
	uint64_t worst = 0, before = 0;
	ms_clock_start(&c, MS_CLOCK_TSC);
	srand(1);
	for (uint64_t ns = 5000000; ns < 20ull * SECOND; ns += 100000000) {
		uint64_t heard = ns + (noise ? (uint64_t)rand() % (2 * noise) - noise : 0);
		ms_clock_sample_at(&c, (uint64_t)((double)ns * rate), heard);
		for (uint64_t at = ns; at < ns + 100000000; at += 7000000) {
			uint64_t said = ms_clock_ns(&c, (uint64_t)((double)at * rate));
			assert_true(said >= before);
			before = said;
			if (at > SECOND && difference(said, at) > worst)
				worst = difference(said, at);
		}
	}
	return worst;
}

static void steady_clock_is_followed_closely(void **state)
{
	(void)state;
	assert_true(greatest_error(2.5, 0) < 1000);
	assert_true(greatest_error(0.4, 0) < 1000);
}

static void noisy_samples_shift_time_by_no_more_than_their_noise(void **state)
{
	(void)state;
	assert_true(greatest_error(3.0, 20000) < 60000);
}

static void jump_ahead_is_followed_and_keeps_the_order(void **state)
{
	struct ms_clock_map c;
	(void)state;
	ms_clock_start(&c, MS_CLOCK_TSC);
	ms_clock_sample_at(&c, 10 * 2000000, 10 * 1000000);
	uint64_t before = ms_clock_ns(&c, 20 * 2000000);
	ms_clock_sample_at(&c, 30 * 2000000, 3ull * SECOND); /* slept for almost three seconds */
	assert_true(ms_clock_ns(&c, 30 * 2000000) >= before);
	assert_true(difference(ms_clock_ns(&c, 31 * 2000000), 3ull * SECOND) < SECOND / 10);
	assert_int_equal(c.steps, 1);
}

static void jump_back_never_turns_time_around(void **state)
{
	struct ms_clock_map c;
	(void)state;
	ms_clock_start(&c, MS_CLOCK_TSC);
	ms_clock_sample_at(&c, 1000000, 500000);
	ms_clock_sample_at(&c, 400000000, 200000000);
	uint64_t before = 0;
	for (uint64_t i = 3; i < 40; i++) {
		ms_clock_sample_at(
			&c, i * 200000000, 200000000 + i * 1000); /* the other clock all but stands */
		uint64_t said = ms_clock_ns(&c, i * 200000000 + 100000000);
		assert_true(said >= before);
		assert_true(!before || (said - before >= SECOND / 50 && said - before <= SECOND / 10)); /* slower, but it goes */
		before = said;
	}
}

static void ticks_before_the_newest_segments_convert_by_the_older_ones(void **state)
{
	struct ms_clock_map c;
	(void)state;
	ms_clock_start(&c, MS_CLOCK_TSC);
	for (uint64_t i = 1; i < 100; i++)
		ms_clock_sample_at(&c, i * 200000000, i * 100000000);
	uint64_t late = ms_clock_ns(&c, 98ull * 200000000), early = ms_clock_ns(&c, 90ull * 200000000);
	assert_true(difference(late, 9800000000) < 1000);
	assert_true(difference(early, 9000000000) < 1000);
}

static void ticks_of_long_ago_convert_as_they_did(void **state)
{
	enum { MARKS = 500 };
	struct ms_clock_map c;
	uint64_t said[MARKS], last = 0;
	(void)state;
	ms_clock_start(&c, MS_CLOCK_TSC);
	srand(2);
	for (uint64_t i = 1; i < MARKS * 10; i++) { /* the rate wanders by some millionths */
		ms_clock_sample_at(&c, i * 200000000, i * 100000000 + i * i / 100 + (uint64_t)rand() % 2000);
		if (i % 10 == 0)
			said[i / 10] = ms_clock_ns(&c, i * 200000000 + 77);
	}
	for (uint64_t i = 1; i < MARKS; i++) {
		uint64_t now = ms_clock_ns(&c, i * 10 * 200000000 + 77);
		assert_true(now >= last && difference(now, said[i]) < 100000);
		last = now;
	}
	assert_int_equal(ms_clock_ns(&c, 0), 0);
	assert_true(difference(ms_clock_ns(&c, 4999ull * 200000000), 499900000000) < 1000000); /* the newest, as ever */
}

static void monotonic_ticks_are_nanoseconds(void **state)
{
	struct ms_clock_map c;
	(void)state;
	ms_clock_start(&c, MS_CLOCK_MONOTONIC);
	ms_clock_sample(&c);
	assert_int_equal(ms_clock_ns(&c, 12345), 12345);
	assert_int_equal(ms_clock_ticks(&c, 12345), 12345);
	assert_true(difference(ms_ticks_now(&c), ms_monotonic_ns() - c.monotonic_ns) < SECOND);
}

static void real_clock_agrees_with_monotonic(void **state)
{
	struct ms_clock_map c;
	(void)state;
	ms_clock_start(&c, ms_clock_choose());
	uint64_t until = ms_monotonic_ns() + 30000000;
	while (ms_monotonic_ns() < until)
		;
	ms_clock_sample(&c);
	uint64_t said = ms_clock_ns(&c, ms_ticks_now(&c));
	assert_true(difference(said, ms_monotonic_ns() - c.monotonic_ns) < 5000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steady_clock_is_followed_closely),
		cmocka_unit_test(noisy_samples_shift_time_by_no_more_than_their_noise),
		cmocka_unit_test(jump_ahead_is_followed_and_keeps_the_order),
		cmocka_unit_test(jump_back_never_turns_time_around),
		cmocka_unit_test(ticks_before_the_newest_segments_convert_by_the_older_ones),
		cmocka_unit_test(ticks_of_long_ago_convert_as_they_did),
		cmocka_unit_test(monotonic_ticks_are_nanoseconds),
		cmocka_unit_test(real_clock_agrees_with_monotonic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

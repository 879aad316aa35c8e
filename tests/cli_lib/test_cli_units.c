#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "units.h"

static const char *printed(void (*print)(struct ms_out *, uint64_t), uint64_t v)
{
	static struct ms_out o;

	ms_out_release(&o);
	ms_out_init_memory(&o);
	print(&o, v);
	return ms_out_text(&o);
}

static uint64_t size_of(const char *text)
{
	uint64_t v = 0;

	assert_int_equal(ms_parse_size(text, &v), 0);
	return v;
}

static uint64_t duration_of(const char *text)
{
	uint64_t v = 0;

	assert_int_equal(ms_parse_duration(text, &v), 0);
	return v;
}

static void sizes_are_read(void **state)
{
	(void)state;
	assert_int_equal(size_of("0"), 0);
	assert_int_equal(size_of("4096"), 4096);
	assert_int_equal(size_of("1K"), 1024);
	assert_int_equal(size_of("1.5M"), 1572864);
	assert_int_equal(size_of("2GiB"), 2147483648);
	assert_int_equal(size_of("1kB"), 1000);
	assert_int_equal(size_of("3 MB"), 3000000);
	assert_int_equal(size_of("7B"), 7);
	assert_true(size_of("18446744073709551615") == UINT64_MAX);
	assert_true(size_of("15E") == 15ull << 60);
}

static void bad_sizes_are_refused_and_leave_the_value(void **state)
{
	static const char *const bad[] = {"", " ", "-1", "+1", "1X", "K", "1.", ".5", "1K ", " 1", "1KK",
		"0x10", "1e3", "16E", "18446744073709551616", "99999999999999999999999", "1,5K", "nan", "1 ",
		"1  K"};
	uint64_t v = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(ms_parse_size(bad[i], &v), -1);
		assert_int_equal(v, 42);
	}
}

static void durations_are_read_exactly(void **state)
{
	(void)state;
	assert_int_equal(duration_of("1"), 1000000000);
	assert_int_equal(duration_of("1.5s"), 1500000000);
	assert_int_equal(duration_of("250ms"), 250000000);
	assert_int_equal(duration_of("10us"), 10000);
	assert_int_equal(duration_of("7ns"), 7);
	assert_int_equal(duration_of("2min"), 120000000000);
	assert_int_equal(duration_of("1h"), 3600000000000);
	assert_int_equal(duration_of("0.000000001"), 1);
	assert_int_equal(duration_of("0.1"), 100000000);
	assert_int_equal(duration_of("123456789.123456789s"), 123456789123456789);
}

static void bad_durations_are_refused(void **state)
{
	static const char *const bad[] = {"", "s", "1S", "1sec", "-1s", "1.s", "99999999999h", "1s1"};
	uint64_t v = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ms_parse_duration(bad[i], &v), -1);
	assert_int_equal(v, 42);
}

static void counts_are_whole_numbers(void **state)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "0x", "0xg", "0x0x1", "1K", "1.0", "18446744073709551616"};
	uint64_t v = 0;

	(void)state;
	assert_int_equal(ms_parse_count("0x1f", &v), 0);
	assert_int_equal(v, 31);
	assert_int_equal(ms_parse_count("010", &v), 0);
	assert_int_equal(v, 10);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ms_parse_count(bad[i], &v), -1);
}

static void sizes_print_three_digits(void **state)
{
	(void)state;
	assert_string_equal(printed(ms_print_size, 0), "0 B");
	assert_string_equal(printed(ms_print_size, 1023), "1023 B");
	assert_string_equal(printed(ms_print_size, 1024), "1.00 KiB");
	assert_string_equal(printed(ms_print_size, 1268776), "1.21 MiB");
	assert_string_equal(printed(ms_print_size, 10235), "10.0 KiB");
	assert_string_equal(printed(ms_print_size, 1048575), "1.00 MiB");
	assert_string_equal(printed(ms_print_size, 1047000), "1022 KiB");
	assert_string_equal(printed(ms_print_size, UINT64_MAX), "16.0 EiB");
}

static void durations_print_three_digits(void **state)
{
	(void)state;
	assert_string_equal(printed(ms_print_duration, 0), "0 s");
	assert_string_equal(printed(ms_print_duration, 15), "15 ns");
	assert_string_equal(printed(ms_print_duration, 1210000), "1.21 ms");
	assert_string_equal(printed(ms_print_duration, 999999), "1.00 ms");
	assert_string_equal(printed(ms_print_duration, 59900000000), "59.9 s");
	assert_string_equal(printed(ms_print_duration, 59960000000), "1min 00s");
	assert_string_equal(printed(ms_print_duration, 125000000000), "2min 05s");
	assert_string_equal(printed(ms_print_duration, 3725000000000), "1h 02min");
}

static void counts_print_with_thousands(void **state)
{
	(void)state;
	assert_string_equal(printed(ms_print_count, 0), "0");
	assert_string_equal(printed(ms_print_count, 999), "999");
	assert_string_equal(printed(ms_print_count, 12345678), "12,345,678");
	assert_string_equal(printed(ms_print_count, UINT64_MAX), "18,446,744,073,709,551,615");
}

static void exact_durations_round_trip(void **state)
{
	uint64_t x = 88172645463325252;

	(void)state;
	assert_string_equal(printed(ms_print_duration_exact, 1500000000), "1.5s");
	for (int i = 0; i < 20000; i++) {
		uint64_t v = 0;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		assert_int_equal(ms_parse_duration(printed(ms_print_duration_exact, x >> (i % 64)), &v), 0);
		assert_true(v == x >> (i % 64));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(bad_sizes_are_refused_and_leave_the_value),
		cmocka_unit_test(durations_are_read_exactly),
		cmocka_unit_test(bad_durations_are_refused),
		cmocka_unit_test(counts_are_whole_numbers),
		cmocka_unit_test(sizes_print_three_digits),
		cmocka_unit_test(durations_print_three_digits),
		cmocka_unit_test(counts_print_with_thousands),
		cmocka_unit_test(exact_durations_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint64_t edges[] = {0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x1fffff, 0x200000, UINT32_MAX, (uint64_t)INT64_MAX,
	(uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_MAX};
#define N_EDGES (sizeof(edges) / sizeof(edges[0]))

static void fixed_width_is_little_endian(void **state)
{
	uint8_t b[14];
	uint8_t *p = mst_put64(mst_put32(mst_put16(b, 0x0201), 0x06050403), 0x0e0d0c0b0a090807);

	(void)state;
	assert_ptr_equal(p, b + sizeof(b));
	for (size_t i = 0; i < sizeof(b); i++)
		assert_int_equal(b[i], i + 1);
	assert_int_equal(mst_load16(b), 0x0201);
	assert_int_equal(mst_load32(b + 2), 0x06050403);
	assert_int_equal(mst_load64(b + 6), 0x0e0d0c0b0a090807);
}

static void zigzag_counts_away_from_zero(void **state)
{
	static const int64_t in[] = {0, -1, 1, -2, 2};

	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(mst_zigzag(in[i]), i);
	assert_true(mst_zigzag(INT64_MIN) == UINT64_MAX);
	for (size_t i = 0; i < N_EDGES; i++)
		assert_true(mst_zigzag(mst_unzigzag(edges[i])) == edges[i]);
}

static void delta_of_any_two_numbers_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_EDGES; i++)
		for (size_t k = 0; k < N_EDGES; k++)
			assert_true(mst_undelta(mst_delta(edges[i], edges[k]), edges[k]) == edges[i]);
}

static void varint_comes_back_and_has_its_size(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++)
		for (int off = -1; off <= 1; off++) {
			uint64_t v = ((uint64_t)1 << bit) + (uint64_t)(int64_t)off;
			uint8_t b[MST_VARINT_MAX];
			size_t len = (size_t)(mst_put_varint(b, v) - b);
			struct mst_cursor c = mst_cursor_over(b, len);

			assert_int_equal(len, mst_varint_size(v));
			assert_true(mst_get_varint(&c) == v);
			assert_true(mst_cursor_finish(&c));
		}
}

static void cut_varint_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_EDGES; i++) {
		uint8_t b[MST_VARINT_MAX];
		size_t len = (size_t)(mst_put_varint(b, edges[i]) - b);

		for (size_t cut = 0; cut < len; cut++) {
			struct mst_cursor c = mst_cursor_over(b, cut);
			assert_int_equal(mst_get_varint(&c), 0);
			assert_true(c.failed);
		}
	}
}

static void overlong_and_overflowing_varints_fail(void **state)
{
	static const uint8_t bad[][11] = {
		{0x80, 0x00},
		{0xff, 0x80, 0x00},
		{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02},
		{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 0x01},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mst_cursor c = mst_cursor_over(bad[i], sizeof(bad[i]));
		assert_int_equal(mst_get_varint(&c), 0);
		assert_true(c.failed);
	}
}

static void varint_above_its_limit_fails(void **state)
{
	const uint8_t b[] = {5, 6};
	struct mst_cursor c = mst_cursor_over(b, sizeof(b));

	(void)state;
	assert_int_equal(mst_get_varint_max(&c, 5), 5);
	assert_int_equal(mst_get_varint_max(&c, 5), 0);
	assert_true(c.failed);
}

static void failure_latches(void **state)
{
	const uint8_t b[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct mst_cursor c = mst_cursor_over(b, sizeof(b));

	(void)state;
	assert_int_equal(mst_get32(&c), 0x04030201);
	assert_int_equal(mst_get64(&c), 0);
	assert_int_equal(mst_get8(&c), 0);
	assert_int_equal(mst_get16(&c), 0);
	assert_int_equal(mst_get_varint(&c), 0);
	assert_null(mst_get_bytes(&c, 0));
	assert_int_equal(mst_cursor_left(&c), 0);
	assert_false(mst_cursor_finish(&c));
}

static void unread_bytes_are_not_a_finish(void **state)
{
	const uint8_t b[2] = {1, 2};
	struct mst_cursor c = mst_cursor_over(b, sizeof(b));

	(void)state;
	mst_get8(&c);
	assert_false(mst_cursor_finish(&c));
	mst_get8(&c);
	assert_true(mst_cursor_finish(&c));
}

static void cursor_over_nothing_is_finished(void **state)
{
	struct mst_cursor c = mst_cursor_over(NULL, 0);

	(void)state;
	assert_true(mst_cursor_finish(&c));
	mst_get_bytes(&c, 0);
	assert_true(mst_cursor_finish(&c));
	assert_null(mst_get_bytes(&c, SIZE_MAX));
	assert_true(c.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_width_is_little_endian),
		cmocka_unit_test(zigzag_counts_away_from_zero),
		cmocka_unit_test(delta_of_any_two_numbers_comes_back),
		cmocka_unit_test(varint_comes_back_and_has_its_size),
		cmocka_unit_test(cut_varint_fails),
		cmocka_unit_test(overlong_and_overflowing_varints_fail),
		cmocka_unit_test(varint_above_its_limit_fails),
		cmocka_unit_test(failure_latches),
		cmocka_unit_test(unread_bytes_are_not_a_finish),
		cmocka_unit_test(cursor_over_nothing_is_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "mstrace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void names_and_numbers_are_inverse(void **state)
{
	unsigned named = 0;

	(void)state;
	for (unsigned op = 0; op <= MST_OP_MAX; op++) {
		if (!mst_op_name(op))
			continue;
		assert_int_equal(mst_op_from_name(mst_op_name(op)), op);
		named++;
	}
	assert_true(named > MST_OP_REALLOC_END);
	assert_int_equal(mst_op_from_name("no such call"), 0);
}

static void every_named_heap_op_acquires_or_releases(void **state)
{
	(void)state;
	for (unsigned op = 0; op <= MST_OP_MAX; op++)
		assert_int_equal(
			mst_op_acquires(op) || mst_op_releases(op), mst_op_name(op) != NULL && mst_op_is_heap(op));
}

static void the_mapping_layer_is_a_range_of_numbers(void **state)
{
	(void)state;
	for (unsigned op = 0; op <= 512; op++)
		assert_int_equal(mst_op_maps(op), op >= 32 && op <= 47);
	assert_int_equal(mst_op_from_name("mmap"), MST_OP_MMAP);
	assert_string_equal(mst_op_name(MST_OP_MPROTECT), "mprotect");
}

static void the_pool_layer_is_a_range_of_numbers(void **state)
{
	(void)state;
	for (unsigned op = 0; op <= 512; op++)
		assert_int_equal(mst_op_pools(op), op >= 48 && op <= 63);
	for (unsigned op = 0; op <= MST_OP_MAX; op++)
		assert_int_equal(mst_op_is_heap(op), !mst_op_pools(op) && !mst_op_maps(op));
	assert_int_equal(mst_op_from_name("pool_alloc"), MST_OP_POOL_ALLOC);
	assert_string_equal(mst_op_name(MST_OP_POOL_REALLOC_FREE), "pool_realloc_free");
}

static void only_a_whole_realloc_does_both(void **state)
{
	(void)state;
	for (unsigned op = 0; op <= MST_OP_MAX; op++)
		assert_int_equal(mst_op_acquires(op) && mst_op_releases(op),
			op == MST_OP_REALLOC || op == MST_OP_REALLOCARRAY);
}

static void numbers_out_of_range_are_nothing(void **state)
{
	(void)state;
	assert_null(mst_op_name(MST_OP_MAX + 1));
	assert_false(mst_op_acquires(UINT32_MAX));
	assert_false(mst_op_releases(256));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_are_inverse),
		cmocka_unit_test(every_named_heap_op_acquires_or_releases),
		cmocka_unit_test(the_mapping_layer_is_a_range_of_numbers),
		cmocka_unit_test(the_pool_layer_is_a_range_of_numbers),
		cmocka_unit_test(only_a_whole_realloc_does_both),
		cmocka_unit_test(numbers_out_of_range_are_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The set of live blocks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "liveset.h"

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return *state >> 24; /* 40 bits: an ordinal */
}

static void expect_by_age(const struct mst_liveset *s)
{
	struct mst_aged *order = mst_liveset_by_age(s);

	assert_non_null(order);
	for (uint32_t i = 0; i < s->n_live; i++) {
		assert_int_equal(s->pool[order[i].slot].alloc, order[i].alloc);
		assert_true(order[i].alloc != 0);
		assert_true(i == 0 || order[i - 1].alloc < order[i].alloc);
	}
	free(order);
}

/* With ordinals `step` apart, or anywhere if that is 0: all, then as every second one is gone. */
static void fill_and_empty(uint64_t first, uint64_t step, uint32_t n)
{
	uint64_t random = 1, *ordinals = calloc(n, sizeof(*ordinals));
	struct mst_liveset s;

	assert_non_null(ordinals);
	assert_int_equal(mst_liveset_init(&s), 0);
	expect_by_age(&s);
	for (uint32_t i = 0; i < n; i++) {
		do
			ordinals[i] = step ? first + step * (i * UINT64_C(7919) % n) : next_random(&random) | 1;
		while (mst_liveset_find(&s, ordinals[i]));
		assert_non_null(mst_liveset_insert(&s, ordinals[i]));
	}
	assert_int_equal(s.n_live, n);
	expect_by_age(&s);
	for (uint32_t i = 0; i < n; i += 2)
		mst_liveset_remove(&s, mst_liveset_find(&s, ordinals[i]));
	expect_by_age(&s);
	mst_liveset_release(&s);
	free(ordinals);
}

static void blocks_come_by_age(void **state)
{
	(void)state;
	fill_and_empty(1, 1, 1);
	fill_and_empty(UINT64_C(1) << 40, 1, 1);
	fill_and_empty(1, 1, 20000);
	fill_and_empty(UINT64_MAX - 3000, 1, 3000); /* only a hostile file has such: there is no wrap */
	fill_and_empty(5, UINT64_C(1) << 30, 3000);
	fill_and_empty(0, 0, 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_by_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "copies.h"

static void keep(struct mst_copies *c, uint64_t alloc, uint64_t event)
{
	const struct mst_live b = {.alloc = alloc, .addr = 16 * alloc, .size = alloc + 5};

	assert_int_equal(mst_copies_keep(c, &b, event), 0);
}

static bool knows(const struct mst_copies *c, uint64_t alloc)
{
	const struct mst_live *b = mst_copies_find(c, alloc);

	if (b) {
		assert_int_equal(b->addr, 16 * alloc);
		assert_int_equal(b->size, alloc + 5);
	}
	return b;
}

static void without_heirs_nothing_is_kept(void **state)
{
	struct mst_copies c = {0};

	(void)state;
	keep(&c, 1, 1);
	assert_false(knows(&c, 1));
	assert_int_equal(mst_copies_fork(&c, 2, 10, 5), 0);
	keep(&c, 4, 10);
	keep(&c, 5, 10); /* acquired behind the fork */
	assert_true(knows(&c, 4));
	assert_false(knows(&c, 5));
	mst_copies_end(&c, 1); /* no heir */
	assert_int_equal(c.below, 5);
	mst_copies_end(&c, 2);
	assert_int_equal(c.below, 0);
	keep(&c, 3, 11);
	assert_false(knows(&c, 3));
	mst_copies_release(&c);
}

/* A parent that never stops forking children that live shortly, each beside the next; the first one stays. */
static void what_has_no_heir_any_more_is_given_up(void **state)
{
	enum { BLOCKS = 100, ROUNDS = 2000 };
	struct mst_copies c = {0};
	uint64_t event = 0, alloc = 1;
	uint32_t most = 0;

	(void)state;
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		alloc += BLOCKS;
		event += BLOCKS;
		assert_int_equal(mst_copies_fork(&c, round, event, alloc), 0);
		if (round > 2)
			mst_copies_end(&c, round - 1);
		for (uint64_t i = 1; i <= BLOCKS; i++)
			keep(&c, alloc - i, event++);
		for (uint64_t i = 1; i <= BLOCKS; i++)
			assert_true(knows(&c, alloc - i));
		if (c.blocks.n_live > most)
			most = c.blocks.n_live;
	}
	assert_true(knows(&c, 1));   /* the first child's, to this day */
	assert_true(most <= 2048);
	mst_copies_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_heirs_nothing_is_kept),
		cmocka_unit_test(what_has_no_heir_any_more_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

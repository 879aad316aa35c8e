/* The tree of raw stacks: one number per path, the same path the same number, also after growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "stacktree.h"

#define DEPTH 25u

static uint32_t child(struct ms_stacktree *t, uint32_t parent, uint64_t ip)
{
	uint32_t path[] = {parent, MS_NODE_NONE};
	uint32_t node = ms_stacktree_follow(t, path, &ip, 1);
	assert_int_equal(path[1], node);
	return node;
}

static void path_has_one_number_for_ever(void **state)
{
	static uint32_t first[200][100];
	struct ms_stacktree t;
	(void)state;
	assert_int_equal(ms_stacktree_init(&t), 0);
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 200; i++) {
			uint32_t at = i % 2 ? MS_NODE_NONE : MS_NODE_CUT;
			for (uint64_t d = 0; d < 100; d++) {
				at = child(&t, at, 0x400000 + (i >> d % 8) * 16 + d);
				assert_true(at > MS_NODE_CUT);
				if (round == 0)
					first[i][d] = at;
				assert_int_equal(at, first[i][d]);
			}
		}
	}
	for (uint32_t i = MS_NODE_CUT + 1; i < t.n; i++)
		assert_true(t.nodes[i].parent < i);
	ms_stacktree_release(&t);
}

static void same_address_under_different_callers_is_two_nodes(void **state)
{
	struct ms_stacktree t;
	(void)state;
	assert_int_equal(ms_stacktree_init(&t), 0);
	uint32_t a = child(&t, MS_NODE_NONE, 1), b = child(&t, MS_NODE_NONE, 2);
	assert_int_not_equal(child(&t, a, 9), child(&t, b, 9));
	assert_int_not_equal(child(&t, MS_NODE_CUT, 1), a);
	ms_stacktree_release(&t);
}

static void address_zero_is_an_address_like_others(void **state)
{
	struct ms_stacktree t;
	(void)state;
	assert_int_equal(ms_stacktree_init(&t), 0);
	uint32_t zero = child(&t, MS_NODE_NONE, 0);
	assert_true(zero > MS_NODE_CUT);
	assert_int_equal(child(&t, MS_NODE_NONE, 0), zero);
	assert_int_not_equal(child(&t, zero, 0), zero);
	ms_stacktree_release(&t);
}

/* The end of a stack whose frames from `from` on are followed in one go; all that path says is what single steps say. */
static void goes_as_by_single_steps(struct ms_stacktree *t, const uint64_t *ips, uint32_t from, uint32_t n)
{
	uint32_t path[DEPTH + 1] = {MS_NODE_NONE}, at = MS_NODE_NONE;
	for (uint32_t d = 0; d < from; d++)
		at = path[d + 1] = child(t, at, ips[d]);
	uint32_t end = ms_stacktree_follow(t, path + from, ips + from, n - from);
	assert_int_equal(end, path[n]);
	for (uint32_t d = from; d < n; d++)
		assert_int_equal(at = child(t, at, ips[d]), path[d + 1]);
}

static void way_at_once_is_the_way_by_single_steps(void **state)
{
	struct ms_stacktree t;
	uint64_t ips[DEPTH], random = 1;
	(void)state;
	assert_int_equal(ms_stacktree_init(&t), 0);
	for (int i = 0; i < 20000; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		uint32_t n = 1 + (uint32_t)(random >> 33) % DEPTH, from = (uint32_t)(random >> 50) % n;
		/* Few addresses, so that most ways are gone again, and many differ in one frame. */
		for (uint32_t d = 0; d < n; d++)
			ips[d] = 0x400000 + 16 * d + (d == (random >> 40) % 16 ? random >> 60 : 0);
		goes_as_by_single_steps(&t, ips, from, n);
	}
	assert_true(t.runs_mask + 1 > 64); /* they have grown on the way */
	ms_stacktree_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_has_one_number_for_ever),
		cmocka_unit_test(same_address_under_different_callers_is_two_nodes),
		cmocka_unit_test(address_zero_is_an_address_like_others),
		cmocka_unit_test(way_at_once_is_the_way_by_single_steps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

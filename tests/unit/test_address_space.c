/* test_address_space.c - what is left of regions when parts of them go. */
#include "address_space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define BASE UINT64_C(0x7f0000000000)

struct ended { /* what `gone` was told */
	unsigned n;
	uint64_t event, unmapped_ns;
};

static void note(void *ctx, const struct mst_mapped *region)
{
	struct ended *e = ctx;

	e->n++;
	e->event = region->event;
	e->unmapped_ns = region->unmapped_ns;
}

/* Of n pages at page `from`, by event number `event`. */
static void map(struct mst_address_space *s, uint64_t from, uint64_t n, uint64_t event)
{
	const struct mst_mapped like = {.mapped_ns = event * 10, .event = event, .process = 1};

	mst_address_space_map(s, BASE + from * PAGE, BASE + (from + n) * PAGE, &like);
	assert_false(s->failed);
}

static void unmap(struct mst_address_space *s, uint64_t from, uint64_t n, uint64_t begun)
{
	mst_address_space_unmap(s, BASE + from * PAGE, BASE + (from + n) * PAGE, begun, 12345);
	assert_false(s->failed);
}

static void a_region_ends_with_its_last_piece(void **state)
{
	struct ended ended = {0};
	struct mst_address_space s = {.gone = note, .ctx = &ended};

	(void)state;
	map(&s, 10, 10, 1);
	unmap(&s, 12, 3, UINT64_MAX);
	assert_int_equal(s.live_bytes, 7 * PAGE);
	assert_int_equal(s.n_pieces, 2);
	unmap(&s, 0, 11, UINT64_MAX); /* more than there is */
	assert_int_equal(s.live_bytes, 6 * PAGE);
	unmap(&s, 12, 3, UINT64_MAX); /* gone before */
	assert_int_equal(ended.n, 0);
	unmap(&s, 11, 100, UINT64_MAX);
	assert_int_equal(s.live_bytes, 0);
	assert_int_equal(s.n_pieces, 0);
	assert_int_equal(ended.n, 1);
	assert_int_equal(ended.event, 1);
	assert_int_equal(ended.unmapped_ns, 12345);
	mst_address_space_release(&s);
}

static void what_came_while_a_call_was_under_way_stays(void **state)
{
	struct ended ended = {0};
	struct mst_address_space s = {.gone = note, .ctx = &ended};

	(void)state;
	map(&s, 0, 2, 1);
	map(&s, 2, 2, 7);
	map(&s, 4, 2, 2);
	map(&s, 6, 2, 8);
	map(&s, 8, 2, 3);
	unmap(&s, 0, 9, 5); /* begun at event 5: what 7 and 8 mapped there is not meant */
	assert_int_equal(ended.n, 2);
	assert_int_equal(s.n_pieces, 3);
	assert_int_equal(s.pieces[0].start, BASE + 2 * PAGE);
	assert_int_equal(s.pieces[1].start, BASE + 6 * PAGE);
	assert_int_equal(s.pieces[2].start, BASE + 9 * PAGE);
	assert_int_equal(s.live_bytes, 5 * PAGE);
	mst_address_space_release(&s);
}

/* Of a hostile file, too: to take the pieces out one by one would take half an hour. */
static void a_million_pieces_go_at_once(void **state)
{
	enum { N = 1000000 };
	struct ended ended = {0};
	struct mst_address_space s = {.gone = note, .ctx = &ended};

	(void)state;
	map(&s, 0, 2 * N, 1);
	for (uint64_t i = 0; i < N; i++)
		unmap(&s, 2 * i, 1, UINT64_MAX);
	assert_int_equal(s.n_pieces, N);
	assert_int_equal(s.live_bytes, N * PAGE);
	unmap(&s, 0, 2 * N, UINT64_MAX);
	assert_int_equal(s.n_pieces, 0);
	assert_int_equal(ended.n, 1);
	mst_address_space_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_ends_with_its_last_piece),
		cmocka_unit_test(what_came_while_a_call_was_under_way_stays),
		cmocka_unit_test(a_million_pieces_go_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

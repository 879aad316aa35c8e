/* The module map: lookups against a plain list, sharing, replacement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "modmap.h"

static void put(struct ms_modmap **m, uint64_t start, uint64_t end, uint32_t module, bool covers)
{
	const struct ms_modmap_entry e = {start, end, start, module, 0, false};
	bool covered = !covers;
	assert_int_equal(ms_modmap_put(m, &e, &covered), 0);
	assert_int_equal(covered, covers);
}

static uint32_t at(const struct ms_modmap *m, uint64_t addr)
{
	const struct ms_modmap_entry *e = ms_modmap_get(m, addr);
	return e ? e->module : 0;
}

static void address_belongs_to_the_module_that_covers_it(void **state)
{
	struct ms_modmap *m = ms_modmap_new();
	(void)state;
	assert_int_equal(at(m, 5), 0);
	for (uint64_t i = 0; i < 100; i++) /* in a scattered order */
		put(&m, i * 37 % 100 * 1000, i * 37 % 100 * 1000 + 500, (uint32_t)(i * 37 % 100) + 1, false);
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(at(m, i * 1000), i + 1);
		assert_int_equal(at(m, i * 1000 + 499), i + 1);
		assert_int_equal(at(m, i * 1000 + 500), 0);
	}
	ms_modmap_free(m);
}

static void new_module_takes_the_place_of_all_it_overlaps(void **state)
{
	struct ms_modmap *m = ms_modmap_new();
	(void)state;
	put(&m, 100, 200, 1, false);
	put(&m, 200, 300, 2, false);
	put(&m, 300, 400, 3, false);
	put(&m, 150, 250, 4, true);
	assert_int_equal(at(m, 120), 0);
	assert_int_equal(at(m, 200), 4);
	assert_int_equal(at(m, 250), 0);
	assert_int_equal(at(m, 399), 3);
	ms_modmap_free(m);
}

static void taken_module_is_gone_and_others_stay(void **state)
{
	struct ms_modmap *m = ms_modmap_new();
	struct ms_modmap_entry gone;
	(void)state;
	put(&m, 100, 200, 1, false);
	put(&m, 200, 300, 2, false);
	assert_int_equal(ms_modmap_take(&m, 150, &gone), 0);
	assert_int_equal(ms_modmap_take(&m, 100, &gone), 1);
	assert_int_equal(gone.module, 1);
	assert_int_equal(at(m, 150), 0);
	assert_int_equal(at(m, 250), 2);
	ms_modmap_free(m);
}

static void shared_map_changes_for_the_changer_only(void **state)
{
	struct ms_modmap *parent = ms_modmap_new();
	struct ms_modmap_entry gone;
	(void)state;
	put(&parent, 100, 200, 1, false);
	struct ms_modmap *child = ms_modmap_share(parent), *second = ms_modmap_share(parent);
	put(&child, 300, 400, 2, false);
	assert_int_equal(ms_modmap_take(&second, 100, &gone), 1);
	assert_int_equal(at(parent, 350), 0);
	assert_int_equal(at(parent, 150), 1);
	assert_int_equal(at(child, 350), 2);
	assert_int_equal(at(child, 150), 1);
	assert_int_equal(at(second, 150), 0);
	ms_modmap_free(parent);
	ms_modmap_free(second);
	assert_int_equal(at(child, 150), 1);
	ms_modmap_free(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_belongs_to_the_module_that_covers_it),
		cmocka_unit_test(new_module_takes_the_place_of_all_it_overlaps),
		cmocka_unit_test(taken_module_is_gone_and_others_stay),
		cmocka_unit_test(shared_map_changes_for_the_changer_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

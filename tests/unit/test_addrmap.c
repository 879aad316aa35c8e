/* test_addrmap.c - the live map against a plain array, clones, and what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "addrmap.h"

static uint64_t random_state = 1;

static uint64_t draw(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return random_state >> 20;
}

/* The model: entry i is the block at address_of(i), ordinal 0 = none. */
#define N_ADDRESSES 5000

static uint64_t address_of(size_t i)
{
	/* Dense as a heap's, then of every alignment, then apart from each other and above 48 bits. */
	if (i < 4000)
		return 0x7f1200000010 + i * 16;
	return i < 4900 ? 0x7f1300000000 + i : (UINT64_C(1) << 52) + i * 20000;
}

static uint64_t size_of(uint64_t ordinal)
{
	/* Some around what an entry of the map has room for, some far above. */
	return ordinal % 50 == 0 ? (UINT64_C(1) << 40) + ordinal : ordinal % 51 < 3 ? (1 << 24) - 2 + ordinal % 51 : ordinal * 7;
}

static void churn(struct mst_addrmap *m, uint64_t *model, unsigned rounds, uint64_t *ordinal)
{
	for (unsigned round = 0; round < rounds; round++) {
		size_t i = draw() % N_ADDRESSES;
		struct mst_live block = {0, 0};

		if (draw() % 5 < 3) {
			uint64_t fresh = ++*ordinal;
			int rc = mst_addrmap_insert(m, address_of(i), fresh, size_of(fresh), &block);

			assert_int_equal(rc, model[i] != 0);
			if (rc) {
				assert_int_equal(block.ordinal, model[i]);
				assert_int_equal(block.size, size_of(model[i]));
			}
			model[i] = *ordinal;
		} else {
			int rc = mst_addrmap_remove(m, address_of(i), &block);

			assert_int_equal(rc, model[i] != 0);
			if (rc) {
				assert_int_equal(block.ordinal, model[i]);
				assert_int_equal(block.size, size_of(model[i]));
			}
			model[i] = 0;
		}
	}
}

static uint64_t count_of(const uint64_t *model)
{
	uint64_t n = 0;

	for (size_t i = 0; i < N_ADDRESSES; i++)
		n += model[i] != 0;
	return n;
}

static void drain(struct mst_addrmap *m, uint64_t *model)
{
	for (size_t i = 0; i < N_ADDRESSES; i++) {
		struct mst_live block;

		assert_int_equal(mst_addrmap_remove(m, address_of(i), &block), model[i] != 0);
		if (model[i])
			assert_int_equal(block.ordinal, model[i]);
	}
	assert_int_equal(mst_addrmap_count(m), 0);
}

static void agrees_with_a_plain_array(void **state)
{
	static uint64_t model[N_ADDRESSES];
	struct mst_addrmap *m = mst_addrmap_new();
	uint64_t ordinal = 0;

	(void)state;
	assert_non_null(m);
	for (unsigned round = 0; round < 20; round++) {
		churn(m, model, 20000, &ordinal);
		assert_int_equal(mst_addrmap_count(m), count_of(model));
	}
	drain(m, model);
	mst_addrmap_free(m);
}

static void clones_change_alone(void **state)
{
	static uint64_t models[4][N_ADDRESSES];
	struct mst_addrmap *maps[4] = {mst_addrmap_new()};
	uint64_t ordinal = 0;

	(void)state;
	assert_non_null(maps[0]);
	churn(maps[0], models[0], 30000, &ordinal);
	for (size_t i = 1; i < 4; i++) {
		maps[i] = mst_addrmap_clone(maps[i - 1]);
		assert_non_null(maps[i]);
		memcpy(models[i], models[i - 1], sizeof(models[i]));
		for (size_t k = 0; k <= i; k++)
			churn(maps[k], models[k], 500, &ordinal);
	}
	mst_addrmap_free(maps[1]); /* the others must not notice */
	churn(maps[2], models[2], 20000, &ordinal);
	drain(maps[0], models[0]);
	drain(maps[3], models[3]);
	drain(maps[2], models[2]);
	mst_addrmap_free(maps[0]);
	mst_addrmap_free(maps[2]);
	mst_addrmap_free(maps[3]);
	mst_addrmap_free(NULL);
}

/* Memory of a map of n blocks that far apart, per block. */
static double bytes_per_block(uint64_t n, uint64_t apart)
{
	struct mst_addrmap *m = mst_addrmap_new();
	struct mst_live old;
	double bytes;

	for (uint64_t i = 1; i <= n; i++)
		assert_int_equal(mst_addrmap_insert(m, 0x10000 + i * apart, i, 40, &old), 0);
	bytes = (double)mst_addrmap_memory(m) / (double)n;
	mst_addrmap_free(m);
	return bytes;
}

static void a_block_costs_twenty_bytes_on_average(void **state)
{
	double sum = 0;

	(void)state;
	for (uint64_t apart = 32; apart < 160; apart += 16)
		sum += bytes_per_block(100000, apart);
	assert_true(sum / 8 < 20);
	assert_true(bytes_per_block(100000, 2048) < 60); /* one for itself */
}

/* Heaps of large blocks: what a program may have of them at 40 bytes each, besides a constant. */
static void blocks_far_apart_cost_little_more(void **state)
{
	(void)state;
	for (uint64_t apart = 4096; apart <= 32768; apart *= 2)
		assert_true(bytes_per_block(200000, apart) < 40);
	assert_true(bytes_per_block(200000, 66 << 10) < 80); /* alone in their tracts */
	assert_true(bytes_per_block(200000, 1 << 20) < 80);
}

/* From tracts with few blocks to many and back, in maps that share them. */
static void tracts_change_their_form_alone(void **state)
{
	enum { TRACTS = 40, EACH = 40 };
	struct mst_addrmap *m = mst_addrmap_new(), *clone;
	struct mst_live block;

	(void)state;
	for (uint64_t t = 0; t < TRACTS; t++) /* 1 to 40 blocks */
		for (uint64_t i = 0; i <= t; i++)
			assert_int_equal(mst_addrmap_insert(m, t << 16 | i * 1600 | 8, t * EACH + i + 1, size_of(i), &block), 0);
	clone = mst_addrmap_clone(m);
	assert_non_null(clone);
	for (uint64_t t = 0; t < TRACTS; t++)
		for (uint64_t i = t + 1; i < EACH; i++)
			assert_int_equal(mst_addrmap_insert(clone, t << 16 | i * 1600 | 8, t * EACH + i + 1, size_of(i), &block), 0);
	for (uint64_t t = 0; t < TRACTS; t++)
		for (uint64_t i = 0; i < EACH; i++) {
			uint64_t addr = t << 16 | i * 1600 | 8;

			assert_int_equal(mst_addrmap_has(m, addr), i <= t);
			assert_int_equal(mst_addrmap_remove(m, addr, &block), i <= t);
			assert_int_equal(mst_addrmap_remove(clone, addr, &block), 1);
			assert_int_equal(block.ordinal, t * EACH + i + 1);
			assert_int_equal(block.size, size_of(i));
			assert_false(mst_addrmap_has(clone, addr));
		}
	assert_int_equal(mst_addrmap_count(m) + mst_addrmap_count(clone), 0);
	mst_addrmap_free(m);
	mst_addrmap_free(clone);
}

static void what_is_released_gives_its_memory_back(void **state)
{
	struct mst_addrmap *m = mst_addrmap_new();
	size_t empty = mst_addrmap_memory(m);
	struct mst_live block;

	(void)state;
	for (uint64_t round = 0; round < 4; round++) {
		for (uint64_t i = 1; i <= 1000; i++)
			mst_addrmap_insert(m, i << 20, i, i << 18, &block);
		assert_true(mst_addrmap_memory(m) > empty + 1000 * 32);
		for (uint64_t i = 1000; i >= 1; i--)
			assert_int_equal(mst_addrmap_remove(m, i << 20, &block), 1);
		/* but for the table of tracts */
		assert_true(mst_addrmap_memory(m) < empty + 1000 * 8 * 16);
	}
	mst_addrmap_free(m);
}

static void prefetching_any_address_is_harmless(void **state)
{
	struct mst_addrmap *m = mst_addrmap_new();
	struct mst_live block;

	(void)state;
	mst_addrmap_prefetch(m, (const uint64_t[]){0, UINT64_MAX}, 2);
	assert_int_equal(mst_addrmap_remove(m, UINT64_MAX, &block), 0);
	assert_int_equal(mst_addrmap_remove(m, 1, &block), 0);
	mst_addrmap_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_plain_array),
		cmocka_unit_test(clones_change_alone),
		cmocka_unit_test(a_block_costs_twenty_bytes_on_average),
		cmocka_unit_test(blocks_far_apart_cost_little_more),
		cmocka_unit_test(tracts_change_their_form_alone),
		cmocka_unit_test(what_is_released_gives_its_memory_back),
		cmocka_unit_test(prefetching_any_address_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Queues and their merge: against a sort of the same items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "merge.h"
#include "wire.h"

#define QUEUES 40
#define ITEMS 3000

struct seen {
	uint64_t last_key;
	uint32_t last_order;
	size_t n;
	size_t stop_at;
};

static int check_order(void *ctx, struct ms_queue *q, struct ms_item *items, uint32_t *n)
{
	struct seen *seen = ctx;
	for (uint32_t i = 0; i < *n; i++) {
		if (seen->n)
			assert_true(items[i].key > seen->last_key ||
				    (items[i].key == seen->last_key && q->order >= seen->last_order));
		seen->last_key = items[i].key;
		seen->last_order = q->order;
		if (++seen->n == seen->stop_at) {
			*n = i + 1;
			return -7;
		}
	}
	return 0;
}

static void push(struct ms_queue *q, struct ms_pool *pool, uint64_t key)
{
	struct ms_item *item = ms_queue_push(q, pool);
	*item = (struct ms_item){.key = key, .kind = 1};
}

static void items_of_many_queues_come_in_one_order(void **state)
{
	static struct ms_queue queues[QUEUES];
	uint64_t stamps[QUEUES] = {0};
	struct ms_pool pool = {0};
	struct ms_merge m = {0};
	struct seen seen = {0};
	uint64_t floor = 0;
	(void)state;
	srand(7);
	for (int i = 0; i < QUEUES; i++)
		queues[i].order = (uint32_t)i;
	for (int round = 0; round < 20; round++) {
		uint64_t lowest = UINT64_MAX;
		for (int i = 0; i < QUEUES; i++) {
			int n = rand() % 4 ? rand() % (ITEMS / 20) : 0;
			for (int j = 0; j < n; j++) {
				stamps[i] += (uint64_t)rand() % 5;
				if (stamps[i] <= floor)
					stamps[i] = floor + 1;
				push(&queues[i], &pool, MS_ITEM_KEY(stamps[i], rand() % 2 && j == n - 1));
				stamps[i] += j == n - 1;
			}
			assert_int_equal(ms_merge_update(&m, &queues[i]), 0);
			lowest = stamps[i] < lowest ? stamps[i] : lowest;
		}
		floor = lowest > floor ? lowest : floor;
		assert_int_equal(ms_merge_run(&m, &pool, floor, check_order, &seen), 0);
		for (int i = 0; i < QUEUES; i++)
			if (queues[i].n)
				assert_true(MS_ITEM_STAMP(ms_queue_head(&queues[i])->key) > floor);
	}
	assert_int_equal(ms_merge_run(&m, &pool, UINT64_MAX, check_order, &seen), 0);
	assert_true(seen.n > 1000);
	assert_int_equal(m.n, 0);
	assert_int_equal(pool.n_used, 0);
	ms_merge_release(&m);
	ms_pool_release(&pool);
}

static void releases_precede_acquisitions_of_the_same_stamp(void **state)
{
	struct ms_queue a = {.order = 0}, b = {.order = 1};
	struct ms_pool pool = {0};
	struct ms_merge m = {0};
	struct seen seen = {0};
	(void)state;
	push(&a, &pool, MS_ITEM_KEY(5, true));
	push(&b, &pool, MS_ITEM_KEY(5, false));
	ms_merge_update(&m, &a);
	ms_merge_update(&m, &b);
	assert_int_equal(ms_merge_run(&m, &pool, 5, check_order, &seen), 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.last_order, 0); /* the acquisition came last although its queue is the first */
	ms_merge_release(&m);
	ms_pool_release(&pool);
}

static void failing_emit_stops_the_merge_and_is_passed_on(void **state)
{
	struct ms_queue q = {0};
	struct ms_pool pool = {0};
	struct ms_merge m = {0};
	struct seen seen = {.stop_at = 3};
	(void)state;
	for (uint64_t i = 1; i <= 10; i++)
		push(&q, &pool, MS_ITEM_KEY(i, false));
	ms_merge_update(&m, &q);
	assert_int_equal(ms_merge_run(&m, &pool, UINT64_MAX, check_order, &seen), -7);
	assert_int_equal(q.n, 7);
	ms_merge_remove(&m, &q);
	ms_queue_clear(&q, &pool);
	assert_int_equal(pool.n_used, 0);
	ms_merge_release(&m);
	ms_pool_release(&pool);
}

static void removed_queue_leaves_the_others_in_order(void **state)
{
	static struct ms_queue queues[QUEUES];
	struct ms_pool pool = {0};
	struct ms_merge m = {0};
	struct seen seen = {0};
	(void)state;
	srand(3);
	for (uint32_t i = 0; i < QUEUES; i++) {
		queues[i] = (struct ms_queue){.order = i};
		for (uint64_t j = 0, stamp = 0; j < 500; j++)
			push(&queues[i], &pool, MS_ITEM_KEY(stamp += (uint64_t)rand() % 9, false));
		ms_merge_update(&m, &queues[i]);
	}
	for (int i = 0; i < QUEUES; i += 3)
		ms_merge_remove(&m, &queues[i]);
	assert_int_equal(ms_merge_run(&m, &pool, UINT64_MAX, check_order, &seen), 0);
	assert_int_equal(seen.n, 500 * (QUEUES - (QUEUES + 2) / 3));
	for (int i = 0; i < QUEUES; i += 3)
		ms_queue_clear(&queues[i], &pool);
	ms_merge_release(&m);
	ms_pool_release(&pool);
}

static void earlier_item_pushed_late_settles_before_the_later_ones(void **state)
{
	struct ms_queue q = {0};
	struct ms_pool pool = {0};
	struct ms_merge m = {0};
	struct seen seen = {0};
	(void)state;
	push(&q, &pool, MS_ITEM_KEY(10, true));
	push(&q, &pool, MS_ITEM_KEY(30, true));
	push(&q, &pool, MS_ITEM_KEY(20, true));
	ms_queue_settle(&q);
	push(&q, &pool, MS_ITEM_KEY(5, false));
	ms_queue_settle(&q);
	ms_merge_update(&m, &q);
	assert_int_equal(MS_ITEM_STAMP(ms_queue_head(&q)->key), 5);
	assert_int_equal(ms_merge_run(&m, &pool, UINT64_MAX, check_order, &seen), 0);
	assert_int_equal(seen.n, 4);
	ms_merge_release(&m);
	ms_pool_release(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_of_many_queues_come_in_one_order),
		cmocka_unit_test(releases_precede_acquisitions_of_the_same_stamp),
		cmocka_unit_test(failing_emit_stops_the_merge_and_is_passed_on),
		cmocka_unit_test(removed_queue_leaves_the_others_in_order),
		cmocka_unit_test(earlier_item_pushed_late_settles_before_the_later_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

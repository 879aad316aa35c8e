/* What a trace may grow by while a copy of it is made. */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <sched.h>
#include <cmocka.h>

#include "pace.h"

static void what_is_allowed_goes_with_what_is_done(void **state)
{
	struct mst_pace p;

	(void)state;
	mst_pace_init(&p);
	mst_pace_begin(&p, 8000, 100);
	assert_int_equal(mst_pace_allows(&p), 1000);
	mst_pace_advance(&p, 50);
	assert_int_equal(mst_pace_allows(&p), 4500);
	mst_pace_advance(&p, 50);
	assert_int_equal(mst_pace_allows(&p), 8000);
	mst_pace_advance(&p, UINT64_MAX); /* more than was expected */
	assert_int_equal(mst_pace_allows(&p), 8000);
	mst_pace_begin(&p, 0, 1);
	assert_int_equal(mst_pace_allows(&p), 0);
	mst_pace_begin(&p, UINT64_MAX / 2, UINT64_MAX / 2);
	mst_pace_advance(&p, UINT64_MAX / 4);
	assert_in_range(mst_pace_allows(&p), UINT64_MAX / 4, UINT64_MAX / 16 * 5);
	mst_pace_end(&p);
	mst_pace_release(&p);
}

static void no_one_waits_before_the_first_work_and_after_its_end(void **state)
{
	struct mst_pace p;

	(void)state;
	mst_pace_init(&p);
	mst_pace_wait(&p, UINT64_MAX);
	mst_pace_begin(&p, 100, 10);
	mst_pace_end(&p); /* it has failed, say */
	mst_pace_wait(&p, UINT64_MAX);
	mst_pace_begin(&p, 100, 10);
	mst_pace_advance(&p, 10); /* all done, and still more than there is room for: others see to that */
	mst_pace_wait(&p, UINT64_MAX);
	mst_pace_release(&p);
}

/* ---- two threads ------------------------------------------------------------------------------------------ */

enum { WORK = 10000, STEP = 10, ROOM = 1 << 20, CHUNK = 1 << 13 };

struct worker {
	struct mst_pace pace;
	pthread_mutex_t mutex;
	uint64_t upto; /* may work as far as this */
	uint64_t done;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	while (w->done < WORK) {
		bool may;

		pthread_mutex_lock(&w->mutex);
		may = w->done < w->upto;
		w->done += may ? STEP : 0;
		pthread_mutex_unlock(&w->mutex);
		if (may)
			mst_pace_advance(&w->pace, STEP);
		else
			sched_yield();
	}
	return NULL;
}

/* The worker is let go on only as far as a wait for that much needs it to: each wait is for its own share, never
 * for all that is left. */
static void a_wait_is_for_a_share_of_the_work(void **state)
{
	struct worker w = {.mutex = PTHREAD_MUTEX_INITIALIZER};
	pthread_t thread;

	(void)state;
	mst_pace_init(&w.pace);
	mst_pace_begin(&w.pace, ROOM, WORK);
	assert_int_equal(pthread_create(&thread, NULL, work, &w), 0);
	for (uint64_t grown = 0; grown <= ROOM; grown += CHUNK) {
		pthread_mutex_lock(&w.mutex);
		w.upto = grown > ROOM / 8 ? (grown - ROOM / 8) * WORK / (ROOM - ROOM / 8) + STEP : 0;
		pthread_mutex_unlock(&w.mutex);
		mst_pace_wait(&w.pace, grown);
	}
	pthread_join(thread, NULL);
	mst_pace_end(&w.pace);
	mst_pace_release(&w.pace);
	pthread_mutex_destroy(&w.mutex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_allowed_goes_with_what_is_done),
		cmocka_unit_test(no_one_waits_before_the_first_work_and_after_its_end),
		cmocka_unit_test(a_wait_is_for_a_share_of_the_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Draining a real segment whose writers are threads of the test: nothing lost, nothing invented, the order's
 * bound kept, and no scribble on the segment ever fatal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "merge.h"
#include "mstrace.h"
#include "process.h"
#include "procfs.h"

#define WORD1(addr, flags, n_push) ((uint64_t)(addr) | (uint64_t)(flags) << 48 | (uint64_t)(n_push) << 56)

static const struct ms_clock_map by_monotonic = {.kind = MS_CLOCK_MONOTONIC};

/* A process of ours: this one. */
struct fixture {
	struct ms_process *proc;
	struct ms_drain drain;
	struct ms_merge merge;
	uint64_t clock;
};

static void set_up(struct fixture *f, uint32_t backlog)
{
	const struct ms_share_config config = {
		.clock = MS_CLOCK_MONOTONIC, .on_full = MS_FULL_BLOCK, .stack_depth = 64, .backlog = backlog};
	struct ms_arrival *a = calloc(1, sizeof *a);
	int fd;
	memset(f, 0, sizeof *f);
	assert_int_equal(ms_share_open(&config, &a->share, &fd), 0);
	close(fd);
	a->pid = getpid();
	a->hello.pid = (uint32_t)getpid();
	a->pidfd = a->proc_dir = a->tmp_dir = -1;
	f->proc = ms_process_new(a);
	assert_non_null(f->proc);
}

static void tear_down(struct fixture *f)
{
	ms_merge_release(&f->merge);
	ms_process_free(f->proc, &f->drain.pool);
	assert_int_equal(f->drain.pool.n_used, 0);
	ms_pool_release(&f->drain.pool);
}

static struct ms_scan scan_with(struct fixture *f, uint64_t now, uint64_t max_items)
{
	return (struct ms_scan){.drain = &f->drain,
		.merge = &f->merge,
		.now = now,
		.guard = 10,
		.patience = 1000,
		.clock = &by_monotonic,
		.leeway = UINT64_MAX / 2,
		.max_items = max_items,
		.stack_depth = 64,
		.bound = UINT64_MAX};
}

static struct ms_scan scan_at(struct fixture *f, uint64_t now)
{
	struct ms_scan scan = scan_with(f, now, 100000);
	assert_int_equal(ms_process_scan(f->proc, &scan), 0);
	return scan;
}

static void make_room(struct ms_segment *seg, struct ms_writer *w, size_t words)
{
	while (!ms_writer_fits(w, words) && !ms_writer_advance(seg, w))
		sched_yield();
}

static void put(struct ms_segment *seg, struct ms_writer *w, const uint64_t *unit, size_t words)
{
	make_room(seg, w, words);
	memcpy(w->pos, unit, words * 8);
	ms_writer_commit(w, w->pos + words);
}

static void put_malloc(struct ms_segment *seg, struct ms_writer *w, uint64_t stamp, uint64_t addr,
	uint32_t keep, uint64_t ip)
{
	const uint64_t unit[] = {
		MS_UNIT_HEAD(MST_OP_MALLOC, stamp), WORD1(addr, 0, 1), 24 | (uint64_t)keep << 48, ip};
	put(seg, w, unit, 4);
}

static void claim(struct ms_segment *seg, struct ms_writer *w)
{
	assert_true(ms_slot_claim(seg, w, (uint32_t)syscall(SYS_gettid), 1));
}

/* ---- one writer ------------------------------------------------------------------------------------- */

static struct ms_tenant *only_tenant(struct fixture *f)
{
	return f->proc->tenants[0];
}

static void units_over_many_chunks_come_out_in_order_with_their_stacks(void **state)
{
	enum { UNITS = 20000 };
	struct fixture f;
	struct ms_writer w;
	(void)state;
	set_up(&f, 100);
	struct ms_segment *seg = ms_process_segment(f.proc);
	claim(seg, &w);
	for (uint64_t i = 0; i < UNITS; i++) /* the stack grows and shrinks between 1 and 8 frames */
		put_malloc(seg, &w, i + 1, i * 16, (uint32_t)(i % 8), 0x400000 + i % 8);
	struct ms_scan scan = scan_at(&f, UNITS + 100);
	assert_int_equal(scan.n_units, UNITS);
	struct ms_tenant *t = only_tenant(&f);
	for (uint64_t i = 0; i < UNITS; i++) {
		const struct ms_item *item = ms_queue_head(&t->queue);
		uint32_t depth = 0;
		assert_int_equal(MS_ITEM_STAMP(item->key), i + 1);
		assert_int_equal(item->addr, i * 16);
		for (uint32_t at = item->node; at; at = f.proc->tree.nodes[at].parent)
			assert_int_equal(f.proc->tree.nodes[at].ip, 0x400000 + i % 8 - depth++);
		assert_int_equal(depth, i % 8 + 1);
		ms_queue_drop(&t->queue, &f.drain.pool, 1);
	}
	assert_int_equal(f.proc->tree.n, 2 + 8);
	assert_int_equal(atomic_load(&seg->control->chunks_in_use), 1);
	tear_down(&f);
}

static void queue_that_is_full_leaves_the_rest_for_later(void **state)
{
	struct fixture f;
	struct ms_writer w;
	(void)state;
	set_up(&f, 100);
	struct ms_segment *seg = ms_process_segment(f.proc);
	claim(seg, &w);
	for (uint64_t i = 0; i < 20000; i++)
		put_malloc(seg, &w, i + 1, i * 16, 0, 1);
	struct ms_scan scan = scan_with(&f, 50000, 100);
	assert_int_equal(ms_process_scan(f.proc, &scan), 0);
	assert_true(scan.is_behind);
	assert_true(scan.n_units < 20000);
	assert_int_equal(
		scan.bound, scan.n_units); /* what was left behind bears later stamps than what was taken */
	tear_down(&f);
}

static void chunk_filled_again_to_the_same_place_is_not_mistaken_for_the_old_one(void **state)
{
	enum { CHUNK_UNITS = MS_CHUNK_SIZE / 32 };
	struct fixture f;
	struct ms_writer w;
	uint64_t stamp = 0, n = 0;
	(void)state;
	set_up(&f, 1); /* one chunk to hold and one to go on to: they take turns */
	struct ms_segment *seg = ms_process_segment(f.proc);
	claim(seg, &w);
	for (int round = 0; round < 6; round++) {
		struct ms_scan scan = scan_with(&f, 1u << 20, round % 3 == 1 ? 1 : 100000);
		for (int i = 0; i < CHUNK_UNITS; i++)
			put_malloc(seg, &w, ++stamp, 16, 0, 1);
		assert_int_equal(ms_process_scan(f.proc, &scan), 0);
		n += scan.n_units;
		ms_merge_remove(&f.merge, &only_tenant(&f)->queue);
		ms_queue_clear(&only_tenant(&f)->queue, &f.drain.pool);
	}
	assert_int_equal(n, stamp);
	tear_down(&f);
}

static void use_the_processor(void)
{
	struct timespec first, now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &first);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - first.tv_sec) * 1000 + (now.tv_nsec - first.tv_nsec) / 1000000 < 100);
}

static void unit_on_its_way_holds_the_bound_until_its_thread_does_something_else(void **state)
{
	struct fixture f;
	struct ms_writer w;
	(void)state;
	set_up(&f, 100);
	struct ms_segment *seg = ms_process_segment(f.proc);
	claim(seg, &w);
	put_malloc(seg, &w, 100, 16, 0, 1);
	assert_int_equal(scan_at(&f, 5000).bound, 4990);
	ms_writer_intend(&w);
	assert_int_equal(scan_at(&f, 6000).bound, 4990); /* the last look that found it idle */
	assert_int_equal(scan_at(&f, 6900).bound, 4990);
	assert_int_equal(scan_at(&f, 7100).bound, 4990); /* patience has ended; but it is ready to run ... */
	assert_int_equal(scan_at(&f, 8200).bound, 4990); /* ... and has not run since */
	use_the_processor();
	assert_int_equal(scan_at(&f, 8300).bound, 4990); /* asked once in a while */
	assert_int_equal(scan_at(&f, 9300).bound, 9290); /* it must have been torn out of its hook */
	assert_int_equal(scan_at(&f, 9400).bound, 9390);
	put_malloc(seg, &w, 9395, 32, 0, 1);
	ms_writer_idle(&w);
	assert_int_equal(scan_at(&f, 10000).bound, 9990);
	ms_writer_intend(&w); /* and the next one is waited for again */
	assert_int_equal(scan_at(&f, 11000).bound, 9990);
	assert_int_equal(scan_at(&f, 12100).bound, 9990);
	tear_down(&f);
}

static void unit_is_waited_for_only_so_long(void **state)
{
	struct fixture f;
	struct ms_writer w;
	(void)state;
	set_up(&f, 100);
	claim(ms_process_segment(f.proc), &w);
	assert_int_equal(scan_at(&f, 5000).bound, 4990);
	ms_writer_intend(&w);
	for (uint64_t now = 6000; now <= 22000; now += 2000)
		assert_int_equal(scan_at(&f, now).bound, 4990);
	assert_int_equal(scan_at(&f, 24000).bound, 23990);
	tear_down(&f);
}

struct sleeper {
	struct ms_segment *seg;
	pid_t tid;
	sem_t is_in_unit, may_end;
};

static void *sleep_in_a_unit(void *arg)
{
	struct sleeper *s = arg;
	struct ms_writer w;
	claim(s->seg, &w);
	ms_writer_intend(&w);
	s->tid = (pid_t)syscall(SYS_gettid);
	sem_post(&s->is_in_unit);
	sem_wait(&s->may_end);
	return NULL;
}

static void thread_that_sleeps_in_a_unit_is_not_waited_for(void **state)
{
	struct fixture f;
	struct sleeper s = {0};
	pthread_t thread;
	uint64_t cpu_ticks;
	char at = 0;
	(void)state;
	set_up(&f, 100);
	s.seg = ms_process_segment(f.proc);
	sem_init(&s.is_in_unit, 0, 0);
	sem_init(&s.may_end, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, sleep_in_a_unit, &s), 0);
	sem_wait(&s.is_in_unit);
	while (at != 'S') {
		assert_true(ms_procfs_thread_state(getpid(), s.tid, &at, &cpu_ticks));
		sched_yield();
	}
	assert_true(scan_at(&f, 6000).bound < 5990);
	assert_int_equal(scan_at(&f, 7100).bound, 7090);
	sem_post(&s.may_end);
	pthread_join(thread, NULL);
	tear_down(&f);
}

static void stamp_from_the_future_is_a_fault_and_later_units_still_come(void **state)
{
	struct fixture f;
	struct ms_writer w;
	(void)state;
	set_up(&f, 100);
	struct ms_segment *seg = ms_process_segment(f.proc);
	claim(seg, &w);
	put_malloc(seg, &w, 1ull << 55, 16, 0, 1);
	struct ms_scan scan = scan_with(&f, 500, 100);
	scan.leeway = 1000000000;
	assert_int_equal(ms_process_scan(f.proc, &scan), 0);
	assert_int_equal(only_tenant(&f)->faults, 1);
	assert_int_equal(only_tenant(&f)->queue.n, 0);
	put_malloc(seg, &w, 600, 16, 0, 1);
	assert_int_equal(ms_process_scan(f.proc, &scan), 0);
	assert_int_equal(only_tenant(&f)->queue.n, 1);
	tear_down(&f);
}

static void chunks_counted_by_who_jumped_away_are_taken_back(void **state)
{
	enum { BACKLOG = 4 };
	struct fixture f;
	struct ms_writer w;
	(void)state;
	set_up(&f, BACKLOG);
	struct ms_segment *seg = ms_process_segment(f.proc);
	claim(seg, &w);
	put_malloc(seg, &w, 1, 16, 0, 1);
	scan_at(&f, 100);
	atomic_fetch_add(&seg->control->chunks_in_use, 100);
	assert_int_equal(ms_chunk_claim(seg, &w), MS_NO_CHUNK);
	scan_at(&f, 200);
	for (int i = 0; i < BACKLOG - 1; i++)
		assert_int_not_equal(ms_chunk_claim(seg, &w), MS_NO_CHUNK);
	tear_down(&f);
}

static void units_that_came_while_the_pass_was_held_up_are_none_of_the_future(void **state)
{
	struct fixture f;
	struct ms_writer w;
	(void)state;
	set_up(&f, 100);
	struct ms_segment *seg = ms_process_segment(f.proc);
	struct ms_scan scan = scan_with(&f, 1, 100); /* msrecord has been stopped since the machine's start */
	scan.leeway = 1000000;
	claim(seg, &w);
	put_malloc(seg, &w, ms_monotonic_ns(), 16, 0, 1);
	assert_int_equal(ms_process_scan(f.proc, &scan), 0);
	assert_int_equal(only_tenant(&f)->faults, 0);
	assert_int_equal(only_tenant(&f)->queue.n, 1);
	tear_down(&f);
}

static void kept_frames_that_were_never_sent_are_a_fault(void **state)
{
	struct fixture f;
	struct ms_writer w;
	(void)state;
	set_up(&f, 100);
	struct ms_segment *seg = ms_process_segment(f.proc);
	claim(seg, &w);
	put_malloc(seg, &w, 1, 16, 0, 1);
	put_malloc(seg, &w, 2, 16, 5, 1);
	put_malloc(seg, &w, 3, 16, 0, 1);
	assert_int_equal(scan_at(&f, 100).n_units, 1);
	assert_int_equal(only_tenant(&f)->faults, 1);
	put_malloc(
		seg, &w, 4, 16, 1, 1); /* refers to a stack that went with the fault: an event without one */
	put_malloc(seg, &w, 5, 16, 0, 1);
	assert_int_equal(scan_at(&f, 200).n_units, 2);
	assert_int_equal(only_tenant(&f)->faults, 1);
	tear_down(&f);
}

/* ---- many writers ----------------------------------------------------------------------------------- */

struct crowd {
	struct fixture *f;
	int units;
	_Atomic int finished;
};

static void *write_units(void *arg)
{
	struct crowd *c = arg;
	struct ms_segment *seg = ms_process_segment(c->f->proc);
	struct ms_writer w;
	while (!ms_slot_claim(seg, &w, (uint32_t)syscall(SYS_gettid), 1))
		sched_yield();
	for (int i = 0; i < c->units; i++) {
		make_room(seg, &w, 2); /* whoever waits must not hold up the order */
		ms_writer_intend(&w);
		uint64_t stamp = ms_monotonic_ns();
		const uint64_t unit[] = {MS_UNIT_HEAD(MST_OP_FREE, stamp),
			WORD1(((uint64_t)w.index << 32) + (uint64_t)i, MS_UF_SHORT | MS_UF_NO_STACK, 0)};
		put(seg, &w, unit, 2);
		ms_writer_idle(&w);
	}
	atomic_fetch_add(&c->finished, 1);
	return NULL;
}

struct tally {
	uint64_t n, last_stamp, late;
	uint32_t next[64]; /* by slot: each thread's units are numbered */
};

static int count(void *ctx, struct ms_queue *q, struct ms_item *items, uint32_t *n)
{
	struct tally *tally = ctx;
	for (const struct ms_item *item = items; item < items + *n; item++) {
		uint64_t stamp = MS_ITEM_STAMP(item->key);
		assert_int_equal(item->addr >> 32, q->order);
		if ((uint32_t)item->addr == 0) /* another thread has the slot now */
			tally->next[q->order] = 0;
		assert_int_equal((uint32_t)item->addr, tally->next[q->order]++);
		tally->late += stamp < tally->last_stamp;
		tally->last_stamp = stamp;
		tally->n++;
	}
	return 0;
}

static void part_with_the_finished(struct fixture *f)
{
	for (uint32_t i = 0; i < f->proc->n_tenants; i++) {
		struct ms_tenant *t = f->proc->tenants[i];
		if (t && t->is_over && t->queue.n == 0)
			ms_process_part(f->proc, t, &f->drain.pool);
	}
}

/* One pass as the session makes it. */
static void pass(struct fixture *f, struct tally *tally)
{
	struct ms_scan scan = {.drain = &f->drain,
		.merge = &f->merge,
		.now = ms_monotonic_ns(),
		.guard = 100000,
		.patience = 250000000,
		.clock = &by_monotonic,
		.leeway = UINT64_MAX / 2,
		.max_items = 5000,
		.stack_depth = 64};
	scan.bound = scan.now - scan.guard;
	assert_int_equal(ms_process_scan(f->proc, &scan), 0);
	assert_int_equal(ms_merge_run(&f->merge, &f->drain.pool, scan.bound - 1, count, tally), 0);
	part_with_the_finished(f);
	ms_process_reap(f->proc, ms_monotonic_ns());
}

static void threads_that_write_together_are_merged_without_loss_or_lateness(void **state)
{
	enum { THREADS = 8, UNITS = 40000 };
	struct fixture f;
	struct crowd crowd = {.f = &f, .units = UNITS};
	struct tally tally = {0};
	pthread_t threads[THREADS];
	(void)state;
	set_up(&f, 4); /* few chunks: they are used again and again */
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_units, &crowd), 0);
	while (atomic_load(&crowd.finished) < THREADS)
		pass(&f, &tally);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	do /* found gone in /proc, drained, and released */
		pass(&f, &tally);
	while (f.proc->n_live);
	assert_int_equal(tally.n, THREADS * UNITS);
	assert_int_equal(tally.late, 0);
	assert_int_equal(atomic_load(&ms_process_segment(f.proc)->control->live_slots), 0);
	assert_int_equal(atomic_load(&ms_process_segment(f.proc)->control->chunks_in_use), 0);
	tear_down(&f);
}

static void short_lived_threads_leave_their_slots_to_others(void **state)
{
	enum { THREADS = 200 };
	struct fixture f;
	struct crowd crowd = {.f = &f, .units = 3};
	struct tally tally = {0};
	(void)state;
	set_up(&f, 16);
	ms_process_segment(f.proc)->n_slots = 8;
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;
		assert_int_equal(pthread_create(&thread, NULL, write_units, &crowd), 0);
		while (atomic_load(&crowd.finished) < i + 1)
			pass(&f, &tally);
		pthread_join(thread, NULL);
	}
	do
		pass(&f, &tally);
	while (f.proc->n_live);
	assert_int_equal(tally.n, THREADS * 3);
	tear_down(&f);
}

/* ---- scribbles -------------------------------------------------------------------------------------- */

static int ignore(void *ctx, struct ms_queue *q, struct ms_item *items, uint32_t *n)
{
	(void)ctx, (void)q;
	for (struct ms_item *item = items; item < items + *n; item++)
		if (item->kind >= MS_U_MODULE)
			free(item->note);
		else if (mst_op_maps(item->kind))
			free(item->more);
	return 0;
}

static uint64_t noise(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 20;
}

static void random_scribbles_are_survived(void **state)
{
	(void)state;
	for (uint64_t round = 0; round < 60; round++) {
		struct fixture f;
		struct ms_writer w[3];
		uint64_t seed = round;
		set_up(&f, 64);
		struct ms_segment *seg = ms_process_segment(f.proc);
		for (uint32_t i = 0; i < 3; i++)
			assert_true(ms_slot_claim(seg, &w[i], 1000 + i, 1));
		for (int step = 0; step < 300; step++) {
			for (uint64_t i = 0; i < 40; i++) {
				struct ms_writer *to = &w[noise(&seed) % 3];
				if (!ms_writer_fits(to, 4) && !ms_writer_advance(seg, to))
					continue;
				put_malloc(seg, to, (uint64_t)step + 1, 16, (uint32_t)(i % 3),
					0x400000 + noise(&seed) % 64);
			}
			unsigned char *base = (unsigned char *)seg->control;
			/* where the program may write: slots, bitmap, headers and the chunks in use */
			uint64_t span =
				noise(&seed) % 2 ? MS_OFF_CHUNKS + 8 * MS_CHUNK_SIZE : MS_OFF_SLOTS + 8 * 128;
			uint64_t at = MS_PAGE + noise(&seed) % (span - MS_PAGE - 64);
			if (noise(&seed) % 4 == 0)
				at = MS_OFF_HEADERS + noise(&seed) % 512;
			for (uint64_t n = noise(&seed) % 24; n > 0; n--)
				base[at + n] = (unsigned char)noise(&seed);
			atomic_store(
				&seg->control->slots_high, (uint32_t)(noise(&seed) % 50 ? 3 : noise(&seed)));
			scan_at(&f, (uint64_t)step + 1000);
			assert_int_equal(ms_merge_run(&f.merge, &f.drain.pool, UINT64_MAX, ignore, NULL), 0);
		}
		ms_process_die(f.proc, 1, 0, 0);
		scan_at(&f, 5000);
		assert_int_equal(ms_merge_run(&f.merge, &f.drain.pool, UINT64_MAX, ignore, NULL), 0);
		part_with_the_finished(&f);
		assert_true(ms_process_is_finished(f.proc));
		tear_down(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_over_many_chunks_come_out_in_order_with_their_stacks),
		cmocka_unit_test(queue_that_is_full_leaves_the_rest_for_later),
		cmocka_unit_test(chunk_filled_again_to_the_same_place_is_not_mistaken_for_the_old_one),
		cmocka_unit_test(unit_on_its_way_holds_the_bound_until_its_thread_does_something_else),
		cmocka_unit_test(unit_is_waited_for_only_so_long),
		cmocka_unit_test(thread_that_sleeps_in_a_unit_is_not_waited_for),
		cmocka_unit_test(stamp_from_the_future_is_a_fault_and_later_units_still_come),
		cmocka_unit_test(chunks_counted_by_who_jumped_away_are_taken_back),
		cmocka_unit_test(units_that_came_while_the_pass_was_held_up_are_none_of_the_future),
		cmocka_unit_test(kept_frames_that_were_never_sent_are_a_fault),
		cmocka_unit_test(threads_that_write_together_are_merged_without_loss_or_lateness),
		cmocka_unit_test(short_lived_threads_leave_their_slots_to_others),
		cmocka_unit_test(random_scribbles_are_survived),
	};
	if (ms_share_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

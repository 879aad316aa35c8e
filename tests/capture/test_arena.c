/* test_arena.c - both ends of the arena in one process: threads write, one thread reads. Run under
 * ThreadSanitizer it checks the memory order that arena.h argues for. */
#include "arena.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static struct ms_segment seg;

static int make_segment(void **state)
{
	void *base = mmap(NULL, MS_SEGMENT_SIZE, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	(void)state;
	assert_true(base != MAP_FAILED);
	struct ms_control *c = base;
	c->magic = MS_WIRE_MAGIC;
	c->abi = MS_WIRE_ABI;
	c->size = sizeof(*c);
	c->n_chunks = 70; /* not a multiple of 64 */
	c->n_slots = 16;
	c->backlog = 6;
	assert_true(ms_segment_view(&seg, base));
	return 0;
}

static int drop_segment(void **state)
{
	(void)state;
	return munmap(seg.control, MS_SEGMENT_SIZE);
}

/* Publishes one unit of `words` words: its number, then a pattern. Waits for room. */
static void write_unit(struct ms_writer *w, uint64_t number, size_t words)
{
	while (!ms_writer_fits(w, words) && !ms_writer_advance(&seg, w))
		sched_yield();
	ms_writer_intend(w);
	w->pos[0] = number << 16 | words;
	for (size_t i = 1; i < words; i++)
		w->pos[i] = number * i;
	ms_writer_commit(w, w->pos + words);
	ms_writer_idle(w);
}

/* What a reader has seen of a slot's tenancies. */
struct seen {
	struct ms_cursor cursor;
	bool is_followed;
	uint64_t next_number, n_units;
};

static void check_units(struct seen *s, const unsigned char *bytes, uint32_t len)
{
	const uint64_t *u = (const void *)bytes, *end = u + len / 8;
	while (u < end) {
		size_t words = u[0] & 0xffff;
		assert_int_equal(u[0] >> 16, s->next_number);
		assert_true(words <= (size_t)(end - u));
		for (size_t i = 1; i < words; i++)
			assert_int_equal(u[i], s->next_number * i);
		s->next_number++;
		s->n_units++;
		u += words;
	}
}

/* One look at a slot; releases it if its last unit says that the tenant has gone. */
static void read_slot(struct seen *s, uint32_t i, const _Atomic bool *gone)
{
	struct ms_slot *slot = &seg.slots[i];
	const unsigned char *bytes;
	uint32_t len;
	int rc;
	if (atomic_load_explicit(&slot->state, memory_order_acquire) != MS_SLOT_LIVE)
		return;
	bool is_gone = atomic_load_explicit(&gone[atomic_load(&slot->tid)], memory_order_acquire);
	if (!s->is_followed) {
		*s = (struct seen){.cursor = ms_cursor_start(i), .is_followed = true, .n_units = s->n_units};
	}
	struct ms_look look = ms_slot_look(slot);
	while ((rc = ms_cursor_next(&seg, &s->cursor, look.committed, &bytes, &len)) > 0)
		check_units(s, bytes, len);
	assert_int_equal(rc, 0);
	if (is_gone) {
		ms_slot_release(&seg, &s->cursor);
		s->is_followed = false;
	}
	ms_arena_freed(&seg);
}

enum { WRITERS = 8, TENANCIES = 30, UNITS = 400 };
static _Atomic bool gone[1 + WRITERS * TENANCIES]; /* by "thread id" */
static _Atomic int n_finished;

static void *write_tenancies(void *arg)
{
	uint64_t x = (uint64_t)(uintptr_t)arg * 88172645463325252u + 1;
	for (int tenancy = 0; tenancy < TENANCIES; tenancy++) {
		uint32_t tid = 1 + (uint32_t)(uintptr_t)arg * TENANCIES + (uint32_t)tenancy;
		struct ms_writer w;
		while (!ms_slot_claim(&seg, &w, tid, 0))
			sched_yield();
		for (uint64_t n = 0; n < UNITS; n++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			write_unit(&w, n, 2 + x % (x % 64 == 0 ? 4094 : 30));
		}
		atomic_store_explicit(&gone[tid], true, memory_order_release);
	}
	atomic_fetch_add(&n_finished, 1);
	return NULL;
}

static void every_unit_arrives_whole_and_in_order(void **state)
{
	static struct seen seen[MS_MAX_SLOTS];
	pthread_t t[WRITERS];
	uint64_t n = 0;
	(void)state;
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_tenancies, (void *)i), 0);
	for (bool last = false; !last;) {
		last = atomic_load(&n_finished) == WRITERS;
		for (uint32_t i = 0; i < atomic_load(&seg.control->slots_high); i++)
			read_slot(&seen[i], i, gone);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	for (uint32_t i = 0; i < seg.n_slots; i++) {
		n += seen[i].n_units;
		assert_int_equal(seg.slots[i].tid, 0);
	}
	assert_int_equal(n, (uint64_t)WRITERS * TENANCIES * UNITS);
	assert_int_equal(seg.control->chunks_in_use, 0);
	assert_int_equal(seg.control->live_slots, 0);
	assert_int_equal(seg.bitmap[0] | seg.bitmap[1], 0);
}

/* Of a slot that is nobody's, to claim chunks and no more. */
static struct ms_writer some_writer(void)
{
	return (struct ms_writer){.slot = &seg.slots[15], .index = 15, .chunk = MS_NO_CHUNK};
}

static void the_backlog_and_one_chunk_for_each_slot_can_be_claimed(void **state)
{
	const struct ms_writer other = some_writer();
	struct ms_writer w = {0};
	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(ms_chunk_claim(&seg, &other), i);
	assert_int_equal(ms_chunk_claim(&seg, &other), MS_NO_CHUNK);
	assert_true(ms_slot_claim(&seg, &w, 7, 0));
	assert_true(ms_writer_advance(&seg, &w));
	assert_int_equal(w.chunk, 6);
	assert_false(ms_writer_advance(&seg, &w));
	assert_int_equal(w.chunk, 6);
	ms_chunk_release(&seg, 3);
	assert_int_equal(ms_chunk_claim(&seg, &other), 3);
	ms_chunk_release(&seg, 60); /* was not in use: nothing happens */
	assert_int_equal(seg.control->chunks_in_use, 7);
}

static void no_chunk_beyond_the_last_is_ever_claimed(void **state)
{
	const struct ms_writer w = some_writer();
	(void)state;
	seg.backlog = 1000;
	for (uint32_t i = 0; i < 70; i++)
		assert_int_equal(ms_chunk_claim(&seg, &w), i);
	assert_int_equal(ms_chunk_claim(&seg, &w), MS_NO_CHUNK);
	assert_int_equal(seg.control->chunks_in_use, 70);
}

static void slots_run_out(void **state)
{
	struct ms_writer w;
	(void)state;
	for (uint32_t i = 0; i < 16; i++) {
		assert_true(ms_slot_claim(&seg, &w, 100 + i, 0));
		assert_int_equal(w.index, i);
	}
	assert_false(ms_slot_claim(&seg, &w, 200, 0));
	struct ms_cursor c = ms_cursor_start(5);
	ms_slot_release(&seg, &c);
	assert_true(ms_slot_claim(&seg, &w, 200, 0));
	assert_int_equal(w.index, 5);
	assert_int_equal(seg.slots[5].tenancy, 2);
	assert_int_equal(seg.control->live_slots, 16);
}

/* Three chunks of units behind a cursor, then damage of one kind; the cursor must notice, and stop. */
static struct ms_writer three_chunks(void)
{
	struct ms_writer w;
	assert_true(ms_slot_claim(&seg, &w, 9, 0));
	for (uint64_t n = 0; n < 6; n++)
		write_unit(&w, n, 2000);
	return w;
}

static int read_all(uint32_t slot, uint64_t committed)
{
	struct ms_cursor c = ms_cursor_start(slot);
	const unsigned char *bytes;
	uint32_t len;
	int rc, n = 0;
	while ((rc = ms_cursor_next(&seg, &c, committed, &bytes, &len)) > 0)
		assert_true(++n < 1000 && len <= MS_CHUNK_SIZE && bytes >= seg.chunks &&
			    bytes + len <= ms_chunk_bytes(&seg, seg.n_chunks));
	return rc;
}

static void a_cursor_notices_what_makes_no_sense(void **state)
{
	struct ms_writer w = three_chunks();
	(void)state;
	assert_int_equal(read_all(w.index, seg.slots[w.index].committed), 0);
	const uint64_t wrong[] = {MS_COMMITTED(w.chunk, MS_CHUNK_SIZE + 8), MS_COMMITTED(w.chunk, 12),
		MS_COMMITTED(seg.n_chunks, 8) /* where the chain never gets */};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		drop_segment(NULL);
		make_segment(NULL);
		w = three_chunks();
		assert_int_equal(read_all(w.index, wrong[i]), -1);
	}
}

static void a_cursor_follows_no_wrong_link(void **state)
{
	static const uint32_t wrong[] = {MS_NO_CHUNK, 1u << 30, 70, 5};
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ms_writer w = three_chunks();
		struct ms_slot *s = &seg.slots[w.index];
		struct ms_chunk_header *h = &seg.headers[s->first_chunk];
		h->next = wrong[i];
		assert_int_equal(read_all(w.index, s->committed), -1);
		drop_segment(NULL);
		make_segment(NULL);
	}
	struct ms_writer w = three_chunks();
	struct ms_slot *s = &seg.slots[w.index];
	seg.headers[s->first_chunk].next = s->first_chunk; /* a ring */
	assert_int_equal(read_all(w.index, s->committed), -1);
}

/* A jump out of ms_writer_advance after it linked a chunk and before it entered it; and one out of a unit. */
static void a_writer_left_by_a_jump_recovers(void **state)
{
	struct ms_writer w = three_chunks();
	(void)state;
	struct ms_writer before = w;
	w.pos[0] = 77; /* half a unit */
	ms_writer_recover(&seg, &w);
	assert_memory_equal(&w, &before, sizeof(w));
	assert_true(ms_writer_advance(&seg, &w));
	uint32_t linked = w.chunk, in_use = seg.control->chunks_in_use;
	ms_writer_recover(&seg, &w); /* nothing was published in the new chunk */
	assert_int_equal(w.chunk, before.chunk);
	assert_true(ms_writer_advance(&seg, &w));
	assert_int_equal(w.chunk, linked);
	assert_int_equal(seg.control->chunks_in_use, in_use);
	write_unit(&w, 6, 10);
	assert_int_equal(read_all(w.index, seg.slots[w.index].committed), 0);
}

/* A writer follows its slot's word nowhere: a broken program may have written it. */
static void a_writer_recovers_from_no_place_that_makes_no_sense(void **state)
{
	struct ms_writer w = three_chunks();
	const uint64_t wrong[] = {MS_COMMITTED(seg.n_chunks, 8), MS_COMMITTED(1u << 30, 8), MS_COMMITTED(MS_NO_CHUNK, 8),
		MS_COMMITTED(w.chunk, MS_CHUNK_SIZE + 8), MS_COMMITTED(w.chunk, 12)};
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		seg.slots[w.index].committed = wrong[i];
		ms_writer_recover(&seg, &w);
		assert_int_equal(w.chunk, MS_NO_CHUNK);
		assert_false(ms_writer_fits(&w, 1));
	}
	seg.slots[w.index].committed = MS_COMMITTED(1, MS_CHUNK_SIZE); /* full, and so it says */
	ms_writer_recover(&seg, &w);
	assert_int_equal(w.chunk, 1);
	assert_false(ms_writer_fits(&w, 1));
}

#ifndef __SANITIZE_THREAD__ /* which puts signals off */

/* The trap flag brings SIGTRAP after each instruction. The handler lets n_steps_left of them go by and jumps. */
#define TRAP_FLAG 0x100

static volatile long n_steps_left;
static sigjmp_buf out_of_here;

static void on_step(int sig)
{
	(void)sig;
	if (--n_steps_left == 0)
		siglongjmp(out_of_here, 1);
}

/* True: the jump came in time. */
static bool jump_out_of_advance(struct ms_writer *w, long at)
{
	n_steps_left = at;
	if (sigsetjmp(out_of_here, 1) != 0)
		return true;
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
	ms_writer_advance(&seg, w);
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(unsigned long long)TRAP_FLAG);
	return false;
}

static void no_jump_out_of_an_advance_leaves_a_chunk_behind(void **state)
{
	static struct ms_writer w;
	struct sigaction step = {.sa_handler = on_step};
	(void)state;
	sigaction(SIGTRAP, &step, NULL);
	bool was_in_time = true;
	for (long i = 0; was_in_time; i++) {
		bool goes_on = i % 2; /* the thread; or it ends there */
		assert_true(ms_slot_claim(&seg, &w, 9, 0));
		for (uint64_t n = 0; n < 4; n++)
			write_unit(&w, n, 1000);
		was_in_time = jump_out_of_advance(&w, i / 2 + 1);
		ms_writer_recover(&seg, &w);
		for (uint64_t n = 4; goes_on && n < 10; n++)
			write_unit(&w, n, 1000);
		struct seen s = {.cursor = ms_cursor_start(w.index), .is_followed = true};
		atomic_store(&gone[9], true);
		read_slot(&s, w.index, gone);
		assert_int_equal(s.n_units, goes_on ? 10 : 4);
		ms_chunks_recount(&seg);
		assert_int_equal(seg.control->chunks_in_use, 0);
		assert_int_equal(seg.bitmap[0] | seg.bitmap[1], 0);
		for (uint32_t c = 0; c < seg.n_chunks; c++)
			assert_int_equal(seg.headers[c].owner, 0);
	}
	signal(SIGTRAP, SIG_DFL);
}

#endif

static void absurd_control_pages_are_refused(void **state)
{
	struct ms_segment other;
	(void)state;
	seg.control->n_chunks = MS_MAX_CHUNKS + 1;
	assert_false(ms_segment_view(&other, seg.control));
	seg.control->n_chunks = 70;
	seg.control->n_slots = 0;
	assert_false(ms_segment_view(&other, seg.control));
	seg.control->n_slots = 16;
	seg.control->abi++;
	assert_false(ms_segment_view(&other, seg.control));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_segment, drop_segment)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_unit_arrives_whole_and_in_order),
		TEST(the_backlog_and_one_chunk_for_each_slot_can_be_claimed),
		TEST(no_chunk_beyond_the_last_is_ever_claimed),
		TEST(slots_run_out),
		TEST(a_cursor_notices_what_makes_no_sense),
		TEST(a_cursor_follows_no_wrong_link),
		TEST(a_writer_left_by_a_jump_recovers),
		TEST(a_writer_recovers_from_no_place_that_makes_no_sense),
#ifndef __SANITIZE_THREAD__
		TEST(no_jump_out_of_an_advance_leaves_a_chunk_behind),
#endif
		TEST(absurd_control_pages_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

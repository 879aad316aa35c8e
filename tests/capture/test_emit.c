/* test_emit.c - what a jump out of a hook leaves behind, and that the next hook puts it right: the states are made here, one by
 * one, that a program hits at one instruction in thousands. Without stacks, in a segment of its own; the test reads what
 * was published as msrecord would. */
#include "emit.h"

#include "modules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

/* ---- what emit.c needs of its neighbours ---- */

__thread struct ms_tls ms_tls;
struct ms_image_page ms_image_page;

void ms_go_silent(void)
{
	fail();
}

bool ms_pause_notice(void)
{
	return false;
}

bool ms_modules_next_loaded(uint32_t *cursor, struct dl_find_object *found)
{
	(void)cursor, (void)found;
	return false;
}

bool ms_modules_take_unloaded(uint64_t *start)
{
	(void)start;
	return false;
}

void ms_modules_remember(const struct dl_find_object *found)
{
	(void)found;
}

size_t ms_module_unit_room(const struct dl_find_object *found)
{
	(void)found;
	return 0;
}

size_t ms_module_unit_write(const struct dl_find_object *found, uint64_t stamp, uint64_t *unit)
{
	(void)found, (void)stamp, (void)unit;
	return 0;
}

/* ---- a thread that records ---- */

static struct ms_thread thread;
static struct ms_cursor cursor;
enum { HOOK = 0x7000, HANDLERS_HOOK = 0x6000 }; /* frames; nobody looks there */

static int attach(void **state)
{
	void *base = mmap(NULL, MS_SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct ms_control *c = base;
	(void)state;
	assert_true(base != MAP_FAILED);
	*c = (struct ms_control){.magic = MS_WIRE_MAGIC, .abi = MS_WIRE_ABI, .size = sizeof(*c), .n_chunks = 8, .n_slots = 2, .backlog = 4};
	ms_session = (struct ms_session){.base = base, .size = MS_SEGMENT_SIZE};
	memset(&thread, 0, sizeof(thread));
	assert_true(ms_segment_view(&ms_session.segment, base));
	assert_true(ms_slot_claim(&ms_session.segment, &thread.writer, 1, 0));
	ms_tls = (struct ms_tls){.thread = &thread};
	cursor = ms_cursor_start(thread.writer.index);
	return 0;
}

static int detach(void **state)
{
	(void)state;
	return munmap(ms_session.base, MS_SEGMENT_SIZE);
}

/* A call of such a size, by a hook or by that of a handler which came while one was recording. */
static void call(size_t size, bool is_handlers)
{
	uintptr_t saved = ms_tls.guard;
	struct ms_call call = {.thread = &thread, .mine = is_handlers ? HANDLERS_HOOK | MS_GUARD_ASIDE : HOOK, .saved = saved};
	struct ms_event ev = {.kind = MS_CALL_MALLOC, .addr = 0x1000, .size = size};
	ms_tls.guard = call.mine;
	ms_emit_acquired(&call, &ev);
	ms_tls.guard = saved;
}

/* As lifecycle.c does when it has found a guard that nobody minds any more. */
static void recover(void)
{
	ms_tls.guard = HOOK | MS_GUARD_RECORDING;
	ms_emit_recover(&thread);
	ms_tls.guard = 0;
}

/* The sizes of the calls published since the last time are these, and no more. 0 ends them. */
static void arrive(size_t first, ...)
{
	struct ms_look look = ms_slot_look(thread.writer.slot);
	const unsigned char *bytes;
	uint32_t len;
	size_t want = first;
	va_list rest;
	va_start(rest, first);
	while (ms_cursor_next(&ms_session.segment, &cursor, look.committed, &bytes, &len) > 0) {
		const uint64_t *u = (const void *)bytes, *end = u + len / 8;
		for (; u < end; u += 3) {
			assert_int_equal(MS_UNIT_KIND(u[0]), MS_CALL_MALLOC);
			assert_int_equal(u[2], want);
			want = va_arg(rest, size_t);
		}
	}
	va_end(rest);
	assert_int_equal(want, 0);
	assert_false(look.busy);
}

/* ---- what jumps leave ---- */

static void a_unit_half_written_is_written_over(void **state)
{
	(void)state;
	call(101, false);
	ms_writer_intend(&thread.writer);
	thread.writer.pos[0] = 77;
	thread.writer.pos += 1; /* of the two stores of ms_writer_commit the first */
	recover();
	arrive((size_t)101, (size_t)0);
	call(102, false);
	arrive((size_t)102, (size_t)0);
}

static void the_next_stack_is_told_whole(void **state)
{
	(void)state;
	call(101, false);
	thread.needs_whole_stack = false;
	recover();
	assert_true(thread.needs_whole_stack);
}

static void what_handlers_put_aside_is_published(void **state)
{
	(void)state;
	call(101, false);
	ms_tls.guard = HOOK | MS_GUARD_RECORDING;
	call(201, true);
	call(202, true);
	assert_int_equal(thread.side.n, 2);
	recover();
	assert_int_equal(thread.side.n, 0);
	arrive((size_t)101, (size_t)201, (size_t)202, (size_t)0);
	assert_int_equal(thread.writer.slot->aside, 0);
}

static void what_was_published_of_it_is_not_again(void **state)
{
	(void)state;
	ms_tls.guard = HOOK | MS_GUARD_RECORDING;
	call(201, true);
	call(202, true);
	thread.side.first = 2; /* both are, and n is still 2 */
	recover();
	arrive((size_t)0);
	assert_int_equal(thread.side.n + thread.side.first, 0);
}

static void a_side_buffer_just_emptied_is_used_from_its_beginning(void **state)
{
	(void)state;
	thread.side.first = 2; /* n is 0 already */
	recover();
	ms_tls.guard = HOOK | MS_GUARD_RECORDING;
	call(201, true);
	ms_tls.guard = 0;
	call(102, false);
	arrive((size_t)201, (size_t)102, (size_t)0);
}

/* A hook that waits for room lets handlers publish; one that writes a unit must not. */
static void who_waited_for_room_does_so_no_more(void **state)
{
	(void)state;
	thread.side.may_move = true;
	recover();
	assert_false(thread.side.may_move);
}

static void what_handlers_could_not_put_aside_is_counted(void **state)
{
	(void)state;
	call(101, false);
	ms_tls.guard = HOOK | MS_GUARD_RECORDING;
	ms_emit_drop_aside(&thread);
	recover();
	assert_int_equal(thread.side.n_dropped, 0);
	assert_int_equal(thread.writer.slot->lost_events, 1);
	assert_int_equal(thread.writer.slot->aside, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, attach, detach)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_unit_half_written_is_written_over),
		TEST(the_next_stack_is_told_whole),
		TEST(what_handlers_put_aside_is_published),
		TEST(what_was_published_of_it_is_not_again),
		TEST(a_side_buffer_just_emptied_is_used_from_its_beginning),
		TEST(who_waited_for_room_does_so_no_more),
		TEST(what_handlers_could_not_put_aside_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Items in order → the trace: what msrecord makes of them is read back from the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mstrace.h"
#include "translate.h"

#define EVENTS_MAX 64

/* A trace in the making: two processes, the second may be a child of the first; two threads in the first. Then, when it
 * is finished, what a reader finds in it. */
struct fixture {
	FILE *file;
	struct mst_writer *w;
	struct ms_clock_map clock;
	struct ms_translator tr;
	struct ms_process *proc[2];
	struct ms_tenant *t[3]; /* 0 and 1 of the first process, 2 of the second */
	struct ms_pool pool;
	uint64_t now;

	struct mst_reader *r;
	struct mst_replay *replay;
	struct mst_event ev[EVENTS_MAX];
	size_t n;
};

enum { FORK_ID = 7 }; /* of the child, where there is one */

static struct ms_process *new_process(uint32_t pid, uint32_t image, uint64_t fork_id)
{
	struct ms_arrival *a = calloc(1, sizeof *a);
	a->pid = (pid_t)pid;
	a->pidfd = a->proc_dir = a->tmp_dir = -1;
	a->hello = (struct ms_hello){.image = image, .pid = pid, .ppid = 100, .fork_id = fork_id};
	a->exe = strdup("/bin/program");
	a->exe_len = strlen(a->exe);
	struct ms_process *p = ms_process_new(a);
	assert_non_null(p);
	return p;
}

static int set_up(void **state, uint32_t second_image, uint64_t fork_id)
{
	const struct mst_writer_options opt = {.header = {.has_addresses = true, .tool = "test"}};
	struct fixture *f = *state = calloc(1, sizeof *f);
	assert_non_null(f);
	f->file = tmpfile();
	assert_non_null(f->file);
	assert_int_equal(mst_writer_open(fileno(f->file), &opt, &f->w), 0);
	ms_clock_start(&f->clock, MS_CLOCK_MONOTONIC);
	ms_translator_init(&f->tr, f->w, &f->clock, 100);
	f->proc[0] = new_process(100, MS_IMAGE_NEW, 0);
	f->proc[1] = new_process(200, second_image, fork_id);
	f->proc[1]->next = f->proc[0];
	f->tr.processes = f->proc[1];
	for (uint32_t i = 0; i < 3; i++) {
		f->t[i] = ms_tenant_new(f->proc[i == 2], i, 64);
		f->t[i]->tid = 1000 + i;
	}
	return 0;
}

static int set_up_strangers(void **state)
{
	return set_up(state, MS_IMAGE_NEW, 0);
}

static int set_up_parent_and_child(void **state)
{
	return set_up(state, MS_IMAGE_FORKED, FORK_ID);
}

static void put(struct fixture *f, int thread, struct ms_item item)
{
	uint32_t n = 1;
	item.key = MS_ITEM_KEY(++f->now, false);
	assert_int_equal(ms_translate(&f->tr, &f->t[thread]->queue, &item, &n), 0);
	assert_int_equal(n, 1);
}

static void put_malloc(struct fixture *f, int thread, uint64_t addr)
{
	put(f, thread, (struct ms_item){.kind = MST_OP_MALLOC, .addr = addr, .size = 10});
}

static void put_free(struct fixture *f, int thread, uint64_t addr)
{
	put(f, thread, (struct ms_item){.kind = MST_OP_FREE, .addr = addr});
}

static void put_begin(struct fixture *f, int thread, uint64_t old)
{
	put(f, thread, (struct ms_item){.kind = MST_OP_REALLOC_BEGIN, .addr = old});
}

static void put_outcome(
	struct fixture *f, int thread, unsigned op, uint64_t old, uint64_t addr, uint8_t flags)
{
	put(f, thread,
		(struct ms_item){.kind = (uint8_t)op,
			.addr = addr,
			.size = addr ? 20 : 0,
			.old_addr = old,
			.flags = MS_UF_OLD | flags,
			.err = flags & MS_UF_FAILED ? 12 : 0});
}

static void put_note(struct fixture *f, int thread, const uint64_t *words, uint32_t n)
{
	struct ms_note *note = malloc(sizeof *note + n * 8);
	memcpy(note->words, words, n * 8);
	note->n_words = n;
	put(f, thread, (struct ms_item){.kind = (uint8_t)MS_UNIT_KIND(words[0]), .note = note});
}

/* Closes the trace and reads it. */
static void finish(struct fixture *f)
{
	struct mst_problem problem;
	struct mst_event ev;
	ms_translator_release(&f->tr);
	assert_int_equal(mst_writer_close(f->w, true, 0, NULL), 0);
	for (int i = 0; i < 3; i++)
		ms_tenant_free(f->t[i], &f->pool);
	ms_process_free(f->proc[0], &f->pool);
	ms_process_free(f->proc[1], &f->pool);
	assert_int_equal(mst_reader_open_fd(fileno(f->file), NULL, &f->r, &problem), 0);
	assert_int_equal(mst_replay_new(f->r, &(struct mst_replay_options){0}, &f->replay), 0);
	while (mst_reader_next(f->r, &ev) > 0) {
		assert_true(f->n < EVENTS_MAX);
		assert_int_equal(mst_replay_apply(f->replay, &ev), 0);
		f->ev[f->n++] = ev;
	}
}

/* Every test has finished its trace. */
static int tear_down(void **state)
{
	struct fixture *f = *state;
	mst_replay_free(f->replay);
	mst_reader_close(f->r);
	fclose(f->file);
	free(f);
	return 0;
}

static void both_halves_of_a_realloc_are_one_event(void **state)
{
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	put_begin(f, 0, 0x1000);
	put_malloc(f, 1, 0x5000); /* of another thread, elsewhere */
	put_outcome(f, 0, MST_OP_REALLOC, 0x1000, 0x2000, 0);
	finish(f);
	assert_int_equal(f->n, 3);
	assert_int_equal(f->ev[2].op, MST_OP_REALLOC);
	assert_int_equal(f->ev[2].freed, 1);
	assert_int_equal(f->ev[2].alloc, 3);
	assert_int_equal(mst_replay_totals(f->replay)->live_blocks, 2);
}

static void realloc_is_split_when_its_old_place_is_taken_in_between(void **state)
{
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	put_begin(f, 0, 0x1000);
	put_malloc(f, 1, 0x1000);
	put_outcome(f, 0, MST_OP_REALLOC, 0x1000, 0x2000, 0);
	put_free(f, 1, 0x1000);
	finish(f);
	assert_int_equal(f->n, 5);
	assert_int_equal(f->ev[1].op, MST_OP_REALLOC_BEGIN);
	assert_int_equal(f->ev[1].thread, f->ev[0].thread);
	assert_int_equal(f->ev[1].freed, 1);
	assert_int_equal(f->ev[2].alloc, 2);
	assert_int_equal(f->ev[3].op, MST_OP_REALLOC_END);
	assert_int_equal(f->ev[3].alloc, 3);
	assert_int_equal(f->ev[4].freed, 2);
	assert_int_equal(mst_reader_end(f->r)->overlaps, 0);
	assert_int_equal(mst_replay_totals(f->replay)->live_blocks, 1);
}

/* ---- pauses ---- */

static void put_pause(struct fixture *f, int thread, bool is_pause)
{
	const uint64_t word = is_pause ? MS_U_PAUSE : MS_U_RESUME;
	put_note(f, thread, &word, 1);
}

static void say(struct fixture *f, enum mst_annotation_kind kind, const char *name)
{
	assert_int_equal(ms_translate_annotation(&f->tr, kind, NULL, name, strlen(name), ++f->now), 0);
}

static void in_a_pause_only_ends_of_known_blocks_are_told(void **state)
{
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	put_malloc(f, 0, 0x2000);
	put_malloc(f, 0, 0x3000);
	put_pause(f, 0, true);
	put_malloc(f, 0, 0x4000); /* left out */
	put(f, 0, (struct ms_item){.kind = MST_OP_MALLOC, .size = 5, .flags = MS_UF_FAILED, .err = 12}); /* as well */
	put_free(f, 1, 0x1000);   /* known: by whatever thread */
	put_malloc(f, 1, 0x1000); /* left out, at a known place */
	put_free(f, 0, 0x1000);   /* of what was left out */
	put_begin(f, 0, 0x2000);
	put_outcome(f, 0, MST_OP_REALLOC, 0x2000, 0x5000, 0);
	put_begin(f, 0, 0x4000);
	put_outcome(f, 0, MST_OP_REALLOC, 0x4000, 0x2000, 0); /* of what was left out */
	put_begin(f, 0, 0x5000);
	put_outcome(f, 0, MST_OP_REALLOC, 0x5000, 0, MS_UF_FAILED);
	put_begin(f, 0, 0x3000);
	put_outcome(f, 0, MST_OP_REALLOC_FREE, 0x3000, 0, 0);
	put_pause(f, 1, false);
	put_free(f, 0, 0x5000);
	put_free(f, 0, 0x2000); /* not known: told as foreign */
	put_malloc(f, 0, 0x2000);
	finish(f);
	assert_int_equal(f->n, 9);
	assert_int_equal(f->ev[3].op, MST_OP_FREE);
	assert_int_equal(f->ev[3].freed, 1);
	assert_int_equal(f->ev[3].stack, MST_STACK_NONE);
	assert_int_equal(f->ev[4].op, MST_OP_REALLOC);
	assert_int_equal(f->ev[4].freed, 2);
	assert_int_equal(f->ev[5].op, MST_OP_REALLOC_FREE);
	assert_int_equal(f->ev[5].freed, 3);
	assert_int_equal(f->ev[6].freed, 4);
	assert_true(f->ev[7].flags & MST_EV_FOREIGN);
	assert_int_equal(mst_replay_totals(f->replay)->live_blocks, 1);
	assert_int_equal(mst_reader_end(f->r)->overlaps, 0);
	assert_int_equal(mst_reader_n_annotations(f->r), 2);
	assert_int_equal(mst_reader_annotation(f->r, 0)->event, 3);
	assert_int_equal(mst_reader_annotation(f->r, 0)->process, 1);
	assert_int_equal(mst_reader_annotation(f->r, 1)->event, 6);
	assert_int_equal(mst_reader_annotation(f->r, 1)->thread, f->ev[3].thread);
}

/* Another thread gets the old place of a realloc that is under way, unseen, and frees it: that is not the end of the old
 * block, which the realloc has moved. */
static void release_in_a_pause_splits_a_realloc_like_the_acquisition_nobody_saw(void **state)
{
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	put_pause(f, 0, true);
	put_begin(f, 0, 0x1000);
	put_free(f, 1, 0x1000);
	put_outcome(f, 0, MST_OP_REALLOC, 0x1000, 0x2000, 0);
	put_begin(f, 0, 0x7000); /* not known: all of it is left out */
	put_free(f, 1, 0x7000);
	put_outcome(f, 0, MST_OP_REALLOC, 0x7000, 0x8000, 0);
	put_begin(f, 0, 0x2000);
	put_free(f, 1, 0x2000);
	put_pause(f, 0, false);
	put_outcome(f, 0, MST_OP_REALLOC, 0x2000, 0x3000, 0); /* ends behind the resume */
	put_free(f, 0, 0x3000);
	finish(f);
	assert_int_equal(f->n, 6);
	assert_int_equal(f->ev[1].op, MST_OP_REALLOC_BEGIN);
	assert_int_equal(f->ev[1].freed, 1);
	assert_int_equal(f->ev[2].op, MST_OP_REALLOC_END);
	assert_int_equal(f->ev[3].op, MST_OP_REALLOC_BEGIN);
	assert_int_equal(f->ev[3].freed, 2);
	assert_int_equal(f->ev[4].op, MST_OP_REALLOC_END);
	assert_int_equal(f->ev[5].freed, 3);
	assert_int_equal(mst_replay_totals(f->replay)->live_blocks, 0);
}

static void late_calls_are_judged_by_when_they_were_made(void **state)
{
	struct ms_item item = {.kind = MST_OP_MALLOC, .size = 10};
	struct fixture *f = *state;
	uint32_t n = 1;
	f->now = 10;
	put_malloc(f, 0, 0x1000); /* 11 */
	f->now = 20;
	put_pause(f, 0, true);
	f->now = 30;
	put_pause(f, 0, false);
	f->now = 40;
	put_malloc(f, 0, 0x2000);
	item.key = MS_ITEM_KEY(15, true); /* before the pause */
	item.addr = 0x3000;
	assert_int_equal(ms_translate(&f->tr, &f->t[1]->queue, &item, &n), 0);
	item.key = MS_ITEM_KEY(25, true); /* in it */
	item.addr = 0x4000;
	assert_int_equal(ms_translate(&f->tr, &f->t[1]->queue, &item, &n), 0);
	finish(f);
	assert_int_equal(f->n, 3);
	assert_int_equal(f->ev[2].addr, 0x3000);
	assert_true(f->ev[2].flags & MST_EV_LATE);
}

static void pauses_of_all_hold_for_those_who_come(void **state)
{
	struct fixture *f = *state;
	say(f, MST_ANNOTATION_PAUSE, "");
	put_malloc(f, 0, 0x1000);
	put_pause(f, 0, false); /* the first one alone */
	put_malloc(f, 0, 0x2000);
	put_malloc(f, 2, 0x3000); /* left out */
	say(f, MST_ANNOTATION_MARK, "here");
	say(f, MST_ANNOTATION_RESUME, "");
	put_malloc(f, 2, 0x4000);
	finish(f);
	assert_int_equal(f->n, 2);
	assert_int_equal(f->ev[0].addr, 0x2000);
	assert_int_equal(f->ev[1].addr, 0x4000);
	assert_int_equal(mst_reader_n_annotations(f->r), 4);
	assert_int_equal(mst_reader_annotation(f->r, 1)->process, 1);
	assert_int_equal(mst_reader_annotation(f->r, 2)->kind, MST_ANNOTATION_MARK);
	assert_string_equal(mst_reader_string(f->r, mst_reader_annotation(f->r, 2)->name, &(size_t){0}), "here");
}

static void child_of_a_paused_process_is_paused_and_frees_what_it_inherits(void **state)
{
	const uint64_t fork_unit[2] = {MS_UNIT_HEAD(MS_U_FORK, 0), FORK_ID};
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	put_pause(f, 0, true);
	put_note(f, 0, fork_unit, 2);
	put_pause(f, 0, false);
	put_malloc(f, 2, 0x5000); /* left out */
	put_free(f, 2, 0x1000);
	put_free(f, 2, 0x5000); /* left out */
	put_malloc(f, 0, 0x2000);
	finish(f);
	assert_int_equal(f->n, 3);
	assert_int_equal(f->ev[1].op, MST_OP_FREE);
	assert_true(f->ev[1].flags & MST_EV_INHERITED);
	assert_int_equal(f->ev[2].addr, 0x2000);
	assert_int_equal(mst_reader_n_annotations(f->r), 3);
	assert_int_equal(mst_reader_annotation(f->r, 2)->kind, MST_ANNOTATION_PAUSE); /* the child's own */
	assert_int_equal(mst_reader_annotation(f->r, 2)->process, 2);
}

static void realloc_to_nothing_is_split_as_well(void **state)
{
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	put_malloc(f, 0, 0x3000);
	put_begin(f, 0, 0x1000);
	put_outcome(f, 0, MST_OP_REALLOC_FREE, 0x1000, 0, 0);
	put_begin(f, 0, 0x3000);
	put_malloc(f, 1, 0x3000);
	put_outcome(f, 0, MST_OP_REALLOC_FREE, 0x3000, 0, 0);
	finish(f);
	assert_int_equal(f->n, 5);
	assert_int_equal(f->ev[2].op, MST_OP_REALLOC_FREE);
	assert_int_equal(f->ev[2].freed, 1);
	assert_int_equal(f->ev[3].op, MST_OP_REALLOC_BEGIN);
	assert_int_equal(f->ev[3].freed, 2);
	assert_int_equal(mst_replay_totals(f->replay)->live_blocks, 1);
}

static void failed_or_unfinished_realloc_leaves_its_block(void **state)
{
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	put_begin(f, 0, 0x1000);
	put_outcome(f, 0, MST_OP_REALLOC, 0x1000, 0, MS_UF_FAILED);
	put_begin(f, 0, 0x1000); /* and then it is killed */
	finish(f);
	assert_int_equal(f->n, 2);
	assert_true(f->ev[1].flags & MST_EV_FAILED);
	assert_int_equal(f->ev[1].err, 12);
	assert_int_equal(mst_replay_totals(f->replay)->live_blocks, 1);
}

static void realloc_within_a_realloc_of_one_thread_keeps_them_apart(void **state)
{
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	put_malloc(f, 0, 0x2000);
	put_begin(f, 0, 0x1000);
	put_begin(f, 0, 0x2000); /* a signal handler's */
	put_outcome(f, 0, MST_OP_REALLOC, 0x2000, 0x3000, 0);
	put_outcome(f, 0, MST_OP_REALLOC, 0x1000, 0x2000, 0);
	finish(f);
	assert_int_equal(f->n, 4);
	assert_int_equal(f->ev[2].freed, 2);
	assert_int_equal(f->ev[3].freed, 1);
}

/* Function 0 allocates, 1 reallocates, both of pool "a"; function 2 allocates in pool "b". */
static void wrap(struct fixture *f, struct ms_wraps *wraps)
{
	char why[512];
	memset(wraps, 0, sizeof *wraps);
	assert_int_equal(ms_wraps_add(wraps, "alloc=a,realloc=a_re", why), 0);
	assert_int_equal(ms_wraps_add(wraps, "alloc=b", why), 0);
	f->tr.wraps = wraps;
}

static void put_pool(struct fixture *f, int thread, unsigned kind, uint32_t function, uint64_t addr, uint64_t old)
{
	put(f, thread,
		(struct ms_item){.kind = (uint8_t)kind,
			.addr = addr,
			.size = 20,
			.old_addr = old,
			.align = function,
			.flags = old ? MS_UF_OLD : 0});
}

static void reallocs_of_a_pool_are_split_by_calls_of_that_pool_alone(void **state)
{
	static const unsigned ops[] = {MST_OP_POOL_ALLOC, MST_OP_POOL_ALLOC, MST_OP_MALLOC, MST_OP_POOL_REALLOC,
		MST_OP_POOL_FREE, MST_OP_POOL_ALLOC, MST_OP_POOL_ALLOC};
	struct ms_wraps wraps;
	struct fixture *f = *state;
	wrap(f, &wraps);
	put_pool(f, 0, MST_OP_POOL_ALLOC, 0, 0x1000, 0);
	put_pool(f, 0, MS_POOL_REALLOC_BEGIN, 1, 0x1000, 0);
	put_pool(f, 1, MST_OP_POOL_ALLOC, 2, 0x1000, 0); /* the other pool's */
	put_malloc(f, 1, 0x1000);			    /* the heap's */
	put_pool(f, 0, MST_OP_POOL_REALLOC, 1, 0x2000, 0x1000);
	put_pool(f, 0, MS_POOL_REALLOC_BEGIN, 1, 0x2000, 0);
	put_pool(f, 1, MST_OP_POOL_ALLOC, 0, 0x2000, 0);
	put_pool(f, 0, MST_OP_POOL_REALLOC, 1, 0x3000, 0x2000);
	finish(f);
	assert_int_equal(f->n, 7);
	for (size_t i = 0; i < f->n; i++)
		assert_int_equal(f->ev[i].op, ops[i]);
	assert_int_equal(f->ev[4].addr, 0x2000);
	assert_int_equal(wraps.functions[0].n_calls, 2);
	assert_int_equal(wraps.functions[1].n_calls, 3); /* the split one counts twice */
	assert_int_equal(wraps.pools[1].n_calls, 1);
	assert_int_equal(mst_replay_totals(f->replay)->allocs, 1);
	ms_wraps_release(&wraps);
}

static void calls_of_functions_that_nobody_wraps_are_left_out(void **state)
{
	struct ms_wraps wraps;
	struct fixture *f = *state;
	put_pool(f, 0, MST_OP_POOL_ALLOC, 0, 0x1000, 0); /* nothing is wrapped at all */
	wrap(f, &wraps);
	put_pool(f, 0, MST_OP_POOL_ALLOC, 3, 0x1000, 0);
	put_pool(f, 0, MST_OP_POOL_FREE, UINT32_MAX, 0x1000, 0);
	put_pool(f, 0, MST_OP_POOL_ALLOC, 2, 0x1000, 0);
	finish(f);
	assert_int_equal(f->n, 1);
	assert_int_equal(f->ev[0].op, MST_OP_POOL_ALLOC);
	ms_wraps_release(&wraps);
}

/* /proc does not say of everybody what they run: then there is no path to compare with. */
static void process_of_an_unknown_program_has_its_regions(void **state)
{
	static const char maps[] = "1000-3000 r-xp 00000000 00:00 0 \n5000-6000 r-xp 00002000 08:01 9 /lib/x\n";
	struct ms_wraps wraps;
	struct fixture *f = *state;
	struct ms_arrival *a = f->proc[0]->arrival;
	free(a->exe);
	a->exe = NULL;
	a->exe_len = 0;
	a->maps = strdup(maps);
	a->maps_len = sizeof maps - 1;
	wrap(f, &wraps);
	put_malloc(f, 0, 0x1000);
	finish(f);
	assert_int_equal(mst_reader_n_regions(f->r), 2);
	assert_int_equal(mst_reader_region(f->r, 0)->start, 0x1000);
	assert_int_equal(mst_reader_region(f->r, 0)->name, 0);
	assert_int_equal(mst_reader_region(f->r, 1)->start, 0x5000);
	assert_string_equal(mst_reader_string(f->r, mst_reader_region(f->r, 1)->name, &(size_t){0}), "/lib/x");
	ms_wraps_release(&wraps);
}

/* A module unit for [start, start + 0x1000) with the path. */
static void put_module(struct fixture *f, int thread, uint64_t start, const char *path)
{
	struct {
		struct ms_unit_module m;
		char path[32];
	} unit = {.m = {.head = MS_UNIT_HEAD(MS_U_MODULE, 0),
			  .map_start = start,
			  .map_end = start + 0x1000,
			  .bias = start}};
	uint64_t words[sizeof unit / 8];
	unit.m.words = sizeof unit / 8;
	unit.m.path_len = (uint16_t)strlen(path);
	memcpy(unit.path, path, strlen(path));
	memcpy(words, &unit, sizeof words);
	put_note(f, thread, words, sizeof words / 8);
}

static const char *module_of(const struct fixture *f, size_t event)
{
	static char name[64];
	size_t len;
	const struct mst_stack *stack = mst_reader_stack(f->r, f->ev[event].stack);
	const struct mst_code *code = mst_reader_code(f->r, stack->code);
	if (!code->module)
		return "none";
	const char *s = mst_reader_string(f->r, mst_reader_module(f->r, code->module)->path, &len);
	snprintf(name, sizeof name, "%.*s+%llx", (int)len, s, (unsigned long long)code->offset);
	return name;
}

static void put_with_stack(struct fixture *f, int thread, uint64_t addr, uint64_t ip)
{
	uint32_t path[] = {MS_NODE_NONE, MS_NODE_NONE};
	uint32_t node = ms_stacktree_follow(&f->t[thread]->process->tree, path, &ip, 1);
	put(f, thread, (struct ms_item){.kind = MST_OP_MALLOC, .addr = addr, .size = 1, .node = node});
}

static void same_address_belongs_to_the_module_loaded_at_that_time(void **state)
{
	struct fixture *f = *state;
	const uint64_t gone[] = {MS_UNIT_HEAD(MS_U_UNMODULE, 0), 0x40000};
	put_with_stack(f, 0, 0x10, 0x40123); /* before any module is known there */
	put_module(f, 0, 0x40000, "/lib/first.so");
	put_with_stack(f, 0, 0x20, 0x40123);
	put_note(f, 0, gone, 2);
	put_with_stack(f, 0, 0x30, 0x40123);
	put_module(f, 1, 0x40000, "/lib/second.so");
	put_with_stack(f, 1, 0x40, 0x40123);
	put_module(f, 1, 0x3f800, "/lib/over.so"); /* an unload nobody told of */
	put_with_stack(f, 1, 0x50, 0x40123);
	finish(f);
	assert_int_equal(f->n, 5);
	assert_string_equal(module_of(f, 0), "none");
	assert_string_equal(module_of(f, 1), "/lib/first.so+123");
	assert_string_equal(module_of(f, 2), "none");
	assert_string_equal(module_of(f, 3), "/lib/second.so+123");
	assert_string_equal(module_of(f, 4), "/lib/over.so+923");
}

static void forked_child_has_blocks_and_modules_of_the_fork_point(void **state)
{
	struct fixture *f = *state;
	const uint64_t fork_unit[] = {MS_UNIT_HEAD(MS_U_FORK, 0), FORK_ID},
		       gone[] = {MS_UNIT_HEAD(MS_U_UNMODULE, 0), 0x40000};
	put_module(f, 0, 0x40000, "/lib/first.so");
	put_malloc(f, 0, 0x1000);
	put_note(f, 0, fork_unit, 2);
	put_free(f, 0, 0x1000); /* the parent goes on before the child is heard of */
	put_note(f, 0, gone, 2);
	put_malloc(f, 0, 0x2000);
	put_free(f, 2, 0x1000);
	put_with_stack(f, 2, 0x3000, 0x40123);
	put_note(f, 2, gone, 2); /* an inherited mapping ends in the child */
	put_with_stack(f, 2, 0x4000, 0x40123);
	put_free(f, 2, 0x2000); /* acquired by the parent after the fork: unknown here */
	finish(f);
	assert_int_equal(f->n, 7);
	assert_int_equal(f->ev[3].freed, 1);
	assert_true(f->ev[3].flags & MST_EV_INHERITED);
	assert_string_equal(module_of(f, 4), "/lib/first.so+123");
	assert_string_equal(module_of(f, 5), "none");
	assert_int_equal(f->ev[6].freed, 0);
	const struct mst_process *child = mst_reader_process(f->r, 2);
	assert_int_equal(child->origin, MST_ORIGIN_FORK);
	assert_int_equal(child->parent, 1);
	assert_int_equal(child->start_event, 1);
}

static void earlier_stamp_than_what_was_told_is_marked_late(void **state)
{
	struct fixture *f = *state;
	f->now = 1000;
	put_malloc(f, 0, 0x1000);
	f->now = 500;
	put_malloc(f, 1, 0x2000);
	f->now = 1000;
	put_malloc(f, 1, 0x3000);
	finish(f);
	assert_int_equal(f->n, 3);
	assert_false(f->ev[0].flags & MST_EV_LATE);
	assert_true(f->ev[1].flags & MST_EV_LATE);
	assert_int_equal(f->ev[1].time_ns, 501);
	assert_false(f->ev[2].flags & MST_EV_LATE);
}

static void losses_and_names_are_told(void **state)
{
	struct fixture *f = *state;
	uint64_t name[3] = {MS_UNIT_HEAD(MS_U_NAME, 0)};
	const uint64_t loss[] = {MS_UNIT_HEAD(MS_U_LOSS, 0), 7, 700, 1, 2};
	const uint64_t absurd[] = {MS_UNIT_HEAD(MS_U_LOSS, 0), UINT64_MAX, UINT64_MAX, UINT64_MAX, 0};
	size_t len;
	memcpy(&name[1], "worker", 6);
	put_malloc(f, 0, 0x1000);
	put_note(f, 0, name, 3);
	put_note(f, 0, loss, 5);
	put_note(f, 0, absurd, 5);
	finish(f);
	assert_int_equal(mst_reader_end(f->r)->lost_events, 7);
	assert_int_equal(mst_reader_end(f->r)->lost_bytes, 700);
	assert_string_equal(mst_reader_string(f->r, mst_reader_thread(f->r, 1)->name, &len), "worker");
}

static void unclaimed_fork_points_are_few(void **state)
{
	struct fixture *f = *state;
	put_malloc(f, 0, 0x1000);
	for (uint64_t id = 1; id <= 100; id++) {
		const uint64_t fork_unit[] = {MS_UNIT_HEAD(MS_U_FORK, 0), id};
		put_note(f, 0, fork_unit, 2);
	}
	assert_int_equal(f->proc[0]->n_fork_points, 32);
	finish(f);
}

#define STRANGERS(test) cmocka_unit_test_setup_teardown(test, set_up_strangers, tear_down)
#define FAMILY(test) cmocka_unit_test_setup_teardown(test, set_up_parent_and_child, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STRANGERS(both_halves_of_a_realloc_are_one_event),
		STRANGERS(realloc_is_split_when_its_old_place_is_taken_in_between),
		STRANGERS(realloc_to_nothing_is_split_as_well),
		STRANGERS(in_a_pause_only_ends_of_known_blocks_are_told),
		STRANGERS(release_in_a_pause_splits_a_realloc_like_the_acquisition_nobody_saw),
		STRANGERS(late_calls_are_judged_by_when_they_were_made),
		STRANGERS(pauses_of_all_hold_for_those_who_come),
		FAMILY(child_of_a_paused_process_is_paused_and_frees_what_it_inherits),
		STRANGERS(failed_or_unfinished_realloc_leaves_its_block),
		STRANGERS(realloc_within_a_realloc_of_one_thread_keeps_them_apart),
		STRANGERS(reallocs_of_a_pool_are_split_by_calls_of_that_pool_alone),
		STRANGERS(calls_of_functions_that_nobody_wraps_are_left_out),
		STRANGERS(process_of_an_unknown_program_has_its_regions),
		STRANGERS(same_address_belongs_to_the_module_loaded_at_that_time),
		FAMILY(forked_child_has_blocks_and_modules_of_the_fork_point),
		STRANGERS(earlier_stamp_than_what_was_told_is_marked_late),
		STRANGERS(losses_and_names_are_told),
		STRANGERS(unclaimed_fork_points_are_few),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

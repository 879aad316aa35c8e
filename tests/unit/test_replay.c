/* Replay against a model that has no cleverness at all: it keeps every block ever acquired, recomputes the
 * sum over running processes after every event, and copies all counters at every new peak. Random histories
 * with forks, execs, exits, splits, failures, late and stray events; everything must be equal, exactly.
 *
 * The reader is a fake of the few functions that replay asks: a test chooses what it reveals when. */
#include "mstrace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_EVENTS = 60000, MAX_PROCESSES = 64, MAX_STACKS = 24, THREADS_EACH = 3 };
enum { MAX_THREADS = MAX_PROCESSES * THREADS_EACH, UNKNOWN_THREAD = MAX_THREADS + 100 };

/* ---- the fake reader ----------------------------------------------------------------------------------- */

struct mst_reader {
	struct mst_process processes[MAX_PROCESSES + 1];
	uint32_t n_processes;
	struct mst_thread threads[MAX_THREADS + 1];
	uint32_t n_threads;
	uint64_t revealed; /* starts and ends at events up to here can be seen */
	struct mst_process shown;
};

static struct mst_reader fake;

enum { OWN_POOL = 7, OTHER_POOL = 8 };
static const char pool_name[] = "arena";
static struct mst_pool_call fake_call; /* of the event at hand */

uint32_t mst_reader_n_processes(const struct mst_reader *r)
{
	uint32_t n = 0;
	while (n < r->n_processes && r->processes[n + 1].start_event <= r->revealed)
		n++;
	return n;
}

const struct mst_process *mst_reader_process(const struct mst_reader *r, uint32_t id)
{
	if (id == 0 || id > mst_reader_n_processes(r))
		return NULL;
	fake.shown = r->processes[id];
	if (fake.shown.end_event > r->revealed)
		fake.shown.end_event = UINT64_MAX;
	return &fake.shown;
}

uint32_t mst_reader_n_threads(const struct mst_reader *r)
{
	return r->n_threads;
}

const struct mst_thread *mst_reader_thread(const struct mst_reader *r, uint32_t id)
{
	return id && id <= r->n_threads ? &r->threads[id] : NULL;
}

const struct mst_checkpoint *mst_reader_checkpoint(const struct mst_reader *r)
{
	(void)r;
	return NULL;
}

int mst_reader_each_checkpoint_block(
	const struct mst_reader *r, int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	(void)r;
	(void)visit;
	(void)ctx;
	return 0;
}

const struct mst_checkpoint *mst_reader_pool_checkpoint(const struct mst_reader *r, size_t i, uint32_t *pool)
{
	(void)r;
	(void)i;
	(void)pool;
	return NULL; /* test_trim.c has traces with such */
}

int mst_reader_each_pool_block(const struct mst_reader *r, uint32_t pool,
	int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	(void)r;
	(void)pool;
	(void)visit;
	(void)ctx;
	return 0;
}

const char *mst_reader_string(const struct mst_reader *r, uint32_t id, size_t *len)
{
	(void)r;
	*len = id == OWN_POOL ? strlen(pool_name) : 0;
	return id == OWN_POOL ? pool_name : "";
}

/* A pool's call is the heap call that the history made, in other clothes (as_pool_call). */
const struct mst_pool_call *mst_reader_pool_call(const struct mst_reader *r, const struct mst_event *ev)
{
	(void)r;
	(void)ev;
	return &fake_call;
}

uint32_t mst_reader_n_stacks(const struct mst_reader *r)
{
	(void)r;
	return MAX_STACKS;
}

/* ---- histories ----------------------------------------------------------------------------------------- */

struct past_block {
	uint64_t alloc, addr, size, time_ns;
	uint32_t process, thread, stack;
	bool is_live;
	uint8_t op;
};

struct history {
	struct mst_event events[MAX_EVENTS];
	uint32_t n;
	struct past_block blocks[MAX_EVENTS + 1]; /* as the generator knows them, by ordinal */
	uint64_t n_blocks;
	uint64_t base[MAX_PROCESSES + 1];	 /* first ordinal not inherited */
	uint64_t pending_begin[MAX_THREADS + 1]; /* a split realloc waits for its END: ordinal released */
	uint64_t pending_addr[MAX_THREADS + 1];
	uint64_t random;
};

static struct history past;

static uint32_t roll(uint32_t n)
{
	past.random ^= past.random << 13;
	past.random ^= past.random >> 7;
	past.random ^= past.random << 17;
	return (uint32_t)(past.random >> 33) % n;
}

static bool is_running(uint32_t process)
{
	return fake.processes[process].end_event > past.n;
}

static uint32_t start_process(uint32_t parent, uint8_t origin, uint32_t pid)
{
	if (fake.n_processes == MAX_PROCESSES)
		return 0;
	uint32_t id = ++fake.n_processes;
	fake.processes[id] = (struct mst_process){.pid = pid,
		.parent = parent,
		.origin = origin,
		.start_event = past.n,
		.end_event = UINT64_MAX};
	past.base[id] = past.n_blocks + 1;
	for (int i = 0; i < THREADS_EACH; i++)
		fake.threads[++fake.n_threads] = (struct mst_thread){.process = id, .tid = pid + (uint32_t)i};
	return id;
}

static uint32_t any_process(void)
{
	for (int tries = 0; tries < 20; tries++) {
		uint32_t id = 1 + roll(fake.n_processes);
		if (is_running(id) || roll(200) == 0) /* rarely: an event after the end */
			return id;
	}
	return 1;
}

static uint32_t thread_in(uint32_t process)
{
	return (process - 1) * THREADS_EACH + 1 + roll(THREADS_EACH);
}

/* A live block of the process, 0 if none is found; mostly a young one. */
static uint64_t any_block(uint32_t process)
{
	for (int tries = 0; tries < 30 && past.n_blocks; tries++) {
		uint64_t back = roll(tries % 3 ? 12 : (uint32_t)past.n_blocks);
		if (back >= past.n_blocks)
			continue;
		struct past_block *b = &past.blocks[past.n_blocks - back];
		if (b->is_live && b->process == process)
			return b->alloc;
	}
	return 0;
}

static struct mst_event *emit(uint32_t thread, uint8_t op)
{
	struct mst_event *ev = &past.events[past.n];
	*ev = (struct mst_event){.number = past.n,
		.time_ns = past.n * 256,
		.thread = thread,
		.op = op,
		.stack = roll(MAX_STACKS + 1)};
	if (roll(100) == 0)
		ev->stack = MAX_STACKS + 1 + roll(1000); /* not in the dictionary */
	past.n++;
	return ev;
}

static void acquire_in(struct mst_event *ev, uint32_t process)
{
	static const uint32_t sizes[] = {0, 16, 24, 100, 4096, 1u << 20};
	ev->alloc = ++past.n_blocks;
	ev->size = sizes[roll(6)] + roll(3);
	ev->addr = 0x1000 + past.n_blocks * 16;
	past.blocks[ev->alloc] = (struct past_block){.alloc = ev->alloc,
		.addr = ev->addr,
		.size = ev->size,
		.time_ns = ev->time_ns,
		.process = process,
		.thread = ev->thread,
		.stack = ev->stack,
		.is_live = true,
		.op = ev->op};
}

static void make_acquisition(uint32_t process, uint32_t thread)
{
	static const uint8_t ops[] = {MST_OP_MALLOC, MST_OP_CALLOC, MST_OP_REALLOC, MST_OP_MEMALIGN};
	acquire_in(emit(thread, ops[roll(4)]), process);
}

static void make_release(uint32_t process, uint32_t thread)
{
	static const uint8_t ops[] = {
		MST_OP_FREE, MST_OP_FREE, MST_OP_REALLOC_FREE, MST_OP_REALLOC_BEGIN, MST_OP_REALLOC};
	uint64_t alloc = any_block(process);
	uint8_t op = ops[roll(5)];
	if (!alloc || (op == MST_OP_REALLOC_BEGIN && past.pending_begin[thread])) {
		make_acquisition(process, thread);
		return;
	}
	struct mst_event *ev = emit(thread, op);
	ev->freed = alloc;
	past.blocks[alloc].is_live = false;
	if (op == MST_OP_REALLOC_BEGIN) {
		past.pending_begin[thread] = alloc;
		past.pending_addr[thread] = past.blocks[alloc].addr;
	} else if (op == MST_OP_REALLOC) {
		acquire_in(ev, process);
	}
}

static void make_stray(uint32_t process, uint32_t thread)
{
	struct mst_event *ev = emit(thread, roll(2) ? MST_OP_FREE : MST_OP_REALLOC);
	uint64_t base = past.base[process];
	if (roll(3) && fake.processes[process].origin == MST_ORIGIN_FORK && base > 1)
		ev->freed = 1 + roll((uint32_t)base - 1); /* inherited, live in the parent or no more */
	else if (roll(2))
		ev->freed = past.n_blocks + 1000; /* never acquired */
	if (ev->freed && past.blocks[ev->freed > past.n_blocks ? 0 : ev->freed].process == process)
		ev->freed = 0;
	if (ev->op == MST_OP_REALLOC) {
		ev->old_addr = 0x99;
		acquire_in(ev, process);
	} else {
		ev->addr = 0x99;
	}
}

static void make_event(void)
{
	uint32_t process = any_process(), thread = thread_in(process), what = roll(100);
	if (past.pending_begin[thread] && what < 50) {
		struct mst_event *ev = emit(thread, MST_OP_REALLOC_END);
		ev->freed = roll(2) ? past.pending_begin[thread] : 0;
		past.pending_begin[thread] = 0;
		acquire_in(ev, process);
	} else if (what < 48) {
		make_acquisition(process, thread);
	} else if (what < 92) {
		make_release(process, thread);
	} else if (what < 95) {
		struct mst_event *ev = emit(thread, roll(2) ? MST_OP_MALLOC : MST_OP_REALLOC);
		ev->flags = MST_EV_FAILED;
		ev->size = UINT64_MAX;
		ev->freed = ev->op == MST_OP_REALLOC ? any_block(process) : 0;
	} else if (what < 98) {
		make_stray(process, thread);
	} else {
		acquire_in(emit(UNKNOWN_THREAD, MST_OP_MALLOC), 0);
	}
}

static void make_change(void)
{
	uint32_t id = any_process();
	uint32_t pid = fake.processes[id].pid;
	if (!is_running(id))
		return;
	switch (roll(4)) {
	case 0:
	case 1:
		start_process(id, MST_ORIGIN_FORK, 1000 + fake.n_processes);
		break;
	case 2:
		if (start_process(id, MST_ORIGIN_EXEC, pid))
			fake.processes[id].end_event = past.n;
		break;
	default:
		if (id != 1 || roll(20) == 0)
			fake.processes[id].end_event = past.n;
	}
}

static void make_history(uint64_t seed, uint32_t n)
{
	memset(&fake, 0, sizeof fake);
	memset(&past, 0, sizeof past);
	past.random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	start_process(0, MST_ORIGIN_START, 1000);
	uint32_t changes = 4 + n / 80;
	while (past.n < n) {
		make_event();
		if (roll(n / changes + 1) == 0)
			make_change();
	}
}

/* ---- the model ----------------------------------------------------------------------------------------- */

struct model {
	struct past_block blocks[MAX_EVENTS + 1];
	struct mst_counters total, stacks[MAX_STACKS + 1], processes[MAX_PROCESSES + 1];
	uint64_t last_alloc[MAX_THREADS + 1];
	uint64_t peak_event, now, foreign, inherited;
	struct mst_replay_options filter;
};

static struct model model;

static bool counts(uint32_t process)
{
	if (model.filter.only_process)
		return process == model.filter.only_process;
	return !model.filter.only_pid || (process && fake.processes[process].pid == model.filter.only_pid);
}

static uint32_t known_stack(uint32_t stack)
{
	return stack <= MAX_STACKS ? stack : 0;
}

static void accounts_of(uint32_t process, uint32_t stack, struct mst_counters *c[3])
{
	c[0] = &model.total;
	c[1] = &model.processes[process];
	c[2] = &model.stacks[known_stack(stack)];
}

static void model_release(const struct mst_event *ev, uint32_t process, uint32_t thread)
{
	struct past_block *b = &model.blocks[ev->freed < MAX_EVENTS ? ev->freed : 0];
	struct mst_counters *c[3];
	bool is_ours = b->is_live && (b->process == process || !b->process || !process);
	accounts_of(is_ours ? b->process : process, is_ours ? b->stack : ev->stack, c);
	if (!counts(is_ours ? b->process : process)) {
		b->is_live &= !is_ours;
		return;
	}
	for (int i = 0; i < 3; i++) {
		c[i]->frees++;
		if (!is_ours)
			continue;
		c[i]->freed_bytes += b->size;
		c[i]->live_bytes -= b->size;
		c[i]->live_blocks--;
		c[i]->temporary += model.last_alloc[thread] == ev->freed;
	}
	if (is_ours)
		b->is_live = false;
	else if (ev->freed && ev->freed < past.base[process] &&
		 fake.processes[process].origin == MST_ORIGIN_FORK)
		model.inherited++;
	else
		model.foreign++;
}

static void model_acquire(const struct mst_event *ev, uint32_t process)
{
	model.blocks[ev->alloc] = past.blocks[ev->alloc];
	model.blocks[ev->alloc].is_live = true;
	struct mst_counters *c[3];
	accounts_of(process, ev->stack, c);
	for (int i = 0; i < 3 && counts(process); i++) {
		c[i]->allocs++;
		c[i]->allocated_bytes += ev->size;
		c[i]->live_blocks++;
		c[i]->live_bytes += ev->size;
		if (c[i]->live_bytes > c[i]->max_bytes)
			c[i]->max_bytes = c[i]->live_bytes;
	}
}

static bool lives_now(const struct past_block *b, uint64_t event)
{
	return b->is_live && counts(b->process) &&
	       !(b->process && fake.processes[b->process].end_event <= event);
}

static void add_peak(struct mst_counters *c, uint64_t size)
{
	c->peak_blocks++;
	c->peak_bytes += size;
}

static void model_peak(uint64_t event)
{
	model.now = 0;
	for (uint64_t i = 1; i <= past.n_blocks; i++)
		model.now += lives_now(&model.blocks[i], event) ? model.blocks[i].size : 0;
	if (model.now <= model.total.peak_bytes)
		return;
	model.peak_event = event;
	model.total.peak_blocks = model.total.peak_bytes = 0;
	for (int i = 0; i <= MAX_STACKS; i++)
		model.stacks[i].peak_blocks = model.stacks[i].peak_bytes = 0;
	for (int i = 0; i <= MAX_PROCESSES; i++)
		model.processes[i].peak_blocks = model.processes[i].peak_bytes = 0;
	for (uint64_t i = 1; i <= past.n_blocks; i++) {
		const struct past_block *b = &model.blocks[i];
		if (!lives_now(b, event))
			continue;
		add_peak(&model.total, b->size);
		add_peak(&model.stacks[known_stack(b->stack)], b->size);
		add_peak(&model.processes[b->process], b->size);
	}
}

static void run_model(const struct mst_replay_options *filter, bool has_peak)
{
	memset(&model, 0, sizeof model);
	model.filter = *filter;
	for (uint32_t i = 0; i < past.n; i++) {
		const struct mst_event *ev = &past.events[i];
		uint32_t thread = ev->thread == UNKNOWN_THREAD ? 0 : ev->thread;
		uint32_t process = thread ? fake.threads[thread].process : 0;
		struct mst_counters *c[3];
		accounts_of(process, ev->stack, c);
		if (ev->flags & MST_EV_FAILED) {
			for (int k = 0; k < 3 && counts(process); k++)
				c[k]->failed++;
		} else {
			if (mst_op_releases(ev->op) &&
				(ev->freed || ev->op != MST_OP_REALLOC || ev->old_addr))
				model_release(ev, process, thread);
			if (ev->alloc)
				model_acquire(ev, process);
		}
		model.last_alloc[thread] = ev->alloc;
		if (has_peak && (ev->alloc || i + 1 == past.n))
			model_peak(i);
	}
}

/* ---- comparison ---------------------------------------------------------------------------------------- */

static void assert_same_counters(const struct mst_counters *got, const struct mst_counters *want)
{
	assert_int_equal(got->allocs, want->allocs);
	assert_int_equal(got->frees, want->frees);
	assert_int_equal(got->allocated_bytes, want->allocated_bytes);
	assert_int_equal(got->freed_bytes, want->freed_bytes);
	assert_int_equal(got->live_blocks, want->live_blocks);
	assert_int_equal(got->live_bytes, want->live_bytes);
	assert_int_equal(got->peak_blocks, want->peak_blocks);
	assert_int_equal(got->peak_bytes, want->peak_bytes);
	assert_int_equal(got->max_bytes, want->max_bytes);
	assert_int_equal(got->temporary, want->temporary);
	assert_int_equal(got->failed, want->failed);
}

static int check_live(void *ctx, const struct mst_block *b)
{
	uint64_t *last = ctx;
	const struct past_block *want = &model.blocks[b->alloc];
	assert_true(b->alloc > *last);
	while (++*last < b->alloc)
		assert_false(model.blocks[*last].is_live && counts(model.blocks[*last].process));
	assert_true(want->is_live);
	assert_int_equal(b->addr, want->addr);
	assert_int_equal(b->size, want->size);
	assert_int_equal(b->time_ns, want->time_ns);
	assert_int_equal(b->process, want->process);
	if (!model.filter.only_pool)
		assert_int_equal(b->op, want->op);
	return 0;
}

static void assert_same(const struct mst_replay *p, bool by_stack)
{
	assert_same_counters(mst_replay_totals(p), &model.total);
	for (uint32_t i = 0; i <= MAX_PROCESSES; i++)
		assert_same_counters(mst_replay_process(p, i), &model.processes[i]);
	for (uint32_t i = 0; i <= MAX_STACKS && by_stack; i++)
		assert_same_counters(mst_replay_stack(p, i), &model.stacks[i]);
	assert_int_equal(mst_replay_now_bytes(p), model.now);
	assert_int_equal(mst_replay_peak_event(p), model.peak_event);
	assert_int_equal(mst_replay_peak_time_ns(p), past.events[model.peak_event].time_ns);
	assert_int_equal(mst_replay_foreign_frees(p), model.foreign);
	assert_int_equal(mst_replay_inherited_frees(p), model.inherited);
	uint64_t last = 0;
	assert_int_equal(mst_replay_each_live(p, check_live, &last), 0);
	while (++last <= past.n_blocks)
		assert_false(model.blocks[last].is_live && counts(model.blocks[last].process));
}

/* How the events reach the replay, and what it can know of processes meanwhile. */
enum feed { ONE_BY_ONE, BATCHES, STREAM };

static struct mst_replay *replay_history(const struct mst_replay_options *opt, enum feed feed)
{
	struct mst_replay *p = NULL;
	fake.revealed = feed == STREAM ? 0 : UINT64_MAX;
	assert_int_equal(mst_replay_new(&fake, opt, &p), 0);
	for (uint32_t i = 0, n; i < past.n; i += n) {
		n = feed == ONE_BY_ONE ? 1 : 1 + roll(100);
		if (n > past.n - i)
			n = past.n - i;
		struct mst_event one = past.events[i];
		if (feed == STREAM)
			fake.revealed = i + n;
		assert_int_equal(
			n == 1 ? mst_replay_apply(p, &one) : mst_replay_apply_batch(p, past.events + i, n),
			0);
	}
	fake.revealed = UINT64_MAX;
	return p;
}

static void check_history(struct mst_replay_options opt)
{
	run_model(&opt, true);
	for (int feed = ONE_BY_ONE; feed <= STREAM; feed++) {
		struct mst_replay *p = replay_history(&opt, (enum feed)feed);
		assert_same(p, opt.by_stack);
		mst_replay_free(p);
	}
}

static void equals_the_model_on_random_histories(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 120; seed++) {
		make_history(seed, 100 + roll(900));
		check_history((struct mst_replay_options){.by_stack = true});
	}
}

static void equals_the_model_without_stacks(void **state)
{
	(void)state;
	for (uint64_t seed = 1000; seed < 1020; seed++) {
		make_history(seed, 600);
		check_history((struct mst_replay_options){0});
	}
}

static void counts_one_process_or_one_pid(void **state)
{
	(void)state;
	for (uint64_t seed = 2000; seed < 2030; seed++) {
		make_history(seed, 800);
		check_history((struct mst_replay_options){
			.by_stack = true, .only_process = 1 + roll(fake.n_processes)});
		check_history((struct mst_replay_options){.by_stack = true, .only_pid = 1000 + roll(4)});
	}
}

/* Growth of every table; the model's quadratic peak is left out, but the feeds must agree on it. */
static void equals_the_model_on_a_long_history(void **state)
{
	(void)state;
	make_history(7, MAX_EVENTS);
	struct mst_replay_options opt = {.by_stack = true};
	run_model(&opt, false);
	struct mst_replay *one = replay_history(&opt, ONE_BY_ONE), *stream = replay_history(&opt, STREAM);
	for (uint32_t i = 0; i <= MAX_STACKS; i++) {
		model.stacks[i].peak_blocks = mst_replay_stack(one, i)->peak_blocks;
		model.stacks[i].peak_bytes = mst_replay_stack(one, i)->peak_bytes;
		assert_same_counters(mst_replay_stack(one, i), &model.stacks[i]);
		assert_same_counters(mst_replay_stack(stream, i), &model.stacks[i]);
		model.total.peak_blocks += model.stacks[i].peak_blocks;
		model.total.peak_bytes += model.stacks[i].peak_bytes;
	}
	assert_same_counters(mst_replay_totals(stream), &model.total);
	assert_int_equal(mst_replay_peak_event(one), mst_replay_peak_event(stream));
	mst_replay_free(one);
	mst_replay_free(stream);
}

/* ---- pools ---------------------------------------------------------------------------------------------- */

/* A heap call of the history as a call of a pool; what it is about goes to fake_call. */
static struct mst_event as_pool_call(const struct mst_event *ev, uint32_t pool)
{
	struct mst_event as = *ev;
	bool acquires = mst_op_acquires(ev->op), releases = mst_op_releases(ev->op);
	fake_call = (struct mst_pool_call){.alloc = ev->alloc, .freed = releases ? ev->freed : 0, .pool = pool};
	as.alloc = as.freed = 0;
	as.op = acquires && releases ? MST_OP_POOL_REALLOC : acquires ? MST_OP_POOL_ALLOC : MST_OP_POOL_FREE;
	return as;
}

static void a_pool_is_counted_as_the_heap_would_be(void **state)
{
	(void)state;
	for (uint64_t seed = 3000; seed < 3030; seed++) {
		make_history(seed, 800);
		struct mst_replay_options opt = {.by_stack = true, .only_pool = pool_name};
		struct mst_replay *pool = NULL, *heap = NULL;
		run_model(&opt, true);
		fake.revealed = UINT64_MAX;
		assert_int_equal(mst_replay_new(&fake, &opt, &pool), 0);
		assert_int_equal(mst_replay_new(&fake, NULL, &heap), 0);
		for (uint32_t i = 0; i < past.n; i++) {
			struct mst_event own = as_pool_call(&past.events[i], OWN_POOL), same = past.events[i];
			assert_int_equal(mst_replay_apply_batch(heap, &own, 1), 0);
			assert_int_equal(mst_replay_apply_batch(pool, &own, 1), 0);
			struct mst_event other = as_pool_call(&past.events[i], OTHER_POOL);
			assert_int_equal(mst_replay_apply_batch(pool, roll(2) ? &other : &same, 1), 0);
		}
		assert_same(pool, true);
		assert_int_equal(mst_replay_totals(heap)->allocs, 0);
		assert_int_equal(mst_replay_totals(heap)->failed, 0);
		assert_int_equal(mst_replay_foreign_frees(heap), 0);
		mst_replay_free(pool);
		mst_replay_free(heap);
	}
}

/* ---- single behaviours --------------------------------------------------------------------------------- */

static struct mst_replay *fresh_replay_as(const struct mst_replay_options *opt)
{
	struct mst_replay *p = NULL;
	memset(&fake, 0, sizeof fake);
	memset(&past, 0, sizeof past);
	fake.revealed = UINT64_MAX;
	start_process(0, MST_ORIGIN_START, 1000);
	assert_int_equal(mst_replay_new(&fake, opt, &p), 0);
	return p;
}

static struct mst_replay *fresh_replay(void)
{
	return fresh_replay_as(&(struct mst_replay_options){.by_stack = true});
}

static struct mst_event applied(struct mst_replay *p, struct mst_event ev)
{
	ev.number = past.n++;
	assert_int_equal(mst_replay_apply(p, &ev), 0);
	return ev;
}

static void completes_releases(void **state)
{
	(void)state;
	struct mst_replay *p = fresh_replay();
	applied(p,
		(struct mst_event){.thread = 1, .op = MST_OP_MALLOC, .alloc = 1, .size = 10, .addr = 0xa0});
	struct mst_event ev = applied(p,
		(struct mst_event){
			.thread = 1, .op = MST_OP_REALLOC, .alloc = 2, .freed = 1, .size = 20, .addr = 0xb0});
	assert_int_equal(ev.old_addr, 0xa0);
	assert_int_equal(ev.addr, 0xb0);
	assert_int_equal(ev.size, 20);
	ev = applied(p, (struct mst_event){.thread = 1, .op = MST_OP_REALLOC_BEGIN, .freed = 2});
	assert_int_equal(ev.addr, 0xb0);
	assert_int_equal(ev.size, 20);
	ev = applied(p, (struct mst_event){
				.thread = 1, .op = MST_OP_REALLOC_END, .alloc = 3, .size = 30, .addr = 0xc0});
	assert_int_equal(ev.old_addr, 0xb0);
	assert_int_equal(ev.freed, 2);
	ev = applied(p, (struct mst_event){.thread = 1, .op = MST_OP_FREE, .freed = 3});
	assert_int_equal(ev.addr, 0xc0);
	assert_int_equal(ev.size, 30);
	assert_int_equal(ev.flags, 0);
	assert_int_equal(mst_replay_totals(p)->temporary, 3);
	mst_replay_free(p);
}

static void marks_foreign_and_inherited_releases(void **state)
{
	(void)state;
	struct mst_replay *p = fresh_replay();
	applied(p,
		(struct mst_event){.thread = 1, .op = MST_OP_MALLOC, .alloc = 1, .size = 10, .addr = 0xa0});
	past.n_blocks = 1;
	uint32_t child = start_process(1, MST_ORIGIN_FORK, 1001);
	uint32_t in_child = (child - 1) * THREADS_EACH + 1;
	struct mst_event ev =
		applied(p, (struct mst_event){.thread = in_child, .op = MST_OP_FREE, .freed = 1});
	assert_int_equal(ev.flags, MST_EV_INHERITED);
	assert_int_equal(ev.size, 10);
	assert_int_equal(mst_replay_process(p, child)->frees, 1);
	assert_int_equal(mst_replay_process(p, 1)->live_blocks, 1);
	ev = applied(p, (struct mst_event){.thread = 1, .op = MST_OP_FREE, .freed = 1});
	assert_int_equal(ev.flags, 0);
	ev = applied(p, (struct mst_event){.thread = 1, .op = MST_OP_FREE, .freed = 1});
	assert_int_equal(ev.flags, MST_EV_FOREIGN); /* again */
	applied(p, (struct mst_event){.thread = in_child, .op = MST_OP_MALLOC, .alloc = 2});
	applied(p, (struct mst_event){.thread = in_child, .op = MST_OP_FREE, .freed = 2});
	ev = applied(p, (struct mst_event){.thread = in_child, .op = MST_OP_FREE, .freed = 2});
	assert_int_equal(ev.flags, MST_EV_FOREIGN); /* its own, again */
	ev = applied(p, (struct mst_event){.thread = 1, .op = MST_OP_FREE, .addr = 0x77});
	assert_int_equal(ev.flags, MST_EV_FOREIGN);
	assert_int_equal(ev.addr, 0x77);
	assert_int_equal(mst_replay_foreign_frees(p), 3);
	mst_replay_free(p);
}

/* A release of the block by the first thread of the process. */
static struct mst_event released_by(struct mst_replay *p, uint32_t process, uint64_t alloc)
{
	return applied(p,
		(struct mst_event){.thread = (process - 1) * THREADS_EACH + 1, .op = MST_OP_FREE, .freed = alloc});
}

static void knows_what_a_child_inherited_after_its_owner_has_released_it(void **state)
{
	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		struct mst_replay *p = fresh_replay_as(&(struct mst_replay_options){.keep_copies = keep});
		for (uint64_t i = 1; i <= 3; i++)
			applied(p, (struct mst_event){
					   .thread = 1, .op = MST_OP_MALLOC, .alloc = i, .size = 10 * i, .addr = 0xa0 + i});
		released_by(p, 1, 1); /* before the fork: nobody inherits it */
		uint32_t child = start_process(1, MST_ORIGIN_FORK, 5);
		released_by(p, 1, 2);
		struct mst_event ev = released_by(p, child, 2);
		assert_int_equal(ev.flags, MST_EV_INHERITED);
		assert_int_equal(ev.size, keep ? 20 : 0);
		assert_int_equal(ev.addr, keep ? 0xa2 : 0);
		ev = released_by(p, child, 3);
		assert_int_equal(ev.size, 30); /* still its owner's */
		ev = released_by(p, child, 1);
		assert_int_equal(ev.size, 0);
		mst_replay_free(p);
	}
}

static void replaces_a_block_whose_ordinal_repeats(void **state)
{
	(void)state;
	struct mst_replay *p = fresh_replay();
	for (uint64_t size = 10; size <= 30; size += 10)
		applied(p, (struct mst_event){.thread = 1, .op = MST_OP_MALLOC, .alloc = 5, .size = size});
	assert_int_equal(mst_replay_totals(p)->live_blocks, 1);
	assert_int_equal(mst_replay_totals(p)->live_bytes, 30);
	assert_int_equal(mst_replay_foreign_frees(p), 2);
	mst_replay_free(p);
}

/* What no writer would write: any op, any ids, ordinals that repeat, sizes that overflow the sums. */
static struct mst_event absurd_event(uint32_t number)
{
	return (struct mst_event){
		.number = roll(10) ? number : roll(1u << 30),
		.alloc = roll(3)   ? 1 + roll(60)
			 : roll(2) ? UINT64_MAX - roll(3)
				   : 0,
		.freed = roll(3)   ? roll(60)
			 : roll(2) ? UINT64_MAX - roll(3)
				   : 0,
		.size = roll(2) ? roll(1000) : UINT64_MAX - roll(1000),
		.addr = roll(3),
		.old_addr = roll(2),
		.stack = roll(4) ? roll(MAX_STACKS + 3) : UINT32_MAX - roll(2),
		.thread = roll(4) ? roll(MAX_THREADS) : UINT32_MAX - roll(2),
		.op = (uint8_t)roll(roll(2) ? 17 : 256),
		.flags = (uint8_t)roll(16),
	};
}

static void adds_up_whatever_the_events(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		make_history(seed, 500); /* for its processes and threads, some of which have ended */
		struct mst_replay *p =
			replay_history(&(struct mst_replay_options){.by_stack = true}, ONE_BY_ONE);
		for (uint32_t i = 0; i < 2000; i++) {
			struct mst_event ev = absurd_event(past.n + i);
			assert_int_equal(mst_replay_apply(p, &ev), 0);
		}
		const struct mst_counters *total = mst_replay_totals(p);
		uint64_t live = total->live_bytes, blocks = total->live_blocks, frees = total->frees,
			 peak = total->peak_bytes;
		assert_int_equal(live, total->allocated_bytes - total->freed_bytes);
		for (uint32_t i = 0; i < mst_replay_n_stacks(p); i++) {
			const struct mst_counters *c = mst_replay_stack(p, i);
			live -= c->live_bytes;
			blocks -= c->live_blocks;
			frees -= c->frees;
			peak -= c->peak_bytes;
		}
		assert_int_equal(live, 0);
		assert_int_equal(blocks, 0);
		assert_int_equal(frees, 0);
		assert_int_equal(peak, 0);
		mst_replay_free(p);
	}
}

static int stop_at_first(void *ctx, const struct mst_block *b)
{
	*(uint64_t *)ctx += b->alloc;
	return 42;
}

static void stops_visiting_when_told(void **state)
{
	(void)state;
	struct mst_replay *p = fresh_replay();
	applied(p, (struct mst_event){.thread = 1, .op = MST_OP_MALLOC, .alloc = 3});
	applied(p, (struct mst_event){.thread = 1, .op = MST_OP_MALLOC, .alloc = 4});
	uint64_t sum = 0;
	assert_int_equal(mst_replay_each_live(p, stop_at_first, &sum), 42);
	assert_int_equal(sum, 3);
	mst_replay_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_model_on_random_histories),
		cmocka_unit_test(equals_the_model_without_stacks),
		cmocka_unit_test(counts_one_process_or_one_pid),
		cmocka_unit_test(equals_the_model_on_a_long_history),
		cmocka_unit_test(a_pool_is_counted_as_the_heap_would_be),
		cmocka_unit_test(completes_releases),
		cmocka_unit_test(marks_foreign_and_inherited_releases),
		cmocka_unit_test(knows_what_a_child_inherited_after_its_owner_has_released_it),
		cmocka_unit_test(replaces_a_block_whose_ordinal_repeats),
		cmocka_unit_test(adds_up_whatever_the_events),
		cmocka_unit_test(stops_visiting_when_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

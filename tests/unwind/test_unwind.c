/*
 * The unwinder against gcc's, in the situations in which programs call malloc.
 *
 * event() stands for a hook. Each event is unwound three times: with verified reuse (and reassembled from the
 * differences, as the recorder does), freshly, and by _Unwind_Backtrace. The first two must be equal bit for
 * bit, and equal to the third unless the case says otherwise.
 */
#include "cfi.h"
#include "reference_stack.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the four above it */
#include <cmocka.h>

#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

/* What a thread needs to be observed. */
struct probe {
	struct ms_unwind u, plain; /* plain: made to forget before each event */
	void *storage;
	struct ref_stack reported, fresh, theirs;
	struct ms_stack_diff diff;
	unsigned counts[4]; /* by enum ref_verdict */
	unsigned n_events, n_unequal;
	uint32_t limit;
};

static __thread struct probe *probe;
static unsigned modules_seen;
static jmp_buf module_escape;
static bool escape_on_module;

static void on_module(const struct dl_find_object *found)
{
	(void)found;
	modules_seen++;
	if (escape_on_module) {
		escape_on_module = false;
		longjmp(module_escape, 1);
	}
}

static void *map_or_die(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static void probe_init(uint32_t limit)
{
	probe = map_or_die(sizeof(*probe));
	probe->limit = limit;
	probe->storage = map_or_die(2 * ms_unwind_storage_size(limit));
	ms_unwind_init(&probe->u, probe->storage, limit, (struct ms_unwind_bounds){0, 0});
	ms_unwind_init(&probe->plain, (char *)probe->storage + ms_unwind_storage_size(limit), limit,
		(struct ms_unwind_bounds){0, 0});
}

static void probe_release(void)
{
	munmap(probe->storage, 2 * ms_unwind_storage_size(probe->limit));
	munmap(probe, sizeof(*probe));
	probe = NULL;
}

/* In place of the probe that each case starts with. */
static void use_limit(uint32_t limit)
{
	probe_release();
	probe_init(limit);
}

static int set_up(void **state)
{
	(void)state;
	probe_init(512);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	probe_release();
	return 0;
}

static bool same_stack(const struct ref_stack *a, const struct ref_stack *b)
{
	return a->n == b->n && a->flags == b->flags && memcmp(a->ip, b->ip, a->n * sizeof(a->ip[0])) == 0;
}

/* What is remembered is what would be found, registers included. */
static bool same_memory(const struct ms_unwind *a, const struct ms_unwind *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->frame[i].ip != b->frame[i].ip || a->frame[i].sp != b->frame[i].sp ||
			a->frame[i].bp != b->frame[i].bp)
			return false;
	return true;
}

/* Unwind in all our ways, which must be the same. */
static void observe(const struct ms_unwind_regs *at)
{
	struct ms_stack_diff whole;

	ms_unwind_here(&probe->u, at, &probe->diff);
	ref_apply(&probe->reported, &probe->diff);
	ms_unwind_forget(&probe->plain);
	ms_unwind_here(&probe->plain, at, &whole);
	probe->fresh.n = ms_unwind_fresh(&probe->u, at, probe->fresh.ip, probe->limit, &probe->fresh.flags);
	probe->n_events++;
	probe->n_unequal +=
		!same_stack(&probe->reported, &probe->fresh) || !same_memory(&probe->u, &probe->plain);
}

/* The hook. */
static NOINLINE void event(void)
{
	struct ms_unwind_regs at = MS_UNWIND_CALLER();

	observe(&at);
	ref_walk(&probe->theirs);
	probe->counts[ref_compare(&probe->reported, &probe->theirs)]++;
}

/* The same without gcc's opinion, where that takes too long. */
static NOINLINE void quick_event(void)
{
	struct ms_unwind_regs at = MS_UNWIND_CALLER();

	observe(&at);
	__asm__ volatile("");
}

static void assert_all_agree(void)
{
	assert_true(probe->n_events > 0);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_AGREE], probe->n_events);
}

/* ---- plain code ---- */

static NOINLINE int recurse(int depth)
{
	int result;

	event();
	if (depth == 0)
		return 1;
	result = recurse(depth - 1) + 1;
	event();
	return result;
}

static void agrees_through_recursion(void **state)
{
	(void)state;
	for (int depth = 0; depth < 60; depth += 7)
		assert_int_equal(recurse(depth), depth + 1);
	assert_all_agree();
	assert_int_equal(probe->reported.flags, 0);
}

static NOINLINE void event_repeatedly(int n)
{
	for (; n > 0; n--) {
		event();
		__asm__ volatile("" : "+r"(n));
	}
}

static void repeated_event_reports_no_difference(void **state)
{
	(void)state;
	event_repeatedly(3);
	assert_int_equal(probe->diff.n_push, 0);
	assert_int_equal(probe->diff.keep, probe->theirs.n);
	assert_all_agree();
}

static NOINLINE void with_alloca(size_t size)
{
	volatile char *p = alloca(size);

	p[0] = 1;
	event();
	p[size - 1] = 2;
}

static void agrees_under_alloca(void **state)
{
	(void)state;
	for (size_t size = 1; size < 5000; size = size * 2 + 3)
		with_alloca(size);
	assert_all_agree();
}

typedef float wide __attribute__((vector_size(64)));

static NOINLINE void realigned(int depth, long a, long b, long c, long d, long e, long f, long on_stack)
{
	volatile wide w = {(float)depth};

	event();
	if (depth > 0)
		realigned(depth - 1, a, b, c, d, e, f, on_stack + 1);
	event();
	w[1] = w[0] + (float)(a + b + c + d + e + f + on_stack);
}

static NOINLINE void realigned_with_alloca(
	int depth, long a, long b, long c, long d, long e, long f, long on_stack)
{
	volatile char *p = alloca((size_t)depth * 24 + 8);
	volatile wide w = {(float)depth};

	p[0] = 1;
	event();
	if (depth > 0)
		realigned_with_alloca(depth - 1, a, b, c, d, e, f, on_stack + 1);
	event();
	w[1] = w[0] + (float)(p[0] + a + b + c + d + e + f + on_stack);
}

static void agrees_in_realigned_frames(void **state)
{
	(void)state;
	realigned(5, 1, 2, 3, 4, 5, 6, 7);
	realigned_with_alloca(5, 1, 2, 3, 4, 5, 6, 7);
	assert_all_agree();
	assert_int_equal(probe->reported.flags, 0);
}

static int compare_ints(const void *a, const void *b)
{
	const int *x = a, *y = b;

	event();
	return (*x > *y) - (*x < *y);
}

static void agrees_in_qsort_callbacks(void **state)
{
	int values[200];

	(void)state;
	for (int i = 0; i < 200; i++)
		values[i] = i * 7919 % 200;
	qsort(values, 200, sizeof(values[0]), compare_ints);
	assert_all_agree();
}

static NOINLINE void tail_target(int n)
{
	event();
	__asm__ volatile("" ::"r"(n));
}

static NOINLINE void tail_caller(int n)
{
	__asm__ volatile("" : "+r"(n));
	tail_target(n + 1); /* becomes a jump */
}

static jmp_buf escape;

static NOINLINE __attribute__((noreturn)) void never_returns(void)
{
	event();
	longjmp(escape, 1);
}

static void agrees_after_tail_and_noreturn_calls(void **state)
{
	(void)state;
	tail_caller(1);
	if (setjmp(escape) == 0)
		never_returns();
	event();
	assert_all_agree();
}

static NOINLINE void dive(int depth)
{
	volatile char pad[32];

	pad[0] = (char)depth;
	event();
	if (pad[0] == 0)
		longjmp(escape, 1);
	if (depth >= 0)
		dive(depth - 1);
	pad[1] = pad[0];
}

static void agrees_after_longjmp(void **state)
{
	volatile int depth = 0;

	(void)state;
	for (; depth < 40; depth++) {
		if (setjmp(escape) == 0)
			dive(depth);
		event();
	}
	assert_all_agree();
}

/* ---- limits ---- */

static void keeps_the_innermost_frames_at_the_limit(void **state)
{
	(void)state;
	use_limit(20);
	recurse(50);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_DISAGREE], 0);
	assert_true(probe->counts[REF_CUT] > 50);
	assert_true(probe->counts[REF_AGREE] > 5);
	event();
	assert_int_equal(probe->reported.flags, 0);
}

static NOINLINE void event_at_depth(int depth)
{
	if (depth > 0)
		event_at_depth(depth - 1);
	else
		event();
	__asm__ volatile("");
}

static void limit_is_marked_only_when_frames_are_missing(void **state)
{
	uint32_t plain;

	(void)state;
	event_at_depth(4);
	plain = probe->reported.n;
	use_limit(plain);
	event_at_depth(4);
	assert_int_equal(probe->reported.n, plain);
	assert_int_equal(probe->reported.flags, 0);
	event_at_depth(5);
	assert_int_equal(probe->reported.n, plain);
	assert_int_equal(probe->reported.flags, MS_UNWIND_LIMITED);
	assert_int_equal(probe->diff.keep, 0);
	assert_int_equal(probe->n_unequal, 0);
}

static void forgetting_sends_the_whole_stack(void **state)
{
	(void)state;
	event();
	ms_unwind_forget(&probe->u);
	event();
	assert_int_equal(probe->diff.keep, 0);
	assert_int_equal(probe->diff.n_push, probe->theirs.n);
	assert_all_agree();
}

/* ---- signals ---- */

static void on_signal(int number)
{
	(void)number;
	event();
}

static void set_handler(int number, int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};

	sigaction(number, &action, NULL);
}

static NOINLINE void trap_in_leaf(void)
{
	__asm__ volatile("int3");
}

static NOINLINE void trap_in_red_zone(void)
{
	volatile long here = 1;

	__asm__ volatile("int3" ::: "memory");
	here++;
}

static void raise_everywhere(void)
{
	raise(SIGTRAP);
	trap_in_leaf();
	trap_in_red_zone();
	event();
}

static void agrees_in_signal_handlers(void **state)
{
	(void)state;
	set_handler(SIGTRAP, SA_NODEFER);
	raise_everywhere();
	raise_everywhere();
	assert_all_agree();
	assert_int_equal(probe->reported.flags, 0);
}

static void with_alternate_stack(void *memory, size_t size)
{
	stack_t stack = {.ss_sp = memory, .ss_size = size}, off = {.ss_flags = SS_DISABLE};

	assert_int_equal(sigaltstack(&stack, NULL), 0);
	set_handler(SIGTRAP, SA_ONSTACK);
	raise_everywhere();
	raise_everywhere();
	assert_int_equal(sigaltstack(&off, NULL), 0);
}

static void agrees_on_alternate_signal_stacks(void **state)
{
	size_t size = 64 * 1024;
	void *mapped = map_or_die(size);

	(void)state;
	with_alternate_stack(mapped, size);
	munmap(mapped, size);
	with_alternate_stack(alloca(size), size); /* above the frames that are interrupted */
	assert_all_agree();
	assert_int_equal(probe->reported.flags, 0);
}

/* The handler at any instruction: interrupt a loop of events often. fresh() inside must not disturb here().
 */
static volatile sig_atomic_t n_ticks, n_bad_ticks;

static void on_tick(int number)
{
	struct ms_unwind_regs at = MS_UNWIND_CALLER();
	uintptr_t ips[64];
	unsigned flags;
	uint32_t n = ms_unwind_fresh(&probe->u, &at, ips, 64, &flags);

	(void)number;
	n_ticks++;
	n_bad_ticks += n == 0;
}

static void nested_events_leave_the_remembered_stack_alone(void **state)
{
	struct sigaction action = {.sa_handler = on_tick}, old;
	timer_t timer;
	struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	struct itimerspec every = {{0, 100000}, {0, 100000}};

	(void)state;
	sigaction(SIGUSR2, &action, &old);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &how, &timer), 0);
	timer_settime(timer, 0, &every, NULL);
	for (int i = 0; i < 200000 && n_ticks < 200; i++)
		event_at_depth(i % 30);
	timer_delete(timer);
	sigaction(SIGUSR2, &old, NULL);
	assert_true(n_ticks > 0);
	assert_int_equal(n_bad_ticks, 0);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_AGREE], probe->n_events);
}

static sigjmp_buf tick_escape;
static volatile sig_atomic_t may_escape;

static void jump_out(int number)
{
	(void)number;
	if (may_escape) {
		may_escape = 0;
		siglongjmp(tick_escape, 1);
	}
}

/* A longjmp may leave the unwinder at any instruction; the next report must then stand alone. */
static void survives_longjmp_out_of_the_unwinder(void **state)
{
	struct sigaction action = {.sa_handler = jump_out}, old;
	timer_t timer;
	struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	struct itimerspec every = {{0, 50000}, {0, 50000}};
	volatile unsigned n_escapes = 0, round = 0;

	(void)state;
	sigaction(SIGUSR2, &action, &old);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &how, &timer), 0);
	timer_settime(timer, 0, &every, NULL);
	for (; n_escapes < 300 && round < 2000; round++) {
		if (sigsetjmp(tick_escape, 1) == 0) {
			may_escape = 1;
			for (int i = 0; i < 2000; i++)
				event_at_depth(i % 20);
			may_escape = 0;
		} else {
			n_escapes++;
			ms_unwind_forget(&probe->u); /* what was under way has not been reported */
			probe->n_unequal = 0;	     /* the interrupted bookkeeping of this test */
			probe->n_events = probe->counts[REF_AGREE] = 0;
		}
		event();
	}
	timer_delete(timer);
	sigaction(SIGUSR2, &old, NULL);
	assert_true(n_escapes > 0);
	assert_all_agree();
}

/* ---- other stacks ---- */

static ucontext_t main_context, coroutine;

static void trap_and_leave(void)
{
	trap_in_leaf();
	trap_in_leaf();
}

/* The handler's frames are on the thread's stack and look the same each time; those outside of it do not. */
static void agrees_in_handlers_that_interrupt_coroutines(void **state)
{
	size_t size = 64 * 1024;
	stack_t stack = {.ss_sp = alloca(size), .ss_size = size}, off = {.ss_flags = SS_DISABLE};
	char *stacks[4];

	(void)state;
	event();
	assert_int_equal(sigaltstack(&stack, NULL), 0);
	set_handler(SIGTRAP, SA_ONSTACK);
	for (int i = 0; i < 4; i++)
		stacks[i] = map_or_die(size);
	for (int i = 0; i < 4; i++) {
		getcontext(&coroutine);
		coroutine.uc_stack.ss_sp = stacks[i];
		coroutine.uc_stack.ss_size = size;
		coroutine.uc_link = &main_context;
		makecontext(&coroutine, trap_and_leave, 0);
		swapcontext(&main_context, &coroutine);
		munmap(stacks[i], size);
	}
	assert_int_equal(sigaltstack(&off, NULL), 0);
	assert_all_agree();
}

static void coroutine_body(void)
{
	recurse(3);
	swapcontext(&coroutine, &main_context);
	recurse(30);
}

static void agrees_on_coroutine_stacks(void **state)
{
	size_t size = 256 * 1024;
	void *previous = NULL;

	(void)state;
	for (int i = 0; i < 4; i++) {
		char *stack = map_or_die(size);

		getcontext(&coroutine);
		coroutine.uc_stack.ss_sp = stack;
		coroutine.uc_stack.ss_size = size;
		coroutine.uc_link = &main_context;
		makecontext(&coroutine, coroutine_body, 0);
		event();
		swapcontext(&main_context, &coroutine);
		event();
		swapcontext(&main_context, &coroutine);
		munmap(stack, size);
		event();
		previous = stack;
	}
	(void)previous;
	assert_all_agree();
}

/* A thread whose first events come from a coroutine: its own stack is found later, and then reused. */
static void first_body(void)
{
	recurse(3);
}

static void own_stack_is_found_after_a_start_elsewhere(void **state)
{
	size_t size = 256 * 1024;
	char *stack = map_or_die(size);

	(void)state;
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = stack;
	coroutine.uc_stack.ss_size = size;
	coroutine.uc_link = &main_context;
	makecontext(&coroutine, first_body, 0);
	swapcontext(&main_context, &coroutine);
	assert_int_equal(probe->u.stack.hi, 0);
	for (int i = 0; i < 8; i++)
		event();
	assert_true(probe->u.stack.hi != 0);
	munmap(stack, size);
	assert_all_agree();
}

static int shared_child(void *arg)
{
	(void)arg;
	recurse(4);
	return 0;
}

/* The children of vfork and posix_spawn run in our memory with our thread's state, on a stack of their own.
 */
static void agrees_in_a_child_that_shares_the_memory(void **state)
{
	size_t size = 256 * 1024;
	char *stack = map_or_die(size);
	int status;
	pid_t child;

	(void)state;
	event();
	child = clone(shared_child, stack + size, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	munmap(stack, size);
	event();
	assert_all_agree();
}

static void agrees_after_fork(void **state)
{
	int status;
	pid_t child;

	(void)state;
	event();
	child = fork();
	if (child == 0) {
		recurse(6);
		_exit(probe->n_unequal != 0 || probe->counts[REF_AGREE] != probe->n_events);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* The stack ends at an unmapped page and the words there are not frames: no load may go beyond. */
static void unmapped_end_of_a_foreign_stack_is_survived(void **state)
{
	size_t size = 8192;
	char *stack = map_or_die(2 * size);
	struct ms_unwind_regs at = {(uintptr_t)event_at_depth + 1, 0, 0};

	(void)state;
	munmap(stack + size, size);
	for (size_t off = 0; off < 4200; off += 8) {
		at.sp = (uintptr_t)stack + size - off;
		at.bp = at.sp + off / 2;
		ms_unwind_here(&probe->u, &at, &probe->diff);
		assert_int_equal(probe->diff.flags & MS_UNWIND_LIMITED, 0);
	}
	munmap(stack, size);
}

static void any_registers_are_survived(void **state)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uint64_t random = 88172645463325252u;
	uintptr_t words[] = {0, 1, 8, UINTPTR_MAX, UINTPTR_MAX - 7, UINT64_C(1) << 47, here, here + 1,
		probe->u.stack.hi, probe->u.stack.hi - 8, (uintptr_t)event, (uintptr_t)event + 5,
		(uintptr_t)qsort};
	enum { N = sizeof(words) / sizeof(words[0]) };

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct ms_unwind_regs at;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		at.ip = words[random % N] + (random >> 8 & 127);
		at.sp = words[(random >> 16) % N] + (random >> 24 & 63) * 8;
		at.bp = words[(random >> 32) % N] + (random >> 40 & 255);
		ms_unwind_here(&probe->u, &at, &probe->diff);
		assert_true(probe->diff.keep + probe->diff.n_push >= 1);
	}
}

/* The last words of the stack: what lies behind them is not mapped. */
static void no_load_goes_beyond_the_stack(void **state)
{
	(void)state;
	event();
	for (uintptr_t off = 8; off <= 256; off += 8)
		for (uintptr_t into = 1; into < 400; into++) {
			struct ms_unwind_regs at = {(uintptr_t)qsort + into, probe->u.stack.hi - off, 0};

			at.bp = at.sp;
			ms_unwind_here(&probe->u, &at, &probe->diff);
			assert_true(probe->diff.keep + probe->diff.n_push >= 1);
		}
}

static void *thread_body(void *arg)
{
	uintptr_t *disagreements = arg;

	probe_init(512);
	for (int i = 0; i < 5; i++)
		recurse(12 + i);
	*disagreements =
		probe->n_events - probe->counts[REF_AGREE] + probe->n_unequal + (probe->u.stack.hi == 0);
	probe_release();
	return NULL;
}

static void agrees_in_64_threads_at_once(void **state)
{
	pthread_t threads[64];
	uintptr_t disagreements[64];
	pthread_attr_t attr;

	(void)state;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	for (int i = 0; i < 64; i++)
		assert_int_equal(
			pthread_create(&threads[i], i % 2 ? &attr : NULL, thread_body, &disagreements[i]), 0);
	for (int i = 0; i < 64; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(disagreements[i], 0);
	}
	pthread_attr_destroy(&attr);
}

static void bounds_hold_the_stack_and_not_more(void **state)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	char *elsewhere = map_or_die(4096);
	struct ms_unwind_bounds none = ms_unwind_find_stack((uintptr_t)elsewhere + 64);
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long lo = 0, hi = 0;

	(void)state;
	assert_int_equal(none.hi, 0);
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) && !strstr(line, "[stack]"))
		;
	fclose(maps);
	assert_int_equal(sscanf(line, "%lx-%lx", &lo, &hi), 2);
	event();
	assert_int_equal(probe->u.stack.hi, hi);
	assert_true(probe->u.stack.lo <= lo);
	assert_true(here >= lo && here < hi);
	munmap(elsewhere, 4096);
}

/* How far down the unwinder writes when every rule is unknown. */
static NOINLINE size_t stack_used_by_an_event(void)
{
	enum { SIZE = 8192 };
	volatile unsigned char *below = (volatile unsigned char *)__builtin_frame_address(0) - SIZE - 256;
	struct ms_unwind_regs at = MS_UNWIND_CALLER();
	size_t clean = 0;

	ms_unwind_dlclose_begin();
	ms_unwind_dlclose_end();
	for (size_t i = 0; i < SIZE; i++)
		below[i] = 0xa5;
	ms_unwind_from(&probe->u, at.ip, at.sp, at.bp, &probe->diff);
	while (clean < SIZE && below[clean] == 0xa5)
		clean++;
	return SIZE + 256 - clean;
}

static void needs_little_stack(void **state)
{
	size_t used;

	(void)state;
	event(); /* the dynamic linker binds _dl_find_object here, on a stack of its own liking */
	used = stack_used_by_an_event();
	print_message("an unwind without rules uses %zu bytes of stack\n", used);
	assert_true(used > 256 && used < 1536);
}

/* ---- modules ---- */

typedef void plugin_function(void (*callback)(void));

static plugin_function *plugin_symbol(void *handle, const char *name)
{
	void *symbol = dlsym(handle, name);
	plugin_function *function;

	assert_non_null(symbol);
	memcpy(&function, &symbol, sizeof(symbol));
	return function;
}

static void *open_plugin(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	assert_non_null(handle);
	return handle;
}

static void close_plugin(void *handle)
{
	ms_unwind_dlclose_begin();
	dlclose(handle);
	ms_unwind_dlclose_end();
}

static void agrees_after_another_module_took_the_address(void **state)
{
	static const char *const paths[] = {PLUGIN_A, PLUGIN_B};
	uintptr_t addresses[2] = {0, 0};

	(void)state;
	for (int i = 0; i < 8; i++) {
		void *handle = open_plugin(paths[i % 2]);
		plugin_function *call = plugin_symbol(handle, "plugin_call");

		addresses[i % 2] = (uintptr_t)call;
		call(event);
		call(event);
		close_plugin(handle);
	}
	assert_int_equal(addresses[0], addresses[1]); /* or this would prove nothing */
	assert_all_agree();
}

/* Generations are counted in 17 bits in the table. */
static void agrees_after_as_many_dlcloses_as_can_be_counted(void **state)
{
	static const char *const paths[] = {PLUGIN_A, PLUGIN_B};

	(void)state;
	for (int i = 0; i < 2; i++) {
		void *handle = open_plugin(paths[i]);

		plugin_symbol(handle, "plugin_call")(event);
		close_plugin(handle);
		for (unsigned n = 1; n < 1u << 17; n++) {
			ms_unwind_dlclose_begin();
			ms_unwind_dlclose_end();
		}
	}
	assert_all_agree();
}

static bool knows_step_out_of(const struct ms_unwind_steps *steps, uintptr_t start, uintptr_t end)
{
	for (size_t i = 0; i < MS_UNWIND_STEPS; i++)
		if (steps->step[i].key - steps->age - start < end - start && steps->step[i].rule)
			return true;
	return false;
}

static __attribute__((noinline)) void call_deeper(plugin_function *call)
{
	volatile char pad[256];

	pad[0] = 1;
	call(event);
	pad[1] = pad[0];
}

/* What a thread knows of an epoch has an age of 16 bits, which goes on with the first event of the next epoch. */
static void nothing_is_left_after_as_many_epochs_as_a_thread_can_count(void **state)
{
	void *handle = open_plugin(PLUGIN_A);
	plugin_function *call = plugin_symbol(handle, "plugin_call");
	uintptr_t age, code = (uintptr_t)call;

	(void)state;
	call(event); /* meets the module, */
	call(event); /* keeps the rule, */
	call_deeper(call); /* and steps out of it again */
	assert_true(knows_step_out_of(probe->u.steps, code, code + 64));
	age = probe->u.steps->age;
	for (unsigned n = 0; n < 1u << (64 - MS_UNWIND_AGE_SHIFT); n++) {
		struct ms_unwind_regs at = MS_UNWIND_CALLER();

		ms_unwind_dlclose_begin();
		ms_unwind_dlclose_end();
		ms_unwind_from(&probe->u, at.ip, at.sp, at.bp, &probe->diff);
		ref_apply(&probe->reported, &probe->diff);
	}
	assert_true(probe->u.steps->age == age);
	assert_false(knows_step_out_of(probe->u.steps, code, code + 64));
	close_plugin(handle);
	event();
	assert_all_agree();
}

/* libc unloads its own plugins unseen: the first unknown address in the new module gives it away. */
static void agrees_after_another_module_took_the_address_unseen(void **state)
{
	static const char *const paths[] = {PLUGIN_A, PLUGIN_B, PLUGIN_C};
	uintptr_t addresses[3] = {0, 0, 0};

	(void)state;
	for (int i = 0; i < 9; i++) {
		void *handle = open_plugin(paths[i % 3]);
		plugin_function *call = plugin_symbol(handle, "plugin_call");

		addresses[i % 3] = (uintptr_t)call;
		plugin_symbol(handle, "plugin_call_late")(event);
		assert_int_equal(probe->diff.keep, 0); /* the same address is another place now */
		call(event);
		call(event);
		dlclose(handle);
	}
	assert_int_equal(addresses[0], addresses[1]);
	assert_int_equal(addresses[0], addresses[2]);
	assert_all_agree();
}

static void agrees_while_a_dlclose_is_under_way(void **state)
{
	(void)state;
	event();
	ms_unwind_dlclose_begin();
	recurse(5);
	assert_int_equal(probe->diff.keep, 0);
	ms_unwind_dlclose_end();
	event_repeatedly(1);
	assert_int_equal(probe->diff.keep, 0);
	event_repeatedly(1);
	assert_int_equal(probe->diff.n_push, 2); /* the place of the call in here, and all inside of it */
	assert_all_agree();
}

static void module_is_announced_before_its_frames(void **state)
{
	void *handle = open_plugin(PLUGIN_D);
	plugin_function *call = plugin_symbol(handle, "plugin_call");
	unsigned before;

	(void)state;
	event();
	before = modules_seen;
	call(event);
	assert_int_equal(modules_seen, before + 1);
	call(event);
	assert_int_equal(modules_seen, before + 1);
	close_plugin(handle);
	assert_all_agree();
}

/* The same escape as from a signal handler, at a moment that is known to be in the middle. */
static void unwind_that_was_left_is_not_built_upon(void **state)
{
	void *handle = open_plugin(PLUGIN_E);
	plugin_function *call = plugin_symbol(handle, "plugin_call");

	(void)state;
	event();
	escape_on_module = true;
	if (setjmp(module_escape) == 0) {
		call(event);
		fail(); /* the module was not announced */
	}
	event();
	assert_int_equal(probe->diff.keep, 0);
	call(event);
	close_plugin(handle);
	assert_all_agree();
}

extern void lazy_call(void (*callback)(void));
extern void lazy_on_resolve(void (*callback)(void));
extern int lazy_resolved(void);

static void agrees_through_lazy_binding(void **state)
{
	(void)state;
	lazy_call(event);
	lazy_call(event);
	assert_all_agree();
	lazy_on_resolve(event);
	assert_int_equal(lazy_resolved(), 42);
	assert_int_equal(probe->n_events, 3);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_DISAGREE], 0);
}

/* ---- code without unwind information ---- */

static void *make_code(const void *bytes, size_t size)
{
	void *code = map_or_die(4096);

	memcpy(code, bytes, size);
	mprotect(code, 4096, PROT_READ | PROT_EXEC);
	return code;
}

static void unmap_code(void *code)
{
	munmap(code, 4096);
	ms_unwind_unmapped((uintptr_t)code, 4096);
}

static NOINLINE void call_code(void *code)
{
	void (*function)(void (*)(void));

	memcpy(&function, &code, sizeof(code));
	function(event);
	__asm__ volatile("");
}

static void generated_code_without_a_frame_cuts_the_stack(void **state)
{
	/* sub $8,%rsp; call *%rdi; add $8,%rsp; pop %rcx; jmp *%rcx */
	static const unsigned char bytes[] = {0x48, 0x83, 0xec, 8, 0xff, 0xd7, 0x48, 0x83, 0xc4, 8, 0x59, 0xff, 0xe1};
	void *code = make_code(bytes, sizeof(bytes));

	(void)state;
	call_code(code);
	assert_int_equal(probe->reported.flags, MS_UNWIND_CUT);
	assert_int_equal(probe->reported.n, 1);
	assert_int_equal(probe->reported.ip[0], (uintptr_t)code + 6);
	event();
	call_code(code);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_DISAGREE], 0);
	unmap_code(code);
}

/* Functions that call one another and, at last, event(). Each pushes rbp and makes it its frame pointer, or leaves it alone;
 * has room for four words, which it fills with JUNK; calls, with the same distance from its start; and returns
 * plainly, or in an odd way that does not tell whether it has a frame pointer. */
struct made {
	bool has_frame, is_plain;
	uintptr_t junk;
};

enum { MADE_CALL = 64, MADE_SIZE = 128 }; /* the call's end; a function's size */

static void make_function(unsigned char *at, const struct made *made, uintptr_t callee)
{
	unsigned char *p = at;
	size_t n_nops;

#define PUT(bytes) (memcpy(p, bytes, sizeof(bytes) - 1), p += sizeof(bytes) - 1)
	if (made->has_frame)
		PUT("\x55\x48\x89\xe5\x48\x83\xec\x20"); /* push %rbp; mov %rsp,%rbp; sub $32,%rsp */
	else
		PUT("\x48\x83\xec\x28"); /* sub $40,%rsp */
	PUT("\x48\xb8"), memcpy(p, &made->junk, 8), p += 8; /* mov $junk,%rax */
	PUT("\x48\x89\x04\x24\x48\x89\x44\x24\x08");	  /* mov %rax,(%rsp); mov %rax,8(%rsp) */
	PUT("\x48\x89\x44\x24\x10\x48\x89\x44\x24\x18"); /* mov %rax,16(%rsp); mov %rax,24(%rsp) */
	PUT("\x48\xb8");				  /* mov $callee,%rax */
	memcpy(p, &callee, 8), p += 8;
	n_nops = (size_t)(at + MADE_CALL - 2 - p);
	memset(p, 0x90, n_nops), p += n_nops;
	PUT("\xff\xd0"); /* call *%rax */
	if (made->has_frame && made->is_plain)
		PUT("\xc9\xc3");
	else if (made->has_frame)
		PUT("\x48\x83\xc4\x20\x5d\x59\xff\xe1"); /* add $32,%rsp; pop %rbp; pop %rcx; jmp *%rcx */
	else if (made->is_plain)
		PUT("\x48\x83\xc4\x28\xc3"); /* add $40,%rsp; ret */
	else
		PUT("\x48\x83\xc4\x28\x59\xff\xe1"); /* add $40,%rsp; pop %rcx; jmp *%rcx */
#undef PUT
}

/* Function i, which calls i+1, at its place in CODE; the last one calls LAST. */
static void make_functions(unsigned char *code, const struct made *made, unsigned n, uintptr_t last)
{
	mprotect(code, 4096, PROT_READ | PROT_WRITE);
	for (unsigned i = 0; i < n; i++)
		make_function(code + i * MADE_SIZE, &made[i],
			i + 1 < n ? (uintptr_t)code + (i + 1) * MADE_SIZE : last);
	mprotect(code, 4096, PROT_READ | PROT_EXEC);
}

/* What is reported of N functions at CODE, called from here: the innermost N_SEEN, and whether that is all. */
static void assert_made(unsigned char *code, unsigned n, unsigned n_seen, unsigned flags)
{
	uint32_t outer = flags == MS_UNWIND_CUT ? 0 : probe->reported.n - n_seen;

	assert_int_equal(probe->reported.flags, flags);
	assert_int_equal(probe->reported.n, outer + n_seen);
	for (unsigned i = 0; i < n_seen; i++)
		assert_int_equal(probe->reported.ip[outer + i], (uintptr_t)code + (n - n_seen + i) * MADE_SIZE + MADE_CALL);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_DISAGREE], 0);
}

static const struct made framed = {true, true, 0}, odd_framed = {true, false, 0}, frameless = {false, true, 0},
			 odd_frameless = {false, false, 0};

static void generated_code_with_frame_pointers_is_passed(void **state)
{
	const struct made made[] = {framed, odd_framed, odd_framed, framed};
	unsigned char *code = map_or_die(4096);
	uint32_t depth;

	(void)state;
	event();
	depth = probe->reported.n;
	make_functions(code, made, 4, (uintptr_t)event);
	for (int i = 0; i < 3; i++) {
		call_code(code);
		assert_made(code, 4, 4, 0);
		assert_int_equal(probe->reported.n, depth + 5); /* call_code() is one, too */
	}
	call_code(code + MADE_SIZE);
	assert_made(code, 4, 3, 0);
	unmap_code(code);
}

/* Their epilogues tell, whatever lies on the stack. */
static void generated_code_without_frame_pointers_is_passed(void **state)
{
	unsigned char *code = map_or_die(4096);
	const uintptr_t in_code = (uintptr_t)code + MADE_CALL;
	const struct made made[] = {frameless, framed, {false, true, in_code}, {true, true, in_code}, frameless};

	(void)state;
	make_functions(code, made, 5, (uintptr_t)event);
	for (int i = 0; i < 3; i++) {
		call_code(code);
		assert_made(code, 5, 5, 0);
	}
	event();
	call_code(code + 2 * MADE_SIZE);
	assert_made(code, 5, 3, 0);
	unmap_code(code);
}

static void generated_code_without_a_frame_pointer_is_not_passed_over(void **state)
{
	const struct made made[] = {framed, odd_frameless, odd_framed}, learnt[] = {framed, odd_framed};
	unsigned char *code = map_or_die(4096), *more = map_or_die(4096);

	(void)state;
	make_functions(code, made, 3, (uintptr_t)event);
	call_code(code); /* the way does not end in compiled code, as far as can be told */
	assert_made(code, 3, 1, MS_UNWIND_CUT);
	call_code(code + MADE_SIZE);
	assert_made(code, 3, 1, MS_UNWIND_CUT);
	call_code(code + 2 * MADE_SIZE); /* now it does */
	assert_made(code, 3, 1, 0);
	call_code(code); /* so more is known of the innermost */
	assert_made(code, 3, 2, MS_UNWIND_CUT);
	make_functions(more, learnt, 2, (uintptr_t)event);
	call_code(more);
	assert_made(more, 2, 2, 0);
	unmap_code(code);
	unmap_code(more);
}

static void where_code_cannot_be_looked_at_only_compiled_callers_are_believed(void **state)
{
	const struct made made[] = {framed, odd_frameless}, chain[] = {framed, framed};
	unsigned char *code = map_or_die(4096), *more = map_or_die(4096);

	(void)state;
	make_functions(more, chain, 2, (uintptr_t)event);
	call_code(more + MADE_SIZE);
	assert_made(more, 2, 1, 0);
	call_code(more);
	assert_made(more, 2, 1, MS_UNWIND_CUT);
	make_functions(code, made, 2, (uintptr_t)event);
	call_code(code); /* rbp is that of the first */
	assert_made(code, 2, 1, MS_UNWIND_CUT);
	unmap_code(code);
	unmap_code(more);
}

static NOINLINE uintptr_t place_of_a_call(void)
{
	__asm__ volatile("");
	return (uintptr_t)__builtin_return_address(0);
}

/* An address on the stack that may be the caller's matters if nothing says that the code has a frame pointer. */
static void return_address_in_the_way_cuts_the_stack_unless_the_epilogue_tells(void **state)
{
	unsigned char *code = map_or_die(4096);
	const uintptr_t junk[] = {place_of_a_call(), (uintptr_t)code + MADE_CALL, (uintptr_t)code + MADE_SIZE + MADE_CALL};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct made made[] = {framed, {true, false, junk[i]}};

		make_functions(code, made, 2, (uintptr_t)event);
		ms_unwind_unmapped((uintptr_t)code, 4096);
		call_code(code);
		assert_made(code, 2, 1, MS_UNWIND_CUT);
		made[1].is_plain = true;
		make_functions(code, made, 2, (uintptr_t)event);
		ms_unwind_unmapped((uintptr_t)code, 4096);
		call_code(code);
		assert_made(code, 2, 2, 0);
		made[1].is_plain = false; /* what has been learnt of the place stays */
		make_functions(code, made, 2, (uintptr_t)event);
		call_code(code);
		assert_made(code, 2, 2, 0);
	}
	unmap_code(code);
}

static size_t stack_used;

static NOINLINE void note_stack_used(void)
{
	stack_used = stack_used_by_an_event();
	__asm__ volatile("");
}

static void guess_needs_little_stack(void **state)
{
	const struct made made[] = {framed, odd_framed, framed};
	unsigned char *code = map_or_die(4096);

	(void)state;
	make_functions(code, made, 3, (uintptr_t)note_stack_used);
	call_code(code);
	print_message("without unwind information it uses %zu\n", stack_used);
	assert_true(stack_used > 256 && stack_used < 1536);
	unmap_code(code);
}

static void code_that_took_the_place_of_other_code_is_judged_anew(void **state)
{
	const struct made before[] = {framed, framed}, after[] = {framed, odd_frameless};
	unsigned char *code = map_or_die(4096);

	(void)state;
	make_functions(code, before, 2, (uintptr_t)event);
	call_code(code);
	assert_made(code, 2, 2, 0);
	make_functions(code, after, 2, (uintptr_t)event);
	ms_unwind_unmapped((uintptr_t)code + MADE_SIZE, MADE_SIZE);
	call_code(code);
	assert_made(code, 2, 1, MS_UNWIND_CUT);
	unmap_code(code);
}

static uint32_t depth_from(const struct ms_unwind_regs *at)
{
	observe(at);
	assert_int_equal(probe->n_unequal, 0);
	return probe->reported.n;
}

static uintptr_t place_of_an_indirect_call(void)
{
	uintptr_t (*volatile function)(void) = place_of_a_call;

	return function();
}

/* Frames seen with these words at the frame pointer, and in the way, by code that does not tell: all zeroes. IP is another one
 * each time, since failures are remembered. */
static uint32_t depth_with(struct ms_unwind_regs *at, uintptr_t caller, uintptr_t in_the_way)
{
	volatile uintptr_t words[32] = {0};

	words[4] = in_the_way;
	words[9] = caller;
	at->ip += 8;
	at->sp = (uintptr_t)&words[0];
	at->bp += (uintptr_t)&words[8];
	observe(at);
	assert_int_equal(probe->n_unequal, 0);
	return probe->reported.n;
}

static void words_on_the_stack_decide_where_code_does_not_tell(void **state)
{
	void *code = make_code("\xc3", 1);
	struct ms_unwind_regs at = {.ip = (uintptr_t)code};
	uintptr_t indirect = place_of_an_indirect_call(), direct = place_of_a_call();

	(void)state;
	assert_int_equal(depth_with(&at, 12345, 0), 1);
	assert_int_equal(probe->reported.flags, MS_UNWIND_CUT);
	at.bp = 0;
	assert_int_equal(depth_with(&at, direct, 0), 1); /* of a function that is not ours */
	at.bp = 0;
	assert_int_equal(depth_with(&at, indirect + 1, 0), 1); /* not behind a call */
	at.bp = 0;
	assert_int_equal(depth_with(&at, indirect, indirect), 1); /* the nearer one may be the caller */
	at.bp = 4;
	assert_int_equal(depth_with(&at, indirect, 0), 1); /* not a place for a frame */
	at.bp = 0;
	assert_true(depth_with(&at, indirect, 0) >= 2);
	unmap_code(code);
}

/* ---- stacks made by hand: the same registers, other words ---- */

static ms_cfi_rule rule_at(uintptr_t pc)
{
	struct dl_find_object found;
	struct ms_cfi_module module;
	struct ms_cfi_code code;

	assert_int_equal(_dl_find_object((void *)pc, &found), 0);
	module = (struct ms_cfi_module){(uintptr_t)found.dlfo_map_start, (uintptr_t)found.dlfo_map_end,
		(uintptr_t)found.dlfo_eh_frame};
	return ms_cfi_rule_at(&module, pc, &code);
}

static NOINLINE void note_realigned_ip(uintptr_t *ip)
{
	*ip = (uintptr_t)__builtin_return_address(0);
}

static NOINLINE void realigned_caller(uintptr_t *ip, long a, long b, long c, long d, long e, long on_stack)
{
	volatile char *p = alloca((size_t)on_stack + 8);
	volatile wide w = {1};

	p[0] = 1;
	note_realigned_ip(ip);
	w[1] = w[0] + (float)(a + b + c + d + e + on_stack);
}

/* The spilt stack pointer of a realigned frame changes, and nothing else that a frame usually hangs on. */
static void realigned_frame_is_derived_anew(void **state)
{
	volatile uintptr_t words[64] = {0};
	volatile long number = 1;
	uintptr_t place = place_of_an_indirect_call();
	struct ms_unwind_regs at = {0, (uintptr_t)&words[0], (uintptr_t)&words[16]};

	(void)state;
	realigned_caller(&at.ip, number, number, number, number, number, number);
	if (ms_cfi_kind(rule_at(at.ip - 1)) != MS_CFI_AT_BP)
		skip(); /* clang spills no stack pointer, it finds its arguments from rbp */
	words[39] = words[47] = place;
	for (int i = 0; i < 4; i++) {
		for (int k = 8; k < 16; k++)
			words[k] = (uintptr_t)&words[i % 2 ? 40 : 48];
		assert_true(depth_from(&at) >= 2);
	}
}

/* A place in libc whose rule is: CFA = rsp + not too much, rbp saved at CFA + BP_OFF. */
static ms_cfi_rule rule_with_bp_at(intptr_t bp_off, uintptr_t *ip)
{
	for (uintptr_t pc = (uintptr_t)qsort; pc < (uintptr_t)qsort + 500000; pc += 4) {
		ms_cfi_rule rule = rule_at(pc);

		*ip = pc + 1;
		if (ms_cfi_kind(rule) == MS_CFI_SP && ms_cfi_bp(rule) == MS_CFI_BP_CFA &&
			ms_cfi_bp_off(rule) == bp_off && ms_cfi_cfa_off(rule) < 128)
			return rule;
	}
	fail();
	return 0;
}

/* Two callees of one frame keep its rbp at different places: the place of the one that is there counts. */
static void place_of_rbp_follows_the_callee(void **state)
{
	static const intptr_t bp_offs[2] = {-16, -48};
	volatile uintptr_t words[64] = {0};
	struct ms_unwind_regs at[2];

	(void)state;
	words[31] = place_of_an_indirect_call();
	for (int i = 0; i < 2; i++) {
		ms_cfi_rule rule = rule_with_bp_at(bp_offs[i], &at[i].ip);

		at[i].sp = (uintptr_t)&words[32] - (uintptr_t)ms_cfi_cfa_off(rule);
		at[i].bp = 0;
	}
	for (uintptr_t bp = 1; bp < 4; bp++) {
		words[30] = words[26] = bp; /* CFA - 16 and CFA - 48 */
		assert_true(depth_from(&at[0]) >= 2);
		assert_true(depth_from(&at[1]) >= 2);
		words[26] = bp + 100;
		assert_true(depth_from(&at[1]) >= 2);
	}
}

/* ---- at any instruction ---- */

static NOINLINE long walk_of_many_shapes(long n)
{
	volatile wide w = {(float)n};
	volatile char *p = alloca((size_t)n * 16 + 8);
	int values[8] = {5, 2, 7, 1, 8, 3, 6, 4};
	long sum = 0;

	p[0] = 3;
	qsort(values, 8, sizeof(values[0]), (int (*)(const void *, const void *))strcmp);
	for (int i = 0; i < 8; i++)
		sum += values[i] ^ i;
	return sum + p[0] + (long)w[0] + (n > 0 ? walk_of_many_shapes(n - 1) : 0);
}

static NOINLINE void single_step(void (*function)(void))
{
	__asm__ volatile("pushf; orl $0x100, (%%rsp); popf" ::: "memory", "cc");
	function();
	__asm__ volatile("pushf; andl $~0x100, (%%rsp); popf" ::: "memory", "cc");
}

static void step_through_shapes(void)
{
	walk_of_many_shapes(2);
}

extern int lazy_bound(int);

static void step_through_binding(void)
{
	lazy_bound(1); /* bound at the first call, */
	lazy_bound(2); /* by its entry of the linkage table at the second */
}

static sigjmp_buf reference_escape;
static volatile sig_atomic_t n_reference_faults;

static void on_reference_fault(int number)
{
	(void)number;
	siglongjmp(reference_escape, 1);
}

/* Some epilogues are described wrongly. gcc's unwinder believes what it reads there, and faults. */
static void on_step(int number)
{
	struct ms_unwind_regs at = MS_UNWIND_CALLER();

	(void)number;
	observe(&at);
	if (sigsetjmp(reference_escape, 1) != 0) {
		n_reference_faults++;
		return;
	}
	ref_walk(&probe->theirs);
	probe->counts[ref_compare(&probe->reported, &probe->theirs)]++;
}

static void agrees_at_every_instruction(void **state)
{
	struct sigaction step = {.sa_handler = on_step}, fault = {.sa_handler = on_reference_fault}, old;

	(void)state;
	sigaction(SIGTRAP, &step, NULL);
	sigaction(SIGSEGV, &fault, &old);
	single_step(step_through_shapes);
	single_step(step_through_binding);
	signal(SIGTRAP, SIG_DFL);
	sigaction(SIGSEGV, &old, NULL);
	print_message("%u instructions: %u agree, %u cut, at %d gcc's unwinder faults\n", probe->n_events,
		probe->counts[REF_AGREE], probe->counts[REF_CUT], (int)n_reference_faults);
	assert_true(probe->n_events > 1000);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_DISAGREE] + probe->counts[REF_LONGER], 0);
	assert_true(probe->counts[REF_AGREE] > 500);
}

/* ---- at random ---- */

struct random_tree {
	uint64_t seed;
	unsigned n_events, max_events;
	jmp_buf out;
};

static unsigned random_below(struct random_tree *t, unsigned n)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return (unsigned)(t->seed >> 20) % n;
}

typedef void node(struct random_tree *t, unsigned depth);
static node *const nodes[16];

static NOINLINE void act(struct random_tree *t, unsigned depth)
{
	if (t->n_events >= t->max_events)
		return;
	if (random_below(t, 5000) == 0)
		longjmp(t->out, 1);
	if (random_below(t, 3) == 0 || depth > 90) {
		t->n_events++;
		if (t->n_events % 64 == 0)
			event();
		else
			quick_event();
	} else {
		nodes[random_below(t, 16)](t, depth + 1);
	}
}

/* Frames of many shapes: fixed, with saved registers, with alloca, realigned. */
#define FIXED(name, size)                                                                                    \
	static NOINLINE void name(struct random_tree *t, unsigned depth)                                     \
	{                                                                                                    \
		volatile char pad[size];                                                                     \
		pad[0] = 1;                                                                                  \
		for (unsigned i = random_below(t, 4); i < 4; i++)                                            \
			act(t, depth);                                                                       \
		pad[size - 1] = pad[0];                                                                      \
	}
#define VARIABLE(name, size)                                                                                 \
	static NOINLINE void name(struct random_tree *t, unsigned depth)                                     \
	{                                                                                                    \
		volatile char *p = alloca(random_below(t, size) + 1);                                        \
		p[0] = 1;                                                                                    \
		act(t, depth);                                                                               \
		act(t, depth);                                                                               \
		p[0] = 2;                                                                                    \
	}
#define REALIGNED(name)                                                                                      \
	static NOINLINE void name(struct random_tree *t, unsigned depth)                                     \
	{                                                                                                    \
		volatile wide w = {1};                                                                       \
		act(t, depth);                                                                               \
		act(t, depth);                                                                               \
		w[1] = w[0];                                                                                 \
	}
#define CROWDED(name, a, b)                                                                                  \
	static NOINLINE void name(struct random_tree *t, unsigned depth)                                     \
	{                                                                                                    \
		unsigned x = random_below(t, a), y = random_below(t, b), z = x * y, q = x + depth;           \
		act(t, depth);                                                                               \
		act(t, depth + (x & 1));                                                                     \
		__asm__ volatile("" ::"r"(x), "r"(y), "r"(z), "r"(q));                                       \
	}
FIXED(fixed_1, 1)
FIXED(fixed_24, 24)
FIXED(fixed_100, 100)
FIXED(fixed_1000, 1000)
FIXED(fixed_56, 56)
VARIABLE(variable_50, 50)
VARIABLE(variable_500, 500)
VARIABLE(variable_9, 9)
REALIGNED(realigned_1)
REALIGNED(realigned_2)
CROWDED(crowded_1, 10, 20)
CROWDED(crowded_2, 7, 5)
CROWDED(crowded_3, 3, 11)
CROWDED(crowded_4, 100, 2)

static NOINLINE void tail_node(struct random_tree *t, unsigned depth)
{
	act(t, depth + 1);
}

static NOINLINE void passing_node(struct random_tree *t, unsigned depth)
{
	nodes[random_below(t, 15)](t, depth + 1);
	act(t, depth);
}

static node *const nodes[16] = {fixed_1, fixed_24, fixed_100, fixed_1000, fixed_56, variable_50, variable_500,
	variable_9, realigned_1, realigned_2, crowded_1, crowded_2, crowded_3, crowded_4, tail_node,
	passing_node};

static NOINLINE void grow_tree(struct random_tree *t)
{
	while (t->n_events < t->max_events)
		if (setjmp(t->out) == 0)
			nodes[random_below(t, 16)](t, 0);
}

static void reuse_equals_fresh_unwinds_in_random_call_trees(void **state)
{
	static struct random_tree tree = {.seed = 0x9e3779b97f4a7c15, .max_events = 300000};

	(void)state;
	grow_tree(&tree);
	assert_int_equal(probe->n_events, tree.max_events);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_AGREE], tree.max_events / 64);
	assert_int_equal(probe->reported.flags, 0);
}

static void reuse_equals_fresh_unwinds_near_the_limit(void **state)
{
	static struct random_tree tree = {.seed = 0x2545f4914f6cdd1d, .max_events = 100000};

	(void)state;
	use_limit(24);
	grow_tree(&tree);
	assert_int_equal(probe->n_unequal, 0);
	assert_int_equal(probe->counts[REF_DISAGREE], 0);
	assert_true(probe->counts[REF_CUT] > 0 && probe->counts[REF_AGREE] > 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* As some containers do: from now on process_vm_readv() is refused. */
static int refuse_to_read(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int run_refused(void)
{
	const struct CMUnitTest tests[] = {
		CASE(agrees_through_recursion),
		CASE(generated_code_without_a_frame_cuts_the_stack),
		CASE(where_code_cannot_be_looked_at_only_compiled_callers_are_believed),
	};

	return refuse_to_read() ? 77 : cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_unwind [refused] */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(agrees_through_recursion),
		CASE(repeated_event_reports_no_difference),
		CASE(agrees_under_alloca),
		CASE(agrees_in_realigned_frames),
		CASE(agrees_in_qsort_callbacks),
		CASE(agrees_after_tail_and_noreturn_calls),
		CASE(agrees_after_longjmp),
		CASE(keeps_the_innermost_frames_at_the_limit),
		CASE(limit_is_marked_only_when_frames_are_missing),
		CASE(forgetting_sends_the_whole_stack),
		CASE(agrees_in_signal_handlers),
		CASE(agrees_on_alternate_signal_stacks),
		CASE(nested_events_leave_the_remembered_stack_alone),
		CASE(survives_longjmp_out_of_the_unwinder),
		CASE(agrees_in_handlers_that_interrupt_coroutines),
		CASE(agrees_on_coroutine_stacks),
		CASE(own_stack_is_found_after_a_start_elsewhere),
		CASE(agrees_in_a_child_that_shares_the_memory),
		CASE(agrees_after_fork),
		CASE(unmapped_end_of_a_foreign_stack_is_survived),
		CASE(any_registers_are_survived),
		CASE(no_load_goes_beyond_the_stack),
		CASE(agrees_in_64_threads_at_once),
		CASE(bounds_hold_the_stack_and_not_more),
		CASE(needs_little_stack),
		CASE(agrees_after_another_module_took_the_address),
		CASE(agrees_after_as_many_dlcloses_as_can_be_counted),
		CASE(nothing_is_left_after_as_many_epochs_as_a_thread_can_count),
		CASE(agrees_after_another_module_took_the_address_unseen),
		CASE(agrees_while_a_dlclose_is_under_way),
		CASE(module_is_announced_before_its_frames),
		CASE(unwind_that_was_left_is_not_built_upon),
		CASE(agrees_through_lazy_binding),
		CASE(generated_code_without_a_frame_cuts_the_stack),
		CASE(generated_code_with_frame_pointers_is_passed),
		CASE(generated_code_without_frame_pointers_is_passed),
		CASE(generated_code_without_a_frame_pointer_is_not_passed_over),
		CASE(return_address_in_the_way_cuts_the_stack_unless_the_epilogue_tells),
		CASE(guess_needs_little_stack),
		CASE(code_that_took_the_place_of_other_code_is_judged_anew),
		CASE(words_on_the_stack_decide_where_code_does_not_tell),
		CASE(realigned_frame_is_derived_anew),
		CASE(place_of_rbp_follows_the_callee),
		CASE(agrees_at_every_instruction),
		CASE(reuse_equals_fresh_unwinds_in_random_call_trees),
		CASE(reuse_equals_fresh_unwinds_near_the_limit),
	};

	if (argc == 2 && strcmp(argv[1], "refused") == 0)
		return run_refused();
	ms_unwind_on_module(on_module);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

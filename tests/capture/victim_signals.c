/* Handlers that allocate, jump or fork on top of a hook; and cancellation, which is a signal, too. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "victim_mode.h"
#include "victim_pool.h"

static void on_prof(int sig)
{
	int saved = errno;
	(void)sig;
	/* Not malloc: the heap may be locked. A hook of its own that takes no lock underneath: the truth
	 * counts it. */
	void *p = NULL;
	if (posix_memalign(&p, 3, 31337) == EINVAL) /* fails before any lock */
		atomic_fetch_add(&truth->n[TRUTH_SIGNAL], 1);
	errno = saved;
}

static timer_t storm;

/* SIGPROF to this thread, every 30 us if it can keep up. */
static void start_storm(void (*handler)(int), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART | flags};
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct itimerspec every = {{0, 30000}, {0, 30000}};
	ev._sigev_un._tid = gettid();
	free(grab(1)); /* glibc's heap does not survive a jump out of its own beginnings */
	sigaction(SIGPROF, &sa, NULL);
	if (timer_create(CLOCK_MONOTONIC, &ev, &storm) < 0 || timer_settime(storm, 0, &every, NULL) < 0)
		abort();
}

static void end_storm(void)
{
	timer_delete(storm);
	signal(SIGPROF, SIG_IGN);
}

static int signals_in(char **argv, int flags)
{
	long n = number(argv, 5000);
	start_storm(on_prof, flags);
	while (atomic_load(&truth->n[TRUTH_SIGNAL]) < (uint64_t)n) {
		free(grab(20011));
		atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1);
	}
	end_storm();
	return 0;
}

static int signals(char **argv)
{
	return signals_in(argv, 0);
}

static int signals_alternate(char **argv)
{
	static char stack[65536];
	stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
	sigaltstack(&alt, NULL);
	return signals_in(argv, SA_ONSTACK);
}

/* In a thread, with the alternate stack above its own: the hook below a handler seems to be one that was left. */
struct above {
	char **argv;
	char stack[65536];
};

static void *on_stack_above(void *arg)
{
	struct above *above = arg;
	stack_t alt = {.ss_sp = above->stack, .ss_size = sizeof(above->stack)};
	sigaltstack(&alt, NULL);
	if ((char *)&alt > above->stack)
		abort();
	return (void *)(intptr_t)signals_in(above->argv, SA_ONSTACK);
}

static int signals_alternate_above(char **argv)
{
	struct above above = {.argv = argv};
	pthread_t thread;
	void *rc = NULL;
	if (pthread_create(&thread, NULL, on_stack_above, &above) || pthread_join(thread, &rc))
		return 1;
	return (int)(intptr_t)rc;
}

/* Pairs, and a call on top of them for every SIGRTMIN that comes. */
static int visited(char **argv)
{
	struct sigaction sa = {.sa_handler = on_prof, .sa_flags = SA_RESTART};
	sigaction(SIGRTMIN, &sa, NULL);
	for (long n = number(argv, 100000); n > 0; n--) {
		free(grab(20044));
		atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1);
	}
	return 0;
}

/* A call that fails at once spends all its time in the hook, so that a jump hits the hook and not a heap
 * lock. */
static void call_hook(void)
{
#ifdef VICTIM_POOL /* the same of a pool that msrecord --wrap would record, all three roles */
	void *block = victim_pool_change(victim_pool_get(31337), 31338);
	victim_pool_put(block);
#else
	void *p = NULL;
	keep = (void *)(intptr_t)posix_memalign(&p, 3, 31337);
#endif
}

static sigjmp_buf out_of_here;
static volatile sig_atomic_t may_jump;

static void on_jump(int sig)
{
	(void)sig;
	if (may_jump)
		siglongjmp(out_of_here, 1);
}

static __attribute__((noinline)) void hook_only(int depth)
{
	if (depth > 0)
		hook_only(depth - 1);
	else
		call_hook();
}

static int jumps(char **argv)
{
	long n = number(argv, 5000);
	start_storm(on_jump, 0);
	volatile long jumped = 0;
	while (jumped < n) {
		if (sigsetjmp(out_of_here, 1) != 0)
			jumped = jumped + 1;
		may_jump = 1;
		for (int i = 0; i < 1000 && jumped < n; i++)
			hook_only(i % 7);
		may_jump = 0;
	}
	end_storm();
	for (int i = 0; i < 1000; i++) /* capture goes on, and exactly */
		free(grab(20022));
	return 0;
}

/* Out of a process's first call, which is when it attaches: forked children do so anew. */
static int jumps_at_first(char **argv)
{
	(void)argv;
	free(grab(1));
	for (int i = 0; i < 100; i++) {
		const struct itimerval once = {.it_value.tv_usec = 1 + i * 7};
		pid_t pid = fork();
		if (pid != 0) {
			if (reap(pid) != 5)
				return 1;
			continue;
		}
		signal(SIGALRM, on_jump);
		if (sigsetjmp(out_of_here, 1) == 0) {
			may_jump = 1;
			setitimer(ITIMER_REAL, &once, NULL);
			for (;;)
				hook_only(2);
		}
		may_jump = 0;
		for (int k = 0; k < 10; k++) {
			void *p = NULL;
			keep = (void *)(intptr_t)posix_memalign(&p, 3, 20036);
		}
		_exit(5);
	}
	return 0;
}

/* On top of what is left of the hook that was cancelled. */
static void call_as_it_ends(void *arg)
{
	void *p = NULL;
	(void)arg;
	keep = (void *)(intptr_t)posix_memalign(&p, 3, 20035);
}

static void *cancelled(void *arg)
{
	pthread_cleanup_push(call_as_it_ends, NULL);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	atomic_store((_Atomic int *)arg, 1);
	for (;;)
		hook_only(2);
	pthread_cleanup_pop(0);
	return NULL;
}

static int async_cancel(char **argv)
{
	long n = number(argv, 1000);
	free(grab(1));
	for (long i = 0; i < n; i++) {
		pthread_t t;
		_Atomic int started = 0;
		if (pthread_create(&t, NULL, cancelled, &started) != 0)
			return 1;
		while (!atomic_load(&started))
			sched_yield();
		pthread_cancel(t);
		pthread_join(t, NULL);
	}
	for (int i = 0; i < 1000; i++)
		free(grab(20033));
	return 0;
}

/* A cancellation that is due, but deferred, strikes at the next cancellation point: a hook must have none. */
static void *due_to_end(void *arg)
{
	pthread_cancel(pthread_self());
	for (int i = 0; i < 1000; i++) /* the first of them takes the thread's slot */
		free(grab(20034));
	atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1000);
	pthread_testcancel();
	atomic_fetch_add(&truth->n[TRUTH_WRONG], 1);
	return arg;
}

static int deferred_cancel(char **argv)
{
	(void)argv;
	in_threads(20, due_to_end);
	return truth->n[TRUTH_WRONG] != 0 || truth->n[TRUTH_PAIRS] != 20 * 1000;
}

/* A collector that stops the world: threads are held in a signal handler wherever they are, hooks included,
 * while it goes on calling the heap. */
enum { MUTATORS = 4, COLLECTIONS = 300, CALLS_MEANWHILE = 20 };
static sem_t is_held;
static _Atomic int n_collections;
static _Atomic bool is_collected;

static void on_hold(int sig)
{
	int saved = errno, before = atomic_load(&n_collections);
	(void)sig;
	sem_post(&is_held);
	while (atomic_load(&n_collections) == before)
		usleep(100);
	errno = saved;
}

static void *mutate(void *arg)
{
	for (int i = 0; !atomic_load(&is_collected); i++)
		hook_only(i % 7);
	return arg;
}

static void collect(const pthread_t *mutators)
{
	for (int i = 0; i < MUTATORS; i++)
		pthread_kill(mutators[i], SIGUSR1);
	for (int i = 0; i < MUTATORS; i++)
		while (sem_wait(&is_held) < 0)
			;
	for (int i = 0; i < CALLS_MEANWHILE; i++) {
		void *p = NULL;
		keep = (void *)(intptr_t)posix_memalign(&p, 3, 31339);
		atomic_fetch_add(&truth->n[TRUTH_SIGNAL], 1);
	}
	atomic_fetch_add(&n_collections, 1);
}

static int stopped_world(char **argv)
{
	pthread_t mutators[MUTATORS];
	(void)argv;
	sem_init(&is_held, 0, 0);
	signal(SIGUSR1, on_hold);
	for (int i = 0; i < MUTATORS; i++)
		if (pthread_create(&mutators[i], NULL, mutate, NULL) != 0)
			return 1;
	for (int i = 0; i < COLLECTIONS; i++)
		collect(mutators);
	atomic_store(&is_collected, true);
	for (int i = 0; i < MUTATORS; i++)
		pthread_join(mutators[i], NULL);
	return 0;
}

static volatile sig_atomic_t is_child;

/* A handler that forks on top of whatever the program is doing, hooks included. */
static void on_fork(int sig)
{
	int saved = errno;
	(void)sig;
	if (atomic_fetch_add(&truth->n[TRUTH_SIGNAL], 1) < 200) {
		pid_t pid = fork();
		if (pid == 0) {
			void *p = NULL;
			keep = (void *)(intptr_t)posix_memalign(&p, 3, 31338);
			signal(SIGPROF, SIG_IGN); /* timers are not inherited */
			is_child = 1; /* finish what you were doing and leave */
			errno = saved;
			return;
		}
		if (pid > 0 && waitpid(pid, &(int){0}, 0) == pid)
			atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1);
	}
	errno = saved;
}

static int fork_in_handler(char **argv)
{
	(void)argv;
	start_storm(on_fork, 0);
	while (atomic_load(&truth->n[TRUTH_SIGNAL]) < 200 && !is_child)
		hook_only(3);
	if (is_child) {
		hook_only(3);
		free(grab(1003));
		_exit(0);
	}
	end_storm();
	return 0;
}

/* ---- at every instruction ---- */

/* With the processor's trap flag set, SIGTRAP comes after every instruction. The handler lets n_steps_left of them go by,
 * then ends the stepping and does at_step there. (A tracer would take two turns of the processor for every instruction:
 * minutes, where others are busy.) */
#define TRAP_FLAG 0x100

static volatile long n_steps_left;
static void (*at_step)(void);

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	int saved = errno;
	(void)sig;
	(void)info;
	if (--n_steps_left > 0)
		return;
	interrupted->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	at_step();
	errno = saved;
}

static inline __attribute__((always_inline)) void begin_stepping(void)
{
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
}

static inline __attribute__((always_inline)) void end_stepping(void)
{
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(unsigned long long)TRAP_FLAG);
}

static void call_at_step(void)
{
	call_hook();
	atomic_fetch_add(&truth->n[TRUTH_SIGNAL], 1);
}

/* More than a hook can put aside. */
static void call_often_at_step(void)
{
	for (int i = 0; i < 20; i++)
		call_at_step();
}

static void end_at_step(void)
{
	void *p = NULL;
	for (int i = 0; i < 3; i++) {
		keep = (void *)(intptr_t)posix_memalign(&p, 3, 31336);
		atomic_fetch_add(&truth->n[TRUTH_SIGNAL], 1);
	}
	_exit(0);
}

static void jump_at_step(void)
{
	siglongjmp(out_of_here, 1);
}

static void fork_at_step(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		call_at_step();
		is_child = 1; /* finish the hook, and leave */
	} else {
		waitpid(pid, &(int){0}, 0);
	}
}

enum { DEEPER = 3 };
#ifdef VICTIM_POOL
enum { LONGER = 3 }; /* than the hook of a single call */
#else
enum { LONGER = 1 };
#endif

static __attribute__((noinline)) void step_into_hook(bool in_steps)
{
	if (in_steps)
		begin_stepping();
	hook_only(DEEPER);
	end_stepping();
}

/* Does it at the first instruction of a hook, at that `stride` further on, and so forth, until the hook is over before. The
 * hook is called from further in than the call before it, and after a jump once more from the same place. */
static int stepped_with(void (*action)(void), long stride)
{
	struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
	free(grab(1));
	step_into_hook(false);
	at_step = action;
	sigaction(SIGTRAP, &sa, NULL);
	for (volatile long at = 1;; at = at + stride) {
		free(grab(20037));
		n_steps_left = at;
		volatile bool has_jumped = false;
		if (sigsetjmp(out_of_here, 1) != 0)
			has_jumped = true;
		step_into_hook(!has_jumped);
		if (is_child) {
			atomic_fetch_add(&truth->n[TRUTH_ALLOCS], 1);
			_exit(0);
		}
		atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1);
		if (n_steps_left > 0)
			break;
		atomic_fetch_add(&truth->n[TRUTH_STEPS], 1);
	}
	for (int i = 0; i < 1000; i++) /* capture goes on, and exactly */
		free(grab(20022));
	return 0;
}

static int stepped(char **argv)
{
	(void)argv;
	return stepped_with(call_at_step, LONGER);
}

static int stepped_often(char **argv)
{
	(void)argv;
	return stepped_with(call_often_at_step, 5);
}

/* Every 29th instruction of a hook is the last of a process, but for those of a handler. It is not the first hook there, which
 * takes thousands. */
static int stepped_end(char **argv)
{
	struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
	(void)argv;
	at_step = end_at_step;
	sigaction(SIGTRAP, &sa, NULL);
	for (long at = 1, is_over = 0; !is_over; at += 29) {
		pid_t pid = fork();
		if (pid != 0) {
			is_over = reap(pid) != 0;
			continue;
		}
		for (int i = 0; i < 3; i++) {
			n_steps_left = at;
			if (i == 2)
				begin_stepping();
			hook_only(0);
			end_stepping();
		}
		_exit(1); /* was done before */
	}
	return 0;
}

static int stepped_jump(char **argv)
{
	(void)argv;
	return stepped_with(jump_at_step, 5 * LONGER); /* each hook also tidies up after the one before */
}

static int stepped_fork(char **argv)
{
	(void)argv;
	return stepped_with(fork_at_step, 7 * LONGER);
}

const struct victim_mode victim_signals[] = {
	{"signals", signals},
	{"signals_alternate", signals_alternate},
	{"signals_alternate_above", signals_alternate_above},
	{"jumps", jumps},
	{"jumps_at_first", jumps_at_first},
	{"async_cancel", async_cancel},
	{"deferred_cancel", deferred_cancel},
	{"stopped_world", stopped_world},
	{"fork_in_handler", fork_in_handler},
	{"visited", visited},
	{"stepped", stepped},
	{"stepped_often", stepped_often},
	{"stepped_end", stepped_end},
	{"stepped_jump", stepped_jump},
	{"stepped_fork", stepped_fork},
	{NULL, NULL},
};

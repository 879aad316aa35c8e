/* victim.c - programs to be recorded, one per behaviour: victim NAME [ARGS].
 *
 * What a victim says of itself goes into the file $VICTIM_TRUTH, a shared mapping of counters, so that it is
 * right even after SIGKILL; what it prints must be the same with and without the library. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "victim.h"

static struct truth *truth;
static void *volatile keep; /* what is stored here is not optimised away */

static void *grab(size_t n)
{
	void *p = malloc(n);
	keep = p;
	return p;
}

static long number(char **argv, int i, long fallback)
{
	return argv[1] && argv[2] && i == 0 ? atol(argv[2]) : fallback;
}

static void in_threads(int n, void *(*run)(void *))
{
	pthread_t t[128];
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, run, (void *)(intptr_t)i) != 0)
			abort();
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* ---- every function ---- */

void cfree(void *);
void free_sized(void *, size_t) __attribute__((weak));
void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

static void say(const char *what, const void *p, int rc)
{
	printf("%s %s rc=%d errno=%d usable=%zu\n", what, p ? "block" : "NULL", rc, errno,
		p ? malloc_usable_size((void *)(uintptr_t)p) : 0);
	errno = 0;
}

/* Results and errno in all the odd cases; the output is compared with a native run. */
static int conformance(char **argv)
{
	(void)argv;
	volatile size_t huge = SIZE_MAX, half = SIZE_MAX / 2 + 2;
	volatile size_t zero = 0, bad = 3;
	void *p = NULL;
	setvbuf(stdout, NULL, _IONBF, 0);
	errno = 0;
	say("malloc 0", grab(zero), 0);
	say("malloc huge", grab(huge), 0);
	say("calloc overflow", keep = calloc(half, 2), 0);
	say("calloc 0", keep = calloc(0, 5), 0);
	say("realloc NULL", p = realloc(NULL, 40), 0);
	uintptr_t same =
		(uintptr_t)p; /* a failed realloc leaves the block as it was; the compiler can't know */
	say("realloc huge", keep = realloc(p, huge), 0);
	say("realloc grow", p = realloc((void *)same, 100000), 0);
	say("realloc shrink", p = realloc(p, 8), 0);
	errno = 77;
	say("realloc 0", keep = realloc(p, zero), 0);
	say("realloc NULL 0", keep = realloc(NULL, zero), 0);
	say("reallocarray", p = reallocarray(NULL, 10, 10), 0);
	same = (uintptr_t)p;
	say("reallocarray overflow", keep = reallocarray(p, half, 2), 0);
	say("reallocarray grow", p = reallocarray((void *)same, 20, 10), 0);
	free(p);
	p = (void *)1;
	int rc = posix_memalign(&p, bad, 100);
	printf("bad alignment leaves the pointer: %d\n", p == (void *)1);
	say("posix_memalign bad", NULL, rc);
	rc = posix_memalign(&p, 64, huge - 4096);
	say("posix_memalign huge", NULL, rc);
	rc = posix_memalign(&p, 4096, 100);
	say("posix_memalign", p, rc);
	printf("aligned: %d\n", (uintptr_t)p % 4096 == 0);
	free(p);
	say("aligned_alloc", p = aligned_alloc(64, 128), 0);
	free(p);
	say("aligned_alloc odd", keep = aligned_alloc(bad, 128), 0);
	say("memalign", p = memalign(256, 100), 0);
	free(p);
	say("memalign huge", keep = memalign(64, huge - 8192), 0);
	say("valloc", p = valloc(100), 0);
	free(p);
	say("pvalloc", p = pvalloc(100), 0);
	free(p);
	say("pvalloc huge", keep = pvalloc(huge - 10), 0);
	errno = 5;
	free(grab(10));
	free(NULL);
	printf("free keeps errno: %d\n", errno);
	return 0;
}

/* One call of each function, with sizes that tell which. */
static int each_function(char **argv)
{
	(void)argv;
	void *p, *q;
	volatile size_t huge = SIZE_MAX - 100000, half = SIZE_MAX / 2 + 2;
	free(grab(70001));
	p = calloc(3, 70002);
	p = realloc(p, 70003);
	p = reallocarray(p, 2, 70004);
	free(p);
	p = realloc(NULL, 70005);
	keep = realloc(p, 0);
	if (posix_memalign(&p, 128, 70006) == 0)
		free(p);
	free(aligned_alloc(256, 70144));
	free(memalign(512, 70008));
	free(valloc(70009));
	free(pvalloc(70010));
	p = grab(70011);
	if (free_sized)
		free_sized(p, 70011);
	p = aligned_alloc(64, 70016);
	if (free_aligned_sized)
		free_aligned_sized(p, 64, 70016);
	/* cfree is no longer linkable, but old binaries find it. */
	void (*old_cfree)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
	p = grab(70012);
	(old_cfree ? old_cfree : free)(p);
	keep = malloc(huge);
	keep = calloc(half, 2);
	p = grab(70013);
	q = realloc(p, huge);
	if (!q)
		free(p);
	if (posix_memalign(&p, 3, 70014) == 0)
		free(p);
	return 0;
}

/* ---- threads ---- */

enum { BOX = 4096 };
static void *_Atomic box[BOX];
static long per_thread;

static void *swap_blocks(void *arg)
{
	uint64_t x = (uint64_t)(uintptr_t)arg * 2654435761u + 88172645463325252u;
	for (long i = 0; i < per_thread; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		char *p = x % 16 == 0 ? calloc(1, 16 + x / 64 % 500) : malloc(16 + x / 64 % 500);
		if (x % 8 == 0)
			p = realloc(p, 16 + x / 128 % 2000);
		p[0] = 1;
		free(atomic_exchange(&box[x / 256 % BOX], p)); /* most often another thread's block */
	}
	return NULL;
}

static int threads(char **argv)
{
	per_thread = number(argv, 0, 20000);
	in_threads(64, swap_blocks);
	for (int i = 0; i < BOX; i++)
		free(box[i]);
	return 0;
}

static void *die_young(void *arg)
{
	free(grab(100));
	return arg;
}

static int short_threads(char **argv)
{
	long n = number(argv, 0, 2000);
	for (long i = 0; i < n; i += 50)
		in_threads(50, die_young);
	return 0;
}

static _Atomic long n_here;

static void *stay(void *arg)
{
	void *p = grab(101);
	atomic_fetch_add(&n_here, 1);
	while (atomic_load(&n_here) < per_thread)
		usleep(1000);
	free(p);
	return arg;
}

/* All alive at once. */
static int many_threads(char **argv)
{
	pthread_attr_t attr;
	per_thread = number(argv, 0, 1000);
	pthread_t *t = calloc((size_t)per_thread, sizeof(*t));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (long i = 0; i < per_thread; i++)
		if (pthread_create(&t[i], &attr, stay, NULL) != 0)
			abort();
	for (long i = 0; i < per_thread; i++)
		pthread_join(t[i], NULL);
	free(t);
	return 0;
}

static pthread_key_t last_words;

static void destroyed(void *p)
{
	static _Atomic int rounds;
	free(p);
	void *again = malloc(333);
	if (atomic_fetch_add(&rounds, 1) % 3 < 2)
		pthread_setspecific(last_words, again); /* a second and third round of destructors */
	else
		free(again);
}

static void *with_destructor(void *arg)
{
	pthread_setspecific(last_words, grab(222));
	return arg;
}

static int thread_destructors(char **argv)
{
	(void)argv;
	pthread_key_create(&last_words, destroyed);
	for (int i = 0; i < 20; i++)
		in_threads(32, with_destructor);
	return 0;
}

static void *deep(void *arg)
{
	char fill[64];
	memset(fill, (int)(intptr_t)arg, sizeof(fill));
	free(grab(44));
	keep = &fill;
	if ((intptr_t)arg > 0)
		deep((void *)((intptr_t)arg - 1));
	return keep == &fill ? NULL : arg;
}

static void *on_small_stack(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++)
		deep((void *)20);
	return NULL;
}

static int small_stacks(char **argv)
{
	(void)argv;
	pthread_attr_t attr;
	pthread_t t[20];
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN);
	for (int i = 0; i < 20; i++)
		if (pthread_create(&t[i], &attr, on_small_stack, NULL) != 0)
			return 1;
	for (int i = 0; i < 20; i++)
		pthread_join(t[i], NULL);
	return 0;
}

static ucontext_t coro_main, coro[8];

static void coroutine(int id)
{
	for (int i = 0; i < 200; i++) {
		void *p = grab((size_t)(100 + id));
		swapcontext(&coro[id], &coro_main);
		free(p);
	}
}

static int coroutines(char **argv)
{
	(void)argv;
	enum { STACK = 32768 };
	char *stack[8];
	for (int i = 0; i < 8; i++) {
		stack[i] = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		getcontext(&coro[i]);
		coro[i].uc_stack.ss_sp = stack[i];
		coro[i].uc_stack.ss_size = STACK;
		coro[i].uc_link = &coro_main;
		makecontext(&coro[i], (void (*)(void))coroutine, 1, i);
	}
	for (int round = 0; round <= 200; round++)
		for (int i = 0; i < 8; i++)
			swapcontext(&coro_main, &coro[i]);
	for (int i = 0; i < 8; i++)
		munmap(stack[i], STACK);
	free(grab(999));
	return 0;
}

static void *rename_self(void *arg)
{
	char name[16];
	snprintf(name, sizeof(name), "worker-%d", (int)(intptr_t)arg);
	free(grab(10));
	pthread_setname_np(pthread_self(), name);
	free(grab(10));
	return NULL;
}

static int thread_names(char **argv)
{
	(void)argv;
	in_threads(5, rename_self);
	return 0;
}

/* ---- signals ---- */

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
	long n = number(argv, 0, 5000);
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

/* A call that fails at once spends all its time in the hook, so that a jump hits the hook and not a heap
 * lock. */
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
	void *p = NULL;
	if (depth > 0)
		hook_only(depth - 1);
	else
		keep = (void *)(intptr_t)posix_memalign(&p, 3, 31337);
}

static int jumps(char **argv)
{
	long n = number(argv, 0, 5000);
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

static void *cancelled(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	atomic_store((_Atomic int *)arg, 1);
	for (;;)
		hook_only(2);
	return NULL;
}

static int async_cancel(char **argv)
{
	long n = number(argv, 0, 1000);
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

/* ---- processes ---- */

static int reap(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int forks(char **argv)
{
	(void)argv;
	void *mine = grab(501);
	pid_t pid = fork();
	if (pid == 0) {
		free(mine); /* inherited */
		free(grab(502));
		pid = fork();
		if (pid == 0) {
			free(grab(503));
			_exit(7);
		}
		_exit(reap(pid));
	}
	free(mine);
	return reap(pid) == 7 ? 0 : 1;
}

static void *fork_often(void *arg)
{
	(void)arg;
	for (long i = 0; i < per_thread; i++) {
		void *p = grab(600);
		pid_t pid = fork();
		if (pid == 0) {
			free(p);
			free(grab(601));
			_exit(3);
		}
		if (reap(pid) != 3)
			atomic_fetch_add(&truth->n[TRUTH_WRONG], 1);
		free(p);
	}
	return NULL;
}

static _Atomic bool churn_over;

static void *churn(void *arg)
{
	(void)arg;
	while (!atomic_load(&churn_over))
		free(grab(77));
	return NULL;
}

static int fork_storm(char **argv)
{
	pthread_t t;
	per_thread = number(argv, 0, 50);
	pthread_create(&t, NULL, churn, NULL);
	in_threads(4, fork_often);
	atomic_store(&churn_over, true);
	pthread_join(t, NULL);
	return truth->n[TRUTH_WRONG] != 0;
}

static int vforks(char **argv)
{
	if (number(argv, 0, 0))
		free(grab(700)); /* else the first call of all is a child's */
	for (int i = 0; i < 200; i++) {
		pid_t pid = vfork();
		if (pid == 0) {
			keep = malloc(701); /* the parent's heap: its stream */
			_exit(4);
		}
		free(keep);
		if (reap(pid) != 4)
			return 1;
	}
	return 0;
}

static int spawns(char **argv)
{
	static char path[] = "/bin/true";
	char *const args[] = {path, NULL};
	(void)argv;
	for (int i = 0; i < 20; i++) {
		pid_t pid;
		if (posix_spawn(&pid, path, NULL, NULL, args, environ) != 0 || reap(pid) != 0)
			return 1;
	}
	if (system("exit 5") != 5 << 8)
		return 2;
	FILE *f = popen("echo popen", "r");
	char line[32] = "";
	if (!f || !fgets(line, sizeof(line), f) || pclose(f) != 0 || strcmp(line, "popen\n") != 0)
		return 3;
	return 0;
}

static int daemons(char **argv)
{
	(void)argv;
	void *p = grab(801);
	if (daemon(0, 0) < 0)
		return 1;
	free(p);
	free(grab(802));
	atomic_store(&truth->n[TRUTH_PAIRS], 1);
	return 0;
}

static int execs(char **argv)
{
	char left[32];
	long n = number(argv, 0, 3);
	free(grab(901));
	if (n == 0)
		return 9;
	snprintf(left, sizeof(left), "%ld", n - 1);
	char *const args[] = {argv[0], argv[1], left, NULL};
	execv("/proc/self/exe", args);
	return 1;
}

static int closes_all(char **argv)
{
	(void)argv;
	closefrom(3);
	free(grab(1001));
	pid_t pid = fork();
	if (pid == 0) {
		clearenv();
		closefrom(3);
		free(grab(1002));
		_exit(0);
	}
	return reap(pid);
}

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
			per_thread = 1; /* says: I am the child; finish what you were doing and leave */
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
	while (atomic_load(&truth->n[TRUTH_SIGNAL]) < 200 && !per_thread)
		hook_only(3);
	if (per_thread) {
		hook_only(3);
		free(grab(1003));
		_exit(0);
	}
	end_storm();
	return 0;
}

/* ---- at every instruction ---- */

/* The tracer steps from the trap into the hook and sends SIGUSR1 at the k-th instruction, k = 1, 2, 3 ... */
static void on_usr1(int sig)
{
	int saved = errno;
	void *p = NULL;
	(void)sig;
	keep = (void *)(intptr_t)posix_memalign(&p, 3, 31337);
	atomic_fetch_add(&truth->n[TRUTH_SIGNAL], 1);
	errno = saved;
}

static void on_usr1_jump(int sig)
{
	(void)sig;
	siglongjmp(out_of_here, 1);
}

static void on_trap(int sig)
{
	(void)sig;
}

static void on_usr1_fork(int sig)
{
	int saved = errno;
	(void)sig;
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGTRAP, on_trap); /* nobody steps through the child */
		on_usr1(sig);
		may_jump = 1; /* says: I am the child; finish the hook, and leave */
	} else {
		waitpid(pid, &(int){0}, 0);
	}
	errno = saved;
}

static int stepped_with(void (*handler)(int))
{
	free(grab(1));
	hook_only(0);
	signal(SIGUSR1, handler);
	for (;;) {
		if (sigsetjmp(out_of_here, 1) != 0)
			atomic_fetch_add(&truth->n[TRUTH_SIGNAL], 1);
		__asm__ volatile("int3");
		hook_only(0);
		__asm__ volatile("nop; int3"); /* the tracer knows the end by this */
		if (may_jump) {
			atomic_fetch_add(&truth->n[TRUTH_ALLOCS], 1);
			_exit(0);
		}
		atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1);
		if (atomic_load(&truth->n[TRUTH_WRONG]))
			return 0;
	}
}

static int stepped(char **argv)
{
	(void)argv;
	return stepped_with(on_usr1);
}

static int stepped_jump(char **argv)
{
	(void)argv;
	return stepped_with(on_usr1_jump);
}

static int stepped_fork(char **argv)
{
	(void)argv;
	return stepped_with(on_usr1_fork);
}

/* ---- the ends ---- */

static void at_exit(void)
{
	for (int i = 0; i < 100; i++)
		free(grab(1101));
}

__attribute__((destructor)) static void static_destructor(void)
{
	for (int i = 0; i < 100; i++)
		free(grab(1102));
}

static int ends(char **argv)
{
	atexit(at_exit);
	free(grab(1100));
	switch (number(argv, 0, 0)) {
	case 0:
		return 0;
	case 1:
		_exit(3);
	case 2:
		at_quick_exit(at_exit);
		quick_exit(4);
	case 3:
		abort();
	default:
		raise(SIGKILL);
	}
	return 1;
}

/* Counts every call that returned; killed from outside at any instant. */
static int killed(char **argv)
{
	void *ring[64] = {0};
	long n = number(argv, 0, LONG_MAX);
	for (uint64_t i = 0; i < (uint64_t)n; i++) {
		void *p = malloc(3000 + i % 64);
		atomic_store_explicit(&truth->n[TRUTH_ALLOCS], i + 1, memory_order_release);
		if (ring[i % 64]) {
			free(ring[i % 64]);
			atomic_fetch_add_explicit(&truth->n[TRUTH_FREES], 1, memory_order_release);
		}
		ring[i % 64] = p;
	}
	return 0;
}

/* ---- what a program can see of us ---- */

static void print_status(const char *wanted)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, wanted, strlen(wanted)) == 0)
			fputs(line, stdout);
	if (f)
		fclose(f);
}

static int observes(char **argv)
{
	(void)argv;
	free(grab(1201));
	static const char *const wanted[] = {"Threads", "SigBlk", "SigIgn", "SigCgt", "ShdPnd"};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		print_status(wanted[i]);
	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("fd %d open\n", fd);
	errno = 0;
	free(grab(10));
	printf("errno %d, dlerror %s\n", errno, dlerror() ? "set" : "clear");
	void *p = grab(13);
	memset(p, 1, malloc_usable_size(p)); /* may write all of it */
	printf("usable %zu\n", malloc_usable_size(p));
	free(p);
	return 0;
}

static int limited(char **argv)
{
	struct rlimit r = {64 << 20, 64 << 20};
	free(grab(10));
	if (setrlimit(RLIMIT_AS, &r) < 0)
		return 1;
	static char next[] = "observes";
	char *const args[] = {argv[0], next, NULL};
	execv("/proc/self/exe", args);
	return 2;
}

static int no_tsc(char **argv)
{
	pid_t pid =
		fork(); /* the flag survives fork, not exec: so no heap call comes before it in the child */
	if (pid == 0) {
		prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
		for (int i = 0; i < 10; i++)
			free(grab(1301));
		_exit(6);
	}
	(void)argv;
	return reap(pid) == 6 ? 0 : 1;
}

/* From here on the kernel kills for any system call but write and exit: by a filter, or (1) by the strict
 * mode, which forbids the clock as well. */
static int sandboxed(char **argv)
{
	long n = 200000;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, filter};
	free(grab(1402));
	if (number(argv, 0, 0)) {
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
			return 1;
	} else if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		return 1;
	}
	for (long i = 0; i < n; i++)
		free(grab(1403));
	syscall(SYS_exit, 0);
	return 1;
}

/* Random words over the shared arena, as a broken program might. */
static int scribbles(char **argv)
{
	char line[512];
	unsigned long lo = 0, hi = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	(void)argv;
	free(grab(10));
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "memfd:"))
			sscanf(line, "%lx-%lx", &lo, &hi);
	if (f)
		fclose(f);
	if (!lo)
		return 0;
	uint64_t x = 88172645463325252u;
	for (int i = 0; i < 20000; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		*(volatile uint64_t *)(lo + x / 16 % ((hi - lo) / (i % 2 ? 1 : 256)) / 8 * 8) =
			x * 0x9e3779b97f4a7c15u;
		if (i % 10 == 0)
			free(grab(100));
	}
	return 0;
}

/* ---- modules ---- */

static int plugins(char **argv)
{
	long n = number(argv, 0, 20);
	const char *path = getenv("VICTIM_PLUGIN");
	for (long i = 0; i < n; i++) {
		void *h = dlopen(path, RTLD_NOW);
		if (!h)
			return 1;
		void *(*make)(size_t) = (void *(*)(size_t))dlsym(h, "plugin_make");
		if (!make)
			return 2;
		free(make(1401));
		dlclose(h);
	}
	return 0;
}

/* ---- load ---- */

static int pairs(char **argv)
{
	long n = number(argv, 0, 100000);
	for (long i = 0; i < n; i++) {
		free(grab(20044));
		atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1);
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(char **argv);
} victims[] = {
	{"conformance", conformance},
	{"each_function", each_function},
	{"threads", threads},
	{"short_threads", short_threads},
	{"thread_destructors", thread_destructors},
	{"small_stacks", small_stacks},
	{"coroutines", coroutines},
	{"thread_names", thread_names},
	{"signals", signals},
	{"signals_alternate", signals_alternate},
	{"jumps", jumps},
	{"async_cancel", async_cancel},
	{"forks", forks},
	{"fork_storm", fork_storm},
	{"vforks", vforks},
	{"spawns", spawns},
	{"daemons", daemons},
	{"execs", execs},
	{"closes_all", closes_all},
	{"fork_in_handler", fork_in_handler},
	{"ends", ends},
	{"killed", killed},
	{"observes", observes},
	{"limited", limited},
	{"no_tsc", no_tsc},
	{"sandboxed", sandboxed},
	{"scribbles", scribbles},
	{"many_threads", many_threads},
	{"stepped", stepped},
	{"stepped_jump", stepped_jump},
	{"stepped_fork", stepped_fork},
	{"plugins", plugins},
	{"pairs", pairs},
};

int main(int argc, char **argv)
{
	static struct truth none;
	const char *path = getenv("VICTIM_TRUTH");
	truth = &none;
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd >= 0) {
		void *p = mmap(NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED)
			truth = p;
		close(fd);
	}
	for (size_t i = 0; argc > 1 && i < sizeof(victims) / sizeof(victims[0]); i++)
		if (strcmp(argv[1], victims[i].name) == 0)
			return victims[i].run(argv);
	return 64;
}

/* Processes: how they come to be, and how they end. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim_mode.h"

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

static long n_forks;

static void *fork_often(void *arg)
{
	(void)arg;
	for (long i = 0; i < n_forks; i++) {
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
	n_forks = number(argv, 50);
	pthread_create(&t, NULL, churn, NULL);
	in_threads(4, fork_often);
	atomic_store(&churn_over, true);
	pthread_join(t, NULL);
	return truth->n[TRUTH_WRONG] != 0;
}

static int vforks(char **argv)
{
	if (number(argv, 0))
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

static _Alignas(16) char stack_of_clone[65536];

static int in_same_memory(void *arg)
{
	(void)arg;
	free(grab(713)); /* the parent's heap: its stream */
	_exit(4);
}

/* Children that libc knows nothing of: of the kind of fork, and of the kind of vfork. */
static int raw_clones(char **argv)
{
	(void)argv;
	free(grab(710));
	for (int i = 0; i < 20; i++) {
		long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (pid == 0) {
			free(grab(711));
			_exit(4);
		}
		if (pid < 0 || reap((pid_t)pid) != 4)
			return 1;
	}
	void *mine = grab(712);
	for (int i = 0; i < 20; i++) {
		pid_t pid = clone(in_same_memory, stack_of_clone + sizeof(stack_of_clone), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
		if (pid < 0 || reap(pid) != 4)
			return 2;
	}
	free(mine);
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
	long n = number(argv, 3);
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
		static char *none[] = {NULL};
		environ = none; /* not as after clearenv, which lets go of it: /proc still has the first */
		closefrom(3);
		free(grab(1002));
		_exit(0);
	}
	return reap(pid);
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

static void *leave(void *arg)
{
	exit((int)(intptr_t)arg);
}

static int ends(char **argv)
{
	pthread_t t;
	atexit(at_exit);
	free(grab(1100));
	switch (number(argv, 0)) {
	case 0:
		return 0;
	case 1:
		_exit(3);
	case 2:
		at_quick_exit(at_exit);
		quick_exit(4);
	case 3:
		abort();
	case 4:
		raise(SIGKILL);
		break;
	default: /* by another thread, while this one is in the heap */
		if (pthread_create(&t, NULL, leave, (void *)5) != 0)
			return 1;
		for (;;)
			free(grab(1103));
	}
	return 1;
}

/* Counts every call that returned; killed from outside at any instant. */
static int killed(char **argv)
{
	void *ring[64] = {0};
	long n = number(argv, LONG_MAX);
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

const struct victim_mode victim_processes[] = {
	{"forks", forks},
	{"fork_storm", fork_storm},
	{"vforks", vforks},
	{"raw_clones", raw_clones},
	{"spawns", spawns},
	{"daemons", daemons},
	{"execs", execs},
	{"closes_all", closes_all},
	{"ends", ends},
	{"killed", killed},
	{NULL, NULL},
};

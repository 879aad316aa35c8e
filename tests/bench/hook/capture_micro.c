/* capture_micro.c - what a recorded heap call costs the program that makes it.
 *
 *	capture_micro [PAIRS]
 *
 * Runs itself as a program that makes PAIRS (default 2 million) pairs of malloc and free, from call stacks of
 * 5, 20 and 60 frames of which the inner four change with every call, in one thread and in several at once:
 * natively, with the library but no recorder, recorded without stacks, and recorded with them, under a
 * consumer (tap) that takes the units out as fast as it can and drops them. Prints nanoseconds per event (a
 * pair is two) of the program's own CPU time, all threads together, the least of five runs. */
#include "tap.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deep_malloc.h"

enum { THREADS_MAX = 4 };

/* ---- the program ---- */

/* What a thread works on: its own from line to line. */
struct worker {
	uint64_t seed, n_left, n_done;
	int depth;
	void *ring[LIVE];
} __attribute__((aligned(128)));

static NOINLINE void work(struct worker *w)
{
	uint64_t seed = w->seed;
	for (int i = 0; i < 4096 && w->n_left > 0; i++, w->n_left--) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		void **place = &w->ring[w->n_done++ % LIVE];
		free(*place);
		*place = inner_next(INNER - 1, seed >> 32, 16 + (seed & 255));
	}
	w->seed = seed;
}

static NOINLINE void outer(struct worker *w, int depth)
{
	if (depth > 0)
		outer(w, depth - 1);
	else
		work(w);
	__asm__ volatile("" : : : "memory");
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	while (w->n_left > 0)
		outer(w, w->depth - INNER - 2);
	return NULL;
}

static double cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int program(int depth, int n_threads, uint64_t pairs)
{
	static struct worker workers[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	for (int i = 0; i < n_threads; i++)
		workers[i] = (struct worker){.seed = 88172645463325252u + (uint64_t)i,
			.n_left = pairs / (uint64_t)n_threads,
			.depth = depth};
	double start = cpu_ns();
	for (int i = 1; i < n_threads; i++)
		if (pthread_create(&threads[i], NULL, worker_main, &workers[i]) != 0)
			return 1;
	worker_main(&workers[0]);
	for (int i = 1; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	printf("%f\n", (cpu_ns() - start) / (double)pairs / 2);
	return 0;
}

/* ---- running it ---- */

enum how { NATIVE, SILENT, STACKLESS, STACKS, N_HOW };

static double run(const char *self, enum how how, const char *depth, const char *threads, const char *pairs)
{
	static const char *const preload[2] = {"LD_PRELOAD=" LIBRARY, NULL};
	struct tap_options options = {
		.capture_library = LIBRARY, .discard = true, .stack_depth = how == STACKS ? 256 : 0};
	char *argv[] = {(char *)(uintptr_t)self, (char *)(uintptr_t)depth, (char *)(uintptr_t)threads,
		(char *)(uintptr_t)pairs, NULL};
	struct tap *tap = how >= STACKLESS ? tap_open(&options) : NULL;
	char line[64] = "";
	int fds[2];
	if (pipe(fds) < 0)
		exit(1);
	int saved = dup(1);
	dup2(fds[1], 1);
	close(fds[1]);
	pid_t pid;
	if (tap) {
		pid = tap_spawn(tap, argv, NULL);
	} else if ((pid = fork()) == 0) {
		if (how == SILENT)
			putenv((char *)(uintptr_t)preload[0]);
		execv(self, argv);
		_exit(127);
	}
	dup2(saved, 1);
	close(saved);
	ssize_t n = read(fds[0], line, sizeof(line) - 1);
	close(fds[0]);
	if (tap) {
		tap_wait(tap, pid);
		tap_close(tap);
	} else {
		waitpid(pid, NULL, 0);
	}
	return n > 0 ? atof(line) : -1;
}

/* The two stamps of a pair, which nothing can save: what they cost on this machine at this moment. */
static void print_stamps(void)
{
	enum { N = 5000000 };
	unsigned cpu;
	uint64_t sum = 0;
	double start = cpu_ns();
	for (int i = 0; i < N; i++)
		sum += __builtin_ia32_rdtsc();
	double middle = cpu_ns();
	for (int i = 0; i < N; i++)
		sum += __builtin_ia32_rdtscp(&cpu);
	double end = cpu_ns();
	printf("stamps: rdtsc %.1f, rdtscp %.1f ns%s\n", (middle - start) / N, (end - middle) / N,
		sum ? "" : "?");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *depth, *threads;
	} rows[] = {{"5", "1"}, {"20", "1"}, {"60", "1"}, {"20", "2"}, {"20", "4"}};
	static const char *const names[N_HOW] = {"native", "no recorder", "no stacks", "stacks"};
	if (argc == 4)
		return program(atoi(argv[1]), atoi(argv[2]), strtoull(argv[3], NULL, 10));
	print_stamps();
	printf("%-6s%8s", "depth", "threads");
	for (int how = 0; how < N_HOW; how++)
		printf("%14s", names[how]);
	printf("%14s   (ns of CPU per event)\n", "added");
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		double least[N_HOW] = {0};
		for (int i = 0; i < 5 * N_HOW; i++) {
			double ns = run("/proc/self/exe", (enum how)(i % N_HOW), rows[row].depth,
				rows[row].threads, argc > 1 ? argv[1] : "2000000");
			if (least[i % N_HOW] == 0 || ns < least[i % N_HOW])
				least[i % N_HOW] = ns;
		}
		printf("%-6s%8s", rows[row].depth, rows[row].threads);
		for (int how = 0; how < N_HOW; how++)
			printf("%14.1f", least[how]);
		printf("%14.1f\n", least[STACKS] - least[NATIVE]);
	}
	return 0;
}

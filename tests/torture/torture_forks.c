/* Forks from 8 threads at once, each child of which releases an inherited block and acquires one of its own,
 * while a ninth thread never leaves the heap. SCALE: children. */
#include "torture.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

enum { THREADS = 8, DONE = 3 };

static struct truth inherited = {.size = 77001}, own = {.size = 77002}, busy = {.size = 77003};
static long n_each;
static _Atomic long n_good;
static _Atomic bool is_over;

static void *fork_often(void *arg)
{
	for (long i = 0; i < n_each; i++) {
		void *p = take(&inherited);
		int pid = fork();
		if (pid == 0) {
			give(&inherited, p);
			give(&own, take(&own));
			_exit(DONE);
		}
		give(&inherited, p);
		atomic_fetch_add(&n_good, pid > 0 && reap(pid) == DONE);
	}
	return arg;
}

static void *keep_busy(void *arg)
{
	while (!atomic_load(&is_over)) {
		give(&busy, take(&busy));
		usleep(100);
	}
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;
	(void)argc;
	n_each = scale(argv, 400) / THREADS;
	if (pthread_create(&t, NULL, keep_busy, NULL) != 0)
		return 1;
	in_threads(THREADS, fork_often);
	atomic_store(&is_over, true);
	pthread_join(t, NULL);
	printf("%ld of %ld children\n", n_good, n_each * THREADS);
	own.acquired = own.released = n_good; /* the children counted in memory of their own */
	tell(argv, &inherited);
	tell(argv, &own);
	tell(argv, &busy);
	return 0;
}

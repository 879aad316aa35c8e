/* SIGPROF at 5 kHz to each of 4 threads. The handler allocates: with malloc when it has not interrupted the
 * heap, which would not survive that natively either, else with a call that fails before any lock. SCALE:
 * handler runs of each of the two kinds. */
#include "torture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, PERIOD_NS = 200000 };

static struct truth handled = {.size = 77004}, handled_failed = {.size = 77005};
static struct truth interrupted = {.size = 77006}, interrupted_failed = {.size = 77007};
static long n_each;
static __thread volatile sig_atomic_t is_in_heap;
static __thread volatile long n_handled, n_failed;

static void on_prof(int sig)
{
	int saved = errno;
	(void)sig;
	if (is_in_heap) {
		if (n_failed < n_each) {
			fail(&handled_failed, 2);
			n_failed = n_failed + 1;
		}
	} else if (n_handled < n_each) {
		give(&handled, take(&handled));
		n_handled = n_handled + 1;
	}
	errno = saved;
}

static void *under_fire(void *arg)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct itimerspec every = {{0, PERIOD_NS}, {0, PERIOD_NS}};
	sigset_t set;
	timer_t timer;
	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 || timer_settime(timer, 0, &every, NULL) < 0)
		abort();
	for (long i = 0; n_handled < n_each || n_failed < n_each; i++) {
		is_in_heap = 1;
		fail(&interrupted_failed, (int)(i % 64));
		if (i % 4 == 0)
			give(&interrupted, take(&interrupted));
		is_in_heap = 0;
		for (volatile int spin = 0; spin < 100; spin = spin + 1)
			;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	timer_delete(timer);
	return arg;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_prof, .sa_flags = SA_RESTART};
	(void)argc;
	n_each = scale(argv, 4000) / THREADS;
	sigaction(SIGPROF, &action, NULL);
	in_threads(THREADS, under_fire);
	printf("%ld mallocs, %ld failed calls in handlers\n", handled.acquired, handled_failed.failed);
	tell(argv, &handled);
	tell(argv, &handled_failed);
	tell(argv, &interrupted);
	tell(argv, &interrupted_failed);
	return 0;
}

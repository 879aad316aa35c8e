/* siglongjmp out of hooks, in 4 threads at once; capture then goes on, and exactly. SCALE: jumps. */
#include "torture.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, PERIOD_NS = 50000, AFTERWARDS = 1000 };

static struct truth afterwards = {.size = 77008}, torn = {.size = 77009};
static long n_each;
static _Atomic long n_jumps;
static __thread sigjmp_buf out_of_here;
static __thread volatile sig_atomic_t may_jump;

static void on_prof(int sig)
{
	(void)sig;
	if (may_jump)
		siglongjmp(out_of_here, 1);
}

static void *jump_often(void *arg)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct itimerspec every = {{0, PERIOD_NS}, {0, PERIOD_NS}};
	sigset_t set;
	timer_t timer;
	volatile long n = 0;
	event._sigev_un._tid = gettid();
	give(&afterwards, take(&afterwards)); /* the thread's heap is made before anything jumps */
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 || timer_settime(timer, 0, &every, NULL) < 0)
		abort();
	if (sigsetjmp(out_of_here, 1) != 0)
		n = n + 1;
	may_jump = 1;
	for (int i = 0; n < n_each; i++)
		fail(&torn, i % 9);
	may_jump = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	timer_delete(timer);
	for (int i = 0; i < AFTERWARDS; i++)
		give(&afterwards, take(&afterwards));
	atomic_fetch_add(&n_jumps, n);
	return arg;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_prof, .sa_flags = SA_RESTART};
	(void)argc;
	n_each = scale(argv, 4000) / THREADS;
	sigaction(SIGPROF, &action, NULL);
	in_threads(THREADS, jump_often);
	printf("%ld jumps\n", n_jumps);
	tell(argv, &afterwards);
	return 0;
}

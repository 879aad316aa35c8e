/* Threads cancelled asynchronously while they are in hooks. They call on top of what is left of those; capture goes on,
 * and exactly. SCALE: threads. */
#include "torture.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

enum { AFTERWARDS = 1000 };

static struct truth afterwards = {.size = 77010}, torn = {.size = 77011}, last = {.size = 77060};

static void call_as_it_ends(void *arg)
{
	(void)arg;
	fail(&last, 2);
}

static void *cancelled(void *arg)
{
	pthread_cleanup_push(call_as_it_ends, NULL);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	sem_post(arg);
	for (int i = 0;; i++)
		fail(&torn, i % 9);
	pthread_cleanup_pop(0);
	return NULL;
}

int main(int argc, char **argv)
{
	long n = scale(argv, 500), n_cancelled = 0;
	(void)argc;
	for (long i = 0; i < n; i++) {
		pthread_t t;
		sem_t started;
		void *result = NULL;
		sem_init(&started, 0, 0);
		if (pthread_create(&t, NULL, cancelled, &started) != 0)
			return 1;
		sem_wait(&started);
		pthread_cancel(t);
		pthread_join(t, &result);
		n_cancelled += result == PTHREAD_CANCELED;
	}
	for (int i = 0; i < AFTERWARDS; i++)
		give(&afterwards, take(&afterwards));
	printf("%ld cancelled\n", n_cancelled);
	tell(argv, &afterwards);
	tell(argv, &last);
	return 0;
}

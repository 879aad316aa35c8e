/* Threads that are all alive at once, blocked, each with a block that it releases at the end. SCALE: threads. */
#include "torture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { STACK = 65536 };

static struct truth held = {.size = 77015};
static pthread_barrier_t all_here;

static void *stay(void *arg)
{
	void *p = take(&held);
	pthread_barrier_wait(&all_here);
	give(&held, p);
	return arg;
}

int main(int argc, char **argv)
{
	long n = scale(argv, 300), n_joined = 0;
	pthread_t *threads = calloc((size_t)n, sizeof(*threads));
	pthread_attr_t attr;
	(void)argc;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_barrier_init(&all_here, NULL, (unsigned)n);
	for (long i = 0; i < n; i++) {
		if (pthread_create(&threads[i], &attr, stay, NULL) != 0) {
			fprintf(stderr, "no thread after %ld\n", i);
			return 1;
		}
	}
	for (long i = 0; i < n; i++)
		n_joined += pthread_join(threads[i], NULL) == 0;
	free(threads);
	printf("%ld threads\n", n_joined);
	tell(argv, &held);
	return 0;
}

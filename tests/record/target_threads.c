/* target_threads THREADS BLOCKS [longest]: threads that hand each other their blocks to free. Exactly THREADS * BLOCKS
 * blocks are acquired in work(), and all of them freed. With a third word: tells the milliseconds that a thread has
 * been at three calls at most: kept from the processor, or waiting in one of them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BOXES 1024u

static _Atomic(void *) boxes[BOXES];
static long n_blocks;
static bool is_timed;
static _Atomic long longest_ms;

/* Of what began at `since` on this clock; returns when it ended. */
static long note_time(long since)
{
	struct timespec t;
	long longest = atomic_load(&longest_ms);
	if (!is_timed)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	long now = t.tv_sec * 1000 + t.tv_nsec / 1000000;
	while (since && now - since > longest && !atomic_compare_exchange_weak(&longest_ms, &longest, now - since))
		;
	return now;
}

static void *work(void *arg)
{
	unsigned seed = (unsigned)(size_t)arg * 2654435761u + 1;
	for (long i = 0, since = note_time(0); i < n_blocks; i++, since = note_time(since)) {
		seed = seed * 1103515245u + 12345u;
		void *p = malloc(1 + (seed >> 16) % 300);
		if (i % 16 == 0)
			p = realloc(p, 1 + (seed >> 8) % 3000);
		free(atomic_exchange(&boxes[(seed >> 4) % BOXES], p));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long n_threads = argc > 2 ? atol(argv[1]) : 4;
	n_blocks = argc > 2 ? atol(argv[2]) : 1000;
	is_timed = argc > 3;
	long since = note_time(0);
	pthread_t *threads = calloc((size_t)n_threads, sizeof *threads);
	for (long i = 0; i < n_threads; i++, since = note_time(since))
		if (pthread_create(&threads[i], NULL, work, (void *)i))
			return 9;
	for (long i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	since = note_time(0);
	for (unsigned i = 0; i < BOXES; i++, since = note_time(since))
		free(boxes[i]);
	free(threads);
	char line[32]; /* told without a call of the heap */
	int n = is_timed ? snprintf(line, sizeof line, "%ld\n", longest_ms) : 0;
	return write(STDOUT_FILENO, line, (size_t)n) != n;
}

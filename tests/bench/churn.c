/* churn.c - allocates and frees, and does nothing else: churn THREADS DEPTH PAIRS
 *
 * Each thread makes PAIRS pairs of malloc and free from DEPTH frames down, of which the inner four change with every
 * call; a thousand blocks of 16 to 271 bytes live at a time. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "deep_malloc.h"

enum { CHUNK = 4096 };

struct worker {
	uint64_t seed, n_left;
	int depth;
	void *ring[LIVE];
} __attribute__((aligned(128)));

static NOINLINE void churn(struct worker *w)
{
	uint64_t seed = w->seed;

	for (int i = 0; i < CHUNK && w->n_left > 0; i++, w->n_left--) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		free(w->ring[seed % LIVE]);
		w->ring[seed % LIVE] = inner_a(INNER - 1, seed >> 20, 16 + (seed >> 10) % 256);
	}
	w->seed = seed;
}

static NOINLINE void descend(struct worker *w, int depth)
{
	if (depth > 0)
		descend(w, depth - 1);
	else
		while (w->n_left > 0)
			churn(w);
	__asm__ volatile("" : : : "memory");
}

static void *run(void *arg)
{
	struct worker *w = arg;

	descend(w, w->depth > INNER + 3 ? w->depth - INNER - 3 : 0);
	for (int i = 0; i < LIVE; i++)
		free(w->ring[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct worker workers[64];
	pthread_t threads[64];
	int n = argc == 4 ? atoi(argv[1]) : 0;

	if (n < 1 || n > 64) {
		fprintf(stderr, "usage: churn THREADS DEPTH PAIRS\n");
		return 2;
	}
	for (int i = 0; i < n; i++) {
		workers[i] = (struct worker){.seed = UINT64_C(88172645463325252) + (uint64_t)i, .depth = atoi(argv[2]),
			.n_left = strtoull(argv[3], NULL, 10)};
		if (i > 0 && pthread_create(&threads[i], NULL, run, &workers[i]) != 0)
			return 2;
	}
	run(&workers[0]);
	for (int i = 1; i < n; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* target_threads THREADS BLOCKS: threads that hand each other their blocks to free. Exactly THREADS * BLOCKS
 * blocks are acquired in work(), and all of them freed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BOXES 1024u

static _Atomic(void *) boxes[BOXES];
static long n_blocks;

static void *work(void *arg)
{
	unsigned seed = (unsigned)(size_t)arg * 2654435761u + 1;
	for (long i = 0; i < n_blocks; i++) {
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
	pthread_t *threads = calloc((size_t)n_threads, sizeof *threads);
	for (long i = 0; i < n_threads; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)i))
			return 9;
	for (long i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < BOXES; i++)
		free(boxes[i]);
	free(threads);
	return 0;
}

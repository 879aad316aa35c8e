/* recorded.c - a program to be recorded: every kind of heap call, from many threads and processes.
 *
 * Threads hand blocks on to each other through a shared board, so that most are released or resized by another thread
 * than acquired them; large reallocs move by mremap while others take the old address; calls fail; children release
 * what they inherited, and one executes the program again. Deterministic but for the interleaving. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 6, ROUNDS = 1500, PLACES = 256 };

static _Atomic(void *) board[PLACES];

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void *acquire(uint32_t random)
{
	size_t size = random >> 4 & 1023;
	void *p = NULL;

	switch (random & 15) {
	case 0: return calloc(size, 3);
	case 1: return posix_memalign(&p, 64, size) == 0 ? p : NULL;
	case 2: return aligned_alloc(256, size & ~(size_t)255);
	case 3: return memalign(128, size);
	case 4: return valloc(size);
	case 5: return realloc(NULL, size);
	case 6: return reallocarray(NULL, size, 5);
	case 7: return malloc(size * 700); /* beyond the threshold of mmap for some */
	default: return malloc(size);
	}
}

/* Calls that cannot succeed; p stays as it was. */
static void fail(void *p)
{
	volatile size_t too_much = SIZE_MAX / 2;
	void *q = NULL;

	if (malloc(too_much) || realloc(p, too_much) || calloc(too_much, 4) || posix_memalign(&q, 24, 8) != EINVAL)
		abort();
}

static void *work(void *seed)
{
	uint32_t state = (uint32_t)(uintptr_t)seed;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t random = next_random(&state);
		_Atomic(void *) *place = &board[random % PLACES];
		void *p = atomic_exchange(place, NULL);

		if (random % 97 == 0)
			fail(p);
		if (p && random % 5 == 0) {
			void *moved = realloc(p, 1 + random % 300000);
			p = moved ? moved : p;
		} else {
			free(p);
			p = acquire(next_random(&state));
		}
		free(atomic_exchange(place, p));
	}
	return NULL;
}

static void run_threads(uintptr_t seed)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(seed + i)) != 0)
			abort();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void child(uint32_t seed, char **argv)
{
	for (int i = 0; i < PLACES; i += 2)
		free(atomic_exchange(&board[i], NULL));
	work((void *)(uintptr_t)seed);
	if (argv[1])
		_exit(3);
	execl("/proc/self/exe", argv[0], "again", (char *)NULL);
	_exit(4);
}

int main(int argc, char **argv)
{
	(void)argc;
	run_threads(1);
	for (uint32_t i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (pid == 0)
			child(100 + i, argv);
		for (int k = (int)i; k < PLACES; k += 9) /* of some the child alone still has a copy */
			free(atomic_exchange(&board[k], NULL));
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			return 1;
		if (argv[1])
			break;
	}
	run_threads(50);
	return 0;
}

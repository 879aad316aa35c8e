/* target_counter FILE [THREADS [CALLS]]: allocates and frees, for ever or CALLS times a thread, and after
 * every call that has returned says so in FILE, which is mapped: uint64_t pairs (acquired, released) per
 * thread. What stands there when it is killed had returned. After CALLS, or when somebody writes to the last of
 * the words, it ends by printing "done" and with status 5. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS_MAX 64
#define STOP (2 * THREADS_MAX - 1)
#define HELD 32

static volatile uint64_t *told;
static long n_calls;

static void *work(void *arg)
{
	volatile uint64_t *mine = told + 2 * (size_t)arg;
	void *held[HELD] = {0};
	for (long i = 0; !told[STOP] && (n_calls == 0 || i < n_calls); i++) {
		if (held[i % HELD]) {
			free(held[i % HELD]);
			mine[1]++;
		}
		held[i % HELD] = malloc((size_t)(i * 31 % 2000));
		mine[0]++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	int n = argc > 2 ? atoi(argv[2]) : 1;
	n_calls = argc > 3 ? atol(argv[3]) : 0;
	int fd = argc > 1 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
	if (fd < 0 || n >= THREADS_MAX || ftruncate(fd, THREADS_MAX * 16))
		return 9;
	told = mmap(NULL, THREADS_MAX * 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (told == MAP_FAILED)
		return 9;
	for (int i = 1; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(size_t)i))
			return 9;
	work(0);
	for (int i = 1; i < n; i++)
		pthread_join(threads[i], NULL);
	puts("done");
	return 5;
}

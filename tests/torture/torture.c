/* See torture.h. */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void *take(struct truth *truth)
{
	char *volatile p = malloc(truth->size);
	if (!p)
		abort();
	p[0] = 1;
	atomic_fetch_add(&truth->acquired, 1);
	return p;
}

void give(struct truth *truth, void *p)
{
	free(p);
	atomic_fetch_add(&truth->released, 1);
}

__attribute__((noinline)) void fail(struct truth *truth, int depth)
{
	void *p = NULL;
	if (depth > 0) {
		fail(truth, depth - 1);
		__asm__ volatile("");
		return;
	}
	int error = posix_memalign(&p, 3, truth->size);
	if (error != EINVAL)
		abort();
	atomic_fetch_add(&truth->failed, 1);
}

void in_threads(int n, void *(*run)(void *))
{
	pthread_t threads[256];
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, run, (void *)(intptr_t)i) != 0)
			abort();
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

int reap(int pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Without stdio: nothing of the heap's is to be asked for that is not told. */
void tell(char **argv, const struct truth *truth)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%zu %ld %ld %ld\n", truth->size, truth->acquired,
		truth->released, truth->failed);
	if (!argv[1] || !argv[2])
		return;
	int fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		abort();
	close(fd);
}

long scale(char **argv, long fallback)
{
	return argv[1] ? atol(argv[1]) : fallback;
}

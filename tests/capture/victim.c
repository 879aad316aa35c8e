/* victim.c - programs to be recorded, one per behaviour: victim NAME [ARGS].
 *
 * The behaviours are in victim_*.c, by subject. What a victim says of itself goes into the file $VICTIM_TRUTH,
 * a shared mapping of counters, so that it is right even after SIGKILL; what it prints must be the same with
 * and without the library. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim_mode.h"

struct truth *truth;
void *volatile keep;

void *grab(size_t n)
{
	void *p = malloc(n);
	keep = p;
	return p;
}

long number(char **argv, long fallback)
{
	return argv[1] && argv[2] ? atol(argv[2]) : fallback;
}

void in_threads(int n, void *(*run)(void *))
{
	pthread_t t[128];
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, run, (void *)(intptr_t)i) != 0)
			abort();
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

int reap(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static const struct victim_mode *const subjects[] = {
	victim_calls,
	victim_threads,
	victim_signals,
	victim_processes,
	victim_seen,
	victim_modules,
	victim_mappings,
};

int main(int argc, char **argv)
{
	static struct truth none;
	const char *path = getenv("VICTIM_TRUTH");
	truth = &none;
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd >= 0) {
		/* not a call that is recorded */
		long p = syscall(SYS_mmap, NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != -1)
			truth = (struct truth *)p;
		close(fd);
	}
	for (size_t i = 0; argc > 1 && i < sizeof(subjects) / sizeof(subjects[0]); i++)
		for (const struct victim_mode *mode = subjects[i]; mode->name; mode++)
			if (strcmp(argv[1], mode->name) == 0)
				return mode->run(argv);
	return 64;
}

/* target_family HOW: one way to get another process.
 *
 *	fork       the child frees a block of the parent's and keeps one of its own; the parent keeps its copy
 *	vfork      the child execs a leaf
 *	spawn      posix_spawn of a leaf
 *	exec       becomes a leaf
 *	leaf       one block of 44 bytes
 *	daemon [FILE]  daemon(0, 0), then 100 blocks, 50 ms later, or when FILE is there, which it removes at its end
 *	grandchild a child that does not touch the heap forks one that does
 *	storm N    N children from 4 threads, each with one block */
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static void *volatile sink;
static char leaf_name[] = "leaf";
static char *const leaf_argv[] = {leaf_name, leaf_name, NULL};

static int wait_for(pid_t pid)
{
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 7;
}

static int do_fork(void)
{
	void *both = malloc(1000), *freed_by_child = malloc(2000);
	sink = both;
	pid_t pid = fork();
	if (pid == 0) {
		free(freed_by_child);
		sink = malloc(500);
		_exit(0);
	}
	return wait_for(pid);
}

static int do_vfork(void)
{
	sink = malloc(100);
	pid_t pid = vfork();
	if (pid == 0) {
		execv("/proc/self/exe", leaf_argv);
		_exit(9);
	}
	return wait_for(pid);
}

static int do_spawn(void)
{
	pid_t pid;
	sink = malloc(100);
	return posix_spawn(&pid, "/proc/self/exe", NULL, NULL, leaf_argv, environ) ? 8 : wait_for(pid);
}

static int do_daemon(const char *file)
{
	enum { NAP_US = 50000, NAPS_MAX = 12000 };
	if (daemon(0, 0))
		return 8;
	usleep(NAP_US);
	for (int i = 0; file && access(file, F_OK) && i < NAPS_MAX; i++)
		usleep(NAP_US);
	for (int i = 0; i < 100; i++)
		sink = malloc(10);
	if (file)
		unlink(file);
	return 0;
}

static int do_grandchild(void)
{
	sink = malloc(1000);
	pid_t pid = fork();
	if (pid == 0) {
		pid = fork();
		if (pid == 0) {
			free(sink);
			sink = malloc(77);
			_exit(0);
		}
		_exit(wait_for(pid));
	}
	return wait_for(pid);
}

static void *storm(void *arg)
{
	for (long i = 0; i < (long)arg; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			sink = malloc(33);
			_exit(0);
		}
		if (wait_for(pid))
			exit(7);
	}
	return NULL;
}

static int do_storm(long n)
{
	enum { THREADS = 4 };
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, storm, (void *)(n / THREADS)))
			return 9;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	if (strcmp(how, "fork") == 0)
		return do_fork();
	if (strcmp(how, "vfork") == 0)
		return do_vfork();
	if (strcmp(how, "spawn") == 0)
		return do_spawn();
	if (strcmp(how, "daemon") == 0)
		return do_daemon(argc > 2 ? argv[2] : NULL);
	if (strcmp(how, "grandchild") == 0)
		return do_grandchild();
	if (strcmp(how, "storm") == 0)
		return do_storm(argc > 2 ? atol(argv[2]) : 100);
	if (strcmp(how, "leaf") == 0) {
		sink = malloc(44);
		return 0;
	}
	sink = malloc(100);
	execv("/proc/self/exe", leaf_argv);
	return 9;
}

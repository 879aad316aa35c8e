/* timed.c - runs a command and writes what it alone cost: timed FILE COMMAND [ARG...]
 *
 * FILE receives one line: user seconds, system seconds, greatest resident KiB, and the CLOCK_MONOTONIC second at which
 * it ended. Ends as the command did. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

int main(int argc, char **argv)
{
	struct rusage used;
	struct timespec now;
	int status;
	FILE *f;

	if (argc < 3) {
		fprintf(stderr, "usage: timed FILE COMMAND [ARG...]\n");
		return 2;
	}
	pid_t pid = fork();
	if (pid == 0) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) != pid) {
		perror("timed");
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	f = fopen(argv[1], "we");
	if (!f) {
		perror(argv[1]);
		return 2;
	}
	fprintf(f, "%.6f %.6f %ld %.6f\n", seconds(used.ru_utime), seconds(used.ru_stime), used.ru_maxrss,
		(double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
	fclose(f);
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		raise(WTERMSIG(status));
	}
	return WEXITSTATUS(status);
}

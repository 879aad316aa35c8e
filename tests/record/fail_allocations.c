/* fail_allocations [--wrap=POOL] once|lasting MSRECORD TARGET DIR [EVERY [FIRST [LAST]]]: the k-th allocation of msrecord fails (or
 * all from the k-th on), for every k (or every EVERYth from FIRST to LAST), while it records TARGET; and what follows
 * is judged as in fail_syscalls. MSRECORD is one that is linked with failing_allocator.c.
 *
 * Exit 0: all is as it should be; 1: not; 2: could not test. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "failing_allocator.h"
#include "recorded_right.h"

enum { TIMEOUT_S = 300 };

static struct failing_allocator *shared;

static bool share_allocator(void)
{
	int fd = open("allocator", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof *shared))
		return false;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return shared != MAP_FAILED;
}

static volatile sig_atomic_t is_out_of_time;

static void ring(int sig)
{
	(void)sig;
	is_out_of_time = 1;
}

static void run_once(char **argv, uint64_t at, struct mst_outcome *o)
{
	int status = -1;
	shared->at = at;
	atomic_store(&shared->count, 0);
	atomic_store(&shared->has_failed, false);
	is_out_of_time = 0;
	outcome_clean_up();
	pid_t pid = fork();
	if (pid == 0) {
		int out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600), err = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(out, 1);
		dup2(err, 2);
		setpgid(0, 0);
		execv(argv[0], argv);
		_exit(99);
	}
	alarm(TIMEOUT_S);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR && !is_out_of_time)
		;
	alarm(0);
	if (is_out_of_time) {
		status = -1;
		kill(-pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	outcome_read(o, status);
}

int main(int argc, char **argv)
{
	char *wrap = argc > 1 && strncmp(argv[1], "--wrap=", 7) == 0 ? argv[1] : NULL; /* msrecord's */
	if (wrap) {
		argv++;
		argc--;
	}
	if (argc < 5)
		return 2;
	uint64_t every = argc > 5 ? strtoull(argv[5], NULL, 10) : 1, first = argc > 6 ? strtoull(argv[6], NULL, 10) : 1;
	uint64_t last = argc > 7 ? strtoull(argv[7], NULL, 10) : UINT64_MAX;
	for (int i = 2; i < 4; i++)
		if (!(argv[i] = realpath(argv[i], NULL)))
			return 2;
	mkdir(argv[4], 0700);
	if (every < 1 || first < 1 || chdir(argv[4]) || !share_allocator())
		return 2;
	shared->is_lasting = strcmp(argv[1], "lasting") == 0;
	char *dir = get_current_dir_name(), allocator[4096];
	snprintf(allocator, sizeof allocator, "%s/allocator", dir);
	setenv("TMPDIR", dir, 1);
	setenv("MS_FAILING_ALLOCATOR", allocator, 1);
	char *command[] = {argv[2], (char[]){"-qf"}, (char[]){"-o"}, (char[]){OUTCOME_TRACE}, wrap ? wrap : (char[]){"-q"},
		(char[]){"--"}, argv[3], NULL, NULL};
	struct sigaction alarm_action = {.sa_handler = ring};
	sigaction(SIGALRM, &alarm_action, NULL);
	unsigned n_points = 0, n_wrong = 0;
	for (int with_status = 0; with_status < 2; with_status++) {
		struct mst_outcome reference, o;
		char what[256];
		command[7] = (char[][2]){"5", "0"}[with_status];
		run_once(command, 0, &reference);
		if (!outcome_is_complete(&reference)) {
			printf("without a fault: not a complete recording\n%s", reference.messages);
			return 2;
		}
		/* each of the two programs meets half of the allocations */
		for (uint64_t k = first + (uint64_t)with_status * every; k <= last; k += 2 * every) {
			run_once(command, k, &o);
			if (!atomic_load(&shared->has_failed))
				break;
			n_points++;
			bool right = outcome_is_right(&o, &reference, what, sizeof what);
			if (right && o.has_leftovers) {
				snprintf(what, sizeof what, "its directory is left behind");
				right = false;
			}
			n_wrong += !right;
			if (!right)
				printf("%s %llu: %s\n%s", argv[1], (unsigned long long)k, what, o.messages);
			fflush(stdout);
		}
	}
	printf("%s: %u allocations failed, %u times with a wrong outcome\n", argv[1], n_points, n_wrong);
	free(dir);
	return n_wrong != 0;
}

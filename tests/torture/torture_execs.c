/* Programs started in every form: exec by each function in the same process, with the descriptors closed from
 * 3 on; children of each kind; a daemon; and at last an image without an environment, which nobody can follow.
 * The third argument is the stage. SCALE: times through all stages. */
#include "torture.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIRST_SIZE = 77020 }; /* plus the stage */

/* Stages: EXECS in the same process, then CHILDREN, then a daemon, then the end, without an environment. */
enum { EXECS = 9, CHILDREN = 6, DAEMON = EXECS + CHILDREN, UNFOLLOWED, CHILD };

static const char self[] = "/proc/self/exe";

/* Becomes what the arguments say. */
static void become(char **a, int form)
{
	switch (form) {
	case 0:
		execl(self, a[0], a[1], a[2], a[3], (char *)NULL);
		break;
	case 1:
		execle(self, a[0], a[1], a[2], a[3], (char *)NULL, environ);
		break;
	case 2:
		execlp(self, a[0], a[1], a[2], a[3], (char *)NULL);
		break;
	case 3:
		execv(self, a);
		break;
	case 4:
		execve(self, a, environ);
		break;
	case 5:
		execvp(self, a);
		break;
	case 6:
		execvpe(self, a, environ);
		break;
	case 7:
		fexecve(open(self, O_RDONLY), a, environ);
		break;
	case 8:
		syscall(SYS_execveat, AT_FDCWD, self, a, environ, 0);
		break;
	default:
		execle(self, a[0], a[1], a[2], a[3], (char *)NULL, (char *const[]){NULL});
	}
	_exit(127);
}

static int by_popen(const char *command)
{
	char line[64] = "";
	FILE *f = popen(command, "r");
	if (!f || !fgets(line, sizeof(line), f))
		return 1;
	fputs(line, stdout);
	return pclose(f);
}

/* Runs a child of the given form to its end; its status. */
static int beget(char **a, int form)
{
	char command[1024];
	pid_t pid;
	snprintf(command, sizeof(command), "exec '%s' %s '%s' %s", a[0], a[1], a[2], a[3]);
	fflush(stdout);
	switch (form) {
	case 0:
		return posix_spawn(&pid, a[0], NULL, NULL, a, environ) == 0 ? reap(pid) : 1;
	case 1:
		return posix_spawnp(&pid, a[0], NULL, NULL, a, environ) == 0 ? reap(pid) : 1;
	case 2:
		pid = vfork();
		if (pid == 0) {
			execv(a[0], a);
			_exit(127);
		}
		return reap(pid);
	case 3:
		pid = fork();
		if (pid == 0)
			become(a, 4);
		return reap(pid);
	case 4:
		return system(command);
	default:
		return by_popen(command);
	}
}

static void count(char **argv, int stage)
{
	struct truth truth = {.size = (size_t)(FIRST_SIZE + stage)};
	give(&truth, take(&truth));
	tell(argv, &truth);
}

/* The daemon is followed without a descriptor or an environment of its own: it was forked, not executed. */
static void leave_daemon(char **argv)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (daemon(1, 0) < 0)
			_exit(1);
		closefrom(3);
		clearenv();
		count(argv, DAEMON);
		_exit(0);
	}
	printf("daemon %d\n", reap(pid));
}

int main(int argc, char **argv)
{
	long rounds = scale(argv, 1);
	int stage = argc > 3 ? atoi(argv[3]) : 0;
	char next[16], left[24];
	char *args[] = {argv[0], left, argc > 2 ? argv[2] : next, next, NULL};
	struct truth unfollowed = {.size = FIRST_SIZE + UNFOLLOWED};
	if (stage == UNFOLLOWED) {
		give(&unfollowed, take(&unfollowed)); /* nobody is to know */
		puts("end");
		return 0;
	}
	closefrom(3);
	count(argv, stage);
	if (stage == CHILD) {
		puts("child");
		return 0;
	}
	snprintf(left, sizeof(left), "%ld", rounds);
	if (stage < EXECS) {
		snprintf(next, sizeof(next), "%d", stage + 1);
		become(args, stage);
	}
	snprintf(next, sizeof(next), "%d", CHILD);
	for (int form = 0; form < CHILDREN; form++)
		printf("form %d status %d\n", form, beget(args, form));
	leave_daemon(argv);
	fflush(stdout);
	snprintf(left, sizeof(left), "%ld", rounds - 1);
	snprintf(next, sizeof(next), "%d", rounds > 1 ? 0 : UNFOLLOWED);
	if (rounds > 1)
		become(args, 4);
	atomic_store(&unfollowed.acquired, 0);
	tell(argv, &unfollowed);
	become(args, EXECS);
}

/* target_launcher HOW PROGRAM [ARG]: starts a program in one of the ways there are, in a child, and ends with its
 * status. Between fork and exec nothing of the heap is called. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int start(const char *how, char **argv)
{
	const char *path = argv[0];
	if (strcmp(how, "execl") == 0)
		return execl(path, path, argv[1], (char *)NULL);
	if (strcmp(how, "execlp") == 0)
		return execlp(path, path, argv[1], (char *)NULL);
	if (strcmp(how, "execle") == 0)
		return execle(path, path, argv[1], (char *)NULL, environ);
	if (strcmp(how, "execv") == 0)
		return execv(path, argv);
	if (strcmp(how, "execvp") == 0)
		return execvp(path, argv);
	if (strcmp(how, "execve") == 0)
		return execve(path, argv, environ);
	if (strcmp(how, "execvpe") == 0)
		return execvpe(path, argv, environ);
	if (strcmp(how, "execveat") == 0)
		return execveat(AT_FDCWD, path, argv, environ, 0);
	if (strcmp(how, "fexecve") == 0)
		return fexecve(open(path, O_RDONLY | O_CLOEXEC), argv, environ);
	return -1;
}

int main(int argc, char **argv)
{
	void *volatile keep = malloc(1); /* so that this process is recorded */
	int status = 0;
	volatile int error = 0;
	pid_t pid = 0;
	if (argc < 3 || !keep)
		return 99;
	if (strcmp(argv[1], "posix_spawn") == 0)
		error = posix_spawn(&pid, argv[2], NULL, NULL, argv + 2, environ);
	else if (strcmp(argv[1], "posix_spawnp") == 0)
		error = posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ);
	else if (strcmp(argv[1], "system") == 0)
		return WEXITSTATUS(system(argv[2]));
	else if ((pid = strcmp(argv[1], "execve") == 0 ? vfork() : fork()) == 0)
		_exit(start(argv[1], argv + 2) < 0 ? 98 : 97);
	if (error || waitpid(pid, &status, 0) < 0)
		return 96;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

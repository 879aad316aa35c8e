/* target_small STATUS: a program that allocates, frees and forks, a little of each; it prints what its child ended
 * with, and "done", and ends with STATUS. Built with POOLS (target_small_pools), it calls those of pool_library.h as well. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef POOLS
#include "pool_library.h"
#endif

enum { BLOCKS = 100 };

static void *volatile blocks[BLOCKS];

static void churn(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(blocks[i % BLOCKS]);
		blocks[i % BLOCKS] = malloc(i % 500 + 1);
	}
#ifdef POOLS
	void *block = pool_get(NULL, n);
	for (size_t i = 0; i < 20; i++)
		block = pool_regain(block, NULL, n + i);
	pool_put(NULL, block);
	(void)!pool_get(NULL, 7);
#endif
}

int main(int argc, char **argv)
{
	int status = -1;
	churn(300);
	pid_t pid = fork();
	if (pid == 0) {
		churn(70);
		_exit(7);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 9;
	blocks[0] = realloc(blocks[0], 5000);
	dprintf(1, "child %d\ndone\n", WEXITSTATUS(status));
	return argc > 1 ? atoi(argv[1]) : 0;
}

/* target_grows STEPS USLEEP [fork]: holds a block of 1 MiB more at each step, every byte written, then frees half of
 * them; with fork a child does the same at the same time. Says the pids and what is live at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP (1u << 20)

int main(int argc, char **argv)
{
	int steps = argc > 1 ? atoi(argv[1]) : 16, pause = argc > 2 ? atoi(argv[2]) : 10000;
	char **blocks = calloc((size_t)steps, sizeof(*blocks));
	pid_t child = argc > 3 ? fork() : 0;

	for (int i = 0; i < steps; i++) {
		blocks[i] = malloc(STEP);
		memset(blocks[i], 1, STEP);
		usleep((useconds_t)pause);
	}
	for (int i = 0; i < steps / 2; i++)
		free(blocks[i]);
	usleep((useconds_t)pause * 4);
	if (child > 0)
		waitpid(child, NULL, 0);
	return blocks[steps - 1][0] == 1 ? 0 : 1;
}

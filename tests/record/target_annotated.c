/* Says something about its own recording, linked to nothing (mstrace/annotate.h).
 *
 *	oracle SEED	acquires and releases at random, now and then stopped, forking once while stopped; prints how many blocks
 *			it acquired while recorded and has not released: what the trace must say lives
 *	marks		eight threads with a hundred marks each
 *	loop		allocates and releases all the time until a signal ends it; prints "on" when it has begun */
#include <mstrace/annotate.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 500, STEPS = 40000 };

static unsigned state;

static unsigned draw(unsigned n)
{
	state = state * 1103515245u + 12345u;
	return (state >> 16) % n;
}

/* A child that releases what it inherited, and some of its own: nothing of it is the parent's. */
static void fork_and_release(char **blocks)
{
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < SLOTS; i++)
			free(blocks[i]);
		free(malloc(77));
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static int oracle(void)
{
	static char *blocks[SLOTS];
	static char is_known[SLOTS];
	int is_on = 1, n_known = 0;
	for (int step = 0; step < STEPS; step++) {
		int i = (int)draw(SLOTS);
		if (draw(is_on ? 3000 : 400) == 0) { /* mostly on */
			is_on = !is_on;
			if (is_on)
				ms_start();
			else
				ms_stop();
		}
		if (step == STEPS / 2) {
			ms_stop();
			fork_and_release(blocks);
			if (is_on)
				ms_start();
		}
		if (!blocks[i]) {
			blocks[i] = malloc(draw(300) + 1);
			is_known[i] = (char)is_on;
		} else if (draw(3) == 0) { /* in a pause, what comes of a known block is known */
			blocks[i] = realloc(blocks[i], draw(600) + 1);
			is_known[i] |= (char)is_on;
		} else {
			free(blocks[i]);
			blocks[i] = NULL;
			is_known[i] = 0;
		}
	}
	for (int i = 0; i < SLOTS; i++)
		n_known += is_known[i];
	dprintf(STDOUT_FILENO, "%d\n", n_known);
	_exit(0);
}

static void *mark(void *arg)
{
	char name[32];
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "%d %d", (int)(long)arg, i);
		ms_mark(name);
	}
	return NULL;
}

static int marks(void)
{
	pthread_t threads[8];
	for (long i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, mark, (void *)i);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static _Noreturn void loop(void)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	dprintf(STDOUT_FILENO, "on\n");
	for (;;) {
		void *volatile p = malloc(100);
		free(p);
		nanosleep(&nap, NULL);
	}
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "oracle") == 0) {
		state = (unsigned)atoi(argv[2]);
		return oracle();
	}
	if (argc > 1 && strcmp(argv[1], "marks") == 0)
		return marks();
	loop();
}

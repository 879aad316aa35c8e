/* churn ROUNDS [MICROSECONDS]: blocks of all ages from several places, the same every time it runs. After a third of the
 * rounds it forks a child that goes on with what it has inherited. What is never freed, by place, depends on nothing
 * but ROUNDS. Rests for so long after each 1,000 rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 5000 };

static void *slots[SLOTS];
static unsigned random_state = 1;

static unsigned draw(unsigned n)
{
	random_state = random_state * 1103515245u + 12345u;
	return random_state / 65536 % n;
}

__attribute__((noinline)) static void *from_one_place(size_t size)
{
	return malloc(size);
}

__attribute__((noinline)) static void *from_another(size_t size)
{
	return calloc(1, size);
}

__attribute__((noinline)) static void *grown(void *p, size_t size)
{
	return realloc(p, size);
}

/* A block of the first rounds that nobody frees: it lives through everything. */
__attribute__((noinline)) static void *kept_for_ever(void)
{
	return malloc(33);
}

static void round_of(long i)
{
	unsigned k = draw(SLOTS), what = draw(8);

	if (i < 500)
		(void)!kept_for_ever();
	if (!slots[k])
		slots[k] = what & 1 ? from_one_place(16 + draw(400)) : from_another(8 + draw(1500));
	else if (what < 5) {
		free(slots[k]);
		slots[k] = NULL;
	} else
		slots[k] = grown(slots[k], 1 + draw(2500));
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 100000;
	unsigned rest_us = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	pid_t child = -1;

	for (long i = 0; i < n; i++) {
		if (i == n / 3)
			child = fork();
		if (child == 0 && i > n / 3 * 2)
			_exit(0);
		if (rest_us && i % 1000 == 0)
			usleep(rest_us);
		round_of(i);
	}
	while (wait(NULL) > 0)
		;
	printf("%u\n", random_state);
	return 0;
}

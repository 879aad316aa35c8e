/* Threads on the smallest stack there is (16 KiB, of which glibc takes some), which call the heap with most of
 * it in use. SCALE: threads. */
#include "torture.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { STACK = 16384, LEFT = 4096, AT_ONCE = 20 };

static struct truth deep = {.size = 77019};

/* Calls itself until about LEFT bytes of the stack are left below it. */
static __attribute__((noinline)) void descend(const char *bottom)
{
	char here[256];
	here[0] = 1;
	__asm__ volatile("" : : "r"(here) : "memory");
	if (here - bottom > LEFT + (long)sizeof(here) + 64)
		descend(bottom);
	else
		for (int i = 0; i < 50; i++)
			give(&deep, take(&deep));
	__asm__ volatile("" : : "r"(here) : "memory");
}

static void *on_small_stack(void *arg)
{
	descend(arg);
	return NULL;
}

int main(int argc, char **argv)
{
	static _Alignas(4096) char stacks[AT_ONCE][STACK];
	long n = scale(argv, 200), n_joined = 0;
	pthread_attr_t attr;
	(void)argc;
	pthread_attr_init(&attr);
	for (long i = 0; i < n; i += AT_ONCE) {
		pthread_t threads[AT_ONCE];
		for (int k = 0; k < AT_ONCE; k++) {
			if (pthread_attr_setstack(&attr, stacks[k], STACK) != 0 ||
				pthread_create(&threads[k], &attr, on_small_stack, stacks[k]) != 0)
				return 1;
		}
		for (int k = 0; k < AT_ONCE; k++)
			n_joined += pthread_join(threads[k], NULL) == 0;
	}
	printf("%ld threads\n", n_joined);
	tell(argv, &deep);
	return 0;
}

/* Coroutines on mapped stacks that are unmapped when they end, or while they are still suspended: other
 * mappings then take their places. SCALE: coroutines. */
#include "torture.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { THREADS = 2, ALIVE = 16, STEPS = 6, PAGE = 4096 };

static struct truth step = {.size = 77017}, outside = {.size = 77018};
static long n_each;
static _Atomic long n_steps;

struct coroutine {
	ucontext_t self, *caller;
	char *stack;
	size_t size;
	void *block;
};

static __attribute__((noinline)) void work(struct coroutine *c, int depth)
{
	if (depth > 0) {
		work(c, depth - 1);
		__asm__ volatile("");
		return;
	}
	c->block = take(&step);
	swapcontext(&c->self, c->caller);
	give(&step, c->block);
	atomic_fetch_add(&n_steps, 1);
}

static void body(unsigned lo, unsigned hi)
{
	struct coroutine *c = (void *)((uintptr_t)hi << 32 | lo); /* makecontext hands over ints only */
	for (int i = 0; i < STEPS; i++)
		work(c, i * 3);
}

static void start(struct coroutine *c, ucontext_t *caller, long number)
{
	c->size = (size_t)(4 + number % 5 * 3) * PAGE;
	c->stack = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->stack == MAP_FAILED)
		abort();
	c->caller = caller;
	getcontext(&c->self);
	c->self.uc_stack.ss_sp = c->stack;
	c->self.uc_stack.ss_size = c->size;
	c->self.uc_link = caller;
	makecontext(&c->self, (void (*)(void))body, 2, (unsigned)(uintptr_t)c, (unsigned)((uintptr_t)c >> 32));
}

/* One in four is given up half way: its block is released by us. */
static void *schedule(void *arg)
{
	static __thread struct coroutine alive[ALIVE];
	ucontext_t here;
	for (long i = 0; i < n_each; i += ALIVE) {
		for (int k = 0; k < ALIVE; k++)
			start(&alive[k], &here, i + k);
		for (int round = 0; round <= STEPS; round++) {
			for (int k = 0; k < ALIVE; k++)
				if (k % 4 != 0 || round < STEPS / 2)
					swapcontext(&here, &alive[k].self);
			give(&outside, take(&outside));
		}
		for (int k = 0; k < ALIVE; k++) {
			munmap(alive[k].stack, alive[k].size);
			if (k % 4 == 0)
				give(&step, alive[k].block);
			give(&outside, take(&outside));
		}
	}
	return arg;
}

int main(int argc, char **argv)
{
	(void)argc;
	n_each = scale(argv, 640) / THREADS;
	in_threads(THREADS, schedule);
	printf("%ld steps\n", n_steps);
	tell(argv, &step);
	tell(argv, &outside);
	return 0;
}

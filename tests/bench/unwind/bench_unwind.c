/*
 * What a stack costs. A pair is two events at one place, as malloc and free are: two hooks, each called
 * through a function of its own, so that two frames are new each time. Prints ns per event for verified
 * reuse, a full unwind with the rules known, and gcc's _Unwind_Backtrace. The quickest of several runs.
 */
#include "reference_stack.h"

#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

enum { LIMIT = 512, RUNS = 25 };

static struct ms_unwind u;
static struct ref_stack gcc_stack;
static uint32_t depth_seen;
static uint64_t n_pushed;

static NOINLINE void hook_reuse(void)
{
	struct ms_unwind_regs at = MS_UNWIND_CALLER();
	struct ms_stack_diff diff;

	ms_unwind_here(&u, &at, &diff);
	depth_seen = diff.keep + diff.n_push;
	n_pushed += diff.n_push;
}

static NOINLINE void hook_fresh(void)
{
	static uintptr_t ips[LIMIT];
	struct ms_unwind_regs at = MS_UNWIND_CALLER();
	unsigned flags;

	depth_seen = ms_unwind_fresh(&u, &at, ips, LIMIT, &flags);
}

static NOINLINE void hook_gcc(void)
{
	ref_walk(&gcc_stack);
	depth_seen = gcc_stack.n;
}

static NOINLINE void hook_nothing(void)
{
	struct ms_unwind_regs at = MS_UNWIND_CALLER();

	__asm__ volatile("" ::"r"(at.ip));
}

static void (*hook)(void);
static unsigned n_pairs;
static double ns_per_event;

static NOINLINE void take(void)
{
	hook();
	__asm__ volatile("");
}

static NOINLINE void give(void)
{
	hook();
	__asm__ volatile("");
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static NOINLINE void pairs(void)
{
	double start = now_ns();

	for (unsigned i = 0; i < n_pairs; i++) {
		take();
		give();
	}
	ns_per_event = (now_ns() - start) / (2.0 * n_pairs);
}

/* Two shapes of frame in turn: registers saved, and a local array. */
static void descend_arrays(unsigned n);

static NOINLINE void descend_registers(unsigned n)
{
	unsigned a = n * 3, b = n ^ 5, c = n + 9;

	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c));
	if (n == 0)
		pairs();
	else
		descend_arrays(n - 1);
	__asm__ volatile("" ::"r"(a), "r"(b), "r"(c), "r"(n));
}

static NOINLINE void descend_arrays(unsigned n)
{
	volatile char pad[64];

	pad[0] = 1;
	if (n == 0)
		pairs();
	else
		descend_registers(n - 1);
	pad[1] = pad[0];
}

/* The quickest of several runs: the others measure the neighbours. */
static double measure(void (*which)(void), unsigned depth, unsigned n)
{
	double best = 1e9;

	hook = which;
	n_pairs = n;
	for (unsigned i = 0; i < RUNS; i++) {
		descend_registers(depth);
		if (ns_per_event < best)
			best = ns_per_event;
	}
	return best;
}

int main(void)
{
	static const unsigned depths[] = {5, 20, 60, 200};
	void *storage = mmap(NULL, ms_unwind_storage_size(LIMIT), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (storage == MAP_FAILED)
		return 1;
	ms_unwind_init(&u, storage, LIMIT, ms_unwind_find_stack((uintptr_t)__builtin_frame_address(0)));
	printf("%6s %7s %10s %12s %10s %10s\n", "depth", "new", "reuse ns", "per old ns", "fresh ns",
		"gcc ns");
	for (unsigned i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		double nothing = measure(hook_nothing, depths[i], 30000);
		double gcc = measure(hook_gcc, depths[i], 300) - nothing;
		double fresh = measure(hook_fresh, depths[i], 5000) - nothing;
		double reuse, new_frames;

		n_pushed = 0;
		reuse = measure(hook_reuse, depths[i], 30000) - nothing;
		new_frames = (double)n_pushed / (2.0 * 30000 * RUNS);
		printf("%6u %7.1f %10.1f %12.2f %10.1f %10.1f\n", depth_seen, new_frames, reuse,
			reuse / ((double)depth_seen - new_frames), fresh, gcc);
	}
	return 0;
}

/* target_preempted: a thread is kept from the processor in the middle of a call, between its stamp and its publication, for as
 * long as others want to run there. Tells for how many milliseconds that was. 77: it can not be brought about here.
 *
 * SIGTRAP comes after every instruction of the call; the handler looks for the one that reads the clock while the thread's
 * slot says that it takes a stamp, and then goes round and round, as SCHED_IDLE, among others that never sleep. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "wire.h"

#define TRAP_FLAG 0x100
enum { OTHERS = 12, HELD_MS = 1000, BETWEEN_CALLS_NS = 1000000 };

static const struct ms_slot *slots, *own;
static _Atomic int is_held, is_over;
static volatile int has_stamp;
static long held_ms;

static long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

static void find_slots(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	while (!slots && f && fgets(line, sizeof line, f))
		if (strstr(line, "memfd:"))
			slots = (const void *)((const char *)strtoul(line, NULL, 16) + MS_OFF_SLOTS);
	if (f)
		fclose(f);
}

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	const unsigned char *next = (const void *)interrupted->uc_mcontext.gregs[REG_RIP];
	(void)sig;
	(void)info;
	if (has_stamp) {
		long since = now_ns();
		interrupted->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
		atomic_store(&is_held, 1);
		while (!atomic_load(&is_over))
			;
		held_ms = (now_ns() - since) / 1000000;
	}
	has_stamp = own->intent && (memcmp(next, "\x0f\x31", 2) == 0 || memcmp(next, "\x0f\x01\xf9", 3) == 0);
}

static void *call_when_held(void *arg)
{
	void *volatile p;
	while (!atomic_load(&is_over)) {
		p = malloc(100);
		free(p);
		for (long until = now_ns() + BETWEEN_CALLS_NS; now_ns() < until;)
			;
	}
	return arg;
}

static void *be_held(void *arg)
{
	struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
	struct sched_param none = {0};
	void *volatile p = malloc(200);
	free(p);
	for (own = slots; own < slots + MS_MAX_SLOTS && own->tid != (uint32_t)gettid(); own++)
		;
	if (own == slots + MS_MAX_SLOTS || sigaction(SIGTRAP, &sa, NULL) < 0 || sched_setscheduler(0, SCHED_IDLE, &none) < 0)
		exit(77);
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
	p = malloc(12345);
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(unsigned long long)TRAP_FLAG);
	free(p);
	if (!atomic_load(&is_held))
		exit(77);
	return arg;
}

int main(void)
{
	pthread_t held, others[OTHERS];
	cpu_set_t all, one;
	size_t first = 0;
	void *volatile p = malloc(1);
	free(p);
	find_slots();
	if (!slots || sched_getaffinity(0, sizeof all, &all) < 0)
		return 77;
	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	if (sched_setaffinity(0, sizeof one, &one) < 0 || pthread_create(&held, NULL, be_held, NULL))
		return 77;
	while (!atomic_load(&is_held))
		usleep(1000);
	long until = now_ns() + HELD_MS * 1000000L;
	for (int i = 0; i < OTHERS; i++)
		if (pthread_create(&others[i], NULL, call_when_held, NULL))
			return 77;
	while (now_ns() < until)
		usleep(1000);
	atomic_store(&is_over, 1);
	for (int i = 0; i < OTHERS; i++)
		pthread_join(others[i], NULL);
	pthread_join(held, NULL);
	printf("%ld\n", held_ms);
	return 0;
}

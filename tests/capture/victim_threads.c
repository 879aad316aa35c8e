/* Threads: many, short, on small stacks; and coroutines, which are stacks without a thread. */
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "victim_mode.h"
#include "wire.h"

enum { BOX = 4096 };
static void *_Atomic box[BOX];
static long per_thread;

static void *swap_blocks(void *arg)
{
	uint64_t x = (uint64_t)(uintptr_t)arg * 2654435761u + 88172645463325252u;
	for (long i = 0; i < per_thread; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		char *p = x % 16 == 0 ? calloc(1, 16 + x / 64 % 500) : malloc(16 + x / 64 % 500);
		if (x % 8 == 0)
			p = realloc(p, 16 + x / 128 % 2000);
		p[0] = 1;
		free(atomic_exchange(&box[x / 256 % BOX], p)); /* most often another thread's block */
	}
	return NULL;
}

static int threads(char **argv)
{
	per_thread = number(argv, 20000);
	in_threads(64, swap_blocks);
	for (int i = 0; i < BOX; i++)
		free(box[i]);
	return 0;
}

static void *die_young(void *arg)
{
	free(grab(100));
	return arg;
}

static int short_threads(char **argv)
{
	long n = number(argv, 2000);
	for (long i = 0; i < n; i += 50)
		in_threads(50, die_young);
	return 0;
}

static pthread_barrier_t all_here;

/* Threads that poll for each other would keep each other from the processor. */
static void *stay(void *arg)
{
	void *p = grab(101);
	pthread_barrier_wait(&all_here);
	free(p);
	return arg;
}

/* All alive at once. */
static int many_threads(char **argv)
{
	pthread_attr_t attr;
	per_thread = number(argv, 1000);
	pthread_t *t = calloc((size_t)per_thread, sizeof(*t));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_barrier_init(&all_here, NULL, (unsigned)per_thread);
	for (long i = 0; i < per_thread; i++)
		if (pthread_create(&t[i], &attr, stay, NULL) != 0)
			abort();
	for (long i = 0; i < per_thread; i++)
		pthread_join(t[i], NULL);
	free(t);
	return 0;
}

static pthread_key_t last_words;

static void destroyed(void *p)
{
	static _Atomic int rounds;
	free(p);
	void *again = malloc(333);
	if (atomic_fetch_add(&rounds, 1) % 3 < 2)
		pthread_setspecific(last_words, again); /* a second and third round of destructors */
	else
		free(again);
}

static void *with_destructor(void *arg)
{
	pthread_setspecific(last_words, grab(222));
	return arg;
}

static int thread_destructors(char **argv)
{
	(void)argv;
	pthread_key_create(&last_words, destroyed);
	for (int i = 0; i < 20; i++)
		in_threads(32, with_destructor);
	return 0;
}

static void *deep(void *arg)
{
	char fill[64];
	memset(fill, (int)(intptr_t)arg, sizeof(fill));
	free(grab(44));
	keep = &fill;
	if ((intptr_t)arg > 0)
		deep((void *)((intptr_t)arg - 1));
	return keep == &fill ? NULL : arg;
}

static void *on_small_stack(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++)
		deep((void *)20);
	return NULL;
}

static int small_stacks(char **argv)
{
	(void)argv;
	pthread_attr_t attr;
	pthread_t t[20];
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN);
	for (int i = 0; i < 20; i++)
		if (pthread_create(&t[i], &attr, on_small_stack, NULL) != 0)
			return 1;
	for (int i = 0; i < 20; i++)
		pthread_join(t[i], NULL);
	return 0;
}

/* How much of a stack one call takes: the bytes that changed below its caller. The first call of a thread
 * takes more than the others, so both are told. */
enum { PAINTED = 32768 };
static _Alignas(4096) char painted[PAINTED];
static ucontext_t painter, on_painted;

static void call_once(void)
{
	free(grab(45));
}

static void call_from_main(void)
{
	call_once(); /* libc's own share is the same on any stack */
}

static uint64_t stack_taken(void)
{
	uint64_t left = 0;
	memset(painted, 0x5a, sizeof(painted));
	getcontext(&on_painted);
	on_painted.uc_stack.ss_sp = painted;
	on_painted.uc_stack.ss_size = sizeof(painted);
	on_painted.uc_link = &painter;
	makecontext(&on_painted, call_from_main, 0);
	swapcontext(&painter, &on_painted);
	while (left < PAINTED && painted[left] == 0x5a)
		left++;
	return PAINTED - left;
}

static void *take_stack(void *arg)
{
	atomic_store(&truth->n[TRUTH_ALLOCS], stack_taken()); /* with a slot to be claimed */
	atomic_store(&truth->n[TRUTH_FREES], stack_taken());
	return arg;
}

static int stack_use(char **argv)
{
	(void)argv;
	call_once();
	in_threads(1, take_stack);
	return 0;
}

/* Writes that go astray are caught: all that threads share, the library's own data and the segment's head and
 * lists of chunks, can only be read while calls are recorded. What is left to write to is the thread's own:
 * its block, its chunk, and its slot, which has cache lines of its own (wire.h). */
struct span {
	uintptr_t start, end;
};
static struct span shared[4];
static int n_shared;

static void share(uintptr_t start, uintptr_t end)
{
	shared[n_shared++] = (struct span){start & ~(uintptr_t)4095, (end + 4095) & ~(uintptr_t)4095};
}

static int find_library_data(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; strstr(info->dlpi_name, "libmscapture") && i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_W)
			share(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr,
				info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz);
	return 0;
}

static void find_segment(void)
{
	char line[512];
	uintptr_t base = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	while (!base && f && fgets(line, sizeof(line), f))
		if (strstr(line, "memfd:"))
			base = strtoul(line, NULL, 16);
	if (f)
		fclose(f);
	if (!base)
		return;
	share(base, base + MS_OFF_SLOTS);
	share(base + MS_OFF_BITMAP, base + MS_OFF_CHUNKS);
}

/* By the system call, which nobody records. */
static void protect(int protection)
{
	for (int i = 0; i < n_shared; i++)
		if (syscall(SYS_mprotect, shared[i].start, shared[i].end - shared[i].start, protection) < 0)
			abort();
}

static void call_at_depths(size_t size)
{
	for (intptr_t i = 0; i < 10; i++)
		deep((void *)i);
	void *p = realloc(grab(size), size + 1);
	free(p);
}

/* The first round is for what is done once for each place in the code: its rule of unwinding is looked up, and
 * is known to all threads from then on. */
static void *write_at_home(void *arg)
{
	enum { ROUNDS = 5 }; /* fewer than fill the chunk */
	for (int i = 0; i < ROUNDS; i++) {
		if (i == 1)
			protect(PROT_READ);
		call_at_depths(20056);
	}
	protect(PROT_READ | PROT_WRITE);
	return arg;
}

static int own_memory(char **argv)
{
	(void)argv;
	free(grab(46));
	find_segment();
	dl_iterate_phdr(find_library_data, NULL);
	atomic_store(&truth->n[TRUTH_PAIRS], (uint64_t)n_shared);
	in_threads(1, write_at_home); /* a thread of its own has a fresh chunk, with room for all of it */
	return 0;
}

static ucontext_t coro_main, coro[8];

static void coroutine(int id)
{
	for (int i = 0; i < 200; i++) {
		void *p = grab((size_t)(100 + id));
		swapcontext(&coro[id], &coro_main);
		free(p);
	}
}

static int coroutines(char **argv)
{
	(void)argv;
	enum { STACK = 32768, GUARD = 4096 };
	char *stack[8];
	for (int i = 0; i < 8; i++) {
		stack[i] = mmap(NULL, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(stack[i] + STACK, GUARD, PROT_NONE); /* whose reads go on beyond the outermost frame dies */
		getcontext(&coro[i]);
		coro[i].uc_stack.ss_sp = stack[i];
		coro[i].uc_stack.ss_size = STACK;
		coro[i].uc_link = &coro_main;
		makecontext(&coro[i], (void (*)(void))coroutine, 1, i);
	}
	for (int round = 0; round <= 200; round++)
		for (int i = 0; i < 8; i++)
			swapcontext(&coro_main, &coro[i]);
	for (int i = 0; i < 8; i++)
		munmap(stack[i], STACK + GUARD);
	free(grab(999));
	return 0;
}

static void *rename_self(void *arg)
{
	char name[16];
	snprintf(name, sizeof(name), "worker-%d", (int)(intptr_t)arg);
	free(grab(10));
	pthread_setname_np(pthread_self(), name);
	free(grab(10));
	return NULL;
}

static int thread_names(char **argv)
{
	(void)argv;
	in_threads(5, rename_self);
	return 0;
}

const struct victim_mode victim_threads[] = {
	{"threads", threads},
	{"short_threads", short_threads},
	{"many_threads", many_threads},
	{"thread_destructors", thread_destructors},
	{"small_stacks", small_stacks},
	{"stack_use", stack_use},
	{"own_memory", own_memory},
	{"coroutines", coroutines},
	{"thread_names", thread_names},
	{NULL, NULL},
};

/* Calls of the mapping layer, each with known arguments, and what must not be taken for them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <stdlib.h>
#include <unistd.h>

#include "victim_mode.h"

#define AT(offset) ((void *)(VICTIM_MAPS_AT + (offset)))
enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE };

/* Counts what is not as it should be: results, and errno kept where a call succeeds. */
static int n_wrong;
static void expect(int holds, int error)
{
	n_wrong += !holds || errno != error;
	errno = 77;
}

/* test_capture.c has the same list. */
static int maps(char **argv)
{
	int fd = open(argv[0], O_RDONLY | O_CLOEXEC);
	errno = 77;
	expect(mmap(AT(0), 3 * PAGE, RW, ANONYMOUS, -1, 0) == AT(0), 77);
	expect(mmap(AT(0x100000), 5000, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, PAGE) == AT(0x100000), 77);
	expect(mmap(NULL, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED, EINVAL);
	expect(munmap(AT(PAGE), PAGE) == 0, 77);
	expect(munmap((void *)1, PAGE) == -1, EINVAL);
	expect(mremap(AT(0), PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(0x200000)) == AT(0x200000), 77);
	expect(mprotect(AT(0x200000), PAGE, PROT_READ) == 0, 77);
	expect(madvise(AT(0x201000), PAGE, MADV_DONTNEED) == 0, 77);
	char *from = sbrk(2 * PAGE);
	expect(from != (void *)-1, 77);
	expect(sbrk(-PAGE) == from + 2 * PAGE, 77);
	expect(brk(from) == 0, 77);
	expect(brk((void *)1) == 0 && sbrk(0) == from, 77); /* too low: nothing happens, and glibc says 0 */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	expect(mmap(AT(0x300000), PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0) == AT(0x300000), 77);
	close(fd);
	return n_wrong;
}

/* malloc maps inside libc, threads their stacks, the loader a module: none of it is the program's call. */
static void *nothing(void *arg)
{
	return arg;
}

static int maps_unseen(char **argv)
{
	(void)argv;
	keep = malloc(8 << 20);
	free(keep);
	in_threads(4, nothing);
	return 0;
}

static void map_in_handler(int signal)
{
	(void)signal;
	int saved = errno;
	void *p = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	n_wrong += p == MAP_FAILED || munmap(p, PAGE) != 0;
	truth->n[TRUTH_SIGNAL]++;
	errno = saved;
}

/* Maps and unmaps while a handler does the same, in the middle of hooks too. */
static int maps_in_handlers(char **argv)
{
	struct itimerval timer = {{0, 100}, {0, 100}};
	struct sigaction action = {.sa_handler = map_in_handler, .sa_flags = SA_RESTART};
	long n = number(argv, 20000);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (long i = 0; i < n; i++) {
		void *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		n_wrong += p == MAP_FAILED || munmap(p, 2 * PAGE) != 0;
		truth->n[TRUTH_PAIRS]++;
	}
	timer = (struct itimerval){0};
	setitimer(ITIMER_REAL, &timer, NULL);
	return n_wrong != 0;
}

const struct victim_mode victim_mappings[] = {
	{"maps", maps},
	{"maps_unseen", maps_unseen},
	{"maps_in_handlers", maps_in_handlers},
	{NULL, NULL},
};

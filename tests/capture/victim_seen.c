/* What a program can see of us, and what it can do to us: limits, sandboxes, wild writes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "victim_mode.h"

static void print_status(const char *wanted)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, wanted, strlen(wanted)) == 0)
			fputs(line, stdout);
	if (f)
		fclose(f);
}

static int observes(char **argv)
{
	(void)argv;
	free(grab(1201));
	static const char *const wanted[] = {"Threads", "SigBlk", "SigIgn", "SigCgt", "ShdPnd"};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		print_status(wanted[i]);
	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("fd %d open\n", fd);
	errno = 0;
	free(grab(10));
	printf("errno %d, dlerror %s\n", errno, dlerror() ? "set" : "clear");
	void *p = grab(13);
	memset(p, 1, malloc_usable_size(p)); /* may write all of it */
	printf("usable %zu\n", malloc_usable_size(p));
	free(p);
	return 0;
}

static int limited(char **argv)
{
	struct rlimit r = {64 << 20, 64 << 20};
	free(grab(10));
	if (setrlimit(RLIMIT_AS, &r) < 0)
		return 1;
	static char next[] = "observes";
	char *const args[] = {argv[0], next, NULL};
	execv("/proc/self/exe", args);
	return 2;
}

static int no_tsc(char **argv)
{
	pid_t pid =
		fork(); /* the flag survives fork, not exec: so no heap call comes before it in the child */
	if (pid == 0) {
		prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
		for (int i = 0; i < 10; i++)
			free(grab(1301));
		_exit(6);
	}
	(void)argv;
	return reap(pid) == 6 ? 0 : 1;
}

/* From here on the kernel kills for any system call but write and exit: by a filter, or (1) by the strict
 * mode, which forbids the clock as well. */
static int sandboxed(char **argv)
{
	long n = 200000;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, filter};
	free(grab(1402));
	if (number(argv, 0)) {
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
			return 1;
	} else if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		return 1;
	}
	for (long i = 0; i < n; i++) {
		free(grab(1403));
		atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1);
	}
	syscall(SYS_exit, 0);
	return 1;
}

/* Random words over the shared arena, as a broken program might. */
static int scribbles(char **argv)
{
	char line[512];
	unsigned long lo = 0, hi = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	(void)argv;
	free(grab(10));
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "memfd:"))
			sscanf(line, "%lx-%lx", &lo, &hi);
	if (f)
		fclose(f);
	if (!lo)
		return 0;
	uint64_t x = 88172645463325252u;
	for (int i = 0; i < 20000; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		*(volatile uint64_t *)(lo + x / 16 % ((hi - lo) / (i % 2 ? 1 : 256)) / 8 * 8) =
			x * 0x9e3779b97f4a7c15u;
		if (i % 10 == 0)
			free(grab(100));
	}
	return 0;
}

const struct victim_mode victim_seen[] = {
	{"observes", observes},
	{"limited", limited},
	{"no_tsc", no_tsc},
	{"sandboxed", sandboxed},
	{"scribbles", scribbles},
	{NULL, NULL},
};

/* Prints all that a program can easily see of itself and its surroundings, before its first heap call of its
 * own and after many: natively and recorded it must see the same. The two variables that msrecord adds to the
 * environment (README) are left out, and so are addresses, times and ids of processes. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int first_errno = -1;
static char out[1 << 20]; /* a buffer that stdio need not ask the heap for */

__attribute__((constructor)) static void begin(void)
{
	first_errno = errno;
}

static void print_lines(const char *path, const char *const *wanted)
{
	char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		for (const char *const *w = wanted; *w; w++)
			if (strncmp(line, *w, strlen(*w)) == 0)
				printf("%s\n", line);
}

static void print_status(void)
{
	static const char *const wanted[] = {"Name", "Umask", "TracerPid", "Uid", "Gid", "Groups", "Threads",
		"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Cap", "NoNewPrivs", "Seccomp", "Cpus_allowed_list",
		"Mems_allowed_list", "CoreDumping", NULL};
	static const char *const any[] = {"", NULL};
	print_lines("/proc/self/status", wanted);
	print_lines("/proc/self/timers", any);
	print_lines("/proc/self/cmdline", any);
	print_lines("/proc/self/oom_score_adj", any);
	print_lines("/proc/self/coredump_filter", any);
	print_lines("/proc/thread-self/children", any);
}

static void print_handlers(void)
{
	struct sigaction action;
	stack_t alternate;
	sigset_t blocked;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	for (int sig = 1; sig < NSIG; sig++)
		if (sigaction(sig, NULL, &action) == 0)
			printf("signal %d: %s flags %x, %s\n", sig,
				action.sa_handler == SIG_DFL       ? "default"
					: action.sa_handler == SIG_IGN ? "ignored"
								       : "handled",
				(unsigned)action.sa_flags, sigismember(&blocked, sig) ? "blocked" : "open");
	sigaltstack(NULL, &alternate);
	printf("alternate stack: flags %x\n", (unsigned)alternate.ss_flags);
}

static void print_descriptors(void)
{
	struct stat st;
	for (int fd = 0; fd < 1024; fd++)
		if (fstat(fd, &st) == 0)
			printf("descriptor %d: type %o, flags %x %x\n", fd, (unsigned)st.st_mode & S_IFMT,
				(unsigned)fcntl(fd, F_GETFL), (unsigned)fcntl(fd, F_GETFD));
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	printf("next descriptor: %d\n", next);
	close(next);
}

static void print_limits(void)
{
	struct rlimit limit;
	struct itimerval timer;
	cpu_set_t cpus;
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (getrlimit((__rlimit_resource_t)i, &limit) == 0)
			printf("limit %d: %lx %lx\n", i, (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
	for (int i = ITIMER_REAL; i <= ITIMER_PROF; i++)
		if (getitimer((__itimer_which_t)i, &timer) == 0)
			printf("timer %d: %ld %ld\n", i, timer.it_value.tv_sec, timer.it_interval.tv_sec);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	printf("priority %d, policy %d, %d processors\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0),
		CPU_COUNT(&cpus));
}

static void print_switches(void)
{
	int death = -1, reaper = -1, tsc = -1;
	prctl(PR_GET_PDEATHSIG, &death);
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	prctl(PR_GET_TSC, &tsc);
	printf("death signal %d, reaper %d, tsc %d, dumpable %d, slack %d, no new privileges %d\n", death, reaper, tsc,
		prctl(PR_GET_DUMPABLE), prctl(PR_GET_TIMERSLACK), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	printf("personality %x, secure %lu, group %s, session %s\n", (unsigned)personality(0xffffffff), getauxval(AT_SECURE),
		getpgrp() == getpid() ? "own" : "inherited", getsid(0) == getpid() ? "own" : "inherited");
}

static void print_places(char **argv)
{
	char path[4096] = "";
	mode_t mask = umask(0);
	umask(mask);
	printf("directory %s, umask %o\n", getcwd(path, sizeof(path)) ? path : "?", (unsigned)mask);
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	printf("program %s as %s, %s\n", path, argv[0], program_invocation_name);
}

static void print_environment(void)
{
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "LD_PRELOAD=", 11) != 0 && strncmp(*e, "MSTRACE_SOCKET=", 15) != 0)
			printf("%s\n", *e);
	printf("locale %s, %s, point %s\n", setlocale(LC_ALL, NULL), nl_langinfo(CODESET), localeconv()->decimal_point);
}

static void print_state(char **argv)
{
	print_status();
	print_handlers();
	print_descriptors();
	print_limits();
	print_switches();
	print_places(argv);
	print_environment();
	printf("children: %s, dlerror: %s\n", waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? "none" : "some",
		dlerror() ? "set" : "clear");
}

/* One line for a call: was there a block, how large is it, where in its page, errno. */
static void *say(const char *call, void *p)
{
	int error = errno;
	printf("%s: %s, usable %zu, alignment %lu, errno %d\n", call, p ? "block" : "NULL", malloc_usable_size(p),
		(unsigned long)((uintptr_t)p & -(uintptr_t)p) % 4096, error);
	errno = 77;
	return p;
}

static void call_everything(void)
{
	volatile size_t huge = SIZE_MAX / 2 + 2, bad = 3;
	void *p = NULL;
	errno = 77;
	free(say("malloc", malloc(100)));
	say("free", NULL);
	free(say("malloc 0", malloc(bad - 3)));
	say("malloc huge", malloc(huge));
	free(say("calloc", calloc(7, 30)));
	say("calloc overflow", calloc(huge, 2));
	p = say("realloc NULL", realloc(NULL, 50));
	p = say("realloc", realloc(p, 5000));
	say("realloc 0", realloc(p, bad - 3));
	free(say("reallocarray", reallocarray(NULL, 9, 9)));
	say("reallocarray overflow", reallocarray(NULL, huge, 2));
	printf("posix_memalign bad: %d\n", posix_memalign(&p, bad, 10));
	printf("posix_memalign: %d\n", posix_memalign(&p, 512, 10));
	free(say("posix_memalign", p));
	free(say("aligned_alloc", aligned_alloc(128, 256)));
	say("aligned_alloc huge", aligned_alloc(64, huge));
	free(say("memalign", memalign(1024, 10)));
	free(say("valloc", valloc(10)));
	free(say("pvalloc", pvalloc(10)));
	free(say("strdup", strdup("text")));
	free(NULL);
	say("free NULL", NULL);
}

static void *in_thread(void *arg)
{
	for (int i = 0; i < 1000; i++)
		free(say("in a thread", malloc((size_t)i)));
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;
	(void)argc;
	setvbuf(stdout, out, _IOFBF, sizeof(out));
	printf("errno at the start: %d\n", first_errno);
	print_state(argv);
	setlocale(LC_ALL, "");
	call_everything();
	/* A thread's table of thread-local storage has 16 bytes for every module that uses any, so for ours, too:
	 * nothing else is on the heap that would not be natively. */
	struct mallinfo2 info = mallinfo2();
	printf("heap: %zu in use, %zu mapped\n", info.uordblks, info.hblkhd);
	if (pthread_create(&t, NULL, in_thread, NULL) != 0 || pthread_join(t, NULL) != 0)
		return 1;
	print_state(argv);
	return 0;
}

/* fail_syscalls [--wrap=POOL] PASS MSRECORD TARGET DIR [EVERY [FIRST [LAST]]]: the k-th system call of msrecord fails, for every
 * k (or every EVERYth from FIRST to LAST), while it records TARGET; and what follows is judged.
 *
 * PASS says how a call fails:
 *	plausible  as its kind does when a resource is out: ENOSPC, EMFILE, ENOMEM, EIO, ...
 *	denied     EPERM, as in a sandbox
 *	interrupted EINTR, for calls that can be
 *	lasting    as plausible, and every later call of that number with it; k counts the numbers that occur
 *
 * All threads of msrecord and the children it forks are traced (ptrace) from its entry point on, so that calls of
 * libc, libdw and the symbol parser count as well; the command is let go when it has got to its exec. No preloaded
 * shim: that would be inherited, and see the calls of libc only. Not counted are calls that a sanitizer's runtime makes for
 * itself: without the memory it asks for it aborts, whatever msrecord does.
 *
 * Whatever fails: msrecord ends, not by a signal; the command either never runs (then msrecord fails and leaves no
 * file) or ends with its own output and status; a file is sound as far as it goes; and unless it is complete, with
 * every event, standard error tells why (msrecord is told to be quiet otherwise).
 *
 * Exit 0: all is as it should be; 1: not; 2: could not test; 77: no ptrace here. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "recorded_right.h"

enum { TRACEES_MAX = 64, TIMEOUT_S = 300, NUMBERS_MAX = 512 };

enum pass { PLAUSIBLE, DENIED, INTERRUPTED, LASTING };
static const char *const pass_names[] = {"plausible", "denied", "interrupted", "lasting"};

/* ---- which error --------------------------------------------------------------------------------------- */

struct kind {
	long number;
	const char *name;
	int plausible; /* 0: EPERM; -1: never fails */
	bool is_interruptible;
};

#define KIND(name, error, interruptible) {SYS_##name, #name, error, interruptible}
static const struct kind kinds[] = {
	KIND(read, EIO, true), KIND(write, ENOSPC, true), KIND(open, EMFILE, true), KIND(close, EIO, true),
	KIND(stat, EACCES, false), KIND(fstat, ENOMEM, false), KIND(lstat, EACCES, false),
	KIND(newfstatat, EACCES, false), KIND(statx, EACCES, false), KIND(poll, ENOMEM, true), KIND(lseek, EINVAL, false),
	KIND(mmap, ENOMEM, false), KIND(mprotect, ENOMEM, false), KIND(munmap, ENOMEM, false), KIND(mremap, ENOMEM, false),
	KIND(brk, ENOMEM, false), KIND(madvise, EINVAL, false), KIND(rt_sigaction, EINVAL, false),
	KIND(rt_sigprocmask, EINVAL, false), KIND(ioctl, ENOTTY, false), KIND(pread64, EIO, true),
	KIND(access, EACCES, false), KIND(pipe2, EMFILE, false), KIND(socket, EMFILE, false), KIND(bind, EADDRINUSE, false),
	KIND(listen, ENOMEM, false), KIND(connect, ECONNREFUSED, true), KIND(accept4, EMFILE, true),
	KIND(sendmsg, ENOBUFS, true), KIND(recvmsg, ENOMEM, true), KIND(sendto, ENOBUFS, true), KIND(recvfrom, ENOMEM, true),
	KIND(socketpair, EMFILE, false), KIND(setsockopt, ENOMEM, false), KIND(getsockopt, ENOMEM, false),
	KIND(clone, EAGAIN, false), KIND(clone3, EAGAIN, false), KIND(fork, EAGAIN, false), KIND(execve, ENOMEM, false),
	KIND(wait4, ECHILD, true), KIND(kill, EPERM, false), KIND(uname, EFAULT, false), KIND(fcntl, EINVAL, false),
	KIND(ftruncate, EFBIG, true), KIND(getdents64, ENOMEM, false), KIND(getcwd, ENOENT, false), KIND(rename, EACCES, false),
	KIND(mkdir, ENOSPC, false), KIND(rmdir, EBUSY, false), KIND(unlink, EACCES, false), KIND(symlink, ENOSPC, false),
	KIND(readlink, EACCES, false), KIND(readlinkat, EACCES, false), KIND(openat, EMFILE, true),
	KIND(memfd_create, ENFILE, false), KIND(epoll_create1, EMFILE, false), KIND(epoll_ctl, ENOSPC, false),
	KIND(epoll_wait, EINTR, true), KIND(eventfd2, EMFILE, false), KIND(prlimit64, EPERM, false),
	KIND(getrandom, ENOSYS, true), KIND(pidfd_open, EMFILE, false), KIND(set_robust_list, ENOSYS, false),
	KIND(membarrier, ENOSYS, false), KIND(sched_getaffinity, EPERM, false), KIND(prctl, EINVAL, false),
	KIND(close_range, ENOSYS, false), KIND(dup2, EBUSY, true), KIND(getuid, -1, false), KIND(geteuid, -1, false),
	KIND(sched_yield, -1, false), KIND(arch_prctl, EINVAL, false), KIND(rseq, -1, false), /* libc aborts */
	/* of a futex, libc and we take nothing but a spurious end of a wait: other errors are aborts in libc */
	KIND(futex, EAGAIN, true), KIND(futex_waitv, ENOSYS, true),
	/* these do not fail */
	KIND(exit, -1, false), KIND(exit_group, -1, false), KIND(rt_sigreturn, -1, false), KIND(getpid, -1, false),
	KIND(gettid, -1, false), KIND(set_tid_address, -1, false), KIND(restart_syscall, -1, false),
};

static const struct kind *kind_of(long number)
{
	static struct kind other;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].number == number)
			return &kinds[i];
	other = (struct kind){number, "another", 0, false};
	return &other;
}

/* 0: in this pass a call of that number does not fail. */
static int error_for(enum pass pass, const struct kind *k)
{
	if (k->plausible < 0)
		return 0;
	if (pass == INTERRUPTED)
		return k->is_interruptible ? EINTR : 0;
	if (pass == DENIED)
		return k->number == SYS_futex ? 0 : EPERM;
	if (pass == LASTING && (k->number == SYS_futex || k->number == SYS_wait4))
		return 0; /* a wait that never ends */
	if (pass == LASTING && k->number == SYS_epoll_wait)
		return EINVAL;
	return k->plausible ? k->plausible : EPERM;
}

/* ---- tracing -------------------------------------------------------------------------------------------- */

struct tracee {
	pid_t tid;
	bool is_in_call, is_failing, is_child; /* of msrecord's, by fork */
	int error;
	long number;
};

static struct injection {
	enum pass pass;
	long at, count; /* fails when count gets there */
	long lasting;	/* the number whose calls all fail, or -1 */
	bool seen[NUMBERS_MAX];
	bool has_failed;
	long number;
	int error;
	bool is_in_child;
} injection;

static struct tracee tracees[TRACEES_MAX];

static struct tracee *tracee_of(pid_t tid)
{
	struct tracee *free_one = NULL;
	for (size_t i = 0; i < TRACEES_MAX; i++) {
		if (tracees[i].tid == tid)
			return &tracees[i];
		if (!tracees[i].tid && !free_one)
			free_one = &tracees[i];
	}
	if (!free_one)
		abort();
	*free_one = (struct tracee){.tid = tid};
	return free_one;
}

/* ---- a sanitizer's runtime ------------------------------------------------------------------------------ */

enum { RANGES_MAX = 64 };

static struct range { /* of addresses in which its code lies, in msrecord and what it forks */
	uint64_t start, end;
} runtime[RANGES_MAX];
static size_t n_runtime;

static void find_runtime(pid_t pid)
{
	static const char *const names[] = {"/libasan.so", "/libubsan.so", "/libtsan.so", "/liblsan.so"};
	char path[64], line[4352];
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	FILE *f = fopen(path, "r");
	n_runtime = 0;
	while (f && fgets(line, sizeof line, f))
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			struct range r;
			if (strstr(line, names[i]) && n_runtime < RANGES_MAX &&
				sscanf(line, "%" SCNx64 "-%" SCNx64, &r.start, &r.end) == 2)
				runtime[n_runtime++] = r;
		}
	if (f)
		fclose(f);
}

/* Its own call, or one that libc makes for it? */
static bool is_of_runtime(long number, uint64_t ip)
{
	if (n_runtime && (number == SYS_sigaltstack || number == SYS_sched_getaffinity))
		return true;
	for (size_t i = 0; i < n_runtime; i++)
		if (ip >= runtime[i].start && ip < runtime[i].end)
			return true;
	return false;
}

/* Its search for leaks cannot do its work under ptrace, and says so by failing. */
static void forbid_leak_search(void)
{
	const char *said = getenv("ASAN_OPTIONS");
	char options[1024];
	snprintf(options, sizeof options, "%s%sdetect_leaks=0", said ? said : "", said ? ":" : "");
	setenv("ASAN_OPTIONS", options, 1);
}

/* ---- calls ---------------------------------------------------------------------------------------------- */

static bool is_its_turn(long number)
{
	struct injection *in = &injection;
	if (in->pass != LASTING)
		return ++in->count == in->at;
	if (in->lasting >= 0)
		return number == in->lasting;
	if (number >= NUMBERS_MAX || in->seen[number])
		return false;
	in->seen[number] = true;
	if (++in->count != in->at)
		return false;
	in->lasting = number;
	return true;
}

static void enter_call(struct tracee *t)
{
	struct user_regs_struct regs;
	if (ptrace(PTRACE_GETREGS, t->tid, 0, &regs))
		return;
	const struct kind *kind = kind_of((long)regs.orig_rax);
	int error = error_for(injection.pass, kind);
	if (kind->number == SYS_futex && (regs.rsi & 0x7f) != 0 && (regs.rsi & 0x7f) != 9)
		error = 0; /* a wake */
	if (is_of_runtime(kind->number, regs.rip))
		error = 0;
	t->is_in_call = true;
	t->is_failing = error && is_its_turn(kind->number);
	if (!t->is_failing)
		return;
	t->error = error;
	t->number = kind->number;
	if (!injection.has_failed) {
		injection.has_failed = true;
		injection.number = kind->number;
		injection.error = error;
		injection.is_in_child = t->is_child;
	}
	if (kind->number == SYS_close)
		return; /* fails after the deed, as the kernel's does */
	regs.orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, t->tid, 0, &regs);
}

static void leave_call(struct tracee *t)
{
	struct user_regs_struct regs;
	t->is_in_call = false;
	if (!t->is_failing || ptrace(PTRACE_GETREGS, t->tid, 0, &regs))
		return;
	t->is_failing = false;
	regs.rax = t->number == SYS_brk ? 0 : (unsigned long long)-(long long)t->error;
	ptrace(PTRACE_SETREGS, t->tid, 0, &regs);
}

/* Lets the program run from its exec to its entry point, past the dynamic linker. */
static bool go_to_entry(pid_t pid)
{
	char path[64];
	Elf64_auxv_t aux;
	int status;
	snprintf(path, sizeof path, "/proc/%d/auxv", (int)pid);
	FILE *f = fopen(path, "r");
	uint64_t entry = 0;
	while (f && fread(&aux, sizeof aux, 1, f) == 1)
		if (aux.a_type == AT_ENTRY)
			entry = aux.a_un.a_val;
	if (f)
		fclose(f);
	if (!entry)
		return false;
	long code = ptrace(PTRACE_PEEKTEXT, pid, entry, 0);
	ptrace(PTRACE_POKETEXT, pid, entry, (code & ~0xffl) | 0xcc);
	ptrace(PTRACE_CONT, pid, 0, 0);
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
		return false;
	ptrace(PTRACE_POKETEXT, pid, entry, code);
	struct user_regs_struct regs;
	ptrace(PTRACE_GETREGS, pid, 0, &regs);
	regs.rip = entry;
	ptrace(PTRACE_SETREGS, pid, 0, &regs);
	return true;
}

static volatile sig_atomic_t is_out_of_time;

static void ring(int sig)
{
	(void)sig;
	is_out_of_time = 1;
}

/* One stop of a tracee. */
static void attend(pid_t tid, int status, pid_t recorder)
{
	struct tracee *t = tracee_of(tid);
	int sig = WSTOPSIG(status), event = status >> 16;
	if (sig == (SIGTRAP | 0x80)) {
		if (t->is_in_call)
			leave_call(t);
		else
			enter_call(t);
		sig = 0;
	} else if (event == PTRACE_EVENT_EXEC) {
		/* the command: its calls are its own */
		if (tid != recorder) {
			t->tid = 0;
			ptrace(PTRACE_DETACH, tid, 0, 0);
			return;
		}
		sig = 0;
	} else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
		unsigned long child = 0;
		ptrace(PTRACE_GETEVENTMSG, tid, 0, &child);
		tracee_of((pid_t)child)->is_child = true;
		sig = 0;
	} else if (event || sig == SIGSTOP) {
		sig = 0; /* a thread's or child's first stop, and the like */
	}
	ptrace(PTRACE_SYSCALL, tid, 0, sig);
}

/* Follows msrecord and what it leaves behind to the end of all. Its wait status; -1: it did not end. */
static int follow(pid_t recorder)
{
	int result = -1, status;
	alarm(TIMEOUT_S);
	ptrace(PTRACE_SYSCALL, recorder, 0, 0);
	while (!is_out_of_time) {
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == ECHILD)
			break;
		if (tid < 0)
			continue;
		if (WIFSTOPPED(status)) {
			attend(tid, status, recorder);
			continue;
		}
		tracee_of(tid)->tid = 0;
		if (tid == recorder)
			result = status;
	}
	alarm(0);
	return is_out_of_time ? -1 : result;
}

static pid_t start(char **argv, const char *dir)
{
	pid_t pid = fork();
	if (pid)
		return pid;
	int out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600), err = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	setenv("TMPDIR", dir, 1);
	forbid_leak_search();
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(out, 1);
	dup2(err, 2);
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	execv(argv[0], argv);
	_exit(99);
}

/* Ends all that is left, which is ours: we are the reaper of every descendant. */
static void sweep(void)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	const struct timespec moment = {.tv_nsec = 1000000};
	for (int i = 0; i < 1000; i++) {
		FILE *f = fopen(path, "r");
		int pid, n = 0;
		while (f && fscanf(f, "%d", &pid) == 1) {
			kill(pid, SIGKILL);
			n++;
		}
		if (f)
			fclose(f);
		if (!n)
			return;
		while (waitpid(-1, NULL, __WALL | WNOHANG) > 0)
			;
		nanosleep(&moment, NULL);
	}
}

/* ---- one recording --------------------------------------------------------------------------------------- */

static int run_once(char **argv, const char *dir, enum pass pass, long at, struct mst_outcome *o)
{
	memset(tracees, 0, sizeof tracees);
	injection = (struct injection){.pass = pass, .at = at, .lasting = -1};
	is_out_of_time = 0;
	outcome_clean_up();
	pid_t pid = start(argv, dir);
	int status;
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return 77;
	ptrace(PTRACE_SETOPTIONS, pid, 0,
		PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
			PTRACE_O_EXITKILL);
	if (!go_to_entry(pid))
		return 2;
	find_runtime(pid);
	int result = follow(pid);
	sweep();
	outcome_read(o, result);
	o->is_mute = injection.lasting == SYS_write;
	return 0;
}

static bool judge(const struct mst_outcome *o, const struct mst_outcome *reference, long k)
{
	char what[256];
	bool right = outcome_is_right(o, reference, what, sizeof what);
	/* a directory whose own removal has failed stays behind */
	if (right && o->has_leftovers && injection.number != SYS_unlink && injection.number != SYS_rmdir &&
		injection.number != SYS_rename) {
		snprintf(what, sizeof what, "its directory is left behind");
		right = false;
	}
	if (!right)
		printf("%s %ld: %s fails with %s%s: %s\n%s", pass_names[injection.pass], k, kind_of(injection.number)->name,
			strerrorname_np(injection.error), injection.is_in_child ? " in a child" : "", what, o->messages);
	fflush(stdout);
	return right;
}

int main(int argc, char **argv)
{
	char *wrap = argc > 1 && strncmp(argv[1], "--wrap=", 7) == 0 ? argv[1] : NULL; /* msrecord's */
	if (wrap) {
		argv++;
		argc--;
	}
	enum pass pass = PLAUSIBLE;
	if (argc < 5)
		return 2;
	while (strcmp(argv[1], pass_names[pass]) != 0)
		if (++pass > LASTING)
			return 2;
	long every = argc > 5 ? atol(argv[5]) : 1, first = argc > 6 ? atol(argv[6]) : 1, last = argc > 7 ? atol(argv[7]) : 0;
	for (int i = 2; i < 4; i++)
		if (!(argv[i] = realpath(argv[i], NULL)))
			return 2;
	mkdir(argv[4], 0700);
	if (every < 1 || first < 1 || chdir(argv[4]))
		return 2;
	char *dir = get_current_dir_name();
	char *command[] = {argv[2], (char[]){"-qf"}, (char[]){"-o"}, (char[]){OUTCOME_TRACE}, wrap ? wrap : (char[]){"-q"},
		(char[]){"--"}, argv[3], NULL, NULL};
	struct sigaction alarm_action = {.sa_handler = ring};
	sigaction(SIGALRM, &alarm_action, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	unsigned n_points = 0, n_wrong = 0;
	for (int with_status = 0; with_status < 2; with_status++) {
		struct mst_outcome reference;
		command[7] = (char[][2]){"5", "0"}[with_status];
		int rc = run_once(command, dir, pass, 0, &reference);
		if (rc)
			return rc;
		if (!outcome_is_complete(&reference)) {
			printf("without a fault: not a complete recording\n%s", reference.messages);
			return 2;
		}
		/* each of the two programs meets half of the calls */
		for (long k = first + with_status * every; !last || k <= last; k += 2 * every) {
			struct mst_outcome o;
			if (run_once(command, dir, pass, k, &o))
				return 2;
			if (!injection.has_failed)
				break;
			n_points++;
			n_wrong += !judge(&o, &reference, k);
		}
	}
	printf("%s: %u calls failed one by one, %u times with a wrong outcome\n", pass_names[pass], n_points, n_wrong);
	free(dir);
	return n_wrong != 0;
}

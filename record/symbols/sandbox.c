/* See sandbox.h. Unlisted system calls fail with EPERM rather than kill: that grants no more, and a library that tries
 * something optional goes on without it. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "file_broker.h"

static int broker_socket = -1; /* of this process; the signal handler has no other way to know */

/* A system call that opens a file was stopped: ask the broker, and return from it with the answer. */
static void open_by_broker(int signal, siginfo_t *info, void *context)
{
	ucontext_t *ctx = context;
	greg_t *regs = ctx->uc_mcontext.gregs;
	int saved_errno = errno;
	uintptr_t path = (uintptr_t)(info->si_syscall == SYS_open ? regs[REG_RDI] : regs[REG_RSI]);

	(void)signal;
	regs[REG_RAX] = ms_broker_ask(broker_socket, (const char *)path);
	errno = saved_errno;
}

static int forget_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &sa, NULL); /* fails for KILL and STOP, which have no handlers */
	/* A Ctrl-C is for the recorder, which then decides. */
	sa.sa_handler = SIG_IGN;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGQUIT, &sa, NULL);
	sa = (struct sigaction){ .sa_sigaction = open_by_broker, .sa_flags = SA_SIGINFO };
	if (sigaction(SIGSYS, &sa, NULL) < 0)
		return -errno;
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static int compare_fd(const void *left, const void *right)
{
	return *(const int *)left - *(const int *)right;
}

/* A sanitizer's report is worth more than silence. */
#ifdef __has_feature /* clang */
#define HAS_SANITIZER (__has_feature(address_sanitizer) || __has_feature(memory_sanitizer))
#else
#define HAS_SANITIZER 0
#endif
#if HAS_SANITIZER || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { KEEPS_STDERR = 1 };
#else
enum { KEEPS_STDERR = 0 };
#endif

int ms_sandbox_close_descriptors(const int *keep, size_t n)
{
	int sorted[8], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned from = 3;

	if (null < 0 || n > sizeof(sorted) / sizeof(sorted[0]))
		return null < 0 ? -errno : -EINVAL;
	memcpy(sorted, keep, n * sizeof(*keep));
	qsort(sorted, n, sizeof(*sorted), compare_fd);
	for (int fd = 0; fd < 3 - KEEPS_STDERR; fd++) {
		if (!bsearch(&fd, sorted, n, sizeof(*sorted), compare_fd) && dup2(null, fd) < 0)
			return -errno;
	}
	for (size_t i = 0; i < n; i++) {
		if (sorted[i] < 3)
			continue;
		if ((unsigned)sorted[i] > from)
			syscall(SYS_close_range, from, (unsigned)sorted[i] - 1, 0);
		from = (unsigned)sorted[i] + 1;
	}
	syscall(SYS_close_range, from, ~0u, 0); /* an old kernel without it leaves them open: close-on-exec, no exec */
	return 0;
}

static uint64_t address_space_bytes(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%llu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int set_limit(__rlimit_resource_t which, uint64_t soft, uint64_t hard)
{
	struct rlimit old, limit = { .rlim_cur = soft, .rlim_max = hard };

	if (getrlimit(which, &old) < 0)
		return -errno;
	/* Never above what is there already. */
	if (limit.rlim_max > old.rlim_max)
		limit.rlim_max = old.rlim_max;
	if (limit.rlim_cur > old.rlim_cur)
		limit.rlim_cur = old.rlim_cur;
	return setrlimit(which, &limit) < 0 ? -errno : 0;
}

static int set_limits(const struct ms_sandbox_limits *limits)
{
	/* Only the soft limit of memory: the parent raises it for each file it opens for us, which we cannot. */
	int rc = set_limit(RLIMIT_AS, address_space_bytes() + limits->memory_bytes, RLIM_INFINITY);

	if (rc == 0)
		rc = set_limit(RLIMIT_CPU, limits->cpu_seconds, limits->cpu_seconds);
	if (rc == 0)
		rc = set_limit(RLIMIT_CORE, 0, 0);
	return rc == 0 ? set_limit(RLIMIT_FSIZE, 0, 0) : rc;
}

#define SYSCALL_FIELD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define ARGUMENT(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, args[i]))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), RETURN(SECCOMP_RET_ALLOW)
#define TRAP(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), RETURN(SECCOMP_RET_TRAP)
/* Allow when argument i has none of the bits; the next instruction sees the call's number again. */
#define ALLOW_WITHOUT(name, i, bits)                                                                         \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4), ARGUMENT(i),                                  \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), 1, 0), RETURN(SECCOMP_RET_ALLOW),               \
		RETURN(SECCOMP_RET_ERRNO | EPERM)
#define ALLOW_EQUAL(name, i, value)                                                                          \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4), ARGUMENT(i),                                  \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), 0, 1), RETURN(SECCOMP_RET_ALLOW),     \
		RETURN(SECCOMP_RET_ERRNO | EPERM)

static int close_sandbox(int broker)
{
	struct sock_filter filter[] = {
		SYSCALL_FIELD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		SYSCALL_FIELD(nr), /* x32's numbers are none of those below */
		ALLOW(read), ALLOW(pread64), ALLOW(write), ALLOW(close), ALLOW(lseek), ALLOW(fstat),
		ALLOW(newfstatat), ALLOW(readlink), ALLOW(readlinkat), /* libdw finds .dwo files beside the file */
		TRAP(open), TRAP(openat),
		ALLOW_EQUAL(sendto, 0, broker), ALLOW_EQUAL(recvmsg, 0, broker),
		ALLOW_WITHOUT(mmap, 2, PROT_EXEC), ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
		ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(brk),
		ALLOW_EQUAL(fcntl, 1, F_GETFD), /* libelf asks whether a descriptor is one */
		ALLOW(futex), ALLOW(getrandom), ALLOW(clock_gettime), ALLOW(gettid), ALLOW(getpid), ALLOW(sched_yield),
		ALLOW(rt_sigreturn), ALLOW(rt_sigaction), ALLOW(rt_sigprocmask), ALLOW(sigaltstack),
		ALLOW(exit), ALLOW(exit_group),
		RETURN(SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 && errno != EINVAL && errno != ENOSYS)
		return -errno;
	return 0;
}

int ms_sandbox_enter(const struct ms_sandbox_limits *limits, int broker, const int *keep, size_t n)
{
	int rc = ms_sandbox_close_descriptors(keep, n);

	broker_socket = broker;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0); /* nor can another process of the user look in */
	if (rc == 0)
		rc = forget_signals();
	if (rc == 0)
		rc = set_limits(limits);
	return rc == 0 ? close_sandbox(broker) : rc;
}

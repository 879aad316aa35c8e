/* target_sandbox kill|errno HOW prctl|syscall: allocates, locks itself in as a program does that needs memory only, and
 * allocates on. The filter forbids what such a program never calls. Exit status 5, 77 if there can be no filter here.
 *	here, thread, fork, exec, become	what it does locked in
 *	first		locks itself in before it allocates for the first time
 *	waiting		a thread allocates for the first time when the program is locked in
 *	child		so does a forked child when it is locked in, before its parent is
 * The last three forbid what threads and forks need, too. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned forbidden[] = {SYS_socket, SYS_connect, SYS_sendto, SYS_recvmsg, SYS_open, SYS_readlink, SYS_prctl,
	SYS_process_vm_readv, SYS_get_robust_list, SYS_kcmp, SYS_fcntl, SYS_memfd_create, SYS_sigaltstack, SYS_nanosleep,
	SYS_clock_gettime, SYS_getppid, SYS_faccessat, SYS_fgetxattr, SYS_rt_sigprocmask, SYS_gettid};
enum { N_FORBIDDEN = sizeof(forbidden) / sizeof(*forbidden), N_OF_THREADS = 2 };

static unsigned action;
static int is_by_prctl, is_by_one;

static void lock_in(void)
{
	struct sock_filter f[2 * N_FORBIDDEN + 2];
	unsigned short n = 0;
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < N_FORBIDDEN - (is_by_one ? 0 : N_OF_THREADS); i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, forbidden[i], 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {n, f};
	/* Asking whether there are filters is no filter. */
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		exit(77);
	if (is_by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)
			: (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
		exit(77);
}

static void *churn(void *arg)
{
	for (size_t i = 0; i < 10000; i++) {
		void *volatile p = malloc(10 + i % 1000);
		free(p);
	}
	return arg;
}

static int follow(const char *how, char *self)
{
	pthread_t thread;
	pid_t child;
	int status = 0;
	if (strcmp(how, "thread") == 0)
		return pthread_create(&thread, NULL, churn, NULL) || pthread_join(thread, NULL);
	if (strcmp(how, "here") == 0)
		return 0;
	if (strcmp(how, "become") == 0) { /* in the PATH */
		*strrchr(self, '/') = '\0';
		setenv("PATH", self, 1);
		execlp("target_sandbox", "target_sandbox", "end", "5", (char *)NULL);
		return 1;
	}
	child = fork();
	if (child == 0) {
		churn(NULL);
		if (strcmp(how, "exec") == 0)
			execl("/proc/self/exe", "target_sandbox", "end", "4", (char *)NULL);
		_exit(4);
	}
	return waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 4;
}

static int say_done(int status)
{
	return write(STDOUT_FILENO, "done\n", 5) == 5 ? status : 98;
}

static _Atomic int is_waiting, is_locked;

static void *wait_for_lock(void *arg)
{
	is_waiting = 1;
	while (!is_locked)
		usleep(1000);
	churn(arg);
	_exit(say_done(5));
}

static int start_thread_and_lock_in(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, wait_for_lock, NULL))
		return 8;
	while (!is_waiting) /* or it would be stopped by what libc does in a thread that begins */
		usleep(1000);
	lock_in();
	is_locked = 1;
	for (;;)
		pause();
}

static int child_locked_in(void)
{
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		lock_in();
		churn(NULL);
		_exit(4);
	}
	return waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 4;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return argv[2][0] == '5' ? say_done(5) : atoi(argv[2]);
	if (argc < 4 || !strrchr(argv[0], '/'))
		return 99;
	action = strcmp(argv[1], "kill") == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | 1u;
	is_by_prctl = strcmp(argv[3], "prctl") == 0;
	is_by_one = strcmp(argv[2], "first") == 0 || strcmp(argv[2], "waiting") == 0 || strcmp(argv[2], "child") == 0;
	if (strcmp(argv[2], "first") != 0)
		churn(NULL);
	if (strcmp(argv[2], "waiting") == 0)
		return start_thread_and_lock_in();
	if (strcmp(argv[2], "child") == 0 && child_locked_in())
		return 9;
	lock_in();
	churn(NULL);
	if (!is_by_one && follow(argv[2], argv[0]))
		return 9;
	churn(NULL);
	return say_done(5);
}

/* See spawn.h. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define PRELOAD "LD_PRELOAD="

enum { STATUS_UNKNOWN = 125 };

/* ---- the child -------------------------------------------------------------------------------------- */

/* "LD_PRELOAD=ours:theirs". malloc'ed, or NULL. */
static char *preload_variable(const char *library)
{
	const char *theirs = getenv("LD_PRELOAD");
	size_t room = sizeof PRELOAD + strlen(library) + 1 + (theirs ? strlen(theirs) : 0);
	char *text = malloc(room);
	if (text)
		snprintf(text, room, PRELOAD "%s%s%s", library, theirs && *theirs ? ":" : "",
			theirs ? theirs : "");
	return text;
}

static bool is_replaced(const char *entry, const char *variable)
{
	size_t name_len = strcspn(variable, "=") + 1;
	return strncmp(entry, variable, name_len) == 0 || strncmp(entry, PRELOAD, sizeof PRELOAD - 1) == 0;
}

/* Our environment with the two variables. malloc'ed (the strings are not), or NULL. */
static char **make_environment(const char *variable, char *preload)
{
	size_t n = 0, kept = 0;
	while (environ[n])
		n++;
	char **env = calloc(n + 3, sizeof *env);
	if (!env)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!is_replaced(environ[i], variable))
			env[kept++] = environ[i];
	env[kept++] = preload;
	env[kept] = (char *)(uintptr_t)variable; /* exec only reads it */
	return env;
}

static _Noreturn void run(const struct ms_spawn *spawn, char **env, int gate, int report)
{
	char go;
	ssize_t n;
	do
		n = read(gate, &go, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		_exit(0); /* abandoned, or msrecord has died */
	if (n < 0)
		goto fail;
	if (spawn->is_stdout_to_stderr && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		goto fail;
	execvpe(spawn->argv[0], spawn->argv, env);
fail:;
	int error = errno;
	while (write(report, &error, sizeof error) < 0 && errno == EINTR)
		;
	_exit(127);
}

static void close_all(int fds[4])
{
	for (int i = 0; i < 4; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int ms_child_fork(const struct ms_spawn *spawn, struct ms_child *c)
{
	int fds[4] = {-1, -1, -1, -1};
	int rc = -ENOMEM;
	char *preload = preload_variable(spawn->preload);
	char **env = preload ? make_environment(spawn->variable, preload) : NULL;
	if (!env)
		goto out;
	pid_t pid = -1;
	if (!pipe2(fds, O_CLOEXEC) && !pipe2(fds + 2, O_CLOEXEC)) {
		fflush(NULL);
		pid = fork();
	}
	rc = -errno;
	if (pid == 0) {
		close(fds[1]); /* else the gate would never see us go */
		run(spawn, env, fds[0], fds[3]);
	}
	if (pid < 0)
		goto out;
	*c = (struct ms_child){.pid = pid, .gate = fds[1], .report = fds[2]};
	fds[1] = fds[2] = -1;
	rc = 0;
out:
	close_all(fds);
	free(env);
	free(preload);
	return rc;
}

/* Reaps it if it has ended. Somebody else may have done so, if SIGCHLD was ignored: then how it ended is not
 * known, and counts as a failure of ours. */
static void reap(struct ms_child *c, int flags)
{
	struct rusage usage = {0};
	pid_t pid;
	do
		pid = wait4(c->pid, &c->wait_status, flags, &usage);
	while (pid < 0 && errno == EINTR);
	c->has_ended = pid == c->pid;
	if (c->has_ended)
		c->max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
	if (pid < 0 && kill(c->pid, 0) && errno == ESRCH) {
		c->has_ended = true;
		c->wait_status = W_EXITCODE(STATUS_UNKNOWN, 0);
	}
}

void ms_child_wait(struct ms_child *c)
{
	const struct timespec moment = {.tv_nsec = 10000000};
	while (!c->has_ended) {
		reap(c, 0);
		if (!c->has_ended)
			nanosleep(&moment, NULL);
	}
}

int ms_child_go(struct ms_child *c)
{
	int error = 0;
	ssize_t n;
	do
		n = write(c->gate, "g", 1);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		error = errno;
		ms_child_abandon(c);
		return -error;
	}
	close(c->gate);
	do
		n = read(c->report, &error, sizeof error);
	while (n < 0 && errno == EINTR);
	close(c->report);
	c->has_run = n != (ssize_t)sizeof error;
	if (c->has_run)
		return 0;
	ms_child_wait(c);
	return -error;
}

void ms_child_abandon(struct ms_child *c)
{
	close(c->gate);
	close(c->report);
	ms_child_wait(c);
}

bool ms_child_poll(struct ms_child *c)
{
	if (!c->has_ended)
		reap(c, WNOHANG);
	return c->has_ended;
}

int ms_child_exit_status(const struct ms_child *c)
{
	return WIFSIGNALED(c->wait_status) ? 128 + WTERMSIG(c->wait_status) : WEXITSTATUS(c->wait_status);
}

/* ---- signals ---------------------------------------------------------------------------------------- */

/* Handlers have no argument: their state is the only one of its kind in msrecord. */
static struct {
	_Atomic pid_t child; /* 0: it has ended */
	atomic_bool stop, urged;
	_Atomic int reserved; /* 0: none */
	atomic_uint n_reserved;
	void (*wake)(void *ctx);
	void *ctx;
} signals;

static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH,
	SIGALRM, SIGURG, SIGIO, SIGVTALRM, SIGPROF, SIGPWR};

static bool ends_recording(int sig)
{
	return sig == SIGINT || sig == SIGQUIT || sig == SIGTERM || sig == SIGHUP;
}

/* Sent with kill by some process, to us: the terminal and the kernel address whole groups, and so does the
 * program when it signals its own. */
static bool is_for_us_alone(const siginfo_t *info, pid_t child)
{
	return info->si_code <= 0 && info->si_pid != child;
}

/* When the terminal goes away the kernel tells the leader of its session alone: in our place the command would be that. */
static bool is_for_the_leader(int sig, const siginfo_t *info)
{
	return info->si_code == SI_KERNEL && (sig == SIGHUP || sig == SIGCONT) && getsid(0) == getpid();
}

static void handle(int sig, siginfo_t *info, void *context)
{
	int error = errno;
	pid_t child = atomic_load(&signals.child);
	(void)context;
	if (ends_recording(sig))
		atomic_store(&signals.urged, true);
	if (sig == SIGCHLD)
		; /* only to be woken */
	else if (sig == atomic_load(&signals.reserved) && info->si_code <= 0)
		atomic_fetch_add(&signals.n_reserved, 1);
	else if (child == 0)
		atomic_store(&signals.stop, atomic_load(&signals.stop) || ends_recording(sig));
	else if (is_for_us_alone(info, child) || is_for_the_leader(sig, info))
		kill(child, sig);
	signals.wake(signals.ctx);
	errno = error;
}

void ms_signals_install(const struct ms_child *c, void (*wake)(void *ctx), void *ctx)
{
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
	signals.wake = wake;
	signals.ctx = ctx;
	atomic_store(&signals.child, c->pid);
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
		sigaction(passed_on[i], &action, NULL);
	action.sa_flags |= SA_NOCLDSTOP;
	sigaction(SIGCHLD, &action, NULL);
	/* A reader of the trace that goes, and a limit on file sizes, are write errors like others. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

bool ms_signals_stop(void)
{
	return atomic_load(&signals.stop);
}

void ms_signals_reserve(int sig)
{
	atomic_store(&signals.reserved, sig);
}

unsigned ms_signals_take_reserved(void)
{
	return atomic_exchange(&signals.n_reserved, 0);
}

bool ms_signals_urged(void)
{
	return atomic_load(&signals.urged);
}

void ms_signals_forget_urge(void)
{
	atomic_store(&signals.urged, false);
}

void ms_signals_forget_child(void)
{
	atomic_store(&signals.child, 0);
}

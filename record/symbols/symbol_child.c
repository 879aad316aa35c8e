/* See symbol_child.h. */
#include "symbol_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "file_broker.h"
#include "sandbox.h"

enum {
	STATUS_NO_SANDBOX = 255, /* other exit statuses of the child are errno values */
	READ_MAX = 1 << 20,	 /* bytes of the reply taken at once */
};

/* The parent's view of its child. */
struct child {
	pid_t pid;
	int reply_fd, broker_fd; /* -1 = closed */
	char *bytes;
	size_t len, room, max_len;
	bool has_timed_out, has_overflown;
};

/* What an early child is asked: addresses of the file that is now in this state. They follow. */
struct question {
	struct ms_file_stamp stamp;
	uint64_t n_addresses;
};

/* Of the child itself: what the parser calls has no argument for them. */
static int child_broker_fd = -1, child_reply_fd = -1;
static struct ms_file_stamp child_stamp;

static int open_by_asking(const char *path)
{
	return ms_broker_ask(child_broker_fd, path);
}

/* Leaves when nobody wants to know any more. */
static void read_all(int fd, void *bytes, size_t len)
{
	char *at = bytes;

	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n == 0 || (n < 0 && errno != EINTR))
			_exit(0);
		at += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
}

static int await_question(const uint64_t **addresses, size_t *n)
{
	struct question question;
	uint64_t *asked;

	read_all(child_reply_fd, &question, sizeof(question));
	if (memcmp(&question.stamp, &child_stamp, sizeof(child_stamp)) != 0)
		return -ESTALE;
	asked = reallocarray(NULL, question.n_addresses, sizeof(*asked));
	if (!asked)
		return -ENOMEM;
	read_all(child_reply_fd, asked, question.n_addresses * sizeof(*asked));
	*addresses = asked;
	*n = question.n_addresses;
	return 0;
}

static _Noreturn void run_child(const struct ms_parser_job *job, const struct ms_child_limits *limits,
	uint64_t file_bytes, int reply_fd, int broker_fd)
{
	const struct ms_sandbox_limits sandbox = { .memory_bytes = limits->memory_bytes + 2 * file_bytes,
		.cpu_seconds = limits->cpu_seconds };
	const int keep[] = { reply_fd, broker_fd, job->fd };
	struct ms_parser_job asking = *job;
	struct ms_reply reply = { 0 };
	int rc;

	if (ms_sandbox_enter(&sandbox, broker_fd, keep, sizeof(keep) / sizeof(keep[0])) < 0)
		_exit(STATUS_NO_SANDBOX);
	child_broker_fd = broker_fd;
	child_reply_fd = reply_fd;
	asking.open_file = open_by_asking;
	rc = ms_symbol_parse(&asking, &reply);
	if (rc == 0)
		rc = ms_reply_write(&reply, reply_fd);
	_exit(-rc);
}

static int start(struct child *c, const struct ms_parser_job *job, const struct ms_child_limits *limits,
	uint64_t file_bytes)
{
	int reply[2] = { -1, -1 }, broker[2] = { -1, -1 };
	int rc = 0;

	if (pipe2(reply, O_CLOEXEC) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, broker) < 0)
		rc = -errno;
	if (rc == 0) {
		c->pid = fork();
		if (c->pid == 0)
			run_child(job, limits, file_bytes, reply[1], broker[1]);
		if (c->pid < 0)
			rc = -errno;
	}
	if (reply[1] >= 0)
		close(reply[1]);
	if (broker[1] >= 0)
		close(broker[1]);
	c->reply_fd = reply[0];
	c->broker_fd = broker[0];
	return rc;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Takes what has come of the reply. Closes reply_fd at its end. */
static int take_reply(struct child *c)
{
	ssize_t n;

	if (c->room - c->len < READ_MAX) {
		size_t room = c->room * 2 + READ_MAX;
		char *bytes = realloc(c->bytes, room);

		if (!bytes)
			return -ENOMEM;
		c->bytes = bytes;
		c->room = room;
	}
	n = read(c->reply_fd, c->bytes + c->len, READ_MAX);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		close_fd(&c->reply_fd);
	c->len += (size_t)n;
	c->has_overflown = c->len > c->max_len;
	return c->has_overflown ? -EPROTO : 0;
}

/* Opens a file for the child, and gives it the address space to map it. *broker_fd is closed when it asks no more. */
static void serve(pid_t pid, int *broker_fd, uint64_t max_file_bytes)
{
	struct rlimit limit;
	uint64_t opened = 0;

	if (ms_broker_answer(*broker_fd, max_file_bytes, &opened) <= 0)
		close_fd(broker_fd);
	if (opened > 0 && prlimit(pid, RLIMIT_AS, NULL, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
		limit.rlim_cur = limit.rlim_max - limit.rlim_cur > 2 * opened ? limit.rlim_cur + 2 * opened
									       : limit.rlim_max;
		prlimit(pid, RLIMIT_AS, &limit, NULL);
	}
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

enum { POLL_MS = 200 }; /* a signal may come just before the wait for it */

/* Serves the child until its reply is complete, it is out of time, or it says too much. */
static int attend(struct child *c, const struct ms_child_limits *limits)
{
	int64_t deadline = now_ms() + (int64_t)limits->wall_seconds * 1000;
	int rc = 0;

	while (rc == 0 && c->reply_fd >= 0) {
		struct pollfd fds[] = { { .fd = c->reply_fd, .events = POLLIN }, { .fd = c->broker_fd, .events = POLLIN } };
		int64_t left = deadline - now_ms();
		int n = left > 0 ? poll(fds, 2, (int)(left < POLL_MS ? left : POLL_MS)) : 0;

		if (limits->is_cancelled && limits->is_cancelled())
			return -ECANCELED;
		if (n < 0 && errno != EINTR)
			rc = -errno;
		if (left <= 0) {
			c->has_timed_out = true;
			rc = -ETIMEDOUT;
		}
		if (rc < 0 || n <= 0)
			continue;
		if (fds[0].revents)
			rc = take_reply(c);
		if (fds[1].revents)
			serve(c->pid, &c->broker_fd, limits->max_file_bytes);
	}
	return rc;
}

/* Ends and reaps the child. Returns its wait status, or -1 when someone else has reaped it. */
static int finish(pid_t pid, bool must_die)
{
	int status = -1;

	if (must_die)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void describe_signal(char *problem, int signal, const struct ms_child_limits *limits)
{
	if (signal == SIGXCPU || signal == SIGKILL) /* the hard limit of processor time, or the kernel's memory killer */
		snprintf(problem, MS_PROBLEM_MAX, "its symbols took more than %u s of processor time, or too much memory",
			limits->cpu_seconds);
	else
		snprintf(problem, MS_PROBLEM_MAX, "the parser of its symbols crashed (%s)", strsignal(signal));
}

static void describe_status(char *problem, int status, const struct ms_child_limits *limits)
{
	if (status == ENOMEM)
		snprintf(problem, MS_PROBLEM_MAX, "its symbols need more than %llu MiB of memory",
			(unsigned long long)(limits->memory_bytes >> 20));
	else if (status == ENOEXEC)
		snprintf(problem, MS_PROBLEM_MAX, "it is damaged: no ELF file that can be read");
	else if (status == EOVERFLOW)
		snprintf(problem, MS_PROBLEM_MAX, "its debug information claims absurdly many inlined calls");
	else if (status == STATUS_NO_SANDBOX)
		snprintf(problem, MS_PROBLEM_MAX, "the sandbox for the parser of its symbols could not be set up");
	else
		snprintf(problem, MS_PROBLEM_MAX, "the parser of its symbols failed: %s", strerror(status));
}

/* Why there is no reply, from what became of the child. Returns the errno to report. */
static int explain(const struct child *c, int rc, int status, const struct ms_child_limits *limits, char *problem)
{
	if (rc == -ECANCELED)
		snprintf(problem, MS_PROBLEM_MAX, "the lookup was cut short");
	else if (c->has_timed_out)
		snprintf(problem, MS_PROBLEM_MAX, "its symbols were not there after %u s", limits->wall_seconds);
	else if (c->has_overflown)
		snprintf(problem, MS_PROBLEM_MAX, "the parser of its symbols answered too much");
	else if (rc < 0)
		snprintf(problem, MS_PROBLEM_MAX, "its symbols could not be taken over: %s", strerror(-rc));
	else if (status != -1 && WIFSIGNALED(status))
		describe_signal(problem, WTERMSIG(status), limits);
	else if (status != -1 && WEXITSTATUS(status) != 0)
		describe_status(problem, WEXITSTATUS(status), limits);
	else
		snprintf(problem, MS_PROBLEM_MAX, "the parser of its symbols gave a malformed answer");
	return rc < 0 ? rc : -EPROTO;
}

/* Bytes of the reply to n addresses at most. */
static size_t reply_max(size_t n)
{
	return sizeof(struct ms_reply_head) + (n + 1) * sizeof(uint32_t) +
	       MS_REPLY_FRAMES_MAX * sizeof(struct ms_reply_frame) + MS_REPLY_STRINGS_MAX;
}

int ms_symbol_child_run(const struct ms_parser_job *job, uint64_t file_bytes, const struct ms_child_limits *limits,
	struct ms_reply *reply, char problem[MS_PROBLEM_MAX])
{
	struct child c = { .reply_fd = -1, .broker_fd = -1 };
	int rc, status;

	c.max_len = reply_max(job->n_addresses);
	rc = start(&c, job, limits, file_bytes);
	if (rc < 0) {
		snprintf(problem, MS_PROBLEM_MAX, "no process could be started for its symbols: %s", strerror(-rc));
		goto out;
	}
	rc = attend(&c, limits);
	status = finish(c.pid, rc < 0);
	if (rc == 0 && (status == -1 || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) &&
		ms_reply_parse(reply, c.bytes, c.len, job->n_addresses) == 0)
		c.bytes = NULL; /* the reply's now */
	else
		rc = explain(&c, rc, status, limits, problem);
out:
	free(c.bytes);
	close_fd(&c.reply_fd);
	close_fd(&c.broker_fd);
	return rc;
}

/* ---- started before anybody asked ------------------------------------------------------------------- */

int ms_early_child_start(const struct ms_parser_job *job, const struct ms_file_stamp *stamp, uint64_t file_bytes,
	const struct ms_child_limits *limits, int socket, struct ms_early_child *child)
{
	struct ms_parser_job waiting = *job;
	int broker[2];

	waiting.await = await_question;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, broker) < 0)
		return -errno;
	child_stamp = *stamp;
	child->broker = broker[0];
	child->pid = fork();
	if (child->pid == 0)
		run_child(&waiting, limits, file_bytes, socket, broker[1]);
	close(broker[1]);
	if (child->pid > 0)
		return 0;
	close(broker[0]);
	return -EAGAIN;
}

bool ms_early_child_serve(struct ms_early_child *child, uint64_t max_file_bytes)
{
	serve(child->pid, &child->broker, max_file_bytes);
	return child->broker >= 0;
}

void ms_early_child_end(struct ms_early_child *child)
{
	close_fd(&child->broker);
	finish(child->pid, true);
}

/* Sends what the child may not be ready to take yet. */
static int send_all(int socket, const void *bytes, size_t len, const struct ms_child_limits *limits)
{
	int64_t deadline = now_ms() + (int64_t)limits->wall_seconds * 1000;
	const char *at = bytes;

	while (len > 0) {
		struct pollfd fd = { .fd = socket, .events = POLLOUT };
		ssize_t n = send(socket, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		if (limits->is_cancelled && limits->is_cancelled())
			return -ECANCELED;
		if (now_ms() >= deadline)
			return -ETIMEDOUT;
		poll(&fd, 1, POLL_MS);
	}
	return 0;
}

int ms_early_child_ask(int socket, const char *path, const uint64_t *addresses, size_t n,
	const struct ms_child_limits *limits)
{
	const struct question question = { .stamp = ms_file_stamp(path), .n_addresses = n };
	int rc = send_all(socket, &question, sizeof(question), limits);

	return rc < 0 ? rc : send_all(socket, addresses, n * sizeof(*addresses), limits);
}

int ms_early_child_hear(int socket, size_t n, const struct ms_child_limits *limits, struct ms_reply *reply)
{
	struct child c = { .reply_fd = dup(socket), .broker_fd = -1, .max_len = reply_max(n) };
	int rc = c.reply_fd < 0 ? -errno : attend(&c, limits);

	if (rc == 0)
		rc = ms_reply_parse(reply, c.bytes, c.len, n);
	if (rc < 0)
		free(c.bytes);
	close_fd(&c.reply_fd);
	return rc;
}

/* See forerunner.h. One message is one module, with the parser's end of its socket. */
#include "forerunner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "debug_file.h"
#include "elf_file.h"
#include "module_file.h"
#include "sandbox.h"

enum {
	TOLD_MAX = 64,	       /* modules: a descriptor each in the recorder */
	PARSERS_MAX = 16,      /* waiting at a time, each with what it has read */
	WORTH_BYTES = 1 << 18, /* of files: smaller ones take no longer to read than to prepare */
	NICENESS = 5,	       /* the program and the recorder go first */
	END_MS = 1000,	       /* it has nothing to do at its end that takes longer */
};

/* ---- the message ------------------------------------------------------------------------------------ */

struct errand {
	uint32_t build_id_len;
	uint8_t build_id[MS_BUILD_ID_MAX];
	char path[MS_DEBUG_PATH_ROOM]; /* what is sent ends with its NUL */
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int send_errand(int socket, const struct ms_symbol_module *module, int fd)
{
	struct errand errand = { .build_id_len = (uint32_t)module->build_id_len };
	size_t path_len = strlen(module->path) + 1;
	struct iovec iov = { .iov_base = &errand, .iov_len = offsetof(struct errand, path) + path_len };
	union control control = { .bytes = { 0 } };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	if (path_len > sizeof(errand.path) || module->build_id_len > sizeof(errand.build_id))
		return -ENAMETOOLONG;
	memcpy(errand.path, module->path, path_len);
	if (module->build_id_len > 0)
		memcpy(errand.build_id, module->build_id, module->build_id_len);
	CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	return sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Returns the parser's end of its socket, or a negative errno: -EPIPE when there will be no more. */
static int take_errand(int socket, struct errand *errand)
{
	struct iovec iov = { .iov_base = errand, .iov_len = sizeof(*errand) };
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	int fd;

	if (n == 0 || (n < 0 && errno != EINTR))
		return -EPIPE;
	if (!head || head->cmsg_type != SCM_RIGHTS)
		return -EAGAIN; /* there was no room for the descriptor */
	memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

/* ---- the process ------------------------------------------------------------------------------------ */

struct process {
	int socket;
	const char *debug_dir;
	struct ms_child_limits limits;
	struct ms_early_child parsers[PARSERS_MAX];
	size_t n_parsers;
};

static bool is_worth_it(const struct process *p, const struct ms_symbol_module *module, uint64_t file_bytes)
{
	char path[MS_DEBUG_PATH_ROOM];
	struct stat st = { .st_size = 0 };

	if (ms_debug_file_place(module->build_id, module->build_id_len, p->debug_dir, path) && stat(path, &st) == 0)
		file_bytes += (uint64_t)st.st_size;
	return file_bytes >= WORTH_BYTES;
}

static void start_parser(struct process *p, const struct errand *errand, int socket)
{
	const struct ms_symbol_module module = {
		.path = errand->path, .build_id = errand->build_id, .build_id_len = errand->build_id_len };
	const struct ms_file_stamp stamp = ms_file_stamp(module.path); /* before it is opened and checked */
	struct ms_parser_job job = { .path = module.path, .debug_dir = p->debug_dir, .uses_debug_info = true };
	char problem[MS_PROBLEM_MAX];
	uint64_t size;

	if (p->n_parsers == PARSERS_MAX)
		return;
	job.fd = ms_module_file_open(&module, p->limits.max_file_bytes, &size, problem);
	if (job.fd < 0)
		return;
	if (is_worth_it(p, &module, size) &&
		ms_early_child_start(&job, &stamp, size, &p->limits, socket, &p->parsers[p->n_parsers]) == 0)
		p->n_parsers++;
	close(job.fd);
}

static void serve_parsers(struct process *p, const struct pollfd *fds)
{
	size_t n_left = 0;

	for (size_t i = 0; i < p->n_parsers; i++) {
		if (fds[i].revents && !ms_early_child_serve(&p->parsers[i], p->limits.max_file_bytes))
			ms_early_child_end(&p->parsers[i]);
		else
			p->parsers[n_left++] = p->parsers[i];
	}
	p->n_parsers = n_left;
}

/* Returns when the recorder wants no more. */
static void serve(struct process *p)
{
	for (;;) {
		struct pollfd fds[PARSERS_MAX + 1];
		struct errand errand;
		int fd;

		for (size_t i = 0; i < p->n_parsers; i++)
			fds[i] = (struct pollfd){ .fd = p->parsers[i].broker, .events = POLLIN };
		fds[p->n_parsers] = (struct pollfd){ .fd = p->socket, .events = POLLIN };
		if (poll(fds, p->n_parsers + 1, -1) < 0)
			continue;
		if (fds[p->n_parsers].revents) {
			fd = take_errand(p->socket, &errand);
			if (fd == -EPIPE)
				return;
			if (fd >= 0) {
				start_parser(p, &errand, fd);
				close(fd);
			}
			continue; /* the parsers may be others now */
		}
		serve_parsers(p, fds);
	}
}

static _Noreturn void run_process(const struct ms_symbol_options *options, int socket, pid_t parent)
{
	struct process p = { .socket = socket,
		.debug_dir = options->debug_dir,
		.limits = { .memory_bytes = options->memory_bytes,
			.max_file_bytes = options->max_file_bytes,
			.cpu_seconds = options->cpu_seconds } };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* too late for that signal */
		_exit(0);
	setsid(); /* what the terminal has to say is for the recorder */
	if (ms_sandbox_close_descriptors(&socket, 1) < 0)
		_exit(0);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would leave nothing to wait for */
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICENESS);
	serve(&p);
	for (size_t i = 0; i < p.n_parsers; i++)
		kill(p.parsers[i].pid, SIGKILL); /* all first: they end together */
	for (size_t i = 0; i < p.n_parsers; i++)
		ms_early_child_end(&p.parsers[i]);
	_exit(0);
}

/* ---- the recorder's side ---------------------------------------------------------------------------- */

struct told {
	char *path;
	uint8_t build_id[MS_BUILD_ID_MAX];
	size_t build_id_len;
	int fd; /* socket of its parser, should there be one; -1 = it was asked */
};

struct ms_forerunner {
	pid_t pid;
	int socket;
	struct told told[TOLD_MAX];
	size_t n_told;
};

struct ms_forerunner *ms_forerunner_open(const struct ms_symbol_options *options)
{
	const struct ms_symbol_options all = ms_symbol_options_complete(options);
	struct ms_forerunner *f = calloc(1, sizeof(*f));
	pid_t self = getpid();
	int sockets[2];

	if (!f || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
		free(f);
		return NULL;
	}
	f->socket = sockets[0];
	f->pid = fork();
	if (f->pid == 0)
		run_process(&all, sockets[1], self);
	close(sockets[1]);
	if (f->pid > 0)
		return f;
	close(f->socket);
	free(f);
	return NULL;
}

static struct told *find(struct ms_forerunner *f, const struct ms_symbol_module *module)
{
	for (size_t i = 0; i < f->n_told; i++) {
		struct told *t = &f->told[i];

		if (strcmp(t->path, module->path) == 0 && t->build_id_len == module->build_id_len &&
			(t->build_id_len == 0 || memcmp(t->build_id, module->build_id, t->build_id_len) == 0))
			return t;
	}
	return NULL;
}

/* Sends it off with one end of a new socket. Returns the other end, or a negative errno. */
static int dispatch(struct ms_forerunner *f, const struct ms_symbol_module *module)
{
	int sockets[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	rc = send_errand(f->socket, module, sockets[1]);
	close(sockets[1]);
	if (rc == 0)
		return sockets[0];
	close(sockets[0]);
	return rc;
}

void ms_forerunner_tell(struct ms_forerunner *f, const struct ms_symbol_module *module)
{
	struct told *t = &f->told[f->n_told];

	if (f->n_told == TOLD_MAX || module->build_id_len > MS_BUILD_ID_MAX || find(f, module))
		return;
	t->path = strdup(module->path);
	if (!t->path)
		return;
	if (module->build_id_len > 0)
		memcpy(t->build_id, module->build_id, module->build_id_len);
	t->build_id_len = module->build_id_len;
	t->fd = dispatch(f, module);
	f->n_told++; /* also if that has failed: once is enough */
}

int ms_forerunner_ask(struct ms_forerunner *f, const struct ms_symbol_module *module, const uint64_t *addresses, size_t n,
	const struct ms_child_limits *limits)
{
	struct told *t = find(f, module);
	int fd = t ? t->fd : -ENOENT, rc;

	if (fd < 0)
		return fd;
	t->fd = -1;
	rc = ms_early_child_ask(fd, module->path, addresses, n, limits);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

void ms_forerunner_dismiss(struct ms_forerunner *f)
{
	shutdown(f->socket, SHUT_WR);
}

void ms_forerunner_close(struct ms_forerunner *f)
{
	if (!f)
		return;
	struct pollfd gone = { .fd = f->socket, .events = POLLIN };

	ms_forerunner_dismiss(f);
	while (poll(&gone, 1, END_MS) < 0 && errno == EINTR)
		;
	kill(f->pid, SIGKILL);
	while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(f->socket);
	for (size_t i = 0; i < f->n_told; i++) {
		if (f->told[i].fd >= 0)
			close(f->told[i].fd);
		free(f->told[i].path);
	}
	free(f);
}

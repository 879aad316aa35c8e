/* See serve.h. */
#include "serve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "procfs.h"

enum {
	GUESTS_MAX = 64,	 /* connections that have not said hello yet */
	PATIENCE_MS = 2000,	 /* how long one may take to */
	LOOK_MS = 1000,		 /* at least so often we look whether to stop */
	FAILURES_MAX = 100,	 /* of poll in a row, ... */
	FAILURE_PAUSE_MS = 1,	 /* ... with such a pause after each */
	DIRECTORY_MAX = 80,	 /* with the NUL: a socket in it must have a path of 108 */
	CMDLINE_MAX = 64 * 1024, /* the format's limit on strings */
};

#define PREFIX "msrecord-"
#define NAME_BEFORE "n" /* of the socket, until it listens */

struct guest {
	int fd;
	uint64_t since_ns;
};

struct ms_server {
	struct ms_server_options options;
	char directory[DIRECTORY_MAX];
	char variable[128]; /* "MSTRACE_SOCKET=" and the path */
	const char *path;   /* in variable */
	int listener, stop;
	pid_t first_pid;
	bool first_seen;
	pthread_t thread;
	bool is_running;
	atomic_bool is_stopping;
	pthread_mutex_t mutex; /* of the arrivals and the refusals, and of: */
	bool is_paused;
	struct ms_arrival *arrivals, **last;
	struct ms_refusals refusals;
	struct guest guests[GUESTS_MAX];
	size_t n_guests;
};

void ms_arrival_free(struct ms_arrival *a)
{
	if (!a)
		return;
	ms_share_close(&a->share);
	if (a->pidfd >= 0)
		close(a->pidfd);
	if (a->proc_dir >= 0)
		close(a->proc_dir);
	if (a->tmp_dir >= 0)
		close(a->tmp_dir);
	free(a->exe);
	free(a->cmdline);
	free(a->maps);
	free(a);
}

/* Does a program still run that has the socket at `path` in its environment? With the wrapper library in LD_PRELOAD it
 * may start others, of which the loader would complain if that was gone. */
static bool is_referred_to(const char *path)
{
	char variable[sizeof MS_ENV_SOCKET + sizeof ((struct sockaddr_un *)NULL)->sun_path + 1];
	snprintf(variable, sizeof variable, MS_ENV_SOCKET "=%s", path);
	return ms_procfs_count_with_env(variable, NULL, NULL, 1) > 0;
}

bool ms_server_is_referred_to(const struct ms_server *s)
{
	return is_referred_to(s->path);
}

/* Removes a directory like ours whose msrecord was killed: nobody answers at its socket. Or has left the wrapper library
 * behind: there is no socket. */
static void remove_if_stale(const char *dir, const char *name)
{
	static const char *const files[] = {"s", NAME_BEFORE, "libmscapture.so", MS_WRAP_FILE};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char path[DIRECTORY_MAX], file[DIRECTORY_MAX + 32];
	struct stat st;
	int n = snprintf(path, sizeof path, "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof path || lstat(path, &st) || !S_ISDIR(st.st_mode) ||
		st.st_uid != geteuid())
		return;
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/s", path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int error = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) ? errno : 0;
	if (fd >= 0)
		close(fd);
	snprintf(file, sizeof file, "%s/" MS_WRAP_FILE, path);
	bool is_wrapping = access(file, F_OK) == 0;
	bool is_stale = error == ECONNREFUSED || (error == ENOENT && is_wrapping);
	if (is_stale && is_wrapping)
		is_stale = !is_referred_to(addr.sun_path);
	for (size_t i = 0; is_stale && i < sizeof files / sizeof *files; i++) {
		snprintf(file, sizeof file, "%s/%s", path, files[i]);
		unlink(file);
	}
	if (is_stale)
		rmdir(path);
}

static void remove_stale(const char *dir)
{
	DIR *d = opendir(dir);
	for (struct dirent *entry; d && (entry = readdir(d));)
		if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0)
			remove_if_stale(dir, entry->d_name);
	if (d)
		closedir(d);
}

/* The directory must be short enough for a socket's path: $TMPDIR if it is, else /tmp. */
static int make_directory(struct ms_server *s)
{
	const char *candidates[] = {getenv("TMPDIR"), "/tmp", "/dev/shm"};
	int rc = -ENOENT;
	for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
		const char *dir = candidates[i];
		if (!dir || dir[0] != '/' || strlen(dir) + sizeof "/" PREFIX "XXXXXX" > sizeof s->directory)
			continue;
		snprintf(s->directory, sizeof s->directory, "%s/" PREFIX "XXXXXX", dir);
		remove_stale(dir);
		if (mkdtemp(s->directory)) /* mode 0700 */
			return 0;
		rc = -errno;
	}
	s->directory[0] = 0;
	return rc;
}

static int listen_there(struct ms_server *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(s->variable, sizeof s->variable, "%s=%s/s", MS_ENV_SOCKET, s->directory);
	s->path = s->variable + sizeof MS_ENV_SOCKET; /* past the '=' */
	/* Under its name only once it answers: a socket that refuses is taken for a dead one's. */
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/" NAME_BEFORE, s->directory);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&addr, sizeof addr) ||
		listen(s->listener, SOMAXCONN) || rename(addr.sun_path, s->path))
		return -errno;
	s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s->stop < 0 ? -errno : 0;
}

int ms_server_open(const struct ms_server_options *opt, struct ms_server **out)
{
	struct ms_server *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->options = *opt;
	s->listener = s->stop = -1;
	s->last = &s->arrivals;
	pthread_mutex_init(&s->mutex, NULL);
	int rc = make_directory(s);
	if (!rc)
		rc = listen_there(s);
	if (rc) {
		ms_server_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

const char *ms_server_variable(const struct ms_server *s)
{
	return s->variable;
}

const char *ms_server_directory(const struct ms_server *s)
{
	return s->directory;
}

static void *copy_of(const char *bytes, ssize_t n, size_t *len)
{
	*len = n > 0 ? (size_t)n : 0;
	void *copy = *len ? malloc(*len) : NULL;
	if (copy)
		memcpy(copy, bytes, *len);
	else
		*len = 0;
	return copy;
}

/* The library is in the process, which will come when it calls the heap. */
static bool is_able_to_come(const void *server, pid_t pid)
{
	const struct ms_server *s = server;
	return ms_procfs_maps_file(pid, "libmscapture.so") && ms_selection_has_process(&s->options.selection, pid);
}

size_t ms_server_count_expected(const struct ms_server *s, bool is_late)
{
	if (!is_late)
		return ms_procfs_count_with_env(s->variable, NULL, NULL, 1);
	if (s->options.follow != MS_FOLLOW_ALL) /* whether it came by fork or exec it tells only then */
		return 0;
	return ms_procfs_count_with_env(s->variable, is_able_to_come, s, SIZE_MAX);
}

/* What /proc says: true now, since the image waits for our answer. */
static void describe(struct ms_arrival *a)
{
	char *buf = malloc(CMDLINE_MAX);
	struct stat st;
	a->proc_dir = ms_procfs_dir(a->pid);
	if (a->proc_dir >= 0 && fstat(a->proc_dir, &st) == 0) {
		a->uid = st.st_uid;
		a->tmp_dir = ms_procfs_tmp(a->proc_dir);
	}
	if (!buf)
		return;
	a->exe = copy_of(buf, ms_procfs_exe(a->pid, buf, CMDLINE_MAX), &a->exe_len);
	ssize_t n = ms_procfs_read(a->pid, "cmdline", buf, CMDLINE_MAX);
	if (n > 0 && buf[n - 1] == 0)
		n--; /* arguments are joined, not terminated, by NUL */
	a->cmdline = copy_of(buf, n, &a->cmdline_len);
	ms_procfs_exe_id(a->pid, a->exe_id);
	if (a->hello.image == MS_IMAGE_NEW)
		a->maps = ms_procfs_maps(a->pid, &a->maps_len);
	free(buf);
}

static bool is_followed(const struct ms_server *s, const struct ms_hello *hello, pid_t pid)
{
	bool is_forked = hello->image == MS_IMAGE_FORKED;
	if (!ms_selection_has_process(&s->options.selection, pid))
		return false;
	if (pid == s->first_pid && !s->first_seen)
		return true;
	switch (s->options.follow) {
	case MS_FOLLOW_NONE:
		return false;
	case MS_FOLLOW_FORK:
		return is_forked;
	case MS_FOLLOW_EXEC:
		return !is_forked;
	default:
		return true;
	}
}

/* Somebody came and could not be helped. */
static void note_failure(struct ms_server *s, int error)
{
	pthread_mutex_lock(&s->mutex);
	if (!s->refusals.failed++)
		s->refusals.error = error;
	pthread_mutex_unlock(&s->mutex);
}

static void note_wrong_abi(struct ms_server *s)
{
	pthread_mutex_lock(&s->mutex);
	s->refusals.wrong_abi++;
	pthread_mutex_unlock(&s->mutex);
}

/* 0 or errno. */
static int answer(int fd, uint32_t status, int passed_fd)
{
	struct ms_welcome welcome = {.magic = MS_WIRE_MAGIC, .abi = MS_WIRE_ABI, .status = status};
	struct iovec iov = {&welcome, sizeof welcome};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (passed_fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof control.bytes;
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed_fd, sizeof passed_fd);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? errno : 0;
}

/* The guest has gone: nobody is left to be recorded. */
static bool is_hangup(int error)
{
	return error == EPIPE || error == ECONNRESET;
}

/* The guest is known to be alive: it holds its end of the connection open, so its pid is still its own. */
static bool is_connected(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, 0) == 0 || !(p.revents & (POLLHUP | POLLERR));
}

static void enqueue(struct ms_server *s, struct ms_arrival *a)
{
	pthread_mutex_lock(&s->mutex);
	if (a->share.segment.control) /* a process that only tells of itself has none */
		ms_share_pause(&a->share, s->is_paused);
	*s->last = a;
	s->last = &a->next;
	pthread_mutex_unlock(&s->mutex);
	s->options.wake(s->options.ctx);
}

/* A program that cannot be followed. */
static void note_absence(struct ms_server *s, const struct ms_notice *n, pid_t sender)
{
	struct ms_arrival *a = calloc(1, sizeof *a);
	if (!a) {
		note_failure(s, ENOMEM);
		return;
	}
	a->pidfd = a->proc_dir = a->tmp_dir = -1;
	a->hello = n->hello;
	a->obstacle = (enum ms_obstacle)n->obstacle;
	/* Another pid namespace's numbers mean nothing here, except the sender's own. */
	if (n->hello.pid == n->own_pid)
		a->pid = sender;
	else
		a->pid = n->own_pid == (uint32_t)sender ? (pid_t)n->hello.pid : 0;
	a->stamp = ms_ticks_now(s->options.clock);
	if ((size_t)n->path_len + n->cmdline_len <= sizeof n->text) {
		a->exe = copy_of(n->text, n->path_len, &a->exe_len);
		a->cmdline = copy_of(n->text + n->path_len, n->cmdline_len, &a->cmdline_len);
	}
	enqueue(s, a);
}

/* Would it be recorded if it could be? */
static bool is_missed(const struct ms_server *s, const struct ms_notice *n)
{
	bool is_whole = (size_t)n->path_len + n->cmdline_len <= sizeof n->text;
	return (s->options.follow == MS_FOLLOW_EXEC || s->options.follow == MS_FOLLOW_ALL) && is_whole &&
	       ms_selection_has(&s->options.selection, n->text, n->path_len, n->text + n->path_len, n->cmdline_len);
}

/* Is it one, of n bytes, that was sent by our build? */
static bool is_notice(const struct ms_notice *notice, ssize_t n)
{
	const struct ms_hello *hello = &notice->hello;
	return n == (ssize_t)sizeof *notice && hello->magic == MS_WIRE_MAGIC && hello->abi == MS_WIRE_ABI &&
	       hello->image == MS_IMAGE_UNFOLLOWED;
}

static ssize_t read_message(int fd, struct ms_notice *message)
{
	ssize_t n;
	do
		n = recv(fd, message, sizeof *message, MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The guest has hung up. It has died, most likely; or it has waited for us too long, as when we were stopped: then it has
 * left word. */
static void note_hangup(struct ms_server *s, int fd, pid_t pid)
{
	struct ms_notice word;
	ssize_t n = read_message(fd, &word);
	if (is_notice(&word, n) && word.obstacle == MS_OBSTACLE_SILENCE)
		note_absence(s, &word, pid);
}

static void admit(struct ms_server *s, int fd, const struct ms_hello *hello, pid_t pid)
{
	int memfd = -1, error = ENOMEM;
	struct ms_arrival *a = calloc(1, sizeof *a);
	if (!a)
		goto fail;
	a->pidfd = a->proc_dir = a->tmp_dir = -1;
	a->hello = *hello;
	a->pid = pid;
	a->stamp = ms_ticks_now(s->options.clock);
	error = -ms_share_open(&s->options.segments, &a->share, &memfd);
	if (error)
		goto fail;
	a->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	error = errno;
	if (a->pidfd < 0 && error != ESRCH)
		goto fail; /* its end would go unnoticed */
	describe(a);
	if (a->pidfd < 0 || !is_connected(fd)) {
		note_hangup(s, fd, pid);
		close(memfd);
		ms_arrival_free(a);
		return;
	}
	if (pid == s->first_pid)
		s->first_seen = true;
	enqueue(s, a);
	error = answer(fd, MS_WELCOME, memfd);
	if (error && !is_hangup(error))
		note_failure(s, error);
	close(memfd);
	return;
fail:
	if (memfd >= 0)
		close(memfd);
	note_failure(s, error);
	answer(fd, MS_REFUSED_FULL, -1);
	ms_arrival_free(a);
}

/* Reads the hello, or a notice, which begins like one, and answers it. */
static void receive(struct ms_server *s, int fd)
{
	struct ms_notice message;
	struct ms_hello hello;
	struct ucred peer;
	socklen_t peer_len = sizeof peer;
	ssize_t n = read_message(fd, &message);
	if (n < 0 || (n > 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len))) {
		if (!is_hangup(errno))
			note_failure(s, errno);
		return;
	}
	if (n == 0)
		return; /* it has changed its mind */
	hello = message.hello;
	if (is_notice(&message, n) && message.obstacle <= MS_OBSTACLE_ALLOCATOR) {
		if (is_missed(s, &message))
			note_absence(s, &message, peer.pid);
		answer(fd, MS_NOT_FOLLOWED, -1);
	} else if ((size_t)n != sizeof hello || hello.magic != MS_WIRE_MAGIC || hello.abi != MS_WIRE_ABI ||
		   (hello.image != MS_IMAGE_NEW && hello.image != MS_IMAGE_FORKED)) {
		note_wrong_abi(s);
		answer(fd, MS_REFUSED_ABI, -1);
	} else if (!is_followed(s, &hello, peer.pid)) {
		answer(fd, MS_NOT_FOLLOWED, -1);
	} else {
		admit(s, fd, &hello, peer.pid);
	}
}

static void dismiss(struct ms_server *s, size_t i)
{
	close(s->guests[i].fd);
	s->guests[i] = s->guests[--s->n_guests];
}

static void let_in(struct ms_server *s)
{
	while (s->n_guests < GUESTS_MAX) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return; /* who waits is still there at the next look */
		s->guests[s->n_guests++] = (struct guest){fd, ms_monotonic_ns()};
	}
}

/* Serves those whose hello is there; those who take too long have to go. */
static void serve_guests(struct ms_server *s, const struct pollfd *polled, size_t n_polled)
{
	uint64_t now = ms_monotonic_ns();
	for (size_t i = n_polled; i-- > 0;) {
		if (polled[i].revents)
			receive(s, s->guests[i].fd);
		else if (now - s->guests[i].since_ns < PATIENCE_MS * 1000000ull)
			continue;
		dismiss(s, i);
	}
}

/* What there is to do: the guests, then the listener, then `stop`. The result is that of poll. */
static int look(struct ms_server *s, struct pollfd *polled)
{
	size_t n = s->n_guests;
	for (size_t i = 0; i < n; i++)
		polled[i] = (struct pollfd){.fd = s->guests[i].fd, .events = POLLIN};
	polled[n] = (struct pollfd){.fd = n < GUESTS_MAX ? s->listener : -1, .events = POLLIN};
	polled[n + 1] = (struct pollfd){.fd = s->stop, .events = POLLIN};
	return poll(polled, n + 2, n ? 100 : LOOK_MS);
}

/* A server that cannot go on says so to who is waiting: nobody must wait for it in vain. */
static void *serve(void *arg)
{
	struct ms_server *s = arg;
	struct pollfd polled[GUESTS_MAX + 2];
	const struct timespec pause = {.tv_nsec = FAILURE_PAUSE_MS * 1000000};
	unsigned n_failures = 0;
	while (!atomic_load(&s->is_stopping) && n_failures < FAILURES_MAX) {
		size_t n = s->n_guests;
		if (look(s, polled) < 0) {
			n_failures += errno != EINTR;
			if (n_failures == FAILURES_MAX)
				note_failure(s, errno);
			nanosleep(&pause, NULL);
			continue;
		}
		n_failures = 0;
		serve_guests(s, polled, n);
		if (polled[n].revents)
			let_in(s);
	}
	if (n_failures)
		shutdown(s->listener, SHUT_RDWR);
	while (s->n_guests)
		dismiss(s, 0);
	return NULL;
}

int ms_server_start(struct ms_server *s, pid_t first_pid)
{
	sigset_t all, old;
	s->first_pid = first_pid;
	/* Signals are the main thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(&s->thread, NULL, serve, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->is_running = error == 0;
	return -error;
}

struct ms_arrival *ms_server_take(struct ms_server *s)
{
	pthread_mutex_lock(&s->mutex);
	struct ms_arrival *a = s->arrivals;
	if (a) {
		s->arrivals = a->next;
		a->next = NULL;
	}
	if (!s->arrivals)
		s->last = &s->arrivals;
	pthread_mutex_unlock(&s->mutex);
	return a;
}

void ms_server_refusals(struct ms_server *s, struct ms_refusals *out)
{
	pthread_mutex_lock(&s->mutex);
	*out = s->refusals;
	pthread_mutex_unlock(&s->mutex);
}

void ms_server_pause(struct ms_server *s, bool is_paused)
{
	pthread_mutex_lock(&s->mutex);
	s->is_paused = is_paused;
	pthread_mutex_unlock(&s->mutex);
}

void ms_server_stop(struct ms_server *s)
{
	if (s->is_running) {
		atomic_store(&s->is_stopping, true);
		eventfd_write(s->stop, 1); /* else it looks up in a while */
		pthread_join(s->thread, NULL);
	}
	s->is_running = false;
	if (s->listener >= 0)
		close(s->listener);
	s->listener = -1;
}

/* Under whichever name it has. */
static void unlink_socket(const struct ms_server *s)
{
	char path[DIRECTORY_MAX + 4];
	snprintf(path, sizeof path, "%s/" NAME_BEFORE, s->directory);
	if (s->path && unlink(s->path) && s->directory[0])
		unlink(path);
}

void ms_server_close(struct ms_server *s)
{
	if (!s)
		return;
	ms_server_stop(s);
	for (struct ms_arrival *a; (a = ms_server_take(s));)
		ms_arrival_free(a);
	if (s->stop >= 0)
		close(s->stop);
	unlink_socket(s);
	if (s->directory[0])
		rmdir(s->directory);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

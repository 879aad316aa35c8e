/* See remote.h. */
#include "remote.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x3145544fu /* "OTE1" */

enum {
	GUESTS_MAX = 8,	      /* connections whose request has not come yet */
	PATIENCE_S = 2,	      /* how long one may take to send it */
	ANSWER_PATIENCE_S = 10,
	TEXT_MAX = 1024,
};

struct request {
	uint32_t magic, verb, name_len;
	char name[MS_MARK_MAX];
};

struct answer {
	uint32_t magic;
	int32_t is_refused;
	char text[TEXT_MAX];
};

struct guest {
	int fd;
	time_t since;
};

struct ms_remote {
	pthread_mutex_t mutex; /* of the listener: the file may be replaced by another thread */
	int listener;	       /* -1: nobody is listened to any more */
	bool has_ended;
	struct guest guests[GUESTS_MAX];
	size_t n_guests;
};

/* The address that stands for a file, and its length. */
static socklen_t address_of(const struct stat *st, struct sockaddr_un *addr)
{
	memset(addr, 0, sizeof *addr);
	addr->sun_family = AF_UNIX;
	int n = snprintf(addr->sun_path + 1, sizeof addr->sun_path - 1, "msrecord/%llx:%llx",
		(unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static bool peer_of(int fd, uid_t *uid)
{
	struct ucred peer;
	socklen_t len = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	*uid = peer.uid;
	return true;
}

static time_t seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* ---- the recorder's end ----------------------------------------------------------------------------- */

/* A socket that listens for requests about the file, or a negative errno. */
static int listen_for(int trace_fd)
{
	struct sockaddr_un addr;
	struct stat st;
	if (fstat(trace_fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	socklen_t len = address_of(&st, &addr);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, len) || listen(fd, GUESTS_MAX)) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

int ms_remote_open(int trace_fd, struct ms_remote **out)
{
	int fd = listen_for(trace_fd);
	if (fd < 0)
		return fd;
	struct ms_remote *r = calloc(1, sizeof *r);
	if (!r) {
		close(fd);
		return -ENOMEM;
	}
	pthread_mutex_init(&r->mutex, NULL);
	r->listener = fd;
	*out = r;
	return 0;
}

/* With the mutex held. */
static void stop_listening(struct ms_remote *r)
{
	if (r->listener >= 0)
		close(r->listener);
	r->listener = -1;
}

int ms_remote_move(struct ms_remote *r, int trace_fd)
{
	int rc = 0;
	pthread_mutex_lock(&r->mutex);
	stop_listening(r);
	if (!r->has_ended) {
		rc = listen_for(trace_fd);
		r->listener = rc;
	}
	pthread_mutex_unlock(&r->mutex);
	return rc < 0 ? rc : 0;
}

static int accept_guest(struct ms_remote *r)
{
	pthread_mutex_lock(&r->mutex);
	int fd = r->listener < 0 ? -1 : accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	pthread_mutex_unlock(&r->mutex);
	return fd;
}

static void send_answer(int fd, bool is_refused, const char *text)
{
	struct answer a = {.magic = MAGIC, .is_refused = is_refused};
	snprintf(a.text, sizeof a.text, "%s", text);
	while (send(fd, &a, sizeof a, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR)
		;
	close(fd);
}

void ms_remote_answer(const struct ms_remote_request *request, const char *text)
{
	send_answer(request->fd, false, text);
}

static bool is_valid(const struct request *rq, size_t n)
{
	return n == sizeof *rq && rq->magic == MAGIC && rq->verb >= MS_REMOTE_START &&
	       rq->verb <= MS_REMOTE_STATUS && rq->name_len <= sizeof rq->name;
}

/* 1: a request; 0: none yet; -1: the guest has got its refusal, or has gone. */
static int receive(int fd, struct ms_remote_request *request)
{
	struct request rq;
	uid_t uid;
	ssize_t n = recv(fd, &rq, sizeof rq, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || !peer_of(fd, &uid)) {
		close(fd);
		return -1;
	}
	if (uid != geteuid() && uid != 0) {
		send_answer(fd, true, "it is being recorded by another user");
		return -1;
	}
	if (!is_valid(&rq, (size_t)n)) {
		send_answer(fd, true, "this msrecord and the one that records are of different versions");
		return -1;
	}
	*request = (struct ms_remote_request){
		.fd = fd, .verb = (enum ms_remote_verb)rq.verb, .name_len = rq.name_len};
	memcpy(request->name, rq.name, rq.name_len);
	return 1;
}

bool ms_remote_next(struct ms_remote *r, struct ms_remote_request *request)
{
	while (r->n_guests < GUESTS_MAX) {
		int fd = accept_guest(r);
		if (fd < 0)
			break;
		r->guests[r->n_guests++] = (struct guest){fd, seconds_now()};
	}
	for (size_t i = 0; i < r->n_guests;) {
		struct guest *g = &r->guests[i];
		int rc = receive(g->fd, request);
		if (rc == 0 && seconds_now() - g->since <= PATIENCE_S) {
			i++;
			continue;
		}
		if (rc == 0)
			close(g->fd);
		*g = r->guests[--r->n_guests];
		if (rc > 0)
			return true;
	}
	return false;
}

void ms_remote_end(struct ms_remote *r)
{
	if (!r)
		return;
	while (r->n_guests)
		close(r->guests[--r->n_guests].fd);
	pthread_mutex_lock(&r->mutex);
	stop_listening(r);
	r->has_ended = true;
	pthread_mutex_unlock(&r->mutex);
}

void ms_remote_close(struct ms_remote *r)
{
	if (!r)
		return;
	ms_remote_end(r);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

/* ---- the other end ---------------------------------------------------------------------------------- */

static int refuse(char *text, size_t size, const char *why)
{
	snprintf(text, size, "%s", why);
	return -1;
}

/* A connection to whoever records the file, or -1 and why not. */
static int dial(const struct stat *st, char *text, size_t size)
{
	struct sockaddr_un addr;
	struct timeval timeout = {.tv_sec = ANSWER_PATIENCE_S};
	socklen_t len = address_of(st, &addr);
	uid_t uid;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(text, size, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	if (connect(fd, (struct sockaddr *)&addr, len)) {
		refuse(text, size, errno == ECONNREFUSED ? "no recording of it is running" : strerror(errno));
	} else if (!peer_of(fd, &uid) || (uid != geteuid() && uid != st->st_uid && uid != 0)) {
		refuse(text, size, "somebody else than its owner answers for it");
	} else {
		return fd;
	}
	close(fd);
	return -1;
}

int ms_remote_ask(const char *path, enum ms_remote_verb verb, const char *name, char *text, size_t size)
{
	struct request rq = {.magic = MAGIC, .verb = verb, .name_len = (uint32_t)strlen(name)};
	struct answer a;
	struct stat st;
	if (stat(path, &st))
		return refuse(text, size, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(text, size, "it is not a regular file");
	if (rq.name_len > sizeof rq.name)
		return refuse(text, size, "the name is longer than 255 bytes");
	memcpy(rq.name, name, rq.name_len);
	int fd = dial(&st, text, size);
	if (fd < 0)
		return -1;
	ssize_t n = -1;
	if (send(fd, &rq, sizeof rq, MSG_NOSIGNAL) == (ssize_t)sizeof rq)
		n = recv(fd, &a, sizeof a, 0);
	int error = errno;
	close(fd);
	if (n < 0)
		return refuse(text, size, error == EAGAIN ? "the recorder does not answer" : strerror(error));
	if (n != (ssize_t)sizeof a || a.magic != MAGIC)
		return refuse(text, size, n == 0 ? "the recording has just ended"
						 : "this msrecord and the one that records are of different versions");
	a.text[sizeof a.text - 1] = 0;
	snprintf(text, size, "%s", a.text);
	return a.is_refused ? -1 : 0;
}

/* The handshake of wire.h and the waits for room. See segment.h. */
#include "segment.h"

#include "rawcall.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct ms_session ms_session;

enum { HANDSHAKE_TIMEOUT_S = 5, EINTR_RAW = -4, EAGAIN_RAW = -11 };
#define PATIENCE_NS 5000000000u
#define STEP_MOST_NS 100000000u

static long retried(long number, long a, long b, long c)
{
	long rc;
	do
		rc = ms_rawcall(number, a, b, c, 0, 0, 0);
	while (rc == EINTR_RAW);
	return rc;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		ms_rawcall(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* ---- the handshake ---- */

/* A connected socket whose operations time out, or -1. */
static int dial(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = HANDSHAKE_TIMEOUT_S};
	size_t len = strlen(path);
	if (len >= sizeof(addr.sun_path))
		return -1;
	memcpy(addr.sun_path, path, len);
	int fd = (int)ms_rawcall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0, 0, 0);
	if (fd < 0)
		return -1;
	ms_rawcall(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&timeout, sizeof(timeout), 0);
	ms_rawcall(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&timeout, sizeof(timeout), 0);
	if (retried(SYS_connect, fd, (long)&addr, sizeof(addr)) < 0) {
		close_fd(fd);
		return -1;
	}
	return fd;
}

/* The descriptor that came with a message, or -1. */
static int descriptor_in(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd = -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

void ms_notice_of_self(struct ms_notice *n, enum ms_obstacle why)
{
	memset(n, 0, sizeof(*n));
	n->hello = (struct ms_hello){.magic = MS_WIRE_MAGIC, .abi = MS_WIRE_ABI, .image = MS_IMAGE_UNFOLLOWED};
	n->hello.pid = n->own_pid = (uint32_t)ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0);
	n->hello.ppid = (uint32_t)ms_rawcall(SYS_getppid, 0, 0, 0, 0, 0, 0);
	n->obstacle = why;
	long len = ms_rawcall(SYS_readlink, (long)"/proc/self/exe", (long)n->text, sizeof(n->text), 0, 0, 0);
	n->path_len = len > 0 ? (uint16_t)len : 0;
}

/* The recorder, when it goes on, shall find that we do so without it, even if we have ended by then. */
static __attribute__((noinline, cold)) void leave_word(int sock)
{
	struct ms_notice n;
	ms_notice_of_self(&n, MS_OBSTACLE_SILENCE);
	ms_rawcall(SYS_sendto, sock, (long)&n, sizeof(n), MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
}

/* Sends the hello and returns the segment's descriptor, or -1 if we are not welcome. */
static int exchange(int sock, struct ms_hello *hello)
{
	struct ms_welcome welcome = {0};
	struct iovec io = {&welcome, sizeof(welcome)};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	long rc;
	do
		rc = ms_rawcall(SYS_sendto, sock, (long)hello, sizeof(*hello), MSG_NOSIGNAL, 0, 0);
	while (rc == EINTR_RAW);
	if (rc != sizeof(*hello))
		return -1;
	rc = retried(SYS_recvmsg, sock, (long)&msg, MSG_CMSG_CLOEXEC);
	if (rc == EAGAIN_RAW)
		leave_word(sock);
	if (rc < 0)
		return -1;
	int fd = descriptor_in(&msg);
	if (rc == sizeof(welcome) && welcome.magic == MS_WIRE_MAGIC && welcome.abi == MS_WIRE_ABI &&
		welcome.status == MS_WELCOME)
		return fd;
	close_fd(fd);
	return -1;
}

/* What is mapped counts against the program's limit of address space (ulimit -v), which nearly the whole segment, being
 * sparse, would do for nothing. So where there is a limit, only the first bytes are mapped, a SHARE-th of it at most. */
static uint64_t bytes_to_map(void)
{
	enum { SHARE = 64 };
	struct rlimit limit;
	if (ms_rawcall(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&limit, 0, 0) < 0 ||
		limit.rlim_cur / SHARE > MS_SEGMENT_SIZE)
		return MS_SEGMENT_SIZE;
	return limit.rlim_cur / SHARE / MS_PAGE * MS_PAGE;
}

/* Maps the segment; a file that is too small, or may become so, would turn a store into SIGBUS. */
static void *map_segment(int fd, uint64_t size)
{
	struct stat st;
	long seals = ms_rawcall(SYS_fcntl, fd, F_GET_SEALS, 0, 0, 0, 0);
	if (ms_rawcall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) < 0 || (uint64_t)st.st_size < MS_SEGMENT_SIZE ||
		seals < 0 || !(seals & F_SEAL_SHRINK) || size < MS_OFF_CHUNKS)
		return NULL;
	long at = ms_rawcall(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at < 0 && at > -4096)
		return NULL;
	ms_rawcall(SYS_madvise, at, (long)size, MADV_DONTFORK, 0, 0, 0);
	return (void *)at;
}

bool ms_session_may_read_tsc(void)
{
	int mode = PR_TSC_ENABLE;
	return ms_rawcall(SYS_prctl, PR_GET_TSC, (long)&mode, 0, 0, 0, 0) < 0 || mode == PR_TSC_ENABLE;
}

/* Keeps to the chunks that are mapped: a thread beyond those that find one besides the backlog gets no slot. */
static bool keep_within(struct ms_segment *seg, uint64_t size)
{
	enum { THREADS_AT_LEAST = 8 };
	uint64_t n = (size - MS_OFF_CHUNKS) / MS_CHUNK_SIZE;
	if (n >= seg->n_chunks)
		return true;
	if (n < seg->backlog + THREADS_AT_LEAST)
		return false;
	seg->n_chunks = (uint32_t)n;
	if (seg->n_slots > seg->n_chunks - seg->backlog)
		seg->n_slots = seg->n_chunks - seg->backlog;
	return true;
}

/* Copies what was agreed on out of the segment at base. False: it can not be used. */
static bool adopt(void *base, uint64_t size)
{
	struct ms_session s = {.base = base, .size = size};
	if (!ms_segment_view(&s.segment, base) || !keep_within(&s.segment, size))
		return false;
	const struct ms_control *ctl = s.segment.control;
	s.clock_base = ctl->clock_base;
	s.is_tsc = ctl->clock == MS_CLOCK_TSC;
	s.is_blocking = ctl->on_full == MS_FULL_BLOCK;
	s.has_free_stacks = ctl->free_stacks != 0 && ctl->stack_depth != 0;
	s.stack_depth = ctl->stack_depth < MS_MAX_STACK_DEPTH ? ctl->stack_depth : MS_MAX_STACK_DEPTH;
	bool usable = !s.is_tsc || ms_session_may_read_tsc();
	atomic_store(&s.segment.control->attached, usable ? MS_ATTACHED : MS_ATTACH_NO_TSC);
	if (usable)
		ms_session = s;
	return usable;
}

bool ms_session_open(const char *socket_path, enum ms_image image, uint64_t fork_id)
{
	struct ms_hello hello = {
		.magic = MS_WIRE_MAGIC, .abi = MS_WIRE_ABI, .image = image, .fork_id = fork_id};
	hello.pid = (uint32_t)ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0);
	hello.ppid = (uint32_t)ms_rawcall(SYS_getppid, 0, 0, 0, 0, 0, 0);
	hello.stamp = ms_session_may_read_tsc() ? ms_clock_raw(true, MS_RELEASING) : 0;
	int sock = dial(socket_path), fd = -1;
	void *base = NULL;
	bool is_open = false;
	if (sock < 0)
		return false;
	fd = exchange(sock, &hello);
	uint64_t size = bytes_to_map();
	if (fd >= 0)
		base = map_segment(fd, size);
	if (base)
		is_open = adopt(base, size);
	if (base && !is_open)
		ms_rawcall(SYS_munmap, (long)base, (long)size, 0, 0, 0, 0);
	close_fd(fd);
	close_fd(sock);
	return is_open;
}

void ms_session_notify(const char *socket_path, const struct ms_notice *notice)
{
	struct ms_welcome answer;
	int sock = dial(socket_path);
	long rc;
	if (sock < 0)
		return;
	do
		rc = ms_rawcall(SYS_sendto, sock, (long)notice, sizeof(*notice), MSG_NOSIGNAL, 0, 0);
	while (rc == EINTR_RAW);
	if (rc == sizeof(*notice)) /* having the answer, we know that it is known */
		retried(SYS_read, sock, (long)&answer, sizeof(answer));
	close_fd(sock);
}

/* ---- the recorder's health, and waiting for it ---- */

bool ms_session_is_over(void)
{
	struct ms_control *ctl = ms_session.segment.control;
	return (atomic_load_explicit(&ctl->recorder_lock, memory_order_relaxed) & FUTEX_OWNER_DIED) ||
	       atomic_load_explicit(&ctl->detached, memory_order_relaxed);
}

/* Until a chunk is free, a millisecond at most. False: a sandbox forbids futex. */
static bool sleep_a_little(struct ms_control *ctl, uint32_t gen)
{
	struct timespec step = {.tv_nsec = 1000000};
	atomic_fetch_add(&ctl->waiting, 1);
	long rc = ms_rawcall(SYS_futex, (long)&ctl->free_gen, FUTEX_WAIT, (long)gen, (long)&step, 0, 0);
	atomic_fetch_sub(&ctl->waiting, 1);
	return rc >= 0 || rc == EAGAIN_RAW || rc == EINTR_RAW || rc == -110 /* ETIMEDOUT */;
}

/* In a sandbox there is no way to wait but this; the recorder looks by itself every few milliseconds. */
static void spin_a_little(void)
{
	for (unsigned i = 0; i < 1000; i++)
		__builtin_ia32_pause();
}

enum ms_wait ms_session_wait(struct ms_waiter *waiter)
{
	struct ms_control *ctl = ms_session.segment.control;
	uint32_t gen = atomic_load(&ctl->free_gen);
	uint64_t now = ms_clock_monotonic_ns();
	if (!waiter->looked_ns || waiter->gen != gen)
		*waiter = (struct ms_waiter){.looked_ns = now, .gen = gen};
	uint64_t step = now - waiter->looked_ns;
	waiter->waited_ns += step < STEP_MOST_NS ? step : STEP_MOST_NS;
	waiter->looked_ns = now;
	if (atomic_load(&ms_session.stuck_at) == (uint64_t)gen + 1)
		return MS_WAIT_GIVE_UP;
	if (waiter->waited_ns > PATIENCE_NS) {
		atomic_store(&ms_session.stuck_at, (uint64_t)gen + 1);
		return MS_WAIT_GIVE_UP;
	}
	if (!ms_may_ask() || !sleep_a_little(ctl, gen))
		spin_a_little();
	return MS_WAIT_AGAIN;
}

void ms_session_nudge(void)
{
	struct ms_control *ctl = ms_session.segment.control;
	if (atomic_load_explicit(&ctl->chunks_in_use, memory_order_relaxed) * 2 <
			ms_session.segment.backlog ||
		!ms_may_ask() || !atomic_load_explicit(&ctl->recorder_asleep, memory_order_relaxed) ||
		!atomic_exchange(&ctl->recorder_asleep, 0))
		return;
	ms_rawcall(SYS_futex, (long)&ctl->recorder_asleep, FUTEX_WAKE, 1, 0, 0, 0);
}

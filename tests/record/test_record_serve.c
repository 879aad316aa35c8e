/* The door: who is let in, who is not, and that nobody holds up another. The test is the traced program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve.h"

static _Atomic int n_wakes;

static void count_wake(void *ctx)
{
	(void)ctx;
	n_wakes++;
}

static struct ms_clock_map clock_map;

static struct ms_server *open_server(enum ms_follow follow, pid_t first_pid)
{
	const struct ms_server_options opt = {
		.segments = {.clock_base = 77,
			.clock = MS_CLOCK_MONOTONIC,
			.on_full = MS_FULL_BLOCK,
			.stack_depth = 9,
			.backlog = 5},
		.follow = follow,
		.clock = &clock_map,
		.wake = count_wake,
	};
	struct ms_server *s = NULL;
	ms_clock_start(&clock_map, MS_CLOCK_MONOTONIC);
	n_wakes = 0;
	assert_int_equal(ms_server_open(&opt, &s), 0);
	assert_int_equal(ms_server_start(s, first_pid), 0);
	return s;
}

static int dial(const struct ms_server *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = 600};
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s", strchr(ms_server_variable(s), '=') + 1);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	return fd;
}

static struct ms_hello good_hello(enum ms_image image)
{
	return (struct ms_hello){
		.magic = MS_WIRE_MAGIC, .abi = MS_WIRE_ABI, .image = image, .pid = (uint32_t)getpid()};
}

/* Sends n bytes and returns the status of the answer, 0 when the door is closed in our face; *passed is the
 * descriptor that came, or -1. */
static uint32_t say(int fd, const void *bytes, size_t n, int *passed)
{
	struct ms_welcome welcome = {0};
	struct iovec io = {&welcome, sizeof welcome};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	*passed = -1;
	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
	ssize_t got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (got == 0)
		return 0;
	assert_int_equal(got, sizeof welcome);
	assert_int_equal(welcome.magic, MS_WIRE_MAGIC);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c)
		memcpy(passed, CMSG_DATA(c), sizeof *passed);
	return welcome.status;
}

static uint32_t ask(const struct ms_server *s, const struct ms_hello *hello, int *passed)
{
	int fd = dial(s);
	uint32_t status = say(fd, hello, sizeof *hello, passed);
	close(fd);
	return status;
}

static void image_gets_a_sealed_segment_filled_in(void **state)
{
	struct ms_server *s = open_server(MS_FOLLOW_ALL, getpid());
	struct ms_hello hello = good_hello(MS_IMAGE_NEW);
	struct ms_control control;
	int fd;
	(void)state;
	hello.fork_id = 4711;
	assert_int_equal(ask(s, &hello, &fd), MS_WELCOME);
	assert_int_equal(pread(fd, &control, sizeof control, 0), sizeof control);
	assert_int_equal(control.magic, MS_WIRE_MAGIC);
	assert_int_equal(control.clock_base, 77);
	assert_int_equal(control.stack_depth, 9);
	assert_int_equal(control.backlog, 5);
	assert_true(control.recorder_lock != 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
	struct ms_arrival *a = ms_server_take(s);
	assert_non_null(a);
	assert_null(a->next);
	assert_int_equal(a->pid, getpid());
	assert_int_equal(a->hello.fork_id, 4711);
	assert_true(a->exe_len > 0 && a->cmdline_len > 0 && a->exe_id[1] != 0);
	assert_int_equal(n_wakes, 1);
	assert_null(ms_server_take(s));
	ms_arrival_free(a);
	ms_server_close(s);
}

/* Who takes one and fails at it leaves the others to whoever sends them away, and the server to free. */
static void arrivals_are_taken_one_at_a_time(void **state)
{
	struct ms_server *s = open_server(MS_FOLLOW_ALL, getpid());
	struct ms_hello hello = good_hello(MS_IMAGE_NEW);
	int fd;
	(void)state;
	for (uint64_t i = 1; i <= 4; i++) {
		hello.fork_id = i;
		assert_int_equal(ask(s, &hello, &fd), MS_WELCOME);
		close(fd);
	}
	for (uint64_t i = 1; i <= 2; i++) {
		struct ms_arrival *a = ms_server_take(s);
		assert_non_null(a);
		assert_null(a->next);
		assert_int_equal(a->hello.fork_id, i);
		ms_arrival_free(a);
	}
	ms_server_close(s);
}

static void hello_of_another_build_is_refused_and_counted(void **state)
{
	struct ms_server *s = open_server(MS_FOLLOW_ALL, getpid());
	struct ms_hello hello = good_hello(MS_IMAGE_NEW);
	struct ms_refusals refused;
	int fd;
	(void)state;
	hello.abi++;
	assert_int_equal(ask(s, &hello, &fd), MS_REFUSED_ABI);
	hello = good_hello(MS_IMAGE_NEW);
	hello.magic++;
	assert_int_equal(ask(s, &hello, &fd), MS_REFUSED_ABI);
	hello = good_hello((enum ms_image)3);
	assert_int_equal(ask(s, &hello, &fd), MS_REFUSED_ABI);
	int sock = dial(s);
	assert_int_equal(say(sock, &hello, sizeof hello - 1, &fd), MS_REFUSED_ABI);
	close(sock);
	assert_int_equal(fd, -1);
	ms_server_refusals(s, &refused);
	assert_int_equal(refused.wrong_abi, 4);
	assert_int_equal(refused.failed, 0);
	assert_null(ms_server_take(s));
	ms_server_close(s);
}

/* What image of which pid (ours, or not the command's) is told under each way to follow. */
static void who_is_followed_is_as_the_user_said(void **state)
{
	static const struct {
		enum ms_follow follow;
		enum ms_image image;
		uint32_t status;
	} cases[] = {
		{MS_FOLLOW_NONE, MS_IMAGE_NEW, MS_NOT_FOLLOWED},
		{MS_FOLLOW_NONE, MS_IMAGE_FORKED, MS_NOT_FOLLOWED},
		{MS_FOLLOW_FORK, MS_IMAGE_NEW, MS_NOT_FOLLOWED},
		{MS_FOLLOW_FORK, MS_IMAGE_FORKED, MS_WELCOME},
		{MS_FOLLOW_EXEC, MS_IMAGE_NEW, MS_WELCOME},
		{MS_FOLLOW_EXEC, MS_IMAGE_FORKED, MS_NOT_FOLLOWED},
		{MS_FOLLOW_ALL, MS_IMAGE_NEW, MS_WELCOME},
		{MS_FOLLOW_ALL, MS_IMAGE_FORKED, MS_WELCOME},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ms_server *s = open_server(cases[i].follow, 1);
		struct ms_hello hello = good_hello(cases[i].image);
		int fd;
		assert_int_equal(ask(s, &hello, &fd), cases[i].status);
		assert_int_equal(fd >= 0, cases[i].status == MS_WELCOME);
		if (fd >= 0)
			close(fd);
		ms_server_close(s);
	}
}

static void command_itself_is_followed_once_in_any_case(void **state)
{
	struct ms_server *s = open_server(MS_FOLLOW_NONE, getpid());
	struct ms_hello hello = good_hello(MS_IMAGE_NEW);
	int fd;
	(void)state;
	assert_int_equal(ask(s, &hello, &fd), MS_WELCOME);
	close(fd);
	assert_int_equal(ask(s, &hello, &fd), MS_NOT_FOLLOWED); /* what it execs is another program */
	ms_server_close(s);
}

static void silent_guests_hold_up_nobody(void **state)
{
	struct ms_server *s = open_server(MS_FOLLOW_ALL, getpid());
	struct ms_hello hello = good_hello(MS_IMAGE_NEW);
	int silent[40], fd;
	(void)state;
	for (size_t i = 0; i < 40; i++)
		silent[i] = dial(s);
	assert_int_equal(ask(s, &hello, &fd), MS_WELCOME);
	close(fd);
	for (size_t i = 0; i < 40; i++)
		close(silent[i]);
	assert_int_equal(ask(s, &hello, &fd), MS_WELCOME);
	close(fd);
	ms_server_close(s);
}

static void stopped_door_refuses_connections(void **state)
{
	struct ms_server *s = open_server(MS_FOLLOW_ALL, getpid());
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	(void)state;
	ms_server_stop(s);
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s", strchr(ms_server_variable(s), '=') + 1);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	ms_server_close(s);
}

static void directory_is_private_and_goes_with_the_server(void **state)
{
	struct ms_server *s = open_server(MS_FOLLOW_ALL, getpid());
	char directory[100];
	struct stat st;
	(void)state;
	snprintf(directory, sizeof directory, "%s", ms_server_directory(s));
	assert_int_equal(stat(directory, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	ms_server_close(s);
	assert_int_equal(stat(directory, &st), -1);
}

static void directory_of_a_killed_server_is_swept_up_by_the_next(void **state)
{
	char directory[100] = "";
	struct stat st;
	int tube[2];
	(void)state;
	assert_int_equal(pipe(tube), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct ms_server *s = open_server(MS_FOLLOW_ALL, getpid());
		_exit(write(tube[1], ms_server_directory(s), strlen(ms_server_directory(s))) > 0
				? 0
				: 1); /* as if killed */
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(read(tube[0], directory, sizeof directory - 1) > 0);
	close(tube[0]);
	close(tube[1]);
	assert_int_equal(stat(directory, &st), 0);
	struct ms_server *s = open_server(MS_FOLLOW_ALL, getpid());
	assert_int_equal(stat(directory, &st), -1);
	ms_server_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_gets_a_sealed_segment_filled_in),
		cmocka_unit_test(arrivals_are_taken_one_at_a_time),
		cmocka_unit_test(hello_of_another_build_is_refused_and_counted),
		cmocka_unit_test(who_is_followed_is_as_the_user_said),
		cmocka_unit_test(command_itself_is_followed_once_in_any_case),
		cmocka_unit_test(silent_guests_hold_up_nobody),
		cmocka_unit_test(stopped_door_refuses_connections),
		cmocka_unit_test(directory_is_private_and_goes_with_the_server),
		cmocka_unit_test(directory_of_a_killed_server_is_swept_up_by_the_next),
	};
	/* Another msrecord would sweep up what is left in a directory that all share. */
	char directory[] = "/tmp/mstest-serve-XXXXXX";
	if (ms_share_init() || !mkdtemp(directory) || setenv("TMPDIR", directory, 1))
		return 1;
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return rc;
}

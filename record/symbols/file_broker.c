/* See file_broker.h. */
#include "file_broker.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "elf_file.h"

enum {
	PATH_ROOM = 4096, /* PATH_MAX: with its NUL */
};

/* Room for one descriptor, aligned as the header in front of it wants to be. */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int ms_broker_ask(int socket, const char *path)
{
	size_t len = strnlen(path, PATH_ROOM);
	union control control;
	int32_t error = EPROTO;
	struct iovec iov = { .iov_base = &error, .iov_len = sizeof(error) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *head;
	ssize_t n;
	int fd;

	if (len == 0 || len == PATH_ROOM)
		return -ENOENT;
	do
		n = send(socket, path, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	while (n > 0 && (n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		n = 1;
	if (n != (ssize_t)sizeof(error))
		_exit(EPROTO); /* "there is no such file" would be a lie, and the answer lack its names */
	head = CMSG_FIRSTHDR(&msg);
	if (error != 0 || !head || head->cmsg_type != SCM_RIGHTS)
		return error > 0 ? -error : -EPROTO;
	memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

static int open_elf(const char *path, uint64_t max_bytes, uint64_t *size)
{
	char magic[SELFMAG];
	int fd = ms_elf_open_regular(path, max_bytes, size);

	if (fd < 0)
		return fd;
	if (pread(fd, magic, sizeof(magic), 0) != (ssize_t)sizeof(magic) || memcmp(magic, ELFMAG, SELFMAG) != 0) {
		close(fd);
		return -ENOEXEC;
	}
	return fd;
}

static int answer(int socket, int fd)
{
	int32_t error = fd < 0 ? -fd : 0;
	union control control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = &error, .iov_len = sizeof(error) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL) < 0 ? -errno : 1;
}

int ms_broker_answer(int socket, uint64_t max_bytes, uint64_t *opened)
{
	char path[PATH_ROOM];
	uint64_t size = 0;
	ssize_t n = recv(socket, path, sizeof(path) - 1, MSG_DONTWAIT);
	int fd, rc;

	if (n <= 0)
		return n < 0 && errno != EAGAIN && errno != EINTR ? -errno : n < 0;
	path[n] = '\0';
	fd = open_elf(path, max_bytes, &size);
	rc = answer(socket, fd);
	if (fd >= 0) {
		*opened += size;
		close(fd);
	}
	return rc;
}

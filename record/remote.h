/* remote.h - msrecord --control: how one msrecord steers the one that is writing a trace.
 *
 *	msrecord -o app.mst ./app                    msrecord --control app.mst mark parsed
 *	listens as "msrecord/DEVICE:INODE"  <-----  connects to the name that app.mst itself gives it
 *
 * The place is an abstract SOCK_SEQPACKET address made of the trace's device and inode: it is found by whatever path
 * leads to the file, cannot be left behind by a recorder that was killed, and leaves nothing in a directory. Such
 * addresses have no permissions, so both ends ask the kernel who the other one is: msrecord obeys its own user and
 * root; the client believes its own user, the trace's owner and root. One request, one answer, one connection. */
#ifndef MS_REMOTE_H
#define MS_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

enum ms_remote_verb { MS_REMOTE_START = 1, MS_REMOTE_STOP, MS_REMOTE_MARK, MS_REMOTE_STATUS };

struct ms_remote_request {
	int fd; /* of the one who waits for the answer */
	enum ms_remote_verb verb;
	size_t name_len;
	char name[MS_MARK_MAX]; /* MARK; any bytes, not terminated */
};

struct ms_remote;

/* Listens for requests about the regular file at trace_fd. 0 or a negative errno: EADDRINUSE: somebody listens there
 * already. */
int ms_remote_open(int trace_fd, struct ms_remote **out);
/* The trace is about to become the file at trace_fd, which replaces the one there was: listens for that from now on, and for
 * the old one no more, whose number another file may get. 0 or a negative errno: then nobody is listened to. Any thread. */
int ms_remote_move(struct ms_remote *r, int trace_fd);
/* The next request, if one is there; never waits. It must be answered. */
bool ms_remote_next(struct ms_remote *r, struct ms_remote_request *request);
/* Answers with a text (NULL-terminated, less than 1 KiB) and closes the connection. */
void ms_remote_answer(const struct ms_remote_request *request, const char *text);
/* Nobody is listened to any more, also not after a move. To be called before the file is closed. NULL is fine. */
void ms_remote_end(struct ms_remote *r);
void ms_remote_close(struct ms_remote *r); /* ends and frees; NULL is fine */

/* The client: asks the msrecord that writes the trace at path and waits for its answer, for ten seconds at most. 0 and the
 * text, or -1 and why not (both in `text`). */
int ms_remote_ask(const char *path, enum ms_remote_verb verb, const char *name, char *text, size_t size);

#endif

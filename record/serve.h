/* serve.h - the door: where process images of the traced program come to fetch their segment.
 *
 * A SOCK_SEQPACKET socket in a directory that only we may enter, served by a thread of its own: an image
 * waits in its very first heap call, so it must never wait for a drain pass. The thread checks the hello,
 * makes the segment, notes what /proc says of the image while it stands still, and queues it as an arrival
 * for the session; only then does the image go on. It is the only part of msrecord that answers programs, and
 * it writes nothing but welcomes. */
#ifndef MS_SERVE_H
#define MS_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "selection.h"
#include "share.h"
#include "timebase.h"
#include "wire.h"

enum ms_follow { MS_FOLLOW_NONE, MS_FOLLOW_FORK, MS_FOLLOW_EXEC, MS_FOLLOW_ALL };

/* A process image that has its segment; or, with an obstacle, one that will never come for it (or, if that is
 * MS_OBSTACLE_NONE, did not come to be after all): then pid, if known, stamp, hello, exe and cmdline are all. */
struct ms_arrival {
	struct ms_arrival *next;
	struct ms_hello hello; /* with what image the rest depends on */
	enum ms_obstacle obstacle;
	struct ms_share share;
	pid_t pid;	/* as we see it */
	uint64_t stamp; /* when it was let in: before its first event */
	int pidfd;
	int proc_dir;	/* descriptor of its /proc/PID, or negative */
	int tmp_dir;	/* of what it sees as /tmp; AT_FDCWD: as we do; -1: not known */
	uid_t uid;	/* whose process it is */
	uint64_t exe_id[2]; /* device and inode; zeros = unknown */
	size_t exe_len, cmdline_len, maps_len;
	char *exe, *cmdline; /* not terminated; NULL if empty */
	char *maps; /* of an image that does not come from a fork: what it has mapped, as /proc has it; the same */
};
/* Frees what is left in it (a taker that keeps something clears the field) and the arrival. */
void ms_arrival_free(struct ms_arrival *a);

struct ms_server;

struct ms_server_options {
	struct ms_share_config segments;
	enum ms_follow follow;
	struct ms_selection selection;
	const struct ms_clock_map *clock; /* for stamps; only its constant parts are read */
	void (*wake)(void *ctx);	  /* called by the server's thread after each arrival */
	void *ctx;
};

/* Makes the directory and the socket. 0 or a negative errno; then *out is untouched. */
int ms_server_open(const struct ms_server_options *opt, struct ms_server **out);
/* "MSTRACE_SOCKET=..." for the program's environment. Lives as long as the server. */
const char *ms_server_variable(const struct ms_server *s);
/* Does a program still run that has it in its environment? */
bool ms_server_is_referred_to(const struct ms_server *s);
/* How many programs run that may still come: they have it in their environment. `is_late`: only those of which nothing is
 * known that keeps them from coming, which takes longer to find out. Those that have come are among them. */
size_t ms_server_count_expected(const struct ms_server *s, bool is_late);
/* The directory, for other things that must vanish with the recording. */
const char *ms_server_directory(const struct ms_server *s);
/* Starts answering; first_pid is the command, which is followed in any case, if it is selected. 0 or a negative errno. */
int ms_server_start(struct ms_server *s, pid_t first_pid);
/* The oldest arrival that has not been taken yet, or NULL. It is the caller's. */
struct ms_arrival *ms_server_take(struct ms_server *s);
/* Who came and could not be recorded. */
struct ms_refusals {
	uint64_t wrong_abi; /* another build of the library */
	uint64_t failed;    /* memory, descriptors or the socket failed us */
	int error;	    /* errno of the first such failure */
};
void ms_server_refusals(struct ms_server *s, struct ms_refusals *out);
/* What images that come from now on are told (ms_share_pause). Those let in earlier are handed out by ms_server_take. */
void ms_server_pause(struct ms_server *s, bool is_paused);
/* Stops answering: who comes now finds no door and goes on unrecorded. */
void ms_server_stop(struct ms_server *s);
/* Stops, removes socket and directory. NULL is fine. */
void ms_server_close(struct ms_server *s);

#endif

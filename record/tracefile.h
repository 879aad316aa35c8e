/* tracefile.h - the file a recording goes to: new, ours alone, and under its name from the first frame on, so
 * that it can be read while it grows and after a crash. (What tools print goes through cli/out.h, which shows
 * a file only when it is complete: the opposite is wanted here.) */
#ifndef MS_TRACEFILE_H
#define MS_TRACEFILE_H

#include <stdbool.h>
#include <sys/types.h>

struct ms_tracefile {
	int fd;		 /* -1 = not open */
	char path[4096]; /* "-" = standard output */
	bool is_new;	 /* made by us: removed again if nothing was recorded */
	char next[4200]; /* name of the file that is to take its place; "" = it has none yet */
	void (*on_next)(void *ctx, int fd); /* NULL, or told of the file that is about to take the place */
	void *ctx;
};

/* Opens path, or with path NULL a default made of the command's name and pid, NAME.PID.mst. An existing file
 * is an error unless is_forced; then a regular file is replaced (what has it open keeps the old one), and a
 * FIFO or device is written to. Symbolic links are never followed. 0, or -1 with a reason in *why (static
 * storage); path is set. */
int ms_tracefile_open(struct ms_tracefile *f, const char *path, const char *command, pid_t pid,
	bool is_forced, const char **why);
/* A file beside a new one, to take its place when it is complete; only one at a time. Where the system can,
 * it has no name until then: whatever ends us leaves nothing behind. A descriptor to read and write, or a
 * negative errno. */
int ms_tracefile_begin_next(struct ms_tracefile *f);
/* fd, from begin_next, gets the name, in one step, and is f's from now on; the old one is closed. 0 or a
 * negative errno: then nothing has changed. */
int ms_tracefile_commit_next(struct ms_tracefile *f, int fd);
/* Closes and removes fd, from begin_next. */
void ms_tracefile_abandon_next(struct ms_tracefile *f, int fd);
/* Closes; 0, the errno of close, or ENOENT: somebody has removed or replaced the file, wherever it was. A descriptor of -1
 * is fine. */
int ms_tracefile_close(struct ms_tracefile *f);
/* Closes and removes the file if it is ours. */
void ms_tracefile_discard(struct ms_tracefile *f);

#endif

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
};

/* Opens path, or with path NULL a default made of the command's name and pid, NAME.PID.mst. An existing file
 * is an error unless is_forced; then a regular file is replaced (what has it open keeps the old one), and a
 * FIFO or device is written to. Symbolic links are never followed. 0, or -1 with a reason in *why (static
 * storage); path is set. */
int ms_tracefile_open(struct ms_tracefile *f, const char *path, const char *command, pid_t pid,
	bool is_forced, const char **why);
/* Closes; 0 or the errno of close. A descriptor of -1 is fine. */
int ms_tracefile_close(struct ms_tracefile *f);
/* Closes and removes the file if it is ours. */
void ms_tracefile_discard(struct ms_tracefile *f);

#endif

/* target.h - can this command be recorded at all? Found out before it is started, so that the user reads a
 * sentence and not an empty trace.
 *
 * The library gets into a program by LD_PRELOAD: a dynamic glibc program for this machine, that gains no
 * privileges and whose calls to malloc go through the dynamic linker. */
#ifndef MS_TARGET_H
#define MS_TARGET_H

#include <stddef.h>

enum ms_target_verdict {
	MS_TARGET_GOOD,
	MS_TARGET_DOUBTFUL,	  /* start it, but say this first */
	MS_TARGET_UNFIT,	  /* 125: cannot be recorded */
	MS_TARGET_NOT_EXECUTABLE, /* 126 */
	MS_TARGET_NOT_FOUND,	  /* 127 */
};

struct ms_target {
	enum ms_target_verdict verdict;
	char why[4096 + 512]; /* unless GOOD: what is wrong, and what to do */
	char path[4096];      /* of the program inspected: for a script its interpreter. "" = none was found */
};

/* Finds argv0 as execvp(3) would and looks at it. A script's interpreter is looked at in its place. */
void ms_target_inspect(const char *argv0, struct ms_target *t);

#endif

/* library.h - where libmscapture.so is, as LD_PRELOAD can name it. */
#ifndef MS_LIBRARY_H
#define MS_LIBRARY_H

struct ms_library {
	char path[4096]; /* of the file */
	char name[4096]; /* for LD_PRELOAD: the same, or a link to it */
	char link[4096]; /* made by us; "" = none */
};

/* Looks in $MSTRACE_CAPTURE_LIB, beside this program as built and as installed, and where it was configured
 * to be installed. LD_PRELOAD separates by blanks and colons: a path with those is reached by a link made in
 * `directory`. 0, or -1 with a sentence in *why (static storage). */
int ms_library_find(struct ms_library *lib, const char *directory, const char **why);
/* Removes the link. */
void ms_library_release(struct ms_library *lib);

#endif

/* wraps.h - the functions of the program that --wrap names: what is said of them, and what became of them.
 *
 *	alloc=NAME[:SIZE],free=NAME[:BLOCK],realloc=NAME[:BLOCK:SIZE][,name=TEXT]
 *
 * One such text is one pool; alloc, free and realloc may be given several times in it. SIZE is the number of an
 * argument, 1 to 6, or the product of two, 1*2; BLOCK is the number of the one that is the block given. */
#ifndef MS_WRAPS_H
#define MS_WRAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct ms_wrap_function {
	char *name;
	struct ms_wrapped as; /* but for name_off */
	uint64_t n_calls;     /* told of so far */
	bool in_executable;   /* the first program or another exports it, */
	bool in_library;      /* a library that some process had at its start, or that was met later, does */
	bool is_told;         /* ms_wraps_finding has said what is final */
};

struct ms_wrap_pool {
	char *name;
	uint32_t string;  /* its id in the trace; 0 = not there yet */
	uint64_t n_calls;
};

struct ms_wraps {
	struct ms_wrap_function functions[MS_WRAPS_MAX];
	struct ms_wrap_pool pools[MS_WRAPS_MAX];
	uint32_t n, n_pools;
	char **files; /* looked at; grows by doubling */
	size_t n_files, cap_files;
	char *program; /* the first one whose objects have all been looked at as it began; NULL: not yet */
	bool is_begun; /* ms_wraps_finding has gone through what was found in it */
};

/* Adds what one --wrap says. 0, or -1 with a sentence in `why`. All zeros is an empty set. */
int ms_wraps_add(struct ms_wraps *w, const char *spec, char why[512]);
/* Is one of the names a function that `library`, the capture library, has or calls itself? Then it, else NULL. */
const char *ms_wraps_taken_name(struct ms_wraps *w, const char *library);
void ms_wraps_release(struct ms_wraps *w);

/* Notes which of the functions the file exports, when it is seen for the first time. */
void ms_wraps_look(struct ms_wraps *w, const char *path, size_t len, bool is_executable);

/* Function `number`, which a program may have made up: NULL if there is none. */
static inline struct ms_wrap_function *ms_wraps_get(struct ms_wraps *w, uint64_t number)
{
	return w && number < w->n ? &w->functions[number] : NULL;
}

/* All that the program at `path` has loaded at its start has been looked at. */
void ms_wraps_begin(struct ms_wraps *w, const char *path, size_t len);

enum ms_wraps_verdict { MS_WRAPS_FINE, MS_WRAPS_MISSING_YET, MS_WRAPS_UNSEEN };
/* To be asked from time to time, for each function: a sentence on the i-th if there is something new to be said of it. It is
 * MISSING_YET, told once of the first program as it begins: nothing exports it so far, but a library that is loaded later, or another
 * program, may; or UNSEEN: it stands in an executable. */
enum ms_wraps_verdict ms_wraps_finding(struct ms_wraps *w, uint32_t i, char why[512]);
/* All functions have been asked for. */
void ms_wraps_found(struct ms_wraps *w);
/* The same at the end: true if it was not recorded as was wished for, and this has not been said. */
bool ms_wraps_complaint(const struct ms_wraps *w, uint32_t i, char why[512]);

#endif

/* torture.h - what the torture programs share.
 *
 * Each is run as torture_SUBJECT SCALE TRUTH. Its standard output must be the same natively and recorded. What
 * it did to the heap goes into the file TRUTH, one line "SIZE ACQUIRED RELEASED FAILED" for each size that only
 * it asks for: the trace must say the same. */
#ifndef TORTURE_H
#define TORTURE_H

#include <stdatomic.h>
#include <stddef.h>

/* The truth about one size, and the size. */
struct truth {
	size_t size;
	_Atomic long acquired, released, failed;
};

/* malloc of truth's size, written to and counted; aborts if there is no memory. */
void *take(struct truth *truth);

/* free of what take gave, counted. */
void give(struct truth *truth, void *p);

/* A call of the heap that fails before any lock is taken, counted: for handlers, and to be jumped out of,
 * since all its time is spent in the hook. It is made `depth` calls further down. */
void fail(struct truth *truth, int depth);

/* Runs n (at most 256) threads to their ends; each gets its number. Aborts if one can not be started. */
void in_threads(int n, void *(*run)(void *));

/* Waits for a child: its exit status, or 128 + the signal that ended it. */
int reap(int pid);

/* Appends the truth to the file argv[2], if there is one. */
void tell(char **argv, const struct truth *truth);

/* The scale: argv[1], or `fallback` without. */
long scale(char **argv, long fallback);

#endif

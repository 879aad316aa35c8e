/* victim_mode.h - what the files of the victim share: the table of behaviours each has, and a few words that
 * all of them use. */
#ifndef VICTIM_MODE_H
#define VICTIM_MODE_H

#include "victim.h"

#include <stddef.h>
#include <sys/types.h>

/* One behaviour; argv is main's, its third word an optional argument. Returns main's result. */
struct victim_mode {
	const char *name;
	int (*run)(char **argv);
};

/* Each ends with a row without a name. */
extern const struct victim_mode victim_calls[], victim_threads[], victim_signals[], victim_processes[],
	victim_seen[], victim_modules[], victim_mappings[];

extern struct truth *truth;
extern void *volatile keep; /* what is stored here is not optimised away */

/* malloc, kept. */
void *grab(size_t n);

/* The behaviour's argument, a number, or what it is without. */
long number(char **argv, long fallback);

/* Runs n (at most 128) threads to their ends; each gets its number. */
void in_threads(int n, void *(*run)(void *));

/* Waits for a child; its exit status, or 128 if a signal ended it. */
int reap(pid_t pid);

#endif

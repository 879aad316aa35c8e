/* problem.h - filling a struct mst_problem: which code, where, and one sentence.
 *
 * The first problem of an operation is the one worth telling: mst_problem_set overwrites, callers call it once
 * where the failure is found. Sentences are constant formats of ours with numbers: bytes of a file never get in. */
#ifndef MST_PROBLEM_H
#define MST_PROBLEM_H

#include "mstrace.h"

#define MST_NO_FRAME UINT64_MAX /* mst_problem.frame: not known */

/* Fills *p (NULL is fine) and returns code. */
__attribute__((format(printf, 5, 6)))
int mst_problem_set(struct mst_problem *p, int code, uint64_t offset, uint64_t frame, const char *format, ...);

/* The same for a system call that failed: code MST_EIO, errno and its text are kept. */
int mst_problem_os(struct mst_problem *p, uint64_t offset, const char *call);

/* The same for memory that was not to be had. */
int mst_problem_memory(struct mst_problem *p);
#endif

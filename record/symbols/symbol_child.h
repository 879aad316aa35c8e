/* Runs the parser of one module in a child process of its own, so that a hostile or damaged file can cost nothing but
 * its own names: a crash, an endless loop or a memory bomb ends the child, and what the child says is checked before it
 * is believed. One child a module, so a file can lie about nothing but itself.
 *
 * The child is forked, not executed: there is no second program to find and no question of which one. It allocates, so
 * in a parent with other threads this relies on glibc, whose malloc is usable after fork; no other thread may be inside
 * libelf or libdw at that time.
 */
#ifndef MS_SYMBOL_CHILD_H
#define MS_SYMBOL_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include "module_file.h"
#include "symbol_parser.h"
#include "symbol_reply.h"

struct ms_child_limits {
	uint64_t memory_bytes;	 /* on top of what the parent has, and of twice the size of the files read */
	uint64_t max_file_bytes; /* of any file it asks for */
	unsigned cpu_seconds, wall_seconds;
	bool (*is_cancelled)(void); /* may be NULL */
};

/* Parses as job says (job->open_file is not used: the child asks its broker) and fills reply, which must be zeroed and
 * is the caller's to release. file_bytes is the size of the module's file. Returns 0, or a negative errno with the
 * reason as a sentence in problem; -ENOMEM and -EAGAIN may be the parent's own. */
int ms_symbol_child_run(const struct ms_parser_job *job, uint64_t file_bytes, const struct ms_child_limits *limits,
	struct ms_reply *reply, char problem[MS_PROBLEM_MAX]);

/* A parser that was started before anybody knew the addresses. It does what it can without them, waits for a question
 * on its socket, answers it like any other, and is gone; or when the other end of the socket is closed. */
struct ms_early_child {
	pid_t pid;
	int broker; /* where it asks for files; readable too when it has ended */
};

/* Starts one for the file of job, which stamp was the state of before it was opened; job has no addresses. socket (a
 * stream) is borrowed. 0 and *child, which ends with this process, or a negative errno. */
int ms_early_child_start(const struct ms_parser_job *job, const struct ms_file_stamp *stamp, uint64_t file_bytes,
	const struct ms_child_limits *limits, int socket, struct ms_early_child *child);

/* To be called when broker is readable. false: the child has ended. */
bool ms_early_child_serve(struct ms_early_child *child, uint64_t max_file_bytes);

/* Ends and reaps it. */
void ms_early_child_end(struct ms_early_child *child);

/* The other end: asks for n addresses of the module whose file is now at path, and later hears the answer, which there
 * is none of when the file is not the one that was prepared. Both return 0 or a negative errno (-ECANCELED: by
 * limits->is_cancelled) and leave the socket to the caller; reply as for ms_symbol_child_run. */
int ms_early_child_ask(int socket, const char *path, const uint64_t *addresses, size_t n,
	const struct ms_child_limits *limits);
int ms_early_child_hear(int socket, size_t n, const struct ms_child_limits *limits, struct ms_reply *reply);

#endif

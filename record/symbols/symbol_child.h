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

#include <stddef.h>
#include <stdint.h>

#include "symbol_parser.h"
#include "symbol_reply.h"

struct ms_child_limits {
	uint64_t memory_bytes;	 /* on top of what the parent has, and of twice the size of the files read */
	uint64_t max_file_bytes; /* of any file it asks for */
	unsigned cpu_seconds, wall_seconds;
	bool (*is_cancelled)(void); /* may be NULL */
};

enum {
	MS_PROBLEM_MAX = 256, /* bytes of a sentence about a module, with the NUL */
};

/* Parses as job says (job->open_file is not used: the child asks its broker) and fills reply, which must be zeroed and
 * is the caller's to release. file_bytes is the size of the module's file. Returns 0, or a negative errno with the
 * reason as a sentence in problem; -ENOMEM and -EAGAIN may be the parent's own. */
int ms_symbol_child_run(const struct ms_parser_job *job, uint64_t file_bytes, const struct ms_child_limits *limits,
	struct ms_reply *reply, char problem[MS_PROBLEM_MAX]);

#endif

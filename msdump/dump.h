/* dump.h - what msdump can do with a trace: one function each, all returning the exit status. */
#ifndef MSDUMP_DUMP_H
#define MSDUMP_DUMP_H

#include "mstrace.h"
#include "options.h"

enum dump_format { FORMAT_AUTO, FORMAT_TEXT, FORMAT_JSONL, FORMAT_CSV, FORMAT_JSON };

/* What the command line says; the defaults are in msdump.c. */
struct options {
	int format; /* enum dump_format */
	bool with_stacks;
	uint64_t from_ns, to_ns; /* both ends are printed */
	uint64_t limit;		 /* events to print, 0 = all */
	struct ms_string_list ops;
	struct ms_u64_list pids, tids;
	bool is_info, is_verify, is_samples;
	const char *salvage; /* file to write, NULL = not asked */
	bool is_forced;
};

/* The first of the pids asked for that no process of the trace has, as far as its tables are known; NULL: none. */
const uint64_t *dump_unknown_pid(const struct mst_reader *r, const struct options *options);

/* Prints the events. */
int dump_events(const char *path, const struct options *options);

/* Prints the samples. */
int dump_samples(const char *path, const struct options *options);

/* Prints what the file consists of. */
int dump_info(const char *path, const struct options *options);

/* Checks every byte and names the damaged places. */
int dump_verify(const char *path, const struct options *options);

/* Copies what is intact to options->salvage. */
int dump_salvage(const char *path, const struct options *options);

/* A descriptor for path, "-" being standard input; dies if it cannot be opened. */
int dump_open(const char *path);

#endif

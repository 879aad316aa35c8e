/* What every tool that reads a trace does in the same way: open it or say why not, say what is missing in it,
 * and spell out a call stack. */
#ifndef MS_CLI_TRACE_H
#define MS_CLI_TRACE_H

#include "mstrace.h"
#include "table.h"

/* Opens a trace ("-" is standard input), or dies with one line. Close with mst_reader_close(). */
struct mst_reader *ms_trace_open(const char *path, const struct mst_reader_options *opt);

/* The same over a descriptor; path is only for the message. */
struct mst_reader *ms_trace_open_fd(int fd, const char *path, const struct mst_reader_options *opt);

/* Reads the tables of the whole file before its events: names are then complete from the first event on, a copy near the
 * end stands for one that is damaged, and where processes fork and end is known in time. False if it is a pipe, which
 * tells each thing when it comes; dies if the file cannot be read. */
bool ms_trace_load_tables(struct mst_reader *r, const char *path);

/* Dies with one line that says why the trace cannot be read: rc < 0, and the library's word (may be NULL). */
void ms_trace_die_of(const char *path, int rc, const struct mst_problem *problem) __attribute__((noreturn));

/* The same because a call on r failed for good: rc is its result. */
void ms_trace_die(const struct mst_reader *r, const char *path, int rc) __attribute__((noreturn));

/* After the last event: says on standard error what is missing, if anything: damaged places, lost events and
 * uncertain bytes, a missing end, losses while recording. n_events is how many events were read.
 * Returns MS_EXIT_OK, or MS_EXIT_GAPS. */
int ms_trace_report_gaps(const struct mst_reader *r, const char *path, uint64_t n_events);

/* Says on standard error which bytes are damaged, at most ten places. */
void ms_trace_report_damage(const char *path, const struct mst_damage *damage, size_t n, uint64_t n_places);

/* Events lost while recording: from the END frame, else the sum over the processes. */
uint64_t ms_trace_lost_events(const struct mst_reader *r);

/* A stack spelled out. Zero-initialise; reused from stack to stack; release with free(frames.items). */
struct ms_frames {
	struct ms_table_frame *items; /* innermost first; strings are the reader's: valid until it reads on */
	size_t n, cap;
	bool is_cut; /* the last item says so as well */
};

/* Fills *f with the functions of the stack, inlined ones included; none for MST_STACK_NONE. */
void ms_trace_frames(const struct mst_reader *r, uint32_t stack, struct ms_frames *f);

/* Appends the functions at one code address to *f. */
void ms_trace_add_code(const struct mst_reader *r, uint32_t code, struct ms_frames *f);

/* The path of a code address's module, NULL if it is in none. Valid until r reads on. */
const char *ms_trace_module_path(const struct mst_reader *r, uint32_t module);

/* The string, NULL for id 0. Valid until r reads on. */
const char *ms_trace_string(const struct mst_reader *r, uint32_t id);

#endif

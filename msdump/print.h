/* print.h - one event as a line of JSON, text or CSV. */
#ifndef MSDUMP_PRINT_H
#define MSDUMP_PRINT_H

#include "dump.h"
#include "mstrace.h"
#include "out.h"
#include "trace.h"

struct piece; /* the spelled-out functions of one code address */

/* Zero-initialise, then set the first four. */
struct printer {
	struct ms_out *out;
	const struct mst_reader *reader;
	enum dump_format format; /* TEXT, JSONL or CSV */
	bool with_stacks;

	const struct mst_map_call *call; /* of the event being printed, if it is of the mapping layer */
	const struct mst_pool_call *pool_call; /* the same of the pool layer */
	struct piece *pieces; /* by code id */
	uint32_t n_pieces;
	size_t cap_pieces;
	struct ms_out text; /* what the pieces point into */
	struct ms_out scratch;
	struct ms_frames frames;
};

/* The line of column names, in CSV. */
void print_header(struct printer *p);

/* pid and tid are 0 where the thread is not known. */
void print_event(struct printer *p, const struct mst_event *ev, uint32_t pid, uint32_t tid);

/* A mark, pause or resume: a line of its own in text and JSON, nothing in CSV, which is a table of events. pid and tid are
 * 0 where none is concerned. */
void print_annotation(struct printer *p, const struct mst_annotation *a, uint32_t pid, uint32_t tid);

/* Frees what the printer has collected, not itself. */
void printer_release(struct printer *p);

#endif

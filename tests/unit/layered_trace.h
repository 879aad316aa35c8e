/* layered_trace.h - a trace of heap, pools and mappings together, made from a seed.
 *
 * A process with regions from before its start; a child of it, forked, heard of some events later, that goes on with what it
 * has inherited and ends; two pools; ranges mapped over each other, cut, moved; failed calls of all layers. */
#ifndef LAYERED_TRACE_H
#define LAYERED_TRACE_H

#include <stdint.h>

struct layered_options {
	uint32_t n_events, frame_events;
	uint32_t seed;
	uint64_t file_id;
	uint32_t n_pages; /* where mapping calls happen: the fewer, the more they hit each other */
};

/* A memory file with the trace, to be closed by the caller. Ends the test program on failure. */
int layered_make(const struct layered_options *opt);
#endif

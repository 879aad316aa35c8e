/* sample_trace.h - a trace with everything in it, made from a seed, and the events a reader must find there.
 *
 * Several processes (start, fork heard of late, exec), threads, stacks, cut stacks, mappings, symbols, losses; events of
 * all ops: failed, late, split reallocs, foreign and inherited releases, alignments. The events expected come from
 * a model of their own: arrays searched from the end, none of the library's code. */
#ifndef SAMPLE_TRACE_H
#define SAMPLE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mstrace.h"

struct sample_options {
	uint32_t n_events, frame_events;
	uint32_t seed;
	bool threaded, no_addresses;
	uint64_t file_id; /* 0 = SAMPLE_FILE_ID */
	uint32_t n_strings; /* extra dictionary entries, to make tables larger */
};

struct sample {
	uint8_t *bytes;
	size_t len;
	struct mst_event *events; /* as the reader must give them, addr and old_addr always filled */
	size_t n_events;
	struct mst_totals totals;
};

#define SAMPLE_FILE_ID UINT64_C(0x1122334455667788)

/* Writes the trace to fd. 0 or what a call of the writer gave. s->bytes stays NULL. */
int sample_write(struct sample *s, const struct sample_options *opt, int fd);
/* The same into s->bytes. Ends the test program on failure. */
void sample_make(struct sample *s, const struct sample_options *opt);
void sample_release(struct sample *s);

/* A memory file with these bytes, to be closed by the caller; its position is 0. */
int sample_fd(const uint8_t *bytes, size_t len);

/* Does `got` agree with the expected event in all that a reader gives (an address of 0 is not given)? */
bool sample_agrees(const struct mst_event *want, const struct mst_event *got);
#endif

/* bounds.h - how long a trace may become: --max-size ends it there, --keep-last drops what is oldest. */
#ifndef MS_BOUNDS_H
#define MS_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "mstrace.h"
#include "tracefile.h"

struct ms_bounds {
	uint64_t max_bytes;  /* 0 = none */
	uint64_t keep_bytes; /* at most one of keep_bytes and keep_ns is set */
	uint64_t keep_ns;
};

#define MS_BOUNDS_MIN_BYTES (1u << 20)
#define MS_BOUNDS_MIN_NS 1000000000u

/* Reads the value of --keep-last: a duration if it has the unit of one, else a size. False: it is neither. */
bool ms_bounds_parse_keep(const char *text, struct ms_bounds *b);
/* NULL, or why these bounds make no sense; static storage. */
const char *ms_bounds_fault(const struct ms_bounds *b);
/* Sets what the writer must know of them: bounds, and frames that are small beside them. A flight recorder's
 * file must be new (f->is_new), and *f stay where it is while the writer lives. */
void ms_bounds_apply(const struct ms_bounds *b, struct ms_tracefile *f, struct mst_writer_options *opt);

#endif

/* trim.h - the copy of a trace without its oldest events.
 *
 *     old:  HEADER  tables+EVT ... tables+EVT | tables+EVT ... tables+EVT     (more is being appended)
 *                    replayed, not copied     | cut            copied
 *     new:  HEADER  tables  CHECKPOINT        | tables+EVT ... tables+EVT
 *
 * What lives at the cut is found by replaying what is dropped, so that whoever writes the trace need not know the
 * stacks of live blocks: its cost is the recorder's, but off its way. The replay's memory, some 80 bytes for
 * each live block, is there only meanwhile. Frames are copied with their payloads as they are, under new numbers: the new
 * file is one like any other. */
#ifndef MST_TRIM_H
#define MST_TRIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "output.h"
#include "pace.h"

/* What it tells its pace: 1 for an event replayed, an entry or block read or written, so many bytes of frames copied. */
#define MST_TRIM_COPIED_PER_WORK 64u

struct mst_trim {
	int in;                /* the trace: a regular file; its offset is left alone */
	struct mst_output *out; /* made by mst_output_init with the same file id; empty */
	uint64_t cut_event;    /* an event frame that begins with this event is to be the first; not the first in `in` */
	uint64_t cut_offset;   /* the end of the event frame before it */
	struct mst_pace *pace; /* told how it gets on; NULL is fine */
	_Atomic bool is_cancelled; /* set by anyone: give up, soon, with MST_EARG */
	uint64_t base_bytes;   /* result: what comes before the frames copied */
	struct mst_problem problem;
};

/* HEADER, tables and checkpoint. 0, or a negative code with t->problem; `out` is then of no use. */
int mst_trim_begin(struct mst_trim *t);
/* Copies the frames in [from, to), both frame boundaries of `in`. The same. */
int mst_trim_copy(struct mst_trim *t, uint64_t from, uint64_t to);
#endif

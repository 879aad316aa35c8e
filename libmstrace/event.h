/* event.h - one event frame's payload: a struct of arrays <-> column bytes (FORMAT.md "EVT").
 *
 * The codec knows nothing of files, frames headers, live maps or dictionaries: a payload is a pure function
 * of the arrays and back. decode(encode(x)) == x for every x that obeys the invariants below, except that
 * freed_addr is carried only where the block was acquired in the same frame or is not known by ordinal. */
#ifndef MST_EVENT_H
#define MST_EVENT_H

#include <stddef.h>
#include <stdint.h>

#define MST_FRAME_EVENTS_MAX 65536u

/* Bits above the op number in mst_events.op. */
#define MST_OPBIT_LATE 0x40u
#define MST_OPBIT_FAILED 0x80u

/* Something few events have: sorted by index, at most one of a kind per event. */
enum mst_extra_kind { MST_EXTRA_ALIGN = 1, MST_EXTRA_ERRNO = 2 };
struct mst_extra {
	uint32_t index; /* event within the frame */
	uint32_t kind;
	uint64_t value;
};

/* n <= MST_FRAME_EVENTS_MAX events in total order. Ordinals of the frame's successful acquisitions are
 * first_alloc, first_alloc + 1, ... in order of the events, so they need no array. */
struct mst_events {
	uint32_t n;
	uint32_t n_alloc;      /* successful acquisitions among them */
	uint64_t first_alloc;  /* ordinal of the first of them */
	uint64_t first_time;   /* time of event 0, in units */
	uint8_t *op;           /* enum mst_op | MST_OPBIT_* */
	uint32_t *thread;      /* dictionary id, > 0 */
	uint64_t *time;        /* in units of 2^time_shift ns; non-decreasing but for LATE events */
	uint32_t *stack;
	uint64_t *size;        /* acquisitions and failed calls; 0 for pure releases */
	uint64_t *freed;       /* ordinal released, < the event's own; 0 = none, or unknown (freed_addr tells) */
	uint64_t *addr;        /* acquisitions: address; else 0 */
	uint64_t *freed_addr;  /* releases: address released, 0 = not in this frame's bytes */
	struct mst_extra *extra;
	uint32_t n_extra;
};
#endif

/* event.h - one event frame's payload: a struct of arrays <-> column bytes (FORMAT.md "Event frames").
 *
 * The codec knows nothing of files, frame headers, live maps or dictionaries: a payload is a pure function
 * of the arrays and back. decode(encode(x)) == x for every x that obeys the invariants below, except that
 * freed_addr is carried only where the block was acquired in the same frame or is not known by ordinal.
 *
 * The payload compresses its columns one by one (so that a reader pays only for those it wants): the frame
 * around it is stored, codec 0, raw_len == stored_len. */
#ifndef MST_EVENT_H
#define MST_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "mstrace.h"

#define MST_FRAME_EVENTS_MAX 65536u

/* No payload of n events is longer, nor are all its columns together once decompressed. */
#define MST_EVENT_PAYLOAD_MAX(n) (128u * (size_t)(n) + 65536u)

/* Bits above the op number in mst_events.op. */
#define MST_OPBIT_LATE 0x40u
#define MST_OPBIT_FAILED 0x80u

/* Something few events have: sorted by index, at most one of a kind per event. */
enum mst_extra_kind { MST_EXTRA_ALIGN = 1, MST_EXTRA_ERRNO = 2, MST_EXTRA_SAID_SIZE = 3 };
#define MST_EVENT_EXTRAS_MAX(n) (2u * (n))
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
	uint64_t first_time;   /* in units: time of event 0, which is <= that of all others but LATE ones */
	uint8_t *op;           /* enum mst_op | MST_OPBIT_* */
	uint32_t *thread;      /* dictionary id, > 0 */
	uint64_t *time;        /* in units of 2^time_shift ns; >= first_time and non-decreasing but for LATE events */
	uint32_t *stack;
	uint64_t *size;        /* acquisitions and failed calls; 0 for pure releases */
	uint64_t *freed;       /* ordinal released, < the event's own; 0 = none, or unknown (freed_addr tells) */
	uint64_t *addr;        /* acquisitions: address; else 0 */
	uint64_t *freed_addr;  /* releases: address released, 0 = not in this frame's bytes */
	struct mst_extra *extra; /* in order of index, then kind */
	uint32_t n_extra;        /* <= MST_EVENT_EXTRAS_MAX(n) */
	const uint8_t *maps; /* rows of the events of the mapping layer, in total order, as mst_map_row_put makes them */
	size_t maps_len;     /* 0 = none, although there may be such events */
	const uint8_t *pools; /* the same of the pool layer, as mst_pool_row_put makes them */
	size_t pools_len;
};

/* What a row of column POOL is coded against: the numbers of the row before. */
struct mst_pool_row {
	uint64_t addr, block;
};

/* One row of column MAPPING. An address is coded as the difference to that of the row before, *last; `span` is the
 * number of events since the call began. */
void mst_map_row_put(struct mst_buffer *out, const struct mst_map_call *call, unsigned op, uint64_t span,
	uint64_t *last);
/* Reads a row of a call `op` with number `number`. What is out of range makes the cursor fail. */
void mst_map_row_get(struct mst_cursor *c, unsigned op, uint64_t number, uint64_t *last, struct mst_map_call *call);

/* The same for column POOL; *last is the row before, all 0 at first. */
void mst_pool_row_put(struct mst_buffer *out, const struct mst_pool_call *call, unsigned op, struct mst_pool_row *last);
void mst_pool_row_get(struct mst_cursor *c, unsigned op, struct mst_pool_row *last, struct mst_pool_call *call);

/* Encoder and decoder: scratch memory of a fixed size (some MiB, touched as far as frames need it) and a
 * zstd context each. One thread at a time per handle; handles are independent. */
struct mst_event_encoder;
struct mst_event_decoder;

/* zstd level `level`, 0 = 3. MST_ENOMEM; *out is untouched on failure. */
int mst_event_encoder_new(int level, struct mst_event_encoder **out);
void mst_event_encoder_free(struct mst_event_encoder *e); /* NULL is fine */

/* Encodes ev, of which no array is changed and only `extra` may be NULL (n_extra 0). *payload lives until the
 * next call on e. MST_EARG when ev breaks an invariant (nothing is encoded; *why says which, static storage). */
int mst_event_encode(struct mst_event_encoder *e, const struct mst_events *ev, const uint8_t **payload, size_t *len,
	const char **why);

int mst_event_decoder_new(struct mst_event_decoder **out);
void mst_event_decoder_free(struct mst_event_decoder *d); /* NULL is fine */

/* Decodes the columns asked for (enum mst_column; 0 = thread and op only) from any bytes whatever, in time linear in
 * n + len. The caller gives n, first_alloc and first_time in *ev, as the frame's header has them; the rest of *ev is
 * filled in, its arrays live in d until the next call, those not asked for are NULL (extra: n_extra 0).
 * freed_addr comes with MST_COL_ADDR; with MST_COL_FREED alone it has only blocks not known by ordinal, and is NULL if
 * the frame has none of them.
 * MST_EDAMAGED: *why says which column is wrong (static storage, a phrase such as "column SIZE is cut short");
 * MST_EVERSION: the payload has a column this reader does not know and needs. */
int mst_event_decode(struct mst_event_decoder *d, const void *payload, size_t len, unsigned columns,
	struct mst_events *ev, const char **why);
#endif

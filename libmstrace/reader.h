/* reader.h - the reader's inside, shared by its four files and by verify and salvage.
 *
 *     scan (frames and gaps) -> reader.c (order, numbering, loss) -> tables -> dict
 *                                                                 -> events -> slices -> caller
 *                                                                 -> checkpoint (reader_checkpoint.c) -> replay
 *     reader_tables.c: tables ahead of the events, seeking          reader_names.c: what a caller may ask */
#ifndef MST_READER_H
#define MST_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "checkpoint.h"
#include "damage.h"
#include "dict.h"
#include "event.h"
#include "extension.h"
#include "index.h"
#include "mstrace.h"
#include "sample.h"
#include "scan.h"
#include "slice.h"
#include "source.h"
#include "space_part.h"

/* Where the trace stands between two event frames: what the next one must agree with. */
struct mst_position {
	uint64_t seq;         /* of the next frame */
	uint64_t event;       /* number of the next event */
	uint64_t alloc;       /* next ordinal */
	uint64_t bytes;       /* acquired so far */
	uint64_t live_blocks, live_bytes;
	uint64_t time_ns;     /* the order's clock */
	bool is_known;        /* false after a jump: whatever comes next is right */
};

/* The frames of a checkpoint read, as they stand in the file, for whoever replays the events behind them: CHECKPOINT, and
 * POOL and SPACE, which tell what it does not. */
struct mst_checkpoint_parts {
	struct mst_stored_part {
		struct mst_frame frame; /* pointers not valid */
		union {
			struct mst_checkpoint_part part;
			struct mst_space_part space;
		};
		size_t start; /* of the payload in `stored` */
	} *list; /* grows by doubling */
	size_t n, cap;
	struct mst_buffer stored;
	struct mst_part_sum {    /* of the heap's parts, and those of one pool after the other */
		struct mst_checkpoint at;
		uint32_t pool;
		uint64_t blocks, bytes; /* of the parts so far, */
		uint64_t last_alloc;    /* and their last block */
		bool is_open;           /* a part has been met */
		bool is_missing;        /* blocks are missing between two of them */
	} heap, pool;
	struct mst_space_part space; /* the last one; process 0: none */
	uint32_t space_rows;         /* of the parts so far of its process */
	const char *fault;       /* what is wrong with those that are complete */
	bool is_given;           /* events have been given out since */
};

/* What is known of a pool at the checkpoint. */
struct mst_pool_place {
	uint32_t pool;
	struct mst_checkpoint at;
};

struct mst_reader {
	struct mst_source source;
	struct mst_scan scan;
	int own_fd; /* to be closed, or -1 */
	unsigned columns;

	struct mst_header header;
	char *header_text;
	bool has_header, has_end;  /* has_end: the frame read last was END */
	bool end_known;            /* an END frame has been read, now or while the tables were loaded */
	struct mst_end end;
	struct mst_dict dict;
	uint64_t tables_upto;      /* file offset up to which tables have been taken over */
	bool tables_loaded;

	struct mst_index index;
	bool has_index;

	struct mst_unpacker *unpacker;
	struct mst_event_decoder *decoder; /* made when the first events come: it is large */
	struct mst_position pos;
	bool has_events;           /* an event frame has been met: a checkpoint comes before them */
	bool has_checkpoint;       /* the trace begins with one, */
	struct mst_checkpoint checkpoint; /* which has been met, now or while the tables were loaded */
	struct mst_checkpoint_parts parts;
	struct mst_pool_place *pools; /* as far as they have been met; grows by doubling */
	size_t n_pools, cap_pools;
	bool knows_spaces;         /* a SPACE frame has been met */
	struct mst_slicer slicer;
	struct mst_event slice[MST_SLICE_EVENTS];
	uint32_t slice_at, slice_n;
	uint64_t skip_until_ns;    /* after a seek: events before this time are not given out */

	struct mst_samples samples; /* of the frames read; those before sample_at have been taken */
	size_t sample_at;
	bool wants_samples, has_new_samples;

	struct mst_damages damages;
	struct mst_problem problem;

	/* verify and salvage: each frame that is intact and says nothing impossible, payload included. May fail. */
	int (*on_frame)(void *ctx, const struct mst_frame *f, const struct mst_evt *evt);
	void *ctx;
};

/* The two steps of opening, so that hooks can be set between them. new: fd is borrowed, or closed by
 * mst_reader_close (and on failure) if `owns`. find_start: goes to the first intact frame, *kind; MST_ENOTRACE if
 * there is none. */
int mst_reader_new(int fd, bool owns, const struct mst_reader_options *opt, struct mst_reader **out);
int mst_reader_find_start(struct mst_reader *r, unsigned *kind);
/* Reads on to the next event frame: 1 with its events ready for slices, 0 at the end, negative on failure. */
int mst_reader_advance(struct mst_reader *r);
/* Takes over a table, HEADER or END frame. 0, MST_EDAMAGED with *why, MST_EVERSION or MST_ENOMEM (problem set). */
int mst_reader_take(struct mst_reader *r, const struct mst_frame *f, const char **why);
/* A CHECKPOINT, POOL or SPACE frame in its turn, payload included. 0, MST_EDAMAGED with *why, MST_EVERSION or MST_ENOMEM. */
int mst_reader_take_part(struct mst_reader *r, const struct mst_frame *f, const char **why);
/* Goes to the place that the header of a CHECKPOINT frame tells, its payload aside. False, and *why: it is against
 * the rules. */
bool mst_reader_enter_checkpoint(struct mst_reader *r, const struct mst_frame *f, struct mst_checkpoint_part *p,
	const char **why);
/* The SPACE frames of the checkpoint, there as its blocks are. 0, MST_ENOMEM, or what visit returned other than 0. */
int mst_reader_each_space_part(const struct mst_reader *r,
	int (*visit)(void *ctx, const struct mst_space_part *, const struct mst_space_rows *), void *ctx);
/* At the first event frame: what is wrong with the checkpoint before it as a whole, or NULL. */
const char *mst_reader_end_checkpoint(struct mst_reader *r);
void mst_reader_forget_parts(struct mst_reader *r);
/* Forgets the place of reading and goes to offset. */
void mst_reader_jump(struct mst_reader *r, uint64_t offset, bool is_start);
#endif

/* output.h - the writer's end of the file: frames numbered, packed, written whole, never again touched.
 *
 * One batch of frames is one write, so that a reader of the growing file seldom sees half of one. Nothing seeks:
 * the file may be a pipe. (With a keeper it is from time to time replaced by a shorter one.) The first failure latches: a file with a hole in it is worse than one that ends early. */
#ifndef MST_OUTPUT_H
#define MST_OUTPUT_H

#include <stdint.h>

#include "buffer.h"
#include "checkpoint.h"
#include "event.h"
#include "extension.h"
#include "frame.h"
#include "index.h"
#include "ledger.h"
#include "mstrace.h"
#include "space_part.h"

struct mst_output {
	int fd; /* borrowed */
	uint64_t file_id;
	uint64_t seq, offset; /* of the next frame */
	struct mst_packer *packer;
	struct mst_event_encoder *encoder; /* made when the first events come: it is large */
	int level;
	struct mst_index index;
	struct mst_keeper *keeper; /* drops old frames; borrowed, or NULL */
	struct mst_buffer bytes; /* frames packed and not yet written */
	int rc;                  /* latched */
	struct mst_problem problem;
};

/* 0 or MST_ENOMEM; release in either case. */
int mst_output_init(struct mst_output *o, int fd, uint64_t file_id, int level);
void mst_output_release(struct mst_output *o);

/* Each packs frames behind those that wait; all return the latched code. */
int mst_output_header(struct mst_output *o, const struct mst_header *h, uint32_t flags);
int mst_output_pages(struct mst_output *o, const struct mst_pages *pages, uint32_t flags);
int mst_output_events(struct mst_output *o, const struct mst_events *ev, const struct mst_evt *evt, uint32_t flags);
/* One part of a checkpoint, or of what it says of a pool. */
int mst_output_checkpoint(struct mst_output *o, const struct mst_checkpoint_part *part, const struct mst_block *blocks,
	uint32_t n);
/* One part of what it says of a process's mappings. */
int mst_output_space(struct mst_output *o, const struct mst_space_part *part, const struct mst_space_rows *rows);
/* The frame f, from another file of the same id, under the next number; `evt` for EVT frames, else NULL. */
int mst_output_copy(struct mst_output *o, const struct mst_frame *f, const struct mst_evt *evt);
/* INDEX frames of all frames so far, then END. */
int mst_output_end(struct mst_output *o, const struct mst_totals *totals, uint32_t flags);
/* Takes back the frames packed since the last write if they are longer than `most` bytes: 1 if so. */
int mst_output_limit(struct mst_output *o, uint64_t most);

/* Writes what waits. */
int mst_output_write(struct mst_output *o);
/* Writes bytes as they are (whole frames from elsewhere). */
int mst_output_raw(struct mst_output *o, const uint8_t *bytes, size_t len);
#endif

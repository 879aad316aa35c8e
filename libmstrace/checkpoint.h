/* checkpoint.h - the live set at a place in the order, in CHECKPOINT frames (FORMAT.md "CHECKPOINT").
 *
 * A checkpoint is one frame or several in a row. Each says the same of its place and of the totals there, so that any
 * of them tells where the events behind begin; their blocks follow on each other in order of acquisition. What lived
 * in pools stands behind it in POOL frames, which are made alike. */
#ifndef MST_CHECKPOINT_H
#define MST_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "format.h"
#include "frame.h"
#include "mstrace.h"

#define MST_CHECKPOINT_EXTENSION_LEN (MST_CHECKPOINT_HEADER_LEN - MST_HEADER_MIN)

/* One frame of a checkpoint. */
struct mst_checkpoint_part {
	struct mst_checkpoint at; /* the same in all */
	uint64_t first_block;     /* blocks in the parts before */
	uint32_t pool;            /* 0: a CHECKPOINT frame; else a POOL frame: string id of the name of the pool it is of */
	uint8_t time_shift;       /* the blocks' times are multiples of 2^time_shift ns */
};

void mst_checkpoint_store(const struct mst_checkpoint_part *p, uint8_t extension[MST_CHECKPOINT_EXTENSION_LEN]);
/* f is a CHECKPOINT or POOL frame. False if its header is too short or a field is out of range; *why says which. */
bool mst_checkpoint_load(const struct mst_frame *f, struct mst_checkpoint_part *p, const char **why);

/* Appends the payload of n <= MST_CHECKPOINT_BLOCKS_MAX blocks, in ascending order of `alloc`; `process` is not
 * stored: the thread tells it. */
void mst_checkpoint_encode(const struct mst_block *blocks, uint32_t n, unsigned time_shift, struct mst_buffer *out);
/* Reads the payload of a frame whose part is p: any bytes whatever. out has room for n blocks. 0, or MST_EDAMAGED with
 * *why: then the blocks must not be used. */
int mst_checkpoint_decode(const struct mst_checkpoint_part *p, const uint8_t *raw, size_t len, uint32_t n,
	struct mst_block *out, const char **why);
#endif

/* space_part.h - what a process had mapped at a checkpoint, in SPACE frames (FORMAT.md "SPACE").
 *
 * Rows are regions with their pieces (address_space.h). A region with more pieces than a frame takes has several rows. */
#ifndef MST_SPACE_PART_H
#define MST_SPACE_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address_space.h"
#include "buffer.h"
#include "format.h"
#include "frame.h"

#define MST_SPACE_EXTENSION_LEN (MST_SPACE_HEADER_LEN - MST_HEADER_MIN)

/* What the header says; all but first_row is the same in all parts of a process. */
struct mst_space_part {
	uint64_t event;                  /* of the checkpoint */
	uint64_t peak_bytes, peak_ns;    /* of all processes together, before it; the same in all parts of all */
	uint64_t own_peak_bytes, own_peak_ns; /* of this process */
	uint32_t n_rows, first_row;      /* in all parts; in the parts before */
	uint32_t process;
};

struct mst_space_row {
	struct mst_mapped region; /* live_bytes, unmapped_ns and process are not stored */
	uint32_t n_pieces;
	bool continues; /* more pieces of the region of the row before */
};

/* Rows with their pieces, one behind the other; `region` of the pieces is not stored. */
struct mst_space_rows {
	struct mst_space_row *rows;
	struct mst_extent *pieces;
	uint32_t n, n_pieces;
};

void mst_space_part_store(const struct mst_space_part *p, uint8_t extension[MST_SPACE_EXTENSION_LEN]);
/* False if the header of f is too short or a field is out of range; *why says which. */
bool mst_space_part_load(const struct mst_frame *f, struct mst_space_part *p, const char **why);

/* Appends the payload of at most MST_SPACE_ROWS_MAX rows and as many pieces. */
void mst_space_rows_encode(const struct mst_space_rows *r, struct mst_buffer *out);
/* Reads the payload of n rows, from any bytes whatever. 0 and *out, to be released with mst_space_rows_release; or
 * MST_EDAMAGED with *why, or MST_ENOMEM. */
int mst_space_rows_decode(const uint8_t *raw, size_t len, uint32_t n, struct mst_space_rows *out, const char **why);
void mst_space_rows_release(struct mst_space_rows *r);

/* The regions of s and their pieces, as they are to be stored: in the order of the events that made them. 0 or
 * MST_ENOMEM; to be released. */
int mst_space_rows_of(const struct mst_address_space *s, struct mst_space_rows *out);
#endif

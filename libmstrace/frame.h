/* frame.h - one frame: its header's common fields, its two hashes, its compression (FORMAT.md "Frame").
 *
 *     | sync | header_len kind codec flags | file_id | stream n_items | stored_len raw_len | seq |
 *     | payload_hash | extension ... | header_hash | payload ... | zero pad to 8 |
 *
 * Order of trust, the point of this file: nothing in a header is used before header_hash is right (length and
 * file_id are read to find that hash, within fixed bounds); nothing in a payload before payload_hash is right;
 * nothing is decompressed before the sizes are within the limits. The hashes find accidents, not malice: what
 * comes out of a good frame is still untrusted. */
#ifndef MST_FRAME_H
#define MST_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "format.h"

struct mst_frame {
	uint64_t offset; /* in the file; set by who reads */
	uint16_t header_len;
	uint8_t kind, codec;
	uint32_t flags;
	uint64_t file_id;
	uint32_t stream, n_items;
	uint32_t stored_len, raw_len;
	uint64_t seq;
	uint64_t payload_hash;
	const uint8_t *header;  /* header_len bytes, borrowed */
	const uint8_t *payload; /* stored_len bytes, borrowed; NULL while not read */
};

/* Where the next frame starts, from this one's start. */
static inline uint64_t mst_frame_size(const struct mst_frame *f)
{
	return f->header_len + (((uint64_t)f->stored_len + MST_FRAME_ALIGN - 1) & ~(uint64_t)(MST_FRAME_ALIGN - 1));
}

enum mst_header_state {
	MST_HEADER_GOOD,
	MST_HEADER_SHORT, /* all fine so far, but there are fewer bytes than a header needs */
	MST_HEADER_BAD,   /* no header here, or a damaged one */
};
/* Reads the header at p. GOOD: every hash and every limit holds, *f is filled (offset and payload apart). */
enum mst_header_state mst_frame_parse(const uint8_t *p, size_t avail, struct mst_frame *f);

/* Does payload (stored_len bytes) match the header? */
bool mst_frame_payload_good(const struct mst_frame *f, const uint8_t *payload);
/* Compression state, made once per writer or reader. */
struct mst_packer;
struct mst_packer *mst_packer_new(int level); /* for mst_frame_pack */
void mst_packer_free(struct mst_packer *p);   /* NULL is fine */
struct mst_unpacker;
struct mst_unpacker *mst_unpacker_new(void);
void mst_unpacker_free(struct mst_unpacker *u); /* NULL is fine */

/* The payload as it was before compression: *raw gets f->raw_len bytes that live until the next call on u, or as
 * long as f->payload. 0, MST_EDAMAGED, MST_EVERSION (unknown codec), both with the reason in *why, or MST_ENOMEM. */
int mst_frame_unpack(struct mst_unpacker *u, const struct mst_frame *f, const uint8_t **raw, const char **why);

/* Appends a whole frame to out. Of *f the kind, codec, flags, file_id, stream, n_items, seq and header_len are
 * taken; the lengths and hashes are computed. `extension` is header_len - 64 bytes. With codec ZSTD the payload
 * is compressed, or stored where that is not shorter. The codec and lengths used come back in *f.
 * 0 or MST_ENOMEM. */
int mst_frame_pack(struct mst_packer *p, struct mst_frame *f, const uint8_t *extension, const uint8_t *raw,
	size_t raw_len, struct mst_buffer *out);

/* Appends the frame f, header and payload as they are but for another seq. 0 or MST_ENOMEM. */
int mst_frame_copy(const struct mst_frame *f, uint64_t seq, struct mst_buffer *out);
#endif

/* buffer.h - a growing array of bytes, to build payloads in.
 *
 * Growth doubles, so appending is O(1) amortised. A failure latches like the cursor's: builders are straight
 * code, and the one check stands where the bytes are used (mst_buffer_failed). */
#ifndef MST_BUFFER_H
#define MST_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

struct mst_buffer {
	uint8_t *bytes; /* NULL while empty */
	size_t len, cap;
	bool failed; /* memory ran out: content is not complete */
};

void mst_buffer_release(struct mst_buffer *b);

/* Room for at least `more` bytes behind len; false (and failed) if there is none. */
bool mst_buffer_reserve(struct mst_buffer *b, size_t more);

static inline void mst_buffer_clear(struct mst_buffer *b)
{
	b->len = 0;
	b->failed = false;
}

static inline void mst_buffer_put(struct mst_buffer *b, const void *bytes, size_t len)
{
	if (len != 0 && mst_buffer_reserve(b, len)) {
		memcpy(b->bytes + b->len, bytes, len);
		b->len += len;
	}
}

static inline void mst_buffer_put8(struct mst_buffer *b, uint8_t v)
{
	mst_buffer_put(b, &v, 1);
}

static inline void mst_buffer_put_varint(struct mst_buffer *b, uint64_t v)
{
	if (mst_buffer_reserve(b, MST_VARINT_MAX))
		b->len = (size_t)(mst_put_varint(b->bytes + b->len, v) - b->bytes);
}
#endif

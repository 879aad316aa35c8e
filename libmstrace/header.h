/* header.h - the HEADER frame's payload: facts about the recording as tagged values (FORMAT.md "HEADER"). */
#ifndef MST_HEADER_H
#define MST_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "mstrace.h"

/* Appends the payload; format versions are this library's, the rest is taken from *h. Returns the number of tags.
 * Strings beyond the limits are cut. */
uint32_t mst_header_encode(const struct mst_header *h, struct mst_buffer *out);

/* Reads a payload. Strings are copied behind each other into *text (replaced; freed by the caller), where *h then
 * points. 0, MST_EDAMAGED, MST_EVERSION (needs a newer reader) or MST_ENOMEM, the last three with *why. */
int mst_header_decode(const uint8_t *raw, size_t len, uint32_t n_items, struct mst_header *h, char **text,
	const char **why);
#endif

/* dict_string.c - STRING: first_id, the column of lengths, all bytes. */
#include "dict.h"

#include <string.h>

#define FRAME_ENTRIES 65536u
#define FRAME_BYTES (1u << 20) /* close a frame at so much text; one string more always fits */

const char *mst_dict_string(const struct mst_dict *d, uint32_t id, size_t *len)
{
	const uint64_t *place = mst_table_get(&d->strings, id);

	if (!place)
		return NULL;
	*len = (size_t)(*place & ((1u << MST_STRING_LEN_BITS) - 1));
	return (const char *)d->text.bytes + (*place >> MST_STRING_LEN_BITS);
}

int mst_dict_put_string(struct mst_dict *d, uint32_t id, const void *bytes, size_t len, const char **why)
{
	size_t known_len;
	const char *known = mst_dict_string(d, id, &known_len);
	uint64_t place = (uint64_t)d->text.len << MST_STRING_LEN_BITS | len;
	int rc;

	if (known) {
		if (known_len == len && memcmp(known, bytes, len) == 0)
			return 0;
		*why = "a string differs from what was said before";
		return MST_EDAMAGED;
	}
	if (!mst_buffer_reserve(&d->text, len + 1)) {
		d->text.failed = false;
		return MST_ENOMEM;
	}
	rc = mst_dict_put(&d->strings, id, &place, why);
	if (rc < 0)
		return rc;
	mst_buffer_put(&d->text, bytes, len);
	mst_buffer_put8(&d->text, 0);
	return 0;
}

uint32_t mst_strings_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out)
{
	size_t bytes = 0, len = 0;
	uint32_t n = 0;

	mst_buffer_put_varint(out, first);
	while (n <= last - first && n < FRAME_ENTRIES && bytes < FRAME_BYTES) {
		mst_dict_string(d, first + n++, &len);
		mst_buffer_put_varint(out, len);
		bytes += len;
	}
	for (uint32_t i = 0; i < n; i++) {
		const char *s = mst_dict_string(d, first + i, &len);

		mst_buffer_put(out, s, len);
	}
	return n;
}

int mst_strings_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	uint32_t first = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
	struct mst_cursor lengths = *c;

	if (c->failed || first == 0 || n_items > MST_IDS_MAX - first) {
		*why = "string ids out of range";
		return MST_EDAMAGED;
	}
	for (uint32_t i = 0; i < n_items; i++)
		mst_get_varint_max(c, MST_STRING_MAX);
	for (uint32_t i = 0; i < n_items && !c->failed; i++) {
		size_t len = (size_t)mst_get_varint(&lengths);
		const uint8_t *bytes = mst_get_bytes(c, len);
		int rc = bytes ? mst_dict_put_string(d, first + i, bytes, len, why) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

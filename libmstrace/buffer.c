#include "buffer.h"

#include <stdlib.h>

void mst_buffer_release(struct mst_buffer *b)
{
	free(b->bytes);
	*b = (struct mst_buffer){0};
}

bool mst_buffer_reserve(struct mst_buffer *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 256;
	uint8_t *bytes;

	if (b->failed)
		return false;
	if (b->cap - b->len >= more)
		return true;
	while (cap - b->len < more && cap <= SIZE_MAX / 4)
		cap *= 2;
	bytes = cap - b->len < more ? NULL : realloc(b->bytes, cap);
	if (!bytes) {
		b->failed = true;
		return false;
	}
	b->bytes = bytes;
	b->cap = cap;
	return true;
}

/* dict_code.c - CODE: first_id, the column of modules, the column of offsets (difference to the entry before). */
#include "dict.h"

#include <string.h>

#define FRAME_ENTRIES 65536u

uint32_t mst_codes_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out)
{
	uint32_t n = last - first < FRAME_ENTRIES ? last - first + 1 : FRAME_ENTRIES;
	uint64_t before = 0;

	mst_buffer_put_varint(out, first);
	for (uint32_t i = 0; i < n; i++)
		mst_buffer_put_varint(out, ((const struct mst_code *)mst_table_get(&d->codes, first + i))->module);
	for (uint32_t i = 0; i < n; i++) {
		const struct mst_code *code = mst_table_get(&d->codes, first + i);

		mst_buffer_put_varint(out, mst_delta(code->offset, before));
		before = code->offset;
	}
	return n;
}

int mst_codes_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	uint32_t first = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
	struct mst_cursor modules = *c;
	uint64_t before = 0;

	if (c->failed || first == 0 || n_items > MST_IDS_MAX - first) {
		*why = "code ids out of range";
		return MST_EDAMAGED;
	}
	for (uint32_t i = 0; i < n_items; i++)
		mst_get_varint_max(c, MST_MODULES_MAX);
	for (uint32_t i = 0; i < n_items && !c->failed; i++) {
		struct mst_code code;
		int rc;

		memset(&code, 0, sizeof(code));
		code.module = (uint32_t)mst_get_varint(&modules);
		code.offset = before = mst_undelta(mst_get_varint(c), before);
		rc = c->failed ? 0 : mst_dict_put(&d->codes, first + i, &code, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

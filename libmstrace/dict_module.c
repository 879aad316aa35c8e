/* dict_module.c - MODULE: first_id, then per entry path, build_id (length and bytes), file_size, mtime. Few and
 * unlike each other: rows, not columns. */
#include "dict.h"

#include <string.h>

#define FRAME_ENTRIES 4096u

uint32_t mst_modules_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out)
{
	uint32_t n = last - first < FRAME_ENTRIES ? last - first + 1 : FRAME_ENTRIES;

	mst_buffer_put_varint(out, first);
	for (uint32_t i = 0; i < n; i++) {
		const struct mst_module *m = mst_table_get(&d->modules, first + i);

		mst_buffer_put_varint(out, m->path);
		mst_buffer_put8(out, m->build_id_len);
		mst_buffer_put(out, m->build_id, m->build_id_len);
		mst_buffer_put_varint(out, m->file_size);
		mst_buffer_put_varint(out, m->mtime_ns);
	}
	return n;
}

int mst_modules_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	uint32_t first = (uint32_t)mst_get_varint_max(c, MST_MODULES_MAX);

	if (c->failed || first == 0 || n_items > MST_MODULES_MAX - first) {
		*why = "module ids out of range";
		return MST_EDAMAGED;
	}
	for (uint32_t i = 0; i < n_items && !c->failed; i++) {
		struct mst_module m;
		const uint8_t *id;
		int rc;

		memset(&m, 0, sizeof(m));
		m.path = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
		m.build_id_len = mst_get8(c);
		if (m.build_id_len > sizeof(m.build_id)) {
			*why = "a build id is too long";
			return MST_EDAMAGED;
		}
		id = mst_get_bytes(c, m.build_id_len);
		if (id)
			memcpy(m.build_id, id, m.build_id_len);
		m.file_size = mst_get_varint_max(c, MST_NUMBER_MAX);
		m.mtime_ns = mst_get_varint_max(c, MST_NUMBER_MAX);
		rc = c->failed ? 0 : mst_dict_put(&d->modules, first + i, &m, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* dict_mapping.c - MAP: per entry a row that starts with its number (from 1); said again when it is unmapped. */
#include "dict.h"

#include <string.h>

void mst_mapping_encode(const struct mst_dict *d, uint32_t id, struct mst_buffer *out)
{
	const struct mst_mapping *m = mst_table_get(&d->mappings, id);

	mst_buffer_put_varint(out, id);
	mst_buffer_put_varint(out, m->process);
	mst_buffer_put_varint(out, m->module);
	mst_buffer_put_varint(out, m->start);
	mst_buffer_put_varint(out, m->end - m->start);
	mst_buffer_put_varint(out, mst_delta(m->start, m->bias));
	mst_buffer_put_varint(out, m->load_ns);
	mst_buffer_put_varint(out, m->unload_ns + 1); /* never: 0 */
}

int mst_mappings_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	for (uint32_t i = 0; i < n_items && !c->failed; i++) {
		uint32_t id = (uint32_t)mst_get_varint_max(c, MST_MAPPINGS_MAX);
		struct mst_mapping m;
		int rc;

		memset(&m, 0, sizeof(m));
		m.process = (uint32_t)mst_get_varint_max(c, MST_PROCESSES_MAX);
		m.module = (uint32_t)mst_get_varint_max(c, MST_MODULES_MAX);
		m.start = mst_get_varint(c);
		m.end = m.start + mst_get_varint_max(c, UINT64_MAX - m.start);
		m.bias = m.start - (uint64_t)mst_get_zigzag(c);
		m.load_ns = mst_get_varint_max(c, MST_NUMBER_MAX);
		m.unload_ns = mst_get_varint_max(c, MST_NUMBER_MAX) - 1;
		if (c->failed || id == 0 || m.process == 0 || m.module == 0) {
			*why = "a mapping is out of range";
			return MST_EDAMAGED;
		}
		rc = mst_dict_replace(&d->mappings, id, &m, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

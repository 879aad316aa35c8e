/* dict_region.c - REGION: rows of process, start, size, protection and sharing, offset, name. */
#include "dict.h"

#include <stdlib.h>

enum { PROT_BITS = 7, IS_SHARED = 8 }; /* of the row's u8: PROT_READ, PROT_WRITE, PROT_EXEC, then shared */

int mst_dict_add_region(struct mst_dict *d, const struct mst_region *region)
{
	if (d->n_regions == d->cap_regions) {
		size_t cap = d->cap_regions + d->cap_regions / 2 + 1;
		struct mst_region *grown = realloc(d->regions, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		d->regions = grown;
		d->cap_regions = cap;
	}
	d->regions[d->n_regions++] = *region;
	return 0;
}

void mst_region_encode(const struct mst_region *r, struct mst_buffer *out)
{
	mst_buffer_put_varint(out, r->process);
	mst_buffer_put_varint(out, r->start);
	mst_buffer_put_varint(out, r->end - r->start);
	mst_buffer_put8(out, (uint8_t)((r->prot & PROT_BITS) | (r->is_shared ? IS_SHARED : 0)));
	mst_buffer_put_varint(out, r->offset);
	mst_buffer_put_varint(out, r->name);
}

int mst_regions_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	for (uint32_t i = 0; i < n_items && !c->failed; i++) {
		struct mst_region r = {0};
		int rc;

		r.process = (uint32_t)mst_get_varint_max(c, MST_PROCESSES_MAX);
		r.start = mst_get_varint(c);
		r.end = r.start + mst_get_varint_max(c, UINT64_MAX - r.start);
		unsigned bits = mst_get8(c);
		r.prot = bits & PROT_BITS;
		r.is_shared = bits & IS_SHARED;
		r.offset = mst_get_varint(c);
		r.name = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
		if (c->failed || r.process == 0) {
			*why = "a region is out of range";
			return MST_EDAMAGED;
		}
		rc = mst_dict_add_region(d, &r);
		if (rc < 0)
			return rc;
	}
	return 0;
}

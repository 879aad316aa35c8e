/* event_size.c - how large: the sizes asked for, as varints in site order, of the sites that have one.
 *
 * Beside its like, a size needs no model: zstd finds the repetitions of a site by itself. "Same as last time at this
 * stack" codes in thread order took 1.5-2 times the room. */
#include "event_frame.h"

#include "mstrace.h"

bool mst_event_encode_size(struct mst_event_frame *f)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_SIZE];
	uint8_t *p = col->p;
	uint64_t stray = 0;

	for (uint32_t s = 0, g = 0; s < f->n_sites; s++) {
		if (f->site_trait[s] & MST_SITE_SIZED)
			for (; g < f->site_end[s]; g++)
				p = mst_put_varint(p, f->ev.size[f->group[g]]);
		for (; g < f->site_end[s]; g++)
			stray |= f->ev.size[f->group[g]];
	}
	col->p = p;
	return stray == 0 || mst_columns_fail(&f->cols, MST_EARG, "a release has a size");
}

bool mst_event_decode_size(struct mst_event_frame *f)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_SIZE);

	for (uint32_t s = 0, g = 0; s < f->n_sites; s++) {
		if (f->site_trait[s] & MST_SITE_SIZED)
			for (; g < f->site_end[s]; g++)
				f->ev.size[f->group[g]] = mst_get_varint(&c);
		for (; g < f->site_end[s]; g++)
			f->ev.size[f->group[g]] = 0;
	}
	return mst_columns_close(&f->cols, MST_COLUMN_SIZE, &c);
}

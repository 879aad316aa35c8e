/* event_extra.c - what few events have: alignment, errno. Triples (events since the last one, kind, value). */
#include "event_frame.h"

#include "mstrace.h"

bool mst_event_encode_extra(struct mst_event_frame *f)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_EXTRA];
	struct mst_extra last = {0, 0, 0};

	for (uint32_t x = 0; x < f->ev.n_extra; x++) {
		struct mst_extra e = f->ev.extra[x];
		if (e.index >= f->ev.n || e.kind == 0 || e.kind > UINT8_MAX || e.index < last.index ||
			(e.index == last.index && e.kind <= last.kind))
			return mst_columns_fail(&f->cols, MST_EARG, "extras are not in order");
		col->p = mst_put_varint(col->p, e.index - last.index);
		col->p = mst_put8(col->p, (uint8_t)e.kind);
		col->p = mst_put_varint(col->p, e.value);
		last = e;
	}
	return true;
}

bool mst_event_decode_extra(struct mst_event_frame *f)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_EXTRA);
	struct mst_extra e = {0, 0, 0};
	uint32_t count = 0, last_kind = 0;

	for (; mst_cursor_left(&c) > 0 && count < MST_EVENT_EXTRAS_MAX(f->ev.n); count++) {
		uint32_t skip = (uint32_t)mst_get_varint_max(&c, f->ev.n - 1 - e.index);
		e.index += skip;
		last_kind = skip > 0 ? 0 : e.kind;
		e.kind = mst_get8(&c);
		e.value = mst_get_varint(&c);
		if (e.kind <= last_kind)
			return mst_columns_bad(&f->cols, MST_COLUMN_EXTRA);
		f->ev.extra[count] = e;
	}
	f->ev.n_extra = count;
	return mst_columns_close(&f->cols, MST_COLUMN_EXTRA, &c);
}

/* event_map.c - what only calls of the mapping layer have: a row of numbers each, in total order.
 *
 * Rows, not columns of their own: such calls are rare beside those of the heap, and frames without one must not pay.
 * The writer makes the rows as the calls come in, so the encoder sees them as bytes; a decoder checks all of them
 * before the slicer reads them again, some at a time. A row has at most 65 bytes: with what else such an event can
 * have (no REF, no ADDR) it stays below the 128 bytes an event may take. */
#include "event_frame.h"

#include "format.h"
#include "mstrace.h"

static bool has_old_addr(unsigned op)
{
	return op == MST_OP_MREMAP || op == MST_OP_BRK || op == MST_OP_SBRK;
}

void mst_map_row_put(struct mst_buffer *out, const struct mst_map_call *call, unsigned op, uint64_t span, uint64_t *last)
{
	uint64_t old_addr = has_old_addr(op) ? call->old_addr : call->addr;

	mst_buffer_put_varint(out, mst_delta(call->addr, *last));
	mst_buffer_put_varint(out, call->length);
	mst_buffer_put_varint(out, mst_delta(old_addr, call->addr));
	mst_buffer_put_varint(out, op == MST_OP_MREMAP ? call->old_length : call->offset);
	mst_buffer_put_varint(out, call->prot);
	mst_buffer_put_varint(out, call->flags);
	mst_buffer_put_varint(out, mst_delta((uint64_t)(int64_t)call->fd, 0));
	mst_buffer_put_varint(out, call->file);
	mst_buffer_put_varint(out, span < UINT32_MAX ? span : UINT32_MAX);
	*last = call->addr;
}

void mst_map_row_get(struct mst_cursor *c, unsigned op, uint64_t number, uint64_t *last, struct mst_map_call *call)
{
	uint64_t addr = mst_undelta(mst_get_varint(c), *last), length = mst_get_varint(c);
	uint64_t old_addr = mst_undelta(mst_get_varint(c), addr), more = mst_get_varint(c);
	uint32_t prot = (uint32_t)mst_get_varint_max(c, UINT32_MAX), flags = (uint32_t)mst_get_varint_max(c, UINT32_MAX);
	int32_t fd = (int32_t)mst_undelta(mst_get_varint_max(c, UINT32_MAX), 0);
	uint32_t file = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
	uint64_t span = mst_get_varint_max(c, UINT32_MAX);

	*call = (struct mst_map_call){
		.addr = addr,
		.length = length,
		.old_addr = has_old_addr(op) ? old_addr : 0,
		.old_length = op == MST_OP_MREMAP ? more : 0,
		.offset = op == MST_OP_MREMAP ? 0 : more,
		.begun = span < number ? number - span : 0,
		.prot = prot,
		.flags = flags,
		.file = file,
		.fd = fd,
	};
	*last = addr;
}

/* Events of the frame that are of the mapping layer. */
static uint32_t count_maps(const struct mst_event_frame *f)
{
	uint32_t n = 0;

	for (uint32_t s = 0, start = 0; s < f->n_sites; start = f->site_end[s++])
		n += f->site_trait[s] & MST_SITE_MAPS ? f->site_end[s] - start : 0;
	return n;
}

/* Are these n rows, and nothing else? */
static bool are_rows(const uint8_t *rows, size_t len, uint32_t n)
{
	struct mst_cursor c = mst_cursor_over(rows, len);
	struct mst_map_call call;
	uint64_t last = 0;

	for (uint32_t i = 0; i < n && !c.failed; i++)
		mst_map_row_get(&c, MST_OP_MMAP, 0, &last, &call);
	return mst_cursor_finish(&c);
}

bool mst_event_encode_maps(struct mst_event_frame *f)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_MAPPING];

	if (f->ev.maps_len == 0)
		return true;
	if (!are_rows(f->ev.maps, f->ev.maps_len, count_maps(f)))
		return mst_columns_fail(&f->cols, MST_EARG, "rows of mapping calls are not one for each");
	col->raw = (uint8_t *)(uintptr_t)f->ev.maps; /* is only read */
	col->p = col->raw + f->ev.maps_len;
	return true;
}

bool mst_event_decode_maps(struct mst_event_frame *f)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_MAPPING);

	f->ev.maps_len = mst_cursor_left(&c);
	f->ev.maps = c.p;
	if (c.failed)
		return false; /* why has been said */
	if (!are_rows(f->ev.maps, f->ev.maps_len, count_maps(f)))
		return mst_columns_bad(&f->cols, MST_COLUMN_MAPPING);
	return true;
}

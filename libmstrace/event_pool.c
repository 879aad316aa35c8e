/* event_pool.c - what only calls of the pool layer have: a row of numbers each, in total order.
 *
 * Rows as those of event_map.c, for the same reasons. Blocks are numbered in the rows themselves, not by counting
 * acquisitions as those of the heap are: a frame's header need not know of them, and a frame that is lost or dropped costs
 * no more than its own rows. Every row has the same fields, whatever the op, so that a decoder can check rows without
 * their events; what a field does not apply to is stored as 0. */
#include "event_frame.h"

#include "format.h"
#include "mstrace.h"

static bool is_pure_release(unsigned op)
{
	return op == MST_OP_POOL_FREE || op == MST_OP_POOL_REALLOC_FREE;
}

void mst_pool_row_put(struct mst_buffer *out, const struct mst_pool_call *call, unsigned op, struct mst_pool_row *last)
{
	bool is_realloc = op == MST_OP_POOL_REALLOC;
	uint64_t block = is_pure_release(op) ? call->freed : call->alloc;

	mst_buffer_put_varint(out, call->pool);
	mst_buffer_put_varint(out, mst_delta(call->addr, last->addr));
	mst_buffer_put_varint(out, is_pure_release(op) ? 0 : call->size);
	mst_buffer_put_varint(out, mst_delta(block, last->block));
	mst_buffer_put_varint(out, is_realloc ? mst_delta(call->old_addr, call->addr) : 0);
	mst_buffer_put_varint(out, is_realloc ? mst_delta(call->freed, block) : 0);
	*last = (struct mst_pool_row){call->addr, block};
}

void mst_pool_row_get(struct mst_cursor *c, unsigned op, struct mst_pool_row *last, struct mst_pool_call *call)
{
	uint32_t pool = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
	uint64_t addr = mst_undelta(mst_get_varint(c), last->addr);
	uint64_t size = mst_get_varint_max(c, MST_NUMBER_MAX);
	uint64_t block = mst_undelta(mst_get_varint(c), last->block);
	uint64_t old_addr = mst_undelta(mst_get_varint(c), addr), old_block = mst_undelta(mst_get_varint(c), block);
	bool acquires = op == MST_OP_POOL_ALLOC || op == MST_OP_POOL_REALLOC;

	if (block > MST_ORDINAL_MAX || old_block > MST_ORDINAL_MAX)
		mst_cursor_fail(c);
	*call = (struct mst_pool_call){
		.alloc = acquires ? block : 0,
		.freed = op == MST_OP_POOL_REALLOC ? old_block : is_pure_release(op) ? block : 0,
		.addr = addr,
		.size = is_pure_release(op) ? 0 : size,
		.old_addr = op == MST_OP_POOL_REALLOC ? old_addr : 0,
		.pool = pool,
	};
	*last = (struct mst_pool_row){addr, block};
}

/* Events of the frame that are of the pool layer. */
static uint32_t count_pools(const struct mst_event_frame *f)
{
	uint32_t n = 0;

	for (uint32_t s = 0, start = 0; s < f->n_sites; start = f->site_end[s++])
		n += f->site_trait[s] & MST_SITE_POOLS ? f->site_end[s] - start : 0;
	return n;
}

/* Are these n rows, and nothing else? */
static bool are_rows(const uint8_t *rows, size_t len, uint32_t n)
{
	struct mst_cursor c = mst_cursor_over(rows, len);
	struct mst_pool_row last = {0};
	struct mst_pool_call call;

	for (uint32_t i = 0; i < n && !c.failed; i++)
		mst_pool_row_get(&c, MST_OP_POOL_ALLOC, &last, &call);
	return mst_cursor_finish(&c);
}

bool mst_event_encode_pools(struct mst_event_frame *f)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_POOL];

	if (f->ev.pools_len == 0)
		return true;
	if (!are_rows(f->ev.pools, f->ev.pools_len, count_pools(f)))
		return mst_columns_fail(&f->cols, MST_EARG, "rows of pool calls are not one for each");
	col->raw = (uint8_t *)(uintptr_t)f->ev.pools; /* is only read */
	col->p = col->raw + f->ev.pools_len;
	return true;
}

bool mst_event_decode_pools(struct mst_event_frame *f)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_POOL);

	f->ev.pools_len = mst_cursor_left(&c);
	f->ev.pools = c.p;
	if (c.failed)
		return false; /* why has been said */
	if (!are_rows(f->ev.pools, f->ev.pools_len, count_pools(f)))
		return mst_columns_bad(&f->cols, MST_COLUMN_POOL);
	return true;
}

/* column.c - directory and compression of an event payload's columns.
 *
 * zstd sees one column at a time: bytes of one kind share one entropy table, which is worth 3-5 % over one zstd frame
 * for all. Columns below SMALL bytes are stored: zstd's own frame header would eat the gain.
 *
 * What repeats in a column repeats at length, and what does not is best left to the entropy coder, short matches only cost
 * it symbols. So up to the usual level only long matches are looked for, which takes two thirds of the time of zstd's own level 3
 * (README of tests/bench). */
#include "column.h"

#include "event.h"
#include "mstrace.h"

#define HEAD_LEN 4u
#define ENTRY_LEN 12u
#define COUNT_MAX 255u
#define SMALL 48u
#define ZSTD_MAGIC_LE 0xfd2fb528u
#define USUAL_LEVEL 3
#define MATCH_MIN 7
#define MATCH_TABLE_BITS 16

/* The greatest number of bytes a column takes: so many per event, per extra, and in all. */
static const struct limits {
	const char *name, *too_short, *impossible;
	uint8_t per_event, per_extra, fixed;
} limits[MST_COLUMN_END] = {
#define COLUMN(id, per_event, per_extra, fixed)                                                                        \
	[MST_COLUMN_##id] = {#id, "column " #id " is cut short, too long or not canonical",                            \
		"column " #id " holds an impossible value", per_event, per_extra, fixed}
	COLUMN(THREAD, 5, 0, 5),
	COLUMN(RUN_SLOT, 3, 0, 0),
	COLUMN(RUN_LENGTH, 3, 0, 0),
	COLUMN(SITE_CODE, 1, 0, 0),
	COLUMN(SITE_INDEX, 3, 0, 0),
	COLUMN(SITE_OP, 1, 0, 0),
	COLUMN(SITE_STACK, 5, 0, 0),
	COLUMN(TIME_SMALL, 1, 0, 8), /* eight events are stored at a time */
	COLUMN(TIME_LARGE, 10, 0, 0),
	COLUMN(SIZE, 10, 0, 0),
	COLUMN(REF, 3, 0, 0),
	COLUMN(REF_CROSS, 3, 0, 0),
	COLUMN(REF_OLD, 10, 0, 0),
	COLUMN(REF_ADDR, 10, 0, 0),
	COLUMN(ADDR_CODE, 1, 0, 0),
	COLUMN(ADDR_ESCAPE, 10, 0, 0),
	COLUMN(EXTRA, 0, 14, 0),
	COLUMN(MAPPING, 0, 0, 0), /* made by the caller: at most 65 for each event that has no SIZE, REF, ADDR */
	COLUMN(POOL, 0, 0, 0),    /* likewise: at most 55 */
#undef COLUMN
};

bool mst_columns_fail(struct mst_columns *cols, int code, const char *why)
{
	if (cols->fault.code == 0)
		cols->fault = (struct mst_column_fault){code, why};
	return false;
}

bool mst_columns_bad(struct mst_columns *cols, enum mst_column_id id)
{
	return mst_columns_fail(cols, MST_EDAMAGED, limits[id].impossible);
}

static bool set_parameters(ZSTD_CCtx *zstd, int level)
{
	if (level > USUAL_LEVEL)
		return !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level));
	return !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 1)) &&
		!ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_strategy, ZSTD_fast)) &&
		!ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_minMatch, MATCH_MIN)) &&
		!ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_hashLog, MATCH_TABLE_BITS));
}

ZSTD_CCtx *mst_columns_compressor(int level)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();

	if (zstd && set_parameters(zstd, level))
		return zstd;
	ZSTD_freeCCtx(zstd);
	return NULL;
}

void mst_columns_begin(struct mst_columns *cols, uint32_t n, uint32_t n_extra)
{
	uint8_t *p = cols->arena;

	for (unsigned id = 1; id < MST_COLUMN_END; id++) {
		cols->at[id] = (struct mst_column_bytes){.raw = p, .p = p};
		p += (size_t)limits[id].per_event * n + (size_t)limits[id].per_extra * n_extra + limits[id].fixed;
	}
	cols->fault.code = 0;
}

/* Stores the column's bytes at out, compressed if that is shorter. False if zstd fails for want of memory. */
static bool pack_one(struct mst_columns *cols, struct mst_column_bytes *col, uint8_t *out, size_t cap)
{
	col->raw_len = (uint32_t)(col->p - col->raw);
	if (col->raw_len >= SMALL) {
		size_t len = ZSTD_compress2(cols->compressor, out, cap, col->raw, col->raw_len);
		if (ZSTD_isError(len))
			return false;
		if (len < col->raw_len) {
			col->codec = MST_COLUMN_ZSTD;
			col->stored_len = (uint32_t)len;
			return true;
		}
	}
	mst_put_bytes(out, col->raw, col->raw_len);
	col->codec = MST_COLUMN_STORED;
	col->stored_len = col->raw_len;
	return true;
}

static uint8_t *put_entry(uint8_t *p, unsigned id, const struct mst_column_bytes *col)
{
	p = mst_put8(p, (uint8_t)id);
	p = mst_put8(p, col->encoding);
	p = mst_put8(p, col->codec);
	p = mst_put8(p, 0);
	p = mst_put32(p, col->stored_len);
	return mst_put32(p, col->raw_len);
}

size_t mst_columns_pack(struct mst_columns *cols, uint8_t *out, size_t cap)
{
	unsigned count = 0;

	for (unsigned id = 1; id < MST_COLUMN_END; id++)
		count += cols->at[id].p != cols->at[id].raw;
	uint8_t *entry = mst_put32(out, count);
	uint8_t *p = out + HEAD_LEN + count * ENTRY_LEN;

	for (unsigned id = 1; id < MST_COLUMN_END; id++) {
		struct mst_column_bytes *col = &cols->at[id];
		if (col->p == col->raw)
			continue;
		if (!pack_one(cols, col, p, cap - (size_t)(p - out)))
			return 0;
		entry = put_entry(entry, id, col);
		p += col->stored_len;
	}
	return (size_t)(p - out);
}

/* Reads one entry. `last_id` is the id before it, `raw_left` what raw lengths may still take. */
static bool unpack_entry(struct mst_columns *cols, struct mst_cursor *dir, struct mst_cursor *bytes, unsigned *last_id,
	size_t *raw_left)
{
	unsigned id = mst_get8(dir);
	struct mst_column_bytes col = {.encoding = mst_get8(dir), .codec = mst_get8(dir)};
	unsigned flags = mst_get8(dir);

	col.stored_len = mst_get32(dir);
	col.raw_len = mst_get32(dir);
	col.stored = mst_get_bytes(bytes, col.stored_len);
	if (dir->failed || bytes->failed || id <= *last_id || col.raw_len == 0 || col.raw_len > *raw_left)
		return mst_columns_fail(cols, MST_EDAMAGED, "the column directory is wrong");
	*last_id = id;
	*raw_left -= col.raw_len;
	if (id < MST_COLUMN_END)
		cols->at[id] = col;
	else if (flags & MST_COLUMN_NEEDED)
		return mst_columns_fail(cols, MST_EVERSION, "a column is needed that this version does not know");
	return true;
}

bool mst_columns_unpack(struct mst_columns *cols, const uint8_t *payload, size_t len, size_t raw_max)
{
	struct mst_cursor bytes = mst_cursor_over(payload, len);
	uint32_t count = mst_get32(&bytes);
	unsigned last_id = 0;

	memset(cols->at, 0, sizeof(cols->at));
	cols->fault.code = 0;
	cols->arena_used = 0;
	if (count > COUNT_MAX)
		return mst_columns_fail(cols, MST_EDAMAGED, "the column directory is wrong");
	const uint8_t *entries = mst_get_bytes(&bytes, count * ENTRY_LEN);
	struct mst_cursor dir = mst_cursor_over(entries, entries ? count * ENTRY_LEN : 0);
	while (mst_cursor_left(&dir) > 0)
		if (!unpack_entry(cols, &dir, &bytes, &last_id, &raw_max))
			return false;
	if (!mst_cursor_finish(&bytes))
		return mst_columns_fail(cols, MST_EDAMAGED, "the columns do not fill the payload");
	return true;
}

uint64_t mst_columns_raw_size(const uint8_t *payload, size_t len)
{
	struct mst_cursor c = mst_cursor_over(payload, len);
	uint32_t count = mst_get32(&c);
	uint64_t size = HEAD_LEN;

	for (uint32_t i = 0; i < count && mst_cursor_left(&c) >= ENTRY_LEN; i++) {
		(void)mst_get_bytes(&c, ENTRY_LEN - 4);
		size += ENTRY_LEN + (uint64_t)mst_get32(&c);
	}
	return size;
}

/* One zstd frame that says it holds raw_len bytes and does, and nothing behind it. */
static bool inflate(struct mst_columns *cols, const struct mst_column_bytes *col, uint8_t *out)
{
	if (col->stored_len < 4 || mst_load32(col->stored) != ZSTD_MAGIC_LE ||
		ZSTD_getFrameContentSize(col->stored, col->stored_len) != col->raw_len ||
		ZSTD_findFrameCompressedSize(col->stored, col->stored_len) != col->stored_len)
		return false;
	return ZSTD_decompressDCtx(cols->decompressor, out, col->raw_len, col->stored, col->stored_len) == col->raw_len;
}

struct mst_cursor mst_columns_open(struct mst_columns *cols, enum mst_column_id id)
{
	const struct mst_column_bytes *col = &cols->at[id];
	uint8_t *out = cols->arena + cols->arena_used;

	if (col->encoding != 0 && id != MST_COLUMN_TIME_SMALL) {
		mst_columns_fail(cols, MST_EVERSION, "a column has an encoding this version does not know");
		return (struct mst_cursor){NULL, NULL, true};
	}
	switch (col->codec) {
	case MST_COLUMN_STORED:
		if (col->stored_len == col->raw_len)
			return mst_cursor_over(col->stored, col->raw_len);
		mst_columns_fail(cols, MST_EDAMAGED, limits[id].too_short);
		break;
	case MST_COLUMN_ZSTD:
		cols->arena_used += col->raw_len;
		if (inflate(cols, col, out))
			return mst_cursor_over(out, col->raw_len);
		mst_columns_fail(cols, MST_EDAMAGED, limits[id].too_short);
		break;
	default:
		mst_columns_fail(cols, MST_EVERSION, "a column is compressed in a way this version does not know");
	}
	return (struct mst_cursor){NULL, NULL, true};
}

bool mst_columns_close(struct mst_columns *cols, enum mst_column_id id, const struct mst_cursor *c)
{
	return mst_cursor_finish(c) || mst_columns_fail(cols, MST_EDAMAGED, limits[id].too_short);
}

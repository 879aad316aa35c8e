/* column.h - the named byte strings an event payload consists of, each compressed on its own.
 *
 *     payload = count u32, directory entry[count], stored bytes of the first column, of the second, ...
 *     entry   = id u8, encoding u8, codec u8, flags u8, stored_len u32, raw_len u32
 *
 * Entries stand in order of id, each id at most once; an empty column has no entry. Columns are decompressed when
 * they are opened, so that what nobody asks for costs 12 bytes of directory and nothing else. */
#ifndef MST_COLUMN_H
#define MST_COLUMN_H

#include "bytes.h"

#include <zstd.h>

/* Ids as in the file (FORMAT.md "Event frames"): never reused. */
enum mst_column_id {
	MST_COLUMN_THREAD = 1,
	MST_COLUMN_RUN_SLOT = 2,
	MST_COLUMN_RUN_LENGTH = 3,
	MST_COLUMN_SITE_CODE = 4,
	MST_COLUMN_SITE_INDEX = 5,
	MST_COLUMN_SITE_OP = 6,
	MST_COLUMN_SITE_STACK = 7,
	MST_COLUMN_TIME_SMALL = 8,
	MST_COLUMN_TIME_LARGE = 9,
	MST_COLUMN_SIZE = 10,
	MST_COLUMN_REF = 11,
	MST_COLUMN_REF_CROSS = 12,
	MST_COLUMN_REF_OLD = 13,
	MST_COLUMN_REF_ADDR = 14,
	MST_COLUMN_ADDR_CODE = 15,
	MST_COLUMN_ADDR_ESCAPE = 16,
	MST_COLUMN_EXTRA = 17,
	MST_COLUMN_MAPPING = 18,
	MST_COLUMN_POOL = 19,
	MST_COLUMN_END = 20, /* ids from here on are unknown to this version */
};

#define MST_COLUMN_NEEDED 0x01u /* flag: a reader that does not know the column must not decode the frame */

enum mst_column_codec { MST_COLUMN_STORED = 0, MST_COLUMN_ZSTD = 1 };

struct mst_column_bytes {
	uint8_t *raw;          /* writing: start of the column's share of the arena */
	uint8_t *p;            /* writing: end of what has been written */
	const uint8_t *stored; /* reading */
	uint32_t stored_len, raw_len;
	uint8_t encoding, codec;
};

/* Why columns cannot be read; codes are enum mst_error. */
struct mst_column_fault {
	int code;
	const char *why;
};

struct mst_columns {
	struct mst_column_bytes at[MST_COLUMN_END];
	uint8_t *arena; /* raw bytes: MST_EVENT_PAYLOAD_MAX(MST_FRAME_EVENTS_MAX) of them */
	size_t arena_used;
	struct mst_column_fault fault; /* the first one; code 0 = none */
	ZSTD_CCtx *compressor;
	ZSTD_DCtx *decompressor;
};

/* Latches code and why unless there is a fault already. Returns false, for `return mst_columns_fail(...)`. */
bool mst_columns_fail(struct mst_columns *cols, int code, const char *why);

/* What compresses columns at that level of zstd, freed by ZSTD_freeCCtx; NULL when memory is short. */
ZSTD_CCtx *mst_columns_compressor(int level);
/* Gives every column room for n events and n_extra extras, all empty. */
void mst_columns_begin(struct mst_columns *cols, uint32_t n, uint32_t n_extra);
/* Compresses all columns into out[0..cap), cap >= MST_COLUMNS_BOUND; returns the payload's length, 0 if zstd failed. */
size_t mst_columns_pack(struct mst_columns *cols, uint8_t *out, size_t cap);
#define MST_COLUMNS_BOUND(payload_max) ((payload_max) + (payload_max) / 128 + 4096)

/* Reads the directory of any bytes whatever; raw lengths together may not pass raw_max. The payload must outlive the
 * reading. False: see fault. */
bool mst_columns_unpack(struct mst_columns *cols, const uint8_t *payload, size_t len, size_t raw_max);
/* Bytes that the payload would have if none of its columns were compressed; of any bytes whatever, a directory that is
 * wrong counting as far as it goes. */
uint64_t mst_columns_raw_size(const uint8_t *payload, size_t len);
/* A cursor over the raw bytes of column id, decompressed on the way; they live until the next unpack. A column that is
 * absent is empty; one that cannot be decompressed gives a failed cursor and a fault. */
struct mst_cursor mst_columns_open(struct mst_columns *cols, enum mst_column_id id);
/* True if c was read to its end without failure; else latches a fault that names the column. */
bool mst_columns_close(struct mst_columns *cols, enum mst_column_id id, const struct mst_cursor *c);
/* Latches "column ... holds an impossible value". */
bool mst_columns_bad(struct mst_columns *cols, enum mst_column_id id);
#endif

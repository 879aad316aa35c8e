/* format.h - the numbers of FORMAT.md: sync bytes, frame kinds, flags, field places, limits.
 *
 * Same order and same names as the specification; code and specification change in one commit. Nothing here
 * but constants. */
#ifndef MST_FORMAT_H
#define MST_FORMAT_H

#include <stdint.h>

/* ---- versions (FORMAT.md "Compatibility") ---------------------------------------------------------------- */

#define MST_FORMAT_MAJOR 1
#define MST_FORMAT_MINOR 0
/* The oldest reader that understands what this library writes. */
#define MST_MIN_READER_MAJOR 1
#define MST_MIN_READER_MINOR 0

/* ---- frame header (FORMAT.md "Frame header") ------------------------------------------------------------- */

#define MST_SYNC "\x8aMST\r\n\x1a\n"
#define MST_SYNC_LEN 8

enum mst_header_place { /* offset of each field */
	MST_AT_SYNC = 0,
	MST_AT_HEADER_LEN = 8,
	MST_AT_KIND = 10,
	MST_AT_CODEC = 11,
	MST_AT_FLAGS = 12,
	MST_AT_FILE_ID = 16,
	MST_AT_STREAM = 24,
	MST_AT_N_ITEMS = 28,
	MST_AT_STORED_LEN = 32,
	MST_AT_RAW_LEN = 36,
	MST_AT_SEQ = 40,
	MST_AT_PAYLOAD_HASH = 48,
	MST_AT_EXTENSION = 56,
};
#define MST_HEADER_MIN 64u
#define MST_HEADER_MAX 256u
#define MST_HASH_LEN 8u
#define MST_FRAME_ALIGN 8u

enum mst_kind {
	MST_KIND_HEADER = 1,
	MST_KIND_PROC = 2,
	MST_KIND_THREAD = 3,
	MST_KIND_MODULE = 4,
	MST_KIND_STRING = 5,
	MST_KIND_STACK = 6,
	MST_KIND_EVT = 7,
	MST_KIND_CLOCK = 8, /* reserved */
	MST_KIND_LOSS = 9,
	MST_KIND_SYM = 10,
	MST_KIND_SAMPLE = 11,
	MST_KIND_INDEX = 12,
	MST_KIND_CODE = 13,
	MST_KIND_CHECKPOINT = 14,
	MST_KIND_END = 15,
	MST_KIND_API = 16,
	MST_KIND_METRIC = 17, /* reserved */
	MST_KIND_MAP = 18,
	MST_KIND_REGION = 19,
	MST_KIND_POOL = 20,
	MST_KIND_SPACE = 21,
	MST_KIND_LIMIT = 32, /* kinds the tables of this library have room for; the format allows 1..255 */
};

enum mst_codec {
	MST_CODEC_STORED = 0,
	MST_CODEC_ZSTD = 1,
};

enum mst_frame_flag {
	MST_FLAG_CRITICAL = 1u << 0, /* a reader that does not know the kind must refuse the file */
	MST_FLAG_COPY = 1u << 1,     /* says again what earlier frames said */
	MST_FLAG_LATE = 1u << 2,     /* EVT: holds events flagged LATE */
	MST_FLAG_LOSS = 1u << 3,     /* EVT: events are known to be missing before or within this frame */
};
#define MST_FLAGS_REFUSE 0xffff0000u /* reserved: a reader must not use the frame when one is set */

/* ---- EVT extension (FORMAT.md "EVT") ---------------------------------------------------------------------- */

enum mst_evt_place { /* offsets from the start of the header */
	MST_AT_EVT_FIRST_EVENT = 56,
	MST_AT_EVT_FIRST_ALLOC = 64,
	MST_AT_EVT_TIME_BASE = 72,
	MST_AT_EVT_TIME_FIRST = 80,
	MST_AT_EVT_TIME_LAST = 88,
	MST_AT_EVT_LIVE_BLOCKS = 96,
	MST_AT_EVT_LIVE_BYTES = 104,
	MST_AT_EVT_LOST_EVENTS = 112,
	MST_AT_EVT_BYTES_BEFORE = 120,
	MST_AT_EVT_ALLOC_BYTES = 128,
	MST_AT_EVT_FREED_BYTES = 136,
	MST_AT_EVT_N_ALLOC = 144,
	MST_AT_EVT_N_FREE = 148,
	MST_AT_EVT_N_UNOWNED = 152,
	MST_AT_EVT_N_LATE = 156,
	MST_AT_EVT_N_THREADS = 160,
	MST_AT_EVT_TIME_SHIFT = 164, /* 1 byte, then 3 reserved */
};
#define MST_EVT_HEADER_LEN 176u

/* ---- CHECKPOINT extension ---------------------------------------------------------------------------------- */

enum mst_checkpoint_place {
	MST_AT_CHECKPOINT_EVENT = 56,
	MST_AT_CHECKPOINT_ALLOC = 64,
	MST_AT_CHECKPOINT_TIME = 72,
	MST_AT_CHECKPOINT_LIVE_BLOCKS = 80,
	MST_AT_CHECKPOINT_LIVE_BYTES = 88,
	MST_AT_CHECKPOINT_LOST_EVENTS = 96,
	MST_AT_CHECKPOINT_ALLOC_BYTES = 104,
	MST_AT_CHECKPOINT_FREES = 112,
	MST_AT_CHECKPOINT_FAILED = 120,
	MST_AT_CHECKPOINT_PEAK_BYTES = 128,
	MST_AT_CHECKPOINT_PEAK_EVENT = 136,
	MST_AT_CHECKPOINT_PEAK_TIME = 144,
	MST_AT_CHECKPOINT_FIRST_BLOCK = 152,
	MST_AT_CHECKPOINT_TIME_SHIFT = 160, /* 1 byte, then 3 reserved */
	MST_AT_CHECKPOINT_POOL = 164,       /* 4 bytes, of POOL frames; else reserved */
};
#define MST_CHECKPOINT_HEADER_LEN 176u
#define MST_CHECKPOINT_BLOCKS_MAX 65536u /* of one frame */

/* ---- SPACE extension --------------------------------------------------------------------------------------- */

enum mst_space_place {
	MST_AT_SPACE_EVENT = 56,
	MST_AT_SPACE_PEAK_BYTES = 64,
	MST_AT_SPACE_PEAK_TIME = 72,
	MST_AT_SPACE_OWN_PEAK_BYTES = 80,
	MST_AT_SPACE_OWN_PEAK_TIME = 88,
	MST_AT_SPACE_ROWS = 96,
	MST_AT_SPACE_FIRST_ROW = 100,
	MST_AT_SPACE_PROCESS = 104, /* 4 bytes, then 4 reserved */
};
#define MST_SPACE_HEADER_LEN 120u
#define MST_SPACE_ROWS_MAX 65536u /* of one frame; as many pieces */

/* ---- INDEX extension -------------------------------------------------------------------------------------- */

#define MST_AT_INDEX_PREVIOUS 56 /* offset of the INDEX frame before this one; MST_NO_OFFSET = none */
#define MST_INDEX_HEADER_LEN 72u
#define MST_NO_OFFSET UINT64_MAX

/* ---- END extension ---------------------------------------------------------------------------------------- */

enum mst_end_place {
	MST_AT_END_INDEX = 56, /* offset of the last INDEX frame; MST_NO_OFFSET = none */
	MST_AT_END_EVENTS = 64,
	MST_AT_END_ALLOCS = 72,
	MST_AT_END_FREES = 80,
	MST_AT_END_FAILED = 88,
	MST_AT_END_LOST_EVENTS = 96,
	MST_AT_END_LOST_BYTES = 104,
	MST_AT_END_DURATION = 112,
	MST_AT_END_LIVE_BLOCKS = 120,
	MST_AT_END_LIVE_BYTES = 128,
	MST_AT_END_ALLOC_BYTES = 136,
	MST_AT_END_OVERLAPS = 144,
	MST_AT_END_EXIT_STATUS = 152,
	MST_AT_END_FLAGS = 156,
};
#define MST_END_HEADER_LEN 168u /* END has no payload: it is the last 168 bytes of the file */
enum mst_end_flag {
	MST_END_CLEAN = 1u << 0,    /* closed by the recorder in the ordinary way */
	MST_END_SALVAGED = 1u << 1, /* written by a salvage */
	MST_END_LIMITED = 1u << 2,  /* the trace reached the size set for it */
};

/* ---- HEADER payload: tag, length, value (FORMAT.md "HEADER") ----------------------------------------------- */

enum mst_tag {
	MST_TAG_VERSION = 1,
	MST_TAG_TIME_SHIFT = 2,
	MST_TAG_CONTENT = 3,
	MST_TAG_STACK_DEPTH = 4,
	MST_TAG_START = 5,
	MST_TAG_PAGE_SIZE = 6,
	MST_TAG_N_CPUS = 7,
	MST_TAG_TOOL = 8,
	MST_TAG_HOST = 9,
	MST_TAG_KERNEL = 10,
	MST_TAG_ARCH = 11,
	MST_TAG_CLOCK = 12,
	MST_TAG_CWD = 13,
	MST_TAG_CMDLINE = 14,
};
#define MST_TAG_CRITICAL 0x8000u /* bit of a tag: a reader that does not know it must refuse the file */
enum mst_content {
	MST_CONTENT_ADDRESSES = 1u << 0,
	MST_CONTENT_FREE_STACKS = 1u << 1,
};

/* ---- limits (FORMAT.md "Limits") -------------------------------------------------------------------------- */

#define MST_RAW_MAX (8u << 20)                  /* payload of a frame, decompressed */
#define MST_STORED_MAX (MST_RAW_MAX + (64u << 10)) /* payload of a frame, as stored */
#define MST_ZSTD_WINDOW_LOG_MAX 23              /* 8 MiB */
#define MST_HEADER_RAW_MAX (1u << 20)           /* payload of HEADER */
#define MST_STRING_MAX (64u << 10)              /* bytes of a string */
#define MST_PROCESSES_MAX (1u << 20)
#define MST_THREADS_MAX (1u << 20)
#define MST_MODULES_MAX (1u << 20)
#define MST_MAPPINGS_MAX (1u << 24)
#define MST_IDS_MAX (UINT32_MAX - 1)            /* strings, codes, stacks */
#define MST_INLINES_MAX 256u                    /* symbols of one code address */
#define MST_ORDINAL_MAX (((uint64_t)1 << 40) - 1)
#define MST_NUMBER_MAX INT64_MAX                /* events, offsets, times, sums of bytes */
#define MST_SEQ_MAX (INT64_MAX / 2)
#define MST_SEQ_TAIL 65536u                     /* numbers at the end that INDEX and END alone have: to close a salvaged file */
#define MST_TIME_SHIFT_MAX 30u
#define MST_INDEX_ENTRIES_MAX 65536u            /* of one INDEX frame */
#define MST_SAMPLES_MAX 4096u                   /* of one SAMPLE frame */
#define MST_PIECES_MAX 4096u                    /* contiguous pieces of one table (more only after damage) */

#define MST_STACK_FIRST 2u /* least id of a STACK entry: 0 and 1 are MST_STACK_NONE and MST_STACK_CUT */
#endif

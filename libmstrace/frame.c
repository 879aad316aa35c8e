#include "frame.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "bytes.h"
#include "mstrace.h"

static uint64_t hash(const void *p, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(p, len, seed);
}

/* ---- header ----------------------------------------------------------------------------------------------- */

static bool fields_good(const struct mst_frame *f)
{
	bool is_tail = f->kind == MST_KIND_INDEX || f->kind == MST_KIND_END;
	uint64_t greatest = is_tail ? MST_SEQ_MAX : MST_SEQ_MAX - MST_SEQ_TAIL;

	if (f->stored_len > MST_STORED_MAX || f->seq > greatest || f->file_id == 0)
		return false;
	return f->codec == MST_CODEC_STORED ? f->raw_len == f->stored_len : f->raw_len <= MST_RAW_MAX;
}

enum mst_header_state mst_frame_parse(const uint8_t *p, size_t avail, struct mst_frame *f)
{
	unsigned len;

	if (memcmp(p, MST_SYNC, avail < MST_SYNC_LEN ? avail : MST_SYNC_LEN) != 0)
		return MST_HEADER_BAD;
	if (avail < MST_HEADER_MIN)
		return MST_HEADER_SHORT;
	len = mst_load16(p + MST_AT_HEADER_LEN);
	if (len < MST_HEADER_MIN || len > MST_HEADER_MAX || len % MST_FRAME_ALIGN != 0)
		return MST_HEADER_BAD;
	if (avail < len)
		return MST_HEADER_SHORT;
	f->file_id = mst_load64(p + MST_AT_FILE_ID);
	if (mst_load64(p + len - MST_HASH_LEN) != hash(p, len - MST_HASH_LEN, f->file_id))
		return MST_HEADER_BAD;
	f->header = p;
	f->payload = NULL;
	f->header_len = (uint16_t)len;
	f->kind = p[MST_AT_KIND];
	f->codec = p[MST_AT_CODEC];
	f->flags = mst_load32(p + MST_AT_FLAGS);
	f->stream = mst_load32(p + MST_AT_STREAM);
	f->n_items = mst_load32(p + MST_AT_N_ITEMS);
	f->stored_len = mst_load32(p + MST_AT_STORED_LEN);
	f->raw_len = mst_load32(p + MST_AT_RAW_LEN);
	f->seq = mst_load64(p + MST_AT_SEQ);
	f->payload_hash = mst_load64(p + MST_AT_PAYLOAD_HASH);
	return fields_good(f) ? MST_HEADER_GOOD : MST_HEADER_BAD;
}

bool mst_frame_payload_good(const struct mst_frame *f, const uint8_t *payload)
{
	return hash(payload, f->stored_len, f->file_id) == f->payload_hash;
}

/* The common fields; extension and hashes follow. */
static void store_header(uint8_t *p, const struct mst_frame *f)
{
	memset(p, 0, f->header_len);
	memcpy(p, MST_SYNC, MST_SYNC_LEN);
	mst_store16(p + MST_AT_HEADER_LEN, f->header_len);
	p[MST_AT_KIND] = f->kind;
	p[MST_AT_CODEC] = f->codec;
	mst_store32(p + MST_AT_FLAGS, f->flags);
	mst_store64(p + MST_AT_FILE_ID, f->file_id);
	mst_store32(p + MST_AT_STREAM, f->stream);
	mst_store32(p + MST_AT_N_ITEMS, f->n_items);
	mst_store32(p + MST_AT_STORED_LEN, f->stored_len);
	mst_store32(p + MST_AT_RAW_LEN, f->raw_len);
	mst_store64(p + MST_AT_SEQ, f->seq);
	mst_store64(p + MST_AT_PAYLOAD_HASH, f->payload_hash);
}

/* ---- compression ------------------------------------------------------------------------------------------ */

struct mst_packer {
	ZSTD_CCtx *zstd;
	int level;
};

struct mst_packer *mst_packer_new(int level)
{
	struct mst_packer *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	p->level = level;
	p->zstd = ZSTD_createCCtx();
	if (!p->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level)) ||
		ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 0))) {
		mst_packer_free(p);
		return NULL;
	}
	/* Levels above 19 ask for windows that the format does not allow. */
	if (level > 19)
		ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_windowLog, MST_ZSTD_WINDOW_LOG_MAX);
	return p;
}

void mst_packer_free(struct mst_packer *p)
{
	if (!p)
		return;
	ZSTD_freeCCtx(p->zstd);
	free(p);
}

struct mst_unpacker {
	ZSTD_DCtx *zstd;
	uint8_t *raw; /* grows to the largest payload seen, <= MST_RAW_MAX */
	size_t cap;
};

struct mst_unpacker *mst_unpacker_new(void)
{
	struct mst_unpacker *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->zstd = ZSTD_createDCtx();
	if (!u->zstd) {
		free(u);
		return NULL;
	}
	return u;
}

void mst_unpacker_free(struct mst_unpacker *u)
{
	if (!u)
		return;
	ZSTD_freeDCtx(u->zstd);
	free(u->raw);
	free(u);
}

/* The format's own rules for a zstd frame, from its first bytes (RFC 8878, 3.1.1.1): no dictionary, and a window that
 * a streaming decoder gets by with. */
static bool zstd_header_good(const uint8_t *p, size_t len)
{
	unsigned window_log;

	if (len < 6 || (p[4] & 3) != 0)
		return false;
	if (p[4] & 1u << 5)
		return true; /* single segment: the window is the content */
	window_log = 10u + (p[5] >> 3);
	return window_log < MST_ZSTD_WINDOW_LOG_MAX || (window_log == MST_ZSTD_WINDOW_LOG_MAX && (p[5] & 7) == 0);
}

static int unpack_zstd(struct mst_unpacker *u, const struct mst_frame *f)
{
	size_t got;

	if (!zstd_header_good(f->payload, f->stored_len))
		return MST_EDAMAGED;
	if (ZSTD_getFrameContentSize(f->payload, f->stored_len) != f->raw_len)
		return MST_EDAMAGED;
	if (ZSTD_findFrameCompressedSize(f->payload, f->stored_len) != f->stored_len)
		return MST_EDAMAGED;
	if (f->raw_len > u->cap) {
		uint8_t *grown = malloc(f->raw_len);
		if (!grown)
			return MST_ENOMEM;
		free(u->raw);
		u->raw = grown;
		u->cap = f->raw_len;
	}
	got = ZSTD_decompressDCtx(u->zstd, u->raw, u->cap, f->payload, f->stored_len);
	return got == f->raw_len ? 0 : MST_EDAMAGED;
}

int mst_frame_unpack(struct mst_unpacker *u, const struct mst_frame *f, const uint8_t **raw, const char **why)
{
	int rc = 0;

	if (f->codec == MST_CODEC_STORED) {
		*raw = f->payload;
	} else if (f->codec == MST_CODEC_ZSTD) {
		rc = unpack_zstd(u, f);
		*raw = u->raw;
		*why = "the payload cannot be decompressed";
	} else {
		rc = MST_EVERSION;
		*why = "the payload is compressed in a way this version does not know";
	}
	return rc;
}

/* Compresses behind the header at out->len; says how long that became, 0 if it is no shorter than raw_len. */
static int compress(struct mst_packer *p, size_t header_len, const uint8_t *raw, size_t raw_len,
	struct mst_buffer *out, size_t *len)
{
	size_t bound = ZSTD_compressBound(raw_len);
	size_t got;

	*len = 0;
	if (!mst_buffer_reserve(out, header_len + bound + MST_FRAME_ALIGN))
		return MST_ENOMEM;
	got = ZSTD_compress2(p->zstd, out->bytes + out->len + header_len, bound, raw, raw_len);
	if (ZSTD_isError(got))
		return MST_ENOMEM; /* the only way to fail with these arguments */
	*len = got < raw_len ? got : 0;
	return 0;
}

int mst_frame_pack(struct mst_packer *p, struct mst_frame *f, const uint8_t *extension, const uint8_t *raw,
	size_t raw_len, struct mst_buffer *out)
{
	size_t packed = 0, size;
	uint8_t *head;

	if (f->codec == MST_CODEC_ZSTD && compress(p, f->header_len, raw, raw_len, out, &packed) < 0)
		return MST_ENOMEM;
	if (!mst_buffer_reserve(out, f->header_len + raw_len + MST_FRAME_ALIGN))
		return MST_ENOMEM;
	head = out->bytes + out->len;
	f->codec = packed ? MST_CODEC_ZSTD : MST_CODEC_STORED;
	f->raw_len = (uint32_t)raw_len;
	f->stored_len = (uint32_t)(packed ? packed : raw_len);
	if (!packed && raw_len != 0)
		memcpy(head + f->header_len, raw, raw_len);
	f->payload_hash = hash(head + f->header_len, f->stored_len, f->file_id);
	store_header(head, f);
	if (f->header_len > MST_HEADER_MIN)
		memcpy(head + MST_AT_EXTENSION, extension, f->header_len - MST_HEADER_MIN);
	mst_store64(head + f->header_len - MST_HASH_LEN, hash(head, f->header_len - MST_HASH_LEN, f->file_id));
	size = (size_t)mst_frame_size(f);
	memset(head + f->header_len + f->stored_len, 0, size - f->header_len - f->stored_len);
	out->len += size;
	return 0;
}

int mst_frame_copy(const struct mst_frame *f, uint64_t seq, struct mst_buffer *out)
{
	size_t size = (size_t)mst_frame_size(f), used = f->header_len + (size_t)f->stored_len;
	uint8_t *head;

	if (!mst_buffer_reserve(out, size))
		return MST_ENOMEM;
	head = out->bytes + out->len;
	memcpy(head, f->header, f->header_len);
	if (f->stored_len != 0)
		memcpy(head + f->header_len, f->payload, f->stored_len);
	memset(head + used, 0, size - used);
	mst_store64(head + MST_AT_SEQ, seq);
	mst_store64(head + f->header_len - MST_HASH_LEN, hash(head, f->header_len - MST_HASH_LEN, f->file_id));
	out->len += size;
	return 0;
}

/* fuzz_frame.c - any bytes as a frame: header, hashes, decompression.
 *
 * First as they are; then with both hashes made right, so that what the fields say is reached. A frame that parses is
 * packed anew and must come out as it was. */
#include "bytes.h"
#include "frame.h"
#include "mstrace.h"

#include <stdlib.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mst_packer *packer;
static struct mst_unpacker *unpacker;

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* The payload must unpack to raw_len bytes or be refused; and survive being packed again. */
static void try_payload(const struct mst_frame *f)
{
	struct mst_frame again = *f, parsed;
	struct mst_buffer out = {0};
	const uint8_t *raw, *raw_again;
	const char *why;
	uint8_t *kept;

	if (mst_frame_unpack(unpacker, f, &raw, &why) != 0)
		return;
	kept = malloc(f->raw_len + 1u);
	must(kept != NULL);
	memcpy(kept, raw, f->raw_len);
	again.codec = MST_CODEC_ZSTD;
	must(mst_frame_pack(packer, &again, f->header + MST_AT_EXTENSION, kept, f->raw_len, &out) == 0);
	must(mst_frame_parse(out.bytes, out.len, &parsed) == MST_HEADER_GOOD);
	must(mst_frame_size(&parsed) == out.len && parsed.raw_len == f->raw_len && parsed.seq == f->seq);
	parsed.payload = out.bytes + parsed.header_len;
	must(mst_frame_payload_good(&parsed, parsed.payload));
	must(mst_frame_unpack(unpacker, &parsed, &raw_again, &why) == 0);
	must(memcmp(kept, raw_again, f->raw_len) == 0);
	mst_buffer_release(&out);
	free(kept);
}

static void try_frame(const uint8_t *p, size_t len)
{
	struct mst_frame f;

	if (mst_frame_parse(p, len, &f) != MST_HEADER_GOOD)
		return;
	must(f.header_len <= len && f.stored_len <= MST_STORED_MAX);
	if (len - f.header_len < f.stored_len)
		return;
	f.payload = p + f.header_len;
	if (mst_frame_payload_good(&f, f.payload))
		try_payload(&f);
}

/* Lengths that fit the input, and both hashes. */
static void mend(uint8_t *p, size_t len)
{
	uint16_t header_len = (uint16_t)(MST_HEADER_MIN + p[MST_AT_HEADER_LEN] % 25 * MST_FRAME_ALIGN);
	uint64_t id = mst_load64(p + MST_AT_FILE_ID);
	uint32_t stored_len;

	if (header_len > len)
		header_len = (uint16_t)(len / MST_FRAME_ALIGN * MST_FRAME_ALIGN);
	stored_len = (uint32_t)(len - header_len);
	memcpy(p, MST_SYNC, MST_SYNC_LEN);
	mst_store16(p + MST_AT_HEADER_LEN, header_len);
	mst_store32(p + MST_AT_STORED_LEN, stored_len);
	if (p[MST_AT_CODEC] == MST_CODEC_STORED)
		mst_store32(p + MST_AT_RAW_LEN, stored_len);
	mst_store64(p + MST_AT_PAYLOAD_HASH, XXH3_64bits_withSeed(p + header_len, stored_len, id));
	mst_store64(p + header_len - MST_HASH_LEN, XXH3_64bits_withSeed(p, header_len - MST_HASH_LEN, id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (!packer) {
		packer = mst_packer_new(1);
		unpacker = mst_unpacker_new();
		must(packer && unpacker);
	}
	try_frame(data, size);
	if (size < MST_HEADER_MIN)
		return 0;
	copy = malloc(size);
	must(copy != NULL);
	memcpy(copy, data, size);
	mend(copy, size);
	try_frame(copy, size);
	free(copy);
	return 0;
}

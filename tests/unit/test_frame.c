/* test_frame.c - one frame: what is packed comes out, and nothing else passes for a frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "frame.h"
#include "mstrace.h"

#define FILE_ID UINT64_C(0xfeedface12345678)

static struct mst_packer *packer;
static struct mst_unpacker *unpacker;

static int set_up(void **state)
{
	(void)state;
	packer = mst_packer_new(3);
	unpacker = mst_unpacker_new();
	return packer && unpacker ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	mst_packer_free(packer);
	mst_unpacker_free(unpacker);
	mst_packer_free(NULL);
	mst_unpacker_free(NULL);
	return 0;
}

static struct mst_buffer pack(const void *raw, size_t len, unsigned codec, uint16_t header_len)
{
	static const uint8_t extension[MST_HEADER_MAX] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct mst_frame f = {.header_len = header_len, .kind = MST_KIND_STRING, .codec = (uint8_t)codec, .flags = 2,
		.file_id = FILE_ID, .n_items = 9, .seq = 77};
	struct mst_buffer out = {0};

	assert_int_equal(mst_frame_pack(packer, &f, extension, raw, len, &out), 0);
	assert_int_equal(out.len % 8, 0);
	assert_int_equal(out.len, mst_frame_size(&f));
	return out;
}

/* Makes both hashes right after a field was changed. */
static void seal(struct mst_buffer *b)
{
	size_t len = mst_load16(b->bytes + MST_AT_HEADER_LEN);
	uint64_t id = mst_load64(b->bytes + MST_AT_FILE_ID);

	mst_store64(b->bytes + MST_AT_PAYLOAD_HASH,
		XXH3_64bits_withSeed(b->bytes + len, mst_load32(b->bytes + MST_AT_STORED_LEN), id));
	mst_store64(b->bytes + len - MST_HASH_LEN, XXH3_64bits_withSeed(b->bytes, len - MST_HASH_LEN, id));
}

static int unpack(const struct mst_buffer *b, const uint8_t **raw, size_t *len)
{
	struct mst_frame f;
	const char *why;

	assert_int_equal(mst_frame_parse(b->bytes, b->len, &f), MST_HEADER_GOOD);
	f.payload = b->bytes + f.header_len;
	assert_true(mst_frame_payload_good(&f, f.payload));
	*len = f.raw_len;
	return mst_frame_unpack(unpacker, &f, raw, &why);
}

static void what_is_packed_comes_out(void **state)
{
	const size_t sizes[] = {0, 1, 7, 8, 100, 70000, 3 << 20};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned codec = 0; codec < 2; codec++) {
			uint8_t *raw = malloc(sizes[i] + 1);
			const uint8_t *back;
			struct mst_buffer b;
			size_t len;

			for (size_t k = 0; k < sizes[i]; k++)
				raw[k] = (uint8_t)(k * k >> 7);
			b = pack(raw, sizes[i], codec, (uint16_t)(64 + 8 * i));
			assert_int_equal(unpack(&b, &back, &len), 0);
			assert_int_equal(len, sizes[i]);
			assert_memory_equal(back, raw, len);
			mst_buffer_release(&b);
			free(raw);
		}
}

static void fields_come_back(void **state)
{
	struct mst_buffer b = pack("abc", 3, 0, 72);
	struct mst_frame f;

	(void)state;
	assert_int_equal(mst_frame_parse(b.bytes, b.len, &f), MST_HEADER_GOOD);
	assert_int_equal(f.kind, MST_KIND_STRING);
	assert_int_equal(f.flags, 2);
	assert_true(f.file_id == FILE_ID);
	assert_int_equal(f.n_items, 9);
	assert_int_equal(f.seq, 77);
	assert_int_equal(f.stored_len, 3);
	assert_int_equal(mst_load64(f.header + MST_AT_EXTENSION), UINT64_C(0x0807060504030201));
	mst_buffer_release(&b);
}

static void what_does_not_compress_is_stored(void **state)
{
	uint8_t noise[64];
	struct mst_buffer b;

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 151 + (i * i * 37 >> 3));
	b = pack(noise, sizeof(noise), MST_CODEC_ZSTD, 64);
	assert_int_equal(b.bytes[MST_AT_CODEC], MST_CODEC_STORED);
	mst_buffer_release(&b);
}

static void no_flipped_bit_of_a_header_passes(void **state)
{
	struct mst_buffer b = pack("hello", 5, 0, 96);
	struct mst_frame f;

	(void)state;
	for (size_t bit = 0; bit < 96 * 8; bit++) {
		b.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(mst_frame_parse(b.bytes, b.len, &f), MST_HEADER_GOOD);
		b.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	mst_buffer_release(&b);
}

static void a_short_header_asks_for_more(void **state)
{
	struct mst_buffer b = pack("hello", 5, 0, 96);
	struct mst_frame f;

	(void)state;
	for (size_t n = 0; n < 96; n++)
		assert_int_equal(mst_frame_parse(b.bytes, n, &f), MST_HEADER_SHORT);
	assert_int_equal(mst_frame_parse(b.bytes, 96, &f), MST_HEADER_GOOD);
	assert_int_equal(mst_frame_parse((const uint8_t *)"\x8aMSU", 4, &f), MST_HEADER_BAD);
	mst_buffer_release(&b);
}

static void fields_out_of_range_are_no_header_even_if_hashed(void **state)
{
	static const struct {
		unsigned at;
		uint64_t value;
		unsigned len;
	} cases[] = {
		{MST_AT_STORED_LEN, MST_STORED_MAX + 1u, 4},
		{MST_AT_RAW_LEN, 6, 4},               /* stored: must equal Stored_Len */
		{MST_AT_SEQ, UINT64_C(1) << 62, 8},
		{MST_AT_FILE_ID, 0, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mst_buffer b = pack("hello", 5, 0, 64);
		uint64_t id;
		struct mst_frame f;

		memcpy(b.bytes + cases[i].at, &cases[i].value, cases[i].len);
		id = mst_load64(b.bytes + MST_AT_FILE_ID);
		mst_store64(b.bytes + 56, XXH3_64bits_withSeed(b.bytes, 56, id));
		assert_int_equal(mst_frame_parse(b.bytes, b.len, &f), MST_HEADER_BAD);
		mst_buffer_release(&b);
	}
}

/* A compressed frame whose zstd frame is replaced by `stored`. */
static int unpack_instead(const void *stored, size_t len, uint32_t raw_len, unsigned codec)
{
	struct mst_buffer b = pack(stored, len, MST_CODEC_STORED, 64);
	const uint8_t *raw;
	size_t n;
	int rc;

	b.bytes[MST_AT_CODEC] = (uint8_t)codec;
	mst_store32(b.bytes + MST_AT_RAW_LEN, raw_len);
	seal(&b);
	rc = unpack(&b, &raw, &n);
	mst_buffer_release(&b);
	return rc;
}

static void zstd_frames_that_break_the_rules_are_damage(void **state)
{
	char text[1000], packed[3000];
	size_t len, skippable;
	ZSTD_CCtx *c = ZSTD_createCCtx();

	(void)state;
	memset(text, 'x', sizeof(text));
	len = ZSTD_compress(packed, sizeof(packed), text, sizeof(text), 3);
	assert_int_equal(unpack_instead(packed, len, 1000, MST_CODEC_ZSTD), 0);
	assert_int_equal(unpack_instead(packed, len, 999, MST_CODEC_ZSTD), MST_EDAMAGED);
	assert_int_equal(unpack_instead(packed, len, 1001, MST_CODEC_ZSTD), MST_EDAMAGED);
	assert_int_equal(unpack_instead(packed, len - 1, 1000, MST_CODEC_ZSTD), MST_EDAMAGED);
	assert_int_equal(unpack_instead(packed, 3, 1000, MST_CODEC_ZSTD), MST_EDAMAGED);
	assert_int_equal(unpack_instead(packed, len, 1000, 2), MST_EVERSION);
	/* Something behind it. */
	memcpy(packed + len, "\x50\x2a\x4d\x18\x00\x00\x00\x00", 8);
	skippable = len + 8;
	assert_int_equal(unpack_instead(packed, skippable, 1000, MST_CODEC_ZSTD), MST_EDAMAGED);
	/* No content size. */
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
	len = ZSTD_compress2(c, packed, sizeof(packed), text, sizeof(text));
	assert_int_equal(unpack_instead(packed, len, 1000, MST_CODEC_ZSTD), MST_EDAMAGED);
	ZSTD_freeCCtx(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_comes_out),
		cmocka_unit_test(fields_come_back),
		cmocka_unit_test(what_does_not_compress_is_stored),
		cmocka_unit_test(no_flipped_bit_of_a_header_passes),
		cmocka_unit_test(a_short_header_asks_for_more),
		cmocka_unit_test(fields_out_of_range_are_no_header_even_if_hashed),
		cmocka_unit_test(zstd_frames_that_break_the_rules_are_damage),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

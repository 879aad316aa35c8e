/* test_checkpoint.c - the blocks of a checkpoint come back, and what are none do not. */
#include "checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { N = 40 };

static const struct mst_checkpoint_part part = {
	.at = {.event = 5000, .next_alloc = 1001, .live_blocks = N, .live_bytes = 1 << 20, .allocated_bytes = 1 << 20},
	.time_shift = 8,
};

static void make(struct mst_block b[N])
{
	memset(b, 0, N * sizeof(*b));
	for (uint32_t i = 0; i < N; i++)
		b[i] = (struct mst_block){
			.alloc = i == 0 ? 1 : b[i - 1].alloc + 1 + i % 7 * 3,
			.addr = i % 5 == 4 ? UINT64_MAX - i : 0x7f0000001010 + i * UINT64_C(48),
			.size = i % 6 == 5 ? 100000 : i,
			.stack = i % 4 == 3 ? UINT32_MAX : i / 3,
			.thread = 1 + i % 3,
			.time_ns = (i % 8 == 7 ? 1 : 1000 + i) * UINT64_C(256),
			.op = (uint8_t)(i % 2 ? MST_OP_MALLOC : MST_OP_MEMALIGN),
			.align = i % 2 ? 0 : UINT32_C(1) << i % 32,
		};
}

/* Decodes a copy that ends where memory ends, so that a sanitizer sees each step too far. */
static int decode(const uint8_t *raw, size_t len, uint32_t n, struct mst_block *out)
{
	uint8_t *copy = malloc(len + !len);
	const char *why = NULL;
	int rc;

	assert_non_null(copy);
	memcpy(copy, raw, len);
	rc = mst_checkpoint_decode(&part, copy, len, n, out, &why);
	assert_true(rc == 0 || rc == MST_EDAMAGED);
	assert_non_null(why);
	free(copy);
	return rc;
}

static void encode(const struct mst_block *b, uint32_t n, struct mst_buffer *raw)
{
	mst_buffer_clear(raw);
	mst_checkpoint_encode(b, n, part.time_shift, raw);
	assert_false(raw->failed);
}

static void blocks_come_back(void **state)
{
	struct mst_block b[N], back[N];
	struct mst_buffer raw = {0};

	(void)state;
	make(b);
	for (uint32_t n = 1; n <= N; n++) {
		encode(b, n, &raw);
		assert_int_equal(decode(raw.bytes, raw.len, n, back), 0);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(back[i].alloc, b[i].alloc);
			assert_int_equal(back[i].addr, b[i].addr);
			assert_int_equal(back[i].size, b[i].size);
			assert_int_equal(back[i].stack, b[i].stack);
			assert_int_equal(back[i].thread, b[i].thread);
			assert_int_equal(back[i].time_ns, b[i].time_ns);
			assert_int_equal(back[i].op, b[i].op);
			assert_int_equal(back[i].align, b[i].align);
		}
	}
	mst_buffer_release(&raw);
}

/* What must hold of blocks that were accepted, whatever the bytes. */
static void expect_lawful(const struct mst_block *b, uint32_t n)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n; i++) {
		assert_true(b[i].alloc > (i ? b[i - 1].alloc : 0) && b[i].alloc < part.at.next_alloc);
		assert_true(b[i].op > 0 && b[i].op <= MST_OP_MAX);
		assert_true((b[i].align & (b[i].align - 1)) == 0);
		assert_true(b[i].time_ns <= MST_NUMBER_MAX && b[i].time_ns % 256 == 0);
		bytes += b[i].size;
	}
	assert_true(bytes <= part.at.live_bytes);
}

static void every_cut_is_damage_and_every_flipped_bit_survived(void **state)
{
	struct mst_block b[N], back[N];
	struct mst_buffer raw = {0};

	(void)state;
	make(b);
	encode(b, N, &raw);
	for (size_t len = 0; len < raw.len; len++)
		assert_int_equal(decode(raw.bytes, len, N, back), MST_EDAMAGED);
	assert_int_equal(decode(raw.bytes, raw.len, N - 1, back), MST_EDAMAGED);
	for (size_t bit = 0; bit < 8 * raw.len; bit++) {
		raw.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (decode(raw.bytes, raw.len, N, back) == 0)
			expect_lawful(back, N);
		raw.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	mst_buffer_release(&raw);
}

static void lies_are_damage(void **state)
{
	struct mst_block b[N], back[N];
	struct mst_buffer raw = {0};

	(void)state;
	for (unsigned lie = 0; lie < 6; lie++) {
		make(b);
		if (lie == 0)
			b[7].alloc = b[6].alloc; /* twice */
		else if (lie == 1)
			b[N - 1].alloc = part.at.next_alloc; /* not acquired yet */
		else if (lie == 2)
			b[3].size = part.at.live_bytes + 1;
		else if (lie == 3)
			b[3].size = (uint64_t)MST_NUMBER_MAX + 1;
		else if (lie == 4)
			b[3].op = 0;
		else
			b[3].op = MST_OP_MAX + 1;
		encode(b, N, &raw);
		assert_int_equal(decode(raw.bytes, raw.len, N, back), MST_EDAMAGED);
	}
	mst_buffer_release(&raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_back),
		cmocka_unit_test(every_cut_is_damage_and_every_flipped_bit_survived),
		cmocka_unit_test(lies_are_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_space_part.c - what a process had mapped comes back, and what cannot be does not. */
#include "space_part.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { REGIONS = 20, PIECES = 3, BASE = 0x10000 };

struct made {
	struct mst_space_row rows[REGIONS];
	struct mst_extent pieces[REGIONS * PIECES];
	struct mst_space_rows all;
	struct mst_buffer raw; /* the same encoded */
};

/* Regions in the order of their events, one below the other, of three pages of four each. */
static void make(struct made *m)
{
	m->all = (struct mst_space_rows){m->rows, m->pieces, REGIONS, REGIONS * PIECES};
	for (uint32_t i = 0; i < REGIONS; i++) {
		uint64_t start = BASE + (REGIONS - i) * UINT64_C(0x100000000);

		m->rows[i] = (struct mst_space_row){
			.region = {.start = start, .size = 4 * 4096, .peak_bytes = 4 * 4096, .event = i * UINT64_C(1000),
				.mapped_ns = (i % 3) * UINT64_C(1000000), .stack = i % 4 ? i : UINT32_MAX, .file = i % 2 ? 0 : i,
				.prot = i % 8, .kind = (uint8_t)(i % 4), .is_shared = i % 2, .is_initial = i % 3 == 0,
				.is_inherited = i % 5 == 0},
			.n_pieces = PIECES,
			.continues = i % 7 == 6,
		};
		for (uint32_t k = 0; k < PIECES; k++) {
			uint64_t at = start + (k == PIECES - 1 ? 3 : k) * UINT64_C(4096);

			m->pieces[i * PIECES + k] = (struct mst_extent){.start = at, .end = at + 4096, .event = i * 1000 + k};
		}
	}
}

static void encode(struct made *m)
{
	mst_buffer_clear(&m->raw);
	mst_space_rows_encode(&m->all, &m->raw);
	assert_false(m->raw.failed);
}

static int set_up(void **state)
{
	static struct made made;

	memset(&made, 0, sizeof(made));
	make(&made);
	encode(&made);
	*state = &made;
	return 0;
}

static int tear_down(void **state)
{
	struct made *m = *state;

	mst_buffer_release(&m->raw);
	return 0;
}

/* Decodes a copy that ends where memory ends, and looks at what is accepted: 0 or MST_EDAMAGED. */
static int decode(const uint8_t *raw, size_t len, uint32_t n, struct mst_space_rows *out)
{
	uint8_t *copy = malloc(len + !len);
	const char *why = NULL;
	uint32_t n_pieces = 0;
	int rc;

	assert_non_null(copy);
	memcpy(copy, raw, len);
	rc = mst_space_rows_decode(copy, len, n, out, &why);
	free(copy);
	if (rc < 0) {
		assert_int_equal(rc, MST_EDAMAGED);
		assert_non_null(why);
		return rc;
	}
	assert_int_equal(out->n, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_true(out->rows[i].n_pieces > 0);
		assert_true(out->rows[i].region.size <= UINT64_MAX - out->rows[i].region.start);
		n_pieces += out->rows[i].n_pieces;
	}
	assert_int_equal(out->n_pieces, n_pieces);
	for (uint32_t i = 0; i < n_pieces; i++) {
		assert_true(out->pieces[i].start < out->pieces[i].end);
		for (uint32_t k = 0; k < i; k++)
			assert_true(out->pieces[i].end <= out->pieces[k].start || out->pieces[k].end <= out->pieces[i].start);
	}
	return 0;
}

static void regions_come_back(void **state)
{
	struct made *m = *state;
	struct mst_space_rows back;

	assert_int_equal(decode(m->raw.bytes, m->raw.len, REGIONS, &back), 0);
	assert_int_equal(back.n_pieces, REGIONS * PIECES);
	for (uint32_t i = 0; i < REGIONS; i++) {
		const struct mst_mapped *a = &m->rows[i].region, *b = &back.rows[i].region;

		assert_int_equal(a->event, b->event);
		assert_int_equal(a->start, b->start);
		assert_int_equal(a->size, b->size);
		assert_int_equal(a->peak_bytes, b->peak_bytes);
		assert_int_equal(a->mapped_ns, b->mapped_ns);
		assert_int_equal(a->stack, b->stack);
		assert_int_equal(a->file, b->file);
		assert_int_equal(a->prot, b->prot);
		assert_int_equal(a->kind, b->kind);
		assert_int_equal(a->is_shared, b->is_shared);
		assert_int_equal(a->is_initial, b->is_initial);
		assert_int_equal(a->is_inherited, b->is_inherited);
		assert_int_equal(m->rows[i].continues, back.rows[i].continues);
		assert_int_equal(m->rows[i].n_pieces, back.rows[i].n_pieces);
	}
	for (uint32_t i = 0; i < back.n_pieces; i++) {
		assert_int_equal(m->pieces[i].start, back.pieces[i].start);
		assert_int_equal(m->pieces[i].end, back.pieces[i].end);
		assert_int_equal(m->pieces[i].event, back.pieces[i].event);
	}
	mst_space_rows_release(&back);
}

static void flip(struct made *m, size_t bit)
{
	m->raw.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void every_cut_is_damage_and_every_flipped_bit_survived(void **state)
{
	struct made *m = *state;
	struct mst_space_rows back;

	for (size_t len = 0; len < m->raw.len; len++)
		assert_int_equal(decode(m->raw.bytes, len, REGIONS, &back), MST_EDAMAGED);
	assert_int_equal(decode(m->raw.bytes, m->raw.len, REGIONS - 1, &back), MST_EDAMAGED);
	assert_int_equal(decode(m->raw.bytes, m->raw.len, UINT32_MAX, &back), MST_EDAMAGED);
	for (size_t bit = 0; bit < 8 * m->raw.len; bit++) {
		flip(m, bit);
		if (decode(m->raw.bytes, m->raw.len, REGIONS, &back) == 0)
			mst_space_rows_release(&back);
		flip(m, bit);
	}
}

static void lies_are_damage(void **state)
{
	struct made *m = *state;
	struct mst_space_rows back;

	for (unsigned lie = 0; lie < 6; lie++) {
		make(m);
		if (lie == 0)
			m->pieces[5].end = m->pieces[5].start; /* nothing */
		else if (lie == 1)
			m->pieces[5] = m->pieces[17]; /* twice, far from each other */
		else if (lie == 2)
			m->rows[4].n_pieces = 0, m->rows[5].n_pieces = 2 * PIECES; /* a region without pieces has ended */
		else if (lie == 3)
			m->rows[4].n_pieces = MST_SPACE_ROWS_MAX; /* more than there are */
		else if (lie == 4)
			m->rows[4].region.size = UINT64_MAX; /* beyond the address space */
		else
			m->rows[4].region.event = (uint64_t)MST_NUMBER_MAX + 1;
		encode(m);
		assert_int_equal(decode(m->raw.bytes, m->raw.len, REGIONS, &back), MST_EDAMAGED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(regions_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_cut_is_damage_and_every_flipped_bit_survived, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lies_are_damage, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

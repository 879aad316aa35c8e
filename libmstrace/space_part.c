#include "space_part.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

enum row_bit { /* of the column with the kind */
	KIND_MASK = 3u,
	IS_SHARED = 1u << 2,
	IS_INITIAL = 1u << 3,
	IS_INHERITED = 1u << 4,
	CONTINUES = 1u << 5,
};

/* ---- the header ---- */

static uint8_t *at(uint8_t *extension, unsigned place)
{
	return extension + (place - MST_AT_EXTENSION);
}

void mst_space_part_store(const struct mst_space_part *p, uint8_t x[MST_SPACE_EXTENSION_LEN])
{
	memset(x, 0, MST_SPACE_EXTENSION_LEN);
	mst_store64(at(x, MST_AT_SPACE_EVENT), p->event);
	mst_store64(at(x, MST_AT_SPACE_PEAK_BYTES), p->peak_bytes);
	mst_store64(at(x, MST_AT_SPACE_PEAK_TIME), p->peak_ns);
	mst_store64(at(x, MST_AT_SPACE_OWN_PEAK_BYTES), p->own_peak_bytes);
	mst_store64(at(x, MST_AT_SPACE_OWN_PEAK_TIME), p->own_peak_ns);
	mst_store32(at(x, MST_AT_SPACE_ROWS), p->n_rows);
	mst_store32(at(x, MST_AT_SPACE_FIRST_ROW), p->first_row);
	mst_store32(at(x, MST_AT_SPACE_PROCESS), p->process);
}

bool mst_space_part_load(const struct mst_frame *f, struct mst_space_part *p, const char **why)
{
	const uint8_t *h = f->header;

	*why = "the header of a SPACE frame is too short";
	if (f->header_len < MST_SPACE_HEADER_LEN)
		return false;
	*p = (struct mst_space_part){
		.event = mst_load64(h + MST_AT_SPACE_EVENT),
		.peak_bytes = mst_load64(h + MST_AT_SPACE_PEAK_BYTES),
		.peak_ns = mst_load64(h + MST_AT_SPACE_PEAK_TIME),
		.own_peak_bytes = mst_load64(h + MST_AT_SPACE_OWN_PEAK_BYTES),
		.own_peak_ns = mst_load64(h + MST_AT_SPACE_OWN_PEAK_TIME),
		.n_rows = mst_load32(h + MST_AT_SPACE_ROWS),
		.first_row = mst_load32(h + MST_AT_SPACE_FIRST_ROW),
		.process = mst_load32(h + MST_AT_SPACE_PROCESS),
	};
	*why = "a number of a SPACE frame is out of range";
	return p->event <= MST_NUMBER_MAX && p->peak_bytes <= MST_NUMBER_MAX && p->peak_ns <= MST_NUMBER_MAX &&
		p->own_peak_bytes <= MST_NUMBER_MAX && p->own_peak_ns <= MST_NUMBER_MAX && p->process != 0 &&
		p->process <= MST_PROCESSES_MAX && f->n_items <= MST_SPACE_ROWS_MAX && p->first_row <= p->n_rows &&
		f->n_items <= p->n_rows - p->first_row;
}

/* ---- the payload ---- */

static uint8_t bits_of(const struct mst_space_row *row)
{
	const struct mst_mapped *m = &row->region;

	return (uint8_t)((m->kind & KIND_MASK) | (m->is_shared ? IS_SHARED : 0u) | (m->is_initial ? IS_INITIAL : 0u) |
		(m->is_inherited ? IS_INHERITED : 0u) | (row->continues ? CONTINUES : 0u));
}

void mst_space_rows_encode(const struct mst_space_rows *r, struct mst_buffer *out)
{
	const struct mst_space_row *rows = r->rows;
	uint64_t last = 0;

	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, mst_delta(rows[i].region.event, i ? rows[i - 1].region.event : 0));
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, mst_delta(rows[i].region.start, i ? rows[i - 1].region.start : 0));
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, rows[i].region.size);
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, rows[i].region.peak_bytes);
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, mst_delta(rows[i].region.mapped_ns, i ? rows[i - 1].region.mapped_ns : 0));
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, rows[i].region.stack);
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, rows[i].region.file);
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, rows[i].region.prot);
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put8(out, bits_of(&rows[i]));
	for (uint32_t i = 0; i < r->n; i++)
		mst_buffer_put_varint(out, rows[i].n_pieces);
	for (uint32_t i = 0; i < r->n_pieces; last = r->pieces[i++].end)
		mst_buffer_put_varint(out, mst_delta(r->pieces[i].start, last));
	for (uint32_t i = 0; i < r->n_pieces; i++)
		mst_buffer_put_varint(out, r->pieces[i].end - r->pieces[i].start);
	for (uint32_t i = 0; i < r->n_pieces; i++)
		mst_buffer_put_varint(out, r->pieces[i].event);
}

static void decode_rows(struct mst_cursor *c, uint32_t n, struct mst_space_row *rows)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < n; i++) {
		rows[i].region.event = last = mst_undelta(mst_get_varint(c), last);
		if (last > MST_NUMBER_MAX)
			mst_cursor_fail(c);
	}
	last = 0;
	for (uint32_t i = 0; i < n; i++)
		rows[i].region.start = last = mst_undelta(mst_get_varint(c), last);
	for (uint32_t i = 0; i < n; i++)
		rows[i].region.size = mst_get_varint_max(c, UINT64_MAX - rows[i].region.start);
	for (uint32_t i = 0; i < n; i++)
		rows[i].region.peak_bytes = mst_get_varint(c);
	last = 0;
	for (uint32_t i = 0; i < n; i++) {
		rows[i].region.mapped_ns = last = mst_undelta(mst_get_varint(c), last);
		if (last > MST_NUMBER_MAX)
			mst_cursor_fail(c);
	}
	for (uint32_t i = 0; i < n; i++)
		rows[i].region.stack = (uint32_t)mst_get_varint_max(c, UINT32_MAX);
	for (uint32_t i = 0; i < n; i++)
		rows[i].region.file = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
	for (uint32_t i = 0; i < n; i++)
		rows[i].region.prot = (uint32_t)mst_get_varint_max(c, UINT32_MAX);
	for (uint32_t i = 0; i < n; i++) {
		unsigned bits = mst_get8(c);

		rows[i].region.kind = bits & KIND_MASK;
		rows[i].region.is_shared = bits & IS_SHARED;
		rows[i].region.is_initial = bits & IS_INITIAL;
		rows[i].region.is_inherited = bits & IS_INHERITED;
		rows[i].continues = bits & CONTINUES;
	}
}

/* How many pieces the rows have; each takes three bytes at least. */
static uint32_t decode_counts(struct mst_cursor *c, uint32_t n, struct mst_space_row *rows)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		rows[i].n_pieces = (uint32_t)mst_get_varint_max(c, MST_SPACE_ROWS_MAX);
		total += rows[i].n_pieces;
		if (rows[i].n_pieces == 0)
			mst_cursor_fail(c);
	}
	if (total > MST_SPACE_ROWS_MAX || total > mst_cursor_left(c) / 3)
		mst_cursor_fail(c);
	return c->failed ? 0 : (uint32_t)total;
}

static void decode_pieces(struct mst_cursor *c, uint32_t n, struct mst_extent *pieces)
{
	uint64_t last = 0;

	/* A start counts from the end of the piece before, which is known only with the sizes. */
	for (uint32_t i = 0; i < n; i++)
		pieces[i].start = mst_get_varint(c);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t start = mst_undelta(pieces[i].start, last), size = mst_get_varint(c);

		if (size == 0 || size > UINT64_MAX - start)
			mst_cursor_fail(c);
		pieces[i].start = start;
		pieces[i].end = last = start + size;
	}
	for (uint32_t i = 0; i < n; i++)
		pieces[i].event = mst_get_varint_max(c, MST_NUMBER_MAX);
}

static int by_start(const void *a, const void *b)
{
	const struct mst_extent *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* 1: no two pieces overlap; 0: some do; or MST_ENOMEM. */
static int are_disjoint(const struct mst_extent *pieces, uint32_t n)
{
	struct mst_extent *sorted = malloc((n + (size_t)1) * sizeof(*sorted));
	int found = 1;

	if (!sorted)
		return MST_ENOMEM;
	if (n)
		memcpy(sorted, pieces, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_start);
	for (uint32_t i = 1; i < n && found; i++)
		found = sorted[i - 1].end <= sorted[i].start;
	free(sorted);
	return found;
}

int mst_space_rows_decode(const uint8_t *raw, size_t len, uint32_t n, struct mst_space_rows *out, const char **why)
{
	struct mst_cursor c = mst_cursor_over(raw, len);
	int rc = 1;

	*out = (struct mst_space_rows){.n = n};
	*why = "a region of a SPACE frame is out of range";
	if (n > MST_SPACE_ROWS_MAX || n > len)
		return MST_EDAMAGED;
	out->rows = calloc(n + (size_t)1, sizeof(*out->rows));
	if (!out->rows)
		return MST_ENOMEM;
	decode_rows(&c, n, out->rows);
	out->n_pieces = decode_counts(&c, n, out->rows);
	out->pieces = calloc(out->n_pieces + (size_t)1, sizeof(*out->pieces));
	if (!out->pieces)
		rc = MST_ENOMEM;
	if (rc > 0)
		decode_pieces(&c, out->n_pieces, out->pieces);
	if (rc > 0 && !mst_cursor_finish(&c))
		rc = MST_EDAMAGED;
	if (rc > 0) {
		*why = "pieces of regions overlap";
		rc = are_disjoint(out->pieces, out->n_pieces);
		rc = rc == 0 ? MST_EDAMAGED : rc;
	}
	if (rc < 0)
		mst_space_rows_release(out);
	return rc < 0 ? rc : 0;
}

void mst_space_rows_release(struct mst_space_rows *r)
{
	free(r->rows);
	free(r->pieces);
	*r = (struct mst_space_rows){0};
}

/* ---- rows of an address space ---- */

struct ranked { /* a piece, and what decides where its region stands */
	const struct mst_mapped *region;
	struct mst_extent piece;
};

static int by_region(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->region->event != y->region->event)
		return x->region->event < y->region->event ? -1 : 1;
	if (x->region->start != y->region->start)
		return x->region->start < y->region->start ? -1 : 1;
	if (x->region != y->region)
		return x->region < y->region ? -1 : 1;
	return (x->piece.start > y->piece.start) - (x->piece.start < y->piece.start);
}

static void add_row(struct mst_space_rows *out, const struct ranked *piece, const struct ranked *before)
{
	struct mst_space_row *last = out->n ? &out->rows[out->n - 1] : NULL;
	bool is_same = before && before->region == piece->region;

	if (!is_same || last->n_pieces == MST_SPACE_ROWS_MAX)
		out->rows[out->n++] =
			(struct mst_space_row){.region = *piece->region, .n_pieces = 1, .continues = is_same};
	else
		last->n_pieces++;
	out->pieces[out->n_pieces++] = piece->piece;
}

int mst_space_rows_of(const struct mst_address_space *s, struct mst_space_rows *out)
{
	struct ranked *sorted = malloc((s->n_pieces + 1) * sizeof(*sorted));

	*out = (struct mst_space_rows){
		.rows = malloc((s->n_pieces + 1) * sizeof(*out->rows)),
		.pieces = malloc((s->n_pieces + 1) * sizeof(*out->pieces)),
	};
	if (!sorted || !out->rows || !out->pieces || s->n_pieces > UINT32_MAX) {
		free(sorted);
		mst_space_rows_release(out);
		return MST_ENOMEM;
	}
	for (size_t i = 0; i < s->n_pieces; i++)
		sorted[i] = (struct ranked){&s->all[s->pieces[i].region], s->pieces[i]};
	qsort(sorted, s->n_pieces, sizeof(*sorted), by_region);
	for (size_t i = 0; i < s->n_pieces; i++)
		add_row(out, &sorted[i], i ? &sorted[i - 1] : NULL);
	free(sorted);
	return 0;
}

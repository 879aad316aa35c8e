/* reader_tables.c - the tables ahead of the events, and seeking.
 *
 * Both need to know where frames are. The index at the end of the file tells, if there is a sound one; else the headers
 * are walked, which reads 64 bytes of every frame. The index is believed only as far as the frames it leads to agree
 * with it; the first that does not makes it forgotten. */
#include "reader.h"

#include <stdlib.h>

#include "problem.h"

/* ---- the index -------------------------------------------------------------------------------------------- */

/* The frame at offset, payload and all. 1, 0 if no frame of this file is there, or negative. */
static int frame_at(struct mst_reader *r, uint64_t offset, struct mst_frame *f)
{
	struct mst_scan scan;
	struct mst_gap gap;
	int rc;

	mst_scan_init(&scan, &r->source);
	scan.file_id = r->scan.file_id;
	scan.pos = offset;
	rc = mst_scan_peek(&scan, offset, f, &r->problem);
	if (rc > 0)
		rc = mst_scan_next(&scan, f, &gap, &r->problem);
	return rc == MST_SCAN_FRAME ? 1 : rc < 0 ? rc : 0;
}

/* The END frame, which is the file's last bytes. 1 and taken over, or 0, or negative. */
static int find_end(struct mst_reader *r, uint64_t size)
{
	struct mst_frame f;
	const char *why;
	int rc;

	if (size < MST_END_HEADER_LEN)
		return 0;
	rc = frame_at(r, size - MST_END_HEADER_LEN, &f);
	if (rc <= 0 || f.kind != MST_KIND_END || f.header_len != MST_END_HEADER_LEN)
		return rc < 0 ? rc : 0;
	return mst_reader_take(r, &f, &why) == 0;
}

/* The chain of INDEX frames, last to first. Each stands before the one that names it, so it ends. */
static int index_chain(struct mst_reader *r, uint64_t **chain, size_t *n)
{
	uint64_t offset = r->end.index_offset, limit = UINT64_MAX;
	size_t cap = 0;

	while (offset != MST_NO_OFFSET) {
		struct mst_frame f;
		int rc = offset < limit ? frame_at(r, offset, &f) : 0;

		if (rc <= 0 || f.kind != MST_KIND_INDEX || f.header_len < MST_INDEX_HEADER_LEN ||
			(limit != UINT64_MAX && f.n_items != MST_INDEX_ENTRIES_MAX))
			return rc < 0 ? rc : 0;
		if (*n == cap) {
			uint64_t *grown = realloc(*chain, (cap ? 2 * cap : 8) * sizeof(*grown));

			if (!grown)
				return mst_problem_memory(&r->problem);
			*chain = grown;
			cap = cap ? 2 * cap : 8;
		}
		(*chain)[(*n)++] = limit = offset;
		offset = mst_load64(f.header + MST_AT_INDEX_PREVIOUS);
	}
	return 1;
}

/* 1: r->index is the file's; 0: it has none that can be trusted. */
static int load_index(struct mst_reader *r)
{
	uint64_t *chain = NULL;
	size_t n = 0;
	int rc = find_end(r, mst_source_size(&r->source));

	if (rc > 0)
		rc = index_chain(r, &chain, &n);
	if (rc > 0 && n == 0)
		rc = 0; /* an END that names no index: nothing may be taken for complete */
	while (rc > 0 && n-- > 0) {
		struct mst_frame f;
		const uint8_t *raw;
		const char *why;

		rc = frame_at(r, chain[n], &f);
		if (rc <= 0)
			break;
		rc = mst_frame_unpack(r->unpacker, &f, &raw, &why);
		if (rc == 0)
			rc = mst_index_decode(&r->index, f.n_items, raw, f.raw_len, f.offset, &why);
		if (rc == MST_ENOMEM)
			mst_problem_memory(&r->problem);
		rc = rc == 0 ? 1 : rc == MST_ENOMEM ? rc : 0;
	}
	free(chain);
	if (rc <= 0)
		mst_index_release(&r->index);
	return rc;
}

/* ---- tables ahead of the events --------------------------------------------------------------------------- */

/* Takes over a table frame that is met out of its turn. A bad one is noted for good: no later pass looks again. */
static int take_ahead(struct mst_reader *r, const struct mst_frame *f)
{
	const char *why = "";
	int rc = mst_reader_take(r, f, &why);
	struct mst_damage d = {.offset = f->offset, .length = mst_frame_size(f)};

	if (rc == MST_EDAMAGED) {
		mst_problem_set(&d.problem, rc, f->offset, f->seq, "%s", why);
		mst_damages_add(&r->damages, &d, true);
		r->damages.n_kept = r->damages.n;
		return 0;
	}
	if (rc == MST_ENOMEM)
		return mst_problem_memory(&r->problem);
	return rc < 0 ? mst_problem_set(&r->problem, rc, f->offset, f->seq, "%s", why) : 0;
}

static bool is_ahead_kind(const struct mst_reader *r, unsigned kind)
{
	return mst_dict_is_table(kind) || (kind == MST_KIND_HEADER && !r->has_header) ||
		(kind == MST_KIND_CHECKPOINT && !r->has_checkpoint);
}

/* 1: all tables taken by way of the index; 0: the index is wrong. */
static int tables_by_index(struct mst_reader *r)
{
	for (size_t i = 0; i < r->index.n; i++) {
		const struct mst_index_entry *e = &r->index.entries[i];
		struct mst_frame f;
		int rc;

		if (!is_ahead_kind(r, e->kind) || e->offset < r->tables_upto)
			continue;
		rc = frame_at(r, e->offset, &f);
		if (rc < 0)
			return rc;
		if (rc == 0 || f.kind != e->kind || f.seq != e->seq)
			return 0;
		rc = take_ahead(r, &f);
		if (rc < 0)
			return rc;
		r->tables_upto = e->offset + e->size;
	}
	return 1;
}

/* Walks all headers; tables are taken as they come. The payloads of events are stepped over by their length, which
 * leads astray where bytes were added or removed: from the frame before such a gap on, all are read. */
static int tables_by_walk(struct mst_reader *r)
{
	struct mst_scan scan;
	struct mst_frame f;
	struct mst_gap gap;
	uint64_t stepped_over = 0; /* offset of the last such frame */
	int rc;

	mst_scan_init(&scan, &r->source);
	scan.file_id = r->scan.file_id;
	scan.skip_payloads = 1u << MST_KIND_EVT | 1u << MST_KIND_INDEX | 1u << MST_KIND_CHECKPOINT;
	while ((rc = mst_scan_next(&scan, &f, &gap, &r->problem)) > 0) {
		if (rc == MST_SCAN_GAP) {
			if (scan.skip_payloads != 0)
				scan.pos = stepped_over;
			scan.skip_payloads = 0;
			continue;
		}
		if (f.kind < MST_KIND_LIMIT && scan.skip_payloads >> f.kind & 1)
			stepped_over = f.offset;
		if (f.offset < r->tables_upto)
			continue;
		if (is_ahead_kind(r, f.kind) || f.kind == MST_KIND_END) {
			rc = take_ahead(r, &f);
			r->tables_upto = f.offset + mst_frame_size(&f);
		}
		if (rc < 0)
			break;
	}
	return rc;
}

int mst_reader_load_tables(struct mst_reader *r)
{
	int rc;

	if (!r->source.is_file)
		return mst_problem_set(&r->problem, MST_EARG, 0, MST_NO_FRAME, "a pipe cannot be read twice");
	if (!r->tables_loaded) {
		r->source.follow = false;
		rc = load_index(r);
		r->has_index = rc > 0;
		if (rc > 0)
			rc = tables_by_index(r);
		if (rc == 0) {
			r->has_index = false;
			rc = tables_by_walk(r);
		}
		if (rc < 0)
			return rc;
		r->tables_loaded = true;
	}
	return mst_reader_rewind(r);
}

/* ---- seeking ---------------------------------------------------------------------------------------------- */

int mst_reader_rewind(struct mst_reader *r)
{
	if (!r->source.is_file)
		return mst_problem_set(&r->problem, MST_EARG, 0, MST_NO_FRAME, "a pipe cannot be read twice");
	mst_reader_jump(r, 0, true);
	return 0;
}

/* Offset of the first event frame that reaches t_ns, by its headers. The end of the file if there is none. */
static int walk_to_time(struct mst_reader *r, uint64_t t_ns, uint64_t *offset)
{
	struct mst_scan scan;
	struct mst_frame f;
	struct mst_gap gap;
	int rc;

	mst_scan_init(&scan, &r->source);
	scan.file_id = r->scan.file_id;
	scan.skip_payloads = UINT32_MAX;
	while ((rc = mst_scan_next(&scan, &f, &gap, &r->problem)) > 0) {
		const char *why;
		struct mst_evt e;

		if (rc == MST_SCAN_FRAME && f.kind == MST_KIND_EVT && mst_evt_load(&f, &e, &why) &&
			e.time_last << e.time_shift >= t_ns) {
			*offset = f.offset;
			return 0;
		}
	}
	*offset = scan.pos;
	return rc;
}

int mst_reader_seek_time(struct mst_reader *r, uint64_t t_ns)
{
	uint64_t offset = mst_source_size(&r->source);
	int rc = mst_reader_load_tables(r);

	if (rc < 0)
		return rc;
	if (r->has_index) {
		size_t i = mst_index_find_time(&r->index, t_ns);
		struct mst_frame f;

		if (i < r->index.n)
			offset = r->index.entries[i].offset;
		rc = i < r->index.n ? frame_at(r, offset, &f) : 1;
		if (rc < 0)
			return rc;
		if (rc == 0)
			r->has_index = false;
	}
	if (!r->has_index) {
		rc = walk_to_time(r, t_ns, &offset);
		if (rc < 0)
			return rc;
	}
	mst_reader_jump(r, offset, false);
	r->has_end = r->end_known && offset >= mst_source_size(&r->source);
	r->skip_until_ns = t_ns;
	return 0;
}

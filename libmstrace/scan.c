#include "scan.h"

#include <string.h>

#include "bytes.h"
#include "mstrace.h"
#include "problem.h"

/* How many payload bytes may be hashed in vain per byte of the file before damaged payloads are no longer searched
 * for frames that hide in them: headers nested in each other's payloads would else cost quadratic time. */
#define VAIN_FACTOR 4u
#define VAIN_FREE ((uint64_t)64 << 20)

#define SEARCH_STEP ((size_t)256 << 10)

void mst_scan_init(struct mst_scan *s, struct mst_source *source)
{
	*s = (struct mst_scan){.source = source};
}

static int view(struct mst_scan *s, uint64_t offset, size_t want, const uint8_t **p, size_t *n,
	struct mst_problem *problem)
{
	return mst_source_view(s->source, offset, want, want, p, n, problem);
}

/* Reads the header at offset; *state says what is there, *n how many bytes of it. */
static int look(struct mst_scan *s, uint64_t offset, struct mst_frame *f, enum mst_header_state *state, size_t *n,
	struct mst_problem *problem)
{
	const uint8_t *p;
	int rc = view(s, offset, MST_HEADER_MIN, &p, n, problem);

	if (rc < 0)
		return rc;
	*state = mst_frame_parse(p, *n, f);
	if (*state == MST_HEADER_SHORT && *n == MST_HEADER_MIN) {
		/* Longer than the least header: see all of it. */
		rc = view(s, offset, mst_load16(p + MST_AT_HEADER_LEN), &p, n, problem);
		if (rc < 0)
			return rc;
		*state = mst_frame_parse(p, *n, f);
	}
	f->offset = offset;
	return 0;
}

int mst_scan_peek(struct mst_scan *s, uint64_t offset, struct mst_frame *f, struct mst_problem *problem)
{
	enum mst_header_state state;
	size_t n;
	int rc = look(s, offset, f, &state, &n, problem);

	if (rc < 0)
		return rc;
	return state == MST_HEADER_GOOD && (s->file_id == 0 || f->file_id == s->file_id);
}

/* The next place at or behind `from` where the sync bytes start, or the end of the data. */
static int find_sync(struct mst_scan *s, uint64_t from, uint64_t *found, struct mst_problem *problem)
{
	for (;;) {
		const uint8_t *p, *hit;
		size_t n;
		int rc;

		s->source->keep = from;
		rc = mst_source_view(s->source, from, MST_SYNC_LEN, SEARCH_STEP, &p, &n, problem);

		if (rc < 0)
			return rc;
		hit = n >= MST_SYNC_LEN ? memmem(p, n, MST_SYNC, MST_SYNC_LEN) : NULL;
		if (hit) {
			*found = from + (uint64_t)(hit - p);
			return 0;
		}
		if (n < MST_SYNC_LEN) {
			*found = from + n;
			return 0;
		}
		from += n - (MST_SYNC_LEN - 1);
	}
}

/* The next good header of this file (or of any, while the file's id is not known) at or behind `from`, or the end. */
static int resync(struct mst_scan *s, uint64_t from, uint64_t *found, struct mst_problem *problem)
{
	for (;;) {
		struct mst_frame f;
		const uint8_t *p;
		size_t n;
		int rc = find_sync(s, from, found, problem);

		if (rc == 0)
			rc = view(s, *found, MST_SYNC_LEN, &p, &n, problem);
		if (rc < 0 || n < MST_SYNC_LEN)
			return rc;
		rc = mst_scan_peek(s, *found, &f, problem);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		from = *found + 1;
	}
}

/* Are all bytes from `from` to the end of the data zero? *upto: that end, or a place with only zeros before it. */
static int only_zeros(struct mst_scan *s, uint64_t from, uint64_t *upto, bool *yes, struct mst_problem *problem)
{
	*yes = true;
	for (*upto = from;;) {
		const uint8_t *p;
		size_t n;
		int rc;

		s->source->keep = *upto;
		rc = mst_source_view(s->source, *upto, 1, SEARCH_STEP, &p, &n, problem);
		if (rc < 0 || n == 0)
			return rc;
		if (p[0] != 0 || memcmp(p, p + 1, n - 1) != 0) {
			*yes = false;
			return 0;
		}
		*upto += n;
	}
}

static int give_gap(struct mst_scan *s, struct mst_gap *gap, enum mst_gap_cause cause, uint64_t end)
{
	gap->cause = cause;
	gap->offset = s->pos;
	gap->length = end - s->pos;
	s->pos = end;
	return MST_SCAN_GAP;
}

/* Goes on at the next header at or behind `from`; what lies before it is the gap, `cut` if it is the file's end. */
static int gap_to_next(struct mst_scan *s, uint64_t from, struct mst_gap *gap, enum mst_gap_cause cause,
	enum mst_gap_cause cut, struct mst_problem *problem)
{
	const uint8_t *p;
	size_t n;
	uint64_t end;
	int rc = resync(s, from, &end, problem);

	if (rc == 0 && cut != cause)
		rc = view(s, end, 1, &p, &n, problem);
	if (rc < 0)
		return rc;
	return give_gap(s, gap, cut != cause && n == 0 ? cut : cause, end);
}

/* No good header at pos. */
static int header_gap(struct mst_scan *s, enum mst_header_state state, struct mst_gap *gap, struct mst_problem *problem)
{
	uint64_t upto = s->pos;
	bool zeros = false;

	gap->frame_known = false;
	if (!s->source->follow) {
		int rc = only_zeros(s, s->pos, &upto, &zeros, problem);

		if (rc < 0)
			return rc;
	}
	if (zeros)
		return give_gap(s, gap, MST_GAP_ZEROS, upto);
	return gap_to_next(s, upto > s->pos ? upto : s->pos + 1, gap, MST_GAP_HEADER,
		state == MST_HEADER_SHORT ? MST_GAP_CUT : MST_GAP_HEADER, problem);
}

/* The payload behind a good header is not what it should be: find where to go on. */
static int payload_gap(struct mst_scan *s, const struct mst_frame *f, bool is_cut, struct mst_gap *gap,
	struct mst_problem *problem)
{
	struct mst_frame next;
	const uint8_t *p;
	size_t n;
	uint64_t end = s->pos + mst_frame_size(f);
	int rc;

	gap->frame_known = true;
	gap->frame = *f;
	gap->frame.header = gap->header;
	gap->frame.payload = NULL;
	s->hashed += f->stored_len;
	if (!is_cut) {
		/* Bytes were changed, not added or taken away, if the next frame is where it should be. */
		rc = mst_scan_peek(s, end, &next, problem);
		if (rc == 0 && (rc = view(s, end, 1, &p, &n, problem)) == 0)
			rc = n == 0;
		if (rc < 0)
			return rc;
		if (rc > 0 || s->hashed > VAIN_FREE + VAIN_FACTOR * s->pos)
			return give_gap(s, gap, MST_GAP_PAYLOAD, end);
	}
	return gap_to_next(s, s->pos + 1, gap, MST_GAP_PAYLOAD, is_cut ? MST_GAP_CUT : MST_GAP_PAYLOAD, problem);
}

static int foreign_gap(struct mst_scan *s, const struct mst_frame *f, struct mst_gap *gap, struct mst_problem *problem)
{
	const uint8_t *p;
	size_t n, size = (size_t)mst_frame_size(f);
	int rc = view(s, s->pos, size, &p, &n, problem);

	gap->frame_known = false;
	if (rc < 0)
		return rc;
	if (n == size && mst_frame_payload_good(f, p + f->header_len))
		return give_gap(s, gap, MST_GAP_FOREIGN, s->pos + size);
	s->hashed += f->stored_len;
	return gap_to_next(s, s->pos + 1, gap, MST_GAP_FOREIGN, MST_GAP_FOREIGN, problem);
}

/* A good header of this file stands at pos: its payload. */
static int read_payload(struct mst_scan *s, struct mst_frame *f, struct mst_gap *gap, struct mst_problem *problem)
{
	size_t n, size = f->header_len + (size_t)f->stored_len;
	const uint8_t *p;
	int rc;

	if (f->kind < MST_KIND_LIMIT && s->skip_payloads >> f->kind & 1) {
		s->pos += mst_frame_size(f);
		return MST_SCAN_FRAME;
	}
	rc = view(s, s->pos, size, &p, &n, problem);
	if (rc < 0)
		return rc;
	memcpy(gap->header, p, f->header_len);
	if (n < size)
		return payload_gap(s, f, true, gap, problem);
	f->header = p;
	f->payload = p + f->header_len;
	if (!mst_frame_payload_good(f, f->payload))
		return payload_gap(s, f, false, gap, problem);
	s->pos += size;
	s->pad = (unsigned)(mst_frame_size(f) - size);
	return MST_SCAN_FRAME;
}

/* Steps over the pad of the frame before pos: 0, or MST_SCAN_GAP if it is not all there and zero. */
static int read_pad(struct mst_scan *s, struct mst_gap *gap, struct mst_problem *problem)
{
	static const uint8_t zeros[MST_FRAME_ALIGN];
	unsigned pad = s->pad;
	const uint8_t *p;
	size_t n;
	int rc = view(s, s->pos, pad, &p, &n, problem);

	if (rc < 0)
		return rc;
	s->pad = 0;
	gap->frame_known = false;
	if (memcmp(p, zeros, n) != 0)
		return gap_to_next(s, s->pos, gap, MST_GAP_PAD, MST_GAP_PAD, problem);
	s->pos += n;
	return 0;
}

int mst_scan_reload(struct mst_scan *s, struct mst_frame *f, struct mst_problem *problem)
{
	size_t n, size = f->header_len + (size_t)f->stored_len;
	const uint8_t *p;
	int rc = view(s, f->offset, size, &p, &n, problem);

	if (rc < 0)
		return rc;
	if (n < size)
		return mst_problem_set(problem, MST_EIO, f->offset, f->seq, "the file became shorter while it was read");
	f->header = p;
	f->payload = p + f->header_len;
	return 0;
}

int mst_scan_next(struct mst_scan *s, struct mst_frame *f, struct mst_gap *gap, struct mst_problem *problem)
{
	enum mst_header_state state;
	size_t n;
	int rc;

	s->source->keep = s->pos;
	rc = s->pad ? read_pad(s, gap, problem) : 0;
	if (rc != 0)
		return rc;
	rc = look(s, s->pos, f, &state, &n, problem);
	if (rc < 0)
		return rc;
	if (n == 0)
		return MST_SCAN_END;
	if (state != MST_HEADER_GOOD)
		return header_gap(s, state, gap, problem);
	if (s->file_id == 0)
		s->file_id = f->file_id;
	if (f->file_id != s->file_id)
		return foreign_gap(s, f, gap, problem);
	return read_payload(s, f, gap, problem);
}

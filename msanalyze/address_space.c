/* address_space.c - a sorted array of pieces: programs have tens to thousands, and mapping calls are rare. */
#include "address_space.h"

#include "room.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

static uint32_t add_region(struct regions *s, const struct region *like)
{
	uint32_t id = s->free;

	if (id) {
		s->free = s->all[id].file;
	} else {
		id = ++s->n;
		s->all = ms_room(s->all, &s->cap, id + (size_t)1, sizeof(*s->all));
	}
	s->all[id] = *like;
	s->all[id].live_bytes = s->all[id].peak_bytes = 0;
	s->all[id].unmapped_ns = UINT64_MAX;
	return id;
}

/* Makes room for `more` pieces at place `at`. */
static void open_gap(struct regions *s, size_t at, size_t more)
{
	s->pieces = ms_room(s->pieces, &s->cap_pieces, s->n_pieces + more, sizeof(*s->pieces));
	memmove(s->pieces + at + more, s->pieces + at, (s->n_pieces - at) * sizeof(*s->pieces));
	s->n_pieces += more;
}

static void close_gap(struct regions *s, size_t at, size_t n)
{
	memmove(s->pieces + at, s->pieces + at + n, (s->n_pieces - at - n) * sizeof(*s->pieces));
	s->n_pieces -= n;
}

void regions_release(struct regions *s)
{
	free(s->all);
	free(s->pieces);
	*s = (struct regions){.gone = s->gone, .ctx = s->ctx};
}

/* ---- counting ---- */

static uint64_t *sum_of(struct regions *s, uint32_t region)
{
	return s->all[region].is_initial ? &s->initial_bytes : &s->live_bytes;
}

static void count_in(struct regions *s, uint32_t region, uint64_t bytes)
{
	struct region *r = &s->all[region];

	*sum_of(s, region) += bytes;
	r->live_bytes += bytes;
	if (r->live_bytes > r->peak_bytes)
		r->peak_bytes = r->live_bytes;
}

/* The bytes leave the region, which may come to its end by that. */
static void count_out(struct regions *s, uint32_t region, uint64_t bytes, uint64_t now_ns)
{
	struct region *r = &s->all[region];

	*sum_of(s, region) -= bytes;
	r->live_bytes -= bytes;
	if (r->live_bytes)
		return;
	r->unmapped_ns = now_ns;
	if (s->gone)
		s->gone(s->ctx, r);
	r->file = s->free;
	s->free = region;
}

/* ---- ranges ---- */

/* The first piece that ends after addr. */
static size_t first_after(const struct regions *s, uint64_t addr)
{
	size_t low = 0, high = s->n_pieces;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->pieces[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Cuts the piece that addr is inside of, so that one begins there. Returns the first that begins at addr or later. */
static size_t cut_at(struct regions *s, uint64_t addr)
{
	size_t at = first_after(s, addr);

	if (at == s->n_pieces || s->pieces[at].start >= addr)
		return at;
	open_gap(s, at, 1);
	s->pieces[at] = s->pieces[at + 1];
	s->pieces[at].end = addr;
	s->pieces[at + 1].start = addr;
	return at + 1;
}

static void put_piece(struct regions *s, uint64_t start, uint64_t end, uint64_t event, uint32_t region)
{
	size_t at = first_after(s, start);

	open_gap(s, at, 1);
	s->pieces[at] = (struct region_piece){start, end, event, region};
	count_in(s, region, end - start);
}

void regions_unmap(struct regions *s, uint64_t start, uint64_t end, uint64_t begun, uint64_t now_ns)
{
	if (start >= end)
		return;
	size_t at = cut_at(s, start);

	cut_at(s, end);
	while (at < s->n_pieces && s->pieces[at].start < end) {
		struct region_piece piece = s->pieces[at];

		if (piece.event > begun) { /* mapped by another thread while the call was under way */
			at++;
			continue;
		}
		close_gap(s, at, 1);
		count_out(s, piece.region, piece.end - piece.start, now_ns);
	}
}

void regions_map(struct regions *s, uint64_t start, uint64_t end, const struct region *like)
{
	if (start >= end)
		return;
	regions_unmap(s, start, end, UINT64_MAX, like->mapped_ns);
	uint32_t id = add_region(s, like);

	s->all[id].start = start;
	s->all[id].size = end - start;
	put_piece(s, start, end, like->is_initial ? 0 : like->event + 1, id);
}

/* ---- moving ---- */

/* What is known in a range, taken as a copy. */
struct lifted {
	struct region_piece *pieces;
	size_t n;
};

static struct lifted lift(struct regions *s, uint64_t start, uint64_t end, uint64_t begun)
{
	size_t at = cut_at(s, start), last = cut_at(s, end);
	struct lifted l = {ms_zeroed(last - at, sizeof(*l.pieces)), 0};

	for (; at < last; at++)
		if (s->pieces[at].event <= begun)
			l.pieces[l.n++] = s->pieces[at];
	return l;
}

/* Puts the pieces down again, `by` higher, as far as they are below `end`. */
static void put_down(struct regions *s, const struct lifted *l, uint64_t by, uint64_t end, uint64_t event)
{
	for (size_t i = 0; i < l->n; i++) {
		uint64_t from = l->pieces[i].start + by, to = l->pieces[i].end + by;

		if (to > end)
			to = end;
		if (from < to)
			put_piece(s, from, to, event, l->pieces[i].region);
	}
}

void regions_move(struct regions *s, uint64_t from, uint64_t from_size, uint64_t to, uint64_t to_size, uint64_t begun,
	bool is_kept, const struct region *like)
{
	uint64_t end = to + to_size, known = from_size < to_size ? from_size : to_size;
	struct lifted l = lift(s, from, from + from_size, begun);
	struct region grown = *like;

	if (is_kept || l.n == 0) { /* a second view, or a range that was not known: a region of this call */
		if (l.n) {
			grown.file = s->all[l.pieces[l.n - 1].region].file;
			grown.kind = s->all[l.pieces[l.n - 1].region].kind;
		}
		free(l.pieces);
		regions_map(s, to, end, &grown);
		return;
	}
	/* While it is moved, the regions must not come to their ends. */
	for (size_t i = 0; i < l.n; i++)
		s->all[l.pieces[i].region].live_bytes += 1;
	regions_unmap(s, from, from + from_size, begun, like->mapped_ns);
	regions_unmap(s, to, end, UINT64_MAX, like->mapped_ns);
	for (size_t i = 0; i < l.n; i++)
		s->all[l.pieces[i].region].live_bytes -= 1;
	put_down(s, &l, to - from, end, like->event + 1);
	uint32_t last = l.pieces[l.n - 1].region;
	if (to_size > known && s->all[last].live_bytes)
		put_piece(s, to + known, end, like->event + 1, last);
	if (s->all[l.pieces[0].region].start == from)
		s->all[l.pieces[0].region].start = to;
	for (size_t i = 0; i < l.n; i++) /* what was cut off whole has ended */
		if (s->all[l.pieces[i].region].live_bytes == 0 && s->all[l.pieces[i].region].unmapped_ns == UINT64_MAX)
			count_out(s, l.pieces[i].region, 0, like->mapped_ns);
	free(l.pieces);
}

/* ---- processes ---- */

void regions_end(struct regions *s)
{
	for (size_t i = 0; i < s->n_pieces; i++) {
		struct region *r = &s->all[s->pieces[i].region];

		if (r->live_bytes && s->gone)
			s->gone(s->ctx, r);
		r->live_bytes = 0;
	}
	s->n_pieces = 0;
	regions_release(s);
}

void regions_copy(struct regions *to, const struct regions *from, uint32_t process)
{
	if (from->n_pieces) {
		open_gap(to, 0, from->n_pieces);
		memcpy(to->pieces, from->pieces, from->n_pieces * sizeof(*to->pieces));
	}
	if (from->n) {
		to->all = ms_room(to->all, &to->cap, from->n + (size_t)1, sizeof(*to->all));
		memcpy(to->all, from->all, (from->n + (size_t)1) * sizeof(*to->all));
	}
	to->n = from->n;
	to->free = from->free;
	for (uint32_t id = 1; id <= to->n; id++) {
		to->all[id].process = process;
		to->all[id].is_initial = to->all[id].is_inherited = true;
	}
	to->initial_bytes = from->live_bytes + from->initial_bytes;
}

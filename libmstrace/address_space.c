/* address_space.c - a sorted array of pieces: programs have tens to thousands, and mapping calls are rare. */
#include "address_space.h"

#include <stdlib.h>
#include <string.h>

#include "grow.h"

/* ---- memory ---- */

static bool reserve_regions(struct mst_address_space *s)
{
	if (!s->free && mst_grow(&s->all, &s->cap, s->n + (size_t)2, sizeof(*s->all)) < 0)
		s->failed = true;
	return !s->failed;
}

static bool reserve_pieces(struct mst_address_space *s, size_t more)
{
	if (mst_grow(&s->pieces, &s->cap_pieces, s->n_pieces + more, sizeof(*s->pieces)) < 0)
		s->failed = true;
	return !s->failed;
}

/* Returns 0 without memory: an entry that is there, and nobody's. */
static uint32_t add_region(struct mst_address_space *s, const struct mst_mapped *like)
{
	uint32_t id = s->free;

	if (!reserve_regions(s))
		return 0;
	if (id)
		s->free = s->all[id].file;
	else
		id = ++s->n;
	s->all[id] = *like;
	s->all[id].live_bytes = s->all[id].peak_bytes = 0;
	s->all[id].unmapped_ns = UINT64_MAX;
	return id;
}

/* Makes room for a piece at place `at`; memory is reserved. */
static void open_gap(struct mst_address_space *s, size_t at)
{
	memmove(s->pieces + at + 1, s->pieces + at, (s->n_pieces - at) * sizeof(*s->pieces));
	s->n_pieces++;
}

static void close_gap(struct mst_address_space *s, size_t at, size_t n)
{
	memmove(s->pieces + at, s->pieces + at + n, (s->n_pieces - at - n) * sizeof(*s->pieces));
	s->n_pieces -= n;
}

void mst_address_space_release(struct mst_address_space *s)
{
	free(s->all);
	free(s->pieces);
	*s = (struct mst_address_space){.gone = s->gone, .ctx = s->ctx, .failed = s->failed};
}

/* ---- counting ---- */

static uint64_t *sum_of(struct mst_address_space *s, uint32_t region)
{
	return s->all[region].is_initial ? &s->initial_bytes : &s->live_bytes;
}

static void count_in(struct mst_address_space *s, uint32_t region, uint64_t bytes)
{
	struct mst_mapped *r = &s->all[region];

	*sum_of(s, region) += bytes;
	r->live_bytes += bytes;
	if (r->live_bytes > r->peak_bytes)
		r->peak_bytes = r->live_bytes;
}

static void end_region(struct mst_address_space *s, uint32_t region, uint64_t now_ns)
{
	struct mst_mapped *r = &s->all[region];

	r->unmapped_ns = now_ns;
	if (s->gone)
		s->gone(s->ctx, r);
	r->file = s->free;
	s->free = region;
}

/* The bytes leave the region, which may come to its end by that. */
static void count_out(struct mst_address_space *s, uint32_t region, uint64_t bytes, uint64_t now_ns)
{
	*sum_of(s, region) -= bytes;
	s->all[region].live_bytes -= bytes;
	if (s->all[region].live_bytes == 0)
		end_region(s, region, now_ns);
}

/* ---- ranges ---- */

/* The first piece that ends after addr. */
static size_t first_after(const struct mst_address_space *s, uint64_t addr)
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
static size_t cut_at(struct mst_address_space *s, uint64_t addr)
{
	size_t at = first_after(s, addr);

	if (at == s->n_pieces || s->pieces[at].start >= addr || !reserve_pieces(s, 1))
		return at;
	open_gap(s, at);
	s->pieces[at] = s->pieces[at + 1];
	s->pieces[at].end = addr;
	s->pieces[at + 1].start = addr;
	return at + 1;
}

static void put_piece(struct mst_address_space *s, uint64_t start, uint64_t end, uint64_t event, uint32_t region)
{
	size_t at = first_after(s, start);

	if (!reserve_pieces(s, 1))
		return;
	open_gap(s, at);
	s->pieces[at] = (struct mst_extent){start, end, event, region};
	count_in(s, region, end - start);
}

void mst_address_space_unmap(
	struct mst_address_space *s, uint64_t start, uint64_t end, uint64_t begun, uint64_t now_ns)
{
	if (start >= end || s->failed)
		return;
	size_t at = cut_at(s, start), last = cut_at(s, end), kept = at;

	if (s->failed)
		return;
	for (; at < last; at++) {
		struct mst_extent piece = s->pieces[at];

		if (piece.event > begun) /* mapped by another thread while the call was under way */
			s->pieces[kept++] = piece;
		else
			count_out(s, piece.region, piece.end - piece.start, now_ns);
	}
	if (kept < last)
		close_gap(s, kept, last - kept);
}

void mst_address_space_map(struct mst_address_space *s, uint64_t start, uint64_t end, const struct mst_mapped *like)
{
	uint32_t id;

	if (start >= end)
		return;
	mst_address_space_unmap(s, start, end, UINT64_MAX, like->mapped_ns);
	id = s->failed ? 0 : add_region(s, like);
	if (id == 0)
		return;
	s->all[id].start = start;
	s->all[id].size = end - start;
	put_piece(s, start, end, like->is_initial ? 0 : like->event + 1, id);
	if (like->is_initial)
		return;
	s->n_mapped++;
	s->mapped_bytes += end - start;
}

/* ---- moving ---- */

/* What is known in a range, taken as a copy. */
struct lifted {
	struct mst_extent *pieces;
	size_t n;
};

static struct lifted lift(struct mst_address_space *s, uint64_t start, uint64_t end, uint64_t begun)
{
	size_t at = cut_at(s, start), last = cut_at(s, end);
	struct lifted l = {calloc(last > at ? last - at : 1, sizeof(*l.pieces)), 0};

	if (!l.pieces)
		s->failed = true;
	for (; !s->failed && at < last; at++)
		if (s->pieces[at].event <= begun)
			l.pieces[l.n++] = s->pieces[at];
	return l;
}

/* Puts the pieces down again, `by` higher, as far as they are below `end`. */
static void put_down(struct mst_address_space *s, const struct lifted *l, uint64_t by, uint64_t end, uint64_t event)
{
	for (size_t i = 0; i < l->n; i++) {
		uint64_t from = l->pieces[i].start + by, to = l->pieces[i].end + by;

		if (to > end)
			to = end;
		if (from < to)
			put_piece(s, from, to, event, l->pieces[i].region);
	}
}

/* The pieces change their place. While they are moved, their regions must not come to their ends. */
static void move_pieces(struct mst_address_space *s, const struct lifted *l, uint64_t from, uint64_t from_size,
	uint64_t to, uint64_t to_size, uint64_t begun, const struct mst_mapped *like)
{
	uint64_t end = to + to_size, known = from_size < to_size ? from_size : to_size;
	uint32_t last = l->pieces[l->n - 1].region;

	for (size_t i = 0; i < l->n; i++)
		s->all[l->pieces[i].region].live_bytes += 1;
	mst_address_space_unmap(s, from, from + from_size, begun, like->mapped_ns);
	mst_address_space_unmap(s, to, end, UINT64_MAX, like->mapped_ns);
	for (size_t i = 0; i < l->n; i++)
		s->all[l->pieces[i].region].live_bytes -= 1;
	put_down(s, l, to - from, end, like->event + 1);
	if (to_size > known && s->all[last].live_bytes)
		put_piece(s, to + known, end, like->event + 1, last);
	if (s->all[l->pieces[0].region].start == from)
		s->all[l->pieces[0].region].start = to;
	for (size_t i = 0; i < l->n; i++) /* what was cut off whole has ended */
		if (s->all[l->pieces[i].region].live_bytes == 0 && s->all[l->pieces[i].region].unmapped_ns == UINT64_MAX)
			end_region(s, l->pieces[i].region, like->mapped_ns);
}

void mst_address_space_move(struct mst_address_space *s, uint64_t from, uint64_t from_size, uint64_t to,
	uint64_t to_size, uint64_t begun, bool is_kept, const struct mst_mapped *like)
{
	struct lifted l = lift(s, from, from + from_size, begun);
	struct mst_mapped grown = *like;

	if (l.n) {
		const struct mst_mapped *last = &s->all[l.pieces[l.n - 1].region];

		grown.file = last->file;
		grown.kind = last->kind;
		grown.prot = last->prot;
		grown.is_shared = last->is_shared;
	}
	if (is_kept || l.n == 0) /* a second view, or a range that was not known: a region of this call */
		mst_address_space_map(s, to, to + to_size, &grown);
	else
		move_pieces(s, &l, from, from_size, to, to_size, begun, like);
	free(l.pieces);
}

/* ---- processes ---- */

void mst_address_space_end(struct mst_address_space *s)
{
	for (size_t i = 0; i < s->n_pieces; i++) {
		struct mst_mapped *r = &s->all[s->pieces[i].region];

		if (r->live_bytes && s->gone)
			s->gone(s->ctx, r);
		r->live_bytes = 0;
	}
	mst_address_space_release(s);
}

void mst_address_space_copy(struct mst_address_space *to, const struct mst_address_space *from, uint32_t process)
{
	if (mst_grow(&to->all, &to->cap, from->n + (size_t)1, sizeof(*to->all)) < 0 ||
		!reserve_pieces(to, from->n_pieces)) {
		to->failed = true;
		return;
	}
	if (from->n_pieces)
		memcpy(to->pieces, from->pieces, from->n_pieces * sizeof(*to->pieces));
	to->n_pieces = from->n_pieces;
	if (from->n)
		memcpy(to->all, from->all, (from->n + (size_t)1) * sizeof(*to->all));
	to->n = from->n;
	to->free = from->free;
	for (uint32_t id = 1; id <= to->n; id++) {
		to->all[id].process = process;
		to->all[id].is_initial = to->all[id].is_inherited = true;
	}
	to->initial_bytes = from->live_bytes + from->initial_bytes;
}

/* Gives back what an array of n items has too much. */
static void *shrunk(void *items, size_t *cap, size_t n, size_t size)
{
	void *smaller = n ? realloc(items, n * size) : NULL;

	if (n == 0)
		free(items);
	if (n == 0 || smaller)
		*cap = n;
	return n == 0 || smaller ? smaller : items;
}

void mst_address_space_disown(struct mst_address_space *s)
{
	uint32_t *ids = calloc(s->n + (size_t)1, sizeof(*ids)), n = 0; /* [old id] new id */
	size_t n_pieces = 0;

	if (!ids) {
		s->failed = true;
		return;
	}
	for (size_t i = 0; i < s->n_pieces; i++) {
		struct mst_extent piece = s->pieces[i];

		if (s->all[piece.region].is_inherited)
			continue;
		ids[piece.region] = 1;
		s->pieces[n_pieces++] = piece;
	}
	for (uint32_t id = 1; id <= s->n; id++)
		if (ids[id])
			s->all[ids[id] = ++n] = s->all[id];
	for (size_t i = 0; i < n_pieces; i++)
		s->pieces[i].region = ids[s->pieces[i].region];
	free(ids);
	s->n = n;
	s->n_pieces = n_pieces;
	s->free = 0;
	s->all = shrunk(s->all, &s->cap, n ? n + (size_t)1 : 0, sizeof(*s->all));
	s->pieces = shrunk(s->pieces, &s->cap_pieces, n_pieces, sizeof(*s->pieces));
}

/* ---- a checkpoint ---- */

uint32_t mst_address_space_adopt(struct mst_address_space *s, const struct mst_mapped *region)
{
	uint32_t id = add_region(s, region);

	if (id)
		s->all[id].peak_bytes = region->peak_bytes;
	return id;
}

void mst_address_space_adopt_piece(struct mst_address_space *s, const struct mst_extent *piece)
{
	if (piece->region && reserve_pieces(s, 1))
		s->pieces[s->n_pieces++] = *piece;
}

static int by_start(const void *a, const void *b)
{
	const struct mst_extent *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

void mst_address_space_adopted(struct mst_address_space *s)
{
	size_t n = 0;

	if (s->failed)
		return;
	if (s->n_pieces)
		qsort(s->pieces, s->n_pieces, sizeof(*s->pieces), by_start);
	for (size_t i = 0; i < s->n_pieces; i++) {
		struct mst_extent piece = s->pieces[i];

		if (n && s->pieces[n - 1].end > piece.start)
			continue;
		s->pieces[n++] = piece;
		count_in(s, piece.region, piece.end - piece.start);
	}
	s->n_pieces = n;
	for (uint32_t id = 1; id <= s->n; id++)
		if (s->all[id].live_bytes == 0) {
			s->all[id].file = s->free;
			s->free = id;
		}
}

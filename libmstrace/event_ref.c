/* event_ref.c - which block a call releases, or refers to.
 *
 * REF has a varint for every event that may refer, in site order; what it calls for stands in the other columns, in
 * thread order:
 *
 *     0     nothing
 *     1     a block without an ordinal: REF_ADDR, its address as a difference to the one before there
 *     2     a block acquired before this frame: REF_OLD, its ordinal as a difference to the one before at this site
 *     3     any other block of this frame: REF_CROSS counts acquisitions back
 *     4+r   the block of rank r (0 = newest) among the live ones that this thread acquired in this frame
 *
 * A rank is what stays the same when a pattern repeats; ordinals, distances and addresses do not. A block that another
 * thread releases keeps its place in its own thread's ranks, so that each thread can be decoded by itself. */
#include "event_frame.h"

#include "mstrace.h"

enum { REF_NONE = 0, REF_ADDR = 1, REF_OLD = 2, REF_CROSS = 3, REF_RANK = 4 };

static void forget(struct mst_event_frame *f)
{
	for (uint32_t s = 0; s < f->n_sites; s++)
		f->u.ref.last_old[s] = f->ev.first_alloc;
	f->u.ref.last_addr = 0;
}

/* Sifts a thread's events: event[] gets those that may refer, whose number it returns; n_own[] and own_alloc[] the
 * thread's own count of acquisitions, unless it is alone and its count is the frame's. What comes next is unpredictable,
 * so nothing branches. */
static uint32_t sift(struct mst_event_frame *f, uint32_t begin, uint32_t end)
{
	uint32_t n_own = 0, n_refs = 0;

	if (f->n_threads == 1) {
		for (uint32_t i = 0; i < end; i++) {
			f->u.ref.event[n_refs] = (uint16_t)i;
			n_refs += (f->site_trait[f->site[i]] & MST_SITE_REFERS) != 0;
		}
		mst_live_reset(&f->u.ref.live, f->ev.n_alloc);
		return n_refs;
	}
	for (uint32_t k = begin; k < end; k++) {
		uint32_t i = f->order[k], trait = f->site_trait[f->site[i]];
		f->u.ref.event[n_refs] = (uint16_t)i;
		f->u.ref.n_own[n_refs] = (uint16_t)n_own;
		n_refs += (trait & MST_SITE_REFERS) != 0;
		f->u.ref.own_alloc[n_own] = f->allocs_before[i];
		n_own += (trait & MST_SITE_ACQUIRES) != 0;
	}
	mst_live_reset(&f->u.ref.live, n_own);
	return n_refs;
}

/* Acquisitions of its thread before the r-th event sifted, which is event i. */
static inline uint32_t own_before(const struct mst_event_frame *f, uint32_t r, uint32_t i)
{
	return f->n_threads == 1 ? f->allocs_before[i] : f->u.ref.n_own[r];
}

/* ---- encoding ------------------------------------------------------------------------------------------- */

static uint32_t put_nameless(struct mst_event_frame *f, uint32_t i)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_REF_ADDR];
	uint64_t addr = f->ev.freed_addr[i];

	if (addr == 0)
		return REF_NONE;
	col->p = mst_put_varint(col->p, mst_delta(addr, f->u.ref.last_addr));
	f->u.ref.last_addr = addr;
	return REF_ADDR;
}

static uint32_t put_old(struct mst_event_frame *f, uint32_t i)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_REF_OLD];
	uint64_t *last = &f->u.ref.last_old[f->site[i]];

	col->p = mst_put_varint(col->p, mst_delta(f->ev.freed[i], *last));
	*last = f->ev.freed[i];
	return REF_OLD;
}

/* Which of its thread's acquisitions this is of the frame's. */
static inline uint32_t own_index(const struct mst_event_frame *f, uint32_t alloc)
{
	return f->n_threads == 1 ? alloc : f->u.ref.own_index[alloc];
}

static inline uint32_t put_ranked(struct mst_event_frame *f, uint32_t index, uint32_t n_own)
{
	uint32_t rank = mst_live_rank_of(&f->u.ref.live, n_own, index);

	mst_live_remove(&f->u.ref.live, index);
	return REF_RANK + rank;
}

static uint32_t put_cross(struct mst_event_frame *f, uint32_t i, uint32_t alloc)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_REF_CROSS];

	col->p = mst_put_varint(col->p, f->allocs_before[i] - 1u - alloc);
	return REF_CROSS;
}

/* Any reference but to a block by its rank. */
static __attribute__((noinline)) bool encode_unranked(struct mst_event_frame *f, uint32_t i)
{
	uint64_t freed = f->ev.freed[i], own = f->ev.first_alloc + f->allocs_before[i];
	uint32_t *code = &f->u.ref.code[i];

	if (freed == 0)
		*code = put_nameless(f, i);
	else if (freed >= own)
		return mst_columns_fail(&f->cols, MST_EARG, "an event refers to a block of the future");
	else if (f->site_trait[f->site[i]] & MST_SITE_FAILED)
		return mst_columns_fail(&f->cols, MST_EARG, "a failed call releases a block");
	else if (freed < f->ev.first_alloc)
		*code = put_old(f, i);
	else
		*code = put_cross(f, i, (uint32_t)(freed - f->ev.first_alloc));
	return true;
}

/* A block that lives, that the same thread acquired in this frame, and that the call releases, has a rank. */
static inline bool encode_ref(struct mst_event_frame *f, uint32_t i, uint32_t n_own)
{
	uint64_t alloc = f->ev.freed[i] - f->ev.first_alloc; /* far too great for what is none of the frame's */
	uint32_t index;

	if (alloc >= f->allocs_before[i] || !(f->site_trait[f->site[i]] & MST_SITE_RELEASES) ||
		(f->n_threads != 1 && f->slot[f->alloc_event[alloc]] != f->slot[i]))
		return encode_unranked(f, i);
	index = own_index(f, (uint32_t)alloc);
	if (!mst_live_has(&f->u.ref.live, index))
		return encode_unranked(f, i);
	f->u.ref.code[i] = put_ranked(f, index, n_own);
	return true;
}

static bool encode_thread(struct mst_event_frame *f, uint32_t begin, uint32_t end)
{
	uint32_t n_refs = sift(f, begin, end);

	for (uint32_t r = 0; r < n_refs; r++)
		if (!encode_ref(f, f->u.ref.event[r], own_before(f, r, f->u.ref.event[r])))
			return false;
	return true;
}

/* Numbers the acquisitions of each thread: own_index. */
static void number_own(struct mst_event_frame *f)
{
	uint32_t *count = f->table; /* [slot] */

	memset(count, 0, f->n_threads * sizeof(count[0]));
	for (uint32_t a = 0; a < f->ev.n_alloc; a++)
		f->u.ref.own_index[a] = (uint16_t)count[f->slot[f->alloc_event[a]]]++;
}

/* Events that cannot refer do not. */
static bool check_strays(struct mst_event_frame *f)
{
	uint64_t stray = 0;

	for (uint32_t s = 0, g = 0; s < f->n_sites; g = f->site_end[s++])
		if (!(f->site_trait[s] & MST_SITE_REFERS))
			for (; g < f->site_end[s]; g++)
				stray |= f->ev.freed[f->group[g]] | f->ev.freed_addr[f->group[g]];
	return stray == 0 || mst_columns_fail(&f->cols, MST_EARG, "a call that takes no block refers to one");
}

bool mst_event_encode_refs(struct mst_event_frame *f)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_REF];
	uint8_t *p = col->p;

	forget(f);
	if (f->n_threads != 1)
		number_own(f);
	for (uint32_t slot = 0, begin = 0; slot < f->n_threads; begin = f->slot_end[slot++])
		if (!encode_thread(f, begin, f->slot_end[slot]))
			return false;
	for (uint32_t s = 0, g = 0; s < f->n_sites; g = f->site_end[s++])
		if (f->site_trait[s] & MST_SITE_REFERS)
			for (; g < f->site_end[s]; g++)
				p = mst_put_varint(p, f->u.ref.code[f->group[g]]);
	col->p = p;
	return check_strays(f);
}

/* ---- decoding ------------------------------------------------------------------------------------------- */

struct ref_cursors {
	struct mst_cursor addr, old, cross;
};

/* The greatest REF that an event of such a site may have. */
static uint32_t greatest_code(unsigned trait)
{
	if (trait & MST_SITE_FAILED)
		return REF_ADDR;
	return trait & MST_SITE_RELEASES ? REF_RANK + MST_FRAME_EVENTS_MAX : REF_CROSS;
}

/* REF -> ev.freed for now: decode_thread puts what each code means in its place. */
static bool read_codes(struct mst_event_frame *f)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_REF);

	for (uint32_t s = 0, g = 0; s < f->n_sites; s++) {
		uint32_t greatest = greatest_code(f->site_trait[s]);
		if (f->site_trait[s] & MST_SITE_REFERS)
			for (; g < f->site_end[s]; g++)
				f->ev.freed[f->group[g]] = mst_get_varint_max(&c, greatest);
		for (; g < f->site_end[s]; g++)
			f->ev.freed[f->group[g]] = REF_NONE;
	}
	return mst_columns_close(&f->cols, MST_COLUMN_REF, &c);
}

/* What event i refers to by a code below REF_RANK. */
static bool decode_unranked(struct mst_event_frame *f, uint32_t i, uint32_t code, struct ref_cursors *in)
{
	uint32_t before = f->allocs_before[i];

	f->ev.freed[i] = 0;
	if (code == REF_ADDR) {
		f->u.ref.last_addr = mst_undelta(mst_get_varint(&in->addr), f->u.ref.last_addr);
		if (in->addr.failed) /* as it is where the column is absent, and with it the array */
			return false;
		f->ev.freed_addr[i] = f->u.ref.last_addr;
	} else if (code == REF_OLD) {
		uint64_t *last = &f->u.ref.last_old[f->site[i]];
		*last = mst_undelta(mst_get_varint(&in->old), *last);
		f->ev.freed[i] = *last;
		return *last != 0 && *last < f->ev.first_alloc;
	} else if (code == REF_CROSS) {
		uint64_t back = mst_get_varint(&in->cross);
		f->ev.freed[i] = f->ev.first_alloc + before - 1 - back;
		return back < before;
	}
	return true;
}

/* The block of that rank, which dies, among the thread's n_own so far. */
static inline bool decode_ranked(struct mst_event_frame *f, uint32_t i, uint32_t rank, uint32_t n_own)
{
	uint32_t index = mst_live_select(&f->u.ref.live, n_own, rank);

	if (index == MST_LIVE_NONE)
		return false;
	mst_live_remove(&f->u.ref.live, index);
	f->ev.freed[i] = f->ev.first_alloc + (f->n_threads == 1 ? index : f->u.ref.own_alloc[index]);
	return true;
}

static bool decode_thread(struct mst_event_frame *f, uint32_t begin, uint32_t end, struct ref_cursors *in)
{
	uint32_t n_refs = sift(f, begin, end);

	for (uint32_t r = 0; r < n_refs; r++) {
		uint32_t i = f->u.ref.event[r], code = (uint32_t)f->ev.freed[i];
		if (!(code >= REF_RANK ? decode_ranked(f, i, code - REF_RANK, own_before(f, r, i))
				       : decode_unranked(f, i, code, in)))
			return mst_columns_bad(&f->cols, MST_COLUMN_REF);
	}
	return true;
}

bool mst_event_decode_refs(struct mst_event_frame *f)
{
	struct ref_cursors in = {mst_columns_open(&f->cols, MST_COLUMN_REF_ADDR),
		mst_columns_open(&f->cols, MST_COLUMN_REF_OLD), mst_columns_open(&f->cols, MST_COLUMN_REF_CROSS)};

	forget(f);
	if (f->ev.freed_addr)
		memset(f->ev.freed_addr, 0, f->ev.n * sizeof(f->ev.freed_addr[0]));
	if (!read_codes(f))
		return false;
	for (uint32_t slot = 0, begin = 0; slot < f->n_threads; begin = f->slot_end[slot++])
		if (!decode_thread(f, begin, f->slot_end[slot], &in))
			return false;
	return mst_columns_close(&f->cols, MST_COLUMN_REF_ADDR, &in.addr) &&
		mst_columns_close(&f->cols, MST_COLUMN_REF_OLD, &in.old) &&
		mst_columns_close(&f->cols, MST_COLUMN_REF_CROSS, &in.cross);
}

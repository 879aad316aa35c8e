/* event_addr.c - where: the address of every block, by guessing what the allocator does.
 *
 * An allocator mostly hands out the block of that size that this thread freed last, or the one behind the block it
 * handed out before. So, in total order, each thread keeps a last-in-first-out list per size class of the blocks it
 * has released in this frame, the end of its latest block and the end of its highest. ADDR_CODE, in site order, says
 * which guess is right:
 *
 *     0-15  the entry of that depth in the list, which leaves it
 *     16    right behind the thread's latest block           17  right behind its highest
 *     18    none: ADDR_ESCAPE, in units of 16 bytes          19  none: ADDR_ESCAPE, in bytes
 *     20    the address of the block that this very call releases (a realloc in place)
 *
 * ADDR_ESCAPE (in total order) is the difference to the latest address of the class, or to the end of the latest block
 * if the class has none yet. Classes are those of glibc; under another allocator the guesses are worse, never wrong:
 * the file says which one was right. With more than 64 threads in a frame those of equal slot % 64 share their lists:
 * memory and reset stay bounded. No column at all: addresses were not recorded. */
#include "event_frame.h"

#include "mstrace.h"

enum { CODE_DEPTHS = 16, CODE_BUMP = 16, CODE_TOP = 17, CODE_ESCAPE = 18, CODE_ESCAPE_BYTES = 19, CODE_IN_PLACE = 20 };

#define CLASSES 1024u
#define SLOTS 64u

/* The bytes glibc takes for a block of that size. */
static inline uint64_t chunk_size(uint64_t size)
{
	return size <= 24 ? 32 : (size + 23) & ~(uint64_t)15;
}

/* Whose part of the model concerns an event. Called with a constant is_alone, whether the frame has one thread, for whom much
 * folds away. */
static inline uint32_t owner_of(const struct mst_event_frame *f, uint32_t i, bool is_alone)
{
	return is_alone ? 0 : f->slot[i] % SLOTS;
}

static inline uint32_t list_of(uint32_t owner, uint64_t size)
{
	uint64_t class = size >= 16 * CLASSES - 24 ? CLASSES - 1 : chunk_size(size) / 16;
	return owner * CLASSES + (uint32_t)class;
}

/* What of the model concerns an acquisition: its owner's registers, and the list of its class. */
struct place {
	uint64_t *bump, *top, *last;
	uint32_t *head;
};

static inline struct place place_of(struct mst_event_frame *f, uint32_t owner, uint64_t size)
{
	uint32_t list = list_of(owner, size);

	return (struct place){&f->u.addr.bump[owner], &f->u.addr.top[owner], &f->u.addr.last[list], &f->u.addr.head[list]};
}

static void forget(struct mst_event_frame *f)
{
	uint32_t slots = f->n_threads < SLOTS ? f->n_threads : SLOTS;

	memset(f->u.addr.head, 0, slots * CLASSES * sizeof(f->u.addr.head[0]));
	memset(f->u.addr.last, 0, slots * CLASSES * sizeof(f->u.addr.last[0]));
	memset(f->u.addr.bump, 0, sizeof(f->u.addr.bump));
	memset(f->u.addr.top, 0, sizeof(f->u.addr.top));
}

/* A block of that size was acquired at addr. */
static inline void learn(const struct place *at, uint64_t size, uint64_t addr)
{
	uint64_t end = addr + chunk_size(size);

	*at->last = addr;
	*at->bump = end;
	if (end > *at->top)
		*at->top = end;
}

/* Event i released a block at addr that event src acquired: it goes to the thread that released it. */
static inline void push(struct mst_event_frame *f, uint32_t i, uint32_t owner, uint32_t src, uint64_t addr)
{
	uint32_t *head = &f->u.addr.head[list_of(owner, f->ev.size[src])];

	f->u.addr.freed[i] = addr;
	f->u.addr.next[i] = *head;
	*head = i + 1;
}

/* The event that acquired, in this frame, what event i refers to; MST_FRAME_EVENTS_MAX if there is none. */
static inline uint32_t source_of(const struct mst_event_frame *f, uint32_t i)
{
	uint64_t freed = f->ev.freed[i];
	return freed == 0 || freed < f->ev.first_alloc ? MST_FRAME_EVENTS_MAX : f->alloc_event[freed - f->ev.first_alloc];
}

static inline uint64_t escape_base(const struct place *at)
{
	return *at->last != 0 ? *at->last : *at->bump;
}

/* ---- encoding ------------------------------------------------------------------------------------------- */

/* Unlinks the entry behind link if it is that address. */
static inline bool take_if(struct mst_event_frame *f, uint32_t *link, uint64_t addr)
{
	if (*link == 0 || f->u.addr.freed[*link - 1] != addr)
		return false;
	*link = f->u.addr.next[*link - 1];
	return true;
}

/* The depth of addr in the list below its first entry, where it is unlinked; CODE_DEPTHS if it is not there or too deep. */
static unsigned take_below(struct mst_event_frame *f, const uint32_t *head, uint64_t addr)
{
	uint32_t entry = *head;

	for (unsigned depth = 1; depth < CODE_DEPTHS && entry != 0; depth++) {
		uint32_t *link = &f->u.addr.next[entry - 1];

		if (take_if(f, link, addr))
			return depth;
		entry = *link;
	}
	return CODE_DEPTHS;
}

static uint8_t put_escape(struct mst_event_frame *f, const struct place *at, uint64_t addr)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_ADDR_ESCAPE];
	uint64_t base = escape_base(at);

	if (addr % 16 != 0) {
		col->p = mst_put_varint(col->p, mst_delta(addr, base));
		return CODE_ESCAPE_BYTES;
	}
	col->p = mst_put_varint(col->p, mst_delta(addr / 16, base / 16));
	return CODE_ESCAPE;
}

/* The guesses in the order of what they cost: lists may be full of what is never handed out again. */
static inline uint8_t guess_addr(struct mst_event_frame *f, const struct place *at, uint64_t addr, uint64_t in_place)
{
	unsigned depth;

	if (in_place != 0 && addr == in_place)
		return CODE_IN_PLACE;
	if (take_if(f, at->head, addr))
		return 0;
	if (addr == *at->bump)
		return CODE_BUMP;
	if (addr == *at->top)
		return CODE_TOP;
	depth = take_below(f, at->head, addr);
	return depth < CODE_DEPTHS ? (uint8_t)depth : put_escape(f, at, addr);
}

static inline __attribute__((always_inline)) uint8_t encode_addr(struct mst_event_frame *f, uint32_t i, uint32_t owner, uint64_t in_place)
{
	uint64_t addr = f->ev.addr[i], size = f->ev.size[i];
	struct place at = place_of(f, owner, size);
	uint8_t code = guess_addr(f, &at, addr, in_place);

	learn(&at, size, addr);
	return code;
}

/* Codes by event; returns what addresses other events have, which is none. */
static inline __attribute__((always_inline)) uint64_t encode_all(struct mst_event_frame *f, bool is_alone)
{
	uint64_t stray = 0;

	for (uint32_t i = 0; i < f->ev.n; i++) {
		uint32_t trait = f->site_trait[f->site[i]], owner = owner_of(f, i, is_alone);
		uint32_t src = trait & MST_SITE_RELEASES ? source_of(f, i) : MST_FRAME_EVENTS_MAX;
		uint64_t old = src < MST_FRAME_EVENTS_MAX ? f->ev.addr[src] : 0;
		if (trait & MST_SITE_ACQUIRES)
			f->u.addr.code[i] = encode_addr(f, i, owner, old);
		else
			stray |= f->ev.addr[i];
		if (old != 0 && old != f->ev.addr[i])
			push(f, i, owner, src, old);
	}
	return stray;
}

static bool has_addresses(const struct mst_event_frame *f)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < f->ev.n && any == 0; i++)
		any = f->ev.addr[i];
	return any != 0;
}

bool mst_event_encode_addrs(struct mst_event_frame *f)
{
	struct mst_column_bytes *col = &f->cols.at[MST_COLUMN_ADDR_CODE];
	uint64_t stray;

	if (!has_addresses(f))
		return true;
	forget(f);
	stray = f->n_threads == 1 ? encode_all(f, true) : encode_all(f, false);
	for (uint32_t s = 0, g = 0; s < f->n_sites; g = f->site_end[s++])
		if (f->site_trait[s] & MST_SITE_ACQUIRES)
			for (; g < f->site_end[s]; g++)
				*col->p++ = f->u.addr.code[f->group[g]];
	return stray == 0 || mst_columns_fail(&f->cols, MST_EARG, "a call that returns no block has an address");
}

/* ---- decoding ------------------------------------------------------------------------------------------- */

/* ADDR_CODE -> code by event. */
static bool read_codes(struct mst_event_frame *f)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_ADDR_CODE);
	const uint8_t *p = mst_get_bytes(&c, f->ev.n_alloc);

	if (!mst_columns_close(&f->cols, MST_COLUMN_ADDR_CODE, &c))
		return false;
	for (uint32_t s = 0, g = 0; s < f->n_sites; g = f->site_end[s++])
		if (f->site_trait[s] & MST_SITE_ACQUIRES)
			for (; g < f->site_end[s]; g++)
				f->u.addr.code[f->group[g]] = *p++;
	return true;
}

/* Unlinks the entry of that depth and returns its address; 0 if the list is shorter. */
static inline uint64_t take_depth(struct mst_event_frame *f, uint32_t *link, unsigned depth)
{
	for (; depth > 0 && *link != 0; depth--)
		link = &f->u.addr.next[*link - 1];
	if (*link == 0)
		return 0;
	uint32_t entry = *link - 1;
	*link = f->u.addr.next[entry];
	return f->u.addr.freed[entry];
}

static inline __attribute__((always_inline)) bool decode_addr(struct mst_event_frame *f, uint32_t i, uint32_t owner, uint64_t in_place,
	struct mst_cursor *escapes)
{
	uint64_t size = f->ev.size[i];
	struct place at = place_of(f, owner, size);
	unsigned code = f->u.addr.code[i];
	uint64_t addr;

	switch (code) {
	case CODE_BUMP:
		addr = *at.bump;
		break;
	case CODE_TOP:
		addr = *at.top;
		break;
	case CODE_ESCAPE:
		addr = mst_undelta(mst_get_varint(escapes), escape_base(&at) / 16) * 16;
		break;
	case CODE_ESCAPE_BYTES:
		addr = mst_undelta(mst_get_varint(escapes), escape_base(&at));
		break;
	case CODE_IN_PLACE:
		addr = in_place;
		if (addr == 0)
			return false;
		break;
	default:
		addr = code < CODE_DEPTHS ? take_depth(f, at.head, code) : 0;
		if (addr == 0)
			return false;
	}
	f->ev.addr[i] = addr;
	learn(&at, size, addr);
	return true;
}

static inline __attribute__((always_inline)) bool decode_all(struct mst_event_frame *f, bool is_alone, struct mst_cursor *escapes)
{
	forget(f);
	for (uint32_t i = 0; i < f->ev.n; i++) {
		uint32_t trait = f->site_trait[f->site[i]], owner = owner_of(f, i, is_alone), src = MST_FRAME_EVENTS_MAX;
		uint64_t old = 0;
		if (trait & MST_SITE_REFERS && (src = source_of(f, i)) < MST_FRAME_EVENTS_MAX)
			f->ev.freed_addr[i] = old = f->ev.addr[src];
		if (!(trait & MST_SITE_RELEASES))
			old = 0;
		f->ev.addr[i] = 0;
		if (trait & MST_SITE_ACQUIRES && !decode_addr(f, i, owner, old, escapes))
			return mst_columns_bad(&f->cols, MST_COLUMN_ADDR_CODE);
		if (old != 0 && old != f->ev.addr[i])
			push(f, i, owner, src, old);
	}
	return true;
}

bool mst_event_decode_addrs(struct mst_event_frame *f)
{
	struct mst_cursor escapes = mst_columns_open(&f->cols, MST_COLUMN_ADDR_ESCAPE);

	if (f->cols.at[MST_COLUMN_ADDR_CODE].raw_len == 0)
		memset(f->ev.addr, 0, f->ev.n * sizeof(f->ev.addr[0]));
	else if (!read_codes(f) || !(f->n_threads == 1 ? decode_all(f, true, &escapes) : decode_all(f, false, &escapes)))
		return false;
	return mst_columns_close(&f->cols, MST_COLUMN_ADDR_ESCAPE, &escapes);
}

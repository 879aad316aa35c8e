/* event_site.c - what was called, from where: op and stack of every event, by guessing.
 *
 * In thread order each event's site is guessed from the last two sites of its thread and, failing that, from the last
 * one alone; either row remembers two candidates, the latest first. SITE_CODE says which guess was right:
 *
 *     0 1   first, second candidate after the last two sites
 *     2 3   first, second candidate after the last site
 *     4     none, a site met before: SITE_INDEX counts back from the newest site
 *     5     none, a new site: the next of SITE_OP and SITE_STACK (difference to the stack of the site before)
 *
 * Both rows then learn the site. Measured against op bytes and stack ids as they are: README of tests/bench. */
#include "event_frame.h"

#include "mstrace.h"

enum { CODE_KNOWN = 4, CODE_NEW = 5 };

#define PAIR_BITS 14

struct history {
	uint32_t last, before; /* sites */
};

static inline uint32_t *pair_row(struct mst_event_frame *f, const struct history *h)
{
	return &f->u.guess.by_pair[(h->last * 0x9e3779b1u + h->before * 0x85ebca6bu) >> (32 - PAIR_BITS)];
}

/* A row holds the latest candidate in its low half, the one before in its high half; 0 at first. */
static inline void learn(uint32_t *row, uint32_t site)
{
	if ((*row & 0xffff) != site)
		*row = *row << 16 | site;
}

static void forget(struct mst_event_frame *f)
{
	memset(f->u.guess.by_pair, 0, sizeof(f->u.guess.by_pair));
	f->u.guess.by_last[0] = 0;
	f->n_sites = 0;
}

static inline void add_site(struct mst_event_frame *f, uint64_t key)
{
	uint32_t site = f->n_sites++;

	f->site_key[site] = key;
	f->site_trait[site] = f->trait[key >> 32];
	f->site_end[site] = 0;
	f->u.guess.by_last[site] = 0;
}

/* Sets has_late; returns the number of acquisitions. */
static uint32_t sum_up(struct mst_event_frame *f)
{
	uint32_t n_alloc = 0;

	f->has_late = false;
	for (uint32_t s = 0; s < f->n_sites; s++) {
		n_alloc += f->site_trait[s] & MST_SITE_ACQUIRES ? f->site_end[s] : 0;
		f->has_late |= (f->site_trait[s] & MST_SITE_LATE) != 0;
	}
	return n_alloc;
}

/* ---- encoding ------------------------------------------------------------------------------------------- */

/* Open addressing over site numbers + 1, grown to stay at most half full. */
struct site_table {
	uint32_t *slots;
	uint32_t bits;
};

static inline uint32_t *table_find(struct mst_event_frame *f, const struct site_table *t, uint64_t key)
{
	uint32_t at = (uint32_t)((key * 0x9e3779b97f4a7c15u) >> (64 - t->bits));

	while (t->slots[at] != 0 && f->site_key[t->slots[at] - 1] != key)
		at = (at + 1) & ((1u << t->bits) - 1);
	return &t->slots[at];
}

static void table_grow(struct mst_event_frame *f, struct site_table *t)
{
	t->bits++;
	memset(t->slots, 0, sizeof(t->slots[0]) << t->bits);
	for (uint32_t s = 0; s < f->n_sites; s++)
		*table_find(f, t, f->site_key[s]) = s + 1;
}

/* The guess of the two rows that is this key, or CODE_KNOWN. */
static inline unsigned try_guesses(const struct mst_event_frame *f, uint32_t pair, uint32_t last, uint64_t key)
{
	if (f->site_key[pair & 0xffff] == key)
		return 0;
	if (f->site_key[pair >> 16] == key)
		return 1;
	if (f->site_key[last & 0xffff] == key)
		return 2;
	if (f->site_key[last >> 16] == key)
		return 3;
	return CODE_KNOWN;
}

static inline uint32_t guessed_site(uint32_t pair, uint32_t last, unsigned code)
{
	uint32_t row = code < 2 ? pair : last;
	return code & 1 ? row >> 16 : row & 0xffff;
}

static void put_new_site(struct mst_event_frame *f, uint64_t key)
{
	struct mst_column_bytes *ops = &f->cols.at[MST_COLUMN_SITE_OP];
	struct mst_column_bytes *stacks = &f->cols.at[MST_COLUMN_SITE_STACK];
	uint32_t before = f->n_sites > 0 ? (uint32_t)f->site_key[f->n_sites - 1] : 0;

	ops->p = mst_put8(ops->p, (uint8_t)(key >> 32));
	stacks->p = mst_put_varint(stacks->p, mst_delta((uint32_t)key, before));
	add_site(f, key);
}

/* Codes a site that was not guessed; returns it. */
static uint32_t put_unguessed(struct mst_event_frame *f, struct site_table *t, uint64_t key, uint8_t *code)
{
	struct mst_column_bytes *indexes = &f->cols.at[MST_COLUMN_SITE_INDEX];
	uint32_t *found = table_find(f, t, key);

	if (*found != 0) {
		*code = CODE_KNOWN;
		indexes->p = mst_put_varint(indexes->p, f->n_sites - *found);
		return *found - 1;
	}
	*code = CODE_NEW;
	put_new_site(f, key);
	*found = f->n_sites;
	if (2 * f->n_sites > 1u << t->bits)
		table_grow(f, t);
	return f->n_sites - 1;
}

static void encode_thread(struct mst_event_frame *f, struct site_table *t, uint32_t begin, uint32_t end)
{
	struct history h = {0, 0};
	uint8_t *p = f->cols.at[MST_COLUMN_SITE_CODE].p;

	for (uint32_t k = begin; k < end; k++) {
		uint32_t i = f->order[k];
		uint64_t key = (uint64_t)f->ev.op[i] << 32 | f->ev.stack[i];
		uint32_t *pair = pair_row(f, &h), *last = &f->u.guess.by_last[h.last];
		uint8_t code = (uint8_t)try_guesses(f, *pair, *last, key);
		uint32_t site = code < CODE_KNOWN ? guessed_site(*pair, *last, code)
						  : put_unguessed(f, t, key, &code);
		*p++ = code;
		learn(pair, site);
		learn(last, site);
		h = (struct history){site, h.last};
		f->site[i] = (uint16_t)site;
		f->site_end[site]++;
	}
	f->cols.at[MST_COLUMN_SITE_CODE].p = p;
}

static bool check_ops(struct mst_event_frame *f)
{
	for (uint32_t s = 0; s < f->n_sites; s++)
		if ((f->site_key[s] >> 32 & MST_OP_MAX) == 0)
			return mst_columns_fail(&f->cols, MST_EARG, "an event has no operation");
	if (sum_up(f) != f->ev.n_alloc)
		return mst_columns_fail(&f->cols, MST_EARG, "n_alloc is not the number of acquisitions");
	return true;
}

bool mst_event_encode_sites(struct mst_event_frame *f)
{
	struct site_table t = {f->table, 10};

	forget(f);
	memset(t.slots, 0, sizeof(t.slots[0]) << t.bits);
	f->site_key[0] = UINT64_MAX; /* matches nothing until there is a site */
	for (uint32_t slot = 0, begin = 0; slot < f->n_threads; begin = f->slot_end[slot++])
		encode_thread(f, &t, begin, f->slot_end[slot]);
	return check_ops(f);
}

/* ---- decoding ------------------------------------------------------------------------------------------- */

static bool decode_ops(struct mst_event_frame *f, uint32_t *n_listed)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_SITE_OP);

	*n_listed = 0;
	while (mst_cursor_left(&c) > 0 && *n_listed < f->ev.n) {
		uint64_t op = mst_get8(&c);
		if ((op & MST_OP_MAX) == 0)
			return mst_columns_bad(&f->cols, MST_COLUMN_SITE_OP);
		f->site_key[(*n_listed)++] = op << 32;
	}
	return mst_columns_close(&f->cols, MST_COLUMN_SITE_OP, &c);
}

static bool decode_stacks(struct mst_event_frame *f, uint32_t n_listed)
{
	struct mst_cursor c = mst_columns_open(&f->cols, MST_COLUMN_SITE_STACK);
	uint64_t stack = 0;

	for (uint32_t s = 0; s < n_listed; s++) {
		stack = mst_undelta(mst_get_varint(&c), stack);
		if (stack > UINT32_MAX)
			return mst_columns_bad(&f->cols, MST_COLUMN_SITE_STACK);
		f->site_key[s] |= stack;
	}
	return mst_columns_close(&f->cols, MST_COLUMN_SITE_STACK, &c);
}

/* The site behind code; UINT32_MAX if it is none of the listed. */
static inline uint32_t read_unguessed(struct mst_event_frame *f, unsigned code, struct mst_cursor *indexes,
	uint32_t n_listed)
{
	if (code == CODE_KNOWN && f->n_sites > 0)
		return f->n_sites - 1 - (uint32_t)mst_get_varint_max(indexes, f->n_sites - 1);
	if (code != CODE_NEW || f->n_sites == n_listed)
		return UINT32_MAX;
	add_site(f, f->site_key[f->n_sites]);
	return f->n_sites - 1;
}

static bool decode_thread(struct mst_event_frame *f, struct mst_cursor *codes, struct mst_cursor *indexes,
	uint32_t n_listed, uint32_t begin, uint32_t end)
{
	struct history h = {0, 0};
	const uint8_t *code = mst_get_bytes(codes, end - begin);

	if (!code)
		return mst_columns_close(&f->cols, MST_COLUMN_SITE_CODE, codes);
	for (uint32_t k = begin; k < end; k++, code++) {
		uint32_t *pair = pair_row(f, &h), *last = &f->u.guess.by_last[h.last];
		uint32_t site = *code < CODE_KNOWN ? guessed_site(*pair, *last, *code)
						   : read_unguessed(f, *code, indexes, n_listed);
		if (site >= f->n_sites)
			return mst_columns_bad(&f->cols, MST_COLUMN_SITE_CODE);
		learn(pair, site);
		learn(last, site);
		h = (struct history){site, h.last};
		f->site[f->order[k]] = (uint16_t)site;
		f->site_end[site]++;
	}
	return true;
}

static void spread(struct mst_event_frame *f, bool want_stack)
{
	for (uint32_t i = 0; i < f->ev.n; i++)
		f->ev.op[i] = (uint8_t)(f->site_key[f->site[i]] >> 32);
	for (uint32_t i = 0; want_stack && i < f->ev.n; i++)
		f->ev.stack[i] = (uint32_t)f->site_key[f->site[i]];
}

bool mst_event_decode_sites(struct mst_event_frame *f, bool want_stack)
{
	uint32_t n_listed;

	if (!decode_ops(f, &n_listed) || (want_stack && !decode_stacks(f, n_listed)))
		return false;
	struct mst_cursor codes = mst_columns_open(&f->cols, MST_COLUMN_SITE_CODE);
	struct mst_cursor indexes = mst_columns_open(&f->cols, MST_COLUMN_SITE_INDEX);
	forget(f);
	for (uint32_t slot = 0, begin = 0; slot < f->n_threads; begin = f->slot_end[slot++])
		if (!decode_thread(f, &codes, &indexes, n_listed, begin, f->slot_end[slot]))
			return false;
	if (f->n_sites != n_listed)
		return mst_columns_bad(&f->cols, MST_COLUMN_SITE_OP);
	spread(f, want_stack);
	f->ev.n_alloc = sum_up(f);
	return mst_columns_close(&f->cols, MST_COLUMN_SITE_CODE, &codes) &&
		mst_columns_close(&f->cols, MST_COLUMN_SITE_INDEX, &indexes);
}

/* ---- site order ----------------------------------------------------------------------------------------- */

void mst_event_group_sites(struct mst_event_frame *f)
{
	uint32_t start = 0, n_alloc = 0;

	for (uint32_t s = 0; s < f->n_sites; s++) {
		uint32_t count = f->site_end[s];
		f->site_end[s] = start;
		start += count;
	}
	for (uint32_t i = 0; i < f->ev.n; i++) {
		uint32_t s = f->site[i];
		f->group[f->site_end[s]++] = (uint16_t)i;
		f->allocs_before[i] = (uint16_t)n_alloc;
		f->alloc_event[n_alloc] = (uint16_t)i; /* until the next acquisition says otherwise */
		n_alloc += (f->site_trait[s] & MST_SITE_ACQUIRES) != 0;
	}
}

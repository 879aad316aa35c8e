/* event_time.c - when: differences to the event before, in site order.
 *
 * Most differences are 0, 1 or 2 units. They are packed 2 (or 4, or 8: the column's encoding) bits each, lowest bits of a
 * byte first, so that one symbol of zstd's entropy coder covers several events; the greatest value that fits means
 * "look in TIME_LARGE", which holds the rest as varints. A LATE event may lie before its predecessor: its difference
 * is a zigzag number and does not count for its successors. */
#include "event_frame.h"

#include "mstrace.h"

/* ---- encoding ------------------------------------------------------------------------------------------- */

#define BYTES UINT64_C(0x0101010101010101) /* times a byte: eight of it */
#define LOW_MAX 127u /* what u.time.low and u.time.grouped hold of a difference; it stands for all above, too */

/* Differences by event: low, and where that is not enough diff. */
static bool differences(struct mst_event_frame *f)
{
	uint8_t *low = f->u.time.low;
	uint64_t now = f->ev.first_time;
	bool has_late = f->has_late;

	for (uint32_t i = 0; i < f->ev.n; i++) {
		uint64_t t = f->ev.time[i], d = t - now;
		if (has_late && f->site_trait[f->site[i]] & MST_SITE_LATE)
			d = mst_delta(t, now);
		else if (t < now)
			return mst_columns_fail(&f->cols, MST_EARG, "time runs backwards");
		else
			now = t;
		low[i] = (uint8_t)(d < LOW_MAX ? d : LOW_MAX);
		if (d >= LOW_MAX)
			f->u.time.diff[i] = d;
	}
	return true;
}

/* low -> grouped; 0 behind the last, up to a multiple of 8. */
static void group_low(struct mst_event_frame *f)
{
	const uint8_t *low = f->u.time.low;
	uint8_t *grouped = f->u.time.grouped;

	for (uint32_t g = 0; g < f->ev.n; g++)
		grouped[g] = low[f->group[g]];
	memset(grouped + f->ev.n, 0, 8);
}

/* Of eight bytes below 128: the highest bit of each that is at least limit. */
static inline uint64_t at_least(uint64_t bytes, unsigned limit)
{
	return (bytes + BYTES * (128 - limit)) & BYTES * 128;
}

static uint32_t count_above(const struct mst_event_frame *f, unsigned limit)
{
	uint32_t count = 0;

	for (uint32_t g = 0; g < f->ev.n; g += 8)
		count += (uint32_t)((at_least(mst_load64(f->u.time.grouped + g), limit + 1) >> 7) * BYTES >> 56);
	return count;
}

/* Bits per event that need least room, with 8 bits for each value that does not fit. */
static unsigned choose_bits(const struct mst_event_frame *f)
{
	uint64_t n = f->ev.n;
	uint64_t cost2 = 2 * n + 8 * (uint64_t)count_above(f, 2);
	uint64_t cost4 = 4 * n + 8 * (uint64_t)count_above(f, 14);
	if (cost2 <= cost4 && cost2 <= 8 * n)
		return 2;
	return cost4 <= 8 * n ? 4 : 8;
}

static inline uint64_t difference(const struct mst_event_frame *f, uint32_t g)
{
	unsigned d = f->u.time.grouped[g];
	return d < LOW_MAX ? d : f->u.time.diff[f->group[g]];
}

/* TIME_LARGE of some events. */
static uint8_t *put_large(const struct mst_event_frame *f, uint8_t *q, uint32_t g, uint32_t end, uint64_t escape)
{
	for (; g < end && g < f->ev.n; g++)
		if (difference(f, g) >= escape)
			q = mst_put_varint(q, difference(f, g) - escape);
	return q;
}

/* The low `bits` of each of eight bytes, side by side: those of two bytes are moved together, of four, of eight. */
static inline uint64_t squeeze(uint64_t bytes, unsigned bits)
{
	uint64_t d = bytes & BYTES * ((1u << bits) - 1);

	d = (d | d >> (8 - bits)) & UINT64_C(0x0001000100010001) * ((1u << 2 * bits) - 1);
	d = (d | d >> (16 - 2 * bits)) & UINT64_C(0x0000000100000001) * ((1u << 4 * bits) - 1);
	return d | d >> (32 - 4 * bits);
}

/* Both columns, with 2 or 4 bits; called with constant ones. */
static inline void pack(struct mst_event_frame *f, unsigned bits)
{
	struct mst_column_bytes *small = &f->cols.at[MST_COLUMN_TIME_SMALL];
	struct mst_column_bytes *large = &f->cols.at[MST_COLUMN_TIME_LARGE];
	unsigned escape = (1u << bits) - 1;
	uint8_t *p = small->p, *q = large->p;

	for (uint32_t g = 0; g < f->ev.n; g += 8, p += bits) {
		uint64_t d = mst_load64(f->u.time.grouped + g), is_large = at_least(d, escape);
		if (is_large != 0)
			q = put_large(f, q, g, g + 8, escape);
		mst_store32(p, (uint32_t)squeeze(d | (is_large >> 7) * escape, bits)); /* there is room for more than the last */
	}
	small->p += (f->ev.n * bits + 7) / 8;
	large->p = q;
}

/* The same with 8 bits. */
static void pack_bytes(struct mst_event_frame *f)
{
	struct mst_column_bytes *small = &f->cols.at[MST_COLUMN_TIME_SMALL];
	struct mst_column_bytes *large = &f->cols.at[MST_COLUMN_TIME_LARGE];

	for (uint32_t g = 0; g < f->ev.n; g++)
		*small->p++ = (uint8_t)(difference(f, g) < 255 ? difference(f, g) : 255);
	large->p = put_large(f, large->p, 0, f->ev.n, 255);
}

bool mst_event_encode_time(struct mst_event_frame *f)
{
	unsigned bits;

	if (!differences(f))
		return false;
	group_low(f);
	bits = choose_bits(f);
	if (bits == 2)
		pack(f, 2);
	else if (bits == 4)
		pack(f, 4);
	else
		pack_bytes(f);
	f->cols.at[MST_COLUMN_TIME_SMALL].encoding = (uint8_t)bits;
	return true;
}

/* ---- decoding ------------------------------------------------------------------------------------------- */

/* The differences that do not fit: n_large events of them, to be added to what does. */
static bool add_large(struct mst_event_frame *f, uint32_t n_large, uint64_t escape)
{
	struct mst_cursor large = mst_columns_open(&f->cols, MST_COLUMN_TIME_LARGE);

	for (uint32_t l = 0; l < n_large; l++)
		f->ev.time[f->u.time.large[l]] = escape + mst_get_varint_max(&large, UINT64_MAX - escape);
	return mst_columns_close(&f->cols, MST_COLUMN_TIME_LARGE, &large);
}

/* One difference for each event, into ev.time; the events that need TIME_LARGE into large[], whose number is returned.
 * Nothing is predictable here, so nothing branches. Called with constant bits, so that the inner loop unrolls. */
static inline uint32_t unpack_small(struct mst_event_frame *f, const uint8_t *p, unsigned bits)
{
	const uint16_t *group = f->group, *end = group + f->ev.n;
	unsigned escape = (1u << bits) - 1;
	uint32_t n_large = 0;

	for (; group < end; p++)
		for (unsigned at = 0; at < 8 && group < end; at += bits, group++) {
			unsigned d = *p >> at & escape;
			f->ev.time[*group] = d;
			f->u.time.large[n_large] = *group;
			n_large += d == escape;
		}
	return n_large;
}

static bool unpack(struct mst_event_frame *f, unsigned bits)
{
	struct mst_cursor small = mst_columns_open(&f->cols, MST_COLUMN_TIME_SMALL);
	const uint8_t *p = mst_get_bytes(&small, (f->ev.n * bits + 7) / 8);

	if (!mst_columns_close(&f->cols, MST_COLUMN_TIME_SMALL, &small))
		return false;
	uint32_t n_large = bits == 2 ? unpack_small(f, p, 2) : bits == 4 ? unpack_small(f, p, 4) : unpack_small(f, p, 8);
	return add_large(f, n_large, (1u << bits) - 1);
}

/* Differences -> times, in place. */
static bool sum_up(struct mst_event_frame *f)
{
	uint64_t now = f->ev.first_time, overflow = 0;

	for (uint32_t i = 0; i < f->ev.n; i++) {
		uint64_t d = f->ev.time[i];
		if (f->has_late && f->site_trait[f->site[i]] & MST_SITE_LATE) {
			f->ev.time[i] = mst_undelta(d, now);
			continue;
		}
		now += d;
		overflow |= now < d;
		f->ev.time[i] = now;
	}
	return !overflow || mst_columns_bad(&f->cols, MST_COLUMN_TIME_LARGE);
}

bool mst_event_decode_time(struct mst_event_frame *f)
{
	unsigned bits = f->cols.at[MST_COLUMN_TIME_SMALL].encoding;

	if (bits != 2 && bits != 4 && bits != 8)
		return mst_columns_fail(&f->cols, MST_EVERSION, "column TIME_SMALL has an encoding this version does not know");
	return unpack(f, bits) && sum_up(f);
}

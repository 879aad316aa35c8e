/* event_time.c - when: differences to the event before, in site order.
 *
 * Most differences are 0, 1 or 2 units. They are packed 2 (or 4, or 8: the column's encoding) bits each, lowest bits of a
 * byte first, so that one symbol of zstd's entropy coder covers several events; the greatest value that fits means
 * "look in TIME_LARGE", which holds the rest as varints. A LATE event may lie before its predecessor: its difference
 * is a zigzag number and does not count for its successors. */
#include "event_frame.h"

#include "mstrace.h"

/* ---- encoding ------------------------------------------------------------------------------------------- */

/* ev.time -> differences by event. */
static bool differences(struct mst_event_frame *f, uint64_t *diff)
{
	uint64_t now = f->ev.first_time;

	for (uint32_t i = 0; i < f->ev.n; i++) {
		uint64_t t = f->ev.time[i];
		if (f->site_trait[f->site[i]] & MST_SITE_LATE) {
			diff[i] = mst_delta(t, now);
			continue;
		}
		if (t < now)
			return mst_columns_fail(&f->cols, MST_EARG, "time runs backwards");
		diff[i] = t - now;
		now = t;
	}
	return true;
}

/* Bits per event that need least room, with 8 bits for each value that does not fit. */
static unsigned choose_bits(const uint64_t *diff, uint32_t n)
{
	uint32_t above2 = 0, above14 = 0;

	for (uint32_t i = 0; i < n; i++) {
		above2 += diff[i] > 2;
		above14 += diff[i] > 14;
	}
	uint64_t cost2 = 2 * (uint64_t)n + 8 * (uint64_t)above2;
	uint64_t cost4 = 4 * (uint64_t)n + 8 * (uint64_t)above14;
	if (cost2 <= cost4 && cost2 <= 8 * (uint64_t)n)
		return 2;
	return cost4 <= 8 * (uint64_t)n ? 4 : 8;
}

bool mst_event_encode_time(struct mst_event_frame *f)
{
	struct mst_column_bytes *small = &f->cols.at[MST_COLUMN_TIME_SMALL];
	struct mst_column_bytes *large = &f->cols.at[MST_COLUMN_TIME_LARGE];
	uint64_t *diff = f->u.time.diff;

	if (!differences(f, diff))
		return false;
	unsigned bits = choose_bits(diff, f->ev.n), at = 0, byte = 0;
	uint64_t escape = (1u << bits) - 1;
	uint8_t *p = small->p, *q = large->p;
	for (uint32_t g = 0; g < f->ev.n; g++) {
		uint64_t d = diff[f->group[g]];
		byte |= (unsigned)(d < escape ? d : escape) << at;
		at += bits;
		if (at == 8) {
			*p++ = (uint8_t)byte;
			at = byte = 0;
		}
		if (d >= escape)
			q = mst_put_varint(q, d - escape);
	}
	if (at != 0)
		*p++ = (uint8_t)byte;
	small->p = p;
	small->encoding = (uint8_t)bits;
	large->p = q;
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

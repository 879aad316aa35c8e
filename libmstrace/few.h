/* few.h - the blocks of a tract of the live map (addrmap.h) as long as it has few: one array in no order, without cells.
 *
 *     { refs, n, size | place[0], place[1], ... -->    <--  ..., entry[1], entry[0] }    10 bytes a block, and 8
 *
 * A place is bits 3..15 of a block's address; an entry is the map's own. */
#ifndef MST_FEW_H
#define MST_FEW_H

#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "slabs.h"

#define MST_FEW_PLACE_BITS 13u
#define MST_FEW_BITS_MAX 8u /* log2 of the greatest size in bytes */

struct mst_few {
	uint32_t refs; /* maps that use it */
	uint16_t n;
	uint16_t bits; /* log2 of its size */
	uint16_t places[];
};

static inline unsigned mst_few_place(uint64_t addr)
{
	return (unsigned)(addr >> 3) & ((1u << MST_FEW_PLACE_BITS) - 1);
}

static inline unsigned mst_few_capacity(unsigned bits)
{
	return (unsigned)(((1u << bits) - sizeof(struct mst_few)) / (sizeof(uint16_t) + sizeof(uint64_t)));
}

/* Of the one with number i, which need not be there. */
static inline uint64_t *mst_few_entry(struct mst_few *f, unsigned i)
{
	return (uint64_t *)(void *)((char *)f + ((size_t)1 << f->bits)) - 1 - i;
}

/* The number of the one at that place; n or more if there is none. */
static inline unsigned mst_few_find(const struct mst_few *f, unsigned place)
{
	unsigned i = 0;

#ifdef __SSE2__
	const __m128i wanted = _mm_set1_epi16((short)place);

	for (; i < f->n; i += 8) { /* what stands behind the places may look like one; the last ones end within the whole */
		const __m128i *some = (const __m128i *)(const void *)(f->places + i);
		unsigned like = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_loadu_si128(some), wanted));

		if (like != 0)
			return i + (unsigned)__builtin_ctz(like) / 2;
	}
#else
	while (i < f->n && f->places[i] != place)
		i++;
#endif
	return i;
}

/* There is room. */
static inline void mst_few_append(struct mst_few *f, unsigned place, uint64_t entry)
{
	f->places[f->n] = (uint16_t)place;
	*mst_few_entry(f, f->n++) = entry;
}

static inline void mst_few_remove(struct mst_few *f, unsigned i)
{
	f->places[i] = f->places[--f->n];
	*mst_few_entry(f, i) = *mst_few_entry(f, f->n);
}

/* Of 2^bits bytes, with one reference; with the blocks of `from`, for which there is room, unless that is NULL. NULL when memory
 * is short. */
struct mst_few *mst_few_new(struct mst_slabs *slabs, unsigned bits, struct mst_few *from);
void mst_few_free(struct mst_slabs *slabs, struct mst_few *f);
#endif

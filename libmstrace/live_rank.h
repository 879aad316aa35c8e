/* live_rank.h - the blocks a thread has acquired in a frame, and the rank of each among those that still live.
 *
 * Rank 0 is the newest live block: the one a program most often frees next. Blocks are numbered as they are acquired;
 * the caller says by n how many there are, so that acquiring costs nothing. A bit per block says whether it is dead, newer
 * blocks in lower bits, so that counting ranks off is clearing lowest bits, the cheapest loop there is. The dead are
 * counted per word (64) and per span (1024), so that rank and select look at no more than 64 spans, 16 words and one word,
 * whatever the file says. Both mostly end within the newest word. */
#ifndef MST_LIVE_RANK_H
#define MST_LIVE_RANK_H

#include "event.h"

#include <stdbool.h>
#include <string.h>

#define MST_LIVE_WORDS (MST_FRAME_EVENTS_MAX / 64)
#define MST_LIVE_SPANS (MST_FRAME_EVENTS_MAX / 1024)
#define MST_LIVE_NONE UINT32_MAX

/* The bit of block i stands in dead[i / 64]. Invariants: dead_in_word[w] = bits set in dead[w]; dead_in_span[s] = sum of
 * dead_in_word over its 16 words. */
struct mst_live_rank {
	uint64_t dead[MST_LIVE_WORDS];
	uint8_t dead_in_word[MST_LIVE_WORDS];
	uint16_t dead_in_span[MST_LIVE_SPANS];
};

/* Makes all blocks alive; no more than n of them will be spoken of. */
static inline void mst_live_reset(struct mst_live_rank *l, uint32_t n)
{
	memset(l->dead, 0, (n + 63) / 64 * sizeof(l->dead[0]));
	memset(l->dead_in_word, 0, (n + 63) / 64 * sizeof(l->dead_in_word[0]));
	memset(l->dead_in_span, 0, (n + 1023) / 1024 * sizeof(l->dead_in_span[0]));
}

static inline uint32_t mst_live_bit(uint32_t i)
{
	return 63 - i % 64;
}

static inline bool mst_live_has(const struct mst_live_rank *l, uint32_t i)
{
	return !(l->dead[i / 64] >> mst_live_bit(i) & 1);
}

/* Block i, which lives, dies. */
static inline void mst_live_remove(struct mst_live_rank *l, uint32_t i)
{
	l->dead[i / 64] |= (uint64_t)1 << mst_live_bit(i);
	l->dead_in_word[i / 64]++;
	l->dead_in_span[i / 1024]++;
}

/* The instruction for it is newer than the machines we build for, and libgcc's function is a call. */
static inline uint32_t mst_live_count_bits(uint64_t x)
{
	x -= x >> 1 & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (uint32_t)(x * UINT64_C(0x0101010101010101) >> 56);
}

/* How many of the n blocks so far are newer than i and live. i < n. */
static inline uint32_t mst_live_rank_of(const struct mst_live_rank *l, uint32_t n, uint32_t i)
{
	uint32_t word = i / 64, last_word = (n - 1) / 64, last_span = (n - 1) / 1024;
	uint64_t newer = l->dead[word] & (((uint64_t)1 << mst_live_bit(i)) - 1);
	uint32_t dead = newer == 0 ? 0 : mst_live_count_bits(newer);

	while (++word <= last_word && word % 16 != 0)
		dead += l->dead_in_word[word];
	for (uint32_t span = i / 1024 + 1; span <= last_span; span++)
		dead += l->dead_in_span[span];
	return n - 1 - i - dead;
}

/* The live block of that rank among the n so far, MST_LIVE_NONE if fewer live. */
static inline uint32_t mst_live_select(const struct mst_live_rank *l, uint32_t n, uint32_t rank)
{
	uint32_t end = n; /* where the unit at hand ends: only the newest one is not full */

	for (uint32_t span; end > 0; end = span * 1024) {
		span = (end - 1) / 1024;
		uint32_t live = end - span * 1024 - l->dead_in_span[span];
		if (rank < live)
			break;
		rank -= live;
	}
	if (end == 0)
		return MST_LIVE_NONE;
	uint32_t word = (end - 1) / 64, live = end - word * 64 - l->dead_in_word[word];
	while (rank >= live) {
		rank -= live;
		end = word-- * 64;
		live = 64u - l->dead_in_word[word];
	}
	uint64_t bits = ~l->dead[word] & UINT64_MAX << (word * 64 + 64 - end);
	for (; rank > 0; rank--)
		bits &= bits - 1;
	return word * 64 + 63 - (uint32_t)__builtin_ctzll(bits);
}
#endif

/* live_rank.h - the blocks a thread has acquired in a frame, and the rank of each among those that still live.
 *
 * Rank 0 is the newest live block: the one a program most often frees next. A bit per block says whether it lives; live
 * blocks are counted per word (64) and per span (1024), so that rank and select look at no more than 64 spans, 16 words
 * and one word, whatever the file says. Both mostly end within the newest word. */
#ifndef MST_LIVE_RANK_H
#define MST_LIVE_RANK_H

#include "event.h"

#include <stdbool.h>

#define MST_LIVE_WORDS (MST_FRAME_EVENTS_MAX / 64)
#define MST_LIVE_SPANS (MST_FRAME_EVENTS_MAX / 1024)
#define MST_LIVE_NONE UINT32_MAX

/* Invariant: in_word[w] = bits set in live[w]; in_span[s] = sum of in_word over its 16 words; both and live are
 * defined up to the word and span of block n - 1. */
struct mst_live_rank {
	uint32_t n; /* blocks so far, dead or alive */
	uint64_t live[MST_LIVE_WORDS];
	uint8_t in_word[MST_LIVE_WORDS];
	uint16_t in_span[MST_LIVE_SPANS];
};

static inline void mst_live_reset(struct mst_live_rank *l)
{
	l->n = 0;
}

/* Adds the next block, alive; returns its number. At most MST_FRAME_EVENTS_MAX times. */
static inline uint32_t mst_live_add(struct mst_live_rank *l)
{
	uint32_t i = l->n++, word = i / 64;

	if (i % 64 == 0) {
		l->live[word] = 0;
		l->in_word[word] = 0;
	}
	if (i % 1024 == 0)
		l->in_span[i / 1024] = 0;
	l->live[word] |= (uint64_t)1 << i % 64;
	l->in_word[word]++;
	l->in_span[i / 1024]++;
	return i;
}

static inline bool mst_live_has(const struct mst_live_rank *l, uint32_t i)
{
	return l->live[i / 64] >> i % 64 & 1;
}

/* i lives. */
static inline void mst_live_remove(struct mst_live_rank *l, uint32_t i)
{
	l->live[i / 64] &= ~((uint64_t)1 << i % 64);
	l->in_word[i / 64]--;
	l->in_span[i / 1024]--;
}

/* How many blocks newer than i live. */
static inline uint32_t mst_live_rank_of(const struct mst_live_rank *l, uint32_t i)
{
	uint32_t word = i / 64, last_word = (l->n - 1) / 64, last_span = (l->n - 1) / 1024;
	uint64_t newer = l->live[word] >> i % 64 >> 1;
	uint32_t rank = newer == 0 ? 0 : (uint32_t)__builtin_popcountll(newer);

	while (++word <= last_word && word % 16 != 0)
		rank += l->in_word[word];
	for (uint32_t span = i / 1024 + 1; span <= last_span; span++)
		rank += l->in_span[span];
	return rank;
}

/* The live block of that rank, MST_LIVE_NONE if fewer live. */
static inline uint32_t mst_live_select(const struct mst_live_rank *l, uint32_t rank)
{
	if (l->n == 0)
		return MST_LIVE_NONE;
	uint32_t span = (l->n - 1) / 1024, word = (l->n - 1) / 64;
	if (rank >= l->in_span[span]) {
		do {
			rank -= l->in_span[span];
			if (span-- == 0)
				return MST_LIVE_NONE;
		} while (rank >= l->in_span[span]);
		word = span * 16 + 15;
	}
	while (rank >= l->in_word[word])
		rank -= l->in_word[word--];
	uint64_t bits = l->live[word];
	for (; rank > 0; rank--)
		bits ^= (uint64_t)1 << (63 - __builtin_clzll(bits));
	return word * 64 + 63 - (uint32_t)__builtin_clzll(bits);
}
#endif

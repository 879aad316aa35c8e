/* account.h - what one stack, one process or the whole trace has acquired, released and kept.
 *
 * Total, images and stacks keep the same account, so that one formula serves all three:
 *
 *     live  = acquired - released            what the public counters call live_*
 *     gone  = the part of live whose process has ended: its leaks
 *     now   = live - gone                    what the peak is the maximum of (in the total account)
 *
 * When the total `now` rises above the highest value so far, that instant is the new peak, and what every
 * account held at it has to be kept, although no one can copy all accounts at each of millions of new peaks.
 * Therefore peaks are numbered (epochs), and an account copies its `now` to its peak_* only just before it is
 * first changed after a peak:
 *
 *     epoch of the account == number of the latest peak: peak_* is what it held then
 *     epoch of the account <  number of the latest peak: it has not changed since: its `now` is what it held
 *
 * What every event changes fills one cache line; the rest lies apart, and a flag tells when it matters. */
#ifndef MST_ACCOUNT_H
#define MST_ACCOUNT_H

#include "mstrace.h"

struct mst_account {
	uint64_t allocs, allocated_bytes;
	uint64_t live_bytes;
	uint64_t max_bytes;
	uint64_t peak_bytes;
	uint64_t temporary;
	uint64_t epoch; /* number of the peak that peak_* is of, times two; plus one if gone_* may not be 0 */
	uint32_t live_blocks, peak_blocks; /* there are fewer than 2^32 live blocks */
};

struct mst_account_rest {
	uint64_t gone_blocks, gone_bytes;
	uint64_t strays; /* releases that are booked here and released none of its blocks */
	uint64_t failed;
	uint64_t adopted_blocks, adopted_bytes; /* from a checkpoint: counted above as acquired, though not here */
	struct mst_counters counters; /* filled for the caller who asks */
};

/* Keeps what the account held at the latest peak, number `peak`, before the caller changes it. */
static inline void mst_account_keep(struct mst_account *a, const struct mst_account_rest *rest, uint64_t peak)
{
	if (a->epoch >> 1 == peak)
		return;
	a->peak_blocks = a->live_blocks;
	a->peak_bytes = a->live_bytes;
	if (a->epoch & 1) {
		a->peak_blocks -= (uint32_t)rest->gone_blocks;
		a->peak_bytes -= rest->gone_bytes;
	}
	a->epoch = peak << 1 | (a->epoch & 1);
}

static inline void mst_account_alloc(
	struct mst_account *a, const struct mst_account_rest *rest, uint64_t peak, uint64_t size)
{
	mst_account_keep(a, rest, peak);
	a->allocs++;
	a->allocated_bytes += size;
	a->live_blocks++;
	a->live_bytes += size;
	if (a->live_bytes > a->max_bytes)
		a->max_bytes = a->live_bytes;
}

static inline void mst_account_free(struct mst_account *a, const struct mst_account_rest *rest, uint64_t peak,
	uint64_t size, bool is_temporary)
{
	mst_account_keep(a, rest, peak);
	a->live_blocks--;
	a->live_bytes -= size;
	a->temporary += is_temporary;
}

/* A block that was acquired before the trace begins. */
static inline void mst_account_adopt(struct mst_account *a, struct mst_account_rest *rest, uint64_t size)
{
	mst_account_alloc(a, rest, 0, size);
	rest->adopted_blocks++;
	rest->adopted_bytes += size;
}

/* `blocks` (modulo 2^64, so that it may be negative) of what lives have lost their process. */
void mst_account_gone(
	struct mst_account *a, struct mst_account_rest *rest, uint64_t peak, uint64_t blocks, uint64_t bytes);

/* Live in running processes. */
static inline uint64_t mst_account_now(const struct mst_account *a, const struct mst_account_rest *rest)
{
	return a->live_bytes - rest->gone_bytes;
}

/* The public form, in rest->counters. */
const struct mst_counters *mst_account_show(
	struct mst_account *a, struct mst_account_rest *rest, uint64_t peak);

#endif

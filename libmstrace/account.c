/* account.c - the rare things that happen to an account. */
#include "account.h"

void mst_account_gone(
	struct mst_account *a, struct mst_account_rest *rest, uint64_t peak, uint64_t blocks, uint64_t bytes)
{
	mst_account_keep(a, rest, peak);
	rest->gone_blocks += blocks;
	rest->gone_bytes += bytes;
	a->epoch |= 1;
}

const struct mst_counters *mst_account_show(
	struct mst_account *a, struct mst_account_rest *rest, uint64_t peak)
{
	mst_account_keep(a, rest, peak);
	rest->counters = (struct mst_counters){
		.allocs = a->allocs - rest->adopted_blocks,
		.frees = a->allocs - a->live_blocks + rest->strays,
		.allocated_bytes = a->allocated_bytes - rest->adopted_bytes,
		.freed_bytes = a->allocated_bytes - a->live_bytes,
		.live_blocks = a->live_blocks,
		.live_bytes = a->live_bytes,
		.peak_blocks = a->peak_blocks,
		.peak_bytes = a->peak_bytes,
		.max_bytes = a->max_bytes,
		.temporary = a->temporary,
		.failed = rest->failed,
	};
	return &rest->counters;
}

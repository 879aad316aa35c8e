/* sites.c - one walk over the stacks with counters, one sort, and only the rows that are shown are spelled
 * out: a trace has many more stacks than a reader has patience. */
#include "sites.h"

#include "room.h"
#include "trace.h"

#include <stdlib.h>

struct candidate {
	uint64_t key; /* the counter sorted by */
	uint32_t stack;
};

struct candidates {
	struct candidate *items;
	size_t n, cap;
};

static uint64_t value_of(const struct mst_counters *c, size_t offset)
{
	uint64_t v;

	memcpy(&v, (const char *)c + offset, sizeof(v));
	return v;
}

static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->key != y->key)
		return x->key > y->key ? -1 : 1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

/* All stacks that take part, sorted; adds their counters up in sums. */
static struct candidates gather(const struct ranking *ranking, const struct pass *pass, uint64_t *sums)
{
	struct candidates all = {0};

	for (uint32_t stack = 0; stack < mst_replay_n_stacks(pass->replay); stack++) {
		const struct mst_counters *c = mst_replay_stack(pass->replay, stack);
		bool is_any = false;

		for (size_t m = 0; m < ranking->n_metrics; m++) {
			uint64_t v = value_of(c, ranking->metrics[m]);

			sums[m] += v;
			is_any |= v != 0;
		}
		if (!is_any)
			continue;
		all.items = ms_room(all.items, &all.cap, all.n + 1, sizeof(*all.items));
		all.items[all.n++] = (struct candidate){value_of(c, ranking->metrics[pass->options->sort]), stack};
	}
	if (all.n)
		qsort(all.items, all.n, sizeof(*all.items), compare);
	return all;
}

static uint64_t hundredths_of_percent(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)((unsigned __int128)part * 10000 / whole) : 0;
}

static void add_row(const struct ranking *ranking, const struct pass *pass, uint32_t stack, uint64_t whole,
	struct ms_table *rows, struct ms_frames *frames)
{
	const struct mst_counters *c = mst_replay_stack(pass->replay, stack);

	ms_table_row(rows);
	for (size_t m = 0; m < ranking->n_metrics; m++)
		ms_table_number(rows, value_of(c, ranking->metrics[m]));
	ms_table_number(rows, hundredths_of_percent(value_of(c, ranking->metrics[0]), whole));
	ms_table_number(rows, stack);
	ms_trace_frames(pass->reader, stack, frames);
	ms_table_frames(rows, frames->items, frames->n);
}

void sites_rank(const struct ranking *ranking, const struct pass *pass, struct answer *answer)
{
	uint64_t sums[sizeof(struct mst_counters) / sizeof(uint64_t)] = {0};
	struct candidates all = gather(ranking, pass, sums);
	size_t shown = pass->options->top && pass->options->top < all.n ? pass->options->top : all.n;
	uint64_t not_shown = sums[0];
	struct ms_frames frames = {0};

	answer->rows = ms_table_new(ranking->rows, ranking->n_rows);
	answer->rows_key = "sites";
	for (size_t i = 0; i < shown; i++) {
		uint32_t stack = all.items[i].stack;

		not_shown -= value_of(mst_replay_stack(pass->replay, stack), ranking->metrics[0]);
		add_row(ranking, pass, stack, sums[0], answer->rows, &frames);
	}
	answer->head = ms_table_new(ranking->head, ranking->n_head);
	ms_table_row(answer->head);
	for (size_t m = 0; m < ranking->n_sums; m++)
		ms_table_number(answer->head, sums[m]);
	ms_table_number(answer->head, all.n);
	ms_table_number(answer->head, shown);
	ms_table_number(answer->head, not_shown);
	free(all.items);
	free(frames.items);
}

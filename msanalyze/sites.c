/* sites.c - the call stacks as places where blocks are acquired, ranked: three questions of one shape.
 *
 *	leaks	which blocks were never freed? All that live at the end, those of processes that have ended as well: what
 *		a process leaves is its leak. Whether something still pointed at them is not known, and not guessed.
 *	peak	what was live at the instant when most was? The instant is exact, to the event: the highest sum of live
 *		bytes over the running processes.
 *	top	which call stacks allocate most: in calls, in bytes, in what stays, in what goes at once?
 *
 * Each is a list of counters. A stack that has any of them takes part; above the rows stand the sums over all stacks.
 * One walk over the stacks, one sort, and only the rows that are shown are spelled out: a trace has many more stacks
 * than a reader has patience. */
#include "analysis.h"
#include "room.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>

struct measure {
	size_t counter; /* offset in struct mst_counters */
	struct ms_column column;
	const char *sum; /* the title of its sum over the stacks; NULL: added up it means nothing */
};

struct ranking {
	const struct measure *measures; /* in the order of the words of --sort; the share is one of the first */
	size_t n;
	const struct ms_column *more; /* what the question adds to the sums */
	size_t n_more;
};

#define COUNTER(name) offsetof(struct mst_counters, name)
#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

/* ---- what is asked ---- */

static const char *const leaks_words[] = {"bytes", "blocks", NULL};
static const struct measure leaks_measures[] = {
	{COUNTER(live_bytes), {"bytes", "bytes", MS_COLUMN_BYTES}, "bytes live at the end"},
	{COUNTER(live_blocks), {"blocks", "blocks", MS_COLUMN_COUNT}, "blocks"},
};
static const struct ranking leaks = {leaks_measures, LENGTH(leaks_measures), NULL, 0};

static const char *const peak_words[] = {"bytes", "blocks", NULL};
static const struct measure peak_measures[] = {
	{COUNTER(peak_bytes), {"bytes", "bytes", MS_COLUMN_BYTES}, "bytes live at the peak"},
	{COUNTER(peak_blocks), {"blocks", "blocks", MS_COLUMN_COUNT}, "blocks"},
};
static const struct ms_column instant[] = {
	{"time_ns", "reached after", MS_COLUMN_DURATION},
	{"event", "reached by event", MS_COLUMN_COUNT},
};
static const struct ranking peak = {peak_measures, LENGTH(peak_measures), instant, LENGTH(instant)};

static const char *const top_words[] = {"bytes", "calls", "live", "peak", "temporary", "max", NULL};
static const struct measure top_measures[] = {
	{COUNTER(allocated_bytes), {"bytes", "bytes", MS_COLUMN_BYTES}, "bytes acquired"},
	{COUNTER(allocs), {"calls", "calls", MS_COLUMN_COUNT}, "calls"},
	{COUNTER(live_bytes), {"live_bytes", "live", MS_COLUMN_BYTES}, "live at the end"},
	{COUNTER(peak_bytes), {"peak_bytes", "peak", MS_COLUMN_BYTES}, "live at the peak"},
	{COUNTER(temporary), {"temporary", "temporary", MS_COLUMN_COUNT}, "released by the next call"},
	{COUNTER(max_bytes), {"max_bytes", "max", MS_COLUMN_BYTES}, NULL},
};
static const struct ranking top = {top_measures, LENGTH(top_measures), NULL, 0};

_Static_assert(LENGTH(leaks_words) == LENGTH(leaks_measures) + 1 && LENGTH(peak_words) == LENGTH(peak_measures) + 1 &&
		       LENGTH(top_words) == LENGTH(top_measures) + 1,
	"one word of --sort for each counter");

static const struct ms_column counts[] = {
	{"stacks", "call stacks", MS_COLUMN_COUNT},
	{"shown", "shown", MS_COLUMN_COUNT},
	{"bytes_not_shown", "bytes not shown", MS_COLUMN_BYTES},
};

static const struct ms_column site[] = {
	{"percent", "share", MS_COLUMN_PERCENT},
	{"stack", "stack", MS_COLUMN_NUMBER},
	{"frames", "", MS_COLUMN_FRAMES},
};

/* ---- ranking ---- */

struct candidate {
	uint64_t key; /* the counter sorted by */
	uint32_t stack;
};

struct candidates {
	struct candidate *items;
	size_t n, cap;
};

static uint64_t value_of(const struct mst_counters *c, const struct measure *m)
{
	uint64_t v;

	memcpy(&v, (const char *)c + m->counter, sizeof(v));
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
	const struct measure *by = &ranking->measures[pass->options->sort];

	for (uint32_t stack = 0; stack < mst_replay_n_stacks(pass->replay); stack++) {
		const struct mst_counters *c = mst_replay_stack(pass->replay, stack);
		bool is_any = false;

		for (size_t m = 0; m < ranking->n; m++) {
			uint64_t v = value_of(c, &ranking->measures[m]);

			sums[m] += v;
			is_any |= v != 0;
		}
		if (!is_any)
			continue;
		all.items = ms_room(all.items, &all.cap, all.n + 1, sizeof(*all.items));
		all.items[all.n++] = (struct candidate){value_of(c, by), stack};
	}
	if (all.n)
		qsort(all.items, all.n, sizeof(*all.items), compare);
	return all;
}

/* ---- the answer ---- */

static uint64_t hundredths_of_percent(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)((unsigned __int128)part * 10000 / whole) : 0;
}

static void add_row(const struct ranking *ranking, const struct pass *pass, uint32_t stack, uint64_t whole,
	struct ms_table *rows, struct ms_frames *frames)
{
	const struct mst_counters *c = mst_replay_stack(pass->replay, stack);

	ms_table_row(rows);
	for (size_t m = 0; m < ranking->n; m++)
		ms_table_number(rows, value_of(c, &ranking->measures[m]));
	ms_table_number(rows, hundredths_of_percent(value_of(c, &ranking->measures[0]), whole));
	ms_table_number(rows, stack);
	ms_trace_frames(pass->reader, stack, frames);
	ms_table_frames(rows, frames->items, frames->n);
}

static struct ms_table *new_rows(const struct ranking *ranking)
{
	struct ms_column *columns = ms_zeroed(ranking->n + LENGTH(site), sizeof(*columns));
	size_t n = 0;

	for (size_t m = 0; m < ranking->n; m++)
		columns[n++] = ranking->measures[m].column;
	for (size_t i = 0; i < LENGTH(site); i++)
		columns[n++] = site[i];
	struct ms_table *t = ms_table_new(columns, n);

	free(columns);
	return t;
}

static struct ms_table *new_head(const struct ranking *ranking)
{
	struct ms_column *columns = ms_zeroed(ranking->n + LENGTH(counts) + ranking->n_more, sizeof(*columns));
	size_t n = 0;

	for (size_t m = 0; m < ranking->n; m++) {
		columns[n] = ranking->measures[m].column;
		columns[n].title = ranking->measures[m].sum;
		n += ranking->measures[m].sum != NULL;
	}
	for (size_t i = 0; i < LENGTH(counts); i++)
		columns[n++] = counts[i];
	for (size_t i = 0; i < ranking->n_more; i++)
		columns[n++] = ranking->more[i];
	struct ms_table *t = ms_table_new(columns, n);

	free(columns);
	return t;
}

/* Fills *answer; the row of the head stays open for what the question adds. */
static void rank(const struct ranking *ranking, const struct pass *pass, struct answer *answer)
{
	uint64_t sums[sizeof(struct mst_counters) / sizeof(uint64_t)] = {0};
	struct candidates all = gather(ranking, pass, sums);
	size_t shown = pass->options->top && pass->options->top < all.n ? pass->options->top : all.n;
	uint64_t not_shown = sums[0];
	struct ms_frames frames = {0};

	answer->rows = new_rows(ranking);
	answer->rows_key = "sites";
	for (size_t i = 0; i < shown; i++) {
		uint32_t stack = all.items[i].stack;

		not_shown -= value_of(mst_replay_stack(pass->replay, stack), &ranking->measures[0]);
		add_row(ranking, pass, stack, sums[0], answer->rows, &frames);
	}
	answer->head = new_head(ranking);
	ms_table_row(answer->head);
	for (size_t m = 0; m < ranking->n; m++)
		if (ranking->measures[m].sum)
			ms_table_number(answer->head, sums[m]);
	ms_table_number(answer->head, all.n);
	ms_table_number(answer->head, shown);
	ms_table_number(answer->head, not_shown);
	free(all.items);
	free(frames.items);
}

static void end_leaks(void *state, const struct pass *pass, struct answer *answer)
{
	(void)state;
	rank(&leaks, pass, answer);
	answer->is_no = mst_replay_totals(pass->replay)->live_bytes > pass->options->fail_over;
}

static void end_peak(void *state, const struct pass *pass, struct answer *answer)
{
	(void)state;
	rank(&peak, pass, answer);
	if (mst_replay_totals(pass->replay)->peak_bytes == 0)
		return; /* no bytes were ever live: there was no such instant */
	ms_table_number(answer->head, mst_replay_peak_time_ns(pass->replay));
	ms_table_number(answer->head, mst_replay_peak_event(pass->replay));
}

static void end_top(void *state, const struct pass *pass, struct answer *answer)
{
	(void)state;
	rank(&top, pass, answer);
}

#define SORT(words) MS_OPT_ENUM(0, "sort", struct options, sort, words, "order of the rows, largest first (default {})")
#define POOL                                                                                                 \
	MS_OPT_STRING(0, "pool", struct options, pool, "NAME",                                               \
		"count this pool of the program (msrecord --wrap) instead of the heap")

static const struct ms_opt leaks_options[] = {
	SORT(leaks_words),
	POOL,
	MS_OPT_SIZE(0, "fail-over", struct options, fail_over, "BYTES",
		"exit with 1 if more than BYTES are live at the end"),
	MS_OPT_END,
};
static const struct ms_opt peak_options[] = {SORT(peak_words), POOL, MS_OPT_END};
static const struct ms_opt top_options[] = {SORT(top_words), POOL, MS_OPT_END};

const struct analysis analysis_leaks = {
	.name = "leaks",
	.summary = "blocks live at the end, by call stack",
	.options = leaks_options,
	.needs_stacks = true,
	.end = end_leaks,
};

const struct analysis analysis_peak = {
	.name = "peak",
	.summary = "what was live at the exact peak, by call stack",
	.options = peak_options,
	.needs_stacks = true,
	.end = end_peak,
};

const struct analysis analysis_top = {
	.name = "top",
	.summary = "calls, bytes, live, peak and temporary blocks, by call stack",
	.options = top_options,
	.needs_stacks = true,
	.end = end_top,
};

/* peak.c - what was live at the instant when most was?
 *
 * The instant is exact, to the event: the highest sum of live bytes over the running processes. */
#include "sites.h"

static const char *const sort_words[] = {"bytes", "blocks", NULL};

static const size_t metrics[] = {
	offsetof(struct mst_counters, peak_bytes),
	offsetof(struct mst_counters, peak_blocks),
};

static const struct ms_column head[] = {
	{"bytes", "bytes live at the peak", MS_COLUMN_BYTES},
	{"blocks", "blocks", MS_COLUMN_COUNT},
	{"stacks", "call stacks", MS_COLUMN_COUNT},
	{"shown", "shown", MS_COLUMN_COUNT},
	{"bytes_not_shown", "bytes not shown", MS_COLUMN_BYTES},
	{"time_ns", "reached after", MS_COLUMN_DURATION},
	{"event", "reached by event", MS_COLUMN_COUNT},
};

static const struct ms_column rows[] = {
	{"bytes", "bytes", MS_COLUMN_BYTES},
	{"blocks", "blocks", MS_COLUMN_COUNT},
	{"percent", "share", MS_COLUMN_PERCENT},
	{"stack", "stack", MS_COLUMN_NUMBER},
	{"frames", "", MS_COLUMN_FRAMES},
};

static const struct ranking ranking = {metrics, sizeof(metrics) / sizeof(*metrics), 2, head,
	sizeof(head) / sizeof(*head), rows, sizeof(rows) / sizeof(*rows)};

static const struct ms_opt options[] = {
	MS_OPT_ENUM(
		0, "sort", struct options, sort, sort_words, "order of the rows, largest first (default {})"),
	MS_OPT_END,
};

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	(void)state;
	sites_rank(&ranking, pass, answer);
	if (mst_replay_totals(pass->replay)->peak_bytes == 0)
		return; /* no bytes were ever live: there was no such instant */
	ms_table_number(answer->head, mst_replay_peak_time_ns(pass->replay));
	ms_table_number(answer->head, mst_replay_peak_event(pass->replay));
}

const struct analysis analysis_peak = {
	.name = "peak",
	.summary = "what was live at the exact peak, by call stack",
	.options = options,
	.needs_stacks = true,
	.end = end,
};

/* top.c - which call stacks allocate most: in calls, in bytes, in what stays, in what goes at once? */
#include "sites.h"

static const char *const sort_words[] = {"bytes", "calls", "live", "peak", "temporary", "max", NULL};

static const size_t metrics[] = {
	offsetof(struct mst_counters, allocated_bytes),
	offsetof(struct mst_counters, allocs),
	offsetof(struct mst_counters, live_bytes),
	offsetof(struct mst_counters, peak_bytes),
	offsetof(struct mst_counters, temporary),
	offsetof(struct mst_counters, max_bytes),
};

static const struct ms_column head[] = {
	{"bytes", "bytes acquired", MS_COLUMN_BYTES},
	{"calls", "calls", MS_COLUMN_COUNT},
	{"live_bytes", "live at the end", MS_COLUMN_BYTES},
	{"peak_bytes", "live at the peak", MS_COLUMN_BYTES},
	{"temporary", "released by the next call", MS_COLUMN_COUNT},
	{"stacks", "call stacks", MS_COLUMN_COUNT},
	{"shown", "shown", MS_COLUMN_COUNT},
	{"bytes_not_shown", "bytes not shown", MS_COLUMN_BYTES},
};

static const struct ms_column rows[] = {
	{"bytes", "bytes", MS_COLUMN_BYTES},
	{"calls", "calls", MS_COLUMN_COUNT},
	{"live_bytes", "live", MS_COLUMN_BYTES},
	{"peak_bytes", "peak", MS_COLUMN_BYTES},
	{"temporary", "temporary", MS_COLUMN_COUNT},
	{"max_bytes", "max", MS_COLUMN_BYTES},
	{"percent", "share", MS_COLUMN_PERCENT},
	{"stack", "stack", MS_COLUMN_NUMBER},
	{"frames", "", MS_COLUMN_FRAMES},
};

static const struct ranking ranking = {metrics, sizeof(metrics) / sizeof(*metrics), 5, head,
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
}

const struct analysis analysis_top = {
	.name = "top",
	.summary = "calls, bytes, live, peak and temporary blocks, by call stack",
	.options = options,
	.needs_stacks = true,
	.end = end,
};

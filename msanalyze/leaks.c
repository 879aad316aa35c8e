/* leaks.c - which blocks were never freed, and where did they come from?
 *
 * All blocks live at the end count, those of processes that have ended as well: what a process leaves is its
 * leak. Whether something still pointed at them is not known, and not guessed. */
#include "sites.h"

static const char *const sort_words[] = {"bytes", "blocks", NULL};

static const size_t metrics[] = {
	offsetof(struct mst_counters, live_bytes),
	offsetof(struct mst_counters, live_blocks),
};

static const struct ms_column head[] = {
	{"bytes", "bytes live at the end", MS_COLUMN_BYTES},
	{"blocks", "blocks", MS_COLUMN_COUNT},
	{"stacks", "call stacks", MS_COLUMN_COUNT},
	{"shown", "shown", MS_COLUMN_COUNT},
	{"bytes_not_shown", "bytes not shown", MS_COLUMN_BYTES},
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
	MS_OPT_SIZE(0, "fail-over", struct options, fail_over, "BYTES",
		"exit with 1 if more than BYTES are live at the end"),
	MS_OPT_END,
};

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	(void)state;
	sites_rank(&ranking, pass, answer);
	answer->is_no = mst_replay_totals(pass->replay)->live_bytes > pass->options->fail_over;
}

const struct analysis analysis_leaks = {
	.name = "leaks",
	.summary = "blocks live at the end, by call stack",
	.options = options,
	.needs_stacks = true,
	.end = end,
};

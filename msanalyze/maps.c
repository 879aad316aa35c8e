/* maps.c - what the program mapped: which call, how much, how long, and what is still there.
 *
 * struct mst_spaces knows what each call did. Regions that are gone are kept as rows only as far as they can be among those
 * shown; the rest is summed up, so memory does not grow with the calls. */
#include "analysis.h"
#include "protection.h"
#include "report.h"
#include "room.h"
#include "trace.h"

#include <stdlib.h>

enum { KEPT_AT_LEAST = 65536 };

struct state {
	const struct pass *pass;
	struct mst_spaces *spaces;
	struct mst_mapped *gone;
	size_t n_gone, cap_gone;
	uint64_t left_bytes;
};

static const char *const sort_words[] = {"peak", "size", "live", "lifetime", NULL};

static const struct ms_column head[] = {
	{"regions", "regions", MS_COLUMN_COUNT},
	{"bytes", "bytes mapped", MS_COLUMN_BYTES},
	{"peak_bytes", "peak", MS_COLUMN_BYTES},
	{"peak_time_ns", "peak reached after", MS_COLUMN_DURATION},
	{"live_bytes", "mapped at the end", MS_COLUMN_BYTES},
	{"initial_regions", "regions from before the start", MS_COLUMN_COUNT},
	{"initial_bytes", "bytes from before the start", MS_COLUMN_BYTES},
	{"calls", "calls", MS_COLUMN_COUNT},
	{"failed", "failed calls", MS_COLUMN_COUNT},
	{"shown", "regions shown", MS_COLUMN_COUNT},
	{"dropped_events", "events dropped (flight recorder)", MS_COLUMN_COUNT},
};

static const struct ms_column rows[] = {
	{"pid", "pid", MS_COLUMN_NUMBER},
	{"start", "address", MS_COLUMN_HEX},
	{"size_bytes", "size", MS_COLUMN_BYTES},
	{"peak_bytes", "peak", MS_COLUMN_BYTES},
	{"live_bytes", "live", MS_COLUMN_BYTES},
	{"mapped_ns", "mapped", MS_COLUMN_DURATION},
	{"unmapped_ns", "unmapped", MS_COLUMN_DURATION},
	{"lifetime_ns", "lifetime", MS_COLUMN_DURATION},
	{"kind", "kind", MS_COLUMN_STRING},
	{"initial", "initial", MS_COLUMN_BOOL},
	{"prot", "prot", MS_COLUMN_STRING},
	{"shared", "shared", MS_COLUMN_BOOL},
	{"file", "file", MS_COLUMN_STRING},
	{"stack", "stack", MS_COLUMN_NUMBER},
	{"frames", "", MS_COLUMN_FRAMES},
};

static const struct ms_opt options[] = {
	MS_OPT_ENUM(
		0, "sort", struct options, sort, sort_words, "order of the rows, largest first (default {})"),
	MS_OPT_END,
};

/* ---- regions that are gone ---- */

/* Until when it was there, as far as has been read. */
static uint64_t end_of(const struct state *s, const struct mst_mapped *r)
{
	const struct mst_process *p = mst_reader_process(s->pass->reader, r->process);

	if (r->unmapped_ns != UINT64_MAX)
		return r->unmapped_ns;
	return p && p->fate != MST_FATE_RUNNING ? p->end_ns : s->pass->last_ns;
}

static uint64_t lifetime_of(const struct state *s, const struct mst_mapped *r)
{
	uint64_t end = end_of(s, r);

	return end > r->mapped_ns ? end - r->mapped_ns : 0;
}

static uint64_t key_of(const struct state *s, const struct mst_mapped *r)
{
	switch (s->pass->options->sort) {
	case 1:
		return r->size;
	case 2:
		return r->live_bytes;
	case 3:
		return lifetime_of(s, r);
	default:
		return r->peak_bytes;
	}
}

static int by_key(const void *a, const void *b, void *ctx)
{
	const struct mst_mapped *x = a, *y = b;
	uint64_t kx = key_of(ctx, x), ky = key_of(ctx, y);

	if (kx != ky)
		return kx > ky ? -1 : 1;
	if (x->is_initial != y->is_initial)
		return x->is_initial ? 1 : -1;
	if (x->event != y->event)
		return x->event < y->event ? -1 : 1;
	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static void sort_gone(struct state *s)
{
	if (s->n_gone)
		qsort_r(s->gone, s->n_gone, sizeof(*s->gone), by_key, s);
}

static void keep_gone(void *ctx, const struct mst_mapped *r)
{
	struct state *s = ctx;
	size_t top = s->pass->options->top;

	if (top && s->n_gone >= KEPT_AT_LEAST && s->n_gone >= 4 * top) {
		sort_gone(s);
		s->n_gone = top;
	}
	s->gone = ms_room(s->gone, &s->cap_gone, s->n_gone + 1, sizeof(*s->gone));
	s->gone[s->n_gone++] = *r;
	if (!r->is_initial)
		s->left_bytes += r->live_bytes;
}

/* ---- the analysis ---- */

static void *begin(const struct pass *pass)
{
	struct state *s = ms_zeroed(1, sizeof(*s));
	const struct mst_spaces_options counting = {
		.only_pid = (uint32_t)pass->options->pid, .gone = keep_gone, .ctx = s};

	s->pass = pass;
	if (mst_spaces_new(pass->reader, &counting, &s->spaces) < 0)
		ms_die("out of memory");
	return s;
}

static void events(void *state, const struct pass *pass, const struct mst_event *events, size_t n)
{
	struct state *s = state;

	(void)pass;
	if (mst_spaces_apply_batch(s->spaces, events, n) < 0)
		ms_die("out of memory");
}

static void add_protection(struct ms_table *t, uint32_t prot)
{
	struct ms_out text;

	ms_out_init_memory(&text);
	ms_protection_print(&text, prot);
	ms_table_string(t, ms_out_text(&text));
	ms_out_release(&text);
}

static void add_row(const struct state *s, const struct mst_mapped *r, struct ms_table *t, struct ms_frames *frames)
{
	static const char *const kinds[] = {"anonymous", "file", "stack", "heap"};
	const struct mst_process *p = mst_reader_process(s->pass->reader, r->process);
	size_t n;
	const char *file = mst_reader_string(s->pass->reader, r->file, &n);

	ms_table_row(t);
	ms_table_number(t, p ? p->pid : 0);
	ms_table_number(t, r->start);
	ms_table_number(t, r->size);
	ms_table_number(t, r->peak_bytes);
	ms_table_number(t, r->live_bytes);
	ms_table_number(t, r->mapped_ns);
	if (r->unmapped_ns == UINT64_MAX)
		ms_table_absent(t);
	else
		ms_table_number(t, r->unmapped_ns);
	ms_table_number(t, lifetime_of(s, r));
	ms_table_string(t, kinds[r->kind]);
	ms_table_number(t, r->is_initial);
	add_protection(t, r->prot);
	ms_table_number(t, r->is_shared);
	if (n)
		ms_table_stringn(t, file, n);
	else
		ms_table_absent(t);
	ms_table_number(t, r->stack);
	ms_trace_frames(s->pass->reader, r->stack, frames);
	ms_table_frames(t, frames->items, frames->n);
}

static void fill_head(const struct state *s, struct ms_table *t, size_t shown)
{
	const struct mst_checkpoint *before = mst_reader_checkpoint(s->pass->reader);
	const struct mst_mapped_totals *totals = mst_spaces_totals(s->spaces);

	ms_table_row(t);
	ms_table_number(t, totals->regions);
	ms_table_number(t, totals->bytes);
	ms_table_number(t, totals->peak_bytes);
	if (totals->peak_bytes)
		ms_table_number(t, totals->peak_ns);
	else
		ms_table_absent(t);
	ms_table_number(t, s->left_bytes);
	ms_table_number(t, totals->initial_regions);
	ms_table_number(t, totals->initial_bytes);
	ms_table_number(t, totals->calls);
	ms_table_number(t, totals->failed);
	ms_table_number(t, shown);
	ms_table_number(t, before ? before->event : 0);
}

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	struct state *s = state;
	struct ms_frames frames = {0};

	if (mst_spaces_end(s->spaces) < 0)
		ms_die("out of memory");
	sort_gone(s);
	size_t shown = pass->options->top && pass->options->top < s->n_gone ? pass->options->top : s->n_gone;

	answer->rows = ms_table_new(rows, sizeof(rows) / sizeof(*rows));
	answer->rows_key = "maps";
	for (size_t i = 0; i < shown; i++)
		add_row(s, &s->gone[i], answer->rows, &frames);
	answer->head = ms_table_new(head, sizeof(head) / sizeof(*head));
	fill_head(s, answer->head, shown);
	free(frames.items);
	free(s->gone);
	mst_spaces_free(s->spaces);
	free(s);
}

const struct analysis analysis_maps = {
	.name = "maps",
	.summary = "what the program mapped, by region: who, how much, how long",
	.options = options,
	.needs_stacks = true,
	.needs_maps = true,
	.lacks_spaces = "regions that the dropped events mapped are not known; those from before the start which they "
			"unmapped are shown as if they were still there",
	.begin = begin,
	.events = events,
	.end = end,
};

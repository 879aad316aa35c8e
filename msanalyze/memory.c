/* memory.c - what did the kernel count for each process, and how much of it was the heap?
 *
 * Each sample stands at a place among the events, so the live bytes beside it are exact: what the replay of all
 * events before that place has. Rows are kept until the end (one per sample, never per event), since only then it
 * is known how long it took and how high it went; --points thins them out, the highest staying. */
#include "analysis.h"
#include "room.h"

#include <stdlib.h>
#include <string.h>

enum { BAR_WIDTH = 30 };
#define UNKNOWN UINT64_MAX

struct row {
	uint64_t time_ns;
	uint32_t process;
	bool is_kept;
	uint64_t rss, pss, uss, anon, swap; /* UNKNOWN: not known */
	uint64_t heap;
	uint64_t total_pss; /* of all running processes, each by its latest sample that knew; UNKNOWN: one never did */
};

/* A process, by its id. */
struct subject {
	uint64_t pss;	 /* the latest */
	uint64_t max_rss;
	size_t best;	 /* row of the present bucket, SIZE_MAX: none */
	size_t last;	 /* row */
	bool is_running, is_chosen;
};

struct state {
	struct row *rows;
	size_t n, cap;
	struct subject *subjects;
	size_t n_subjects; /* ids below it have a place */
	uint32_t *running;   /* process ids; each once */
	size_t n_running, cap_running;
	uint64_t n_samples, cost_ns;
	struct row max, last; /* the highest RSS, and the latest */
	uint64_t max_total_pss;
	struct mst_sample group; /* the latest of any, with the greatest memory in use */
};

static const struct ms_opt options[] = {
	MS_OPT_COUNT(0, "points", struct options, points, "N",
		"show at most N samples of each process, the highest of each stretch of time; 0: all (default {})"),
	MS_OPT_END,
};

static const struct ms_column head[] = {
	{"n_samples", "samples", MS_COLUMN_COUNT},
	{"n_shown", "shown", MS_COLUMN_COUNT},
	{"max_rss_bytes", "highest RSS", MS_COLUMN_BYTES},
	{"max_rss_time_ns", "reached after", MS_COLUMN_DURATION},
	{"max_rss_heap_bytes", "live heap then", MS_COLUMN_BYTES},
	{"last_rss_bytes", "last RSS", MS_COLUMN_BYTES},
	{"last_heap_bytes", "live heap then", MS_COLUMN_BYTES},
	{"max_total_pss_bytes", "highest PSS of all together", MS_COLUMN_BYTES},
	{"group_max_current_bytes", "control group, highest", MS_COLUMN_BYTES},
	{"group_limit_bytes", "control group, limit", MS_COLUMN_BYTES},
	{"group_oom_kills", "control group, processes killed", MS_COLUMN_COUNT},
	{"sampling_ns", "time spent on samples", MS_COLUMN_DURATION},
};

static const struct ms_column rows[] = {
	{"time_ns", "time", MS_COLUMN_DURATION},
	{"pid", "pid", MS_COLUMN_NUMBER},
	{"rss_bytes", "rss", MS_COLUMN_BYTES},
	{"pss_bytes", "pss", MS_COLUMN_BYTES},
	{"uss_bytes", "uss", MS_COLUMN_BYTES},
	{"anon_bytes", "anon", MS_COLUMN_BYTES},
	{"swap_bytes", "swap", MS_COLUMN_BYTES},
	{"heap_bytes", "live heap", MS_COLUMN_BYTES},
	{"rss_minus_heap_bytes", "rss - heap", MS_COLUMN_DIFFERENCE},
	{"total_pss_bytes", "total pss", MS_COLUMN_BYTES},
	{"bar", "heap # and rss =", MS_COLUMN_STRING}, /* text only */
};
enum { N_ROW_COLUMNS = sizeof(rows) / sizeof(*rows) };

static void *begin(const struct pass *pass)
{
	(void)pass;
	return ms_zeroed(1, sizeof(struct state));
}

static struct subject *subject_of(struct state *s, uint32_t process)
{
	s->subjects = ms_room_zeroed(s->subjects, &s->n_subjects, process + (size_t)1, sizeof(*s->subjects));
	return &s->subjects[process];
}

static uint64_t field(const struct mst_sample *sample, unsigned field)
{
	return sample->known >> field & 1 ? sample->value[field] : UNKNOWN;
}

/* The sum over those that run at this place. */
static uint64_t total_pss(struct state *s, const struct mst_reader *r, uint64_t event)
{
	uint64_t total = 0;
	size_t kept = 0;

	for (size_t i = 0; i < s->n_running; i++) {
		uint32_t id = s->running[i];
		const struct mst_process *p = mst_reader_process(r, id);

		if (p && p->fate != MST_FATE_RUNNING && p->end_event < event) {
			s->subjects[id].is_running = false;
			continue;
		}
		s->running[kept++] = id;
		if (s->subjects[id].pss == UNKNOWN)
			total = UNKNOWN;
		else if (total != UNKNOWN)
			total += s->subjects[id].pss;
	}
	s->n_running = kept;
	return total;
}

static void take_group(struct state *s, const struct mst_sample *sample)
{
	uint64_t before = s->group.value[MST_SAMPLE_GROUP_CURRENT];

	if (field(sample, MST_SAMPLE_GROUP_CURRENT) == UNKNOWN)
		return;
	s->group = *sample;
	if (s->group.value[MST_SAMPLE_GROUP_CURRENT] < before)
		s->group.value[MST_SAMPLE_GROUP_CURRENT] = before;
}

static void take_process(struct state *s, const struct pass *pass, const struct mst_sample *sample)
{
	const struct mst_counters *heap = mst_replay_process(pass->replay, sample->process);
	struct subject *subject = subject_of(s, sample->process);
	struct row row = {
		.time_ns = sample->time_ns,
		.process = sample->process,
		.rss = field(sample, MST_SAMPLE_RSS),
		.pss = field(sample, MST_SAMPLE_PSS),
		.anon = field(sample, MST_SAMPLE_ANON),
		.swap = field(sample, MST_SAMPLE_SWAP),
		.heap = heap ? heap->live_bytes : 0,
	};

	if (!mst_sample_uss(sample, &row.uss))
		row.uss = UNKNOWN;
	if (!subject->is_running) {
		s->running = ms_room(s->running, &s->cap_running, s->n_running + 1, sizeof(*s->running));
		s->running[s->n_running++] = sample->process;
		*subject = (struct subject){.pss = UNKNOWN, .max_rss = subject->max_rss, .is_running = true};
	}
	if (row.pss != UNKNOWN)
		subject->pss = row.pss;
	if (row.rss > subject->max_rss)
		subject->max_rss = row.rss;
	row.total_pss = total_pss(s, pass->reader, sample->event);
	if (row.total_pss != UNKNOWN && row.total_pss > s->max_total_pss)
		s->max_total_pss = row.total_pss;
	if (s->n == 0 || row.rss > s->max.rss)
		s->max = row;
	s->last = row;
	s->rows = ms_room(s->rows, &s->cap, s->n + 1, sizeof(*s->rows));
	s->rows[s->n++] = row;
}

static bool is_wanted(const struct pass *pass, uint32_t process)
{
	const struct mst_process *p = mst_reader_process(pass->reader, process);

	return pass->options->pid == 0 || (p && p->pid == pass->options->pid);
}

static void sample(void *state, const struct pass *pass, const struct mst_sample *sample)
{
	struct state *s = state;

	if (sample->process == 0) {
		if (sample->group)
			take_group(s, sample);
		s->cost_ns += sample->group ? sample->cost_ns : 0;
		return;
	}
	if (!is_wanted(pass, sample->process) || field(sample, MST_SAMPLE_RSS) == UNKNOWN)
		return;
	s->n_samples++;
	s->cost_ns += sample->cost_ns;
	take_process(s, pass, sample);
}

/* ---- what is shown ---- */

/* The --top processes by their highest RSS. */
static void choose(struct state *s, uint64_t top)
{
	for (uint64_t k = 0; top == 0 || k < top; k++) {
		struct subject *best = NULL;

		for (size_t id = 0; id < s->n_subjects; id++) {
			struct subject *at = &s->subjects[id];

			if (at->max_rss && !at->is_chosen && (!best || at->max_rss > best->max_rss))
				best = at;
		}
		if (!best)
			break;
		best->is_chosen = true;
	}
}

/* Marks, of each process, the highest row of each of `points` stretches of time, and its last one. Returns how many. */
static size_t thin(struct state *s, uint64_t points)
{
	uint64_t span = s->n ? s->rows[s->n - 1].time_ns - s->rows[0].time_ns + 1 : 1, stretch = 0;
	size_t n = 0;

	for (size_t i = 0; i < s->n_subjects; i++)
		s->subjects[i].best = s->subjects[i].last = SIZE_MAX;
	for (size_t i = 0; i < s->n; i++) {
		struct subject *subject = &s->subjects[s->rows[i].process];
		uint64_t at = points ? (uint64_t)((unsigned __int128)(s->rows[i].time_ns - s->rows[0].time_ns) * points / span)
				     : 0;

		if (points && at != stretch) /* a new one, for everybody */
			for (size_t k = 0; k < s->n_subjects; k++)
				s->subjects[k].best = SIZE_MAX;
		stretch = at;
		subject->last = i;
		if (!subject->is_chosen)
			continue;
		if (points && subject->best != SIZE_MAX) {
			if (s->rows[i].rss < s->rows[subject->best].rss)
				continue;
			s->rows[subject->best].is_kept = false;
		}
		subject->best = i;
		s->rows[i].is_kept = true;
	}
	for (size_t i = 0; i < s->n_subjects; i++)
		if (s->subjects[i].last != SIZE_MAX && s->subjects[i].is_chosen)
			s->rows[s->subjects[i].last].is_kept = true;
	for (size_t i = 0; i < s->n; i++)
		n += s->rows[i].is_kept;
	return n;
}

static void add_known(struct ms_table *t, uint64_t v)
{
	if (v == UNKNOWN)
		ms_table_absent(t);
	else
		ms_table_number(t, v);
}

static size_t part(uint64_t v, uint64_t of)
{
	return of ? (size_t)((double)v / (double)of * BAR_WIDTH + 0.5) : 0;
}

/* '#' for the heap, '=' for what is resident beyond it; '.' for live heap that is not resident. */
static void add_bar(struct ms_table *t, const struct row *row, uint64_t scale)
{
	char bar[BAR_WIDTH + 1];
	size_t rss = part(row->rss, scale), heap = part(row->heap, scale);

	for (size_t i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < heap && i < rss ? '#' : i < rss ? '=' : i < heap ? '.' : ' ';
	ms_table_stringn(t, bar, BAR_WIDTH);
}

static void add_row(struct ms_table *t, const struct pass *pass, const struct row *row, uint64_t scale)
{
	const struct mst_process *p = mst_reader_process(pass->reader, row->process);

	ms_table_row(t);
	ms_table_number(t, row->time_ns);
	if (p)
		ms_table_number(t, p->pid);
	else
		ms_table_absent(t);
	ms_table_number(t, row->rss);
	add_known(t, row->pss);
	add_known(t, row->uss);
	add_known(t, row->anon);
	add_known(t, row->swap);
	ms_table_number(t, row->heap);
	ms_table_number(t, row->rss - row->heap);
	add_known(t, row->total_pss);
	if (pass->options->format == MS_FORMAT_TEXT)
		add_bar(t, row, scale);
}

static uint64_t scale_of(const struct state *s)
{
	uint64_t scale = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->rows[i].rss > scale)
			scale = s->rows[i].rss;
		if (s->rows[i].heap > scale)
			scale = s->rows[i].heap;
	}
	return scale;
}

static void fill_head(struct ms_table *t, const struct state *s, size_t n_shown)
{
	uint64_t limit = field(&s->group, MST_SAMPLE_GROUP_MAX);

	ms_table_row(t);
	ms_table_number(t, s->n_samples);
	ms_table_number(t, n_shown);
	add_known(t, s->n ? s->max.rss : UNKNOWN);
	add_known(t, s->n ? s->max.time_ns : UNKNOWN);
	add_known(t, s->n ? s->max.heap : UNKNOWN);
	add_known(t, s->n ? s->last.rss : UNKNOWN);
	add_known(t, s->n ? s->last.heap : UNKNOWN);
	add_known(t, s->max_total_pss ? s->max_total_pss : UNKNOWN);
	add_known(t, field(&s->group, MST_SAMPLE_GROUP_CURRENT));
	add_known(t, limit == MST_NO_LIMIT ? UNKNOWN : limit);
	add_known(t, field(&s->group, MST_SAMPLE_GROUP_OOM_KILLS));
	ms_table_number(t, s->cost_ns);
}

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	struct state *s = state;
	size_t n_columns = pass->options->format == MS_FORMAT_TEXT ? N_ROW_COLUMNS : N_ROW_COLUMNS - 1;

	choose(s, pass->options->top);
	size_t n_shown = thin(s, pass->options->points);
	uint64_t scale = scale_of(s);

	answer->head = ms_table_new(head, sizeof(head) / sizeof(*head));
	fill_head(answer->head, s, n_shown);
	answer->rows = ms_table_new(rows, n_columns);
	answer->rows_key = "samples";
	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].is_kept)
			add_row(answer->rows, pass, &s->rows[i], scale);
	free(s->rows);
	free(s->subjects);
	free(s->running);
	free(s);
}

const struct analysis analysis_memory = {
	.name = "memory",
	.summary = "resident memory over time, beside the live heap",
	.options = options,
	.begin = begin,
	.sample = sample,
	.end = end,
};

/* processes.c - every process image of the trace: whence it came, what it did with the heap, how it ended.
 *
 * An exec begins another image of the same pid, with a row of its own. Programs that could not be recorded are here by name. */
#include "analysis.h"
#include "room.h"

#include <stdlib.h>

static const struct ms_column head[] = {
	{"n_processes", "process images", MS_COLUMN_COUNT},
	{"killed", "killed by a signal", MS_COLUMN_COUNT},
	{"unfinished", "still running at the end", MS_COLUMN_COUNT},
	{"unrecorded", "not recorded", MS_COLUMN_COUNT},
};

static const struct ms_column rows[] = {
	{"pid", "pid", MS_COLUMN_NUMBER},
	{"parent_pid", "parent", MS_COLUMN_NUMBER},
	{"began", "began by", MS_COLUMN_STRING},
	{"start_ns", "began", MS_COLUMN_DURATION},
	{"end_ns", "ended", MS_COLUMN_DURATION},
	{"ended", "ended by", MS_COLUMN_STRING},
	{"status", "status", MS_COLUMN_NUMBER},
	{"threads", "threads", MS_COLUMN_COUNT},
	{"allocations", "allocations", MS_COLUMN_COUNT},
	{"frees", "frees", MS_COLUMN_COUNT},
	{"max_bytes", "highest", MS_COLUMN_BYTES},
	{"live_blocks", "blocks left", MS_COLUMN_COUNT},
	{"live_bytes", "left", MS_COLUMN_BYTES},
	{"lost_events", "lost", MS_COLUMN_COUNT},
	{"unrecorded_since", "not recorded since", MS_COLUMN_STRING},
	{"program", "program", MS_COLUMN_STRING},
	{"command", "command", MS_COLUMN_STRING},
};

static const char *began_by(const struct mst_process *p)
{
	static const char *const words[] = {
		[MST_ORIGIN_START] = "start",
		[MST_ORIGIN_FORK] = "fork",
		[MST_ORIGIN_EXEC] = "exec",
		[MST_ORIGIN_ATTACH] = "attach",
	};

	return p->origin < sizeof(words) / sizeof(*words) ? words[p->origin] : NULL;
}

static const char *ended_by(const struct mst_process *p)
{
	static const char *const words[] = {
		[MST_FATE_EXITED] = "exit",
		[MST_FATE_KILLED] = "signal",
		[MST_FATE_EXEC] = "exec",
		[MST_FATE_GONE] = "unknown",
		[MST_FATE_UNFINISHED] = "still running",
	};

	return p->fate < sizeof(words) / sizeof(*words) ? words[p->fate] : NULL;
}

static void add_number(struct ms_table *t, bool is_known, uint64_t v)
{
	if (is_known)
		ms_table_number(t, v);
	else
		ms_table_absent(t);
}

static void add_life(const struct mst_reader *r, const struct mst_process *p, struct ms_table *t)
{
	const struct mst_process *parent = mst_reader_process(r, p->parent);
	bool has_status = p->fate == MST_FATE_EXITED || p->fate == MST_FATE_KILLED;

	add_number(t, p->pid != 0, p->pid);
	add_number(t, parent != NULL, parent ? parent->pid : 0);
	ms_table_string(t, began_by(p));
	ms_table_number(t, p->start_ns);
	add_number(t, ended_by(p) != NULL, p->end_ns);
	ms_table_string(t, ended_by(p));
	add_number(t, has_status, (uint64_t)(uint32_t)p->status);
}

static void add_heap(const struct mst_counters *c, struct ms_table *t)
{
	ms_table_number(t, c->allocs);
	ms_table_number(t, c->frees);
	ms_table_number(t, c->max_bytes);
	ms_table_number(t, c->live_blocks);
	ms_table_number(t, c->live_bytes);
}

/* Its arguments are joined by blanks. */
static void add_names(const struct mst_reader *r, const struct mst_process *p, struct ms_table *t)
{
	size_t n = 0;
	const char *exe = mst_reader_string(r, p->exe, &n);

	if (n)
		ms_table_stringn(t, exe, n);
	else
		ms_table_absent(t);
	const char *args = mst_reader_string(r, p->cmdline, &n);
	char *line = ms_zeroed(n + 1, 1);

	for (size_t i = 0; i < n; i++)
		line[i] = args[i] ? args[i] : ' ';
	if (n)
		ms_table_stringn(t, line, n);
	else
		ms_table_absent(t);
	free(line);
}

static void add_row(
	const struct pass *pass, uint32_t id, const struct mst_process *p, uint64_t n_threads, struct ms_table *t)
{
	const struct mst_counters none = {0}, *c = mst_replay_process(pass->replay, id);

	ms_table_row(t);
	add_life(pass->reader, p, t);
	ms_table_number(t, n_threads);
	add_heap(c ? c : &none, t);
	ms_table_number(t, p->lost_events);
	ms_table_string(t, p->fate == MST_FATE_UNRECORDED ? mst_obstacle_text((unsigned)p->status) : NULL);
	add_names(pass->reader, p, t);
}

/* By process id. */
static uint64_t *count_threads(const struct mst_reader *r)
{
	uint32_t n = mst_reader_n_processes(r);
	uint64_t *threads = ms_zeroed((size_t)n + 1, sizeof(*threads));

	for (uint32_t id = 1; id <= mst_reader_n_threads(r); id++) {
		const struct mst_thread *thread = mst_reader_thread(r, id);

		if (thread && thread->process <= n)
			threads[thread->process]++;
	}
	return threads;
}

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	const struct mst_reader *r = pass->reader;
	uint64_t *threads = count_threads(r), n = 0, fates[MST_FATE_UNRECORDED + 1] = {0};

	(void)state;
	answer->rows = ms_table_new(rows, sizeof(rows) / sizeof(*rows));
	answer->rows_key = "processes";
	for (uint32_t id = 1; id <= mst_reader_n_processes(r); id++) {
		const struct mst_process *p = mst_reader_process(r, id);

		if (!p || (pass->options->pid && p->pid != pass->options->pid))
			continue;
		if (p->fate <= MST_FATE_UNRECORDED)
			fates[p->fate]++;
		n++;
		if (!pass->options->top || n <= pass->options->top)
			add_row(pass, id, p, threads[id], answer->rows);
	}
	answer->head = ms_table_new(head, sizeof(head) / sizeof(*head));
	ms_table_row(answer->head);
	ms_table_number(answer->head, n);
	ms_table_number(answer->head, fates[MST_FATE_KILLED]);
	ms_table_number(answer->head, fates[MST_FATE_RUNNING] + fates[MST_FATE_UNFINISHED]);
	ms_table_number(answer->head, fates[MST_FATE_UNRECORDED]);
	free(threads);
}

const struct analysis analysis_processes = {
	.name = "processes",
	.summary = "every process image: whence it came, what it left, how it ended",
	.end = end,
};

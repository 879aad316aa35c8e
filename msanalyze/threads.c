/* threads.c - every thread that called the heap: its last name, when it began and ended, how much it did. */
#include "analysis.h"
#include "room.h"

#include <stdlib.h>

static const struct ms_column head[] = {
	{"n_threads", "threads", MS_COLUMN_COUNT},
	{"calls", "calls", MS_COLUMN_COUNT},
};

static const struct ms_column rows[] = {
	{"pid", "pid", MS_COLUMN_NUMBER},
	{"tid", "tid", MS_COLUMN_NUMBER},
	{"name", "name", MS_COLUMN_STRING},
	{"start_ns", "began", MS_COLUMN_DURATION},
	{"end_ns", "ended", MS_COLUMN_DURATION},
	{"calls", "calls", MS_COLUMN_COUNT},
	{"acquired_bytes", "acquired", MS_COLUMN_BYTES},
	{"released_bytes", "released", MS_COLUMN_BYTES},
	{"lost_events", "lost", MS_COLUMN_COUNT},
};

struct work {
	uint64_t calls, acquired, released; /* bytes */
};

struct state {
	struct work *work; /* by thread id */
	size_t n, cap;
};

static void *begin(const struct pass *pass)
{
	(void)pass;
	return ms_zeroed(1, sizeof(struct state));
}

static struct work *work_of(struct state *s, uint32_t thread)
{
	if (thread >= s->n) {
		s->work = ms_room_zeroed(s->work, &s->cap, (size_t)thread + 1, sizeof(*s->work));
		s->n = (size_t)thread + 1;
	}
	return &s->work[thread];
}

static void events(void *state, const struct pass *pass, const struct mst_event *ev, size_t n)
{
	(void)pass;
	for (size_t i = 0; i < n; i++) {
		if (!mst_op_is_heap(ev[i].op))
			continue;
		struct work *work = work_of(state, ev[i].thread);

		work->calls += ev[i].op != MST_OP_REALLOC_END; /* the second half of one */
		if (mst_op_acquires(ev[i].op) && !(ev[i].flags & MST_EV_FAILED))
			work->acquired += ev[i].size;
	}
}

static void released(void *state, const struct mst_event *ev, const struct mst_block *block)
{
	work_of(state, ev->thread)->released += block->size;
}

static void add_row(
	const struct mst_reader *r, const struct mst_thread *t, uint32_t pid, const struct work *work, struct ms_table *out)
{
	size_t n = 0;
	const char *name = mst_reader_string(r, t->name, &n);

	ms_table_row(out);
	ms_table_number(out, pid);
	ms_table_number(out, t->tid);
	if (n)
		ms_table_stringn(out, name, n);
	else
		ms_table_absent(out);
	ms_table_number(out, t->start_ns);
	if (t->end_ns == UINT64_MAX)
		ms_table_absent(out);
	else
		ms_table_number(out, t->end_ns);
	ms_table_number(out, work->calls);
	ms_table_number(out, work->acquired);
	ms_table_number(out, work->released);
	ms_table_number(out, t->lost_events);
}

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	const struct work idle = {0};
	const struct mst_reader *r = pass->reader;
	struct state *s = state;
	uint64_t n = 0, calls = 0;

	answer->rows = ms_table_new(rows, sizeof(rows) / sizeof(*rows));
	answer->rows_key = "threads";
	for (uint32_t id = 1; id <= mst_reader_n_threads(r); id++) {
		const struct mst_thread *t = mst_reader_thread(r, id);
		const struct mst_process *p = t ? mst_reader_process(r, t->process) : NULL;
		const struct work *work = id < s->n ? &s->work[id] : &idle;

		if (!t || (pass->options->pid && (!p || p->pid != pass->options->pid)))
			continue;
		n++;
		calls += work->calls;
		if (!pass->options->top || n <= pass->options->top)
			add_row(r, t, p ? p->pid : 0, work, answer->rows);
	}
	answer->head = ms_table_new(head, sizeof(head) / sizeof(*head));
	ms_table_row(answer->head);
	ms_table_number(answer->head, n);
	ms_table_number(answer->head, calls);
	free(s->work);
	free(s);
}

const struct analysis analysis_threads = {
	.name = "threads",
	.summary = "every thread that called the heap: its name, its time, what it acquired and released",
	.begin = begin,
	.events = events,
	.released = released,
	.end = end,
};

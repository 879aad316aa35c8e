/* See pauses.h. */
#include "pauses.h"

#include "out.h"
#include "report.h"
#include "room.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

struct span {
	uint64_t from_ns, to_ns;
};

/* Spans are collected, of all and of single processes, and united at the end. */
struct state {
	const struct mst_reader *reader;
	uint64_t pid; /* that counts, 0 = all */
	uint64_t *since_ns; /* by process id, 0 being all: start of its pause; UINT64_MAX: it is not paused */
	uint32_t *paused; /* processes paused by themselves; grows by doubling, as does */
	size_t n_paused, cap_paused;
	struct span *spans;
	size_t n_spans, cap_spans;
};

static bool counts(const struct state *s, const struct mst_process *p)
{
	return p && (s->pid == 0 || p->pid == s->pid);
}

static void begin_pause(struct state *s, uint32_t process, uint64_t now_ns)
{
	s->since_ns[process] = now_ns;
	if (process == 0)
		return;
	s->paused = ms_room(s->paused, &s->cap_paused, s->n_paused + 1, sizeof(*s->paused));
	s->paused[s->n_paused++] = process;
}

/* A process that has ended is not paused any more, though nobody says so. */
static void end_pause(struct state *s, uint32_t process, uint64_t now_ns)
{
	const struct mst_process *p = process ? mst_reader_process(s->reader, process) : NULL;
	uint64_t to_ns = p && p->fate != MST_FATE_RUNNING && p->end_ns < now_ns ? p->end_ns : now_ns;

	if (s->since_ns[process] == UINT64_MAX)
		return;
	s->spans = ms_room(s->spans, &s->cap_spans, s->n_spans + 1, sizeof(*s->spans));
	s->spans[s->n_spans++] = (struct span){s->since_ns[process], to_ns};
	s->since_ns[process] = UINT64_MAX;
}

/* Of all, and of those paused by themselves: what is said for all replaces what was said for one. */
static void end_all(struct state *s, uint64_t now_ns)
{
	end_pause(s, 0, now_ns);
	while (s->n_paused > 0)
		end_pause(s, s->paused[--s->n_paused], now_ns);
}

static void apply(struct state *s, struct pauses *sums, const struct mst_annotation *a)
{
	bool is_pause = a->kind == MST_ANNOTATION_PAUSE;
	bool was_paused = s->since_ns[a->process] != UINT64_MAX;

	sums->n += is_pause && !was_paused;
	if (a->process == 0 && is_pause != was_paused)
		end_all(s, a->time_ns);
	if (is_pause && !was_paused)
		begin_pause(s, a->process, a->time_ns);
	else if (!is_pause)
		end_pause(s, a->process, a->time_ns);
}

static int compare_spans(const void *a, const void *b)
{
	uint64_t x = ((const struct span *)a)->from_ns, y = ((const struct span *)b)->from_ns;

	return (x > y) - (x < y);
}

static uint64_t united(struct span *spans, size_t n)
{
	uint64_t sum = 0, end_ns = 0;

	if (n > 0)
		qsort(spans, n, sizeof(*spans), compare_spans);
	for (size_t i = 0; i < n; i++) {
		uint64_t from_ns = spans[i].from_ns > end_ns ? spans[i].from_ns : end_ns;

		if (spans[i].to_ns <= from_ns)
			continue;
		sum += spans[i].to_ns - from_ns;
		end_ns = spans[i].to_ns;
	}
	return sum;
}

struct pauses pauses_of(const struct mst_reader *r, uint64_t pid, uint64_t last_ns)
{
	struct pauses sums = {0};
	struct state s = {.reader = r, .pid = pid};
	uint32_t n = mst_reader_n_processes(r);
	const struct mst_annotation *a;

	s.since_ns = ms_zeroed((size_t)n + 1, sizeof(*s.since_ns));
	memset(s.since_ns, 0xff, ((size_t)n + 1) * sizeof(*s.since_ns));
	for (uint32_t id = 1; id <= n; id++) {
		const struct mst_process *p = mst_reader_process(r, id);

		if (!counts(&s, p))
			continue;
		sums.n_unfinished += p->fate == MST_FATE_UNFINISHED;
		if (p->end_ns > last_ns)
			last_ns = p->end_ns;
	}
	for (size_t i = 0; (a = mst_reader_annotation(r, i)); i++)
		if (a->kind != MST_ANNOTATION_MARK &&
			(a->process == 0 || (a->process <= n && counts(&s, mst_reader_process(r, a->process)))))
			apply(&s, &sums, a);
	end_all(&s, last_ns);
	sums.total_ns = united(s.spans, s.n_spans);
	free(s.since_ns);
	free(s.paused);
	free(s.spans);
	return sums;
}

void pauses_say(const char *path, const struct pauses *p)
{
	struct ms_out line;

	ms_out_init_memory(&line);
	ms_print_duration(&line, p->total_ns);
	if (p->n)
		ms_info("'%s': the recording was paused for %s: what was acquired meanwhile is not in the trace; what "
			"was acquired before and released meanwhile is known to be released", path, ms_out_text(&line));
	if (p->n_unfinished)
		ms_info("'%s': %llu process%s still running when the recording ended: what %s is counted as live",
			path, (unsigned long long)p->n_unfinished, p->n_unfinished == 1 ? " was" : "es were",
			p->n_unfinished == 1 ? "it held then" : "they held then");
	ms_out_release(&line);
}

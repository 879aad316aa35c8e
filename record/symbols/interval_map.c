/* See interval_map.h. The sweep goes over the intervals by start and keeps those that may still hold an address on a
 * stack: the one on top started last, so it wins until it ends or another starts. Ended ones below the top are
 * dropped when they come to light, so each interval is pushed and popped once. */
#include "interval_map.h"

#include <errno.h>
#include <stdlib.h>

int ms_interval_map_add(struct ms_interval_map *m, uint64_t start, uint64_t end, uint32_t value)
{
	if (start >= end)
		return 0;
	if (m->n == m->room) {
		size_t room = m->room ? m->room * 2 : 64;
		struct ms_interval *items = reallocarray(m->items, room, sizeof(*items));

		if (!items)
			return -ENOMEM;
		m->items = items;
		m->room = room;
	}
	m->items[m->n++] = (struct ms_interval){ .start = start, .end = end, .value = value };
	return 0;
}

/* The sort must keep the order of addition among equal starts; qsort does not promise to, so it is asked for. */
struct ordered {
	struct ms_interval interval;
	size_t order;
};

static int compare_start(const void *left, const void *right)
{
	const struct ordered *a = left, *b = right;

	if (a->interval.start != b->interval.start)
		return a->interval.start < b->interval.start ? -1 : 1;
	/* Later additions first: the earlier one is then pushed last and lies on top. */
	return (a->order < b->order) - (a->order > b->order);
}

struct sweep {
	struct ms_interval *stack; /* those that may hold the current address, the winner on top */
	size_t depth;
	uint64_t at; /* all below is done */
	struct ms_interval_map *out;
};

/* Emits what belongs to the intervals on the stack in [at, until). */
static int sweep_until(struct sweep *s, uint64_t until)
{
	while (s->depth > 0 && s->at < until) {
		const struct ms_interval *top = &s->stack[s->depth - 1];
		uint64_t end = top->end < until ? top->end : until;
		int rc = ms_interval_map_add(s->out, s->at, end, top->value); /* nothing when it has ended */

		if (rc < 0)
			return rc;
		if (end > s->at)
			s->at = end;
		if (top->end <= s->at)
			s->depth--;
	}
	s->at = until;
	return 0;
}

int ms_interval_map_finish(struct ms_interval_map *m)
{
	struct ms_interval_map out = { 0 };
	struct ordered *sorted = reallocarray(NULL, m->n + 1, sizeof(*sorted));
	struct sweep s = { .stack = reallocarray(NULL, m->n + 1, sizeof(*s.stack)), .out = &out };
	int rc = sorted && s.stack ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < m->n; i++)
		sorted[i] = (struct ordered){ .interval = m->items[i], .order = i };
	if (rc == 0)
		qsort(sorted, m->n, sizeof(*sorted), compare_start);
	for (size_t i = 0; rc == 0 && i < m->n; i++) {
		rc = sweep_until(&s, sorted[i].interval.start);
		s.stack[s.depth++] = sorted[i].interval;
	}
	if (rc == 0)
		rc = sweep_until(&s, UINT64_MAX);
	free(s.stack);
	free(sorted);
	if (rc < 0) {
		ms_interval_map_release(&out);
		return rc;
	}
	ms_interval_map_release(m);
	*m = out;
	return 0;
}

const struct ms_interval *ms_interval_map_get(const struct ms_interval_map *m, uint64_t address)
{
	size_t low = 0, high = m->n; /* first segment that starts behind address */

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->items[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 && address < m->items[low - 1].end ? &m->items[low - 1] : NULL;
}

void ms_interval_map_release(struct ms_interval_map *m)
{
	free(m->items);
	*m = (struct ms_interval_map){ 0 };
}

/* lifetimes.c - a binary heap; and a list of running processes, which is short when the table was read
 * beforehand, and as long as the processes that run at once when it was not. */
#include "lifetimes.h"

#include "grow.h"

#include <stdlib.h>

/* At the same place starts come before ends, and parents before their children: a child may inherit from a parent that
 * ends without another event. */
static bool is_before(const struct mst_lifetime *a, const struct mst_lifetime *b)
{
	if (a->event != b->event)
		return a->event < b->event;
	return a->is_end != b->is_end ? b->is_end : a->process < b->process;
}

static void sift_down(struct mst_lifetime *h, size_t n, size_t i)
{
	for (;;) {
		size_t least = i;
		for (size_t child = 2 * i + 1; child < n && child <= 2 * i + 2; child++)
			if (is_before(&h[child], &h[least]))
				least = child;
		if (least == i)
			return;
		struct mst_lifetime swap = h[i];
		h[i] = h[least];
		h[least] = swap;
		i = least;
	}
}

static int push(struct mst_lifetimes *l, uint64_t event, uint32_t process, bool is_end)
{
	int rc = mst_grow(&l->heap, &l->cap, l->n + 1, sizeof *l->heap);
	if (rc < 0)
		return rc;
	size_t i = l->n++;
	struct mst_lifetime added = {event, process, is_end};
	for (; i > 0 && is_before(&added, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		l->heap[i] = l->heap[(i - 1) / 2];
	l->heap[i] = added;
	l->next_event = l->heap[0].event;
	return 0;
}

static int watch(struct mst_lifetimes *l, uint32_t process)
{
	int rc = mst_grow(&l->watched, &l->cap_watched, l->n_watched + 1, sizeof *l->watched);
	if (rc == 0)
		l->watched[l->n_watched++] = process;
	return rc;
}

static int take(struct mst_lifetimes *l, const struct mst_reader *r, uint32_t id)
{
	const struct mst_process *process = mst_reader_process(r, id);
	if (!process) /* a hole: its entry is lost */
		return 0;
	uint64_t end = process->end_event;
	int rc = push(l, process->start_event, id, false);
	if (rc < 0)
		return rc;
	return end == UINT64_MAX ? watch(l, id) : push(l, end, id, true);
}

void mst_lifetimes_init(struct mst_lifetimes *l)
{
	*l = (struct mst_lifetimes){.next_event = UINT64_MAX};
}

void mst_lifetimes_release(struct mst_lifetimes *l)
{
	free(l->heap);
	free(l->watched);
}

int mst_lifetimes_look(struct mst_lifetimes *l, const struct mst_reader *r)
{
	int rc = 0;
	while (l->n_known < mst_reader_n_processes(r) && rc == 0)
		rc = take(l, r, ++l->n_known);
	for (size_t i = 0; i < l->n_watched && rc == 0;) {
		const struct mst_process *process = mst_reader_process(r, l->watched[i]);
		if (!process || process->end_event == UINT64_MAX) {
			i++;
			continue;
		}
		rc = push(l, process->end_event, l->watched[i], true);
		l->watched[i] = l->watched[--l->n_watched];
	}
	return rc;
}

int mst_lifetimes_next(struct mst_lifetimes *l, uint64_t event, struct mst_lifetime *out)
{
	if (l->n == 0 || l->heap[0].event > event)
		return 0;
	*out = l->heap[0];
	l->heap[0] = l->heap[--l->n];
	sift_down(l->heap, l->n, 0);
	l->next_event = l->n ? l->heap[0].event : UINT64_MAX;
	return 1;
}

/* See absence.h. */
#include "absence.h"

#include <stdlib.h>
#include <string.h>

static bool is_of(const struct ms_arrival *a, const struct ms_arrival *b)
{
	return a->hello.pid == b->hello.pid && a->pid == b->pid;
}

/* The exec has failed. */
static void withdraw(struct ms_absences *x, const struct ms_arrival *notice)
{
	struct ms_arrival **last = NULL;
	for (struct ms_arrival **at = &x->waiting; *at; at = &(*at)->next)
		if (is_of(*at, notice))
			last = at;
	if (!last)
		return;
	struct ms_arrival *gone = *last;
	*last = gone->next;
	ms_arrival_free(gone);
}

void ms_absences_take(struct ms_absences *x, struct ms_arrival *notice)
{
	struct ms_arrival **at = &x->waiting;
	if (notice->obstacle == MS_OBSTACLE_NONE) {
		withdraw(x, notice);
		ms_arrival_free(notice);
		return;
	}
	while (*at)
		at = &(*at)->next;
	notice->next = NULL;
	*at = notice;
}

/* A malloc in the executable may pass its calls on to the next one, which is ours. */
static bool has_come_after_all(const struct ms_translator *tr, const struct ms_arrival *a)
{
	if (a->obstacle != MS_OBSTACLE_ALLOCATOR)
		return false;
	for (const struct ms_process *p = tr->processes; p; p = p->next)
		if (p->own_pid == a->hello.pid && p->fate != MST_FATE_UNRECORDED && p->start_stamp >= a->stamp)
			return true;
	return false;
}

void ms_absences_count(struct ms_absences *x, const struct ms_arrival *a)
{
	struct ms_absent_program p = {.why = (enum mst_obstacle)a->obstacle};
	memcpy(p.path, a->exe ? a->exe : "", a->exe_len < sizeof p.path ? a->exe_len : sizeof p.path - 1);
	for (size_t i = 0; i < x->n_programs; i++) {
		if (x->programs[i].why == p.why && strcmp(x->programs[i].path, p.path) == 0) {
			x->programs[i].n++;
			return;
		}
	}
	if (x->n_programs == MS_ABSENT_PROGRAMS) {
		x->n_others++;
		return;
	}
	p.n = 1;
	x->programs[x->n_programs++] = p;
}

static int tell(struct ms_translator *tr, struct ms_arrival *a)
{
	struct ms_process *proc = ms_process_new(a);
	if (!proc)
		return MST_ENOMEM;
	proc->next = tr->processes;
	tr->processes = proc;
	ms_process_die(proc, MST_FATE_UNRECORDED, (int32_t)a->obstacle, a->stamp);
	int rc = ms_translate_process_end(tr, proc, 0, 0);
	ms_process_close(proc, NULL); /* it has no tenants */
	return rc;
}

int ms_absences_tell(struct ms_absences *x, struct ms_translator *tr, uint64_t stamp, uint64_t settled)
{
	bool is_last = stamp == UINT64_MAX;
	for (struct ms_arrival **at = &x->waiting; *at && (*at)->stamp <= stamp && (*at)->stamp <= settled;) {
		struct ms_arrival *a = *at;
		if (a->obstacle == MS_OBSTACLE_ALLOCATOR && !is_last) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		if (has_come_after_all(tr, a)) {
			ms_arrival_free(a);
			continue;
		}
		ms_absences_count(x, a);
		int rc = tell(tr, a);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void ms_absences_release(struct ms_absences *x)
{
	for (struct ms_arrival *a = x->waiting, *next; a; a = next) {
		next = a->next;
		ms_arrival_free(a);
	}
	x->waiting = NULL;
}

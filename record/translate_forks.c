/* translate_forks.c - where processes have forked: what a child inherits, kept until the child shows up. */
#include "translator.h"

#include <stdlib.h>

#define FORK_POINTS_MAX 32u /* unclaimed ones per image: children that never call the heap never claim */

void ms_fork_point_free(struct ms_fork_point *point)
{
	point->parent->n_fork_points--;
	ms_modmap_free(point->modules);
	free(point);
}

void ms_translator_drop_points(struct ms_translator *tr)
{
	while (tr->points) {
		struct ms_fork_point *next = tr->points->next;
		mst_writer_fork_drop(tr->writer, tr->points->token);
		ms_fork_point_free(tr->points);
		tr->points = next;
	}
}

static void drop_oldest_point(struct ms_translator *tr, const struct ms_process *parent)
{
	struct ms_fork_point **oldest = NULL;
	for (struct ms_fork_point **at = &tr->points; *at; at = &(*at)->next)
		if ((*at)->parent == parent)
			oldest = at;
	if (!oldest)
		return;
	struct ms_fork_point *point = *oldest;
	*oldest = point->next;
	mst_writer_fork_drop(tr->writer, point->token);
	ms_fork_point_free(point);
}

int ms_translator_add_point(struct ms_translator *tr, struct ms_process *parent, uint64_t fork_id)
{
	struct ms_fork_point *point = calloc(1, sizeof *point);
	if (!point)
		return MST_ENOMEM;
	int rc = mst_writer_fork_point(tr->writer, parent->id, &point->token);
	if (rc < 0) {
		free(point);
		return rc;
	}
	point->parent = parent;
	point->modules = ms_modmap_share(parent->modules);
	point->fork_id = fork_id;
	point->is_paused = parent->is_paused;
	point->n_pauses = tr->n_pauses;
	point->next = tr->points;
	tr->points = point;
	if (++parent->n_fork_points > FORK_POINTS_MAX)
		drop_oldest_point(tr, parent);
	return 0;
}

struct ms_fork_point *ms_translator_claim_point(struct ms_translator *tr, uint64_t fork_id)
{
	for (struct ms_fork_point **at = &tr->points; fork_id && *at; at = &(*at)->next) {
		struct ms_fork_point *point = *at;
		if (point->fork_id != fork_id)
			continue;
		*at = point->next;
		return point;
	}
	return NULL;
}

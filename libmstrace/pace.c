#include "pace.h"

#define AHEAD 8u /* this part of the room is there from the start */

void mst_pace_init(struct mst_pace *p)
{
	*p = (struct mst_pace){.work = 1, .is_over = true};
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->moved, NULL);
}

void mst_pace_release(struct mst_pace *p)
{
	pthread_mutex_destroy(&p->mutex);
	pthread_cond_destroy(&p->moved);
}

void mst_pace_begin(struct mst_pace *p, uint64_t room, uint64_t work)
{
	pthread_mutex_lock(&p->mutex);
	p->room = room;
	p->work = work;
	p->done = 0;
	p->is_over = false;
	pthread_mutex_unlock(&p->mutex);
}

void mst_pace_advance(struct mst_pace *p, uint64_t done)
{
	pthread_mutex_lock(&p->mutex);
	p->done = done < p->work - p->done ? p->done + done : p->work;
	pthread_cond_broadcast(&p->moved);
	pthread_mutex_unlock(&p->mutex);
}

void mst_pace_end(struct mst_pace *p)
{
	pthread_mutex_lock(&p->mutex);
	p->is_over = true;
	pthread_cond_broadcast(&p->moved);
	pthread_mutex_unlock(&p->mutex);
}

static uint64_t allowed(const struct mst_pace *p)
{
	uint64_t ahead = p->room / AHEAD;

	if (p->is_over)
		return UINT64_MAX;
	return ahead + (uint64_t)((double)(p->room - ahead) * ((double)p->done / (double)p->work));
}

uint64_t mst_pace_allows(struct mst_pace *p)
{
	uint64_t bytes;

	pthread_mutex_lock(&p->mutex);
	bytes = allowed(p);
	pthread_mutex_unlock(&p->mutex);
	return bytes;
}

void mst_pace_wait(struct mst_pace *p, uint64_t grown)
{
	pthread_mutex_lock(&p->mutex);
	while (grown > allowed(p) && p->done < p->work)
		pthread_cond_wait(&p->moved, &p->mutex);
	pthread_mutex_unlock(&p->mutex);
}

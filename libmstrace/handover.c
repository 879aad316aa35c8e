/* See handover.h. */
#include "handover.h"

#include <signal.h>

#include "keeper.h"

static void write_batch(struct mst_output *o, const struct mst_batch *b)
{
	mst_output_pages(o, &b->pages, 0);
	if (b->ev.n != 0)
		mst_output_events(o, &b->ev, &b->evt, b->flags);
	mst_output_write(o);
	if (o->keeper)
		mst_keeper_turn(o->keeper, o);
}

static void *write_batches(void *arg)
{
	struct mst_handover *h = arg;

	pthread_mutex_lock(&h->mutex);
	for (;;) {
		const struct mst_batch *b = h->job;

		if (b) {
			pthread_mutex_unlock(&h->mutex);
			write_batch(h->output, b);
			pthread_mutex_lock(&h->mutex);
			h->job = NULL;
			pthread_cond_broadcast(&h->cond);
		} else if (h->quit) {
			break;
		} else {
			pthread_cond_wait(&h->cond, &h->mutex);
		}
	}
	pthread_mutex_unlock(&h->mutex);
	return NULL;
}

void mst_handover_init(struct mst_handover *h, struct mst_output *o)
{
	*h = (struct mst_handover){.output = o};
	pthread_mutex_init(&h->mutex, NULL);
	pthread_cond_init(&h->cond, NULL);
}

int mst_handover_start(struct mst_handover *h)
{
	sigset_t all, before;
	int rc;

	/* Signals belong to the caller's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&h->thread, NULL, write_batches, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	h->threaded = rc == 0;
	return rc == 0 ? 0 : MST_ENOMEM;
}

void mst_handover_stop(struct mst_handover *h)
{
	if (!h->threaded)
		return;
	pthread_mutex_lock(&h->mutex);
	h->quit = true;
	pthread_cond_broadcast(&h->cond);
	pthread_mutex_unlock(&h->mutex);
	pthread_join(h->thread, NULL);
	h->threaded = false;
}

void mst_handover_release(struct mst_handover *h)
{
	mst_handover_stop(h);
	pthread_mutex_destroy(&h->mutex);
	pthread_cond_destroy(&h->cond);
}

void mst_handover_wait(struct mst_handover *h)
{
	if (!h->threaded)
		return;
	pthread_mutex_lock(&h->mutex);
	while (h->job)
		pthread_cond_wait(&h->cond, &h->mutex);
	pthread_mutex_unlock(&h->mutex);
}

void mst_handover_give(struct mst_handover *h, const struct mst_batch *b)
{
	if (!h->threaded) {
		write_batch(h->output, b);
		return;
	}
	pthread_mutex_lock(&h->mutex);
	h->job = b;
	pthread_cond_broadcast(&h->cond);
	pthread_mutex_unlock(&h->mutex);
}

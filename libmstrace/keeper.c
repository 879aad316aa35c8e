#include "keeper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "problem.h"
#include "trim.h"

#define BASES 8u /* the bound is at least so many times the base, dictionaries and checkpoint: else all is copying */
#define REST 2u  /* a copy for the sake of time begins no sooner than so many times as long as the last one took */

struct mst_keeper {
	struct mst_keep keep;
	struct mst_kept kept;
	uint64_t base; /* bytes of dictionaries and checkpoint: the last ones, at first the most there may be */
	uint64_t ended_ns, took_ns; /* the last copy, by CLOCK_MONOTONIC */

	bool is_running;         /* a copy is under way: what follows is its */
	pthread_t thread;
	struct mst_output next;  /* its fd is from keep.begin */
	struct mst_trim trim;
	uint64_t begun_ns;
	uint64_t copied;         /* file offset up to which frames have been copied: the thread's, then its joiner's */
	_Atomic uint64_t written; /* end of the frames in the file: set by the output's owner */
	_Atomic bool is_done;    /* the thread has nothing more to do */
	int rc;                  /* the thread's result */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int mst_keeper_new(const struct mst_keep *keep, struct mst_keeper **out)
{
	struct mst_keeper *k = calloc(1, sizeof(*k));

	if (!k)
		return MST_ENOMEM;
	k->keep = *keep;
	k->kept.limit_bytes = keep->bytes;
	k->base = keep->bytes / BASES;
	*out = k;
	return 0;
}

/* ---- the bound -------------------------------------------------------------------------------------------- */

/* How the bytes allowed are shared out: with L the bound and b the base, a copy begins at 0.5 L - 0.2 b, keeps
 * 0.2 (L - 2 b) besides the base, and the output waits for it when both files come to 0.95 L. */
static uint64_t begin_at(const struct mst_keeper *k)
{
	return k->kept.limit_bytes / 2 - k->base / 5;
}

static uint64_t kept_bytes(const struct mst_keeper *k)
{
	return (k->kept.limit_bytes - 2 * k->base) / 5;
}

static bool must_wait(const struct mst_keeper *k, const struct mst_output *o)
{
	uint64_t copy = k->base + (o->offset - k->trim.cut_offset);

	return k->keep.bytes && o->offset + copy > k->kept.limit_bytes / 20 * 19;
}

static void learn_base(struct mst_keeper *k, uint64_t base)
{
	k->kept.base_bytes = k->base = base;
	if (k->keep.bytes && BASES * base > k->kept.limit_bytes)
		k->kept.limit_bytes = BASES * base;
}

/* ---- where to cut ----------------------------------------------------------------------------------------- */

/* The first of the event frames to be kept, or n. */
static size_t first_kept(const struct mst_keeper *k, const struct mst_index *x)
{
	const struct mst_index_entry *last = &x->entries[x->n - 1];
	uint64_t end = last->offset + last->size, most = kept_bytes(k);
	uint64_t t_end = 0;
	size_t first = x->n;

	for (size_t i = x->n; i-- > 0;) {
		const struct mst_index_entry *e = &x->entries[i];

		if (e->kind != MST_KIND_EVT)
			continue;
		if (t_end == 0)
			t_end = e->t_last_ns;
		if (first != x->n && k->keep.bytes && end - e->offset > most)
			break;
		if (first != x->n && k->keep.time_ns && t_end - e->t_last_ns > k->keep.time_ns)
			break;
		first = i;
	}
	return first;
}

/* Chooses the cut: true if there is something to drop. */
static bool choose_cut(struct mst_keeper *k, const struct mst_index *x)
{
	size_t first = x->n ? first_kept(k, x) : 0;

	for (size_t i = first; i-- > 0;) {
		const struct mst_index_entry *e = &x->entries[i];

		if (e->kind != MST_KIND_EVT)
			continue;
		k->trim.cut_event = e->first_event + e->n_items;
		k->trim.cut_offset = e->offset + e->size;
		return true;
	}
	return false;
}

static const struct mst_index_entry *find_events(const struct mst_index *x, bool is_last)
{
	for (size_t i = 0; i < x->n; i++) {
		const struct mst_index_entry *e = &x->entries[is_last ? x->n - 1 - i : i];

		if (e->kind == MST_KIND_EVT)
			return e;
	}
	return NULL;
}

static bool is_due(const struct mst_keeper *k, const struct mst_output *o)
{
	const struct mst_index_entry *first = find_events(&o->index, false), *last = find_events(&o->index, true);

	if (!first || first == last)
		return false;
	if (k->keep.bytes)
		return o->offset >= begin_at(k);
	return last->t_last_ns - first->t_last_ns >= 2 * k->keep.time_ns &&
		now_ns() - k->ended_ns >= REST * k->took_ns;
}

/* ---- the copy --------------------------------------------------------------------------------------------- */

/* Copies until there is no more, or so little that the output may do it. */
static void *copy(void *arg)
{
	struct mst_keeper *k = arg;
	uint64_t upto;

	k->rc = mst_trim_begin(&k->trim);
	while (k->rc == 0 && (upto = atomic_load(&k->written)) != k->copied) {
		k->rc = mst_trim_copy(&k->trim, k->copied, upto);
		k->copied = upto;
	}
	atomic_store(&k->is_done, true);
	return NULL;
}

static int latch(struct mst_output *o, int rc, const struct mst_problem *problem)
{
	o->rc = rc;
	o->problem = *problem;
	return rc;
}

static int refused(struct mst_output *o, int error, const char *call)
{
	errno = -error;
	return o->rc = mst_problem_os(&o->problem, o->offset, call);
}

static int begin(struct mst_keeper *k, struct mst_output *o)
{
	sigset_t all, before;
	int fd, error;

	if (!choose_cut(k, &o->index))
		return 0;
	fd = k->keep.begin(k->keep.ctx);
	if (fd < 0)
		return refused(o, fd, "open");
	if (mst_output_init(&k->next, fd, o->file_id, o->level) < 0) {
		mst_output_release(&k->next);
		k->keep.abandon(k->keep.ctx, fd);
		return o->rc = mst_problem_memory(&o->problem);
	}
	k->trim.in = o->fd;
	k->trim.out = &k->next;
	k->trim.is_cancelled = false;
	k->copied = k->trim.cut_offset;
	k->written = o->offset;
	k->is_done = false;
	k->begun_ns = now_ns();
	sigfillset(&all); /* signals belong to the caller's threads */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&k->thread, NULL, copy, k);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	k->is_running = error == 0;
	if (error == 0)
		return 0;
	mst_output_release(&k->next);
	k->keep.abandon(k->keep.ctx, fd);
	return refused(o, -error, "pthread_create");
}

static void abandon(struct mst_keeper *k)
{
	k->keep.abandon(k->keep.ctx, k->next.fd);
	mst_output_release(&k->next);
	k->next = (struct mst_output){0};
}

/* The output goes on in the new file, whose frames have other places and numbers. */
static void go_over(struct mst_keeper *k, struct mst_output *o)
{
	struct mst_index old = o->index;

	o->fd = k->next.fd;
	o->seq = k->next.seq;
	o->offset = k->next.offset;
	o->index = k->next.index;
	k->next.index = old;
	mst_output_release(&k->next);
	k->next = (struct mst_output){0};
}

static int end(struct mst_keeper *k, struct mst_output *o)
{
	int rc;

	pthread_join(k->thread, NULL);
	k->is_running = false;
	rc = k->rc;
	if (rc == 0)
		rc = mst_trim_copy(&k->trim, k->copied, o->offset);
	if (rc < 0) {
		abandon(k);
		return latch(o, rc, &k->trim.problem);
	}
	rc = k->keep.commit(k->keep.ctx, k->next.fd);
	if (rc < 0) {
		abandon(k);
		return refused(o, rc, "rename");
	}
	go_over(k, o);
	k->kept.dropped_events = k->trim.cut_event;
	k->kept.n_trims++;
	learn_base(k, k->trim.base_bytes);
	k->ended_ns = now_ns();
	k->took_ns = k->ended_ns - k->begun_ns;
	return 0;
}

/* ---- the owner's side ------------------------------------------------------------------------------------- */

int mst_keeper_turn(struct mst_keeper *k, struct mst_output *o)
{
	if (o->rc < 0)
		return o->rc;
	if (!k->is_running)
		return is_due(k, o) ? begin(k, o) : 0;
	atomic_store(&k->written, o->offset);
	return atomic_load(&k->is_done) || must_wait(k, o) ? end(k, o) : 0;
}

void mst_keeper_tell(const struct mst_keeper *k, struct mst_kept *out)
{
	*out = k->kept;
}

void mst_keeper_free(struct mst_keeper *k)
{
	if (!k)
		return;
	if (k->is_running) {
		atomic_store(&k->trim.is_cancelled, true);
		pthread_join(k->thread, NULL);
		abandon(k);
	}
	free(k);
}

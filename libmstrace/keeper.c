#include "keeper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "pace.h"
#include "problem.h"
#include "trim.h"

#define BASES 8u /* the bound is at least so many times the base, dictionaries and checkpoint: else all is copying */

/* What a copy that begins now drops and keeps. */
struct plan {
	uint64_t cut_event, cut_offset;
	uint64_t dropped; /* events */
	uint64_t dropped_bytes, kept_bytes; /* of frames before and behind the cut */
	uint64_t entries; /* of dictionaries */
	uint64_t blocks;  /* in the last checkpoint, with what it says of pools and mappings */
	uint64_t live_blocks; /* at the cut */
};

struct mst_keeper {
	struct mst_keep keep;
	struct mst_kept kept;
	uint64_t base; /* bytes of dictionaries and checkpoint: the last ones, at first the most there may be */

	bool is_running;         /* a copy is under way: what follows is its */
	pthread_t thread;
	struct mst_output next;  /* its fd is from keep.begin */
	struct mst_trim trim;
	struct mst_pace pace;
	uint64_t begun_offset;   /* where the trace ended then */
	uint64_t copied;         /* file offset up to which frames have been copied: the thread's, then its joiner's */
	_Atomic uint64_t written; /* end of the frames in the file: set by the output's owner */
	_Atomic bool is_done;    /* the thread has nothing more to do */
	int rc;                  /* the thread's result */
};

int mst_keeper_new(const struct mst_keep *keep, struct mst_keeper **out)
{
	struct mst_keeper *k = calloc(1, sizeof(*k));

	if (!k)
		return MST_ENOMEM;
	k->keep = *keep;
	k->kept.limit_bytes = keep->bytes;
	k->base = keep->bytes / BASES;
	mst_pace_init(&k->pace);
	k->trim.pace = &k->pace;
	*out = k;
	return 0;
}

/* ---- the bound in bytes ----------------------------------------------------------------------------------- */

/* How the bytes allowed are shared out: with L the bound and b the base, a copy begins at 0.4 L + 0.16 b, keeps
 * 0.2 (L - 2 b) besides the base, and must be complete when both files come to 0.95 L. So while it drops 0.2 L (0.145 L
 * with the greatest base) the trace may grow by nearly as much, 0.175 L (0.127 L). */
static uint64_t begin_at(const struct mst_keeper *k)
{
	return k->kept.limit_bytes / 5 * 2 + k->base / 25 * 4;
}

static uint64_t kept_bytes(const struct mst_keeper *k)
{
	return (k->kept.limit_bytes - 2 * k->base) / 5;
}

static uint64_t greatest_sum(const struct mst_keeper *k)
{
	return k->kept.limit_bytes / 20 * 19;
}

static bool must_wait(const struct mst_keeper *k, const struct mst_output *o)
{
	uint64_t copy = k->base + (o->offset - k->trim.cut_offset);

	return k->keep.bytes && o->offset + copy > greatest_sum(k);
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

/* False if there is nothing to drop. */
static bool make_plan(const struct mst_keeper *k, const struct mst_index *x, struct plan *plan)
{
	size_t first = x->n ? first_kept(k, x) : 0;

	*plan = (struct plan){0};
	for (size_t i = 0; i < x->n; i++) {
		const struct mst_index_entry *e = &x->entries[i];
		bool is_dropped = e->kind == MST_KIND_EVT && i < first;

		*(i < first ? &plan->dropped_bytes : &plan->kept_bytes) += e->size;
		if (e->kind == MST_KIND_CHECKPOINT || e->kind == MST_KIND_POOL || e->kind == MST_KIND_SPACE)
			plan->blocks += e->n_items;
		else if (e->kind != MST_KIND_EVT && e->kind != MST_KIND_SAMPLE)
			plan->entries += e->n_items;
		if (i == first)
			plan->live_blocks = e->live_blocks;
		if (!is_dropped)
			continue;
		plan->dropped += e->n_items;
		plan->cut_event = e->first_event + e->n_items;
		plan->cut_offset = e->offset + e->size;
	}
	return plan->dropped != 0;
}

/* What is in the base is read, and written again. */
static uint64_t base_work(const struct plan *p)
{
	return 2 * p->entries + p->blocks + (p->live_blocks > p->blocks ? p->live_blocks : p->blocks);
}

/* In events replayed, which take about as long as an entry or a block, and much longer than the copy of one. */
static uint64_t work_of(const struct plan *p)
{
	return p->dropped + base_work(p) + p->kept_bytes / MST_TRIM_COPIED_PER_WORK;
}

/* By how much the trace may grow while the copy is made. Where time is the bound a copy leaves the next one no more
 * to drop than it keeps, or than it drops itself less what it is worth, so that they do not become longer and longer when
 * the program is faster than the copy. */
static uint64_t room_for(const struct mst_keeper *k, const struct mst_output *o, const struct plan *p)
{
	uint64_t sum = 2 * o->offset - p->cut_offset + k->base, half = p->dropped_bytes / 2;
	uint64_t by_time = k->base + (p->kept_bytes > half ? p->kept_bytes : half);
	uint64_t by_size = sum < greatest_sum(k) ? (greatest_sum(k) - sum) / 2 : 0;

	if (!k->keep.bytes)
		return by_time;
	return k->keep.time_ns && by_time < by_size ? by_time : by_size;
}

/* The time that is covered by the frames; the last event of the first one is where the time begins that dropping it leaves. */
static uint64_t covered_ns(const struct mst_index *x)
{
	uint64_t first_ns = 0, last_ns = 0;
	bool has_first = false;

	for (size_t i = 0; i < x->n; i++) {
		if (x->entries[i].kind != MST_KIND_EVT)
			continue;
		last_ns = x->entries[i].t_last_ns;
		if (!has_first)
			first_ns = last_ns;
		has_first = true;
	}
	return last_ns - first_ns;
}

/* For the sake of bytes a copy is due when there are so many; for that of time, when there is as much to drop as to keep,
 * and no less than the base is work: else there would be nothing but copies of it. */
static bool is_due(const struct mst_keeper *k, const struct mst_output *o, struct plan *plan)
{
	if (k->keep.bytes)
		return o->offset >= begin_at(k) && make_plan(k, &o->index, plan);
	return covered_ns(&o->index) >= 2 * k->keep.time_ns && make_plan(k, &o->index, plan) &&
		plan->dropped >= base_work(plan);
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
	mst_pace_end(&k->pace);
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

static int begin(struct mst_keeper *k, struct mst_output *o, const struct plan *plan)
{
	sigset_t all, before;
	int fd = k->keep.begin(k->keep.ctx), error;

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
	k->trim.cut_event = plan->cut_event;
	k->trim.cut_offset = k->copied = plan->cut_offset;
	k->written = k->begun_offset = o->offset;
	k->is_done = false;
	mst_pace_begin(&k->pace, room_for(k, o, plan), work_of(plan));
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
	return 0;
}

/* ---- the owner's side ------------------------------------------------------------------------------------- */

int mst_keeper_turn(struct mst_keeper *k, struct mst_output *o)
{
	struct plan plan;

	if (o->rc < 0)
		return o->rc;
	if (!k->is_running)
		return is_due(k, o, &plan) ? begin(k, o, &plan) : 0;
	atomic_store(&k->written, o->offset);
	mst_pace_wait(&k->pace, o->offset - k->begun_offset);
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
	mst_pace_release(&k->pace);
	free(k);
}

/* See sampler.h. */
#include "sampler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "meter.h"
#include "procfs.h"

enum {
	RING = 1024,	     /* readings that wait for the session */
	SUBJECTS_MAX = 512,  /* each holds three files open */
	FILES_SHARE = 16,    /* ... and all of them at most a part of those we may have */
	GROUPS_MAX = 32,
	BUDGET_SHARE = 200,  /* 0.5 % */
	CREDIT_NS = 5000000, /* to begin with, and the most that is saved up */
};

struct group {
	struct ms_group_meter meter;
	char path[1024];
	bool is_open; /* else there is nothing to read, but it has a name */
	bool is_used; /* some process in it was read in this pass */
};

struct ms_subject {
	struct ms_subject *next;
	void *who;
	int proc_dir;	      /* until the files are open */
	struct group *group;  /* NULL: not known */
	struct ms_meter meter;
	bool is_open, is_over, had_rollup; /* had_rollup: in this round */
	_Atomic bool is_gone;		   /* the session knows it no more */
};

/* Nanoseconds that may be spent; negative: a debt. */
struct credit {
	int64_t ns;
	uint64_t since_ns;
};

struct ms_sampler {
	struct ms_sampler_options options;
	pthread_t thread;
	bool is_running;
	pthread_mutex_t mutex; /* of all down to the ring */
	pthread_cond_t cond;
	bool is_stopping;
	struct ms_subject *arrivals; /* not yet the thread's */
	struct ms_reading *ring;
	uint64_t head, tail; /* taken, put: counted for ever */
	_Atomic uint64_t cost_ns, n_dropped;
	_Atomic int rollup_errno;
	_Atomic uint32_t n_subjects;
	uint32_t subjects_max;
	/* the thread's own */
	struct ms_subject *subjects;
	struct group *groups; /* GROUPS_MAX */
	size_t n_groups;
	struct credit cheap, dear;
	char text[16384], mountinfo[32768];
};

/* ---- time ------------------------------------------------------------------------------------------- */

static uint64_t thread_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void earn(struct credit *c, uint64_t now_ns)
{
	c->ns += (int64_t)((now_ns - c->since_ns) / BUDGET_SHARE);
	c->since_ns = now_ns;
	if (c->ns > CREDIT_NS)
		c->ns = CREDIT_NS;
}

/* ---- subjects --------------------------------------------------------------------------------------- */

static void free_subject(struct ms_sampler *s, struct ms_subject *subject)
{
	if (subject->is_open)
		ms_meter_close(&subject->meter);
	if (subject->proc_dir >= 0)
		close(subject->proc_dir);
	free(subject);
	atomic_fetch_sub(&s->n_subjects, 1);
}

static void free_subjects(struct ms_sampler *s, struct ms_subject *list)
{
	for (struct ms_subject *next; list; list = next) {
		next = list->next;
		free_subject(s, list);
	}
}

static void forget_the_gone(struct ms_sampler *s)
{
	for (struct ms_subject **at = &s->subjects; *at;) {
		struct ms_subject *subject = *at;
		if (!atomic_load(&subject->is_gone)) {
			at = &subject->next;
			continue;
		}
		*at = subject->next;
		free_subject(s, subject);
	}
}

/* The group that a process is in, known already or new; NULL if it has none that we can name. */
static struct group *find_group(struct ms_sampler *s, int proc_dir)
{
	char directory[2048], path[sizeof s->groups->path];
	ssize_t n = ms_procfs_read_at(proc_dir, "cgroup", s->text, sizeof s->text - 1);
	if (n <= 0)
		return NULL;
	s->text[n] = 0;
	if (!ms_group_find(s->text, s->mountinfo, directory, sizeof directory, path, sizeof path))
		return NULL;
	for (size_t i = 0; i < s->n_groups; i++)
		if (strcmp(s->groups[i].path, path) == 0)
			return &s->groups[i];
	if (s->n_groups == GROUPS_MAX)
		return NULL;
	struct group *g = &s->groups[s->n_groups++];
	g->is_open = ms_group_meter_open(&g->meter, directory);
	strcpy(g->path, path); /* of the same size */
	return g;
}

static void open_subject(struct ms_sampler *s, struct ms_subject *subject)
{
	int none = 0;
	subject->is_open = ms_meter_open(&subject->meter, subject->proc_dir);
	subject->group = find_group(s, subject->proc_dir);
	close(subject->proc_dir);
	subject->proc_dir = -1;
	if (subject->is_open && subject->meter.rollup_errno && subject->meter.rollup_errno != ESRCH)
		atomic_compare_exchange_strong(&s->rollup_errno, &none, subject->meter.rollup_errno);
}

struct ms_subject *ms_sampler_add(struct ms_sampler *s, int proc_dir, void *who)
{
	struct ms_subject *subject =
		atomic_load(&s->n_subjects) < s->subjects_max ? calloc(1, sizeof *subject) : NULL;
	if (!subject) {
		close(proc_dir);
		return NULL;
	}
	subject->who = who;
	subject->proc_dir = proc_dir;
	atomic_fetch_add(&s->n_subjects, 1);
	pthread_mutex_lock(&s->mutex);
	subject->next = s->arrivals;
	s->arrivals = subject;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->mutex);
	return subject;
}

void ms_sampler_remove(struct ms_sampler *s, struct ms_subject *subject)
{
	(void)s;
	if (subject)
		atomic_store(&subject->is_gone, true);
}

/* ---- readings --------------------------------------------------------------------------------------- */

static void put(struct ms_sampler *s, const struct ms_reading *r)
{
	pthread_mutex_lock(&s->mutex);
	if (s->tail - s->head < RING)
		s->ring[s->tail++ % RING] = *r;
	else
		atomic_fetch_add(&s->n_dropped, 1);
	pthread_mutex_unlock(&s->mutex);
}

bool ms_sampler_next(struct ms_sampler *s, uint64_t upto, struct ms_reading *out)
{
	pthread_mutex_lock(&s->mutex);
	const struct ms_reading *first = &s->ring[s->head % RING];
	bool has_one = s->head < s->tail && first->stamp <= upto;
	if (has_one) {
		*out = *first;
		s->head++;
	}
	pthread_mutex_unlock(&s->mutex);
	return has_one;
}

static uint64_t spend(struct ms_sampler *s, struct credit *c, uint64_t since_ns)
{
	uint64_t now = thread_ns();
	c->ns -= (int64_t)(now - since_ns);
	atomic_fetch_add(&s->cost_ns, now - since_ns);
	return now;
}

static void read_subject(struct ms_sampler *s, struct ms_subject *subject, bool may_roll_up)
{
	uint64_t begin = thread_ns();
	if (subject->proc_dir >= 0)
		open_subject(s, subject);
	struct ms_reading r = {.stamp = ms_ticks_now(s->options.clock),
		.who = subject->who,
		.group = subject->group ? subject->group->path : NULL};
	bool is_alive = subject->is_open && ms_meter_read(&subject->meter, &r.sample);
	uint64_t now = spend(s, &s->cheap, begin);
	if (is_alive && may_roll_up && s->dear.ns > 0) {
		subject->had_rollup = true;
		ms_meter_read_rollup(&subject->meter, &r.sample);
		now = spend(s, &s->dear, now);
	}
	r.sample.cost_ns = now - begin;
	if (is_alive)
		put(s, &r);
	subject->is_over = !is_alive;
	if (is_alive && subject->group)
		subject->group->is_used = true;
}

static void read_group(struct ms_sampler *s, const struct group *g)
{
	uint64_t begin = thread_ns();
	struct ms_reading r = {.stamp = ms_ticks_now(s->options.clock), .group = g->path};
	ms_group_meter_read(&g->meter, &r.sample);
	r.sample.cost_ns = spend(s, &s->cheap, begin) - begin;
	if (r.sample.known)
		put(s, &r);
}

/* Rollups go round: who had one waits until all others had theirs, unless there is enough for all. */
static void read_all(struct ms_sampler *s)
{
	bool is_round_over = true;
	forget_the_gone(s);
	for (struct ms_subject *at = s->subjects; at; at = at->next)
		is_round_over &= at->had_rollup || at->is_over;
	for (struct ms_subject *at = s->subjects; at; at = at->next) {
		at->had_rollup &= !is_round_over;
		if (!at->is_over)
			read_subject(s, at, !at->had_rollup);
	}
	for (size_t i = 0; i < s->n_groups; i++) {
		if (s->groups[i].is_open && s->groups[i].is_used)
			read_group(s, &s->groups[i]);
		s->groups[i].is_used = false;
	}
}

/* ---- the thread ------------------------------------------------------------------------------------- */

/* Whoever came in last is read at once, a short program would else end unmeasured; with all others if it is their time. */
static void welcome(struct ms_sampler *s, struct ms_subject *arrivals, bool is_due)
{
	while (arrivals) {
		struct ms_subject *subject = arrivals;
		arrivals = subject->next;
		subject->next = s->subjects;
		s->subjects = subject;
		if (s->cheap.ns > 0 && !is_due)
			read_subject(s, subject, true);
	}
}

static void wait_until(struct ms_sampler *s, uint64_t until_ns)
{
	struct timespec deadline = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
	while (!s->is_stopping && !s->arrivals && ms_monotonic_ns() < until_ns)
		pthread_cond_timedwait(&s->cond, &s->mutex, &deadline);
}

static void *run(void *arg)
{
	struct ms_sampler *s = arg;
	uint64_t next_ns = s->cheap.since_ns;
	pthread_mutex_lock(&s->mutex);
	for (;;) {
		wait_until(s, next_ns);
		if (s->is_stopping)
			break;
		struct ms_subject *arrivals = s->arrivals;
		s->arrivals = NULL;
		pthread_mutex_unlock(&s->mutex);
		uint64_t now = ms_monotonic_ns();
		earn(&s->cheap, now);
		earn(&s->dear, now);
		welcome(s, arrivals, now >= next_ns);
		if (now >= next_ns) {
			if (s->cheap.ns > 0)
				read_all(s);
			next_ns += s->options.interval_ns;
			if (next_ns <= now)
				next_ns = now + s->options.interval_ns;
		}
		pthread_mutex_lock(&s->mutex);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static int start_thread(struct ms_sampler *s)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->is_running = rc == 0;
	return -rc;
}

int ms_sampler_open(const struct ms_sampler_options *opt, struct ms_sampler **out)
{
	struct ms_sampler *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;
	struct rlimit files;
	if (!s)
		return -ENOMEM;
	s->options = *opt;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	ms_procfs_read(getpid(), "mountinfo", s->mountinfo, sizeof s->mountinfo - 1);
	s->ring = calloc(RING, sizeof *s->ring);
	s->groups = calloc(GROUPS_MAX, sizeof *s->groups);
	s->subjects_max = SUBJECTS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / FILES_SHARE < s->subjects_max)
		s->subjects_max = (uint32_t)(files.rlim_cur / FILES_SHARE);
	s->cheap = s->dear = (struct credit){CREDIT_NS, ms_monotonic_ns()};
	int rc = s->ring && s->groups ? start_thread(s) : -ENOMEM;
	if (rc < 0) {
		ms_sampler_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void ms_sampler_stop(struct ms_sampler *s)
{
	if (!s->is_running)
		return;
	pthread_mutex_lock(&s->mutex);
	s->is_stopping = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
	s->is_running = false;
}

void ms_sampler_close(struct ms_sampler *s)
{
	if (!s)
		return;
	ms_sampler_stop(s);
	free_subjects(s, s->arrivals);
	free_subjects(s, s->subjects);
	for (size_t i = 0; i < s->n_groups; i++)
		if (s->groups[i].is_open)
			ms_group_meter_close(&s->groups[i].meter);
	free(s->groups);
	free(s->ring);
	pthread_mutex_destroy(&s->mutex);
	pthread_cond_destroy(&s->cond);
	free(s);
}

void ms_sampler_tell(const struct ms_sampler *s, struct ms_sampler_report *out)
{
	*out = (struct ms_sampler_report){
		.cost_ns = atomic_load(&s->cost_ns),
		.n_dropped = atomic_load(&s->n_dropped),
		.rollup_errno = atomic_load(&s->rollup_errno),
	};
}

/* See wishes.h. */
#include "wishes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "population.h"

#define GUESTS_NS 10000000u		  /* to ask for one costs more than a pass of a quiet program */
#define MUTE_NS UINT64_C(1000000000) /* by then a pause told by the program has come in */

int ms_wishes_add_remark(struct ms_session *s, enum mst_annotation_kind kind, struct ms_process *proc,
	const char *name, size_t name_len, uint64_t stamp)
{
	struct ms_remark *r = malloc(sizeof *r + name_len);
	if (!r)
		return MST_ENOMEM;
	*r = (struct ms_remark){.kind = kind, .process = proc, .stamp = stamp, .name_len = name_len};
	memcpy(r->name, name, name_len);
	*s->last_remark = r;
	s->last_remark = &r->next;
	return 0;
}

/* The stamp of a pause is taken before the programs hear of it, that of a resume after: what they leave out lies between
 * the two. */
static int pause_all(struct ms_session *s, bool is_paused)
{
	uint64_t stamp = ms_ticks_now(&s->clock);
	ms_server_pause(s->options.server, is_paused);
	int rc = ms_population_take_arrivals(s);
	for (size_t i = 0; rc >= 0 && i < s->n_live; i++)
		ms_share_pause(&s->live[i]->arrival->share, is_paused);
	if (!is_paused)
		stamp = ms_ticks_now(&s->clock);
	if (!is_paused && s->recording_since_ns == UINT64_MAX)
		s->recording_since_ns = ms_session_now_ns(s);
	s->is_paused = is_paused;
	return rc < 0 ? rc
		      : ms_wishes_add_remark(s, is_paused ? MST_ANNOTATION_PAUSE : MST_ANNOTATION_RESUME, NULL, "", 0, stamp);
}

static size_t count_paused(const struct ms_session *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n_live; i++)
		n += !s->live[i]->is_dead && ms_share_is_paused(&s->live[i]->arrival->share);
	return n;
}

static void answer_status(struct ms_session *s, const struct ms_remote_request *rq)
{
	char text[512];
	struct mst_totals totals;
	mst_writer_totals(s->options.writer, &totals);
	snprintf(text, sizeof text,
		"state: %s\ncommand: %d\nseconds: %.3f\nprocesses: %zu\npaused processes: %zu\nevents: %llu\n"
		"live bytes: %llu\nlost events: %llu\n",
		s->is_paused ? "paused" : "recording", (int)s->options.child->pid, (double)ms_session_now_ns(s) / 1e9,
		s->n_live, count_paused(s), (unsigned long long)totals.events,
		(unsigned long long)totals.live_bytes, (unsigned long long)totals.lost_events);
	ms_remote_answer(rq, text);
}

static int obey(struct ms_session *s, const struct ms_remote_request *rq)
{
	int rc = 0;
	if (rq->verb == MS_REMOTE_STATUS) {
		answer_status(s, rq);
		return 0;
	}
	if (rq->verb == MS_REMOTE_MARK)
		rc = ms_wishes_add_remark(s, MST_ANNOTATION_MARK, NULL, rq->name, rq->name_len, ms_ticks_now(&s->clock));
	else
		rc = pause_all(s, rq->verb == MS_REMOTE_STOP);
	ms_remote_answer(rq, "");
	return rc;
}

int ms_wishes_see_to(struct ms_session *s)
{
	struct ms_remote_request rq;
	int rc = 0;
	uint64_t now = ms_session_now_ns(s);
	if (s->options.remote && now >= s->next_guests_ns) {
		s->next_guests_ns = now + GUESTS_NS;
		while (rc >= 0 && ms_remote_next(s->options.remote, &rq))
			rc = obey(s, &rq);
	}
	if (rc >= 0 && ms_signals_take_reserved() % 2)
		rc = pause_all(s, !s->is_paused);
	if (rc >= 0 && s->options.delay_ns && now >= s->options.delay_ns) {
		s->options.delay_ns = 0;
		if (s->is_paused)
			rc = pause_all(s, false);
	}
	if (s->options.duration_ns && s->recording_since_ns <= now &&
		now - s->recording_since_ns >= s->options.duration_ns)
		s->is_over = true;
	return rc;
}

uint64_t ms_wishes_until_next(struct ms_session *s)
{
	uint64_t now = ms_session_now_ns(s), next = UINT64_MAX;
	if (s->options.delay_ns)
		next = s->options.delay_ns;
	if (s->options.duration_ns && s->recording_since_ns != UINT64_MAX &&
		s->recording_since_ns + s->options.duration_ns < next)
		next = s->recording_since_ns + s->options.duration_ns;
	return next > now ? next - now : 0;
}

int ms_wishes_see_to_mute(struct ms_session *s, struct ms_process *proc, uint64_t now)
{
	bool is_mute = proc->id && !proc->is_dead && !proc->is_paused && !s->is_paused && !s->remarks &&
		       ms_share_is_paused(&proc->arrival->share);
	if (!is_mute)
		proc->mute_since_ns = 0;
	else if (!proc->mute_since_ns)
		proc->mute_since_ns = now;
	else if (now - proc->mute_since_ns > MUTE_NS)
		return ms_wishes_add_remark(s, MST_ANNOTATION_PAUSE, proc, "", 0, ms_ticks_now(&s->clock));
	return 0;
}

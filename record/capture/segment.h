/* segment.h - this process image's attachment to the recorder: the mapped segment and what was agreed on.
 *
 * One session at a time. It is opened by lifecycle.c before any thread claims a slot, and replaced only in a
 * fork child, which has one thread. Everything read at every event is copied out of shared memory here, where
 * the program can not scribble on it as easily and no cache line bounces. */
#ifndef MS_SEGMENT_H
#define MS_SEGMENT_H

#include "arena.h"
#include "stamp.h"

struct ms_session {
	struct ms_segment segment;
	void *base; /* of the mapping, NULL before the first attachment */
	uint64_t size; /* bytes mapped there, MS_SEGMENT_SIZE at most */
	uint64_t clock_base;
	uint32_t stack_depth; /* 0: no stacks */
	bool is_tsc;
	bool is_blocking; /* wait for room rather than drop */
	bool has_free_stacks;
	_Atomic bool has_thread, has_threads; /* has one claimed a slot, or tried to; have several, ever */
	_Atomic uint64_t
		stuck_at; /* free_gen + 1 when a wait was given up: no waiting until it moves; 0 = never */
};
extern struct ms_session ms_session;

/* Attaches to the recorder that listens at socket_path: maps the segment and keeps no descriptor. False: the
 * session is as before; the program goes on untraced. Raw system calls only; takes 10 s at the very most. */
bool ms_session_open(const char *socket_path, enum ms_image image, uint64_t fork_id);

/* A notice that this process is not recorded. Raw system calls only. */
void ms_notice_of_self(struct ms_notice *n, enum ms_obstacle why);

/* Tells the recorder of a program that will not be recorded. Raw system calls only; takes 10 s at the very most. */
void ms_session_notify(const char *socket_path, const struct ms_notice *notice);

/* May the calling thread read the TSC (PR_SET_TSC)? A system call. */
bool ms_session_may_read_tsc(void);

/* Has the recorder ended, or ended this recording? */
bool ms_session_is_over(void);

/* Somebody who waits for chunks to be given back; zero: not yet. Of a step that took long no more is counted than a
 * busy machine may make of a millisecond: the program itself was stopped, and msrecord with it, perhaps. */
struct ms_waiter {
	uint64_t looked_ns, waited_ns; /* last; since free_gen is gen */
	uint32_t gen;
};

/* One step of waiting for chunks to be given back: MS_WAIT_AGAIN after at most a millisecond, MS_WAIT_GIVE_UP
 * if the recorder has freed nothing for 5 s (the caller drops the event and goes on). Who waits longer
 * while others are faster to take what is freed has not waited in vain. */
enum ms_wait { MS_WAIT_AGAIN, MS_WAIT_GIVE_UP };
enum ms_wait ms_session_wait(struct ms_waiter *waiter);

/* Wakes the recorder if it sleeps and half the backlog is used. */
void ms_session_nudge(void);

/* What the stamp of such a moment needs: the first thread need not look out for others while there are none. When it is
 * given what another thread freed, it sees that there is one, too. */
static inline enum ms_moment ms_session_moment(enum ms_moment moment)
{
	return atomic_load_explicit(&ms_session.has_threads, memory_order_relaxed) ? moment : MS_RELEASING;
}

static inline uint64_t ms_session_stamp(enum ms_moment moment)
{
	return ms_clock_raw(ms_session.is_tsc, ms_session_moment(moment)) - ms_session.clock_base;
}

#endif

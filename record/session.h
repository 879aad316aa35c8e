/* session.h - one recording, from the command's start to the last unit of the last process.
 *
 * One thread does everything but answer the door (serve.c) and compress (the writer). It goes round:
 *
 *	arrivals, deaths → look at the clock → drain every image → merge up to the watermark → partings →
 *sleep
 *
 * The watermark is the least stamp before which no image can bring anything more. A pass takes what there is;
 * between passes it sleeps 1 to 20 ms, or less when a program that fills its segment wakes it. */
#ifndef MS_SESSION_H
#define MS_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "absence.h"
#include "jit.h"
#include "process.h"
#include "remote.h"
#include "spawn.h"
#include "timebase.h"
#include "translate.h"

struct ms_session_options {
	struct mst_writer *writer;
	struct ms_server *server; /* started */
	struct ms_child *child;	  /* running; reaped by the session */
	bool wants_jit_names;	  /* of code that programs generate */
	struct ms_sampler *sampler; /* NULL: nothing is sampled. Stopped by the session */
	uint32_t stack_depth;
	struct ms_wraps *wraps;	  /* pools that are recorded; NULL: none */
	bool is_forking_followed; /* a forked child may still be on its way to us */
	bool stops_with_command;  /* do not wait for processes that outlive the command */
	struct ms_remote *remote; /* who obeys msrecord --control; may be NULL */
	bool starts_paused;	  /* the server has been told already */
	uint64_t delay_ns;	  /* with starts_paused: resume so long after the start; 0 = not by itself */
	uint64_t duration_ns;	  /* end so long after recording was first on; 0 = do not */
	void (*on_pass)(void *ctx, uint64_t elapsed_ns); /* after each pass over the processes; may be NULL */
	void (*on_waiting)(
		void *ctx, size_t n_processes); /* the command has ended, these have not; may be NULL */
	void *ctx;
};

struct ms_session {
	struct ms_session_options options;
	struct ms_clock_map clock;
	struct ms_translator translator;
	struct ms_drain drain;
	struct ms_merge merge;
	struct ms_absences absences;
	struct ms_process **live; /* images not finished */
	size_t n_live, cap_live;
	int poller;	       /* epoll over the pidfds */
	_Atomic uint32_t wake; /* futex: raised by whoever wants the next pass now */
	uint64_t sleep_ns;
	uint64_t flushed_ns, flushed_events;
	bool has_unflushed_samples;
	struct ms_jit jit;
	uint64_t arena_peak; /* bytes of chunks in use, of all images together */
	uint64_t image_arena_peak; /* of the one that used most */
	uint64_t child_ended_ns; /* 0: it has not */
	uint64_t next_guests_ns; /* when to ask for other msrecords' requests; time of the trace */
	uint64_t next_look_ns;	 /* for processes that have not arrived yet */
	uint32_t n_looks_at_nobody; /* in a row */
	bool has_notified;
	bool has_merged; /* in the last pass */
	bool is_paused;	 /* said last for all processes; its place in the order may still be ahead */
	bool has_paused; /* somebody, at some time */
	bool is_over;	 /* by options.duration_ns */
	uint64_t recording_since_ns; /* time of the trace when recording was first on; UINT64_MAX = never yet */
	struct ms_remark *remarks, **last_remark; /* to be told at their places in the order, oldest first */
	/* what there is to tell at the end */
	uint64_t n_processes, n_faults;
	size_t n_left_running;
	uint32_t first_fault_pid;
};

/* Time of the trace. */
static inline uint64_t ms_session_now_ns(const struct ms_session *s)
{
	return ms_monotonic_ns() - s->clock.monotonic_ns;
}

/* Starts the trace's clock. *s is large: give it static or heap storage. 0 or a negative errno. */
int ms_session_init(struct ms_session *s);
/* Frees everything; all zeros is fine. */
void ms_session_release(struct ms_session *s);
/* Wakes the session from any thread or signal handler: ctx is the session. */
void ms_session_wake(void *ctx);

/* Records until the command and what it started have ended, or a signal says stop. 0, or the writer's error:
 * then the programs have been told to go on unrecorded. */
int ms_session_run(struct ms_session *s, const struct ms_session_options *opt);

#endif

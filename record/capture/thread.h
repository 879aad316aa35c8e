/* thread.h - what the library keeps per thread, and who may use it at the moment.
 *
 * A thread's state lives in a block found through its slot's number, mapped when a slot of that number is
 * first claimed and inherited by later tenants. Thread-local storage proper holds a few words (initial-exec:
 * reaching them can not allocate).
 *
 * The guard says how deep in a hook the thread is; two bits of phase and the frame address of the hook:
 *
 *	0                        outside
 *	frame | 0                in a hook, in or around the real call; the writer is at rest
 *	frame | RECORDING        in a hook, unwinding or writing a unit
 *	frame | ASIDE            in the hook of a signal handler that interrupted a RECORDING one
 *	frame | ASIDE|RECORDING  the same, writing to the side buffer
 *	... | OPERATOR           in a real operator new or delete, the writer at rest (operators.h)
 *
 * A hook that finds it set is one of three things. (a) A call of the allocator's own (reallocarray calling
 * realloc): the outer hook tells of it, so it goes through unseen. (b) A signal handler's: recorded, at rest
 * as usual, else into the side buffer, which the interrupted hook empties, or, while that waits for room, a handler
 * for which it is full. A signal frame on the stack
 * between the two hooks, or an alternate stack, tells (b) from (a). (c) A leftover: the hook was left by
 * longjmp or by cancellation. Then the new frame is further out than the old one and not on an alternate
 * stack, or the unwinder finds no hook on the way out.
 *
 * Rejected: a plain flag (a single longjmp out of a hook ends the recording of the thread), blocking signals
 * (two system calls an event), a lock-free unit reservation for nested writers (a read-modify-write each). */
#ifndef MS_THREAD_H
#define MS_THREAD_H

#include "segment.h"
#include "unwind.h"

#define MS_LIKELY(x) __builtin_expect(!!(x), 1)
#define MS_UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { MS_GUARD_RECORDING = 1, MS_GUARD_ASIDE = 2, MS_GUARD_PHASE = 3, MS_GUARD_OPERATOR = 4 };
#define MS_GUARD_FRAME(guard) ((guard) & ~(uintptr_t)(MS_GUARD_PHASE | MS_GUARD_OPERATOR))

/* Things a thread has to see to before its next unit (bits of ms_thread.attention). */
enum ms_attention {
	MS_ATTEND_LOSS = 1,    /* tell of dropped events */
	MS_ATTEND_MODULES = 2, /* announce all modules again */
	MS_ATTEND_TIME = 4,    /* measure how long the next call takes to be recorded */
};

/* Calls of pools within each other. */
enum { MS_POOLS_NESTED = 8 };

enum { MS_SIDE_WORDS = 1024, MS_SIDE_UNITS = 16, MS_SIDE_DEPTH = 48 };

/* Units of signal handlers that interrupted this thread's hook: each with its whole stack (keep == 0), in
 * order of their stamps. */
struct ms_side {
	_Atomic uint32_t n;
	_Atomic uint32_t n_dropped;	   /* there was no room for these */
	uint32_t first;			   /* of the n, the first that is not published yet */
	bool may_move;			   /* the hook waits for room and has nothing else under way */
	uint32_t start[MS_SIDE_UNITS + 1]; /* of unit i in words, and of the free room after the last */
	uint64_t words[MS_SIDE_WORDS];
};

/* Events dropped since the last unit. */
struct ms_lost {
	uint64_t events, bytes, first_stamp, last_stamp;
};

/* The call of an operator new or delete that is under way (operators.c). */
struct ms_operator {
	uint32_t kind;	     /* enum ms_call_kind */
	bool is_own;	     /* the real one is the allocator's */
	bool has_failed;     /* and that has been told */
	uint32_t depth;	     /* hooks inside this one that are part of the call: new in new[] */
	uintptr_t frame;     /* of its hook: the stack begins at the caller of that */
	uintptr_t saved;     /* the guard before */
	uint64_t size, align;
	uintptr_t block;     /* to be deleted */
	uintptr_t told;	     /* the block that has been told of */
	uintptr_t untold;    /* one that looked like another */
	uintptr_t vain_ip;   /* who called malloc in vain; 0 = nobody */
	uintptr_t inside;    /* frame of the hook that is inside this call for certain; 0 = none */
	const struct ms_operator *outer; /* the call that this one came in the middle of */
};

/* Where an operator's hook was found around malloc's last, relative to the frame of that (operators.c). */
struct ms_operator_place {
	uintptr_t ip;	    /* malloc's caller */
	uintptr_t slot_off; /* where the caller's own return address stands */
	uintptr_t ret;	    /* it: in the operator's hook */
	uintptr_t hook_off; /* the frame of that */
};

struct ms_thread {
	struct ms_writer writer;
	uint32_t attention;
	bool needs_whole_stack; /* msrecord's memory of this thread's stack is not ours */
	bool is_cut;		/* the stack sent last has its outer end cut off */
	uint32_t depth;		/* and this many frames */
	struct ms_unwind unwind;
	struct ms_lost lost;
	struct ms_operator op; /* if the guard says so */
	struct ms_operator_place op_place;
	struct {
		uintptr_t frame; /* of the call (pools.c) */
		uint32_t pool;
	} pools[MS_POOLS_NESTED]; /* under way, outermost first */
	uint32_t n_pools;
	struct ms_side side;
};

struct ms_tls {
	struct ms_thread *thread; /* NULL: none claimed yet */
	uintptr_t guard;
	uint64_t fork_id; /* of the fork under way, 0 = none */
	uint32_t slotless_calls; /* calls to let through before a slot is looked for; UINT32_MAX: never */
};
extern __thread struct ms_tls ms_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));
_Static_assert(sizeof(struct ms_tls) <= 48, "static TLS is scarce");

/* A page the kernel clears in a fork child. Zero therefore means: not attached yet, or not any more. */
struct ms_image_page {
	_Atomic uint32_t is_recording; /* attached, and not paused as far as this image has noticed */
	_Atomic uint32_t is_attached;
	_Atomic uint32_t is_attaching;
} __attribute__((aligned(4096)));
extern struct ms_image_page ms_image_page;

/* Set for good, in this image and the ones forked from it, when there is no recorder (any more): hooks let
 * everything through. */
extern _Atomic uint32_t ms_is_silent;
void ms_go_silent(void);

/* The socket of the recorder that this process belongs to, or NULL. (lifecycle.c) */
const char *ms_recorder_path(void);
/* To be called before an exec of which enum ms_obstacle keeps the recorder away, when no notice of it could get there
 * either. Nothing if this process is not recorded. */
void ms_tell_of_unfollowed(uint32_t obstacle);

/* What a hook is for while the recording is paused. */
enum ms_need {
	MS_NEED_RECORDING, /* acquisitions: nothing */
	MS_NEED_HISTORY,   /* releases: if there may be blocks that the trace knows */
	MS_NEED_NOTHING,   /* what has to be told in any case */
};

/* Something may have been recorded in this image or before its forks: releases matter. (lifecycle.c) */
extern _Atomic bool ms_has_history;

/* Is the recording paused, as this image has noticed, and nothing to be told of a hook for that need? Whether the pause goes
 * on is looked up in the segment. An image that is not attached, as a fork child's is not at first, is not paused. */
static inline __attribute__((always_inline)) bool ms_is_paused_for(enum ms_need need)
{
	return !atomic_load_explicit(&ms_image_page.is_recording, memory_order_relaxed) &&
	       atomic_load_explicit(&ms_image_page.is_attached, memory_order_acquire) && need != MS_NEED_NOTHING &&
	       atomic_load_explicit(&ms_session.segment.control->paused, memory_order_relaxed) &&
	       (need == MS_NEED_RECORDING || !atomic_load_explicit(&ms_has_history, memory_order_relaxed));
}

/* One hook on its way. */
struct ms_call {
	struct ms_thread *thread; /* NULL: let the call through unseen */
	uintptr_t mine, saved;	  /* the guard while the hook is at rest, and what it was before */
	enum ms_need need;
};

/* Looks whether the recording is paused, which the fast path learns by and by, and says so. (lifecycle.c) */
bool ms_pause_notice(void);
/* The calling thread has told of a pause or a resume. */
void ms_pause_set(bool is_paused);

/* Decides about a call that the fast path does not cover: first calls, nested ones, after a fork, untraced
 * processes. Fills *call; false if call->thread is NULL. (lifecycle.c) */
bool ms_enter_slow(struct ms_call *call);

/* The calling thread, ready to record, for a hook outside of all others; NULL: not to be recorded. Counts no
 * call as lost: another hook is to come. (lifecycle.c) */
struct ms_thread *ms_thread_ready(uintptr_t frame);
/* The program may be about to lock itself in: attaches, if that has not been done and is still allowed. (lifecycle.c) */
void ms_attach_while_allowed(uintptr_t frame);

/* Enters a hook where nothing out of the ordinary is the matter; NULL: ask ms_enter. With the thread go a
 * guard of `frame` at rest, and 0 when it is left. */
static inline struct ms_thread *ms_enter_fast(const void *frame)
{
	struct ms_thread *t = ms_tls.thread;
	if (MS_UNLIKELY(!atomic_load_explicit(&ms_image_page.is_recording, memory_order_relaxed) || !t ||
			ms_tls.guard))
		return NULL;
	ms_tls.guard = (uintptr_t)frame;
	atomic_signal_fence(memory_order_seq_cst);
	return t;
}

static inline void ms_leave_fast(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	ms_tls.guard = 0;
}

/* Enters a hook; `frame` is __builtin_frame_address(0) of the interposed function. False: call through,
 * record nothing, do not leave. */
static inline bool ms_enter_for(struct ms_call *call, const void *frame, enum ms_need need)
{
	call->need = need;
	call->mine = (uintptr_t)frame;
	call->saved = 0;
	call->thread = ms_enter_fast(frame);
	return MS_LIKELY(call->thread != NULL) || (!ms_is_paused_for(need) && ms_enter_slow(call));
}

/* The same for a hook that acquires: let through while the recording is paused. */
static inline bool ms_enter(struct ms_call *call, const void *frame)
{
	return ms_enter_for(call, frame, MS_NEED_RECORDING);
}

static inline void ms_leave(const struct ms_call *call)
{
	atomic_signal_fence(memory_order_seq_cst);
	ms_tls.guard = call->saved;
}

static inline bool ms_call_is_aside(const struct ms_call *call)
{
	return call->mine & MS_GUARD_ASIDE;
}

/* What a guard met by a hook at `frame` means, where is_hook tells return addresses in hooks from others. */
enum ms_nesting { MS_NEST_LEFTOVER, MS_NEST_ALLOCATOR, MS_NEST_SIGNAL };
enum ms_nesting ms_thread_nesting(uintptr_t guard, uintptr_t frame, bool (*is_hook)(uintptr_t ip));
/* Is it in a hook of the heap's or of the mapping layer's? */
bool ms_thread_is_hook(uintptr_t ip);

/* Copies n words of a stack that may end sooner; returns how many there were. */
size_t ms_thread_copy_stack(uintptr_t from, uintptr_t *to, size_t n);

/* What a hook at `frame` that has met a guard is to do. (lifecycle.c) */
enum ms_met {
	MS_MET_NOTHING, /* it was a leftover and is no more: as if there had been none */
	MS_MET_CALLER,	/* let the call through: the hook outside tells of it */
	MS_MET_OTHER,	/* a call of its own in the middle of another: a handler's, or one made by an operator */
	MS_MET_LOST,	/* as OTHER, but there is no place to record it: counted */
};
enum ms_met ms_meet_guard(uintptr_t frame);

/* In a fork child, before its thread claims a slot of the new session: the old block's stack bounds still
 * hold, the modules have to be announced again. */
void ms_thread_inherit(void);

/* Claims a slot for the calling thread, which runs on the stack that `frame` is on, and sets ms_tls.thread.
 * NULL: no slot or no memory. */
struct ms_thread *ms_thread_claim(uintptr_t frame);

/* The calling thread has no clock any more: it is recorded no further. */
void ms_thread_retire(void);

#endif

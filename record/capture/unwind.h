/*
 * The call stack of the calling thread, many times a second, for the price of looking at it.
 *
 * Three memories make it cheap. Rules (cfi.h) are found once per program counter and kept in a table for the
 * whole process. Each thread has the rules of the return addresses it met lately at hand, each with the one that
 * followed last time. And each thread keeps the stack it unwound last, frame by frame, with the addresses that
 * each caller's ip and rbp were loaded from. A new unwind steps from the innermost frame; as soon as a
 * computed (ip, sp, rbp) equals a remembered frame, the rest of the old stack holds if every remembered
 * address still contains the remembered value. Unwinding is a function of the registers and of those words
 * alone, so this is exact: it reads what a plain unwind would read, without finding and carrying out the
 * rules.
 *
 *	 index   0            keep-1 | keep             depth-1
 *	       main … the same as in  | ← pushed: the only part
 *	       the last report        |   that has to be sent →     the hook's caller
 *
 * The remembered array is also what the thread reported last, so the result is a difference to it.
 *
 * A delivered ip is a return address, so a consumer that wants the call subtracts 1. A frame that a signal
 * interrupted is delivered as its exact pc plus 1, so that the same subtraction is right for every frame.
 *
 * It runs inside foreign programs, also in signal handlers, on alternate stacks and coroutines, between vfork
 * and exec: it calls nothing but _dl_find_object (lock-free) and raw system calls, allocates nothing, takes
 * no lock, uses less than 1.5 KiB of stack, and loads only from [sp, end of the thread's stack). A stack
 * pointer anywhere else is a foreign stack, which may vanish at any time: that is read through
 * process_vm_readv, which fails where a load would crash. So is code that no module describes
 * (unwind_guess.c), once for each place that calls. A short stack, marked cut, is preferred to a wrong one
 * everywhere.
 */
#ifndef MS_UNWIND_H
#define MS_UNWIND_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MS_UNWIND_MAX_DEPTH = 4096, /* the most frames a thread can be told to keep */
	MS_UNWIND_WINDOW = 4096,    /* bytes of a foreign stack seen at a time */
};

/* What is known of a frame: the address it will return to, and the two registers at that moment. */
struct ms_unwind_regs {
	uintptr_t ip, sp, bp;
};

/* The caller of the function this is written in, which must be a real function (not inlined). */
#define MS_UNWIND_CALLER()                                                                                   \
	({                                                                                                   \
		const uintptr_t *ms_frame_ = __builtin_frame_address(0);                                     \
		(struct ms_unwind_regs){ms_frame_[1], (uintptr_t)(ms_frame_ + 2), ms_frame_[0]};             \
	})

/* A stack that is surely mapped and readable from any sp in [lo, hi) up to hi. Empty (0, 0): none known. */
struct ms_unwind_bounds {
	uintptr_t lo, hi;
};

enum ms_unwind_flags {
	MS_UNWIND_CUT = 1,     /* frames are missing at the outer end: no usable unwind information */
	MS_UNWIND_LIMITED = 2, /* frames are missing at the outer end: deeper than the limit */
};

/* One frame. The slot is where the word `bp` was loaded from; private, as are sp and bp. */
struct ms_unwind_frame {
	uintptr_t ip, sp, bp, bp_slot;
};

/* The stack as a difference to the one reported before: keep the outermost `keep` ips, push `n_push` more. */
struct ms_stack_diff {
	uint32_t keep, n_push;
	const struct ms_unwind_frame *push; /* outermost first; in the thread's storage, valid until its next unwind */
	unsigned flags;			    /* enum ms_unwind_flags, of the whole stack */
};

/* What a thread has learnt of a return address: the rule of the call before it, and where that led to last time. Private. */
struct ms_unwind_step {
	uintptr_t key; /* the address and, above it, the age of what is known */
	uint64_t rule; /* 0: none */
	struct ms_unwind_step *outer;
	uintptr_t pad; /* two to a cache line */
};

/* What is known of another epoch has another age, so that nothing has to be cleared, nor touched, for a new one. */
enum { MS_UNWIND_STEPS = 2048, MS_UNWIND_AGE_SHIFT = 48 };

struct ms_unwind_steps {
	struct ms_unwind_step step[MS_UNWIND_STEPS];
	uintptr_t age; /* at its place in a key */
};

/* Per thread. Private but for its size; any storage that lives as long as the thread will do. */
struct ms_unwind {
	struct ms_unwind_frame *frame; /* the remembered stack, outermost first */
	uint32_t n, limit;
	unsigned flags;
	uint8_t reusable;     /* the words of the remembered stack may be compared */
	uint8_t recheck;      /* the outer end hangs on words that are not remembered: step there again */
	uint32_t n_stackless; /* events while `stack` was not known */
	uint64_t epoch;
	struct ms_unwind_bounds stack;
	struct ms_unwind_steps *steps;
	struct ms_unwind_frame *fresh; /* frames of the unwind under way, innermost first */
	unsigned char *window;
};

/* Bytes of storage, zeroed before its first use, that a thread with this limit (1..MS_UNWIND_MAX_DEPTH) needs. Pages it
 * never reaches stay untouched. */
size_t ms_unwind_storage_size(uint32_t limit);

/*
 * Prepare U for the calling thread. STORAGE: page- or 16-aligned, of the size above, stays the caller's and
 * is used until the thread is done. STACK: what ms_unwind_find_stack() said; if that is {0, 0}, it is asked
 * again at the first event and then ever more seldom. U may be initialised again at any time.
 */
void ms_unwind_init(struct ms_unwind *u, void *storage, uint32_t limit, struct ms_unwind_bounds stack);

/*
 * The stack of the calling thread, SP being a place on the stack it runs on at the moment: the mapping
 * [stack] for the main thread, the mapping that also holds the thread control block, up to that, for others.
 * {0, 0} if /proc cannot tell or the thread is somewhere else at the moment; unwinding then treats every
 * stack as foreign. Reads /proc/self/maps: 10 to 100 µs, 600 bytes of stack.
 */
struct ms_unwind_bounds ms_unwind_find_stack(uintptr_t sp);

/* ms_unwind_here() with the registers of AT one by one: they stay registers. */
void ms_unwind_from(struct ms_unwind *u, uintptr_t ip, uintptr_t sp, uintptr_t bp, struct ms_stack_diff *out);

/*
 * The same for the common case only, at half the cost: the thread's own stack, rules already in the table, an
 * outer part of the remembered stack still there. Returns keep (bits 0-31) and n_push (32-63) of a difference
 * whose flags are those of the one before, the frames at u->frame + keep; or MS_UNWIND_NOT_QUICK, U being as it was.
 */
#define MS_UNWIND_NOT_QUICK (~UINT64_C(0))
uint64_t ms_unwind_quick(struct ms_unwind *u, uintptr_t ip, uintptr_t sp, uintptr_t bp);

/*
 * Unwind from AT and fill OUT. Owner thread only, not from a signal handler that interrupted this very
 * function (use ms_unwind_fresh there). May be left by longjmp: the next result then has keep = 0. Cannot
 * fail; the stack has at least one frame.
 */
static inline void ms_unwind_here(
	struct ms_unwind *u, const struct ms_unwind_regs *at, struct ms_stack_diff *out)
{
	ms_unwind_from(u, at->ip, at->sp, at->bp, out);
}

/*
 * Unwind without touching what is remembered: for events in signal handlers. At most CAP (>= 1) ips go to
 * IPS, outermost first. Returns their number. U gives the bounds only.
 */
uint32_t ms_unwind_fresh(const struct ms_unwind *u, const struct ms_unwind_regs *at, uintptr_t *ips,
	uint32_t cap, unsigned *flags);

/*
 * Step outward from AT, which becomes the first frame whose ip is in [LO, HI); STEPS at most, and through
 * compiled frames only. False: there is none so near; AT is as it was. Exact, unlike a look at the stack's
 * words: code that is found is under way.
 */
bool ms_unwind_out_to(
	const struct ms_unwind *u, struct ms_unwind_regs *at, uintptr_t lo, uintptr_t hi, unsigned steps);

/* The next difference carries the whole stack: after a report that did not arrive, in a new stream. */
static inline void ms_unwind_forget(struct ms_unwind *u)
{
	u->n = 0;
}

/*
 * SEEN is called with each module whose code is met for the first time, before any stack with an ip of it is
 * delivered; by several threads at once perhaps, and for a module again if the memory of modules is full.
 * It runs inside an unwind: it must not unwind, nor allocate. A module with holes between its segments is
 * found (and announced) by segment: take the module from dlfo_link_map, not from dlfo_map_start. Set it
 * before the first unwind; NULL: nobody.
 */
void ms_unwind_on_module(void (*seen)(const struct dl_find_object *));

/* The module announced with this dlfo_map_start is gone: should it come back, it is announced again. */
void ms_unwind_forget_module(uintptr_t start);

/*
 * To be called around the real dlclose(). From begin to end no rule is taken from or put into the table;
 * after end all rules are gone and every thread starts over. Threads may overlap.
 */
void ms_unwind_dlclose_begin(void);
void ms_unwind_dlclose_end(void);

/* LENGTH bytes at START are not mapped any more, or hold something else: what was learnt of generated code there is void. To
 * be called when that has happened. */
void ms_unwind_unmapped(uintptr_t start, size_t length);

#endif

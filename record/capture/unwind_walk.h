/*
 * One unwind under way: the words that it may load, and the rules that it goes by.
 *
 * Every load goes through load(): from the thread's own stack between the sp of the event and its end, or from a copy of
 * a foreign stack.
 */
#ifndef MS_UNWIND_WALK_H
#define MS_UNWIND_WALK_H

#include "unwind.h"
#include "unwind_rules.h"

#include <stddef.h>

/* Words of the program's stack, whatever type it has put there. */
typedef uintptr_t __attribute__((may_alias)) stack_word;

static inline uintptr_t word_at(uintptr_t address)
{
	return *(const stack_word *)address;
}

struct walk {
	uintptr_t lo, span; /* words at lo … lo + span can be loaded, each from its address + delta */
	uintptr_t delta;
	const struct ms_unwind_bounds *stack;
	unsigned char *window;
	size_t window_size;
	uint64_t epoch;
	uintptr_t generation; /* as in the keys of the table */
	uintptr_t interrupted; /* the ip of a frame that a signal has interrupted, so not behind a call; or 0 */
	bool use_table;
	bool foreign; /* on a foreign stack now */
	bool tainted; /* was on one, or went down: what was loaded cannot be verified later */
	bool stale;   /* modules have changed meanwhile */
	bool recheck; /* the end hangs on words that are not remembered */
};

/* The walk goes on at SP, maybe on another stack. */
static inline void walk_look_at(struct walk *w, uintptr_t sp)
{
	w->foreign = sp < w->stack->lo || sp >= w->stack->hi || w->stack->hi - sp < 8;
	w->delta = 0;
	w->lo = sp;
	if (w->foreign) {
		w->tainted = true;
		w->lo = UINTPTR_MAX; /* nothing yet: the first load fills the window */
		w->span = 0;
	} else {
		w->span = w->stack->hi - sp - 8;
	}
}

/* Start at SP. The window is for copies of foreign stacks. All that is passed stays the caller's, for as long as the walk. */
static inline void walk_open(struct walk *w, const struct ms_unwind_bounds *stack, unsigned char *window,
	size_t size, uintptr_t sp)
{
	w->stack = stack;
	w->window = window;
	w->window_size = size;
	w->epoch = atomic_load_explicit(&ms_rules_epoch, memory_order_acquire);
	w->generation = ms_rules_generation(w->epoch);
	w->use_table = !(w->epoch & EPOCH_CLOSING);
	w->tainted = w->stale = w->recheck = false;
	w->interrupted = 0;
	walk_look_at(w, sp);
}

/* Copy the foreign stack from AT on; as much as is mapped, two pages at most. */
bool ms_walk_slide(struct walk *w, uintptr_t at);

/* The rule at PC, which the table does not have. */
ms_cfi_rule ms_walk_find_rule(struct walk *w, uintptr_t pc);

/* The word at AT. False: it is not on the stack of the walk, or cannot be read. */
static inline bool load(struct walk *w, uintptr_t at, uintptr_t *value)
{
	if (unlikely(at - w->lo > w->span) && !ms_walk_slide(w, at))
		return false;
	*value = word_at(at + w->delta);
	return true;
}

/* The rule at PC. If it was not in the table, the walk may be stale afterwards. */
static inline ms_cfi_rule rule_of(struct walk *w, uintptr_t pc)
{
	ms_cfi_rule rule;

	if (likely(w->use_table && ms_rules_have(pc, w->generation, &rule)))
		return rule;
	return ms_walk_find_rule(w, pc);
}

/* ---- steps ---- */

enum step { STEP_OK, STEP_END, STEP_CUT };

/* A slot that never holds BP. */
static inline uintptr_t never_slot(uintptr_t bp)
{
	static const uintptr_t never[2] = {0, 1};

	return (uintptr_t)&never[bp == 0];
}

#endif

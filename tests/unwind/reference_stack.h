/*
 * The stack as gcc's own unwinder sees it, to compare ours with; and what a consumer makes of our
 * differences.
 */
#ifndef REFERENCE_STACK_H
#define REFERENCE_STACK_H

#include "unwind.h"

enum { REF_MAX = MS_UNWIND_MAX_DEPTH };

/* A whole stack, outermost first, ips as unwind.h delivers them. */
struct ref_stack {
	uint32_t n;
	unsigned flags;
	uintptr_t ip[REF_MAX];
};

/* The stack of the function that calls this, from its caller on (as a hook would be asked for). */
void ref_walk(struct ref_stack *s);

/* Apply a difference to what was reported before. */
void ref_apply(struct ref_stack *s, const struct ms_stack_diff *diff);

enum ref_verdict {
	REF_AGREE,  /* the same frames */
	REF_CUT,    /* ours says that it is cut, and is the inner part of theirs */
	REF_LONGER, /* theirs ended in code without unwind information, ours went on from there */
	REF_DISAGREE,
};

enum ref_verdict ref_compare(const struct ref_stack *ours, const struct ref_stack *theirs);

#endif

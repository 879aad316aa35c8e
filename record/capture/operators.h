/* operators.h - C++'s operator new and delete: hooks around hooks.
 *
 *	program → operator new [hook] → the real one → malloc [hook] → the real malloc
 *
 * Both hooks meet the block; one event is told, by the inner one at the moment it has the block, or is about
 * to lose it: of the kind, size and alignment that the operator was asked for, with the stack from the
 * operator's caller on. So nothing has to be matched up later, each call of malloc is one event whatever the
 * operator does, a failed one is told even if the operator then throws, and a release stands before it
 * happens.
 *
 * While the real operator runs the thread's guard says so (MS_GUARD_OPERATOR) and its struct ms_operator what
 * was asked for. A hook that meets such a guard finds out what it is:
 *
 *	part of the call     the operator called us, directly or by way of a few functions, and asks malloc for
 *	                     just what it was asked for, or hands just that block to free; or it is an operator
 *	                     that this one is made of (new in new[])
 *	another call inside  what a new_handler allocates, a pool that fetches a slab, the exception: an event of
 *	                     its own kind, as anywhere
 *	a signal handler's   likewise
 *	none of these        the operator was left by longjmp: the guard is a leftover (thread.h)
 *
 * That it was called from inside is seen by stepping outward, with the unwinder's rules, from the inner hook to
 * the code of an operator's hook: certain, and one or two steps. An exception that leaves through a hook takes
 * the guard along: the hooks' personality routine is told of it. It handles nothing, needs no C++ library, and
 * the exception goes on.
 *
 * An operator that belongs to the allocator (tcmalloc) calls no malloc that we see: its own hook tells, and
 * whatever the allocator's module calls meanwhile is let through.
 *
 * Rejected: suppressing the inner event and telling the outer (what malloc did besides would be lost, and a
 * release be told too late or too early); retagging the inner event afterwards (two units a call); knowing the
 * operator by the stack alone (libstdc++'s delete jumps to free and leaves no frame). */
#ifndef MS_OPERATORS_H
#define MS_OPERATORS_H

#include "emit.h"

/* Of a hook at `frame` that has met an OPERATOR guard: is its caller the allocator, inside its own operator? */
bool ms_operator_is_callers(const struct ms_thread *t, uintptr_t frame);

/* Was it called from inside the operator? Notes it for the two functions below. */
bool ms_operator_surrounds(struct ms_thread *t, uintptr_t frame);

/* Of malloc's hook at `frame`, which has met an OPERATOR guard: is it the operator's call for its block, and
 * nothing is unusual? Then the thread, else NULL; and to be told of by ms_operator_got when there is a block. */
struct ms_thread *ms_operator_asks(size_t size, uintptr_t frame);
void ms_operator_got(struct ms_thread *t, const void *p);

/* The same of free's hook, which is handed p; to be told of by ms_operator_gives before it is gone. */
struct ms_thread *ms_operator_gives_back(const void *p, uintptr_t frame);
void ms_operator_gives(struct ms_thread *t, const void *p);

/* In place of ms_emit_acquired and ms_emit_released, for a call in the middle of an operator's. */
void ms_operator_acquired(const struct ms_call *call, const struct ms_event *ev);
void ms_operator_released(const struct ms_call *call, const struct ms_event *ev);

#endif

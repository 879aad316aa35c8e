#include "reference_stack.h"

#include <string.h>
#include <unwind.h>

struct collector {
	struct ref_stack *stack;
	unsigned skip;
};

static _Unwind_Reason_Code collect(struct _Unwind_Context *context, void *closure)
{
	struct collector *c = closure;
	struct ref_stack *s = c->stack;
	int is_exact = 0;
	uintptr_t ip = _Unwind_GetIPInfo(context, &is_exact);

	if (c->skip > 0)
		c->skip--;
	else if (s->n < REF_MAX && ip != 0)
		s->ip[s->n++] = ip + (is_exact ? 1 : 0);
	return _URC_NO_REASON;
}

__attribute__((noinline)) void ref_walk(struct ref_stack *s)
{
	struct collector c = {s, 2};

	s->n = 0;
	s->flags = 0;
	_Unwind_Backtrace(collect, &c);
	for (uint32_t i = 0; i < s->n / 2; i++) {
		uintptr_t ip = s->ip[i];

		s->ip[i] = s->ip[s->n - 1 - i];
		s->ip[s->n - 1 - i] = ip;
	}
}

void ref_apply(struct ref_stack *s, const struct ms_stack_diff *diff)
{
	for (uint32_t i = 0; i < diff->n_push; i++)
		s->ip[diff->keep + i] = diff->push[i].ip;
	s->n = diff->keep + diff->n_push;
	s->flags = diff->flags;
}

enum ref_verdict ref_compare(const struct ref_stack *ours, const struct ref_stack *theirs)
{
	uint32_t common = ours->n < theirs->n ? ours->n : theirs->n;

	for (uint32_t i = 1; i <= common; i++)
		if (ours->ip[ours->n - i] != theirs->ip[theirs->n - i])
			return REF_DISAGREE;
	if (ours->n == theirs->n)
		return REF_AGREE;
	if (ours->n > theirs->n)
		return REF_LONGER;
	return ours->flags ? REF_CUT : REF_DISAGREE;
}

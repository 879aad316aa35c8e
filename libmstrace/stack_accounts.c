/* stack_accounts.c - how the tables grow; the hot one by hand, since realloc does not keep alignment. */
#include "stack_accounts.h"

#include "grow.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct mst_account) == 64, "an account is a cache line");

static int grow_accounts(struct mst_stack_accounts *s, uint32_t need)
{
	uint32_t cap_rest = s->cap, cap_stack_of = s->cap;
	if (need <= s->cap)
		return 0;
	int rc = mst_grow32(&s->rest, &cap_rest, need, sizeof *s->rest);
	if (rc == 0)
		rc = mst_grow32(&s->stack_of, &cap_stack_of, need, sizeof *s->stack_of);
	struct mst_account *hot = rc == 0 ? aligned_alloc(64, cap_rest * sizeof *hot) : NULL;
	if (!hot)
		return MST_ENOMEM;
	if (s->n)
		memcpy(hot, s->hot, s->n * sizeof *hot);
	memset(hot + s->n, 0, (cap_rest - s->n) * sizeof *hot);
	free(s->hot);
	s->hot = hot;
	s->cap = cap_rest;
	return 0;
}

int mst_stack_accounts_init(struct mst_stack_accounts *s)
{
	*s = (struct mst_stack_accounts){0};
	int rc = grow_accounts(s, 1);
	if (rc == 0)
		s->n = s->n_stacks = 1;
	return rc;
}

void mst_stack_accounts_release(struct mst_stack_accounts *s)
{
	free(s->hot);
	free(s->rest);
	free(s->stack_of);
	free(s->index_of);
}

int mst_stack_accounts_add(
	struct mst_stack_accounts *s, const struct mst_reader *r, uint32_t stack, uint32_t *index)
{
	*index = 0;
	if (stack > mst_reader_n_stacks(r))
		return 0;
	int rc = mst_grow32(&s->index_of, &s->cap_stacks, stack + 1, sizeof *s->index_of);
	if (rc == 0)
		rc = grow_accounts(s, s->n + 1);
	if (rc < 0)
		return rc;
	if (stack >= s->n_stacks)
		s->n_stacks = stack + 1;
	*index = s->n++;
	s->index_of[stack] = *index;
	s->stack_of[*index] = stack;
	return 0;
}

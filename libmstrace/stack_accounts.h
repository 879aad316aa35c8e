/* stack_accounts.h - an account per stack that acquires blocks.
 *
 * Most stack ids are inner nodes of the stack tree and never acquire anything, so ids are mapped to a dense
 * index: the accounts in use lie together, in the order of their first use, one cache line each. Index 0 is
 * for stack 0 and for stacks that the dictionary does not know. */
#ifndef MST_STACK_ACCOUNTS_H
#define MST_STACK_ACCOUNTS_H

#include "account.h"

struct mst_stack_accounts {
	struct mst_account *hot;       /* by index; 64-byte aligned */
	struct mst_account_rest *rest; /* by index */
	uint32_t *stack_of;	       /* by index */
	uint32_t n, cap;
	uint32_t *index_of;	       /* by stack id; 0 = none yet */
	uint32_t n_stacks, cap_stacks; /* ids 0..n_stacks-1 may have one */
};

int mst_stack_accounts_init(struct mst_stack_accounts *s);
void mst_stack_accounts_release(struct mst_stack_accounts *s);

/* The index for a stack seen for the first time. Invalidates pointers into hot and rest. */
int mst_stack_accounts_add(
	struct mst_stack_accounts *s, const struct mst_reader *r, uint32_t stack, uint32_t *index);

/* The index of the stack's account, made if need be. */
static inline int mst_stack_accounts_find(
	struct mst_stack_accounts *s, const struct mst_reader *r, uint32_t stack, uint32_t *index)
{
	*index = stack < s->cap_stacks ? s->index_of[stack] : 0;
	return *index || stack == MST_STACK_NONE ? 0 : mst_stack_accounts_add(s, r, stack, index);
}

/* For a stack that is about to be used. */
static inline void mst_stack_accounts_prefetch(const struct mst_stack_accounts *s, uint32_t index)
{
	__builtin_prefetch(&s->hot[index], 1);
}

#endif

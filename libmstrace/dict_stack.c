/* dict_stack.c - STACK: first_id, first_code, the column of parents, the column of codes.
 *
 * Parents: 0 = none, 1 = cut, k >= 2: the entry k - 1 before this one; a chain of new nodes is thus a row of 2s. A
 * parent stands before its child, so a walk to the root always ends.
 * Codes: the difference to `next`, the code expected to be used for the first time next: it starts as first_code and
 * is one more than the greatest code seen in the frame. New code addresses are thus zeros. */
#include "dict.h"

#include <string.h>

#define FRAME_ENTRIES 65536u
#define NUMBER_MAX 5u /* bytes of a varint here: ids, and zigzagged differences of ids, have 33 bits at most */

static uint64_t parent_token(uint32_t id, uint32_t parent)
{
	return parent < MST_STACK_FIRST ? parent : (uint64_t)id - parent + 1;
}

/* Of the entries from id on, n at most, how many stand side by side. */
static const struct mst_stack *run_of(const struct mst_dict *d, uint32_t id, uint32_t *n)
{
	uint32_t most = *n;
	const struct mst_stack *s = mst_table_run(&d->stacks, id, n);

	if (*n > most)
		*n = most;
	return s;
}

static uint8_t *put_parents(const struct mst_dict *d, uint32_t id, uint32_t end, uint8_t *p)
{
	for (uint32_t n; id < end; id += n) {
		const struct mst_stack *s = run_of(d, id, (n = end - id, &n));

		for (uint32_t i = 0; i < n; i++)
			p = mst_put_varint(p, parent_token(id + i, s[i].parent));
	}
	return p;
}

static uint8_t *put_codes(const struct mst_dict *d, uint32_t id, uint32_t end, uint32_t next, uint8_t *p)
{
	for (uint32_t n; id < end; id += n) {
		const struct mst_stack *s = run_of(d, id, (n = end - id, &n));

		for (uint32_t i = 0; i < n; i++) {
			p = mst_put_varint(p, mst_zigzag((int64_t)s[i].code - next));
			if (s[i].code >= next)
				next = s[i].code + 1;
		}
	}
	return p;
}

uint32_t mst_stacks_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out)
{
	uint32_t n = last - first < FRAME_ENTRIES ? last - first + 1 : FRAME_ENTRIES;
	uint32_t next = ((const struct mst_stack *)mst_table_get(&d->stacks, first))->code;
	uint8_t *p;

	if (!mst_buffer_reserve(out, (2 * (size_t)n + 2) * NUMBER_MAX))
		return n;
	p = mst_put_varint(out->bytes + out->len, first);
	p = mst_put_varint(p, next);
	p = put_parents(d, first, first + n, p);
	p = put_codes(d, first, first + n, next, p);
	out->len = (size_t)(p - out->bytes);
	return n;
}

/* Parents are read twice: once to find where the codes start, once with them. */
static bool parents_good(struct mst_cursor *c, uint32_t first, uint32_t n_items)
{
	for (uint32_t i = 0; i < n_items; i++) {
		uint64_t token = mst_get_varint(c);

		/* The parent, first + i - (token - 1), is a stack entry. */
		if (token >= MST_STACK_FIRST && token - 1 > first + i - MST_STACK_FIRST)
			return false;
	}
	return !c->failed;
}

int mst_stacks_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	uint32_t first = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
	int64_t next = (int64_t)mst_get_varint_max(c, MST_IDS_MAX);
	struct mst_cursor parents = *c;

	if (c->failed || first < MST_STACK_FIRST || n_items > MST_IDS_MAX - first) {
		*why = "stack ids out of range";
		return MST_EDAMAGED;
	}
	if (!parents_good(c, first, n_items)) {
		*why = "a stack entry's parent does not stand before it";
		return MST_EDAMAGED;
	}
	for (uint32_t i = 0; i < n_items; i++) {
		uint64_t token = mst_get_varint(&parents);
		int64_t code = next + mst_unzigzag(mst_get_varint_max(c, (uint64_t)4 * MST_IDS_MAX));
		struct mst_stack s = {.parent = (uint32_t)token, .code = (uint32_t)code};
		int rc;

		if (c->failed || code < 1 || code > MST_IDS_MAX) {
			*why = "a stack entry's code id is out of range";
			return MST_EDAMAGED;
		}
		if (token >= MST_STACK_FIRST)
			s.parent = (uint32_t)(first + i - (token - 1));
		if (code >= next)
			next = code + 1;
		rc = mst_dict_put(&d->stacks, first + i, &s, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* liveset.c - how the set grows: pool and table double, and all chains are linked anew. And its order by age. */
#include "liveset.h"

#include "grow.h"
#include "mstrace.h"

#include <stdlib.h>
#include <string.h>

static int set_heads(struct mst_liveset *s, unsigned bits)
{
	uint32_t *heads = malloc(sizeof *heads << bits);
	if (!heads)
		return MST_ENOMEM;
	memset(heads, 0xff, sizeof *heads << bits); /* MST_NO_SLOT */
	free(s->heads);
	s->heads = heads;
	s->head_bits = bits;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		if (s->pool[i].alloc == 0)
			continue;
		uint32_t *head = &heads[mst_liveset_home(s, s->pool[i].alloc)];
		s->pool[i].next = *head;
		*head = i;
	}
	return 0;
}

int mst_liveset_init(struct mst_liveset *s)
{
	*s = (struct mst_liveset){.free_slot = MST_NO_SLOT};
	s->scatter = (uint64_t)(uintptr_t)s * UINT64_C(0x9E3779B97F4A7C15) | 1;
	return set_heads(s, 2 * MST_RUN_BITS);
}

void mst_liveset_release(struct mst_liveset *s)
{
	free(s->pool);
	free(s->heads);
}

/* Called when no slot is free: one more is taken into use. */
int mst_liveset_grow(struct mst_liveset *s)
{
	if (s->n_slots == MST_NO_SLOT - 1)
		return MST_ENOMEM;
	int rc = mst_grow32(&s->pool, &s->cap_slots, s->n_slots + 1, sizeof *s->pool);
	if (rc == 0 && (uint64_t)s->n_slots >> (s->head_bits - 1))
		rc = set_heads(s, s->head_bits + 1);
	if (rc < 0)
		return rc;
	s->pool[s->n_slots].next = MST_NO_SLOT;
	s->free_slot = s->n_slots++;
	return 0;
}

#define DIGIT_BITS 11u
#define DIGITS (1u << DIGIT_BITS)

/* One pass of a sort by digits: by the one at `shift`, else as they stand in `from`. */
static void sort_by_digit(const struct mst_aged *from, struct mst_aged *to, uint32_t n, uint64_t least, unsigned shift)
{
	uint32_t start[DIGITS] = {0}, sum = 0;
	for (uint32_t i = 0; i < n; i++)
		start[(from[i].alloc - least) >> shift & (DIGITS - 1)]++;
	for (uint32_t d = 0; d < DIGITS; d++) {
		uint32_t count = start[d];
		start[d] = sum;
		sum += count;
	}
	for (uint32_t i = 0; i < n; i++)
		to[start[(from[i].alloc - least) >> shift & (DIGITS - 1)]++] = from[i];
}

/* By digits, for a million blocks in a tenth of the time of comparisons: whoever writes a checkpoint keeps a program waiting. */
struct mst_aged *mst_liveset_by_age(const struct mst_liveset *s)
{
	struct mst_aged *order = malloc((s->n_live + (size_t)1) * sizeof *order);
	struct mst_aged *other = malloc((s->n_live + (size_t)1) * sizeof *other);
	uint64_t least = UINT64_MAX, greatest = 0;
	uint32_t n = 0;
	if (!order || !other) {
		free(order);
		free(other);
		return NULL;
	}
	for (uint32_t i = 0; i < s->n_slots; i++) {
		uint64_t alloc = s->pool[i].alloc;
		if (alloc == 0)
			continue;
		order[n++] = (struct mst_aged){alloc, i};
		least = alloc < least ? alloc : least;
		greatest = alloc > greatest ? alloc : greatest;
	}
	for (unsigned shift = 0; n != 0 && shift < 64 && (greatest - least) >> shift != 0; shift += DIGIT_BITS) {
		struct mst_aged *sorted = other;
		sort_by_digit(order, other, n, least, shift);
		other = order;
		order = sorted;
	}
	free(other);
	return order;
}

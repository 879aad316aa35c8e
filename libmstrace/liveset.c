/* liveset.c - how the set grows: pool and table double, and all chains are linked anew. */
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

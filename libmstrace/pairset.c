#include "pairset.h"

#include <stdlib.h>
#include <string.h>

#include "huge.h"

#define BITS_FIRST 10u

void mst_pairset_release(struct mst_pairset *s)
{
	free(s->slots);
	*s = (struct mst_pairset){0};
}

static uint64_t hash_of(uint64_t a, uint32_t b)
{
	uint64_t h = (a ^ (uint64_t)b << 32 ^ b) * UINT64_C(0x9e3779b97f4a7c15);

	h ^= h >> 32;
	return (h + b) * UINT64_C(0xd6e8feb86659fd93);
}

/* The slot of (a, b), or the empty one where it would go. */
static struct mst_pair *probe(const struct mst_pairset *s, uint64_t a, uint32_t b)
{
	size_t mask = ((size_t)1 << s->bits) - 1;
	size_t i = (size_t)(hash_of(a, b) >> (64 - s->bits));

	while (s->slots[i].id != 0 && (s->slots[i].a != a || s->slots[i].b != b))
		i = (i + 1) & mask;
	return &s->slots[i];
}

static bool grow(struct mst_pairset *s)
{
	struct mst_pairset bigger = {.bits = s->slots ? s->bits + 1 : BITS_FIRST, .n = s->n};

	size_t size = sizeof(*bigger.slots) << bigger.bits;

	bigger.slots = mst_huge_alloc(size);
	if (!bigger.slots)
		return false;
	memset(bigger.slots, 0, size);
	for (size_t i = 0; s->slots && i < (size_t)1 << s->bits; i++)
		if (s->slots[i].id != 0)
			*probe(&bigger, s->slots[i].a, s->slots[i].b) = s->slots[i];
	free(s->slots);
	*s = bigger;
	return true;
}

struct mst_pair *mst_pairset_at(struct mst_pairset *s, uint64_t a, uint32_t b)
{
	struct mst_pair *p;

	if ((!s->slots || s->n >= ((size_t)5 << s->bits) / 8) && !grow(s))
		return NULL;
	p = probe(s, a, b);
	if (p->id == 0) {
		p->a = a;
		p->b = b;
	}
	return p;
}

#include "few.h"

#include <string.h>

_Static_assert(MST_FEW_BITS_MAX <= MST_SLABS_BITS_MAX, "a piece");
_Static_assert(sizeof(struct mst_few) + 8 * sizeof(uint16_t) <= 1u << MST_SLABS_BITS_MIN, "eight places are in every one");

struct mst_few *mst_few_new(struct mst_slabs *slabs, unsigned bits, struct mst_few *from)
{
	struct mst_few *f = mst_slabs_take(slabs, bits);

	if (!f)
		return NULL;
	*f = (struct mst_few){.refs = 1, .bits = (uint16_t)bits};
	if (!from || from->n == 0)
		return f;
	f->n = from->n;
	memcpy(f->places, from->places, from->n * sizeof(*f->places));
	memcpy(mst_few_entry(f, f->n - 1u), mst_few_entry(from, from->n - 1u), from->n * sizeof(uint64_t));
	return f;
}

void mst_few_free(struct mst_slabs *slabs, struct mst_few *f)
{
	mst_slabs_give(slabs, f, f->bits);
}

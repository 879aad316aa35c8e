/* grow.c - `array` is a void * so that any pointer's address fits; copied, not cast, it obeys aliasing. */
#include "grow.h"

#include "mstrace.h"

#include <stdlib.h>
#include <string.h>

int mst_grow(void *array, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return 0;
	size_t n = *cap ? *cap * 2 : 16;
	if (n < need)
		n = need;
	if (n > SIZE_MAX / size)
		return MST_ENOMEM;
	void *old;
	memcpy(&old, array, sizeof old);
	char *a = realloc(old, n * size);
	if (!a)
		return MST_ENOMEM;
	memset(a + *cap * size, 0, (n - *cap) * size);
	memcpy(array, &a, sizeof a);
	*cap = n;
	return 0;
}

int mst_grow32(void *array, uint32_t *cap, uint32_t need, size_t size)
{
	size_t wide = *cap;
	int rc = mst_grow(array, &wide, need, size);
	*cap = wide > UINT32_MAX ? UINT32_MAX : (uint32_t)wide;
	return rc;
}

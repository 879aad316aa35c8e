/* See room.h. */
#include "room.h"

#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { AT_FIRST = 16 };

void *ms_room(void *items, size_t *cap, size_t n, size_t size)
{
	size_t grown = *cap ? 2 * *cap : AT_FIRST;

	if (n <= *cap)
		return items;
	if (grown < n)
		grown = n;
	items = reallocarray(items, grown, size);
	if (!items)
		ms_die("out of memory");
	*cap = grown;
	return items;
}

void *ms_room_zeroed(void *items, size_t *cap, size_t n, size_t size)
{
	size_t before = *cap;
	char *p = ms_room(items, cap, n, size);

	if (*cap > before)
		memset(p + before * size, 0, (*cap - before) * size);
	return p;
}

void *ms_zeroed(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		ms_die("out of memory");
	return p;
}

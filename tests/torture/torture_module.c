/* A module with thread-local storage of its own, copied to a hundred files by torture.py. */
#include <stdlib.h>

void *module_make(size_t size);

static __thread char scratch[64];

void *module_make(size_t size)
{
	char *p = malloc(size);
	scratch[size % sizeof(scratch)]++;
	if (p)
		p[0] = scratch[0];
	return p;
}

/* greedy_dlsym.c - a dlsym that allocates a lot before it answers, frees some, and grows the rest. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *dlsym(void *handle, const char *name)
{
	static void *(*real)(void *, const char *);
	if (!real)
		real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
	char *a = malloc(65536), *b = calloc(1000, 100), *c = malloc(10);
	if (!a || !b || !c || b[99999])
		abort();
	memset(a, 1, 65536);
	memcpy(c, "123456789", 10);
	c = realloc(c, 500000);
	if (!c || memcmp(c, "123456789", 10) != 0)
		abort();
	free(a);
	free(c);
	void *found = real(handle, name);
	free(b);
	return found;
}

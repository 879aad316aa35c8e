/* greedy_dlsym.c - a dlsym that allocates a lot before it answers, frees some, and grows the rest; two blocks of its
 * first call are released, one is grown, when everybody else's malloc is long found. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static char *to_free, *to_grow;

__attribute__((destructor)) static void release_the_first(void)
{
	if (!to_free || !to_grow)
		return;
	to_grow = realloc(to_grow, 3000);
	if (!to_grow || strcmp(to_grow, "kept") != 0)
		abort();
	free(to_grow);
	free(to_free);
}

void *dlsym(void *handle, const char *name)
{
	static void *(*real)(void *, const char *);
	if (!real)
		real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
	if (!to_free) {
		to_free = malloc(200);
		to_grow = malloc(100);
		if (!to_free || !to_grow)
			abort();
		memcpy(to_grow, "kept", 5);
	}
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

/* Every heap function once in each of its ways; prints nothing. The oracle beside us counts. */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *volatile sink; /* keeps the compiler from leaving calls out */

static void acquire_in_every_way(void **kept)
{
	volatile size_t huge = SIZE_MAX / 2;
	int n = 0;
	kept[n++] = sink = malloc(100);
	kept[n++] = sink = malloc(0);
	kept[n++] = sink = calloc(7, 9);
	kept[n++] = sink = realloc(NULL, 11);
	kept[n++] = sink = reallocarray(NULL, 3, 5);
	kept[n++] = sink = aligned_alloc(64, 128);
	kept[n++] = sink = memalign(32, 33);
	kept[n++] = sink = valloc(10);
	kept[n++] = sink = pvalloc(10);
	if (posix_memalign(&kept[n], 256, 77))
		abort();
	sink = malloc(huge); /* fail, all of them */
	sink = calloc(huge, 4);
	sink = reallocarray(NULL, huge, 4);
	if (realloc(kept[0], huge))
		abort();
	void *p;
	if (posix_memalign(&p, 256, huge) != ENOMEM)
		abort();
}

int main(void)
{
	void *kept[10];
	acquire_in_every_way(kept);
	kept[0] = sink = realloc(kept[0], 100000); /* moves */
	kept[0] = sink = realloc(kept[0], 100001); /* likely does not */
	kept[1] = sink = reallocarray(kept[1], 10, 10);
	if (realloc(kept[2], 0)) /* releases */
		abort();
	free(NULL);
	for (int i = 3; i < 10; i += 2)
		free(kept[i]);
	char *s = strdup("from inside libc");
	sink = s;
	return 0; /* with blocks that are never freed */
}

/* Every function of the heap, its odd cases, and many calls of the plainest. */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "victim_mode.h"

void cfree(void *);
void free_sized(void *, size_t) __attribute__((weak));
void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

static void say(const char *what, const void *p, int rc)
{
	printf("%s %s rc=%d errno=%d usable=%zu\n", what, p ? "block" : "NULL", rc, errno,
		p ? malloc_usable_size((void *)(uintptr_t)p) : 0);
	errno = 0;
}

/* Results and errno in all the odd cases; the output is compared with a native run. */
static int conformance(char **argv)
{
	(void)argv;
	volatile size_t huge = SIZE_MAX, half = SIZE_MAX / 2 + 2;
	volatile size_t zero = 0, bad = 3;
	void *p = NULL;
	setvbuf(stdout, NULL, _IONBF, 0);
	errno = 0;
	say("malloc 0", grab(zero), 0);
	say("malloc huge", grab(huge), 0);
	say("calloc overflow", keep = calloc(half, 2), 0);
	say("calloc 0", keep = calloc(0, 5), 0);
	say("realloc NULL", p = realloc(NULL, 40), 0);
	uintptr_t same =
		(uintptr_t)p; /* a failed realloc leaves the block as it was; the compiler can't know */
	say("realloc huge", keep = realloc(p, huge), 0);
	say("realloc grow", p = realloc((void *)same, 100000), 0);
	say("realloc shrink", p = realloc(p, 8), 0);
	errno = 77;
	say("realloc 0", keep = realloc(p, zero), 0);
	say("realloc NULL 0", keep = realloc(NULL, zero), 0);
	say("reallocarray", p = reallocarray(NULL, 10, 10), 0);
	same = (uintptr_t)p;
	say("reallocarray overflow", keep = reallocarray(p, half, 2), 0);
	say("reallocarray grow", p = reallocarray((void *)same, 20, 10), 0);
	free(p);
	p = (void *)1;
	int rc = posix_memalign(&p, bad, 100);
	printf("bad alignment leaves the pointer: %d\n", p == (void *)1);
	say("posix_memalign bad", NULL, rc);
	rc = posix_memalign(&p, 64, huge - 4096);
	say("posix_memalign huge", NULL, rc);
	rc = posix_memalign(&p, 4096, 100);
	say("posix_memalign", p, rc);
	printf("aligned: %d\n", (uintptr_t)p % 4096 == 0);
	free(p);
	say("aligned_alloc", p = aligned_alloc(64, 128), 0);
	free(p);
	say("aligned_alloc odd", keep = aligned_alloc(bad, 128), 0);
	say("memalign", p = memalign(256, 100), 0);
	free(p);
	say("memalign huge", keep = memalign(64, huge - 8192), 0);
	say("valloc", p = valloc(100), 0);
	free(p);
	say("pvalloc", p = pvalloc(100), 0);
	free(p);
	say("pvalloc huge", keep = pvalloc(huge - 10), 0);
	errno = 5;
	free(grab(10));
	free(NULL);
	printf("free keeps errno: %d\n", errno);
	return 0;
}

/* One call of each function, with sizes that tell which. */
static int each_function(char **argv)
{
	(void)argv;
	void *p, *q;
	volatile size_t huge = SIZE_MAX - 100000, half = SIZE_MAX / 2 + 2;
	free(grab(70001));
	p = calloc(3, 70002);
	p = realloc(p, 70003);
	p = reallocarray(p, 2, 70004);
	free(p);
	p = realloc(NULL, 70005);
	keep = realloc(p, 0);
	if (posix_memalign(&p, 128, 70006) == 0)
		free(p);
	free(aligned_alloc(256, 70144));
	free(memalign(512, 70008));
	free(valloc(70009));
	free(pvalloc(70010));
	p = grab(70011);
	if (free_sized)
		free_sized(p, 70011);
	p = aligned_alloc(64, 70016);
	if (free_aligned_sized)
		free_aligned_sized(p, 64, 70016);
	/* cfree is no longer linkable, but old binaries find it. */
	void (*old_cfree)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
	p = grab(70012);
	(old_cfree ? old_cfree : free)(p);
	keep = malloc(huge);
	keep = calloc(half, 2);
	p = grab(70013);
	q = realloc(p, huge);
	if (!q)
		free(p);
	if (posix_memalign(&p, 3, 70014) == 0)
		free(p);
	return 0;
}

static int pairs(char **argv)
{
	long n = number(argv, 100000);
	for (long i = 0; i < n; i++) {
		free(grab(20044));
		atomic_fetch_add(&truth->n[TRUTH_PAIRS], 1);
	}
	return 0;
}

const struct victim_mode victim_calls[] = {
	{"conformance", conformance},
	{"each_function", each_function},
	{"pairs", pairs},
	{NULL, NULL},
};

/* early.c - a library that allocates before anybody is ready: while it is being relocated (the resolver of an
 * IFUNC), and in a constructor that runs before the capture library's own. */
#include <stdlib.h>

static void *volatile keep;
static int implementation(void)
{
	return 1;
}

static void *from_before;

__attribute__((used)) static int (*resolve(void))(void)
{
	for (int i = 0; i < 10; i++)
		keep = malloc(1000); /* some come before any hook can record */
	from_before = malloc(1001);
	return implementation;
}

int early_answer(void) __attribute__((ifunc("resolve")));

__attribute__((constructor)) static void allocate(void)
{
	for (int i = 0; i < 10000; i++) {
		keep = malloc(55555);
		free(keep);
	}
	(void)early_answer();
	if (getenv("EARLY_FREES"))
		free(from_before);
}

/* early.c - a library that allocates before anybody is ready: while it is being relocated (the resolver of an
 * IFUNC), and in a constructor that runs before the capture library's own. It maps there, too. What is first to
 * begin is last to end: it also allocates when the capture library's destructors have run. */
#include <stdlib.h>
#include <sys/mman.h>

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
	for (int i = 0; i < 10; i++) {
		void *p = mmap(NULL, 12345, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || munmap(p, 12345))
			abort();
	}
	if (mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		abort();
	return implementation;
}

int early_answer(void) __attribute__((ifunc("resolve")));

__attribute__((constructor)) static void allocate(void)
{
	for (int i = 0; i < 10000; i++) {
		keep = malloc(55555);
		free(keep);
	}
	for (int i = 0; i < 100; i++)
		munmap(mmap(NULL, 44444, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 44444);
	(void)early_answer();
	if (getenv("EARLY_FREES"))
		free(from_before);
}

__attribute__((destructor)) static void allocate_at_last(void)
{
	for (int i = 0; i < 100; i++) {
		keep = malloc(66666);
		free(keep);
	}
}

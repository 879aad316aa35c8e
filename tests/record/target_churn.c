/* churn ROUNDS [MICROSECONDS [layers]]: blocks of all ages from several places, the same every time it runs. After a third of the
 * rounds it forks a child that goes on with what it has inherited. What is never freed, by place, depends on nothing
 * but ROUNDS. Rests for so long after each 1,000 rounds. With "layers" it maps, unmaps and calls the pools of pool_library.h
 * alike, most of it in the first tenth of the rounds. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool_library.h"

enum { SLOTS = 5000, LAYER_SLOTS = 60, PAGE = 4096, RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS };

static void *slots[SLOTS];
static struct {
	char *map;
	size_t size;
	void *pooled, *slab;
} layers[LAYER_SLOTS];
static unsigned random_state = 1;

static unsigned draw(unsigned n)
{
	random_state = random_state * 1103515245u + 12345u;
	return random_state / 65536 % n;
}

__attribute__((noinline)) static void *from_one_place(size_t size)
{
	return malloc(size);
}

__attribute__((noinline)) static void *from_another(size_t size)
{
	return calloc(1, size);
}

__attribute__((noinline)) static void *grown(void *p, size_t size)
{
	return realloc(p, size);
}

/* A block of the first rounds that nobody frees: it lives through everything. */
__attribute__((noinline)) static void *kept_for_ever(void)
{
	return malloc(33);
}

static void round_of(long i)
{
	unsigned k = draw(SLOTS), what = draw(8);

	if (i < 500)
		(void)!kept_for_ever();
	if (!slots[k])
		slots[k] = what & 1 ? from_one_place(16 + draw(400)) : from_another(8 + draw(1500));
	else if (what < 5) {
		free(slots[k]);
		slots[k] = NULL;
	} else
		slots[k] = grown(slots[k], 1 + draw(2500));
}

/* A range, less its last page; and moved on to where there is room for more. */
__attribute__((noinline)) static char *mapped(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, RW, ANON, -1, 0);

	munmap(p + (pages - 1) * PAGE, PAGE);
	return pages % 3 ? p : mremap(p, (pages - 1) * PAGE, (pages + 3) * PAGE, MREMAP_MAYMOVE);
}

static void layers_round(void)
{
	unsigned k = draw(LAYER_SLOTS), what = draw(3);
	size_t pages = 2 + draw(30);

	if (what == 0 && layers[k].map) {
		munmap(layers[k].map, layers[k].size);
		layers[k].map = NULL;
	} else if (what == 0) {
		layers[k].map = mapped(pages);
		layers[k].size = (pages % 3 ? pages - 1 : pages + 3) * PAGE;
	} else if (what == 1 && layers[k].pooled) {
		pool_put(NULL, layers[k].pooled);
		layers[k].pooled = NULL;
	} else if (what == 1) {
		layers[k].pooled = pool_get(NULL, 8 + draw(300));
	} else if (layers[k].slab) {
		slab_put(layers[k].slab);
		layers[k].slab = NULL;
	} else {
		layers[k].slab = slab_get(8 + draw(100));
	}
}

int main(int argc, char **argv)
{
	bool has_layers = argc > 3 && strcmp(argv[3], "layers") == 0;
	long n = argc > 1 ? atol(argv[1]) : 100000;
	unsigned rest_us = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	pid_t child = -1;

	for (long i = 0; i < n; i++) {
		if (i == n / 3)
			child = fork();
		if (child == 0 && i > n / 3 * 2)
			_exit(0);
		if (rest_us && i % 1000 == 0)
			usleep(rest_us);
		if (has_layers && (i < n / 10 || i % 500 == 0))
			layers_round();
		round_of(i);
	}
	while (wait(NULL) > 0)
		;
	printf("%u\n", random_state);
	return 0;
}

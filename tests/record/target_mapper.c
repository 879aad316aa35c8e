/* target_mapper SEED STEPS: maps, unmaps, moves and overlays at random, then prints what /proc/self/maps says of it:
 *	window BYTES	what is mapped in the window in which all of it happens
 *	heap BYTES	the size of [heap], which nothing but sbrk has made
 * target_mapper threads N: four threads map and unmap where the kernel likes, N times each; prints
 *	held BYTES	what they have not unmapped
 * target_mapper views N: N shared pages of a file that may only be read, and as many private ones without any right; then
 *	a second view of the first, and the second moved so that its old place stays
 * No malloc and no stdio: they would map, too. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 4096, RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS };
static const uintptr_t window = 0x200000000000;
static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

static void *at(uint32_t page)
{
	return (void *)(window + (uintptr_t)page * PAGE);
}

static void step(int fd)
{
	uint32_t page = draw(PAGES - 64), n = 1 + draw(32);
	switch (draw(10)) {
	case 0:
	case 1:
	case 2: /* over whatever is there; not whole pages */
		mmap(at(page), n * PAGE - draw(PAGE), RW, ANON | MAP_FIXED, -1, 0);
		break;
	case 3:
		mmap(at(page), n * PAGE - draw(PAGE), PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
		break;
	case 4:
	case 5:
		munmap(at(page), n * PAGE - draw(PAGE));
		break;
	case 6: { /* a range that is mapped as one piece, to somewhere else, longer or shorter */
		uint32_t to = draw(PAGES - 64);
		if (to + 64 < page || page + 64 < to) {
			mmap(at(page), n * PAGE, RW, ANON | MAP_FIXED, -1, 0);
			mremap(at(page), n * PAGE, (1 + draw(40)) * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(to));
		}
		break;
	}
	case 7: /* in place: shrinks, or grows if there is room, or fails */
		mremap(at(page), n * PAGE, (1 + draw(40)) * PAGE, 0);
		break;
	case 8:
		mprotect(at(page), n * PAGE, draw(2) ? PROT_READ : RW);
		madvise(at(page), n * PAGE, MADV_DONTNEED);
		break;
	default:
		sbrk(draw(3) ? (intptr_t)draw(5 * PAGE) : -(intptr_t)draw(PAGE));
	}
}

/* Sums up the lines of /proc/self/maps. */
static void report(void)
{
	static char text[1 << 20];
	size_t len = 0, mapped = 0, heap = 0;
	ssize_t n;
	int fd = open("/proc/self/maps", O_RDONLY);
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		char *dash, *newline = strchr(line, '\n');
		uintptr_t start = strtoul(line, &dash, 16), end = strtoul(dash + 1, NULL, 16);
		if (start >= window && start < window + (uintptr_t)PAGES * PAGE)
			mapped += end - start;
		if (newline - line > 6 && memcmp(newline - 6, "[heap]", 6) == 0)
			heap += end - start;
	}
	char out[128];
	n = snprintf(out, sizeof(out), "window %zu\nheap %zu\n", mapped, heap);
	if (write(1, out, (size_t)n) != n)
		_exit(1);
}

static uint32_t rounds;
static _Atomic size_t held;

static void *map_and_unmap(void *arg)
{
	uint64_t own = (uintptr_t)arg + 1;
	for (uint32_t i = 0; i < rounds; i++) {
		own = own * 6364136223846793005u + 1442695040888963407u;
		size_t size = (1 + (own >> 40) % 8) * PAGE;
		void *p = mmap(NULL, size, RW, ANON, -1, 0);
		if (p == MAP_FAILED)
			_exit(2);
		if ((own >> 50) % 16 == 0)
			held += size;
		else
			munmap(p, size);
	}
	return NULL;
}

static int in_threads(void)
{
	pthread_t threads[4];
	char out[64];
	for (uintptr_t i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, map_and_unmap, (void *)i))
			return 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	int n = snprintf(out, sizeof(out), "held %zu\n", (size_t)held);
	return write(1, out, (size_t)n) != n;
}

static int views(size_t size, int fd)
{
	void *file = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0), *private = mmap(NULL, size, PROT_NONE, ANON, -1, 0);
	if (file == MAP_FAILED || private == MAP_FAILED)
		return 2;
	if (mremap(file, 0, size, MREMAP_MAYMOVE) == MAP_FAILED)
		return 3;
	return mremap(private, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED ? 4 : 0;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 64;
	if (strcmp(argv[1], "threads") == 0) {
		rounds = (uint32_t)atoi(argv[2]);
		return in_threads();
	}
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (strcmp(argv[1], "views") == 0)
		return views((size_t)atoi(argv[2]) * PAGE, fd);
	seed = strtoull(argv[1], NULL, 10);
	for (long i = atol(argv[2]); i > 0; i--)
		step(fd);
	report();
	return 0;
}

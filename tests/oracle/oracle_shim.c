/* oracle_shim.c - an independent counter of heap calls, preloaded beside the capture library.
 *
 * LD_PRELOAD="libmscapture.so liboracle_shim.so": the capture library's "real" functions are then these, so
 * both see the very same calls and must agree exactly. Shares no code with the product, is slow on purpose
 * (one lock, one table from address to requested size) and writes its counters into a shared file mapping, so
 * that they survive SIGKILL: $ORACLE_DIR/PID.IMAGE, IMAGE counting exec and fork generations of the pid.
 *
 * The file holds uint64_t in host order: magic, pid, events, allocs, frees, allocated_bytes, freed_bytes,
 * live_blocks, live_bytes, failed, inherited_frees, threads(unused). A successful realloc of a block is one
 * free and one allocation; realloc(p, 0) that returns NULL is a free. A forked child starts from zero; a
 * block that it releases but did not acquire counts as a free of unknown bytes. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { MAGIC, PID, EVENTS, ALLOCS, FREES, ALLOCATED, FREED, LIVE_BLOCKS, LIVE_BYTES, FAILED, INHERITED, N_COUNTERS = 16 };

/* The next library's functions (libc's, or jemalloc's where the program links that). dlsym itself may allocate:
 * what it asks for meanwhile comes from a small buffer and is never given back. */
static struct {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	void *(*memalign)(size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
} next;
static bool is_resolving;
static _Alignas(16) char early[65536];
static size_t early_used;

static void *early_alloc(size_t n)
{
	void *p = early + early_used;

	early_used += (n + 15) & ~(size_t)15;
	if (early_used > sizeof(early))
		_exit(98);
	return p;
}

static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

/* False while dlsym is at work. */
static bool ready(void)
{
	if (next.malloc)
		return true;
	if (is_resolving)
		return false;
	is_resolving = true;
#define FIND(name) *(void **)&next.name = dlsym(RTLD_NEXT, #name)
	FIND(calloc);
	FIND(realloc);
	FIND(free);
	FIND(memalign);
	FIND(aligned_alloc);
	FIND(posix_memalign);
	FIND(valloc);
	FIND(pvalloc);
	FIND(malloc);
	is_resolving = false;
	return true;
}

struct entry {
	uintptr_t addr; /* 0 empty, 1 deleted */
	size_t size;
};

static struct entry *table;
static size_t table_size, table_used; /* used counts deleted entries too */
static uint64_t private_counters[N_COUNTERS];
static uint64_t *counters = private_counters;
static pid_t owner;
static atomic_flag lock = ATOMIC_FLAG_INIT;

static void *pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		_exit(99);
	return p;
}

static struct entry *find(struct entry *t, size_t n, uintptr_t addr)
{
	size_t i = (addr >> 4) * 0x9e3779b97f4a7c15ull >> 20 & (n - 1);

	while (t[i].addr && t[i].addr != addr)
		i = (i + 1) & (n - 1);
	return &t[i];
}

static void grow(void)
{
	size_t live = 0, n;
	struct entry *t;

	for (size_t i = 0; i < table_size; i++)
		live += table[i].addr > 1;
	for (n = 1 << 16; n < 4 * live; n *= 2)
		;
	t = pages(n * sizeof(*t));
	for (size_t i = 0; i < table_size; i++)
		if (table[i].addr > 1)
			*find(t, n, table[i].addr) = table[i];
	if (table)
		munmap(table, table_size * sizeof(*table));
	table = t;
	table_size = n;
	table_used = live;
}

/* First call of this image: a fresh file with the first free number. */
static void start(pid_t pid)
{
	const char *dir = getenv("ORACLE_DIR");
	char name[4096];
	int fd = -1;

	owner = pid;
	counters = private_counters;
	memset(private_counters, 0, sizeof(private_counters));
	if (table)
		munmap(table, table_size * sizeof(*table));
	table = NULL;
	table_size = table_used = 0;
	if (strcmp(program_invocation_short_name, "msrecord") == 0)
		dir = NULL; /* the recorder and its helpers have inherited us, but are not recorded */
	for (int image = 0; dir && fd < 0 && image < 1000; image++) {
		snprintf(name, sizeof(name), "%s/%d.%d", dir, (int)pid, image);
		fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd >= 0) {
		if (ftruncate(fd, sizeof(private_counters)) == 0) {
			void *p = mmap(NULL, sizeof(private_counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			if (p != MAP_FAILED)
				counters = p;
		}
		close(fd);
	}
	counters[MAGIC] = 0x4f5241434c453031;
	counters[PID] = (uint64_t)pid;
}

static void enter(void)
{
	int saved = errno;
	pid_t pid = (pid_t)syscall(SYS_getpid);

	if (pid != owner && owner)
		atomic_flag_clear(&lock); /* a forked child: the holder is not here */
	while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire))
		;
	if (pid != owner)
		start(pid);
	if (4 * (table_used + 1) > 3 * table_size)
		grow();
	errno = saved;
}

static void leave(void)
{
	atomic_flag_clear_explicit(&lock, memory_order_release);
}

static void acquired(void *p, size_t size)
{
	struct entry *e = find(table, table_size, (uintptr_t)p);

	if (!e->addr)
		table_used++;
	*e = (struct entry){(uintptr_t)p, size};
	counters[EVENTS]++;
	counters[ALLOCS]++;
	counters[ALLOCATED] += size;
	counters[LIVE_BLOCKS]++;
	counters[LIVE_BYTES] += size;
}

static void released(uintptr_t addr)
{
	struct entry *e = find(table, table_size, addr);

	counters[EVENTS]++;
	counters[FREES]++;
	if (!e->addr) {
		counters[INHERITED]++;
		return;
	}
	counters[FREED] += e->size;
	counters[LIVE_BLOCKS]--;
	counters[LIVE_BYTES] -= e->size;
	e->addr = 1;
}

static void *outcome(void *p, size_t size)
{
	enter();
	if (p)
		acquired(p, size);
	else
		counters[EVENTS]++, counters[FAILED]++;
	leave();
	return p;
}

EXPORT void *malloc(size_t n)
{
	return ready() ? outcome(next.malloc(n), n) : early_alloc(n);
}

EXPORT void *calloc(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX;
	return ready() ? outcome(next.calloc(n, size), bytes) : early_alloc(bytes);
}

EXPORT void free(void *p)
{
	if (!p || is_early(p))
		return;
	ready();
	enter();
	released((uintptr_t)p);
	leave();
	next.free(p);
}

/* The lock is held over the real call: nobody may see the old address reused before it is released here. */
EXPORT void *realloc(void *old, size_t n)
{
	void *p;

	if (!old)
		return ready() ? outcome(next.realloc(NULL, n), n) : early_alloc(n);
	if (is_early(old))
		return memcpy(malloc(n), old, n);
	ready();
	enter();
	p = next.realloc(old, n);
	if (p) {
		released((uintptr_t)old);
		acquired(p, n);
		counters[EVENTS]--;
	} else if (n == 0) {
		released((uintptr_t)old);
	} else {
		counters[EVENTS]++;
		counters[FAILED]++;
	}
	leave();
	return p;
}

EXPORT void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return outcome(NULL, SIZE_MAX);
	}
	return realloc(old, bytes);
}

EXPORT void *memalign(size_t align, size_t n)
{
	ready();
	return outcome(next.memalign(align, n), n);
}

EXPORT void *aligned_alloc(size_t align, size_t n)
{
	ready();
	return outcome(next.aligned_alloc(align, n), n);
}

EXPORT int posix_memalign(void **out, size_t align, size_t n)
{
	int rc;

	ready();
	rc = next.posix_memalign(out, align, n);
	outcome(rc ? NULL : *out, n);
	return rc;
}

EXPORT void *valloc(size_t n)
{
	ready();
	return outcome(next.valloc(n), n);
}

EXPORT void *pvalloc(size_t n)
{
	ready();
	return outcome(next.pvalloc(n), n);
}

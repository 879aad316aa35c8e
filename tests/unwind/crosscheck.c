/*
 * Preloaded into any program: unwinds every malloc with verified reuse and compares every n-th stack with
 * gcc's. At exit, one line of totals per process is appended to the file that MS_CROSSCHECK_OUT names:
 *
 *	pid 123 events 1000 depth 9.5 compared 15 agree 14 both_cut 2 longer 0 cut 1 disagree 0 exe
 * /usr/bin/jq
 *
 * (both_cut: those that agree because gcc's unwinder ended at the same unknown code)
 * and, for the first few stacks of each other kind, where they part. MS_CROSSCHECK_EVERY sets n (64).
 * The wrapper crosscheck.sh turns the lines into a verdict.
 */
#include "reference_stack.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { LIMIT = 1024, MAX_SHOWN = 6 };

struct observer {
	struct ms_unwind u;
	struct ref_stack ours, theirs;
	unsigned n_calls;
	int is_busy;
};

static __thread struct observer *observer __attribute__((tls_model("initial-exec")));
static _Atomic uint64_t n_events, n_depth, n_both_cut, counts[4];
static _Atomic unsigned n_shown[4];
static unsigned every;
static char report[32768];
static _Atomic size_t n_report;

EXPORT void *malloc(size_t size);

/* The next malloc after ours: the program may bring its own (jemalloc), whose free() would not know libc's
 * blocks. */
static void *real_malloc(size_t size)
{
	static void *(*_Atomic real)(size_t);
	void *(*function)(size_t) = real;

	if (!function) {
		void *symbol = dlsym(RTLD_NEXT, "malloc");

		memcpy(&function, &symbol, sizeof(symbol));
		real = function;
	}
	return function(size);
}

static struct observer *new_observer(uintptr_t sp)
{
	size_t size = sizeof(struct observer) + ms_unwind_storage_size(LIMIT);
	struct observer *o = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (o == MAP_FAILED)
		abort();
	ms_unwind_init(&o->u, o + 1, LIMIT, ms_unwind_find_stack(sp));
	if (every == 0) {
		const char *text = getenv("MS_CROSSCHECK_EVERY");

		every = text && atoi(text) > 0 ? (unsigned)atoi(text) : 64;
	}
	return o;
}

static void add_line(const char *text, size_t size)
{
	size_t at = atomic_fetch_add(&n_report, size);

	if (at + size <= sizeof(report))
		memcpy(report + at, text, size);
}

static void add_frame(const char *what, uintptr_t ip)
{
	char line[512];
	Dl_info info = {0};
	int n;

	(void)dladdr((void *)(ip - 1), &info);
	n = snprintf(line, sizeof(line), "    %s %#lx %s+%#lx %s\n", what, ip,
		info.dli_fname ? info.dli_fname : "?", ip - (uintptr_t)info.dli_fbase,
		info.dli_sname ? info.dli_sname : "?");
	if (n > 0)
		add_line(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

/* Where two stacks part: the last frame in common and the next of each. */
static void show_parting(const char *what, const struct ref_stack *ours, const struct ref_stack *theirs)
{
	uint32_t i = 0, n = ours->n < theirs->n ? ours->n : theirs->n;
	char line[160];
	int size;

	while (i < n && ours->ip[ours->n - 1 - i] == theirs->ip[theirs->n - 1 - i])
		i++;
	size = snprintf(line, sizeof(line), "  %s: ours %u frames, theirs %u, common %u\n", what, ours->n,
		theirs->n, i);
	add_line(line, (size_t)size);
	if (i > 0)
		add_frame("both", ours->ip[ours->n - i]);
	if (i < ours->n)
		add_frame("ours", ours->ip[ours->n - 1 - i]);
	if (i < theirs->n)
		add_frame("theirs", theirs->ip[theirs->n - 1 - i]);
}

static void compare(struct observer *o)
{
	static const char *const names[] = {"agree", "cut", "longer", "disagree"};
	enum ref_verdict verdict = ref_compare(&o->ours, &o->theirs);

	atomic_fetch_add(&counts[verdict], 1);
	if (verdict == REF_AGREE && o->ours.flags)
		atomic_fetch_add(&n_both_cut, 1);
	if (verdict != REF_AGREE && atomic_fetch_add(&n_shown[verdict], 1) < MAX_SHOWN)
		show_parting(names[verdict], &o->ours, &o->theirs);
}

EXPORT __attribute__((noinline)) void *malloc(size_t size)
{
	struct ms_unwind_regs at = MS_UNWIND_CALLER();
	struct ms_stack_diff diff;

	if (!observer)
		observer = new_observer(at.sp);
	if (!observer->is_busy) {
		observer->is_busy = 1;
		ms_unwind_here(&observer->u, &at, &diff);
		ref_apply(&observer->ours, &diff);
		atomic_fetch_add_explicit(&n_events, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&n_depth, observer->ours.n, memory_order_relaxed);
		if (++observer->n_calls % every == 0) {
			ref_walk(&observer->theirs);
			compare(observer);
		}
		observer->is_busy = 0;
	}
	return real_malloc(size);
}

EXPORT int dlclose(void *handle)
{
	void *symbol = dlsym(RTLD_NEXT, "dlclose");
	int (*real)(void *);
	int result;

	memcpy(&real, &symbol, sizeof(symbol));
	ms_unwind_dlclose_begin();
	result = real(handle);
	ms_unwind_dlclose_end();
	return result;
}

__attribute__((destructor)) static void write_totals(void)
{
	const char *path = getenv("MS_CROSSCHECK_OUT");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	uint64_t compared = counts[REF_AGREE] + counts[REF_CUT] + counts[REF_LONGER] + counts[REF_DISAGREE];
	size_t shown = n_report < sizeof(report) ? n_report : sizeof(report);
	char line[1024], exe[512];
	ssize_t n;

	if (fd < 0)
		return;
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = 0;
	n = snprintf(line, sizeof(line),
		"pid %d events %lu depth %.1f compared %lu agree %lu both_cut %lu longer %lu cut %lu "
		"disagree %lu exe "
		"%s\n",
		getpid(), n_events, (double)n_depth / (double)(n_events ? n_events : 1), compared,
		counts[REF_AGREE], n_both_cut, counts[REF_LONGER], counts[REF_CUT], counts[REF_DISAGREE],
		exe);
	if (write(fd, line, (size_t)n) < 0 || write(fd, report, shown) < 0)
		perror("crosscheck");
	close(fd);
}

/* test_capture.c - what the capture library records of real processes, and that they don't notice.
 *
 *	test_capture NAME        runs one test; without NAME, lists them
 *
 * Each test runs a program of victim.c under tap. Where the truth is plain counts, the oracle shim is
 * preloaded behind the capture library, so that both see the very same calls; where that can not be (signal
 * handlers: the shim locks), the victim counts for itself. */
#include "tap.h"
#include "victim.h"
#include "wrapper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int n_failures;

#define CHECK(cond, ...)                                                                                     \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			n_failures++;                                                                        \
			fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #cond);                   \
			fprintf(stderr, __VA_ARGS__);                                                        \
			fputc('\n', stderr);                                                                 \
		}                                                                                            \
	} while (0)

enum {
	KIND_MALLOC = 1,
	KIND_CALLOC,
	KIND_REALLOC,
	KIND_REALLOCARRAY,
	KIND_POSIX_MEMALIGN,
	KIND_ALIGNED_ALLOC,
	KIND_MEMALIGN,
	KIND_VALLOC,
	KIND_PVALLOC,
	KIND_FREE,
	KIND_FREE_SIZED,
	KIND_FREE_ALIGNED_SIZED,
	KIND_CFREE,
	KIND_REALLOC_FREE,
	KIND_REALLOC_BEGIN,
	KIND_POOL_ALLOC = 48,
	KIND_POOL_FREE,
	KIND_POOL_REALLOC,
};

/* ---- running a victim ---- */

struct run {
	struct tap *tap;
	pid_t pid;
	int status;
	struct truth *truth;
	char dir[64], truth_env[160], oracle_env[160], plugin_env[512];
	char *env[5];
	struct ms_wraps wraps;
	struct ms_wrapper wrapper; /* path "": no pool is recorded */
};

/* `wrap`: of which the wrapper library is made, or NULL. */
static void run_open(struct run *r, struct tap_options o, const char *wrap)
{
	char path[128];
	*r = (struct run){.dir = "/tmp/captured.XXXXXX"};
	if (!mkdtemp(r->dir))
		exit(99);
	snprintf(path, sizeof(path), "%s/truth", r->dir);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*r->truth)) < 0)
		exit(99);
	r->truth = mmap(NULL, sizeof(*r->truth), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	snprintf(r->truth_env, sizeof(r->truth_env), "VICTIM_TRUTH=%s", path);
	snprintf(path, sizeof(path), "%s/oracle", r->dir);
	mkdir(path, 0700);
	snprintf(r->oracle_env, sizeof(r->oracle_env), "ORACLE_DIR=%s", path);
	snprintf(r->plugin_env, sizeof(r->plugin_env), "VICTIM_PLUGIN=%s", PLUGIN);
	r->env[0] = r->truth_env;
	r->env[1] = r->oracle_env;
	r->env[2] = r->plugin_env;
	o.capture_library = o.capture_library ? o.capture_library : LIBRARY;
	char why[512];
	if (wrap && (ms_wraps_add(&r->wraps, wrap, why) < 0 || ms_wrapper_make(&r->wrapper, &r->wraps, r->dir) < 0))
		exit(99);
	if (wrap)
		o.wrapper = r->wrapper.path;
	r->tap = tap_open(&o);
}

static void run_start(struct run *r, const char *name, const char *arg)
{
	const char *victim = r->wrapper.path[0] ? VICTIM_POOLED : VICTIM;
	char *argv[] = {(char *)(uintptr_t)victim, (char *)(uintptr_t)name, (char *)(uintptr_t)arg, NULL};
	r->pid = tap_spawn(r->tap, argv, r->env);
}

static void run_wait(struct run *r)
{
	r->status = tap_wait(r->tap, r->pid);
}

static void run_close(struct run *r)
{
	char command[128];
	tap_close(r->tap);
	ms_wraps_release(&r->wraps);
	munmap(r->truth, sizeof(*r->truth));
	snprintf(command, sizeof(command), "rm -r %s", r->dir);
	if (system(command) != 0)
		exit(99);
}

static struct run run_victim(struct tap_options o, const char *name, const char *arg)
{
	struct run r;
	run_open(&r, o, NULL);
	run_start(&r, name, arg);
	run_wait(&r);
	CHECK(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 0, "%s ended with %x", name,
		(unsigned)r.status);
	return r;
}

static struct tap_options with_stacks(void)
{
	return (struct tap_options){.stack_depth = 128};
}

static struct run run_wrapped(const char *wrap, const char *name, const char *arg)
{
	struct run r;
	run_open(&r, with_stacks(), wrap);
	run_start(&r, name, arg);
	run_wait(&r);
	CHECK(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 0, "%s ended with %x", name, (unsigned)r.status);
	return r;
}

static struct tap_options with_oracle(void)
{
	return (struct tap_options){.stack_depth = 128, .preload = SHIM};
}

/* Nothing may be lost, broken or out of order in any image. */
static void check_sound(const struct tap *tap)
{
	CHECK(tap->n_images > 0, "nothing attached");
	for (size_t i = 0; i < tap->n_images; i++) {
		struct tap_image *image = tap->images[i];
		struct tap_count c = tap_replay(image);
		CHECK(!image->is_broken, "image %zu", i);
		CHECK(image->lost_events + image->untold_events == 0, "image %zu lost %lu", i,
			image->lost_events);
		CHECK(image->n_disorder == 0, "image %zu: %lu", i, image->n_disorder);
		CHECK(c.overlaps == 0, "image %zu: %lu blocks at live addresses", i, c.overlaps);
		CHECK(c.bad_reallocs == 0, "image %zu: %lu", i, c.bad_reallocs);
		if (image->hello.image == MS_IMAGE_NEW)
			CHECK(c.foreign_frees == 0, "image %zu: %lu", i, c.foreign_frees);
	}
}

enum {
	ORACLE_ALLOCS = 3,
	ORACLE_FREES,
	ORACLE_ALLOCATED,
	ORACLE_FREED,
	ORACLE_BLOCKS,
	ORACLE_BYTES,
	ORACLE_FAILED,
	ORACLE_INHERITED,
	ORACLE_WORDS = 16
};

/* Every image's counts equal those of the shim that stood behind the library. */
static void check_oracle(const struct run *r)
{
	check_sound(r->tap);
	for (size_t i = 0; i < r->tap->n_images; i++) {
		struct tap_image *image = r->tap->images[i];
		struct tap_count c = tap_replay(image);
		uint64_t v[ORACLE_WORDS] = {0};
		char path[192];
		int generation = 0;
		for (size_t j = 0; j < i; j++)
			generation += r->tap->images[j]->pid == image->pid;
		snprintf(path, sizeof(path), "%s/oracle/%d.%d", r->dir, image->pid, generation);
		int fd = open(path, O_RDONLY);
		CHECK(fd >= 0 && read(fd, v, sizeof(v)) == sizeof(v), "no oracle file %s", path);
		if (fd >= 0)
			close(fd);
		CHECK(c.allocs == v[ORACLE_ALLOCS], "image %zu: %lu, truth %lu", i, c.allocs,
			v[ORACLE_ALLOCS]);
		CHECK(c.frees == v[ORACLE_FREES], "image %zu: %lu, truth %lu", i, c.frees, v[ORACLE_FREES]);
		CHECK(c.allocated_bytes == v[ORACLE_ALLOCATED], "image %zu: %lu, truth %lu", i,
			c.allocated_bytes, v[ORACLE_ALLOCATED]);
		CHECK(c.live_blocks == v[ORACLE_BLOCKS], "image %zu: %lu, truth %lu", i, c.live_blocks,
			v[ORACLE_BLOCKS]);
		CHECK(c.live_bytes == v[ORACLE_BYTES], "image %zu: %lu, truth %lu", i, c.live_bytes,
			v[ORACLE_BYTES]);
		CHECK(c.n_failed == v[ORACLE_FAILED], "image %zu: %lu, truth %lu", i, c.n_failed,
			v[ORACLE_FAILED]);
		CHECK(c.foreign_frees == v[ORACLE_INHERITED], "image %zu: %lu, truth %lu", i, c.foreign_frees,
			v[ORACLE_INHERITED]);
	}
}

static uint64_t n_of_size(const struct tap_image *image, uint64_t size)
{
	uint64_t n = 0;
	for (size_t i = 0; i < image->n_events; i++)
		n += image->events[i].size == size;
	return n;
}

static const struct tap_event *of_size(const struct tap_image *image, uint64_t size)
{
	for (size_t i = 0; i < image->n_events; i++)
		if (image->events[i].size == size)
			return &image->events[i];
	return NULL;
}

/* Runs the victim with `setup` as its environment and returns what it prints. */
static char *output_of(struct run *r, const char *name, const char *arg, bool is_native)
{
	static char outputs[2][65536];
	char *out = outputs[is_native];
	char *argv[] = {(char *)(uintptr_t)VICTIM, (char *)(uintptr_t)name, (char *)(uintptr_t)arg, NULL};
	int fds[2];
	size_t n = 0;
	ssize_t got;
	if (pipe2(fds, O_CLOEXEC) < 0)
		exit(99);
	fflush(stdout);
	int saved = dup(1);
	dup2(fds[1], 1);
	if (is_native) {
		r->pid = fork();
		if (r->pid == 0) {
			close(saved); /* tap_spawn's child has it closed as well, see below */
			execv(argv[0], argv);
			_exit(127);
		}
	} else {
		fcntl(saved, F_SETFD, FD_CLOEXEC);
		r->pid = tap_spawn(r->tap, argv, r->env);
	}
	dup2(saved, 1);
	close(saved);
	close(fds[1]);
	while (n < sizeof(outputs[0]) - 1 && (got = read(fds[0], out + n, sizeof(outputs[0]) - 1 - n)) > 0)
		n += (size_t)got;
	close(fds[0]);
	out[n] = '\0';
	if (is_native)
		while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
			;
	else
		run_wait(r);
	return out;
}

static struct run check_same_output(struct tap_options o, const char *name, const char *arg)
{
	struct run r;
	run_open(&r, o, NULL);
	const char *native = output_of(&r, name, arg, true);
	int status = r.status;
	const char *traced = output_of(&r, name, arg, false);
	CHECK(strcmp(native, traced) == 0, "native:\n%s\nrecorded:\n%s", native, traced);
	CHECK(status == r.status, "status %x, recorded %x", (unsigned)status, (unsigned)r.status);
	return r;
}

/* ---- what is recorded ---- */

static void results_and_errno_are_the_real_ones(void)
{
	struct run r = check_same_output(with_stacks(), "conformance", NULL);
	check_sound(r.tap);
	run_close(&r);
}

static void check_event(
	const struct tap_image *image, uint64_t size, uint32_t kind, uint32_t flags, uint64_t align)
{
	const struct tap_event *e = of_size(image, size);
	uint32_t mask = MS_UF_FAILED | MS_UF_OLD | MS_UF_ALIGN;
	CHECK(e, "no event of size %lu", size);
	if (!e)
		return;
	CHECK(e->kind == kind, "size %lu: kind %u", size, e->kind);
	CHECK((e->flags & mask) == flags, "size %lu: flags %x", size, e->flags);
	CHECK(e->align == align, "size %lu: align %lu", size, e->align);
	CHECK(flags & MS_UF_FAILED || e->addr, "size %lu", size);
	CHECK(!(flags & MS_UF_OLD) || e->old, "size %lu", size);
	CHECK(e->depth > 2, "size %lu: %u frames", size, e->depth);
}

static void every_function_has_its_unit(void)
{
	struct run r = run_victim(with_oracle(), "each_function", NULL);
	struct tap_image *image = r.tap->images[0];
	uint64_t huge = INT64_MAX;
	check_oracle(&r);
	check_event(image, 70001, KIND_MALLOC, 0, 0);
	check_event(image, 3 * 70002, KIND_CALLOC, 0, 0);
	check_event(image, 70003, KIND_REALLOC, MS_UF_OLD, 0);
	check_event(image, 2 * 70004, KIND_REALLOCARRAY, MS_UF_OLD, 0);
	check_event(image, 70005, KIND_REALLOC, 0, 0);
	check_event(image, 70006, KIND_POSIX_MEMALIGN, MS_UF_ALIGN, 128);
	check_event(image, 70144, KIND_ALIGNED_ALLOC, MS_UF_ALIGN, 256);
	check_event(image, 70008, KIND_MEMALIGN, MS_UF_ALIGN, 512);
	check_event(image, 70009, KIND_VALLOC, 0, 0);
	check_event(image, 70010, KIND_PVALLOC, 0, 0);
	check_event(image, 70014, KIND_POSIX_MEMALIGN, MS_UF_ALIGN | MS_UF_FAILED, 3);
	CHECK(of_size(image, 70014) && of_size(image, 70014)->addr == EINVAL, "posix_memalign's own rule");
	struct tap_count c = tap_replay(image);
	CHECK(c.n_kind[KIND_FREE_SIZED] == 1 && c.n_kind[KIND_FREE_ALIGNED_SIZED] == 1 &&
			c.n_kind[KIND_CFREE] == 1,
		"%lu %lu %lu", c.n_kind[KIND_FREE_SIZED], c.n_kind[KIND_FREE_ALIGNED_SIZED],
		c.n_kind[KIND_CFREE]);
	CHECK(c.n_kind[KIND_REALLOC_FREE] == 1, "%lu", c.n_kind[KIND_REALLOC_FREE]);
	CHECK(c.n_kind[KIND_REALLOC_BEGIN] == 4, "%lu", c.n_kind[KIND_REALLOC_BEGIN]);
	CHECK(n_of_size(image, huge) == 3, "%lu failures of huge sizes", n_of_size(image, huge));
	CHECK(c.n_failed == 4, "%lu", c.n_failed);
	run_close(&r);
}

/* Stacks of this program's own functions lead through main to the start. */
static void stacks_reach_the_start_and_modules_are_known(void)
{
	struct tap_options o = with_stacks();
	o.free_stacks = true;
	struct run r = run_victim(o, "each_function", NULL);
	struct tap_image *image = r.tap->images[0];
	check_sound(r.tap);
	for (size_t i = 0; i < image->n_events; i++) {
		const struct tap_event *e = &image->events[i];
		CHECK(e->kind == KIND_REALLOC_BEGIN || e->depth > 1, "event %zu of kind %u has no stack", i,
			e->kind);
		CHECK(!(e->flags & MS_UF_CUT), "event %zu", i);
		for (uint32_t k = 0; k < e->depth; k++) {
			uint64_t ip = image->ips[e->stack + k];
			bool known = false;
			for (size_t m = 0; m < image->n_modules; m++)
				known |= ip - 1 >= image->modules[m].start &&
					 ip - 1 < image->modules[m].end && image->modules[m].stamp < e->stamp;
			CHECK(known, "event %zu: %lx is in no announced module", i, ip);
		}
	}
	bool has_exe = false, has_libc = false;
	for (size_t m = 0; m < image->n_modules; m++) {
		has_exe |= image->modules[m].path[0] == '\0';
		has_libc |= strstr(image->modules[m].path, "libc.so.6") != NULL &&
			    image->modules[m].build_id_len == 20;
	}
	CHECK(has_exe && has_libc, "exe %d, libc with build id %d", has_exe, has_libc);
	run_close(&r);
}

static void thread_names_are_told(void)
{
	struct run r = run_victim(with_oracle(), "thread_names", NULL);
	struct tap_image *image = r.tap->images[0];
	unsigned found = 0;
	check_oracle(&r);
	for (int i = 0; i < 5; i++) {
		char name[16];
		snprintf(name, sizeof(name), "worker-%d", i);
		for (size_t k = 0; k < image->n_names; k++)
			found += strcmp(image->names[k].name, name) == 0;
	}
	CHECK(found == 5, "%u of 5", found);
	run_close(&r);
}

static void exact(const char *victim, const char *arg)
{
	struct run r = run_victim(with_oracle(), victim, arg);
	check_oracle(&r);
	run_close(&r);
}

static void threads_free_each_others_blocks(void)
{
	exact("threads", "5000");
}

static void threads_are_ordered_by_monotonic_too(void)
{
	struct tap_options o = with_oracle();
	o.clock = MS_CLOCK_MONOTONIC;
	struct run r = run_victim(o, "threads", "2000");
	check_oracle(&r);
	run_close(&r);
}

static void short_threads_reuse_slots(void)
{
	struct run r = run_victim(with_oracle(), "short_threads", "4000");
	check_oracle(&r);
	CHECK(r.tap->images[0]->n_threads == 4001, "%u", r.tap->images[0]->n_threads);
	run_close(&r);
}

static void a_thousand_threads_at_once_are_recorded(void)
{
	struct run r = run_victim(with_oracle(), "many_threads", "1000");
	check_oracle(&r);
	CHECK(r.tap->images[0]->n_threads == 1001, "%u", r.tap->images[0]->n_threads);
	run_close(&r);
}

static void thread_destructors_may_allocate(void)
{
	exact("thread_destructors", NULL);
}

static void small_stacks_suffice(void)
{
	exact("small_stacks", NULL);
}

static void coroutine_stacks_may_vanish(void)
{
	exact("coroutines", NULL);
}

static void hooks_take_little_of_the_stack(void)
{
	struct run r;
	uint64_t first, others;
	run_open(&r, with_stacks(), NULL);
	putenv(r.truth_env); /* natively, too, it tells */
	output_of(&r, "stack_use", NULL, true);
	first = r.truth->n[TRUTH_ALLOCS], others = r.truth->n[TRUTH_FREES];
	run_start(&r, "stack_use", NULL);
	run_wait(&r);
	CHECK(first > 0 && others > 0, "nothing measured");
	CHECK(r.truth->n[TRUTH_ALLOCS] < first + 2048, "%lu bytes in a thread's first call, natively %lu",
		r.truth->n[TRUTH_ALLOCS], first);
	CHECK(r.truth->n[TRUTH_FREES] < others + 2048, "%lu bytes in others, natively %lu",
		r.truth->n[TRUTH_FREES], others);
	run_close(&r);
}

static void a_recorded_call_writes_to_its_threads_memory_alone(void)
{
	struct run r = run_victim(with_stacks(), "own_memory", NULL);
	check_sound(r.tap);
	CHECK(r.truth->n[TRUTH_PAIRS] >= 3, "%lu spans were protected", r.truth->n[TRUTH_PAIRS]);
	CHECK(n_of_size(r.tap->images[0], 20056) == 5, "%lu", n_of_size(r.tap->images[0], 20056));
	CHECK(n_of_size(r.tap->images[0], 44) == 5 * 55, "%lu", n_of_size(r.tap->images[0], 44));
	run_close(&r);
}

static void threads_without_slot_are_counted(void)
{
	struct tap_options o = with_stacks();
	o.n_slots = 4;
	struct run r = run_victim(o, "threads", "500");
	CHECK(r.tap->images[0]->untold_events > 1000, "%lu", r.tap->images[0]->untold_events);
	CHECK(!r.tap->images[0]->is_broken, "broken");
	run_close(&r);
}

/* ---- signals ---- */

static void check_signals(const char *victim)
{
	struct run r = run_victim(with_stacks(), victim, NULL);
	struct tap_image *image = r.tap->images[0];
	/* A hook in which the system did not let it go on may be interrupted more often than the side buffer has places:
	 * counted. */
	uint64_t lost = image->lost_events;
	CHECK(!image->is_broken && image->n_disorder == 0 && image->untold_events == 0, "disorder %lu",
		image->n_disorder);
	CHECK(lost * 10 < image->n_events, "%lu lost", lost);
	CHECK(n_of_size(image, 20011) == r.truth->n[TRUTH_PAIRS], "%lu, truth %lu", n_of_size(image, 20011),
		r.truth->n[TRUTH_PAIRS]);
	CHECK(n_of_size(image, 31337) + lost == r.truth->n[TRUTH_SIGNAL], "%lu + %lu, truth %lu",
		n_of_size(image, 31337), lost, r.truth->n[TRUTH_SIGNAL]);
	run_close(&r);
}

static void signal_handlers_are_recorded(void)
{
	check_signals("signals");
}

static void handlers_on_an_alternate_stack_are_recorded(void)
{
	check_signals("signals_alternate");
	check_signals("signals_alternate_above");
}

static struct run run_that_goes_on(const char *victim, uint64_t size, uint32_t stack_depth)
{
	struct tap_options o = with_stacks();
	o.stack_depth = stack_depth;
	struct run r = run_victim(o, victim, NULL);
	struct tap_image *image = r.tap->images[0];
	CHECK(!image->is_broken && image->n_disorder == 0, "disorder %lu", image->n_disorder);
	CHECK(n_of_size(image, size) == 1000, "%lu of 1000 afterwards, %lu lost, depth %u",
		n_of_size(image, size), image->lost_events, stack_depth);
	CHECK(image->lost_events * 100 <= image->n_events, "%lu lost", image->lost_events);
	return r;
}

static void check_goes_on(const char *victim, uint64_t size, uint32_t stack_depth)
{
	struct run r = run_that_goes_on(victim, size, stack_depth);
	run_close(&r);
}

static void jumps_out_of_hooks_are_survived(void)
{
	check_goes_on("jumps", 20022, 128);
	check_goes_on("jumps", 20022, 0);
}

static void jumps_out_of_first_calls_are_survived(void)
{
	struct run r = run_victim(with_stacks(), "jumps_at_first", NULL);
	CHECK(r.tap->n_images == 101, "%zu", r.tap->n_images);
	for (size_t i = 1; i < r.tap->n_images; i++) {
		CHECK(!r.tap->images[i]->is_broken, "image %zu is broken", i);
		CHECK(n_of_size(r.tap->images[i], 20036) == 10, "image %zu: %lu of 10 afterwards", i,
			n_of_size(r.tap->images[i], 20036));
	}
	run_close(&r);
}

static void cancelled_threads_are_survived(void)
{
	struct run r = run_that_goes_on("async_cancel", 20033, 128);
	CHECK(n_of_size(r.tap->images[0], 20035) == 1000, "%lu of the 1000 threads' last calls",
		n_of_size(r.tap->images[0], 20035));
	run_close(&r);
}

static void a_due_cancellation_waits_until_the_hook_is_over(void)
{
	struct run r = run_victim(with_oracle(), "deferred_cancel", NULL);
	check_oracle(&r);
	CHECK(n_of_size(r.tap->images[0], 20034) == 20 * 1000, "%lu", n_of_size(r.tap->images[0], 20034));
	run_close(&r);
}

static void threads_held_by_a_signal_hold_up_nobody(void)
{
	struct run r = run_victim(with_stacks(), "stopped_world", NULL);
	check_sound(r.tap);
	CHECK(r.truth->n[TRUTH_SIGNAL] == 300 * 20, "%lu", r.truth->n[TRUTH_SIGNAL]);
	CHECK(n_of_size(r.tap->images[0], 31339) == r.truth->n[TRUTH_SIGNAL], "%lu",
		n_of_size(r.tap->images[0], 31339));
	run_close(&r);
}

/* A victim that steps through a hook of its own and does something at every instruction, or one of so many. `wrap`: what
 * msrecord --wrap would say of the pool that it calls, or NULL: it calls the heap. */
static struct run run_stepped(const char *victim, const char *wrap, uint64_t least_steps)
{
	struct run r = run_wrapped(wrap, victim, NULL);
	check_sound(r.tap);
	CHECK(r.truth->n[TRUTH_STEPS] > least_steps, "%lu", r.truth->n[TRUTH_STEPS]);
	CHECK(n_of_size(r.tap->images[0], 20022) == 1000, "%lu of 1000 afterwards", n_of_size(r.tap->images[0], 20022));
	return r;
}

static void a_signal_at_any_instruction_of_a_hook_is_recorded(void)
{
	struct run r = run_stepped("stepped", NULL, 100);
	uint64_t n = n_of_size(r.tap->images[0], 31337);
	CHECK(r.truth->n[TRUTH_SIGNAL] == r.truth->n[TRUTH_STEPS], "%lu signals, %lu tries", r.truth->n[TRUTH_SIGNAL],
		r.truth->n[TRUTH_STEPS]);
	CHECK(n == r.truth->n[TRUTH_SIGNAL] + r.truth->n[TRUTH_PAIRS] + 1, "%lu events, %lu + %lu + 1 calls",
		n, r.truth->n[TRUTH_SIGNAL], r.truth->n[TRUTH_PAIRS]);
	run_close(&r);
}

/* Handlers that call more often than a hook has room for, in hooks that tell of the loss before as well. */
static void what_handlers_lose_is_counted_exactly(void)
{
	struct run r = run_victim(with_stacks(), "stepped_often", NULL);
	struct tap_image *image = r.tap->images[0];
	CHECK(!image->is_broken && image->n_disorder == 0, "disorder %lu", image->n_disorder);
	uint64_t lost = image->lost_events + image->untold_events;
	uint64_t made = r.truth->n[TRUTH_SIGNAL] + r.truth->n[TRUTH_PAIRS] + 1;
	CHECK(image->n_losses > 10, "%lu losses told: the test is too weak", image->n_losses);
	CHECK(n_of_size(image, 31337) + lost == made, "%lu recorded, %lu lost, %lu calls", n_of_size(image, 31337), lost, made);
	run_close(&r);
}

static void what_handlers_did_when_a_process_ends_is_counted(void)
{
	struct run r = run_victim(with_stacks(), "stepped_end", NULL);
	uint64_t n = 0, lost = 0;
	for (size_t i = 1; i < r.tap->n_images; i++) {
		CHECK(!r.tap->images[i]->is_broken, "image %zu is broken", i);
		n += n_of_size(r.tap->images[i], 31336);
		lost += r.tap->images[i]->untold_events;
	}
	CHECK(lost > 0, "nothing was lost: the test is too weak");
	CHECK(n + lost == r.truth->n[TRUTH_SIGNAL], "%lu recorded, %lu lost, %lu calls", n, lost, r.truth->n[TRUTH_SIGNAL]);
	run_close(&r);
}

/* The stack of a call that was left was not told, though the thread knows it: so the next one must not build on it. */
static void check_same_depth(const struct run *r)
{
	const struct tap_image *image = r->tap->images[0];
	const struct tap_event *first = of_size(image, 31337), *outer = of_size(image, 20037);
	CHECK(first && outer && first->depth > outer->depth, "%u frames, %u", first ? first->depth : 0, outer ? outer->depth : 0);
	for (size_t i = 0; first && i < image->n_events; i++) {
		const struct tap_event *e = &image->events[i];
		CHECK(e->size != 31337 || e->depth == first->depth, "event %zu has %u frames, the first %u", i, e->depth, first->depth);
	}
}

static void a_jump_from_any_instruction_of_a_hook_is_survived(void)
{
	struct run r = run_stepped("stepped_jump", NULL, 100);
	check_same_depth(&r);
	run_close(&r);
}

static void a_fork_at_any_instruction_of_a_hook_is_survived(void)
{
	struct run r = run_stepped("stepped_fork", NULL, 100 / 7);
	struct tap_count c = tap_replay(r.tap->images[0]);
	CHECK(c.n_kind[KIND_POSIX_MEMALIGN] == r.truth->n[TRUTH_PAIRS] + 1, "%lu events, %lu calls",
		c.n_kind[KIND_POSIX_MEMALIGN], r.truth->n[TRUTH_PAIRS]);
	CHECK(r.truth->n[TRUTH_ALLOCS] == r.truth->n[TRUTH_STEPS], "%lu children finished, %lu tries",
		r.truth->n[TRUTH_ALLOCS], r.truth->n[TRUTH_STEPS]);
	run_close(&r);
}

/* A hook of a pool is one call of each role. What is on its way when a signal comes may belong to another pool or to none, but
 * here it is the same one, on top of itself. */
static const char victims_pool[] = "alloc=victim_pool_get,realloc=victim_pool_change,free=victim_pool_put";

static void check_pool_calls(const struct run *r, uint64_t n)
{
	struct tap_count c = tap_replay(r->tap->images[0]);
	CHECK(c.n_kind[KIND_POOL_ALLOC] == n, "%lu blocks acquired, %lu calls", c.n_kind[KIND_POOL_ALLOC], n);
	CHECK(n_of_size(r->tap->images[0], 31338) == n, "%lu changed, %lu calls", n_of_size(r->tap->images[0], 31338), n);
	CHECK(c.n_kind[KIND_POOL_FREE] == n, "%lu released, %lu calls", c.n_kind[KIND_POOL_FREE], n);
}

static void a_signal_at_any_instruction_of_a_pools_hook_is_recorded(void)
{
	struct run r = run_stepped("stepped", victims_pool, 100);
	CHECK(r.truth->n[TRUTH_SIGNAL] == r.truth->n[TRUTH_STEPS], "%lu signals, %lu tries", r.truth->n[TRUTH_SIGNAL],
		r.truth->n[TRUTH_STEPS]);
	check_pool_calls(&r, r.truth->n[TRUTH_SIGNAL] + r.truth->n[TRUTH_PAIRS] + 1);
	run_close(&r);
}

static void a_jump_from_any_instruction_of_a_pools_hook_is_survived(void)
{
	struct run r = run_stepped("stepped_jump", victims_pool, 100);
	check_same_depth(&r);
	run_close(&r);
}

static void a_fork_at_any_instruction_of_a_pools_hook_is_survived(void)
{
	struct run r = run_stepped("stepped_fork", victims_pool, 100 / 7);
	check_pool_calls(&r, r.truth->n[TRUTH_PAIRS] + 1);
	CHECK(r.truth->n[TRUTH_ALLOCS] == r.truth->n[TRUTH_STEPS], "%lu children finished, %lu tries",
		r.truth->n[TRUTH_ALLOCS], r.truth->n[TRUTH_STEPS]);
	run_close(&r);
}

/* ---- processes ---- */

static void forked_children_are_images_of_their_own(void)
{
	struct run r = run_victim(with_oracle(), "forks", NULL);
	check_oracle(&r);
	CHECK(r.tap->n_images == 3, "%zu", r.tap->n_images);
	for (size_t i = 1; i < r.tap->n_images; i++) {
		const struct ms_hello *h = &r.tap->images[i]->hello;
		CHECK(h->image == MS_IMAGE_FORKED, "image %zu", i);
		CHECK(h->fork_id && h->fork_id == r.tap->images[i - 1]->forks[0], "image %zu: fork %lx", i,
			h->fork_id);
		CHECK((int)h->ppid == r.tap->images[i - 1]->pid, "image %zu", i);
	}
	run_close(&r);
}

static void forks_from_many_threads_are_recorded(void)
{
	struct run r = run_victim(with_oracle(), "fork_storm", "40");
	check_oracle(&r);
	CHECK(r.tap->n_images == 4 * 40 + 1, "%zu", r.tap->n_images);
	run_close(&r);
}

static void vforked_children_are_their_parent(void)
{
	struct run r = run_victim(with_stacks(), "vforks", "1");
	check_sound(r.tap);
	CHECK(r.tap->n_images == 1, "%zu", r.tap->n_images);
	CHECK(n_of_size(r.tap->images[0], 701) == 200, "%lu", n_of_size(r.tap->images[0], 701));
	run_close(&r);
}

static void a_vforked_child_does_not_attach_in_its_parents_name(void)
{
	struct run r = run_victim(with_stacks(), "vforks", "0");
	struct tap_image *image = r.tap->images[0];
	CHECK(r.tap->n_images == 1, "%zu", r.tap->n_images);
	CHECK(image->pid == r.pid, "%d attached, not %d", image->pid, r.pid);
	CHECK(n_of_size(image, 701) == 199, "%lu", n_of_size(image, 701));
	CHECK(image->untold_events == 1, "%lu calls lost and counted", image->untold_events);
	run_close(&r);
}

static void children_of_raw_clone_are_recorded(void)
{
	struct run r = run_victim(with_stacks(), "raw_clones", NULL);
	uint64_t n = 0;
	check_sound(r.tap);
	CHECK(r.tap->n_images == 21, "%zu", r.tap->n_images);
	for (size_t i = 1; i < r.tap->n_images; i++)
		n += n_of_size(r.tap->images[i], 711);
	CHECK(n == 20, "%lu of the copies", n);
	CHECK(n_of_size(r.tap->images[0], 713) == 20, "%lu of those in the same memory",
		n_of_size(r.tap->images[0], 713));
	run_close(&r);
}

static void spawned_programs_are_images(void)
{
	struct run r = run_victim(with_oracle(), "spawns", NULL);
	check_oracle(&r);
	CHECK(r.tap->n_images >= 1, "%zu", r.tap->n_images);
	run_close(&r);
}

static void exec_begins_a_new_image_of_the_same_pid(void)
{
	struct run r;
	run_open(&r, with_oracle(), NULL);
	run_start(&r, "execs", "3");
	run_wait(&r);
	CHECK(WEXITSTATUS(r.status) == 9, "%x", (unsigned)r.status);
	check_oracle(&r);
	CHECK(r.tap->n_images == 4, "%zu", r.tap->n_images);
	for (size_t i = 0; i < r.tap->n_images; i++) {
		CHECK(r.tap->images[i]->hello.image == MS_IMAGE_NEW, "image %zu", i);
		CHECK(r.tap->images[i]->pid == r.pid, "image %zu", i);
	}
	run_close(&r);
}

static void closed_descriptors_and_a_cleared_environment_do_not_matter(void)
{
	struct run r = run_victim(with_stacks(), "closes_all", NULL);
	check_sound(r.tap);
	CHECK(r.tap->n_images == 2, "%zu", r.tap->n_images);
	CHECK(n_of_size(r.tap->images[1], 1002) == 1, "the child's call");
	run_close(&r);
}

static void daemons_are_followed(void)
{
	struct run r = run_victim(with_stacks(), "daemons", NULL);
	while (!r.truth->n[TRUTH_PAIRS] || r.tap->n_images < 2 || !r.tap->images[1]->is_gone)
		usleep(1000);
	CHECK(r.tap->n_images == 2, "%zu", r.tap->n_images);
	check_sound(r.tap);
	CHECK(n_of_size(r.tap->images[1], 802) == 1, "the daemon's call");
	run_close(&r);
}

static void handlers_may_fork(void)
{
	struct run r = run_victim(with_stacks(), "fork_in_handler", NULL);
	check_sound(r.tap);
	CHECK(r.truth->n[TRUTH_PAIRS] >= 200, "%lu", r.truth->n[TRUTH_PAIRS]);
	CHECK(r.tap->n_images == 201, "%zu", r.tap->n_images);
	run_close(&r);
}

/* ---- ends ---- */

static void all_ends_are_recorded_to_the_last_call(void)
{
	static const int statuses[] = {0, 3 << 8, 4 << 8, SIGABRT, SIGKILL, 5 << 8};
	static const uint64_t at_exit[] = {100, 0, 100, 0, 0, 100}, destroyed[] = {100, 0, 0, 0, 0, 100};
	struct tap_options o = with_oracle();
	o.preload = EARLY ":" SHIM; /* whose destructors come after ours */
	for (int i = 0; i < 6; i++) {
		struct run r;
		char arg[2] = {(char)('0' + i), '\0'};
		run_open(&r, o, NULL);
		run_start(&r, "ends", arg);
		run_wait(&r);
		CHECK((r.status & ~0x80) == statuses[i], "end %d: status %x", i, (unsigned)r.status);
		if (i < 5)
			check_oracle(&r);
		else
			check_sound(r.tap); /* the shim may have counted the call that was under way */
		CHECK(n_of_size(r.tap->images[0], 1100) == 1, "end %d", i);
		CHECK(n_of_size(r.tap->images[0], 1101) == at_exit[i], "end %d: %lu", i,
			n_of_size(r.tap->images[0], 1101));
		CHECK(n_of_size(r.tap->images[0], 1102) == destroyed[i], "end %d", i);
		CHECK(n_of_size(r.tap->images[0], 66666) == destroyed[i], "end %d: %lu after our own", i,
			n_of_size(r.tap->images[0], 66666));
		run_close(&r);
	}
}

static void check_killed(const struct run *r, uint64_t signals)
{
	struct tap_image *image = r->tap->images[0];
	uint64_t n_allocs = 0, n_frees = 0;
	for (size_t i = 0; r->tap->n_images && i < image->n_events; i++) {
		const struct tap_event *e = &image->events[i];
		n_allocs += e->size >= 3000 && e->size < 3064;
		n_frees += e->kind == KIND_FREE;
	}
	CHECK(n_allocs >= r->truth->n[TRUTH_ALLOCS], "kill %lu: %lu recorded, %lu returned", signals,
		n_allocs, r->truth->n[TRUTH_ALLOCS]);
	CHECK(n_frees >= r->truth->n[TRUTH_FREES], "kill %lu: %lu recorded, %lu returned", signals, n_frees,
		r->truth->n[TRUTH_FREES]);
	CHECK(n_allocs <= r->truth->n[TRUTH_ALLOCS] + 2, "kill %lu: %lu recorded, %lu returned", signals,
		n_allocs, r->truth->n[TRUTH_ALLOCS]);
}

static void nothing_returned_is_missing_after_kill(void)
{
	uint64_t x = (uint64_t)getpid() * 0x9e3779b97f4a7c15u | 1;
	for (uint64_t i = 0; i < 100 && !n_failures; i++) {
		struct run r;
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		run_open(&r, with_stacks(), NULL);
		run_start(&r, "killed", NULL);
		usleep((useconds_t)(x % 12000));
		kill(r.pid, SIGKILL);
		run_wait(&r);
		if (r.tap->n_images)
			check_killed(&r, i);
		run_close(&r);
	}
}

/* ---- the recorder ---- */

static bool has_ended(const struct run *r)
{
	siginfo_t info = {0};
	return waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

/* Starts a victim under a recorder of little room that stops after some events, and waits until it has. */
static struct run run_into_a_stopped_recorder_with(const char *victim, enum ms_on_full on_full, const char *n_pairs)
{
	struct tap_options o = with_stacks();
	struct run r;
	o.backlog = 2;
	o.on_full = on_full;
	o.pause_after = 1000;
	run_open(&r, o, NULL);
	run_start(&r, victim, n_pairs);
	while (!atomic_load(&r.tap->pause) && !has_ended(&r))
		usleep(100);
	return r;
}

static struct run run_into_a_stopped_recorder(enum ms_on_full on_full, const char *n_pairs)
{
	return run_into_a_stopped_recorder_with("pairs", on_full, n_pairs);
}

/* Lets the recorder go on when the victim has made so many pairs, and waits for the end. */
static void go_on_after_pairs(struct run *r, uint64_t n)
{
	while (r->truth->n[TRUTH_PAIRS] < n && !has_ended(r))
		usleep(1000);
	CHECK(r->truth->n[TRUTH_PAIRS] >= n, "stuck at %lu", r->truth->n[TRUTH_PAIRS]);
	atomic_store(&r->tap->pause, false);
	run_wait(r);
	CHECK(WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0, "%x", (unsigned)r->status);
	CHECK(!r->tap->images[0]->is_broken, "broken");
}

static void a_full_arena_blocks_without_loss(void)
{
	struct run r = run_into_a_stopped_recorder(MS_FULL_BLOCK, "100000");
	while (!atomic_load(&r.tap->images[0]->segment.control->waiting) && !has_ended(&r))
		usleep(100);
	go_on_after_pairs(&r, 0);
	check_sound(r.tap);
	CHECK(n_of_size(r.tap->images[0], 20044) == 100000, "%lu", n_of_size(r.tap->images[0], 20044));
	CHECK(r.tap->images[0]->stall_ns > 0, "it never waited");
	run_close(&r);
}

static void a_full_arena_drops_and_counts(void)
{
	struct run r = run_into_a_stopped_recorder(MS_FULL_DROP, "1000000");
	struct tap_image *image = r.tap->images[0];
	go_on_after_pairs(&r, 100000);
	tap_replay(image);
	uint64_t told = image->n_events + image->lost_events + image->untold_events;
	CHECK(image->lost_events + image->untold_events > 0, "nothing was lost: the test is too weak");
	CHECK(told >= 2000000 && told < 2000400, "%zu recorded + %lu lost", image->n_events,
		image->lost_events);
	run_close(&r);
}

static void a_stopped_recorder_is_given_up(void)
{
	struct run r = run_into_a_stopped_recorder(MS_FULL_BLOCK, "300000");
	go_on_after_pairs(&r, 300000);
	CHECK(r.tap->images[0]->lost_events + r.tap->images[0]->untold_events > 0, "and nothing was lost?");
	run_close(&r);
}

/* Has the victim's handler made so many calls? If not at once, it waits. */
static bool has_called(const struct run *r, uint64_t n)
{
	for (int ms = 0; ms < 50 && r->truth->n[TRUTH_SIGNAL] < n; ms++)
		usleep(1000);
	return r->truth->n[TRUTH_SIGNAL] >= n;
}

static void interrupt(const struct run *r, int times)
{
	for (int i = 0; i < times; i++)
		kill(r->pid, SIGRTMIN);
}

static void handlers_on_top_of_a_hook_that_waits_lose_nothing(void)
{
	enum { ROOM = 8, MORE = 60, TRIES = 20 }; /* modules take places, too */
	struct run r = run_into_a_stopped_recorder_with("visited", MS_FULL_BLOCK, "100000");
	struct tap_image *image = r.tap->images[0];
	/* The pass in which the recorder stops may still give it chunks. */
	for (uint64_t n = 0; (n != r.truth->n[TRUTH_PAIRS] || !n) && !has_ended(&r); usleep(20000))
		n = r.truth->n[TRUTH_PAIRS];
	interrupt(&r, ROOM);
	while (r.truth->n[TRUTH_SIGNAL] < ROOM && !has_ended(&r))
		usleep(100);
	uint64_t missed = 0; /* had room still, or came between two steps of the waiting */
	do
		interrupt(&r, 1);
	while (has_called(&r, ROOM + missed + 1) && ++missed < TRIES);
	interrupt(&r, MORE);
	go_on_after_pairs(&r, 0);
	CHECK(n_of_size(image, 20044) == 100000, "%lu", n_of_size(image, 20044));
	CHECK(image->lost_events <= missed, "%lu lost, %lu calls did not wait", image->lost_events, missed);
	CHECK(n_of_size(image, 31337) + image->lost_events == r.truth->n[TRUTH_SIGNAL], "%lu + %lu, truth %lu",
		n_of_size(image, 31337), image->lost_events, r.truth->n[TRUTH_SIGNAL]);
	run_close(&r);
}

/* For longer than a stopped recorder is waited for; then the recorder takes a moment more to go on than the program. */
static void who_was_stopped_together_with_the_recorder_waits_on(void)
{
	struct run r = run_into_a_stopped_recorder(MS_FULL_BLOCK, "100000");
	while (!atomic_load(&r.tap->images[0]->segment.control->waiting) && !has_ended(&r))
		usleep(100);
	kill(r.pid, SIGSTOP);
	sleep(6);
	kill(r.pid, SIGCONT);
	usleep(100000);
	go_on_after_pairs(&r, 0);
	check_sound(r.tap);
	CHECK(n_of_size(r.tap->images[0], 20044) == 100000, "%lu", n_of_size(r.tap->images[0], 20044));
	run_close(&r);
}

static void a_dead_recorder_is_noticed(void)
{
	struct run r = run_into_a_stopped_recorder(MS_FULL_BLOCK, "3000000");
	atomic_fetch_or(&r.tap->images[0]->segment.control->recorder_lock, FUTEX_OWNER_DIED);
	go_on_after_pairs(&r, 3000000);
	struct tap_image *image = r.tap->images[0];
	CHECK(image->n_events < 1000000, "it went on recording");
	/* Who gives up waiting for a recorder counts what it drops from then on. */
	CHECK(image->lost_events + image->untold_events <= 1, "%lu lost", image->lost_events + image->untold_events);
	run_close(&r);
}

static void refusal_and_silence_leave_the_program_alone(void)
{
	struct run r = check_same_output((struct tap_options){.refuse = true}, "conformance", NULL);
	CHECK(r.tap->n_images == 0, "%zu", r.tap->n_images);
	run_close(&r);
	r = check_same_output((struct tap_options){.mute = true}, "conformance", NULL);
	CHECK(r.tap->n_images == 0, "%zu", r.tap->n_images);
	run_close(&r);
}

static void without_a_recorder_nothing_happens(void)
{
	struct run r;
	run_open(&r, with_stacks(), NULL);
	snprintf(r.tap->socket_env, sizeof(r.tap->socket_env), "MSTRACE_NOTHING=1");
	run_start(&r, "each_function", NULL);
	run_wait(&r);
	CHECK(r.status == 0, "%x", (unsigned)r.status);
	CHECK(r.tap->n_images == 0, "%zu", r.tap->n_images);
	run_close(&r);
}

/* ---- what the program sees ---- */

static void the_program_sees_no_difference(void)
{
	struct run r = check_same_output(with_stacks(), "observes", NULL);
	check_sound(r.tap);
	run_close(&r);
}

static void a_small_address_space_goes_unrecorded(void)
{
	struct run r = check_same_output(with_stacks(), "limited", NULL);
	CHECK(r.tap->n_images == 2 && r.tap->images[1]->n_events == 0, "%zu images", r.tap->n_images);
	run_close(&r);
}

static void a_forbidden_clock_goes_unrecorded(void)
{
	struct run r = run_victim(with_stacks(), "no_tsc", NULL);
	CHECK(r.tap->n_images == 2 && r.tap->images[1]->n_events == 0, "%zu images", r.tap->n_images);
	run_close(&r);
}

static uint64_t processor_ns(const struct run *r)
{
	struct timespec t = {0};
	clockid_t clock;
	if (clock_getcpuclockid(r->pid, &clock) == 0)
		clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Not even where there is no room for a while: then it uses the processor and gets nowhere. */
static void recording_needs_no_system_calls(void)
{
	enum { SPINS_NS = 20000000 };
	struct run r = run_into_a_stopped_recorder_with("sandboxed", MS_FULL_BLOCK, "0");
	uint64_t n = 0, since_ns = UINT64_MAX;
	for (; (since_ns > processor_ns(&r) || processor_ns(&r) - since_ns < SPINS_NS) && !has_ended(&r); usleep(1000)) {
		if (r.truth->n[TRUTH_PAIRS] != n || !n)
			since_ns = processor_ns(&r);
		n = r.truth->n[TRUTH_PAIRS];
	}
	go_on_after_pairs(&r, 0);
	check_sound(r.tap);
	CHECK(r.tap->images[0]->stall_ns > 0, "it never waited: the test is too weak");
	CHECK(n_of_size(r.tap->images[0], 1403) == 200000, "%lu", n_of_size(r.tap->images[0], 1403));
	run_close(&r);
}

static void a_sandbox_without_clock_ends_the_recording(void)
{
	struct run r = run_victim(with_stacks(), "sandboxed", "1");
	struct tap_image *image = r.tap->images[0];
	CHECK(n_of_size(image, 1402) == 1 && n_of_size(image, 1403) == 0, "%lu", n_of_size(image, 1403));
	CHECK(image->untold_events == 400000, "%lu calls counted", image->untold_events);
	run_close(&r);
}

static void a_scribbled_arena_hurts_nobody(void)
{
	struct run r = run_victim(with_stacks(), "scribbles", NULL);
	run_close(&r);
}

/* ---- libraries ---- */

static void calls_before_any_constructor_are_recorded(void)
{
	struct tap_options o = with_oracle();
	o.preload = EARLY ":" SHIM;
	struct run r = run_victim(o, "pairs", "10");
	check_oracle(&r);
	CHECK(n_of_size(r.tap->images[0], 55555) == 10000, "%lu", n_of_size(r.tap->images[0], 55555));
	CHECK(n_of_size(r.tap->images[0], 44444) == 200, "%lu", n_of_size(r.tap->images[0], 44444));
	CHECK(n_of_size(r.tap->images[0], 1000) == 0, "the resolver ran too late: the test is too weak");
	run_close(&r);
}

/* A library that comes before ours is relocated after it: when its resolver runs there are hooks already, but libc knows
 * no environment yet. */
static void calls_before_the_environment_is_known_are_recorded(void)
{
	struct tap_options o = with_stacks();
	o.capture_library = EARLY ":" LIBRARY;
	struct run r = run_victim(o, "pairs", "10");
	check_sound(r.tap);
	if (r.tap->n_images)
		CHECK(n_of_size(r.tap->images[0], 1000) == 10, "%lu of the resolver's", n_of_size(r.tap->images[0], 1000));
	run_close(&r);
}

/* ---- the mapping layer ---- */

struct expected_map {
	uint32_t kind, error; /* errno, 0: it succeeds */
	uint64_t addr, size;  /* the unit's; addr 0: not known beforehand */
	uint64_t given, flags, more;
	bool has_path;
};

static void check_map(const struct tap_image *image, const struct tap_event *e, const struct expected_map *want)
{
	const uint64_t *more = image->more + e->more;
	bool is_failed = e->flags & MS_UF_FAILED;
	const char *path = (const char *)(more + MS_MAP_WORDS);
	size_t len = more[MS_MAP_FILE] >> 32;
	CHECK(e->kind == want->kind, "%u, not %u", e->kind, want->kind);
	CHECK(is_failed == (want->error != 0), "%u", e->kind);
	if (is_failed || want->addr)
		CHECK(e->addr == (is_failed ? want->error : want->addr), "%u: %lx", e->kind, e->addr);
	CHECK(e->size == want->size, "%u: %lu", e->kind, e->size);
	CHECK(e->depth > 0 && e->align >= MS_MAP_WORDS, "%u: %u frames, %lu words", e->kind, e->depth, e->align);
	if (want->given)
		CHECK(more[MS_MAP_ADDR] == want->given, "%u: %lx", e->kind, more[MS_MAP_ADDR]);
	CHECK(more[MS_MAP_FLAGS] == want->flags, "%u: %lx", e->kind, more[MS_MAP_FLAGS]);
	if (want->more != UINT64_MAX)
		CHECK(more[MS_MAP_MORE] == want->more, "%u: %lx", e->kind, more[MS_MAP_MORE]);
	CHECK(len == (want->has_path ? strlen(VICTIM) : 0), "%u: %zu", e->kind, len);
	if (want->has_path && len == strlen(VICTIM))
		CHECK(memcmp(path, VICTIM, len) == 0, "%.*s", (int)len, path);
}

static void mapping_calls_are_recorded_as_what_happened(void)
{
	enum { MMAP = 32, MUNMAP, MREMAP, BRK, SBRK, MADVISE, MPROTECT, PAGE = 4096 };
	const uint64_t at = VICTIM_MAPS_AT, anonymous = 0x100022, file = 0x100002, any = UINT64_MAX;
	const struct expected_map expected[] = {
		{MMAP, 0, at, 3 * PAGE, at, anonymous << 32 | 3, 0, false},
		{MMAP, 0, at + 0x100000, 5000, at + 0x100000, file << 32 | 1, PAGE, true},
		{MMAP, EINVAL, 0, 0, 0, UINT64_C(0x22) << 32 | 3, 0, false},
		{MUNMAP, 0, at + PAGE, PAGE, at + PAGE, 0, 0, false},
		{MUNMAP, EINVAL, 0, PAGE, 1, 0, 0, false},
		{MREMAP, 0, at + 0x200000, 2 * PAGE, at, UINT64_C(3) << 32, PAGE, false},
		{MPROTECT, 0, at + 0x200000, PAGE, at + 0x200000, 1, 0, false},
		{MADVISE, 0, at + 0x201000, PAGE, at + 0x201000, UINT64_C(4) << 32, 0, false},
		{SBRK, 0, 0, 2 * PAGE, 0, 0, any, false},
		{SBRK, 0, 0, PAGE, 0, 0, any, false},
		{BRK, 0, 0, PAGE, 0, 0, any, false},
		{BRK, 0, 0, 0, 0, 0, any, false},
		{SBRK, 0, 0, 0, 0, 0, any, false},
		{MMAP, 0, at + 0x300000, PAGE, at + 0x300000, file << 32 | 1, 0, false}, /* confined: no path */
	};
	struct run r = run_victim(with_stacks(), "maps", NULL);
	struct tap_image *image = r.tap->images[0];
	size_t n = 0;
	check_sound(r.tap);
	for (size_t i = 0; i < image->n_events; i++) {
		if (image->events[i].kind < MMAP)
			continue;
		if (n < sizeof(expected) / sizeof(*expected))
			check_map(image, &image->events[i], &expected[n]);
		n++;
	}
	CHECK(n == sizeof(expected) / sizeof(*expected), "%zu calls", n);
	CHECK(image->n_map_begins == 6, "%lu", image->n_map_begins);
	run_close(&r);
}

static uint64_t n_mapping_calls(struct tap_image *image)
{
	uint64_t n = 0;
	for (size_t i = 0; i < image->n_events; i++)
		n += image->events[i].kind >= 32 && image->events[i].kind < 48;
	return n;
}

static void mappings_inside_libc_are_not_the_programs(void)
{
	struct run r = run_victim(with_stacks(), "maps_unseen", NULL);
	struct tap_image *image = r.tap->images[0];
	check_sound(r.tap);
	CHECK(n_of_size(image, 8 << 20) == 1, "%lu", n_of_size(image, 8 << 20));
	CHECK(n_mapping_calls(image) == 0, "%lu", n_mapping_calls(image));
	run_close(&r);
}

static void handlers_may_map(void)
{
	struct run r = run_victim(with_stacks(), "maps_in_handlers", "20000");
	struct tap_image *image = r.tap->images[0];
	uint64_t pairs = atomic_load(&r.truth->n[TRUTH_PAIRS]), signals = atomic_load(&r.truth->n[TRUTH_SIGNAL]);
	check_sound(r.tap);
	CHECK(signals > 10, "%lu signals came", signals);
	CHECK(n_of_size(image, 2 * 4096) == 2 * pairs, "%lu of %lu", n_of_size(image, 2 * 4096), 2 * pairs);
	CHECK(n_of_size(image, 4096) == 2 * signals, "%lu of %lu", n_of_size(image, 4096), 2 * signals);
	CHECK(n_mapping_calls(image) == 2 * (pairs + signals), "%lu", n_mapping_calls(image));
	run_close(&r);
}

static void blocks_from_before_all_hooks_may_be_freed(void)
{
	struct tap_options o = with_stacks();
	struct run r;
	o.preload = EARLY;
	run_open(&r, o, NULL);
	r.env[3] = (char *)(uintptr_t)"EARLY_FREES=1";
	run_start(&r, "pairs", "10");
	run_wait(&r);
	CHECK(r.status == 0, "%x", (unsigned)r.status);
	struct tap_count c = tap_replay(r.tap->images[0]);
	CHECK(n_of_size(r.tap->images[0], 55555) == 10000, "%lu", n_of_size(r.tap->images[0], 55555));
	/* It came from the bootstrap arena, and goes back there. */
	CHECK(n_of_size(r.tap->images[0], 1001) + c.foreign_frees == 0, "%lu acquired, %lu foreign",
		n_of_size(r.tap->images[0], 1001), c.foreign_frees);
	run_close(&r);
}

static void an_allocator_that_calls_itself_is_counted_once(void)
{
	struct tap_options o = with_stacks();
	o.preload = OWN_ALLOCATOR;
	struct run r = run_victim(o, "each_function", NULL);
	struct tap_count c = tap_replay(r.tap->images[0]);
	CHECK(n_of_size(r.tap->images[0], 3 * 70002) == 1, "%lu", n_of_size(r.tap->images[0], 3 * 70002));
	CHECK(c.overlaps == 0 && c.foreign_frees == 0, "%lu, %lu", c.overlaps, c.foreign_frees);
	run_close(&r);
}

static void a_dlsym_that_allocates_is_served(void)
{
	struct tap_options o = with_stacks();
	o.capture_library = LIBRARY ":" GREEDY_DLSYM;
	struct run r = run_victim(o, "threads", "100");
	check_sound(r.tap);
	run_close(&r);
}

static void unloaded_modules_are_told(void)
{
	struct run r = run_victim(with_oracle(), "plugins", "20");
	struct tap_image *image = r.tap->images[0];
	unsigned n = 0, n_unloaded = 0;
	check_oracle(&r);
	for (size_t i = 0; i < image->n_modules; i++) {
		bool is_plugin = strstr(image->modules[i].path, "capture_plugin") != NULL;
		n += is_plugin;
		n_unloaded += is_plugin && image->modules[i].is_unloaded;
	}
	CHECK(n == 20 && n_unloaded == 20, "%u announced, %u ended", n, n_unloaded);
	run_close(&r);
}

/* Such a module's calls can not be seen; nor are they changed. */
static void secluded_modules_are_left_alone(void)
{
	for (int is_apart = 0; is_apart < 2; is_apart++) {
		struct run r = run_victim(with_stacks(), "secluded", is_apart ? "1" : "0");
		struct tap_image *image = r.tap->images[0];
		struct tap_count c = tap_replay(image);
		CHECK(!image->is_broken && image->lost_events == 0, "%lu lost", image->lost_events);
		CHECK(n_of_size(image, 1402) == 0, "%lu seen: the test is too weak", n_of_size(image, 1402));
		CHECK(n_of_size(image, 1403) == 100, "%lu of our own", n_of_size(image, 1403));
		CHECK(c.foreign_frees == (is_apart ? 0 : 100), "%lu releases of what was never seen",
			c.foreign_frees);
		run_close(&r);
	}
}

#define TEST(f)                                                                                              \
	{                                                                                                    \
#f, f                                                                                        \
	}
static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	TEST(results_and_errno_are_the_real_ones),
	TEST(every_function_has_its_unit),
	TEST(stacks_reach_the_start_and_modules_are_known),
	TEST(thread_names_are_told),
	TEST(threads_free_each_others_blocks),
	TEST(threads_are_ordered_by_monotonic_too),
	TEST(short_threads_reuse_slots),
	TEST(a_thousand_threads_at_once_are_recorded),
	TEST(thread_destructors_may_allocate),
	TEST(small_stacks_suffice),
	TEST(hooks_take_little_of_the_stack),
	TEST(a_recorded_call_writes_to_its_threads_memory_alone),
	TEST(coroutine_stacks_may_vanish),
	TEST(threads_without_slot_are_counted),
	TEST(signal_handlers_are_recorded),
	TEST(handlers_on_an_alternate_stack_are_recorded),
	TEST(jumps_out_of_hooks_are_survived),
	TEST(jumps_out_of_first_calls_are_survived),
	TEST(cancelled_threads_are_survived),
	TEST(a_due_cancellation_waits_until_the_hook_is_over),
	TEST(threads_held_by_a_signal_hold_up_nobody),
	TEST(a_signal_at_any_instruction_of_a_hook_is_recorded),
	TEST(what_handlers_lose_is_counted_exactly),
	TEST(what_handlers_did_when_a_process_ends_is_counted),
	TEST(a_jump_from_any_instruction_of_a_hook_is_survived),
	TEST(a_fork_at_any_instruction_of_a_hook_is_survived),
	TEST(a_signal_at_any_instruction_of_a_pools_hook_is_recorded),
	TEST(a_jump_from_any_instruction_of_a_pools_hook_is_survived),
	TEST(a_fork_at_any_instruction_of_a_pools_hook_is_survived),
	TEST(forked_children_are_images_of_their_own),
	TEST(forks_from_many_threads_are_recorded),
	TEST(vforked_children_are_their_parent),
	TEST(a_vforked_child_does_not_attach_in_its_parents_name),
	TEST(children_of_raw_clone_are_recorded),
	TEST(spawned_programs_are_images),
	TEST(exec_begins_a_new_image_of_the_same_pid),
	TEST(closed_descriptors_and_a_cleared_environment_do_not_matter),
	TEST(daemons_are_followed),
	TEST(handlers_may_fork),
	TEST(all_ends_are_recorded_to_the_last_call),
	TEST(nothing_returned_is_missing_after_kill),
	TEST(a_full_arena_blocks_without_loss),
	TEST(a_full_arena_drops_and_counts),
	TEST(a_stopped_recorder_is_given_up),
	TEST(who_was_stopped_together_with_the_recorder_waits_on),
	TEST(handlers_on_top_of_a_hook_that_waits_lose_nothing),
	TEST(a_dead_recorder_is_noticed),
	TEST(refusal_and_silence_leave_the_program_alone),
	TEST(without_a_recorder_nothing_happens),
	TEST(the_program_sees_no_difference),
	TEST(a_small_address_space_goes_unrecorded),
	TEST(a_forbidden_clock_goes_unrecorded),
	TEST(recording_needs_no_system_calls),
	TEST(a_sandbox_without_clock_ends_the_recording),
	TEST(a_scribbled_arena_hurts_nobody),
	TEST(calls_before_any_constructor_are_recorded),
	TEST(calls_before_the_environment_is_known_are_recorded),
	TEST(blocks_from_before_all_hooks_may_be_freed),
	TEST(mapping_calls_are_recorded_as_what_happened),
	TEST(mappings_inside_libc_are_not_the_programs),
	TEST(handlers_may_map),
	TEST(an_allocator_that_calls_itself_is_counted_once),
	TEST(a_dlsym_that_allocates_is_served),
	TEST(unloaded_modules_are_told),
	TEST(secluded_modules_are_left_alone),
};

int main(int argc, char **argv)
{
	int rc = 2;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc < 2) {
			puts(tests[i].name);
			rc = 0;
		} else if (strcmp(argv[1], tests[i].name) == 0) {
			tests[i].run();
			rc = n_failures != 0;
		}
	}
	return rc;
}

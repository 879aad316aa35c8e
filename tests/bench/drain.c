/* drain.c - what recording an event costs msrecord: drain [OPTION...] TRACE...
 *
 * Turns a trace's events back into the units that its threads would have written, in memory, and gives them to the
 * recorder's parts as a session does: some a pass, decoded into queues, merged, translated, written to /dev/null.
 * Prints nanoseconds of CPU time per event, least of some runs: decoding alone (stacks followed, the queue filled and
 * emptied), all that the recorder's own thread does, and all, columns and compression included. Always the same work for
 * the same trace, so that its instructions can be counted: -r 0 makes one run, of the last kind, and prints no times.
 *
 *	-n EVENTS	so many of the trace's beginning (4194304)
 *	-p EVENTS	a pass (4096)
 *	-r RUNS		each (3) */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mstrace.h"
#include "process.h"
#include "translate.h"

#define UNIT_WORDS (8 + MS_MAX_STACK_DEPTH)

struct options {
	size_t n_events, per_pass, n_runs;
};

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "drain: %s: %s\n", what, mst_strerror(rc));
	exit(2);
}

static void *need(void *p)
{
	must(p ? 0 : MST_ENOMEM, "memory");
	return p;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- units ------------------------------------------------------------------------------------------ */

/* What a thread has written. */
struct stream {
	uint64_t *words;
	size_t n, cap, at;
	uint32_t process, depth;
	uint64_t stack[MS_MAX_STACK_DEPTH]; /* of its latest unit, outermost first */
	size_t n_pass, cap_pass, *pass;	    /* where the words of each pass end */
};

struct input {
	struct stream *streams; /* by thread id */
	uint32_t n_streams, n_processes;
	size_t n_events, n_pushed, n_kept, n_passes;
	uint64_t stamp;
};

/* Return addresses of a stack, outermost first, into ips; how many. */
static uint32_t unfold(const struct mst_reader *r, uint32_t stack, uint64_t *ips)
{
	uint64_t inner[MS_MAX_STACK_DEPTH];
	uint32_t n = 0;
	for (uint32_t at = stack; at > MST_STACK_CUT && n < MS_MAX_STACK_DEPTH; at = mst_reader_stack(r, at)->parent)
		inner[n++] = 0x400000 + 16 * (uint64_t)mst_reader_stack(r, at)->code;
	for (uint32_t i = 0; i < n; i++)
		ips[i] = inner[n - 1 - i];
	return n;
}

/* Word 2, and the stack, as far as it is new. */
static uint64_t *put_stack(struct input *in, struct stream *s, const struct mst_reader *r, const struct mst_event *ev,
	uint64_t *u, uint64_t flags)
{
	uint64_t ips[MS_MAX_STACK_DEPTH];
	uint32_t depth = unfold(r, ev->stack, ips), keep = 0;
	bool is_release = !mst_op_acquires(ev->op);
	while (keep < depth && keep < s->depth && ips[keep] == s->stack[keep])
		keep++;
	bool is_same = keep == depth && keep == s->depth;
	uint32_t n_push = depth - keep;
	uint64_t *w = u + 2;
	in->n_pushed += n_push;
	in->n_kept += keep;
	if (is_same && is_release) {
		flags |= MS_UF_SHORT | MS_UF_SAME;
		n_push = 0;
	} else {
		flags |= is_same ? MS_UF_SAME : 0;
		if (n_push >= 255)
			*w++ = n_push;
		*w++ = (ev->size & MS_ADDR_MASK) | (is_same ? 0 : (uint64_t)keep << 48);
	}
	if (flags & MS_UF_OLD)
		*w++ = ev->old_addr;
	for (uint32_t i = keep; i < depth; i++)
		*w++ = ips[i];
	u[1] = (ev->addr & MS_ADDR_MASK) | flags << 48 | (uint64_t)(n_push < 255 ? n_push : 255) << 56;
	memcpy(s->stack, ips, depth * sizeof *ips);
	s->depth = depth;
	return w;
}

static uint64_t *reserve(struct stream *s)
{
	if (s->cap - s->n < 2 * UNIT_WORDS) {
		s->cap = 2 * s->cap + 4 * UNIT_WORDS;
		s->words = need(realloc(s->words, s->cap * sizeof *s->words));
	}
	return s->words + s->n;
}

static void put_event(struct input *in, const struct mst_reader *r, const struct mst_event *ev)
{
	struct stream *s = &in->streams[ev->thread];
	uint64_t *u = reserve(s), flags = 0;
	struct mst_event told = *ev;
	in->stamp = ev->time_ns > in->stamp ? ev->time_ns : in->stamp + 1;
	if (mst_op_acquires(ev->op) && ev->old_addr) {
		u[0] = MS_UNIT_HEAD(MST_OP_REALLOC_BEGIN, in->stamp++);
		u[1] = ev->old_addr | (uint64_t)(MS_UF_SHORT | MS_UF_NO_STACK) << 48;
		u += 2;
	}
	if (ev->old_addr || ev->op == MST_OP_REALLOC_FREE)
		flags |= MS_UF_OLD;
	if (ev->flags & MST_EV_FAILED) {
		flags |= MS_UF_FAILED;
		told.addr = ev->err;
	}
	u[0] = MS_UNIT_HEAD(ev->op, in->stamp);
	s->n = (size_t)(put_stack(in, s, r, &told, u, flags) - s->words);
	in->n_events++;
}

static void end_pass(struct input *in)
{
	for (uint32_t t = 1; t < in->n_streams; t++) {
		struct stream *s = &in->streams[t];
		if (s->n_pass == s->cap_pass) {
			s->cap_pass = 2 * s->cap_pass + 16;
			s->pass = need(realloc(s->pass, s->cap_pass * sizeof *s->pass));
		}
		s->pass[s->n_pass++] = s->n;
	}
	in->n_passes++;
}

static void load(struct input *in, const char *path, const struct options *o)
{
	struct mst_replay *replay;
	struct mst_reader *r;
	struct mst_event ev;
	must(mst_reader_open(path, NULL, &r, NULL), path);
	must(mst_reader_load_tables(r), path);
	must(mst_replay_new(r, &(struct mst_replay_options){0}, &replay), path);
	*in = (struct input){.n_streams = mst_reader_n_threads(r) + 1, .n_processes = mst_reader_n_processes(r)};
	in->streams = need(calloc(in->n_streams, sizeof *in->streams));
	for (uint32_t t = 1; t < in->n_streams; t++)
		in->streams[t].process = mst_reader_thread(r, t)->process;
	while (in->n_events < o->n_events && mst_reader_next(r, &ev) > 0 && mst_replay_apply(replay, &ev) >= 0) {
		if (mst_op_maps(ev.op) || ev.op == MST_OP_REALLOC_BEGIN || ev.op == MST_OP_REALLOC_END)
			continue;
		put_event(in, r, &ev);
		if (in->n_events % o->per_pass == 0)
			end_pass(in);
	}
	end_pass(in);
	mst_replay_free(replay);
	mst_reader_close(r);
}

/* ---- the recorder ----------------------------------------------------------------------------------- */

struct recorder {
	struct mst_writer *writer;
	struct ms_clock_map clock;
	struct ms_translator translator;
	struct ms_process **processes; /* by id in the trace read */
	struct ms_tenant **tenants;    /* by thread id there */
	struct ms_merge merge;
	struct ms_drain drain;
	const struct input *in;
};

static struct ms_process *new_process(uint32_t pid)
{
	struct ms_arrival *a = need(calloc(1, sizeof *a));
	a->pid = (pid_t)pid;
	a->pidfd = a->proc_dir = a->tmp_dir = -1;
	a->hello = (struct ms_hello){.image = MS_IMAGE_NEW, .pid = pid};
	return need(ms_process_new(a));
}

static struct recorder *start(const struct input *in, bool is_threaded)
{
	struct recorder *r = need(calloc(1, sizeof *r));
	struct mst_writer_options opt = {
		.header = {.has_addresses = true, .tool = "drain", .time_shift = 8}, .threaded = is_threaded};
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	must(mst_writer_open(fd, &opt, &r->writer), "writer");
	ms_clock_start(&r->clock, MS_CLOCK_TSC);
	ms_clock_sample_at(&r->clock, 1000, 1000); /* a tick is a nanosecond */
	ms_translator_init(&r->translator, r->writer, &r->clock, 1);
	r->in = in;
	r->processes = need(calloc(in->n_processes + 1, sizeof(*r->processes)));
	r->tenants = need(calloc(in->n_streams, sizeof(*r->tenants)));
	for (uint32_t p = 1; p <= in->n_processes; p++)
		r->processes[p] = new_process(p);
	for (uint32_t t = 1; t < in->n_streams; t++) {
		r->tenants[t] = need(ms_tenant_new(r->processes[in->streams[t].process], t, MS_UNIT_DEPTH_MAX));
		r->tenants[t]->tid = t;
		r->tenants[t]->bound = in->stamp;
	}
	return r;
}

static void stop(struct recorder *r)
{
	ms_translator_release(&r->translator);
	must(mst_writer_close(r->writer, true, 0, NULL), "closing");
	ms_merge_release(&r->merge);
	for (uint32_t t = 1; t < r->in->n_streams; t++)
		ms_tenant_free(r->tenants[t], &r->drain.pool);
	for (uint32_t p = 1; p <= r->in->n_processes; p++)
		ms_process_free(r->processes[p], &r->drain.pool);
	ms_pool_release(&r->drain.pool);
	free(r->processes);
	free(r->tenants);
	free(r);
}

/* A tenant's words of a pass, a chunk at most at a time. */
static void drain_tenant(struct recorder *r, uint32_t t, size_t pass)
{
	const struct stream *s = &r->in->streams[t];
	struct ms_tenant *tenant = r->tenants[t];
	size_t begin = pass ? s->pass[pass - 1] : 0, end = s->pass[pass];
	if (begin == end)
		return;
	must(ms_tenant_decode(tenant, &tenant->process->tree, &r->drain.pool, s->words + begin, end - begin, 0) > 0 ? 0
														 : MST_EDAMAGED,
		"decoding");
	must(ms_merge_update(&r->merge, &tenant->queue), "merging");
}

static int drop(void *ctx, struct ms_queue *q, struct ms_item *items, uint32_t *n)
{
	(void)ctx, (void)q, (void)items, (void)n;
	return 0;
}

/* Nanoseconds per event. */
static double run(const struct input *in, bool is_translated, bool is_threaded)
{
	struct recorder *r = start(in, is_threaded);
	double start_s = seconds();
	for (size_t pass = 0; pass < in->n_passes; pass++) {
		for (uint32_t t = 1; t < in->n_streams; t++)
			drain_tenant(r, t, pass);
		must(ms_merge_run(&r->merge, &r->drain.pool, UINT64_MAX >> 1, is_translated ? ms_translate : drop,
			     &r->translator),
			"translating");
	}
	must(mst_writer_flush(r->writer), "writing");
	double ns = (seconds() - start_s) * 1e9 / (double)in->n_events;
	stop(r);
	return ns;
}

static double least(const struct input *in, size_t n_runs, bool is_translated, bool is_threaded)
{
	double ns = run(in, is_translated, is_threaded);
	for (size_t i = 1; i < n_runs; i++) {
		double again = run(in, is_translated, is_threaded);
		ns = again < ns ? again : ns;
	}
	return ns;
}

static void measure(const char *path, const struct options *o)
{
	struct input in;
	load(&in, path, o);
	double n = (double)(in.n_events ? in.n_events : 1);
	printf("%s: %zu events, %.1f frames new and %.1f kept each", path, in.n_events, (double)in.n_pushed / n,
		(double)in.n_kept / n);
	if (o->n_runs)
		printf("; ns per event: decoding %.1f, own thread %.1f, all %.1f", least(&in, o->n_runs, false, false),
			least(&in, o->n_runs, true, true), least(&in, o->n_runs, true, false));
	else
		run(&in, true, false);
	printf("\n");
	for (uint32_t t = 1; t < in.n_streams; t++) {
		free(in.streams[t].words);
		free(in.streams[t].pass);
	}
	free(in.streams);
}

int main(int argc, char **argv)
{
	struct options o = {.n_events = (size_t)4 << 20, .per_pass = 4096, .n_runs = 3};
	for (int i = 1; i < argc; i++) {
		bool has_value = argv[i][0] == '-' && i + 1 < argc;
		if (has_value && !strcmp(argv[i], "-n"))
			o.n_events = strtoul(argv[++i], NULL, 10);
		else if (has_value && !strcmp(argv[i], "-p") && strtoul(argv[i + 1], NULL, 10) > 0)
			o.per_pass = strtoul(argv[++i], NULL, 10);
		else if (has_value && !strcmp(argv[i], "-r"))
			o.n_runs = strtoul(argv[++i], NULL, 10);
		else
			measure(argv[i], &o);
	}
	return 0;
}

/* format_codec.c - what the event codec makes of real traces: bytes per event by column, encode and decode speed.
 *
 *     bin/format_codec TRACE.mst...        (without arguments: made-up frames, as a smoke test)
 *
 * All event frames of a trace are decoded once, which gives the arrays; then frames are encoded and decoded one by one,
 * CPU time of this thread, best of several rounds. This is the codec with zstd, without the live map and the
 * dictionaries around it. Numbers and what was tried and rejected: README.md beside this file. */
#include "../unit/sample_events.h"
#include "bytes.h"
#include "column.h"
#include "event.h"
#include "extension.h"
#include "scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define FRAMES_MAX 64 /* measured per trace, spread over it */

struct bench_frame {
	struct mst_events ev;
	uint8_t *payload;
	size_t len;
};

struct bench_trace {
	struct bench_frame at[FRAMES_MAX];
	uint32_t n_frames;
	uint64_t n_events;
};

static const char *const column_names[MST_COLUMN_END] = {NULL, "thread", "run-slot", "run-len", "site", "site-idx",
	"site-op", "site-stk", "time", "time-lg", "size", "ref", "cross", "old", "ref-addr", "addr", "escape", "extra",
	"mapping", "pool"};

static const struct {
	const char *name;
	unsigned columns;
} selections[] = {
	{"all", MST_COL_ALL},
	{"no-addr", MST_COL_ALL & ~MST_COL_ADDR},
	{"size,stack", MST_COL_SIZE | MST_COL_STACK},
	{"op", 0},
};
#define N_SELECTIONS (sizeof(selections) / sizeof(selections[0]))

static void die(const char *subject, const char *why)
{
	fprintf(stderr, "format_codec: %s: %s\n", subject, why);
	exit(2);
}

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *copy(const void *src, size_t len)
{
	void *p = malloc(len + 1);

	if (!p)
		die("memory", "exhausted");
	return len ? memcpy(p, src, len) : p;
}

static void copy_events(struct mst_events *ev)
{
	ev->op = copy(ev->op, ev->n * sizeof(*ev->op));
	ev->thread = copy(ev->thread, ev->n * sizeof(*ev->thread));
	ev->time = copy(ev->time, ev->n * sizeof(*ev->time));
	ev->stack = copy(ev->stack, ev->n * sizeof(*ev->stack));
	ev->size = copy(ev->size, ev->n * sizeof(*ev->size));
	ev->freed = copy(ev->freed, ev->n * sizeof(*ev->freed));
	ev->addr = copy(ev->addr, ev->n * sizeof(*ev->addr));
	ev->freed_addr = copy(ev->freed_addr, ev->n * sizeof(*ev->freed_addr));
	ev->extra = copy(ev->extra, ev->n_extra * sizeof(*ev->extra));
	ev->maps = copy(ev->maps, ev->maps_len);
	ev->pools = copy(ev->pools, ev->pools_len);
}

/* ---- loading -------------------------------------------------------------------------------------------- */

/* Keeps the k-th event frame if the trace has room for it: every stride-th, so that the sample spans the trace. */
static void add_frame(struct bench_trace *t, const struct mst_frame *f, struct mst_event_decoder *d)
{
	struct mst_evt evt;
	const char *why = "";

	if (!mst_evt_load(f, &evt, &why))
		die("frame", why);
	struct bench_frame *b = &t->at[t->n_frames++];
	b->ev = (struct mst_events){.n = f->n_items, .first_alloc = evt.first_alloc, .first_time = evt.time_base};
	if (mst_event_decode(d, f->payload, f->stored_len, MST_COL_ALL, &b->ev, &why) != 0)
		die("frame", why);
	copy_events(&b->ev);
	t->n_events += f->n_items;
}

static uint32_t each_frame(const char *path, uint32_t stride, struct bench_trace *t, struct mst_event_decoder *d)
{
	struct mst_problem problem = {0};
	struct mst_source source;
	struct mst_scan scan;
	struct mst_frame f;
	struct mst_gap gap;
	uint32_t count = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		die(path, "cannot be opened");
	mst_source_init(&source, fd, false);
	mst_scan_init(&scan, &source);
	while ((rc = mst_scan_next(&scan, &f, &gap, &problem)) > 0) {
		if (rc != MST_SCAN_FRAME || f.kind != MST_KIND_EVT)
			continue;
		if (t && count % stride == 0)
			add_frame(t, &f, d);
		count++;
	}
	if (rc < 0)
		die(path, problem.text);
	mst_source_release(&source);
	close(fd);
	return count;
}

static void load(const char *path, struct bench_trace *t, struct mst_event_decoder *d)
{
	uint32_t n = each_frame(path, 1, NULL, d);

	each_frame(path, (n + FRAMES_MAX - 1) / FRAMES_MAX, t, d);
	if (t->n_events == 0)
		die(path, "has no events");
}

static void make_up(struct bench_trace *t)
{
	for (uint32_t k = 0; k < 8; k++) {
		struct sample_options opt = {.seed = k, .n = MST_FRAME_EVENTS_MAX, .n_threads = 1 + k % 4, .n_stacks = 500,
			.first_alloc = 1 + 50000 * (uint64_t)k, .has_addresses = true};
		struct bench_frame *b = &t->at[t->n_frames++];
		b->ev = sample_arrays(opt.n);
		sample_fill(&b->ev, &opt);
		t->n_events += opt.n;
	}
}

/* ---- measuring ------------------------------------------------------------------------------------------ */

/* Seconds for all frames, best round; the payloads stay in t. */
static double measure_encode(struct bench_trace *t, struct mst_event_encoder *e)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double sum = 0;
		for (uint32_t k = 0; k < t->n_frames; k++) {
			struct bench_frame *b = &t->at[k];
			const uint8_t *payload;
			const char *why = "";
			double start = cpu_now();
			if (mst_event_encode(e, &b->ev, &payload, &b->len, &why) != 0)
				die("encode", why);
			sum += cpu_now() - start;
			if (!b->payload)
				b->payload = copy(payload, b->len);
		}
		best = sum < best ? sum : best;
	}
	return best;
}

static double measure_decode(const struct bench_trace *t, struct mst_event_decoder *d, unsigned columns)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double start = cpu_now();
		for (uint32_t k = 0; k < t->n_frames; k++) {
			const struct bench_frame *b = &t->at[k];
			struct mst_events ev = {.n = b->ev.n, .first_alloc = b->ev.first_alloc, .first_time = b->ev.first_time};
			const char *why = "";
			if (mst_event_decode(d, b->payload, b->len, columns, &ev, &why) != 0)
				die("decode", why);
			if (columns & MST_COL_ADDR && memcmp(ev.addr, b->ev.addr, ev.n * sizeof(ev.addr[0])) != 0)
				die("decode", "gives other events than were encoded");
		}
		double took = cpu_now() - start;
		best = took < best ? took : best;
	}
	return best;
}

static void print_columns(const struct bench_trace *t)
{
	double stored[MST_COLUMN_END] = {0}, total = 0;

	for (uint32_t k = 0; k < t->n_frames; k++) {
		struct mst_cursor c = mst_cursor_over(t->at[k].payload, t->at[k].len);
		total += (double)t->at[k].len;
		for (uint32_t count = mst_get32(&c); count > 0; count--) {
			unsigned id = mst_get32(&c) & 0xff;
			stored[id < MST_COLUMN_END ? id : 0] += mst_get32(&c) + 12;
			mst_get32(&c);
		}
	}
	printf("  %.4f bytes/event:", total / (double)t->n_events);
	for (unsigned id = 1; id < MST_COLUMN_END; id++)
		if (stored[id] > 0)
			printf(" %s %.4f", column_names[id], stored[id] / (double)t->n_events);
	putchar('\n');
}

static void measure(const char *name, struct bench_trace *t, struct mst_event_encoder *e, struct mst_event_decoder *d)
{
	double million = (double)t->n_events / 1e6;

	printf("%s: %.1f M events in %u frames\n", name, million, t->n_frames);
	printf("  M events/s: encode %.1f, decode", million / measure_encode(t, e));
	for (size_t s = 0; s < N_SELECTIONS; s++)
		printf(" [%s] %.1f", selections[s].name, million / measure_decode(t, d, selections[s].columns));
	putchar('\n');
	print_columns(t);
}

static void release(struct bench_trace *t)
{
	for (uint32_t k = 0; k < t->n_frames; k++) {
		sample_release(&t->at[k].ev);
		free(t->at[k].payload);
	}
	free(t);
}

int main(int argc, char **argv)
{
	struct mst_event_encoder *e;
	struct mst_event_decoder *d;

	if (mst_event_encoder_new(0, &e) != 0 || mst_event_decoder_new(&d) != 0)
		die("memory", "exhausted");
	for (int i = argc > 1; i < argc; i++) {
		struct bench_trace *t = calloc(1, sizeof(*t));
		if (!t)
			die("memory", "exhausted");
		if (i == 0)
			make_up(t);
		else
			load(argv[i], t, d);
		measure(i == 0 ? "made-up frames" : argv[i], t, e, d);
		release(t);
	}
	mst_event_encoder_free(e);
	mst_event_decoder_free(d);
	return 0;
}

/* writer.c - events and dictionary entries in, file out.
 *
 *     mst_writer_event --> batch (arrays) --some events later--> live map: what did this release end?
 *     mst_writer_calls --> both, a run at a time                                  |
 *     mst_writer_string, ... -> ledger                                            |
 *                                     batch full | one second | flush             v
 *     ledger's new entries + arrays --> output: columns, zstd, hashes, write(2)      (perhaps in a second thread)
 *
 * Two batches: with `threaded`, one is filled while the other is encoded and written (handover.h). Failures of the output
 * latch there and surface at the next hand-over.
 *
 * A single event is looked up in the live map at least LAG events after it came in: its cache lines were prefetched when it
 * came, so the lookup does not wait for memory. Ordinals need no lookup (they count successful acquisitions), so
 * they are given out at once.
 *
 * Runs of ordinary calls (store_calls) are most of what is recorded, and there the instructions count: for a run the cache lines
 * are prefetched first, then each call is stored and looked up in one go, and what it changes stands in a local struct, since
 * a store to the array of op bytes might, for all C knows, change any of the others. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"
#include "event.h"
#include "handover.h"
#include "images.h"
#include "keeper.h"
#include "ledger.h"
#include "mstrace.h"
#include "output.h"
#include "problem.h"
#include "sample.h"

#define LAG 16u
#define RUN_MAX 64u /* calls stored at once: their cache lines of the live map, prefetched, must not push each other out */
#define DEFAULT_FRAME_NS UINT64_C(1000000000)
/* What max_bytes leaves room for, all of it more than usual. */
#define EVENT_BYTES 16u     /* an event not yet written */
#define CODE_BYTES 64u      /* a code address: its function, file and line, compressed */
#define FRAME_BYTES 16u     /* a frame's entry in the index */
#define TAIL_BYTES 4096u    /* header again, empty frames, END */
#define COPY_DIVISOR 100u /* tables said again at the close cost at most this part of the file */

enum trait { ACQUIRES = 1u << 0, RELEASES = 1u << 1, MAPS = 1u << 2, IS_SIZED = 1u << 3, POOLS = 1u << 4,
	SPLIT = 1u << 5, /* REALLOC_BEGIN, REALLOC_END */
	FAILED = 1u << 6 };

struct thread_state {
	uint32_t process;
	uint32_t frame;        /* number of the last frame the thread had an event in (low bits) */
	uint64_t begun;        /* ordinal released by its last REALLOC_BEGIN */
};

struct mst_writer {
	struct mst_header header;
	char *header_text;
	uint32_t frame_events;   /* 0: the trace is as long as allowed */
	uint64_t frame_ns;
	bool copy_stacks;
	uint64_t max_bytes;
	bool is_limited;         /* an event has been refused because of it */

	struct mst_ledger ledger;
	struct mst_images images;
	struct thread_state *threads; /* by thread id; grows by doubling */
	size_t cap_threads;
	uint64_t now_bytes; /* live in running processes */
	bool has_paused; /* so that blocks may be unknown for that reason */
	struct mst_totals totals;
	uint64_t next_ordinal;   /* of the next successful acquisition */
	uint64_t next_pool_ordinal; /* of the next one in a pool */
	uint64_t clock_units;    /* greatest time of an event that is not LATE */
	uint64_t max_units;      /* greatest time of all */
	struct mst_samples samples; /* not yet in a frame; fewer than MST_SAMPLES_MAX */
	uint64_t sampled_ns;        /* time of the last one */

	struct mst_batch batches[2];
	struct mst_batch *fill;      /* the one being filled */
	uint32_t resolved;       /* events of it that went through the live map */
	uint64_t resolve_ordinal;
	uint32_t frame;          /* counts batches with events */
	uint32_t n_threads, n_stacks; /* greatest ids in use, for the check of every event */
	uint8_t traits[256]; /* by op byte: enum trait; of a failed call FAILED and its layer alone */
	const struct mst_map_call *map_call; /* of the event being stored, if it is of the mapping layer */
	struct mst_pool_call *pool_call;     /* the same of the pool layer */
	int rc;                  /* latched */
	struct mst_problem problem;

	struct mst_output output;
	struct mst_handover handover;
};

/* ---- batches ---------------------------------------------------------------------------------------------- */

/* Waits until the output is idle; it is then safe to look at. Its failure becomes the writer's. */
static int wait_for_output(struct mst_writer *w)
{
	mst_handover_wait(&w->handover);
	if (w->rc == 0 && w->output.rc < 0) {
		w->rc = w->output.rc;
		w->problem = w->output.problem;
	}
	return w->rc;
}

/* With the output idle: would another batch, and what must come behind the last one, be more than is allowed? Then
 * there is no frame that could take an event. */
static void check_length(struct mst_writer *w, const struct mst_batch *b)
{
	uint64_t batches = EVENT_BYTES * (b->ev.n + (uint64_t)w->frame_events) + 2 * (uint64_t)b->pages.raw.len;
	uint64_t tail = CODE_BYTES * (uint64_t)mst_table_last(&w->ledger.dict.codes) +
		FRAME_BYTES * (uint64_t)w->output.index.n + TAIL_BYTES;
	uint64_t length = w->output.offset + batches + tail;

	if (length + length / COPY_DIVISOR > w->max_bytes)
		w->frame_events = 0;
}

static int hand_over(struct mst_writer *w)
{
	struct mst_batch *b = w->fill;

	if (wait_for_output(w) < 0)
		return w->rc;
	if (w->max_bytes != 0)
		check_length(w, b);
	w->fill = b == &w->batches[0] ? &w->batches[1] : &w->batches[0];
	mst_batch_clear(w->fill);
	w->resolved = 0;
	mst_handover_give(&w->handover, b);
	return w->handover.threaded ? 0 : wait_for_output(w);
}

/* ---- failures --------------------------------------------------------------------------------------------- */

/* MST_ENOMEM latches: something that happened could not be kept. A bad argument concerns only its call. */
static int fail(struct mst_writer *w, int rc, const char *what)
{
	if (rc == MST_ENOMEM)
		w->rc = mst_problem_memory(&w->problem);
	else if (rc < 0)
		mst_problem_set(&w->problem, rc, 0, MST_NO_FRAME, "%s", what);
	return rc;
}

/* ---- the live map ----------------------------------------------------------------------------------------- */

/* Some calls of one thread on their way through the live map of its process: what they change, added to the writer's
 * numbers when they are through. */
struct run {
	struct mst_image *image;
	struct mst_addrmap *map; /* the image's; NULL = it has ended */
	uint64_t ordinal;        /* of the next acquisition */
	uint64_t first_own;
	uint64_t acquired_bytes, ended_bytes;
	uint64_t now_bytes, peak_bytes;
	uint32_t n_released, n_unknown, n_inherited, n_ended; /* n_released is the sum of the others */
	uint32_t n_overlaps;
};

static int run_begin(struct mst_writer *w, uint32_t thread, struct run *r)
{
	struct mst_image *image = mst_images_get(&w->images, w->threads[thread].process);

	if (!image->map && !image->has_ended && !(image->map = mst_addrmap_new()))
		return MST_ENOMEM;
	*r = (struct run){
		.image = image,
		.map = image->map,
		.ordinal = w->resolve_ordinal,
		.first_own = image->first_own,
		.now_bytes = w->now_bytes,
		.peak_bytes = w->totals.peak_bytes,
	};
	return 0;
}

static void run_end(struct mst_writer *w, const struct run *r)
{
	struct mst_evt *evt = &w->fill->evt;

	w->totals.live_blocks += r->ordinal - w->resolve_ordinal - r->n_ended;
	w->totals.live_bytes += r->acquired_bytes - r->ended_bytes;
	w->totals.allocated_bytes += r->acquired_bytes;
	w->totals.frees += r->n_released;
	w->totals.unknown_frees += w->has_paused ? 0 : r->n_unknown;
	w->totals.overlaps += r->n_overlaps;
	w->totals.peak_bytes = r->peak_bytes;
	r->image->live_bytes += r->now_bytes - w->now_bytes;
	w->now_bytes = r->now_bytes;
	w->resolve_ordinal = r->ordinal;
	evt->alloc_bytes += r->acquired_bytes;
	evt->freed_bytes += r->ended_bytes;
	evt->n_free += r->n_released;
	evt->n_unowned += r->n_unknown + r->n_inherited;
}

/* The next ordinal lives at addr. */
static inline int acquire(struct run *r, uint64_t addr, uint64_t size)
{
	uint64_t ordinal = r->ordinal++;
	struct mst_live old;
	int rc;

	r->acquired_bytes += size;
	if (!r->map)
		return 0;
	r->now_bytes += size;
	if (r->now_bytes > r->peak_bytes)
		r->peak_bytes = r->now_bytes;
	rc = addr != 0 ? mst_addrmap_insert(r->map, addr, ordinal, size, &old) : 0;
	r->n_overlaps += rc > 0;
	return rc < 0 ? rc : 0;
}

/* What lived at addr ends. 1 and *block; 0 if it is not known; MST_ENOMEM. */
static inline int release(struct run *r, uint64_t addr, struct mst_live *block)
{
	int rc = r->map ? mst_addrmap_remove(r->map, addr, block) : 0;

	r->n_released++;
	if (rc <= 0) {
		r->n_unknown++;
	} else if (block->ordinal < r->first_own) {
		r->n_inherited++;
	} else {
		r->n_ended++;
		r->ended_bytes += block->size;
		r->now_bytes -= block->size;
	}
	return rc;
}

/* Event i of the batch releases a block and says how large it takes it to be. */
static int resolve_release(struct mst_writer *w, struct run *r, uint32_t i)
{
	struct mst_batch_arrays *a = w->fill->arrays;
	uint64_t said = a->size[i];
	bool is_sized = w->traits[a->op[i]] & IS_SIZED;
	struct mst_live block;
	int rc = release(r, a->freed_addr[i], &block);

	if (is_sized)
		a->size[i] = 0;
	if (rc <= 0)
		return rc;
	a->freed[i] = block.ordinal;
	return is_sized && said != block.size ? mst_batch_add_extra(w->fill, i, MST_EXTRA_SAID_SIZE, said) : 0;
}

static int resolve(struct mst_writer *w, struct run *r, uint32_t i)
{
	struct mst_batch_arrays *a = w->fill->arrays;
	struct thread_state *t = &w->threads[a->thread[i]];
	unsigned trait = w->traits[a->op[i]], op = a->op[i] & MST_OP_MAX;
	int rc = 0;

	a->freed[i] = 0;
	if (trait & FAILED)
		return 0;
	if (op == MST_OP_REALLOC_END) {
		a->freed[i] = t->begun;
		t->begun = 0;
	} else if (trait & RELEASES && a->freed_addr[i] != 0) {
		rc = resolve_release(w, r, i);
	} else if (trait & IS_SIZED) {
		a->size[i] = 0; /* of no block: a release has no size in the file */
	}
	if (op == MST_OP_REALLOC_BEGIN && a->freed_addr[i] != 0)
		t->begun = a->freed[i];
	return rc == 0 && trait & ACQUIRES ? acquire(r, a->addr[i], a->size[i]) : rc;
}

/* Those of the thread of event i: returns the first that is none, or `end`. */
static uint32_t resolve_run(struct mst_writer *w, uint32_t i, uint32_t end, int *rc)
{
	const uint32_t *threads = w->fill->arrays->thread, thread = threads[i];
	struct run run;

	*rc = run_begin(w, thread, &run);
	if (*rc < 0)
		return i;
	for (; i < end && threads[i] == thread && *rc == 0; i++)
		*rc = resolve(w, &run, i);
	run_end(w, &run);
	return i;
}

static int resolve_upto(struct mst_writer *w, uint32_t end)
{
	int rc = 0;

	while (w->resolved < end && rc == 0)
		w->resolved = resolve_run(w, w->resolved, end, &rc);
	return rc < 0 ? fail(w, rc, "") : 0;
}

/* Brings the live map up to the last event. */
static int settle(struct mst_writer *w)
{
	return w->rc < 0 ? w->rc : resolve_upto(w, w->fill->ev.n);
}

/* ---- closing a frame -------------------------------------------------------------------------------------- */

static void hide_addresses(struct mst_events *ev)
{
	for (uint32_t i = 0; i < ev->n; i++) {
		ev->addr[i] = 0;
		if (ev->freed[i] != 0)
			ev->freed_addr[i] = 0;
	}
}

static int add_samples_page(struct mst_writer *w, struct mst_pages *pages)
{
	size_t start = pages->raw.len;
	uint32_t n = (uint32_t)w->samples.n;

	if (n == 0)
		return 0;
	w->samples.n = 0;
	if (mst_samples_encode(w->samples.items, n, &pages->raw) < 0)
		return MST_ENOMEM;
	return mst_pages_add(pages, MST_KIND_SAMPLE, n, start);
}

/* Gives the batch out, with whatever dictionary entries and samples are new. */
static int close_batch(struct mst_writer *w)
{
	struct mst_batch *b = w->fill;
	int rc = settle(w);

	if (rc < 0)
		return rc;
	if (mst_ledger_pending(&w->ledger, &b->pages) < 0 || add_samples_page(w, &b->pages) < 0)
		return fail(w, MST_ENOMEM, "");
	if (b->ev.n == 0 && b->pages.n == 0)
		return 0;
	b->evt.n_alloc = b->ev.n_alloc;
	b->evt.time_last = w->clock_units;
	b->ev.maps = b->maps.bytes;
	b->ev.maps_len = b->maps.len;
	b->ev.pools = b->pools.bytes;
	b->ev.pools_len = b->pools.len;
	b->flags |= b->evt.n_late ? MST_FLAG_LATE : 0u;
	b->flags |= w->totals.lost_events ? MST_FLAG_LOSS : 0u;
	if (!w->header.has_addresses)
		hide_addresses(&b->ev);
	return hand_over(w);
}

/* The first event of a batch: what the frame's header says of its start. */
static void open_frame(struct mst_writer *w, struct mst_batch *b, uint64_t units)
{
	w->frame++;
	b->has_order_time = false;
	b->ev.first_alloc = w->next_ordinal;
	b->ev.first_time = units;
	b->evt = (struct mst_evt){
		.first_event = w->totals.events,
		.first_alloc = w->next_ordinal,
		.time_base = units,
		.time_first = w->clock_units,
		.live_blocks = w->totals.live_blocks,
		.live_bytes = w->totals.live_bytes,
		.lost_events = w->totals.lost_events,
		.bytes_before = w->totals.allocated_bytes,
		.time_shift = w->header.time_shift,
	};
}

/* ---- events ----------------------------------------------------------------------------------------------- */

static const char *event_fault(const struct mst_writer *w, const struct mst_event *ev)
{
	if (ev->op == 0 || ev->op > MST_OP_MAX)
		return "an event's op is out of range";
	if (ev->thread == 0 || ev->thread > w->n_threads)
		return "an event's thread is unknown";
	if (ev->stack > w->n_stacks)
		return "an event's stack is unknown";
	if (ev->time_ns > MST_NUMBER_MAX || ev->size > MST_NUMBER_MAX)
		return "an event's time or size is out of range";
	return NULL;
}

/* The row of an event of the mapping layer; without its facts, one that says nothing. */
static int store_map_call(struct mst_writer *w, struct mst_batch *b, const struct mst_event *ev)
{
	static const struct mst_map_call unknown;
	const struct mst_map_call *call = w->map_call ? w->map_call : &unknown;
	uint64_t span = w->map_call && call->begun < w->totals.events ? w->totals.events - call->begun : 0;

	mst_map_row_put(&b->maps, call, ev->op, span, &b->last_map_addr);
	return b->maps.failed ? MST_ENOMEM : 0;
}

/* What a pool's call has acquired and released in the image of its process. At once: pools are called too seldom for
 * the wait of a lookup to matter. */
static int resolve_pool_call(struct mst_writer *w, const struct mst_event *ev, struct mst_pool_call *call)
{
	struct mst_image *image = mst_images_get(&w->images, w->threads[ev->thread].process);
	bool is_realloc = ev->op == MST_OP_POOL_REALLOC, acquires = is_realloc || ev->op == MST_OP_POOL_ALLOC;
	uint64_t released = is_realloc ? call->old_addr : acquires ? 0 : call->addr;
	struct mst_addrmap *map = image ? mst_image_pool(image, call->pool, acquires && !image->has_ended) : NULL;
	struct mst_live block;
	int rc;

	if (image && !map && acquires && !image->has_ended)
		return MST_ENOMEM;
	if (map && released != 0) {
		rc = mst_addrmap_remove(map, released, &block);
		if (rc < 0)
			return rc;
		call->freed = rc > 0 ? block.ordinal : 0;
	}
	if (!acquires)
		return 0;
	call->alloc = w->next_pool_ordinal++;
	rc = map && call->addr ? mst_addrmap_insert(map, call->addr, call->alloc, call->size, &block) : 0;
	return rc < 0 ? rc : 0;
}

/* Those of blocks that have an ordinal. */
static void hide_pool_addresses(struct mst_pool_call *call)
{
	if (call->freed != 0)
		call->old_addr = 0;
	if (call->freed != 0 || call->alloc != 0)
		call->addr = 0;
}

/* The row of an event of the pool layer; without its facts, one that says nothing. */
static int store_pool_call(struct mst_writer *w, struct mst_batch *b, const struct mst_event *ev)
{
	static const struct mst_pool_call unknown;
	const struct mst_pool_call *call = w->pool_call ? w->pool_call : &unknown;
	struct mst_pool_call shown;

	if (w->pool_call && !(ev->flags & MST_EV_FAILED) && resolve_pool_call(w, ev, w->pool_call) < 0)
		return MST_ENOMEM;
	shown = *call;
	if (!w->header.has_addresses)
		hide_pool_addresses(&shown);
	mst_pool_row_put(&b->pools, &shown, ev->op, &b->last_pool_row);
	return b->pools.failed ? MST_ENOMEM : 0;
}

/* Stores the facts of *ev at place n of the batch. */
static int store_event(struct mst_writer *w, struct mst_batch *b, const struct mst_event *ev, uint64_t units)
{
	uint32_t i = b->ev.n;
	bool failed = ev->flags & MST_EV_FAILED;
	bool late = ev->flags & MST_EV_LATE || units < w->clock_units;
	bool acquires = w->traits[ev->op] & ACQUIRES, releases = w->traits[ev->op] & RELEASES;
	struct thread_state *t = &w->threads[ev->thread];

	if (ev->align != 0 && mst_batch_add_extra(b, i, MST_EXTRA_ALIGN, ev->align) < 0)
		return MST_ENOMEM;
	if (w->traits[ev->op] & MAPS && store_map_call(w, b, ev) < 0)
		return MST_ENOMEM;
	if (w->traits[ev->op] & POOLS && store_pool_call(w, b, ev) < 0)
		return MST_ENOMEM;
	if (failed && ev->err != 0 && mst_batch_add_extra(b, i, MST_EXTRA_ERRNO, ev->err) < 0)
		return MST_ENOMEM;
	b->ev.op[i] = (uint8_t)(ev->op | (failed ? MST_OPBIT_FAILED : 0u) | (late ? MST_OPBIT_LATE : 0u));
	b->ev.thread[i] = ev->thread;
	b->ev.time[i] = units;
	b->ev.stack[i] = ev->stack;
	/* Of a sized release until it is resolved, then 0 as for all releases. */
	b->ev.size[i] = acquires || failed || w->traits[ev->op] & IS_SIZED ? ev->size : 0;
	b->ev.addr[i] = acquires && !failed ? ev->addr : 0;
	b->ev.freed_addr[i] = !releases || failed ? 0 : acquires ? ev->old_addr : ev->addr;
	b->evt.n_late += late;
	if (t->frame != w->frame) {
		t->frame = w->frame;
		b->evt.n_threads++;
	}
	if (late)
		return 0;
	if (!b->has_order_time)
		b->evt.time_first = units;
	b->has_order_time = true;
	w->clock_units = units;
	return 0;
}

static void prefetch(const struct mst_writer *w, const struct mst_batch *b, uint32_t i)
{
	const struct mst_image *image = mst_images_get(&w->images, w->threads[b->ev.thread[i]].process);

	if (!image->map)
		return;
	if (b->ev.freed_addr[i] != 0)
		mst_addrmap_prefetch(image->map, &b->ev.freed_addr[i], 1);
	if (b->ev.addr[i] != 0)
		mst_addrmap_prefetch(image->map, &b->ev.addr[i], 1);
}

/* In units: an event of that time is of the next frame. The frame has had an event that is not LATE. */
static uint64_t frame_end(const struct mst_writer *w, const struct mst_batch *b)
{
	unsigned shift = w->header.time_shift;
	uint64_t span = (w->frame_ns >> shift) + ((w->frame_ns & (((uint64_t)1 << shift) - 1)) != 0);

	return span < UINT64_MAX - b->evt.time_first ? b->evt.time_first + span : UINT64_MAX;
}

static bool frame_is_due(const struct mst_writer *w, const struct mst_batch *b, uint64_t units)
{
	return b->ev.n == w->frame_events || (b->ev.n != 0 && units >= frame_end(w, b));
}

/* The batch is full, or has lasted long enough: the next one, if there may be one. */
static int next_frame(struct mst_writer *w)
{
	if (close_batch(w) < 0)
		return w->rc;
	if (w->frame_events != 0)
		return 0;
	w->is_limited = true;
	return fail(w, MST_EFULL, "the trace is as long as allowed");
}

int mst_writer_event(struct mst_writer *w, struct mst_event *ev)
{
	const char *fault = event_fault(w, ev);
	uint64_t units = ev->time_ns >> w->header.time_shift;
	struct mst_batch *b;
	bool acquired;
	int rc;

	if (w->rc < 0)
		return w->rc;
	if (fault)
		return fail(w, MST_EARG, fault);
	if (frame_is_due(w, w->fill, units) && (rc = next_frame(w)) < 0)
		return rc;
	acquired = w->traits[ev->op] & ACQUIRES && !(ev->flags & MST_EV_FAILED);
	if (acquired && w->next_ordinal > MST_ORDINAL_MAX)
		return fail(w, MST_ENOMEM, "");
	b = w->fill;
	if (b->ev.n == 0)
		open_frame(w, b, units);
	if (store_event(w, b, ev, units) < 0)
		return fail(w, MST_ENOMEM, "");
	ev->number = w->totals.events++;
	ev->alloc = acquired ? w->next_ordinal++ : 0;
	w->totals.allocs += acquired;
	w->totals.failed += ev->flags & MST_EV_FAILED && !(w->traits[ev->op] & (MAPS | POOLS)) ? 1u : 0u;
	b->ev.n_alloc += acquired;
	if (units > w->max_units)
		w->max_units = units;
	prefetch(w, b, b->ev.n++);
	return b->ev.n - w->resolved > LAG ? resolve_upto(w, b->ev.n - LAG) : 0;
}

/* Event i of the batch becomes *c, an ordinary call at `units`, and goes through the live map at once. */
static inline int store_call(struct mst_batch *b, struct run *r, uint32_t i, uint32_t thread, const struct mst_call *c,
	unsigned trait, uint64_t units)
{
	struct mst_batch_arrays *a = b->arrays;
	bool acquires = trait & ACQUIRES;
	uint64_t released = !(trait & RELEASES) ? 0 : acquires ? c->old_addr : c->addr;
	struct mst_live block = {0};
	int rc = released != 0 ? release(r, released, &block) : 0;

	a->op[i] = (uint8_t)c->op;
	a->thread[i] = thread;
	a->time[i] = units;
	a->stack[i] = c->stack;
	a->freed[i] = rc > 0 ? block.ordinal : 0;
	a->freed_addr[i] = released;
	a->size[i] = acquires ? c->size : 0;
	a->addr[i] = acquires ? c->addr : 0;
	if (trait & IS_SIZED && rc > 0 && c->size != block.size)
		rc = mst_batch_add_extra(b, i, MST_EXTRA_SAID_SIZE, c->size);
	return rc < 0 ? rc : acquires ? acquire(r, c->addr, c->size) : 0;
}

/* How many of the n calls are stored: those before the first that wants a closer look. */
static uint32_t store_calls(struct mst_writer *w, struct run *r, uint32_t thread, const struct mst_call *calls, uint32_t n,
	int *status)
{
	struct mst_batch *b = w->fill;
	const uint64_t end = frame_end(w, b);
	const unsigned shift = w->header.time_shift;
	const uint32_t n_stacks = w->n_stacks;
	struct run run = *r; /* whose address nobody has */
	uint64_t units = w->clock_units;
	uint32_t k = 0;
	int rc = 0;

	for (; k < n && rc == 0; k++) {
		const struct mst_call *c = &calls[k];
		uint64_t now = c->time_ns >> shift;
		unsigned trait = c->op <= MST_OP_MAX ? w->traits[c->op] : 0;

		if (now - units >= end - units || (c->time_ns | c->size) > MST_NUMBER_MAX || c->stack > n_stacks ||
			c->addr == 0 || !(trait & (ACQUIRES | RELEASES)) || trait & SPLIT)
			break;
		units = now;
		rc = store_call(b, &run, b->ev.n + k, thread, c, trait, units);
	}
	w->clock_units = units;
	if (units > w->max_units)
		w->max_units = units;
	*r = run;
	*status = rc;
	return k;
}

static void prefetch_calls(const struct mst_addrmap *map, const struct mst_call *calls, uint32_t n)
{
	uint64_t touched[2 * RUN_MAX];
	uint32_t n_touched = 0;

	for (uint32_t k = 0; k < n; k++) {
		touched[n_touched++] = calls[k].addr;
		touched[n_touched] = calls[k].old_addr;
		n_touched += calls[k].old_addr != 0;
	}
	mst_addrmap_prefetch(map, touched, n_touched);
}

/* Takes what it can of a run of calls into the frame that is open; returns how many. */
static uint32_t take_calls(struct mst_writer *w, uint32_t thread, const struct mst_call *calls, size_t n, int *rc)
{
	struct mst_batch *b = w->fill;
	uint32_t room = w->frame_events - b->ev.n, n_stored;
	uint64_t n_acquired;
	struct run run;

	if (b->ev.n == 0 || !b->has_order_time || w->frame_events <= b->ev.n || thread == 0 || thread > w->n_threads ||
		w->threads[thread].frame != w->frame || w->next_ordinal > MST_ORDINAL_MAX - RUN_MAX)
		return 0; /* mst_writer_event sees to it */
	*rc = resolve_upto(w, b->ev.n);
	if (*rc == 0)
		*rc = run_begin(w, thread, &run);
	if (*rc < 0 || !run.map)
		return 0;
	if (room > RUN_MAX)
		room = RUN_MAX;
	if (room > n)
		room = (uint32_t)n;
	prefetch_calls(run.map, calls, room);
	n_stored = store_calls(w, &run, thread, calls, room, rc);
	n_acquired = run.ordinal - w->resolve_ordinal;
	run_end(w, &run);
	b->ev.n += n_stored;
	b->ev.n_alloc += (uint32_t)n_acquired;
	w->resolved = b->ev.n;
	w->next_ordinal += n_acquired;
	w->totals.events += n_stored;
	w->totals.allocs += n_acquired;
	return n_stored;
}

int mst_writer_calls(struct mst_writer *w, uint32_t thread, const struct mst_call *calls, size_t n)
{
	int rc = w->rc;

	for (size_t done = 0; done < n && rc == 0;) {
		uint32_t n_taken = take_calls(w, thread, calls + done, n - done, &rc);

		if (rc < 0)
			return fail(w, rc, "");
		if (n_taken == 0) {
			const struct mst_call *c = &calls[done];
			struct mst_event ev = {.thread = thread, .op = (uint8_t)c->op, .time_ns = c->time_ns, .size = c->size,
				.addr = c->addr, .old_addr = c->old_addr, .stack = c->stack};

			rc = c->op <= MST_OP_MAX ? mst_writer_event(w, &ev) : fail(w, MST_EARG, "an event's op is out of range");
			n_taken = 1;
		}
		done += n_taken;
	}
	return rc;
}

int mst_writer_map_event(struct mst_writer *w, struct mst_event *ev, const struct mst_map_call *call)
{
	int rc;

	if (!mst_op_maps(ev->op) || call->file > mst_table_last(&w->ledger.dict.strings))
		return fail(w, MST_EARG, "a mapping call's op or file is out of range");
	ev->addr = call->addr;
	ev->old_addr = call->old_addr;
	ev->size = call->length <= MST_NUMBER_MAX ? call->length : MST_NUMBER_MAX;
	w->map_call = call;
	rc = mst_writer_event(w, ev);
	w->map_call = NULL;
	return rc;
}

int mst_writer_pool_event(struct mst_writer *w, struct mst_event *ev, struct mst_pool_call *call)
{
	int rc;

	if (!mst_op_pools(ev->op) || call->pool == 0 || call->pool > mst_table_last(&w->ledger.dict.strings))
		return fail(w, MST_EARG, "a pool call's op or pool is out of range");
	if (w->next_pool_ordinal > MST_ORDINAL_MAX)
		return fail(w, MST_ENOMEM, "");
	if (call->size > MST_NUMBER_MAX)
		call->size = MST_NUMBER_MAX;
	call->alloc = call->freed = 0;
	ev->addr = call->addr;
	ev->old_addr = call->old_addr;
	ev->size = call->size;
	w->pool_call = call;
	rc = mst_writer_event(w, ev);
	w->pool_call = NULL;
	return rc;
}

/* ---- dictionary entries ----------------------------------------------------------------------------------- */

int mst_writer_string(struct mst_writer *w, const char *s, size_t len, uint32_t *id)
{
	return fail(w, mst_ledger_string(&w->ledger, s, len, id), "");
}

int mst_writer_module(struct mst_writer *w, const struct mst_module *m, uint32_t *id)
{
	return fail(w, mst_ledger_module(&w->ledger, m, id), "a module's path is unknown");
}

int mst_writer_code(struct mst_writer *w, uint32_t module, uint64_t offset, uint32_t *id)
{
	return fail(w, mst_ledger_code(&w->ledger, module, offset, id), "a code address's module is unknown");
}

int mst_writer_stack(struct mst_writer *w, uint32_t parent, uint32_t code, uint32_t *id)
{
	int rc = mst_ledger_stack(&w->ledger, parent, code, id);

	if (rc == 0 && *id > w->n_stacks)
		w->n_stacks = *id;
	return fail(w, rc, "a stack's parent or code is unknown");
}

/* A process with an empty image. */
static int add_process(struct mst_writer *w, const struct mst_process *p, uint64_t start_event, uint32_t *id)
{
	struct mst_process entry;
	int rc;

	memset(&entry, 0, sizeof(entry));
	entry.pid = p->pid;
	entry.parent = p->parent;
	entry.exe = p->exe;
	entry.cmdline = p->cmdline;
	entry.origin = p->origin;
	entry.start_ns = p->start_ns;
	entry.start_event = start_event;
	entry.end_event = UINT64_MAX;
	if (settle(w) < 0)
		return w->rc;
	rc = mst_ledger_process(&w->ledger, &entry, id);
	if (rc == 0)
		rc = mst_images_add(&w->images, *id, w->next_ordinal);
	return fail(w, rc, "a process's parent is unknown");
}

int mst_writer_process(struct mst_writer *w, const struct mst_process *p, uint32_t *id)
{
	uint64_t token;
	int rc;

	if (p->origin != MST_ORIGIN_FORK)
		return add_process(w, p, w->totals.events, id);
	rc = mst_writer_fork_point(w, p->parent, &token);
	if (rc == 0)
		rc = mst_writer_process_forked(w, p, token, id);
	return rc;
}

int mst_writer_fork_point(struct mst_writer *w, uint32_t parent, uint64_t *token)
{
	if (settle(w) < 0)
		return w->rc;
	return fail(w, mst_images_fork(&w->images, parent, w->next_ordinal, w->totals.events, token),
		"a forked process's parent is unknown");
}

int mst_writer_process_forked(struct mst_writer *w, const struct mst_process *p, uint64_t token, uint32_t *id)
{
	uint64_t event;
	int rc = add_process(w, p, w->totals.events, id);

	if (rc < 0)
		return rc;
	if (!mst_images_adopt(&w->images, token, *id, &event))
		return fail(w, MST_EARG, "the fork point is unknown");
	mst_ledger_change_process(&w->ledger, *id)->start_event = event;
	return 0;
}

void mst_writer_fork_drop(struct mst_writer *w, uint64_t token)
{
	mst_images_drop(&w->images, token);
}

int mst_writer_process_end(struct mst_writer *w, uint32_t id, const struct mst_process *p)
{
	struct mst_process *entry;

	if (settle(w) < 0)
		return w->rc;
	if (!mst_images_get(&w->images, id) || id == 0)
		return fail(w, MST_EARG, "the process that ends is unknown");
	entry = mst_ledger_change_process(&w->ledger, id);
	if (!entry)
		return fail(w, MST_ENOMEM, "");
	entry->fate = p->fate;
	entry->status = p->status;
	entry->end_ns = p->end_ns;
	entry->lost_events = p->lost_events;
	entry->lost_bytes = p->lost_bytes;
	entry->stall_ns = p->stall_ns;
	entry->end_event = w->totals.events;
	w->now_bytes -= mst_images_get(&w->images, id)->live_bytes;
	mst_images_get(&w->images, id)->live_bytes = 0;
	mst_images_end(&w->images, id);
	return 0;
}

static int reserve_thread(struct mst_writer *w, uint32_t id)
{
	size_t cap = id < 32 ? 64 : 2 * (size_t)id;
	struct thread_state *grown;

	if (id < w->cap_threads)
		return 0;
	grown = realloc(w->threads, cap * sizeof(*grown));
	if (!grown)
		return MST_ENOMEM;
	memset(grown + w->cap_threads, 0, (cap - w->cap_threads) * sizeof(*grown));
	w->threads = grown;
	w->cap_threads = cap;
	return 0;
}

static struct mst_thread clean_thread(const struct mst_thread *t)
{
	struct mst_thread c;

	memset(&c, 0, sizeof(c));
	c.process = t->process;
	c.tid = t->tid;
	c.name = t->name;
	c.start_ns = t->start_ns;
	c.end_ns = t->end_ns;
	c.lost_events = t->lost_events;
	return c;
}

int mst_writer_thread(struct mst_writer *w, const struct mst_thread *t, uint32_t *id)
{
	struct mst_thread entry = clean_thread(t);
	int rc = reserve_thread(w, mst_table_last(&w->ledger.dict.threads) + 1);

	if (rc == 0)
		rc = mst_ledger_thread(&w->ledger, &entry, id);
	if (rc == 0) {
		w->threads[*id].process = t->process;
		w->n_threads = *id;
	}
	return fail(w, rc, "a thread's process is unknown");
}

int mst_writer_thread_update(struct mst_writer *w, uint32_t id, const struct mst_thread *t)
{
	struct mst_thread *entry = mst_ledger_change_thread(&w->ledger, id);

	if (!entry || t->process != entry->process)
		return fail(w, MST_EARG, "the thread to be updated is unknown, or of another process");
	*entry = clean_thread(t);
	return 0;
}

int mst_writer_mapping(struct mst_writer *w, const struct mst_mapping *m)
{
	return fail(w, mst_ledger_mapping(&w->ledger, m), "a mapping's process, module or range is invalid");
}

int mst_writer_region(struct mst_writer *w, const struct mst_region *region)
{
	return fail(w, mst_ledger_region(&w->ledger, region), "a region's process, name or range is invalid");
}

int mst_writer_unmapping(struct mst_writer *w, uint32_t process, uint64_t start, uint64_t unload_ns)
{
	struct mst_mapping *m = mst_ledger_change_mapping(&w->ledger, process, start);

	if (!m)
		return fail(w, MST_EARG, "the mapping that ends is unknown");
	m->unload_ns = unload_ns;
	return 0;
}

int mst_writer_symbols(struct mst_writer *w, uint32_t code, const struct mst_symbol *s, size_t n)
{
	return fail(w, mst_ledger_symbols(&w->ledger, code, s, n), "the code address of symbols is unknown");
}

int mst_writer_loss(struct mst_writer *w, uint32_t thread, uint64_t first_ns, uint64_t last_ns, uint64_t events,
	uint64_t bytes, unsigned reason)
{
	struct mst_lost l = {.thread = thread, .reason = reason, .first_ns = first_ns, .last_ns = last_ns,
		.events = events, .bytes = bytes};

	if (last_ns < first_ns || last_ns > MST_NUMBER_MAX || events > MST_NUMBER_MAX || bytes > MST_NUMBER_MAX)
		return fail(w, MST_EARG, "a loss is out of range");
	w->totals.lost_events += events;
	w->totals.lost_bytes += bytes;
	return fail(w, mst_ledger_loss(&w->ledger, &l), "");
}

int mst_writer_annotation(struct mst_writer *w, const struct mst_annotation *a)
{
	struct mst_annotation copy = {.kind = a->kind, .process = a->process, .thread = a->thread, .name = a->name,
		.event = w->totals.events, .time_ns = a->time_ns};

	if (a->kind == 0 || a->time_ns > MST_NUMBER_MAX)
		return fail(w, MST_EARG, "an annotation is out of range");
	w->has_paused |= a->kind == MST_ANNOTATION_PAUSE;
	return fail(w, mst_ledger_annotation(&w->ledger, &copy), "an annotation's process, thread or name is unknown");
}

/* ---- samples ---------------------------------------------------------------------------------------------- */

static const char *sample_fault(const struct mst_writer *w, const struct mst_sample *s)
{
	if (s->process > mst_table_last(&w->ledger.dict.processes) || s->group > mst_table_last(&w->ledger.dict.strings))
		return "a sample's process or group is unknown";
	if (s->time_ns < w->sampled_ns || s->time_ns > MST_NUMBER_MAX || s->cost_ns > MST_NUMBER_MAX)
		return "a sample's time is out of range, or goes back";
	for (unsigned field = 0; field < MST_SAMPLE_FIELDS; field++)
		if (s->known >> field & 1 && (s->value[field] > MST_NUMBER_MAX || field == 0))
			return "a sample's value is out of range";
	return NULL;
}

int mst_writer_sample(struct mst_writer *w, const struct mst_sample *s)
{
	const char *fault = sample_fault(w, s);

	if (w->rc < 0)
		return w->rc;
	if (fault)
		return fail(w, MST_EARG, fault);
	if (mst_samples_add(&w->samples, s) < 0)
		return fail(w, MST_ENOMEM, "");
	w->samples.items[w->samples.n - 1].event = w->totals.events;
	w->sampled_ns = s->time_ns;
	return w->samples.n == MST_SAMPLES_MAX ? close_batch(w) : 0;
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

void mst_writer_totals(const struct mst_writer *w, struct mst_totals *out)
{
	*out = w->totals;
	out->duration_ns = w->max_units << w->header.time_shift;
	out->exit_status = -1;
}

int mst_writer_knows(struct mst_writer *w, uint32_t process, uint64_t addr)
{
	const struct mst_image *image;

	if (settle(w) < 0)
		return w->rc;
	image = mst_images_get(&w->images, process);
	return image && image->map && mst_addrmap_has(image->map, addr);
}

int mst_writer_pool_knows(const struct mst_writer *w, uint32_t process, uint32_t pool, uint64_t addr)
{
	struct mst_image *image = mst_images_get(&w->images, process);
	const struct mst_addrmap *map = image ? mst_image_pool(image, pool, false) : NULL;

	return map && mst_addrmap_has(map, addr);
}

uint32_t mst_writer_n_code(const struct mst_writer *w)
{
	return mst_table_last(&w->ledger.dict.codes);
}

const struct mst_code *mst_writer_get_code(const struct mst_writer *w, uint32_t id)
{
	return mst_table_get(&w->ledger.dict.codes, id);
}

const struct mst_module *mst_writer_get_module(const struct mst_writer *w, uint32_t id)
{
	return mst_table_get(&w->ledger.dict.modules, id);
}

const char *mst_writer_get_string(const struct mst_writer *w, uint32_t id, size_t *len)
{
	return mst_dict_string(&w->ledger.dict, id, len);
}

const struct mst_problem *mst_writer_problem(const struct mst_writer *w)
{
	return &w->problem;
}

/* ---- life cycle ------------------------------------------------------------------------------------------- */

/* Copies a string of the caller's to *text, which moves on; NULL stays NULL. */
static const char *keep_text(char **text, const char *s, size_t len)
{
	char *kept = *text;

	if (!s)
		return NULL;
	memcpy(kept, s, len);
	kept[len] = 0;
	*text += len + 1;
	return kept;
}

/* The caller's strings may go away; the HEADER frame is said again at the close. */
static int keep_header(struct mst_writer *w, const struct mst_header *h)
{
	const char *const from[] = {h->tool, h->host, h->kernel, h->arch, h->clock, h->cwd};
	const char **const to[] = {&w->header.tool, &w->header.host, &w->header.kernel, &w->header.arch,
		&w->header.clock, &w->header.cwd};
	size_t size = h->cmdline_len + 1;
	char *text;

	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		size += from[i] ? strlen(from[i]) + 1 : 0;
	w->header = *h;
	w->header_text = text = malloc(size);
	if (!text)
		return MST_ENOMEM;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		*to[i] = keep_text(&text, from[i], from[i] ? strlen(from[i]) : 0);
	w->header.cmdline = keep_text(&text, h->cmdline, h->cmdline ? h->cmdline_len : 0);
	return 0;
}

/* Not 0. Where the kernel gives no random numbers, one that no other file of this machine will have. */
static uint64_t draw_number(void)
{
	struct timespec now = {0};
	uint64_t n = 0;

	while (getrandom(&n, sizeof(n), 0) < 0 && errno == EINTR)
		;
	if (n == 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		n = ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) * 0x9e3779b97f4a7c15u ^ (uint64_t)getpid();
	}
	return n ? n : 1;
}

static void writer_free(struct mst_writer *w)
{
	mst_handover_release(&w->handover);
	mst_keeper_free(w->output.keeper);
	mst_output_release(&w->output);
	mst_ledger_release(&w->ledger);
	mst_images_release(&w->images);
	mst_samples_release(&w->samples);
	mst_batch_release(&w->batches[0]);
	mst_batch_release(&w->batches[1]);
	free(w->header_text);
	free(w->threads);
	free(w);
}

static uint8_t trait_of(unsigned op_byte)
{
	unsigned op = op_byte & MST_OP_MAX, layer = (mst_op_maps(op) ? MAPS : 0u) | (mst_op_pools(op) ? POOLS : 0u);

	if (op_byte & MST_OPBIT_FAILED)
		return (uint8_t)(FAILED | layer);
	return (uint8_t)((mst_op_acquires(op) ? ACQUIRES : 0u) | (mst_op_releases(op) ? RELEASES : 0u) | layer |
		(mst_op_is_sized(op) ? IS_SIZED : 0u) | (op == MST_OP_REALLOC_BEGIN || op == MST_OP_REALLOC_END ? SPLIT : 0u));
}

int mst_writer_open(int fd, const struct mst_writer_options *opt, struct mst_writer **out)
{
	struct mst_writer *w;
	int rc;

	if (opt->header.time_shift > MST_TIME_SHIFT_MAX || opt->frame_events > MST_FRAME_EVENTS_MAX)
		return MST_EARG;
	w = calloc(1, sizeof(*w));
	if (!w)
		return MST_ENOMEM;
	mst_handover_init(&w->handover, &w->output);
	mst_ledger_init(&w->ledger, draw_number());
	w->frame_events = opt->frame_events ? opt->frame_events : MST_FRAME_EVENTS_MAX;
	w->frame_ns = opt->frame_ns ? opt->frame_ns : DEFAULT_FRAME_NS;
	w->copy_stacks = opt->copy_stacks;
	w->max_bytes = opt->max_bytes;
	w->next_ordinal = w->resolve_ordinal = w->next_pool_ordinal = 1;
	w->n_stacks = MST_STACK_CUT;
	for (unsigned byte = 0; byte < sizeof(w->traits); byte++)
		w->traits[byte] = trait_of(byte);
	w->fill = &w->batches[0];
	rc = keep_header(w, &opt->header);
	if (rc == 0)
		rc = mst_output_init(&w->output, fd, opt->file_id ? opt->file_id : draw_number(), opt->level);
	if (rc == 0 && (opt->keep.bytes || opt->keep.time_ns))
		rc = mst_keeper_new(&opt->keep, &w->output.keeper);
	for (unsigned i = 0; i < 2 && rc == 0; i++)
		rc = mst_batch_init(&w->batches[i]);
	if (rc == 0)
		rc = mst_output_header(&w->output, &w->header, 0);
	if (rc == 0)
		rc = mst_output_write(&w->output);
	if (rc == 0 && opt->threaded)
		rc = mst_handover_start(&w->handover);
	if (rc < 0) {
		writer_free(w);
		return rc;
	}
	*out = w;
	return 0;
}

int mst_writer_flush(struct mst_writer *w)
{
	if (close_batch(w) < 0)
		return w->rc;
	return wait_for_output(w);
}

int mst_writer_kept(struct mst_writer *w, struct mst_kept *out)
{
	*out = (struct mst_kept){0};
	if (mst_writer_flush(w) < 0)
		return w->rc;
	if (w->output.keeper)
		mst_keeper_tell(w->output.keeper, out);
	return 0;
}

/* Says again what a damaged file needs most, dearest first, each kind only if it is small beside the file. */
static int write_copies(struct mst_writer *w)
{
	static const unsigned kinds[] = {MST_KIND_PROC, MST_KIND_THREAD, MST_KIND_MODULE, MST_KIND_MAP,
		MST_KIND_STRING, MST_KIND_CODE, MST_KIND_STACK};
	struct mst_output *o = &w->output;
	uint64_t left = o->offset / COPY_DIVISOR;
	struct mst_pages *pages = &w->fill->pages;

	mst_output_header(o, &w->header, MST_FLAG_COPY);
	for (size_t i = 0; i <= sizeof(kinds) / sizeof(kinds[0]); i++) {
		bool wanted = i > 0 && kinds[i - 1] == MST_KIND_STACK;

		if (!(wanted && w->copy_stacks) && mst_output_limit(o, left) == 0)
			left -= o->bytes.len;
		if (mst_output_write(o) < 0 || i == sizeof(kinds) / sizeof(kinds[0]))
			break;
		mst_pages_clear(pages);
		if (mst_ledger_all(&w->ledger, kinds[i], pages) < 0)
			return fail(w, MST_ENOMEM, "");
		mst_output_pages(o, pages, MST_FLAG_COPY);
	}
	return wait_for_output(w);
}

int mst_writer_close(struct mst_writer *w, bool is_clean, int exit_status, uint64_t *bytes)
{
	struct mst_totals totals;
	int rc;

	if (!w)
		return 0;
	rc = mst_writer_flush(w);
	mst_handover_stop(&w->handover);
	mst_keeper_free(w->output.keeper);
	w->output.keeper = NULL;
	if (rc == 0)
		rc = write_copies(w);
	if (rc == 0) {
		mst_writer_totals(w, &totals);
		totals.exit_status = exit_status;
		mst_output_end(&w->output, &totals, (is_clean ? MST_END_CLEAN : 0u) | (w->is_limited ? MST_END_LIMITED : 0u));
		rc = mst_output_write(&w->output);
	}
	if (bytes)
		*bytes = w->output.offset;
	writer_free(w);
	return rc;
}

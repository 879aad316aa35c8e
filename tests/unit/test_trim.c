/* A trace without its oldest events: checkpoint, the copy that drops them, the flight recorder that decides when.
 *
 * Judged against the whole trace: events, live blocks, counters and peak must be the same from the cut on, wherever it
 * is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "layered_trace.h"
#include "sample_trace.h"
#include "trim.h"

enum { MAX_FRAMES = 4096 };

static uint64_t size_of(int fd)
{
	struct stat st;

	assert_return_code(fstat(fd, &st), errno);
	return (uint64_t)st.st_size;
}

/* ---- cutting a whole trace -------------------------------------------------------------------------------- */

struct frames { /* of a file */
	struct mst_frame_info list[MAX_FRAMES];
	size_t n;
	uint64_t events_end; /* where the index begins */
};

static void note_frame(void *ctx, const struct mst_frame_info *f)
{
	struct frames *x = ctx;

	assert_true(x->n < MAX_FRAMES);
	if (f->kind == MST_KIND_INDEX && !x->events_end)
		x->events_end = f->offset;
	x->list[x->n++] = *f;
}

static void expect_sound(int fd, struct frames *frames)
{
	struct mst_verify_result result;
	struct mst_problem problem = {0};
	struct frames own = {.n = 0};

	if (mst_verify(fd, &result, note_frame, NULL, frames ? frames : &own, &problem) != 0)
		fail_msg("not sound: %s", problem.text);
}

/* The trace from event frame number k (> 0) on, as the flight recorder would leave it; closed with *totals. */
static int cut(int in, const struct frames *frames, size_t k, uint64_t file_id, const struct mst_totals *totals)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);
	struct mst_trim t = {.in = in};
	struct mst_output out;
	size_t n = 0;

	for (size_t i = 0; i < frames->n && n < k; i++)
		if (frames->list[i].kind == MST_KIND_EVT) {
			const struct mst_frame_info *f = &frames->list[i];

			n++;
			t.cut_event = f->first_event + f->n_items;
			t.cut_offset = f->offset + f->header_len + ((f->stored_len + UINT64_C(7)) & ~UINT64_C(7));
		}
	assert_int_equal(mst_output_init(&out, fd, file_id, 3), 0);
	t.out = &out;
	if (mst_trim_begin(&t) < 0 || mst_trim_copy(&t, t.cut_offset, frames->events_end) < 0)
		fail_msg("cannot cut at event %llu: %s", (unsigned long long)t.cut_event, t.problem.text);
	assert_int_equal(mst_output_end(&out, totals, MST_END_CLEAN), 0);
	assert_int_equal(mst_output_write(&out), 0);
	mst_output_release(&out);
	return fd;
}

static size_t count_event_frames(const struct frames *frames)
{
	size_t n = 0;

	for (size_t i = 0; i < frames->n; i++)
		n += frames->list[i].kind == MST_KIND_EVT;
	return n;
}

/* ---- what a trace says ------------------------------------------------------------------------------------ */

struct live {
	struct mst_block *blocks;
	size_t n, cap;
};

static int add_live(void *ctx, const struct mst_block *b)
{
	struct live *l = ctx;

	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 1024;
		l->blocks = realloc(l->blocks, l->cap * sizeof(*l->blocks));
		assert_non_null(l->blocks);
	}
	l->blocks[l->n++] = *b;
	return 0;
}

struct told {
	struct live live;
	struct mst_counters processes[8], total;
	uint64_t peak_bytes, peak_event; /* of the whole recording */
	struct mst_checkpoint checkpoint;
	struct mst_event *events; /* completed */
	size_t n_events, cap_events;
	struct mst_totals end;
};

static void keep_event(struct told *t, const struct mst_event *ev)
{
	if (t->n_events == t->cap_events) {
		t->cap_events = t->cap_events ? 2 * t->cap_events : 4096;
		t->events = realloc(t->events, t->cap_events * sizeof(*t->events));
		assert_non_null(t->events);
	}
	t->events[t->n_events++] = *ev;
}

static void read_all(int fd, struct told *t)
{
	const struct mst_replay_options by_stack = {.by_stack = true};
	struct mst_reader *r;
	struct mst_replay *p;
	struct mst_event ev;
	struct mst_loss loss;

	*t = (struct told){.n_events = 0};
	assert_int_equal(mst_reader_open_fd(fd, NULL, &r, NULL), 0);
	assert_int_equal(mst_reader_load_tables(r), 0);
	assert_int_equal(mst_replay_new(r, &by_stack, &p), 0);
	while (mst_reader_next(r, &ev) > 0) {
		assert_int_equal(mst_replay_apply(p, &ev), 0);
		keep_event(t, &ev);
	}
	mst_reader_loss(r, &loss);
	assert_int_equal(loss.places, 0);
	assert_false(loss.is_truncated);
	assert_int_equal(mst_replay_each_live(p, add_live, &t->live), 0);
	for (uint32_t i = 1; i < 8; i++)
		t->processes[i] = *mst_replay_process(p, i);
	t->total = *mst_replay_totals(p);
	t->peak_bytes = t->total.peak_bytes;
	t->peak_event = mst_replay_peak_event(p);
	if (mst_reader_checkpoint(r)) {
		t->checkpoint = *mst_reader_checkpoint(r);
		if (t->checkpoint.peak_bytes >= t->peak_bytes) {
			t->peak_bytes = t->checkpoint.peak_bytes;
			t->peak_event = t->checkpoint.peak_event;
		}
	}
	t->end = *mst_reader_end(r);
	mst_replay_free(p);
	mst_reader_close(r);
}

static void told_release(struct told *t)
{
	free(t->live.blocks);
	free(t->events);
}

static void expect_same_live(const struct live *a, const struct live *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		const struct mst_block *x = &a->blocks[i], *y = &b->blocks[i];

		assert_true(x->alloc == y->alloc && x->addr == y->addr && x->size == y->size &&
			x->time_ns == y->time_ns && x->stack == y->stack && x->thread == y->thread &&
			x->process == y->process && x->op == y->op && x->align == y->align);
	}
}

/* A release of what another process had acquired, and released before the cut, knows no size behind it. */
static bool same_event(const struct mst_event *a, const struct mst_event *b)
{
	struct mst_event c = *b;

	if (a->flags & (MST_EV_INHERITED | MST_EV_FOREIGN) && c.size == 0 && !c.alloc) {
		c.size = a->size;
		c.addr = a->addr;
	}
	if (a->op == MST_OP_REALLOC_END && c.old_addr == 0) /* its begin was dropped */
		c.old_addr = a->old_addr;
	return c.number == a->number && c.time_ns == a->time_ns && c.alloc == a->alloc && c.freed == a->freed &&
		c.size == a->size && c.addr == a->addr && c.old_addr == a->old_addr && c.stack == a->stack &&
		c.thread == a->thread && c.align == a->align && c.err == a->err && c.op == a->op && c.flags == a->flags;
}

static void expect_agreement(const struct told *whole, const struct told *part)
{
	size_t dropped = whole->n_events - part->n_events;

	assert_true(part->n_events > 0);
	assert_int_equal(part->events[0].number, dropped);
	assert_int_equal(part->checkpoint.event, dropped);
	for (size_t i = 0; i < part->n_events; i++)
		assert_true(same_event(&whole->events[dropped + i], &part->events[i]));
	expect_same_live(&whole->live, &part->live);
	for (uint32_t i = 1; i < 8; i++) {
		assert_int_equal(whole->processes[i].live_blocks, part->processes[i].live_blocks);
		assert_int_equal(whole->processes[i].live_bytes, part->processes[i].live_bytes);
	}
	assert_int_equal(whole->peak_bytes, part->peak_bytes);
	assert_int_equal(whole->peak_event, part->peak_event);
	assert_int_equal(whole->end.events, part->end.events);
	assert_int_equal(whole->end.frees, part->end.frees);
	assert_int_equal(whole->end.live_bytes, part->end.live_bytes);
}

/* ---- the copy --------------------------------------------------------------------------------------------- */

static void what_is_kept_says_the_same_wherever_the_cut_is(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 4; seed++) {
		struct sample s;
		struct told whole, part;
		static struct frames frames;

		frames = (struct frames){.n = 0};
		sample_make(&s, &(struct sample_options){.n_events = 3000, .frame_events = 100, .seed = seed});
		int fd = sample_fd(s.bytes, s.len);
		expect_sound(fd, &frames);
		read_all(fd, &whole);
		for (size_t k = 1; k < count_event_frames(&frames); k++) {
			int kept = cut(fd, &frames, k, SAMPLE_FILE_ID, &whole.end);

			expect_sound(kept, NULL);
			read_all(kept, &part);
			expect_agreement(&whole, &part);
			told_release(&part);
			close(kept);
		}
		told_release(&whole);
		close(fd);
		sample_release(&s);
	}
}

static void expect_same_bytes(int a, int b)
{
	size_t len = (size_t)size_of(a);
	void *x, *y;

	assert_int_equal(len, size_of(b));
	x = mmap(NULL, len, PROT_READ, MAP_PRIVATE, a, 0);
	y = mmap(NULL, len, PROT_READ, MAP_PRIVATE, b, 0);
	assert_memory_equal(x, y, len);
	munmap(x, len);
	munmap(y, len);
}

static void cutting_twice_is_cutting_once(void **state)
{
	static struct frames frames, once_frames;
	struct sample s;
	struct told whole;

	(void)state;
	frames = once_frames = (struct frames){.n = 0};
	sample_make(&s, &(struct sample_options){.n_events = 3000, .frame_events = 100, .seed = 9});
	int fd = sample_fd(s.bytes, s.len);
	expect_sound(fd, &frames);
	read_all(fd, &whole);
	int once = cut(fd, &frames, 10, SAMPLE_FILE_ID, &whole.end);
	expect_sound(once, &once_frames);
	int twice = cut(once, &once_frames, 12, SAMPLE_FILE_ID, &whole.end);
	int straight = cut(fd, &frames, 22, SAMPLE_FILE_ID, &whole.end);

	expect_same_bytes(twice, straight);
	close(fd);
	close(once);
	close(twice);
	close(straight);
	told_release(&whole);
	sample_release(&s);
}

/* ---- pools and mappings ----------------------------------------------------------------------------------- */

enum { N_POOLS = 2, MAX_REGIONS = 8192 };

struct layers { /* what a trace says of them */
	struct {
		struct live live;
		struct mst_counters total;
		uint64_t peak_event;
	} pools[N_POOLS];
	struct regions {
		struct mst_mapped list[MAX_REGIONS];
		size_t n;
	} regions;
	struct mst_mapped_totals totals, of_pid[2];
	uint64_t cut_ns; /* 0: it is whole */
};

static const char *const pool_names[N_POOLS] = {"arena", "slabs"};

static void keep_region(void *ctx, const struct mst_mapped *region)
{
	struct regions *r = ctx;

	assert_true(r->n < MAX_REGIONS);
	r->list[r->n++] = *region;
}

static int compare_regions(const void *a, const void *b)
{
	const struct mst_mapped *x = a, *y = b;
	uint64_t p[] = {x->process, x->event, x->is_initial, x->start, x->size, x->live_bytes, x->unmapped_ns};
	uint64_t q[] = {y->process, y->event, y->is_initial, y->start, y->size, y->live_bytes, y->unmapped_ns};

	for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

struct layer_readers {
	struct mst_replay *pools[N_POOLS];
	struct mst_spaces *all, *of_pid[2];
};

static void open_layers(const struct mst_reader *r, struct layer_readers *x, struct layers *l)
{
	const struct mst_spaces_options kept = {.gone = keep_region, .ctx = &l->regions};

	for (size_t i = 0; i < N_POOLS; i++)
		assert_int_equal(
			mst_replay_new(r, &(struct mst_replay_options){.only_pool = pool_names[i]}, &x->pools[i]), 0);
	assert_int_equal(mst_spaces_new(r, &kept, &x->all), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(mst_spaces_new(r, &(struct mst_spaces_options){.only_pid = 101 + i}, &x->of_pid[i]), 0);
}

static void close_layers(struct layer_readers *x, struct layers *l)
{
	for (size_t i = 0; i < N_POOLS; i++) {
		assert_int_equal(mst_replay_each_live(x->pools[i], add_live, &l->pools[i].live), 0);
		l->pools[i].total = *mst_replay_totals(x->pools[i]);
		l->pools[i].peak_event = mst_replay_peak_event(x->pools[i]);
		mst_replay_free(x->pools[i]);
	}
	assert_int_equal(mst_spaces_end(x->all), 0);
	l->totals = *mst_spaces_totals(x->all);
	mst_spaces_free(x->all);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(mst_spaces_end(x->of_pid[i]), 0);
		l->of_pid[i] = *mst_spaces_totals(x->of_pid[i]);
		mst_spaces_free(x->of_pid[i]);
	}
	qsort(l->regions.list, l->regions.n, sizeof(l->regions.list[0]), compare_regions);
}

/* What the checkpoint says of a pool, added to what the events do. */
static void add_checkpoint_of_pool(const struct mst_reader *r, struct layers *l)
{
	const struct mst_checkpoint *c;
	uint32_t name;

	for (size_t i = 0; (c = mst_reader_pool_checkpoint(r, i, &name)); i++) {
		size_t len, k = 0;

		while (strcmp(pool_names[k], mst_reader_string(r, name, &len)) != 0)
			assert_true(++k < N_POOLS);
		l->pools[k].total.frees += c->frees;
		l->pools[k].total.failed += c->failed;
		l->pools[k].total.allocated_bytes += c->allocated_bytes;
		if (c->peak_bytes >= l->pools[k].total.peak_bytes) {
			l->pools[k].total.peak_bytes = c->peak_bytes;
			l->pools[k].peak_event = c->peak_event;
		}
	}
}

static void read_layers(int fd, struct layers *l)
{
	struct layer_readers x;
	const struct mst_event *events;
	struct mst_reader *r;
	struct mst_loss loss;
	size_t n;

	*l = (struct layers){.cut_ns = 0};
	assert_int_equal(mst_reader_open_fd(fd, NULL, &r, NULL), 0);
	assert_int_equal(mst_reader_load_tables(r), 0);
	open_layers(r, &x, l);
	while (mst_reader_next_batch(r, &events, &n) > 0) {
		for (size_t i = 0; i < N_POOLS; i++)
			assert_int_equal(mst_replay_apply_batch(x.pools[i], events, n), 0);
		assert_int_equal(mst_spaces_apply_batch(x.all, events, n), 0);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(mst_spaces_apply_batch(x.of_pid[i], events, n), 0);
	}
	mst_reader_loss(r, &loss);
	assert_int_equal(loss.places, 0);
	assert_int_equal(mst_reader_knows_spaces(r), mst_reader_checkpoint(r) != NULL);
	l->cut_ns = mst_reader_checkpoint(r) ? mst_reader_checkpoint(r)->time_ns : 0;
	close_layers(&x, l);
	add_checkpoint_of_pool(r, l);
	mst_reader_close(r);
}

static void layers_release(struct layers *l)
{
	for (size_t i = 0; i < N_POOLS; i++)
		free(l->pools[i].live.blocks);
}

static void expect_same_totals(const struct mst_mapped_totals *a, const struct mst_mapped_totals *b)
{
	assert_int_equal(a->peak_bytes, b->peak_bytes);
	assert_int_equal(a->peak_ns, b->peak_ns);
	assert_int_equal(a->initial_regions, b->initial_regions);
	assert_int_equal(a->initial_bytes, b->initial_bytes);
}

static void expect_same_layers(const struct layers *whole, const struct layers *part)
{
	size_t n = 0;

	for (size_t i = 0; i < N_POOLS; i++) {
		const struct mst_counters *a = &whole->pools[i].total, *b = &part->pools[i].total;

		expect_same_live(&whole->pools[i].live, &part->pools[i].live);
		assert_true(a->live_blocks == b->live_blocks && a->live_bytes == b->live_bytes && a->frees == b->frees &&
			a->failed == b->failed && a->allocated_bytes == b->allocated_bytes &&
			a->peak_bytes == b->peak_bytes && whole->pools[i].peak_event == part->pools[i].peak_event);
	}
	expect_same_totals(&whole->totals, &part->totals);
	expect_same_totals(&whole->of_pid[0], &part->of_pid[0]);
	expect_same_totals(&whole->of_pid[1], &part->of_pid[1]);
	for (size_t i = 0; i < whole->regions.n; i++) {
		const struct mst_mapped *a = &whole->regions.list[i], *b = &part->regions.list[n];

		if (a->unmapped_ns <= part->cut_ns)
			continue;
		assert_true(n++ < part->regions.n);
		assert_int_equal(compare_regions(a, b), 0);
		assert_true(a->peak_bytes == b->peak_bytes && a->mapped_ns == b->mapped_ns && a->stack == b->stack &&
			a->file == b->file && a->prot == b->prot && a->kind == b->kind &&
			a->is_shared == b->is_shared && a->is_inherited == b->is_inherited);
	}
	assert_int_equal(n, part->regions.n);
}

static struct mst_totals totals_of(int fd)
{
	struct mst_reader *r;
	struct mst_totals totals;

	assert_int_equal(mst_reader_open_fd(fd, NULL, &r, NULL), 0);
	assert_int_equal(mst_reader_load_tables(r), 0);
	totals = *mst_reader_end(r);
	mst_reader_close(r);
	return totals;
}

static void pools_and_mappings_are_the_same_wherever_the_cut_is(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 6; seed++) {
		static struct frames frames;
		static struct layers whole, part;

		frames = (struct frames){.n = 0};
		int fd = layered_make(&(struct layered_options){.n_events = 1500, .frame_events = 50, .seed = seed,
			.file_id = SAMPLE_FILE_ID, .n_pages = 20 + 40 * (seed % 3)});
		struct mst_totals totals = totals_of(fd);

		expect_sound(fd, &frames);
		read_layers(fd, &whole);
		assert_true(whole.regions.n > 50 && whole.pools[0].live.n > 5 && whole.pools[1].live.n > 5);
		for (size_t k = 1; k < count_event_frames(&frames); k++) {
			int kept = cut(fd, &frames, k, SAMPLE_FILE_ID, &totals);

			expect_sound(kept, NULL);
			read_layers(kept, &part);
			expect_same_layers(&whole, &part);
			layers_release(&part);
			close(kept);
		}
		layers_release(&whole);
		close(fd);
	}
}

static void cutting_layers_twice_is_cutting_once(void **state)
{
	static struct frames frames, once_frames;

	(void)state;
	frames = once_frames = (struct frames){.n = 0};
	int fd = layered_make(&(struct layered_options){.n_events = 1500, .frame_events = 50, .seed = 3,
		.file_id = SAMPLE_FILE_ID, .n_pages = 60});
	struct mst_totals totals = totals_of(fd);

	expect_sound(fd, &frames);
	int once = cut(fd, &frames, 11, SAMPLE_FILE_ID, &totals);
	expect_sound(once, &once_frames);
	for (size_t k = 1; k < count_event_frames(&once_frames); k++) {
		int twice = cut(once, &once_frames, k, SAMPLE_FILE_ID, &totals);
		int straight = cut(fd, &frames, 11 + k, SAMPLE_FILE_ID, &totals);

		expect_same_bytes(twice, straight);
		close(twice);
		close(straight);
	}
	close(once);
	close(fd);
}

/* Parent and child part without an event between the fork and the parent's end. */
static void a_child_inherits_from_a_parent_that_ends_at_once(void **state)
{
	struct mst_writer_options opt = {.header = {.time_shift = 8, .has_addresses = true, .page_size = 4096}};
	struct mst_process parent = {.pid = 1, .origin = MST_ORIGIN_START}, end = {.fate = MST_FATE_EXITED};
	struct mst_process child = {.pid = 2, .parent = 1, .origin = MST_ORIGIN_FORK};
	struct mst_thread thread = {.tid = 1, .end_ns = UINT64_MAX};
	struct mst_map_call map = {.addr = 0x10000, .length = 0x4000, .prot = 3, .flags = 0x22};
	struct mst_map_call move = {.addr = 0x90000, .length = 0x4000, .old_addr = 0x10000, .old_length = 0x4000, .begun = 1};
	struct mst_event ev = {.op = MST_OP_MMAP, .thread = 1, .time_ns = 256};
	static struct layers told;
	struct mst_writer *w;
	uint32_t id;
	int fd = memfd_create("parted", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(mst_writer_open(fd, &opt, &w), 0);
	assert_int_equal(mst_writer_process(w, &parent, &thread.process), 0);
	assert_int_equal(mst_writer_thread(w, &thread, &id), 0);
	assert_int_equal(mst_writer_map_event(w, &ev, &map), 0);
	assert_int_equal(mst_writer_process(w, &child, &thread.process), 0);
	assert_int_equal(mst_writer_thread(w, &thread, &id), 0);
	assert_int_equal(mst_writer_process_end(w, 1, &end), 0);
	ev = (struct mst_event){.op = MST_OP_MREMAP, .thread = id, .time_ns = 512};
	assert_int_equal(mst_writer_map_event(w, &ev, &move), 0);
	assert_int_equal(mst_writer_close(w, true, 0, NULL), 0);
	read_layers(fd, &told);
	assert_int_equal(told.regions.n, 1); /* the parent's; what the child has moved is no region of its own */
	assert_int_equal(told.regions.list[0].process, 1);
	layers_release(&told);
	close(fd);
}

/* ---- many blocks ------------------------------------------------------------------------------------------ */

static struct mst_event malloc_at(uint32_t thread, uint64_t i)
{
	return (struct mst_event){.op = MST_OP_MALLOC, .thread = thread, .time_ns = i * 512, .size = i % 1000,
		.addr = 0x10000 + i * 1024};
}

static struct mst_event free_at(uint32_t thread, uint64_t block, uint64_t now)
{
	return (struct mst_event){.op = MST_OP_FREE, .thread = thread, .time_ns = now * 512,
		.addr = 0x10000 + block * 1024};
}

static uint32_t add_process(struct mst_writer *w)
{
	struct mst_process p = {.pid = 1, .origin = MST_ORIGIN_START};
	struct mst_thread t = {.tid = 1, .end_ns = UINT64_MAX};
	uint32_t thread;

	assert_int_equal(mst_writer_process(w, &p, &t.process), 0);
	assert_int_equal(mst_writer_thread(w, &t, &thread), 0);
	return thread;
}

/* 200,000 blocks, of which every third is released. */
static int many_blocks(void)
{
	struct mst_writer_options opt = {
		.header = {.time_shift = 8, .has_addresses = true}, .file_id = SAMPLE_FILE_ID, .frame_events = 10000};
	int fd = memfd_create("many", MFD_CLOEXEC);
	struct mst_writer *w;

	assert_int_equal(mst_writer_open(fd, &opt, &w), 0);
	uint32_t thread = add_process(w);
	for (uint64_t i = 0; i < 200000; i++) {
		struct mst_event ev = malloc_at(thread, i);

		assert_int_equal(mst_writer_event(w, &ev), 0);
	}
	for (uint64_t i = 0; i < 200000; i += 3) {
		struct mst_event ev = free_at(thread, i, 200000 + i);

		assert_int_equal(mst_writer_event(w, &ev), 0);
	}
	assert_int_equal(mst_writer_close(w, true, 0, NULL), 0);
	return fd;
}

static void many_blocks_need_several_parts(void **state)
{
	static struct frames frames, kept_frames;
	struct told whole, part;
	size_t parts = 0;

	(void)state;
	frames = kept_frames = (struct frames){.n = 0};
	int fd = many_blocks();
	expect_sound(fd, &frames);
	read_all(fd, &whole);
	int kept = cut(fd, &frames, 20, SAMPLE_FILE_ID, &whole.end);
	expect_sound(kept, &kept_frames);
	read_all(kept, &part);
	expect_agreement(&whole, &part);
	for (size_t i = 0; i < kept_frames.n; i++)
		parts += kept_frames.list[i].kind == MST_KIND_CHECKPOINT;
	assert_int_equal(parts, 4);
	told_release(&whole);
	told_release(&part);
	close(kept);
	close(fd);
}

/* Reads with one part of the checkpoint spoilt or taken out. */
static void expect_blocks_missing(int fd, uint64_t n_events)
{
	struct mst_verify_result result;
	struct mst_event ev;
	struct mst_reader *r;
	struct mst_loss loss;
	uint64_t n = 0;

	assert_int_equal(mst_reader_open_fd(fd, NULL, &r, NULL), 0);
	while (mst_reader_next(r, &ev) > 0)
		n++;
	mst_reader_loss(r, &loss);
	assert_int_equal(n, n_events);
	assert_true(loss.places > 0);
	assert_int_equal(loss.events, 0);
	mst_reader_close(r);
	assert_int_equal(mst_verify(fd, &result, NULL, NULL, NULL, NULL), MST_EDAMAGED);
	int out = memfd_create("salvaged", MFD_CLOEXEC);
	assert_int_equal(mst_salvage(fd, out, &result, NULL), 0);
	assert_int_equal(result.n_events, n_events);
	close(out);
}

/* Every frame of these kinds (bit by kind) in turn, its payload and its header. */
static void lose_each_part(int kept, uint64_t n_events, uint32_t kinds, size_t parts[MST_KIND_LIMIT])
{
	static struct frames frames;

	frames = (struct frames){.n = 0};
	expect_sound(kept, &frames);
	for (size_t i = 0; i < frames.n; i++) {
		const struct mst_frame_info *f = &frames.list[i];
		uint64_t places[2] = {f->offset + f->header_len + 5, f->offset + 20};

		if (!(kinds >> f->kind & 1))
			continue;
		parts[f->kind]++;
		for (size_t k = 0; k < 2; k++) {
			uint8_t byte;

			assert_int_equal(pread(kept, &byte, 1, (off_t)places[k]), 1);
			byte ^= 4;
			assert_int_equal(pwrite(kept, &byte, 1, (off_t)places[k]), 1);
			expect_blocks_missing(kept, n_events);
			byte ^= 4;
			assert_int_equal(pwrite(kept, &byte, 1, (off_t)places[k]), 1);
		}
	}
	expect_sound(kept, NULL);
}

static void a_lost_part_is_reported_and_no_event_is(void **state)
{
	static struct frames frames;
	size_t parts[MST_KIND_LIMIT] = {0};
	struct told part;

	(void)state;
	frames = (struct frames){.n = 0};
	int fd = many_blocks();
	struct mst_totals totals = totals_of(fd);
	expect_sound(fd, &frames);
	int kept = cut(fd, &frames, 21, SAMPLE_FILE_ID, &totals);
	read_all(kept, &part);
	lose_each_part(kept, part.n_events, 1u << MST_KIND_CHECKPOINT, parts);
	assert_true(parts[MST_KIND_CHECKPOINT] > 1);
	told_release(&part);
	close(kept);
	close(fd);
}

static void lost_pools_and_mappings_are_reported_and_no_event_is(void **state)
{
	static struct frames frames;
	size_t parts[MST_KIND_LIMIT] = {0};

	(void)state;
	frames = (struct frames){.n = 0};
	int fd = layered_make(&(struct layered_options){.n_events = 1500, .frame_events = 50, .seed = 3,
		.file_id = SAMPLE_FILE_ID, .n_pages = 60});
	struct mst_totals totals = totals_of(fd);
	expect_sound(fd, &frames);
	int kept = cut(fd, &frames, 20, SAMPLE_FILE_ID, &totals);
	lose_each_part(kept, 500, 1u << MST_KIND_POOL | 1u << MST_KIND_SPACE, parts);
	assert_int_equal(parts[MST_KIND_POOL], 2);
	assert_int_equal(parts[MST_KIND_SPACE], 2);
	close(kept);
	close(fd);
}

/* A region of which every second page has been unmapped. */
static int many_pieces(uint64_t n)
{
	struct mst_writer_options opt = {.header = {.time_shift = 8, .has_addresses = true, .page_size = 4096},
		.file_id = SAMPLE_FILE_ID, .frame_events = 10000};
	struct mst_map_call call = {.addr = 0x7f0000000000, .length = 2 * n * 4096, .prot = 3, .flags = 0x22, .fd = -1};
	int fd = memfd_create("pieces", MFD_CLOEXEC);
	struct mst_writer *w;

	assert_int_equal(mst_writer_open(fd, &opt, &w), 0);
	uint32_t thread = add_process(w);
	struct mst_event ev = {.op = MST_OP_MMAP, .thread = thread, .time_ns = 256};

	assert_int_equal(mst_writer_map_event(w, &ev, &call), 0);
	for (uint64_t i = 0; i < n; i++) {
		ev = (struct mst_event){.op = MST_OP_MUNMAP, .thread = thread, .time_ns = (i + 2) * 256};
		call = (struct mst_map_call){.addr = 0x7f0000000000 + 2 * i * 4096, .length = 4096, .begun = i + 1};
		assert_int_equal(mst_writer_map_event(w, &ev, &call), 0);
	}
	for (uint64_t i = 0; i < 20000; i++) {
		ev = malloc_at(thread, i);
		ev.time_ns = (n + 2 + i) * 256;
		assert_int_equal(mst_writer_event(w, &ev), 0);
	}
	assert_int_equal(mst_writer_close(w, true, 0, NULL), 0);
	return fd;
}

static void a_region_in_many_pieces_needs_several_parts(void **state)
{
	static struct frames frames, kept_frames;
	static struct layers whole, part;
	size_t parts = 0;

	(void)state;
	frames = kept_frames = (struct frames){.n = 0};
	int fd = many_pieces(80000);
	struct mst_totals totals = totals_of(fd);
	expect_sound(fd, &frames);
	int kept = cut(fd, &frames, count_event_frames(&frames) - 1, SAMPLE_FILE_ID, &totals);
	expect_sound(kept, &kept_frames);
	for (size_t i = 0; i < kept_frames.n; i++)
		parts += kept_frames.list[i].kind == MST_KIND_SPACE;
	assert_int_equal(parts, 2);
	read_layers(fd, &whole);
	read_layers(kept, &part);
	assert_int_equal(whole.regions.n, 1);
	assert_int_equal(whole.regions.list[0].live_bytes, 80000 * UINT64_C(4096));
	expect_same_layers(&whole, &part);
	close(kept);
	close(fd);
}

/* ---- the flight recorder ---------------------------------------------------------------------------------- */

struct shelf { /* where the trace is; files are memory files */
	int fd, next;
	uint64_t most; /* both files together, at their largest */
	uint64_t longest; /* the trace alone */
	unsigned n_commits;
	int failure;   /* commit gives this */
};

static int shelf_begin(void *ctx)
{
	struct shelf *s = ctx;

	assert_int_equal(s->next, -1);
	return s->next = memfd_create("next", MFD_CLOEXEC);
}

static int shelf_commit(void *ctx, int fd)
{
	struct shelf *s = ctx;

	assert_int_equal(fd, s->next);
	if (size_of(fd) + size_of(s->fd) > s->most)
		s->most = size_of(fd) + size_of(s->fd);
	if (size_of(s->fd) > s->longest)
		s->longest = size_of(s->fd);
	if (s->failure)
		return s->failure;
	close(s->fd);
	s->fd = fd;
	s->next = -1;
	s->n_commits++;
	return 0;
}

static void shelf_abandon(void *ctx, int fd)
{
	struct shelf *s = ctx;

	assert_int_equal(fd, s->next);
	close(fd);
	s->next = -1;
}

static struct mst_writer_options recorder_options(struct shelf *s, uint64_t bytes, uint64_t time_ns, bool threaded)
{
	*s = (struct shelf){.fd = memfd_create("shelf", MFD_CLOEXEC), .next = -1};
	return (struct mst_writer_options){
		.header = {.time_shift = 8, .has_addresses = true},
		.file_id = SAMPLE_FILE_ID,
		.frame_events = 2000,
		.threaded = threaded,
		.keep = {.bytes = bytes, .time_ns = time_ns, .begin = shelf_begin, .commit = shelf_commit,
			.abandon = shelf_abandon, .ctx = s},
	};
}

/* The same events to both: blocks of changing age, at addresses hard to guess. */
static int feed(struct mst_writer *w, uint32_t thread, uint64_t n, bool rests)
{
	enum { SLOTS = 4000 };
	static bool is_live[SLOTS];
	uint32_t random = 1;
	int rc = 0;

	memset(is_live, 0, sizeof(is_live));
	for (uint64_t i = 0; i < n && rc == 0; i++) {
		struct mst_event ev;
		uint32_t k;

		random = random * 1664525u + 1013904223u;
		k = (random >> 8) % SLOTS;
		ev = is_live[k] ? free_at(thread, k, i) : malloc_at(thread, k);
		ev.time_ns = i * 1000;
		if (rests && i % 2000 == 0)
			usleep(500); /* as a program would that does not only call the heap: copies get on */
		is_live[k] = !is_live[k];
		rc = mst_writer_event(w, &ev);
	}
	return rc;
}

static void expect_recorder_agrees(const struct mst_writer_options *opt, struct shelf *s, uint64_t n_events,
	struct mst_kept *kept)
{
	struct mst_writer_options plain = *opt;
	struct told whole, part;
	struct mst_writer *w;
	int full = memfd_create("full", MFD_CLOEXEC);

	plain.keep = (struct mst_keep){.bytes = 0};
	assert_int_equal(mst_writer_open(full, &plain, &w), 0);
	assert_int_equal(feed(w, add_process(w), n_events, false), 0);
	assert_int_equal(mst_writer_close(w, true, 0, NULL), 0);
	assert_int_equal(mst_writer_open(s->fd, opt, &w), 0);
	assert_int_equal(feed(w, add_process(w), n_events, opt->keep.time_ns != 0), 0);
	assert_int_equal(mst_writer_kept(w, kept), 0);
	assert_int_equal(mst_writer_close(w, true, 0, NULL), 0);
	assert_int_equal(s->next, -1);
	assert_true(s->n_commits > 0);
	expect_sound(s->fd, NULL);
	read_all(full, &whole);
	read_all(s->fd, &part);
	expect_agreement(&whole, &part);
	assert_int_equal(part.checkpoint.event, kept->dropped_events);
	assert_int_equal(kept->n_trims, s->n_commits);
	told_release(&whole);
	told_release(&part);
	close(full);
}

static void a_bound_in_bytes_holds_for_both_files_together(void **state)
{
	enum { MOST = 512 << 10 };

	(void)state;
	for (unsigned threaded = 0; threaded < 2; threaded++) {
		struct mst_kept kept;
		struct shelf s;
		struct mst_writer_options opt = recorder_options(&s, MOST, 0, threaded);

		expect_recorder_agrees(&opt, &s, 400000, &kept);
		assert_int_equal(kept.limit_bytes, MOST);
		assert_true(kept.n_trims > 2);
		assert_in_range(s.most, 1, MOST);
		assert_in_range(size_of(s.fd), MOST / 5, MOST);
		close(s.fd);
	}
}

static void a_bound_in_time_is_covered(void **state)
{
	struct mst_kept kept;
	struct shelf s;
	struct mst_writer_options opt = recorder_options(&s, 0, 50000000, false); /* 50,000 of the events */

	(void)state;
	expect_recorder_agrees(&opt, &s, 400000, &kept);
	assert_true(kept.dropped_events <= 400000 - 50000);
	close(s.fd);
}

/* However fast the events come: here as fast as they can be written, while each copy has to replay them. */
static void a_bound_in_time_holds_for_what_is_kept(void **state)
{
	enum { N = 1200000, COVERED = 50000 };
	struct mst_kept kept;
	struct mst_writer *w;
	struct shelf s;
	struct mst_writer_options opt = recorder_options(&s, 0, COVERED * UINT64_C(1000), true);
	uint64_t bytes;

	(void)state;
	assert_int_equal(mst_writer_open(s.fd, &opt, &w), 0);
	assert_int_equal(feed(w, add_process(w), N, false), 0);
	assert_int_equal(mst_writer_kept(w, &kept), 0);
	assert_int_equal(mst_writer_close(w, true, 0, &bytes), 0);
	assert_in_range(kept.dropped_events, N - 5 * COVERED, N - COVERED);
	assert_in_range(s.longest * (N - kept.dropped_events), 1, 5 * bytes * COVERED);
	expect_sound(s.fd, NULL);
	close(s.fd);
}

static void a_bound_too_small_for_the_live_set_is_raised_and_told(void **state)
{
	struct mst_kept kept;
	struct shelf s;
	struct mst_writer_options opt = recorder_options(&s, 40 << 10, 0, false);

	(void)state;
	expect_recorder_agrees(&opt, &s, 300000, &kept);
	assert_true(kept.limit_bytes >= 8 * kept.base_bytes && kept.limit_bytes > 40 << 10);
	close(s.fd);
}

static void a_copy_that_cannot_take_its_place_ends_the_trace_where_it_is(void **state)
{
	struct mst_verify_result result;
	struct mst_writer *w;
	struct shelf s;
	struct mst_writer_options opt = recorder_options(&s, 512 << 10, 0, false);

	(void)state;
	s.failure = -EACCES;
	assert_int_equal(mst_writer_open(s.fd, &opt, &w), 0);
	assert_int_equal(feed(w, add_process(w), 1000000, false), MST_EIO);
	assert_int_equal(mst_writer_problem(w)->os_errno, EACCES);
	assert_int_equal(mst_writer_close(w, true, 0, NULL), MST_EIO);
	assert_int_equal(s.next, -1);
	mst_verify(s.fd, &result, NULL, NULL, NULL, NULL);
	assert_int_equal(result.loss.places, 0);
	assert_true(result.n_events > 10000 && result.loss.is_truncated);
	close(s.fd);
}

/* ---- the other bound -------------------------------------------------------------------------------------- */

static void a_trace_ends_before_it_is_too_long(void **state)
{
	enum { MOST = 300 << 10 };
	struct mst_writer_options opt = {.header = {.time_shift = 8, .has_addresses = true}, .frame_events = 2000,
		.max_bytes = MOST, .threaded = true};
	struct mst_totals totals;
	struct mst_writer *w;
	struct told told;
	uint64_t bytes;
	int fd = memfd_create("limited", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(mst_writer_open(fd, &opt, &w), 0);
	assert_int_equal(feed(w, add_process(w), 1000000, false), MST_EFULL);
	mst_writer_totals(w, &totals);
	for (unsigned i = 0; i < 500; i++) { /* names are still welcome */
		char name[64];
		struct mst_symbol symbol = {.line = i};
		uint32_t code;

		snprintf(name, sizeof(name), "a_function_with_number_%u", i * 2654435761u);
		assert_int_equal(mst_writer_string(w, name, strlen(name), &symbol.function), 0);
		assert_int_equal(mst_writer_code(w, 0, i, &code), 0);
		assert_int_equal(mst_writer_symbols(w, code, &symbol, 1), 0);
	}
	assert_int_equal(mst_writer_close(w, true, 0, &bytes), 0);
	assert_in_range(bytes, MOST / 2, MOST);
	expect_sound(fd, NULL);
	read_all(fd, &told);
	assert_int_equal(told.n_events, totals.events);
	assert_true(told.end.is_limited && told.end.is_clean);
	told_release(&told);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept_says_the_same_wherever_the_cut_is),
		cmocka_unit_test(cutting_twice_is_cutting_once),
		cmocka_unit_test(pools_and_mappings_are_the_same_wherever_the_cut_is),
		cmocka_unit_test(cutting_layers_twice_is_cutting_once),
		cmocka_unit_test(a_child_inherits_from_a_parent_that_ends_at_once),
		cmocka_unit_test(many_blocks_need_several_parts),
		cmocka_unit_test(a_lost_part_is_reported_and_no_event_is),
		cmocka_unit_test(lost_pools_and_mappings_are_reported_and_no_event_is),
		cmocka_unit_test(a_region_in_many_pieces_needs_several_parts),
		cmocka_unit_test(a_bound_in_bytes_holds_for_both_files_together),
		cmocka_unit_test(a_bound_in_time_is_covered),
		cmocka_unit_test(a_bound_in_time_holds_for_what_is_kept),
		cmocka_unit_test(a_bound_too_small_for_the_live_set_is_raised_and_told),
		cmocka_unit_test(a_copy_that_cannot_take_its_place_ends_the_trace_where_it_is),
		cmocka_unit_test(a_trace_ends_before_it_is_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

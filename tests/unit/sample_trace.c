#include "sample_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_CODES 12
#define N_STACKS 24
#define N_THREADS 5
#define N_PROCESSES 3
#define TIME_SHIFT 8

/* ---- the model -------------------------------------------------------------------------------------------- */

struct block {
	uint64_t addr, ordinal, size;
	uint32_t process;
	bool is_inherited;
};

struct model {
	uint64_t said; /* by the sized release drawn last */
	struct block *blocks; /* live, any order */
	size_t n, cap;
	uint64_t next_ordinal, next_addr, now_ns;
	uint32_t random;
	uint32_t process_of[N_THREADS + 1];
	uint32_t stacks[N_STACKS];
	struct block begun[N_THREADS + 1]; /* what a split realloc of the thread has released; ordinal 0 = none */
	struct mst_totals totals;
};

static uint32_t draw(struct model *m, uint32_t n)
{
	m->random = m->random * 1664525u + 1013904223u;
	return (m->random >> 8) % n;
}

static void add_block(struct model *m, struct block b)
{
	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->blocks = realloc(m->blocks, m->cap * sizeof(*m->blocks));
		if (!m->blocks)
			abort();
	}
	m->blocks[m->n++] = b;
}

static struct block *block_of(struct model *m, uint32_t process, uint32_t nth)
{
	for (size_t i = m->n; i-- > 0;)
		if (m->blocks[i].process == process && nth-- == 0)
			return &m->blocks[i];
	return NULL;
}

static void release(struct model *m, struct mst_event *ev, const struct block *b)
{
	m->totals.frees++;
	if (!b)
		return;
	ev->freed = b->ordinal;
	if (!b->is_inherited) {
		m->totals.live_blocks--;
		m->totals.live_bytes -= b->size;
	}
	m->blocks[b - m->blocks] = m->blocks[--m->n];
}

static void acquire(struct model *m, struct mst_event *ev, uint32_t process)
{
	ev->size = draw(m, 8) == 0 ? draw(m, 1 << 20) : draw(m, 200);
	ev->addr = m->next_addr;
	m->next_addr += (ev->size + 31) & ~UINT64_C(15);
	ev->alloc = m->next_ordinal++;
	m->totals.allocs++;
	m->totals.live_blocks++;
	m->totals.live_bytes += ev->size;
	m->totals.allocated_bytes += ev->size;
	add_block(m, (struct block){ev->addr, ev->alloc, ev->size, process, false});
}

static void fork_blocks(struct model *m, uint32_t parent, uint32_t child)
{
	size_t n = m->n;

	for (size_t i = 0; i < n; i++)
		if (m->blocks[i].process == parent) {
			struct block b = m->blocks[i];
			b.process = child;
			b.is_inherited = true;
			add_block(m, b);
		}
}

static void drop_process(struct model *m, uint32_t process)
{
	for (size_t i = 0; i < m->n;)
		if (m->blocks[i].process == process)
			m->blocks[i] = m->blocks[--m->n];
		else
			i++;
}

/* One event as it should come back. */
static struct mst_event next_event(struct model *m, uint32_t n_threads)
{
	static const uint8_t acquiring[] = {MST_OP_MALLOC, MST_OP_CALLOC, MST_OP_MALLOC, MST_OP_MEMALIGN,
		MST_OP_POSIX_MEMALIGN, MST_OP_NEW_ARRAY};
	uint32_t thread = 1 + draw(m, n_threads), process = m->process_of[thread];
	struct block *b = block_of(m, process, draw(m, 6));
	struct mst_event ev = {.thread = thread, .stack = m->stacks[draw(m, N_STACKS)], .number = m->totals.events++};
	uint32_t what = draw(m, 16);

	m->now_ns += draw(m, 3000);
	ev.time_ns = m->now_ns >> TIME_SHIFT << TIME_SHIFT;
	if (m->begun[thread].ordinal != 0) { /* the second half of a split realloc */
		ev.op = MST_OP_REALLOC_END;
		ev.freed = m->begun[thread].ordinal;
		ev.old_addr = m->begun[thread].addr;
		m->begun[thread].ordinal = 0;
		acquire(m, &ev, process);
	} else if (b && what < 6) {
		ev.op = what == 0 ? b->ordinal % 2 ? MST_OP_FREE_SIZED : MST_OP_DELETE_SIZED : MST_OP_FREE;
		ev.addr = b->addr;
		m->said = what == 0 ? b->size + b->ordinal % 3 : 0;
		if (what == 0 && m->said != b->size) {
			ev.flags |= MST_EV_WRONG_SIZE;
			ev.said_size = m->said;
		}
		release(m, &ev, b);
	} else if (b && what < 8) {
		ev.op = MST_OP_REALLOC;
		ev.old_addr = b->addr;
		release(m, &ev, b);
		acquire(m, &ev, process);
	} else if (b && what == 8) {
		ev.op = MST_OP_REALLOC_BEGIN;
		ev.addr = b->addr;
		m->begun[thread] = *b;
		release(m, &ev, b);
	} else if (what == 9) {
		ev.op = MST_OP_FREE; /* of an address no one has acquired */
		ev.addr = UINT64_C(0x500000000000) + draw(m, 1000) * 16;
		ev.flags = MST_EV_FOREIGN;
		release(m, &ev, NULL);
	} else if (what == 10) {
		ev.op = MST_OP_CALLOC;
		ev.flags = MST_EV_FAILED;
		ev.err = 12;
		ev.size = UINT64_C(1) << 40;
		m->totals.failed++;
	} else {
		ev.op = acquiring[draw(m, sizeof(acquiring))];
		if (ev.op == MST_OP_MEMALIGN || ev.op == MST_OP_POSIX_MEMALIGN)
			ev.align = 64u << draw(m, 4);
		acquire(m, &ev, process);
	}
	if (what == 11 && m->now_ns > 20000) {
		ev.time_ns = (m->now_ns - 10000) >> TIME_SHIFT << TIME_SHIFT;
		ev.flags |= MST_EV_LATE;
	}
	return ev;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

struct tables {
	uint32_t module, codes[N_CODES], names[4], processes[N_PROCESSES + 1], threads[N_THREADS + 1];
};

static int write_names(struct mst_writer *w, struct tables *t, struct model *m, uint32_t n_strings)
{
	static const char *const names[] = {"/usr/lib/libsample.so.1", "main", "sample.c", "worker\xff thread"};
	struct mst_module module = {.build_id = {1, 2, 3, 4}, .build_id_len = 20, .file_size = 12345, .mtime_ns = 99};
	int rc = 0;

	for (unsigned i = 0; i < 4 && rc == 0; i++)
		rc = mst_writer_string(w, names[i], strlen(names[i]), &t->names[i]);
	for (uint32_t i = 0; i < n_strings && rc == 0; i++) {
		char text[40];
		uint32_t id;
		snprintf(text, sizeof(text), "string number %u", i * 7919);
		rc = mst_writer_string(w, text, strlen(text), &id);
	}
	module.path = t->names[0];
	if (rc == 0)
		rc = mst_writer_module(w, &module, &t->module);
	for (unsigned i = 0; i < N_CODES && rc == 0; i++)
		rc = mst_writer_code(w, i == 3 ? 0 : t->module, 0x1000 + draw(m, 5000), &t->codes[i]);
	m->stacks[0] = MST_STACK_NONE;
	for (unsigned i = 1; i < N_STACKS && rc == 0; i++)
		rc = mst_writer_stack(w, i == 5 ? MST_STACK_CUT : m->stacks[draw(m, i)], t->codes[draw(m, N_CODES)],
			&m->stacks[i]);
	return rc;
}

static int write_process(struct mst_writer *w, struct tables *t, struct model *m, uint32_t nth, unsigned origin,
	uint64_t token)
{
	struct mst_process p = {.pid = 4000 + nth, .parent = nth > 1 ? t->processes[nth - 1] : 0, .exe = t->names[0],
		.cmdline = t->names[1], .origin = (uint8_t)origin, .start_ns = m->now_ns};
	struct mst_mapping map = {.module = t->module, .start = 0x7f0000000000, .end = 0x7f0000100000,
		.bias = 0x7f0000000000, .load_ns = m->now_ns, .unload_ns = UINT64_MAX};
	int rc = token ? mst_writer_process_forked(w, &p, token, &t->processes[nth])
		: mst_writer_process(w, &p, &t->processes[nth]);

	map.process = t->processes[nth];
	return rc < 0 ? rc : mst_writer_mapping(w, &map);
}

static int write_thread(struct mst_writer *w, struct tables *t, struct model *m, uint32_t nth, uint32_t process)
{
	struct mst_thread thread = {.process = t->processes[process], .tid = 4000 + process * 10 + nth,
		.start_ns = m->now_ns, .end_ns = UINT64_MAX};

	m->process_of[nth] = process;
	return mst_writer_thread(w, &thread, &t->threads[nth]);
}

static int write_events(struct mst_writer *w, struct model *m, struct sample *s, uint32_t n, uint32_t n_threads)
{
	int rc = 0;

	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct mst_event want = next_event(m, n_threads), ev = want;

		ev.number = ev.alloc = ev.freed = 77; /* the writer's to say */
		ev.flags &= MST_EV_FAILED | MST_EV_LATE;
		if (mst_op_is_sized(ev.op))
			ev.size = m->said;
		rc = mst_writer_event(w, &ev);
		if (rc == 0 && (ev.number != want.number || ev.alloc != want.alloc))
			return MST_EARG;
		s->events[s->n_events++] = want;
	}
	return rc;
}

static int write_ends(struct mst_writer *w, struct tables *t, struct model *m)
{
	struct mst_process end = {.fate = MST_FATE_EXITED, .status = 3, .end_ns = m->now_ns, .stall_ns = 5};
	struct mst_thread thread = {.process = t->processes[1], .tid = 4011, .name = t->names[3], .end_ns = m->now_ns,
		.lost_events = 2};
	const struct mst_symbol symbols[] = {
		{.function = t->names[1], .file = t->names[2], .line = 42, .is_inlined = true},
		{.function = t->names[3], .line = 7}};
	int rc = mst_writer_thread_update(w, t->threads[1], &thread);

	if (rc == 0)
		rc = mst_writer_process_end(w, t->processes[1], &end);
	if (rc == 0)
		rc = mst_writer_unmapping(w, t->processes[1], 0x7f0000000000, m->now_ns);
	for (unsigned i = 0; i < N_CODES && rc == 0; i += 2)
		rc = mst_writer_symbols(w, t->codes[i], symbols, 1 + i % 4 / 2);
	if (rc == 0)
		rc = mst_writer_loss(w, t->threads[2], 100, m->now_ns, 2, 64, MST_LOSS_DROPPED);
	return rc;
}

/* Four quarters: one process; a fork point in it; the forked child, heard of later; an exec. */
static int write_all(struct mst_writer *w, struct model *m, struct sample *s, const struct sample_options *opt)
{
	uint32_t quarter = opt->n_events / 4;
	struct tables t = {0};
	uint64_t token = 0;
	int rc = write_names(w, &t, m, opt->n_strings);

	if (rc == 0)
		rc = write_process(w, &t, m, 1, MST_ORIGIN_START, 0);
	for (uint32_t i = 1; i <= 2 && rc == 0; i++)
		rc = write_thread(w, &t, m, i, 1);
	if (rc == 0)
		rc = write_events(w, m, s, quarter, 2);
	if (rc == 0)
		rc = mst_writer_fork_point(w, t.processes[1], &token);
	fork_blocks(m, 1, 2);
	if (rc == 0)
		rc = write_events(w, m, s, quarter, 2);
	if (rc == 0)
		rc = write_process(w, &t, m, 2, MST_ORIGIN_FORK, token);
	for (uint32_t i = 3; i <= 4 && rc == 0; i++)
		rc = write_thread(w, &t, m, i, 2);
	if (rc == 0)
		rc = write_events(w, m, s, quarter, 4);
	if (rc == 0)
		rc = write_process(w, &t, m, 3, MST_ORIGIN_EXEC, 0);
	if (rc == 0)
		rc = write_thread(w, &t, m, 5, 3);
	if (rc == 0)
		rc = write_events(w, m, s, opt->n_events - 3 * quarter, 5);
	drop_process(m, 1);
	return rc < 0 ? rc : write_ends(w, &t, m);
}

int sample_write(struct sample *s, const struct sample_options *opt, int fd)
{
	struct model m = {.next_ordinal = 1, .next_addr = 0x555500001000, .now_ns = 1000, .random = opt->seed};
	struct mst_writer_options wo = {
		.header = {.time_shift = TIME_SHIFT, .has_addresses = !opt->no_addresses, .stack_depth = 64,
			.start_realtime_ns = 1700000000000000000, .page_size = 4096, .n_cpus = 2, .tool = "sample 1",
			.host = "host", .kernel = "6.1", .arch = "x86_64", .clock = "tsc", .cwd = "/", .cmdline = "a\0b",
			.cmdline_len = 3},
		.file_id = opt->file_id ? opt->file_id : SAMPLE_FILE_ID, .frame_events = opt->frame_events, .threaded = opt->threaded};
	struct mst_writer *w = NULL;
	int rc, closed;

	*s = (struct sample){.events = calloc(opt->n_events + 1, sizeof(*s->events))};
	if (!s->events)
		return MST_ENOMEM;
	rc = mst_writer_open(fd, &wo, &w);
	if (rc == 0)
		rc = write_all(w, &m, s, opt);
	closed = mst_writer_close(w, true, 3, NULL);
	s->totals = m.totals;
	free(m.blocks);
	return rc < 0 ? rc : closed;
}

void sample_make(struct sample *s, const struct sample_options *opt)
{
	int fd = memfd_create("sample", MFD_CLOEXEC);
	int rc = sample_write(s, opt, fd);
	struct stat st;

	if (rc < 0 || fstat(fd, &st) < 0) {
		fprintf(stderr, "sample_make: %s\n", mst_strerror(rc));
		abort();
	}
	s->len = (size_t)st.st_size;
	s->bytes = malloc(s->len);
	if (!s->bytes || pread(fd, s->bytes, s->len, 0) != (ssize_t)s->len)
		abort();
	close(fd);
}

void sample_release(struct sample *s)
{
	free(s->bytes);
	free(s->events);
}

int sample_fd(const uint8_t *bytes, size_t len)
{
	int fd = memfd_create("sample", MFD_CLOEXEC);

	if (fd < 0 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	return fd;
}

bool sample_agrees(const struct mst_event *want, const struct mst_event *got)
{
	return want->number == got->number && want->time_ns == got->time_ns && want->alloc == got->alloc &&
		want->freed == got->freed && want->size == got->size && want->stack == got->stack &&
		want->thread == got->thread && want->align == got->align && want->err == got->err &&
		want->op == got->op && want->flags == got->flags && (got->addr == 0 || want->addr == got->addr) &&
		(got->old_addr == 0 || want->old_addr == got->old_addr);
}

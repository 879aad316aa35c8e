#include "layered_trace.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mstrace.h"

enum { SLOTS = 40, LAYERS = 3, PAGE = 4096, ANONYMOUS = 0x22, NO_MEMORY = 12 };
static const uint64_t window = 0x7f0000000000, blocks_at = 0x555500000000;

struct maker {
	struct mst_writer *w;
	uint32_t random, n_pages;
	uint32_t pools[LAYERS]; /* string ids; 0 is the heap */
	uint32_t file, stack;
	uint64_t now_ns, n;
	bool is_live[3][LAYERS][SLOTS]; /* [process] */
	uint64_t brk[3];
};

static void must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "layered_trace: %s\n", mst_strerror(rc));
		abort();
	}
}

static uint32_t draw(struct maker *m, uint32_t n)
{
	m->random = m->random * 1664525u + 1013904223u;
	return (m->random >> 8) % n;
}

static struct mst_event event_of(struct maker *m, uint32_t thread, unsigned op, bool failed)
{
	m->now_ns += 1000;
	m->n++;
	return (struct mst_event){.op = (uint8_t)op, .thread = thread, .time_ns = m->now_ns, .stack = m->stack,
		.flags = failed ? MST_EV_FAILED : 0, .err = failed ? NO_MEMORY : 0};
}

static uint64_t address(uint32_t layer, uint32_t slot)
{
	return blocks_at + layer * UINT64_C(0x100000) + slot * UINT64_C(1024);
}

static void heap_call(struct maker *m, uint32_t process, uint32_t slot)
{
	bool *is_live = &m->is_live[process][0][slot];
	struct mst_event ev = event_of(m, process, *is_live ? MST_OP_FREE : MST_OP_MALLOC, false);

	ev.addr = address(0, slot);
	ev.size = *is_live ? 0 : draw(m, 1000);
	*is_live = !*is_live;
	must(mst_writer_event(m->w, &ev));
}

static void pool_call(struct maker *m, uint32_t process, uint32_t layer, uint32_t slot)
{
	bool *is_live = &m->is_live[process][layer][slot], fails = draw(m, 10) == 0;
	struct mst_pool_call call = {.pool = m->pools[layer], .addr = fails ? 0 : address(layer, slot)};
	unsigned op = *is_live ? MST_OP_POOL_FREE : MST_OP_POOL_ALLOC;
	struct mst_event ev;

	fails &= !*is_live;
	call.addr = fails ? 0 : address(layer, slot);
	call.size = *is_live ? 0 : draw(m, 500);
	if (*is_live && draw(m, 3) == 0) { /* stays where it is */
		op = MST_OP_POOL_REALLOC;
		call.old_addr = call.addr;
		call.size = draw(m, 900);
	} else if (!fails) {
		*is_live = !*is_live;
	}
	ev = event_of(m, process, op, fails);
	must(mst_writer_pool_event(m->w, &ev, &call));
}

static void map_call(struct maker *m, uint32_t process)
{
	uint64_t addr = window + (uint64_t)draw(m, m->n_pages) * PAGE, length = PAGE + draw(m, 8 * PAGE);
	struct mst_map_call call = {.addr = addr, .length = length, .fd = -1, .begun = m->n - (m->n ? draw(m, 2) : 0)};
	unsigned op = MST_OP_MMAP;
	bool fails = draw(m, 12) == 0;
	struct mst_event ev;

	switch (draw(m, 8)) {
	case 0:
	case 1:
		op = MST_OP_MUNMAP;
		break;
	case 2:
		op = MST_OP_MREMAP;
		call.old_addr = window + (uint64_t)(draw(m, m->n_pages) + 2 * m->n_pages) * PAGE;
		call.old_length = PAGE + draw(m, 6 * PAGE);
		if (draw(m, 2)) {
			call.addr = call.old_addr;
			call.old_addr = addr;
		}
		break;
	case 3:
		op = MST_OP_SBRK;
		call = (struct mst_map_call){.old_addr = m->brk[process], .begun = m->n};
		m->brk[process] += draw(m, 3) ? 3 * PAGE : (uint64_t)-PAGE;
		call.addr = m->brk[process];
		fails = false;
		break;
	case 4:
		call.file = m->file;
		call.prot = 1;
		call.flags = 2;
		break;
	default:
		call.prot = 3;
		call.flags = draw(m, 5) ? ANONYMOUS : ANONYMOUS | 0x20000;
	}
	ev = event_of(m, process, op, fails);
	must(mst_writer_map_event(m->w, &ev, &call));
}

static void call(struct maker *m, uint32_t process)
{
	uint32_t what = draw(m, 10), slot = draw(m, SLOTS);

	if (what < 3)
		heap_call(m, process, slot);
	else if (what < 7)
		pool_call(m, process, 1 + draw(m, LAYERS - 1), slot);
	else
		map_call(m, process);
}

static void write_names(struct maker *m)
{
	uint32_t code;

	must(mst_writer_string(m->w, "arena", 5, &m->pools[1]));
	must(mst_writer_string(m->w, "slabs", 5, &m->pools[2]));
	must(mst_writer_string(m->w, "/usr/share/data", 15, &m->file));
	must(mst_writer_code(m->w, 0, 0x401000, &code));
	must(mst_writer_stack(m->w, MST_STACK_NONE, code, &m->stack));
}

static void write_process(struct maker *m, unsigned nth, uint64_t token)
{
	struct mst_process p = {.pid = 100 + nth, .parent = nth - 1, .start_ns = m->now_ns,
		.origin = token ? MST_ORIGIN_FORK : MST_ORIGIN_START};
	struct mst_thread thread = {.tid = 100 + nth, .end_ns = UINT64_MAX};
	uint32_t id;

	must(token ? mst_writer_process_forked(m->w, &p, token, &thread.process)
		: mst_writer_process(m->w, &p, &thread.process));
	must(mst_writer_thread(m->w, &thread, &id));
}

static void write_regions(struct maker *m)
{
	uint32_t heap;
	struct mst_region region = {.process = 1, .name = m->file, .start = window + PAGE, .end = window + 6 * PAGE, .prot = 5};

	must(mst_writer_region(m->w, &region));
	must(mst_writer_string(m->w, "[heap]", 6, &heap));
	region = (struct mst_region){.process = 1, .name = heap, .start = 0x600000000000, .end = 0x600000000000 + 4 * PAGE,
		.prot = 3};
	must(mst_writer_region(m->w, &region));
	m->brk[1] = region.end;
}

static void write_all(struct maker *m, uint32_t n_events)
{
	uint32_t third = n_events / 3;
	uint64_t token = 0;

	write_names(m);
	write_process(m, 1, 0);
	write_regions(m);
	for (uint32_t i = 0; i < third; i++)
		call(m, 1);
	must(mst_writer_fork_point(m->w, 1, &token));
	memcpy(m->is_live[2], m->is_live[1], sizeof(m->is_live[1]));
	m->brk[2] = m->brk[1];
	for (uint32_t i = 0; i < third / 2; i++)
		call(m, 1);
	write_process(m, 2, token);
	for (uint32_t i = 0; i < third; i++)
		call(m, 1 + draw(m, 2));
	must(mst_writer_process_end(m->w, 2, &(struct mst_process){.fate = MST_FATE_EXITED, .end_ns = m->now_ns}));
	for (uint32_t i = 2 * third + third / 2; i < n_events; i++)
		call(m, 1);
}

int layered_make(const struct layered_options *opt)
{
	struct mst_writer_options wo = {
		.header = {.time_shift = 3, .has_addresses = true, .page_size = PAGE, .tool = "layered"},
		.file_id = opt->file_id, .frame_events = opt->frame_events};
	struct maker m = {.random = opt->seed, .n_pages = opt->n_pages};
	int fd = memfd_create("layered", MFD_CLOEXEC);

	must(mst_writer_open(fd, &wo, &m.w));
	write_all(&m, opt->n_events);
	must(mst_writer_close(m.w, true, 0, NULL));
	return fd;
}

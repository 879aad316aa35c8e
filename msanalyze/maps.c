/* maps.c - what the program mapped: which call, how much, how long, and what is still there.
 *
 * One address space (address_space.h) per running process. Regions that are gone are kept as rows only as far as they can be
 * among those shown; the rest is summed up, so memory does not grow with the calls.
 *
 * The checkpoint of a flight recorder's trace has the blocks of the heap and no regions: what the dropped events did to the
 * address spaces is not known, and said to be so. */
#include "analysis.h"
#include "protection.h"
#include "address_space.h"
#include "room.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>

enum { MAP_ANONYMOUS_FLAG = 0x20, MAP_GROWSDOWN_FLAG = 0x100, MAP_STACK_FLAG = 0x20000, MAP_HUGETLB_FLAG = 0x40000 };
enum { HUGE_SHIFT_AT = 26, HUGE_SHIFT = 21, MREMAP_DONTUNMAP_FLAG = 4, KEPT_AT_LEAST = 65536 };

struct change { /* of a process */
	uint64_t event; /* before this one */
	uint32_t process;
	bool is_end;
};

struct state {
	const struct pass *pass;
	uint64_t page;
	struct regions **spaces; /* by process id; NULL: not started, not counted, or ended */
	size_t cap_spaces;
	struct change *changes; /* sorted; from `next` on they are to come */
	size_t n_changes, cap_changes, next;
	uint32_t n_processes; /* known when the changes were listed */
	size_t next_region;   /* of the reader's list: where the next process's begin */
	struct region *gone;
	size_t n_gone, cap_gone;
	uint64_t n_regions, n_initial, mapped_bytes, initial_bytes, left_bytes, n_calls, n_failed;
	uint64_t live_bytes, peak_bytes, peak_ns;
};

static const char *const sort_words[] = {"peak", "size", "live", "lifetime", NULL};

static const struct ms_column head[] = {
	{"regions", "regions", MS_COLUMN_COUNT},
	{"bytes", "bytes mapped", MS_COLUMN_BYTES},
	{"peak_bytes", "peak", MS_COLUMN_BYTES},
	{"peak_time_ns", "peak reached after", MS_COLUMN_DURATION},
	{"live_bytes", "mapped at the end", MS_COLUMN_BYTES},
	{"initial_regions", "regions from before the start", MS_COLUMN_COUNT},
	{"initial_bytes", "bytes from before the start", MS_COLUMN_BYTES},
	{"calls", "calls", MS_COLUMN_COUNT},
	{"failed", "failed calls", MS_COLUMN_COUNT},
	{"shown", "regions shown", MS_COLUMN_COUNT},
	{"dropped_events", "events dropped (flight recorder)", MS_COLUMN_COUNT},
};

static const struct ms_column rows[] = {
	{"pid", "pid", MS_COLUMN_NUMBER},
	{"start", "address", MS_COLUMN_HEX},
	{"size_bytes", "size", MS_COLUMN_BYTES},
	{"peak_bytes", "peak", MS_COLUMN_BYTES},
	{"live_bytes", "live", MS_COLUMN_BYTES},
	{"mapped_ns", "mapped", MS_COLUMN_DURATION},
	{"unmapped_ns", "unmapped", MS_COLUMN_DURATION},
	{"lifetime_ns", "lifetime", MS_COLUMN_DURATION},
	{"kind", "kind", MS_COLUMN_STRING},
	{"initial", "initial", MS_COLUMN_BOOL},
	{"prot", "prot", MS_COLUMN_STRING},
	{"shared", "shared", MS_COLUMN_BOOL},
	{"file", "file", MS_COLUMN_STRING},
	{"stack", "stack", MS_COLUMN_NUMBER},
	{"frames", "", MS_COLUMN_FRAMES},
};

static const struct ms_opt options[] = {
	MS_OPT_ENUM(
		0, "sort", struct options, sort, sort_words, "order of the rows, largest first (default {})"),
	MS_OPT_END,
};

/* ---- regions that are gone ---- */

/* Until when it was there, as far as has been read. */
static uint64_t end_of(const struct state *s, const struct region *r)
{
	const struct mst_process *p = mst_reader_process(s->pass->reader, r->process);

	if (r->unmapped_ns != UINT64_MAX)
		return r->unmapped_ns;
	return p && p->fate != MST_FATE_RUNNING ? p->end_ns : s->pass->last_ns;
}

static uint64_t lifetime_of(const struct state *s, const struct region *r)
{
	uint64_t end = end_of(s, r);

	return end > r->mapped_ns ? end - r->mapped_ns : 0;
}

static uint64_t key_of(const struct state *s, const struct region *r)
{
	switch (s->pass->options->sort) {
	case 1:
		return r->size;
	case 2:
		return r->live_bytes;
	case 3:
		return lifetime_of(s, r);
	default:
		return r->peak_bytes;
	}
}

static int by_key(const void *a, const void *b, void *ctx)
{
	const struct region *x = a, *y = b;
	uint64_t kx = key_of(ctx, x), ky = key_of(ctx, y);

	if (kx != ky)
		return kx > ky ? -1 : 1;
	if (x->is_initial != y->is_initial)
		return x->is_initial ? 1 : -1;
	if (x->event != y->event)
		return x->event < y->event ? -1 : 1;
	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static void sort_gone(struct state *s)
{
	if (s->n_gone)
		qsort_r(s->gone, s->n_gone, sizeof(*s->gone), by_key, s);
}

static void keep_gone(void *ctx, const struct region *r)
{
	struct state *s = ctx;
	size_t top = s->pass->options->top;

	if (r->is_inherited)
		return; /* it is the parent's */
	if (top && s->n_gone >= KEPT_AT_LEAST && s->n_gone >= 4 * top) {
		sort_gone(s);
		s->n_gone = top;
	}
	s->gone = ms_room(s->gone, &s->cap_gone, s->n_gone + 1, sizeof(*s->gone));
	s->gone[s->n_gone++] = *r;
	if (!r->is_initial)
		s->left_bytes += r->live_bytes;
}

/* ---- processes ---- */

static bool is_counted(const struct state *s, const struct mst_process *p)
{
	return p && (!s->pass->options->pid || p->pid == s->pass->options->pid);
}

static int by_event(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->event != y->event)
		return x->event < y->event ? -1 : 1;
	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return x->is_end - y->is_end;
}

/* Lists the changes of the processes that became known since the last time. */
static void list_changes(struct state *s)
{
	uint32_t n = mst_reader_n_processes(s->pass->reader);

	if (n == s->n_processes)
		return;
	s->spaces = ms_room_zeroed(s->spaces, &s->cap_spaces, n + (size_t)1, sizeof(struct regions *));
	s->changes = ms_room(s->changes, &s->cap_changes, 2 * (size_t)n, sizeof(*s->changes));
	for (uint32_t id = s->n_processes + 1; id <= n; id++) {
		const struct mst_process *p = mst_reader_process(s->pass->reader, id);

		if (!p)
			continue;
		s->changes[s->n_changes++] = (struct change){p->start_event, id, false};
		if (p->end_event != UINT64_MAX)
			s->changes[s->n_changes++] = (struct change){p->end_event, id, true};
	}
	s->n_processes = n;
	qsort(s->changes + s->next, s->n_changes - s->next, sizeof(*s->changes), by_event);
}

static enum region_kind kind_of_name(const char *name)
{
	if (!name)
		return REGION_ANONYMOUS;
	if (strcmp(name, "[heap]") == 0)
		return REGION_HEAP;
	if (strncmp(name, "[stack", 6) == 0)
		return REGION_STACK;
	return name[0] == '[' ? REGION_ANONYMOUS : REGION_FILE;
}

/* What the process had from the start. Its rows stand together, mostly behind those of the process before. */
static void add_initial(struct state *s, struct regions *space, uint32_t id, uint64_t start_ns)
{
	const struct mst_reader *r = s->pass->reader;
	size_t n = mst_reader_n_regions(r);
	bool counts = is_counted(s, mst_reader_process(r, id)), is_found = false;

	for (size_t k = 0; k < n; k++) {
		size_t i = (s->next_region + k) % n;
		const struct mst_region *row = mst_reader_region(r, i);

		if (row->process != id && is_found) {
			s->next_region = i;
			return;
		}
		if (row->process != id)
			continue;
		const struct region like = {.mapped_ns = start_ns,
			.process = id,
			.file = row->name,
			.prot = row->prot,
			.kind = (uint8_t)kind_of_name(ms_trace_string(r, row->name)),
			.is_initial = true,
			.is_shared = row->is_shared};

		is_found = true;
		regions_map(space, row->start, row->end, &like);
		s->n_initial += counts;
		s->initial_bytes += counts ? row->end - row->start : 0;
	}
}

static void start_process(struct state *s, uint32_t id)
{
	const struct mst_process *p = mst_reader_process(s->pass->reader, id);
	struct regions *space = ms_zeroed(1, sizeof(*space));

	space->gone = keep_gone;
	space->ctx = s;
	s->spaces[id] = space;
	if (p->origin == MST_ORIGIN_FORK && p->parent && s->spaces[p->parent])
		regions_copy(space, s->spaces[p->parent], id);
	else
		add_initial(s, space, id, p->start_ns);
}

static void note_peak(struct state *s, uint64_t now_ns)
{
	if (s->live_bytes <= s->peak_bytes)
		return;
	s->peak_bytes = s->live_bytes;
	s->peak_ns = now_ns;
}

static void end_process(struct state *s, uint32_t id)
{
	struct regions *space = s->spaces[id];

	if (!space)
		return;
	if (is_counted(s, mst_reader_process(s->pass->reader, id)))
		s->live_bytes -= space->live_bytes;
	else
		space->gone = NULL;
	regions_end(space);
	free(space);
	s->spaces[id] = NULL;
}

static void pass_changes(struct state *s, uint64_t event, uint64_t now_ns)
{
	while (s->next < s->n_changes && s->changes[s->next].event <= event) {
		struct change c = s->changes[s->next++];

		if (c.is_end)
			end_process(s, c.process);
		else
			start_process(s, c.process);
		note_peak(s, now_ns);
	}
}

/* ---- calls ---- */

static uint64_t round_up(uint64_t v, uint64_t to)
{
	return v > UINT64_MAX - to ? v : (v + to - 1) / to * to;
}

static uint64_t unit_of(const struct state *s, const struct mst_map_call *call)
{
	unsigned shift = call->flags >> HUGE_SHIFT_AT & 63;

	if (!(call->flags & MAP_HUGETLB_FLAG))
		return s->page;
	return UINT64_C(1) << (shift ? shift : HUGE_SHIFT);
}

static uint64_t end_from(uint64_t start, uint64_t size)
{
	return size > UINT64_MAX - start ? UINT64_MAX : start + size;
}

static enum region_kind kind_of_flags(uint32_t flags)
{
	if (flags & (MAP_STACK_FLAG | MAP_GROWSDOWN_FLAG))
		return REGION_STACK;
	return flags & MAP_ANONYMOUS_FLAG ? REGION_ANONYMOUS : REGION_FILE;
}

static void apply_break(struct state *s, struct regions *space, const struct mst_map_call *call, struct region *like)
{
	uint64_t from = round_up(call->old_addr, s->page), to = round_up(call->addr, s->page);

	like->kind = REGION_HEAP;
	like->prot = 3;
	if (call->old_addr && from < to)
		regions_map(space, from, to, like);
	else if (call->old_addr)
		regions_unmap(space, to, from, call->begun, like->mapped_ns);
}

static void apply_mremap(struct state *s, struct regions *space, const struct mst_map_call *call, struct region *like)
{
	bool is_kept = call->flags & MREMAP_DONTUNMAP_FLAG || call->old_length == 0;
	uint64_t old_size = round_up(call->old_length ? call->old_length : 1, s->page);

	like->prot = 3;
	regions_move(space, call->old_addr, old_size, call->addr, round_up(call->length, s->page), call->begun, is_kept,
		like);
}

static void apply(struct state *s, struct regions *space, const struct mst_event *ev, const struct mst_map_call *call,
	uint32_t process)
{
	struct region like = {.mapped_ns = ev->time_ns, .event = ev->number, .process = process, .stack = ev->stack};

	switch (ev->op) {
	case MST_OP_MMAP:
		like.prot = call->prot;
		like.file = call->file;
		like.kind = (uint8_t)kind_of_flags(call->flags);
		like.is_shared = call->flags & 1;
		regions_map(space, call->addr, end_from(call->addr, round_up(call->length, unit_of(s, call))), &like);
		break;
	case MST_OP_MUNMAP:
		regions_unmap(space, call->addr, end_from(call->addr, round_up(call->length, s->page)), call->begun,
			ev->time_ns);
		break;
	case MST_OP_MREMAP:
		apply_mremap(s, space, call, &like);
		break;
	case MST_OP_BRK:
	case MST_OP_SBRK:
		apply_break(s, space, call, &like);
		break;
	default: /* protection and advice move nothing */
		break;
	}
}

static void take_call(struct state *s, const struct mst_event *ev)
{
	const struct mst_thread *t = mst_reader_thread(s->pass->reader, ev->thread);
	const struct mst_map_call *call = mst_reader_map_call(s->pass->reader, ev);
	uint32_t process = t && t->process <= s->n_processes ? t->process : 0;
	struct regions *space = process ? s->spaces[process] : NULL;
	bool counts = is_counted(s, process ? mst_reader_process(s->pass->reader, process) : NULL);

	s->n_calls += counts;
	s->n_failed += counts && ev->flags & MST_EV_FAILED;
	if (ev->flags & MST_EV_FAILED || !call || !space)
		return;
	uint64_t before = space->live_bytes;

	apply(s, space, ev, call, process);
	if (!counts)
		return;
	if (ev->op == MST_OP_MMAP || (space->live_bytes > before && ev->op != MST_OP_MREMAP)) {
		s->n_regions++;
		s->mapped_bytes += ev->op == MST_OP_MMAP ? round_up(call->length, unit_of(s, call))
							   : space->live_bytes - before;
	}
	s->live_bytes += space->live_bytes - before;
	note_peak(s, ev->time_ns);
}

/* ---- the analysis ---- */

static void *begin(const struct pass *pass)
{
	struct state *s = ms_zeroed(1, sizeof(*s));

	s->pass = pass;
	s->page = mst_reader_header(pass->reader)->page_size;
	if (s->page == 0 || s->page & (s->page - 1))
		s->page = 4096;
	return s;
}

static void events(void *state, const struct pass *pass, const struct mst_event *events, size_t n)
{
	struct state *s = state;

	(void)pass;
	list_changes(s);
	for (size_t i = 0; i < n; i++) {
		if (s->next < s->n_changes && s->changes[s->next].event <= events[i].number)
			pass_changes(s, events[i].number, events[i].time_ns);
		if (mst_op_maps(events[i].op))
			take_call(s, &events[i]);
	}
}

static void add_protection(struct ms_table *t, uint32_t prot)
{
	struct ms_out text;

	ms_out_init_memory(&text);
	ms_protection_print(&text, prot);
	ms_table_string(t, ms_out_text(&text));
	ms_out_release(&text);
}

static void add_row(const struct state *s, const struct region *r, struct ms_table *t, struct ms_frames *frames)
{
	static const char *const kinds[] = {"anonymous", "file", "stack", "heap"};
	const struct mst_process *p = mst_reader_process(s->pass->reader, r->process);
	size_t n;
	const char *file = mst_reader_string(s->pass->reader, r->file, &n);

	ms_table_row(t);
	ms_table_number(t, p ? p->pid : 0);
	ms_table_number(t, r->start);
	ms_table_number(t, r->size);
	ms_table_number(t, r->peak_bytes);
	ms_table_number(t, r->live_bytes);
	ms_table_number(t, r->mapped_ns);
	if (r->unmapped_ns == UINT64_MAX)
		ms_table_absent(t);
	else
		ms_table_number(t, r->unmapped_ns);
	ms_table_number(t, lifetime_of(s, r));
	ms_table_string(t, kinds[r->kind]);
	ms_table_number(t, r->is_initial);
	add_protection(t, r->prot);
	ms_table_number(t, r->is_shared);
	if (n)
		ms_table_stringn(t, file, n);
	else
		ms_table_absent(t);
	ms_table_number(t, r->stack);
	ms_trace_frames(s->pass->reader, r->stack, frames);
	ms_table_frames(t, frames->items, frames->n);
}

static void fill_head(const struct state *s, struct ms_table *t, size_t shown)
{
	const struct mst_checkpoint *before = mst_reader_checkpoint(s->pass->reader);

	ms_table_row(t);
	ms_table_number(t, s->n_regions);
	ms_table_number(t, s->mapped_bytes);
	ms_table_number(t, s->peak_bytes);
	if (s->peak_bytes)
		ms_table_number(t, s->peak_ns);
	else
		ms_table_absent(t);
	ms_table_number(t, s->left_bytes);
	ms_table_number(t, s->n_initial);
	ms_table_number(t, s->initial_bytes);
	ms_table_number(t, s->n_calls);
	ms_table_number(t, s->n_failed);
	ms_table_number(t, shown);
	ms_table_number(t, before ? before->event : 0);
}

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	struct state *s = state;
	struct ms_frames frames = {0};

	list_changes(s);
	pass_changes(s, UINT64_MAX, pass->last_ns);
	for (uint32_t id = 1; id <= s->n_processes; id++)
		end_process(s, id);
	sort_gone(s);
	size_t shown = pass->options->top && pass->options->top < s->n_gone ? pass->options->top : s->n_gone;

	answer->rows = ms_table_new(rows, sizeof(rows) / sizeof(*rows));
	answer->rows_key = "maps";
	for (size_t i = 0; i < shown; i++)
		add_row(s, &s->gone[i], answer->rows, &frames);
	answer->head = ms_table_new(head, sizeof(head) / sizeof(*head));
	fill_head(s, answer->head, shown);
	free(frames.items);
	free(s->gone);
	free(s->changes);
	free(s->spaces);
	free(s);
}

const struct analysis analysis_maps = {
	.name = "maps",
	.summary = "what the program mapped, by region: who, how much, how long",
	.options = options,
	.needs_stacks = true,
	.needs_maps = true,
	.dropped_caveat = "regions that the dropped events mapped are not known; those from before the start which they "
			  "unmapped are shown as if they were still there",
	.begin = begin,
	.events = events,
	.end = end,
};

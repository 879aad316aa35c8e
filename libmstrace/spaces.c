/* spaces.c - one address space (address_space.h) per running process, and what the events do to them.
 *
 * Regions that are gone are told of and forgotten, so memory does not grow with the calls. */
#include "spaces.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "grow.h"
#include "reader.h"

enum { MAP_SHARED_FLAG = 1, MAP_ANONYMOUS_FLAG = 0x20, MAP_GROWSDOWN_FLAG = 0x100, MAP_STACK_FLAG = 0x20000,
	MAP_HUGETLB_FLAG = 0x40000, MREMAP_DONTUNMAP_FLAG = 4 };
enum { HUGE_SHIFT_AT = 26, HUGE_SHIFT = 21, DEFAULT_PAGE = 4096, READ_WRITE = 3 };

/* ---- processes ---- */

static bool is_counted(const struct mst_spaces *s, uint32_t id)
{
	const struct mst_process *p = mst_reader_process(s->names, id);

	return p && (!s->opt.only_pid || p->pid == s->opt.only_pid);
}

static struct mst_space *space_of(const struct mst_spaces *s, uint32_t id)
{
	return id < s->cap ? s->spaces[id] : NULL;
}

static void tell_gone(void *ctx, const struct mst_mapped *region)
{
	const struct mst_spaces *s = ctx;

	if (!region->is_inherited && is_counted(s, region->process))
		s->opt.gone(s->opt.ctx, region);
}

/* A new, empty space. NULL without memory. */
static struct mst_space *add_space(struct mst_spaces *s, uint32_t id)
{
	struct mst_space *space = NULL;

	if (mst_grow(&s->spaces, &s->cap, id + (size_t)1, sizeof(*s->spaces)) == 0)
		space = s->spaces[id] = calloc(1, sizeof(*space));
	if (space && s->opt.gone) {
		space->at.gone = tell_gone;
		space->at.ctx = s;
	}
	return space;
}

static void free_space(struct mst_spaces *s, uint32_t id)
{
	mst_address_space_release(&s->spaces[id]->at);
	free(s->spaces[id]);
	s->spaces[id] = NULL;
}

static enum mst_mapped_kind kind_of_name(const char *name, size_t len)
{
	if (!name || len == 0)
		return MST_MAPPED_ANONYMOUS;
	if (len == 6 && memcmp(name, "[heap]", 6) == 0)
		return MST_MAPPED_HEAP;
	if (len >= 6 && memcmp(name, "[stack", 6) == 0)
		return MST_MAPPED_STACK;
	return name[0] == '[' ? MST_MAPPED_ANONYMOUS : MST_MAPPED_FILE;
}

static void add_initial(struct mst_spaces *s, struct mst_space *space, const struct mst_region *row, uint64_t start_ns)
{
	size_t len = 0;
	const char *name = mst_reader_string(s->names, row->name, &len);
	const struct mst_mapped like = {
		.mapped_ns = start_ns,
		.process = row->process,
		.file = row->name,
		.prot = row->prot,
		.kind = (uint8_t)kind_of_name(name, len),
		.is_initial = true,
		.is_shared = row->is_shared,
	};

	if (!space->is_adopted)
		mst_address_space_map(&space->at, row->start, row->end, &like);
	if (!is_counted(s, row->process))
		return;
	s->totals.initial_regions++;
	s->totals.initial_bytes += row->end - row->start;
}

/* What the process had from the start. Its rows stand together, mostly behind those of the process before. */
static void add_all_initial(struct mst_spaces *s, struct mst_space *space, uint32_t id, uint64_t start_ns)
{
	size_t n = mst_reader_n_regions(s->names);
	bool is_found = false;

	for (size_t k = 0; k < n; k++) {
		size_t i = (s->next_region + k) % n;
		const struct mst_region *row = mst_reader_region(s->names, i);

		if (row->process == id) {
			is_found = true;
			add_initial(s, space, row, start_ns);
		} else if (is_found) {
			s->next_region = i;
			return;
		}
	}
}

static int start_process(struct mst_spaces *s, uint32_t id)
{
	const struct mst_process *p = mst_reader_process(s->names, id);
	struct mst_space *space = space_of(s, id);
	const struct mst_space *parent = p ? space_of(s, p->parent) : NULL;

	if (!p || (space && !space->is_adopted))
		return 0;
	if (!space && !(space = add_space(s, id)))
		return MST_ENOMEM;
	if (p->origin != MST_ORIGIN_FORK || !parent)
		add_all_initial(s, space, id, p->start_ns);
	else if (!space->is_adopted)
		mst_address_space_copy(&space->at, &parent->at, id);
	space->is_adopted = false;
	return space->at.failed ? MST_ENOMEM : 0;
}

static int end_process(struct mst_spaces *s, uint32_t id)
{
	struct mst_space *space = space_of(s, id);

	if (!space || space->is_ended)
		return 0;
	if (is_counted(s, id))
		s->totals.live_bytes -= space->at.live_bytes;
	space->is_ended = true;
	if (s->keeps_ended) {
		mst_address_space_disown(&space->at);
		return space->at.failed ? MST_ENOMEM : 0;
	}
	mst_address_space_end(&space->at);
	free_space(s, id);
	return 0;
}

static int pass_lifetimes(struct mst_spaces *s, uint64_t event)
{
	struct mst_lifetime change;
	int rc = 0;

	while (rc == 0 && mst_lifetimes_next(&s->lifetimes, event, &change) > 0)
		rc = change.is_end ? end_process(s, change.process) : start_process(s, change.process);
	return rc;
}

/* ---- calls ---- */

static uint64_t round_up(uint64_t v, uint64_t to)
{
	return v > UINT64_MAX - to ? v : (v + to - 1) / to * to;
}

static uint64_t unit_of(const struct mst_spaces *s, const struct mst_map_call *call)
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

static enum mst_mapped_kind kind_of_flags(uint32_t flags)
{
	if (flags & (MAP_STACK_FLAG | MAP_GROWSDOWN_FLAG))
		return MST_MAPPED_STACK;
	return flags & MAP_ANONYMOUS_FLAG ? MST_MAPPED_ANONYMOUS : MST_MAPPED_FILE;
}

static void apply_mmap(const struct mst_spaces *s, struct mst_address_space *at, const struct mst_map_call *call,
	struct mst_mapped *like)
{
	like->prot = call->prot;
	like->file = call->file;
	like->kind = (uint8_t)kind_of_flags(call->flags);
	like->is_shared = call->flags & MAP_SHARED_FLAG;
	mst_address_space_map(at, call->addr, end_from(call->addr, round_up(call->length, unit_of(s, call))), like);
}

static void apply_break(const struct mst_spaces *s, struct mst_address_space *at, const struct mst_map_call *call,
	struct mst_mapped *like)
{
	uint64_t from = round_up(call->old_addr, s->page), to = round_up(call->addr, s->page);

	like->kind = MST_MAPPED_HEAP;
	like->prot = READ_WRITE;
	if (call->old_addr && from < to)
		mst_address_space_map(at, from, to, like);
	else if (call->old_addr)
		mst_address_space_unmap(at, to, from, call->begun, like->mapped_ns);
}

static void apply_mremap(const struct mst_spaces *s, struct mst_address_space *at, const struct mst_map_call *call,
	struct mst_mapped *like)
{
	bool is_kept = call->flags & MREMAP_DONTUNMAP_FLAG || call->old_length == 0;
	uint64_t old_size = round_up(call->old_length ? call->old_length : 1, s->page);

	like->prot = READ_WRITE;
	mst_address_space_move(at, call->old_addr, old_size, call->addr, round_up(call->length, s->page), call->begun,
		is_kept, like);
}

static void apply(const struct mst_spaces *s, struct mst_address_space *at, const struct mst_event *ev,
	const struct mst_map_call *call, uint32_t process)
{
	struct mst_mapped like = {
		.mapped_ns = ev->time_ns, .event = ev->number, .process = process, .stack = ev->stack};

	switch (ev->op) {
	case MST_OP_MMAP:
		apply_mmap(s, at, call, &like);
		break;
	case MST_OP_MUNMAP:
		mst_address_space_unmap(at, call->addr, end_from(call->addr, round_up(call->length, s->page)),
			call->begun, ev->time_ns);
		break;
	case MST_OP_MREMAP:
		apply_mremap(s, at, call, &like);
		break;
	case MST_OP_BRK:
	case MST_OP_SBRK:
		apply_break(s, at, call, &like);
		break;
	default: /* protection and advice move nothing */
		break;
	}
}

static void note_peaks(struct mst_spaces *s, struct mst_space *space, uint64_t now_ns)
{
	if (space->at.live_bytes > space->peak_bytes) {
		space->peak_bytes = space->at.live_bytes;
		space->peak_ns = now_ns;
	}
	if (s->totals.live_bytes > s->totals.peak_bytes) {
		s->totals.peak_bytes = s->totals.live_bytes;
		s->totals.peak_ns = now_ns;
	}
}

static int take_call(struct mst_spaces *s, const struct mst_event *ev)
{
	const struct mst_thread *t = mst_reader_thread(s->names, ev->thread);
	const struct mst_map_call *call = mst_reader_map_call(s->events, ev);
	struct mst_space *space = t ? space_of(s, t->process) : NULL;
	bool counts = t && is_counted(s, t->process);
	struct mst_address_space before;

	s->totals.calls += counts;
	s->totals.failed += counts && ev->flags & MST_EV_FAILED;
	if (ev->flags & MST_EV_FAILED || !call || !space || space->is_ended)
		return 0;
	before = space->at;
	apply(s, &space->at, ev, call, t->process);
	if (space->at.failed)
		return MST_ENOMEM;
	if (!counts)
		return 0;
	s->totals.regions += space->at.n_mapped - before.n_mapped;
	s->totals.bytes += space->at.mapped_bytes - before.mapped_bytes;
	s->totals.live_bytes += space->at.live_bytes - before.live_bytes;
	note_peaks(s, space, ev->time_ns);
	return 0;
}

/* ---- a checkpoint ---- */

/* The rows of one part, which go on with the last region of the part before. */
static void adopt_rows(struct mst_address_space *at, const struct mst_space_part *part, const struct mst_space_rows *r)
{
	uint32_t region = at->n, next = 0;

	for (uint32_t i = 0; i < r->n && !at->failed; i++) {
		struct mst_mapped like = r->rows[i].region;

		like.process = part->process;
		if (!r->rows[i].continues || region == 0)
			region = mst_address_space_adopt(at, &like);
		for (uint32_t k = 0; k < r->rows[i].n_pieces; k++) {
			struct mst_extent piece = r->pieces[next++];

			piece.region = region;
			mst_address_space_adopt_piece(at, &piece);
		}
	}
}

static int adopt_part(void *ctx, const struct mst_space_part *part, const struct mst_space_rows *rows)
{
	struct mst_spaces *s = ctx;
	struct mst_space *space = space_of(s, part->process);

	if (!space && !(space = add_space(s, part->process)))
		return MST_ENOMEM;
	space->is_adopted = true;
	space->peak_bytes = part->own_peak_bytes;
	space->peak_ns = part->own_peak_ns;
	adopt_rows(&space->at, part, rows);
	if (!s->opt.only_pid) {
		s->totals.peak_bytes = part->peak_bytes;
		s->totals.peak_ns = part->peak_ns;
	} else if (is_counted(s, part->process) && part->own_peak_bytes > s->totals.peak_bytes) {
		s->totals.peak_bytes = part->own_peak_bytes; /* the images of a pid run one after the other */
		s->totals.peak_ns = part->own_peak_ns;
	}
	return space->at.failed ? MST_ENOMEM : 0;
}

/* Before the first event: what was mapped at the checkpoint, if the trace begins with one that tells it. */
static int begin(struct mst_spaces *s)
{
	const struct mst_checkpoint *c = mst_reader_checkpoint(s->events);
	int rc = mst_reader_each_space_part(s->events, adopt_part, s);

	s->has_begun = true;
	for (uint32_t id = 1; id < s->cap && rc == 0; id++) {
		if (!s->spaces[id])
			continue;
		mst_address_space_adopted(&s->spaces[id]->at);
		s->totals.live_bytes += is_counted(s, id) ? s->spaces[id]->at.live_bytes : 0;
	}
	return rc == 0 && c ? pass_lifetimes(s, c->event) : rc;
}

/* ---- public ---- */

int mst_spaces_new(const struct mst_reader *r, const struct mst_spaces_options *opt, struct mst_spaces **out)
{
	struct mst_spaces *s = calloc(1, sizeof(*s));

	if (!s)
		return MST_ENOMEM;
	s->events = s->names = r;
	if (opt)
		s->opt = *opt;
	s->page = mst_reader_header(r)->page_size;
	if (s->page == 0 || s->page & (s->page - 1))
		s->page = DEFAULT_PAGE;
	mst_lifetimes_init(&s->lifetimes);
	*out = s;
	return 0;
}

void mst_spaces_free(struct mst_spaces *s)
{
	if (!s)
		return;
	for (uint32_t id = 0; id < s->cap; id++)
		if (s->spaces[id])
			free_space(s, id);
	free(s->spaces);
	mst_lifetimes_release(&s->lifetimes);
	free(s);
}

int mst_spaces_apply_batch(struct mst_spaces *s, const struct mst_event *events, size_t n)
{
	int rc = mst_lifetimes_look(&s->lifetimes, s->names);

	if (rc == 0 && !s->has_begun)
		rc = begin(s);
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (events[i].number >= s->lifetimes.next_event)
			rc = pass_lifetimes(s, events[i].number);
		if (rc == 0 && mst_op_maps(events[i].op))
			rc = take_call(s, &events[i]);
	}
	return rc;
}

int mst_spaces_end(struct mst_spaces *s)
{
	int rc = mst_spaces_apply_batch(s, NULL, 0);

	if (rc == 0)
		rc = pass_lifetimes(s, UINT64_MAX);
	for (uint32_t id = 1; id < s->cap && rc == 0; id++)
		rc = end_process(s, id);
	return rc;
}

const struct mst_mapped_totals *mst_spaces_totals(const struct mst_spaces *s)
{
	return &s->totals;
}

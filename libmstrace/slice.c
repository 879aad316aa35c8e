#include "slice.h"

#include <string.h>

enum trait { ACQUIRES = 1u << 0, RELEASES = 1u << 1 };

/* By op byte of the file: failed calls do neither. */
static uint8_t traits_of(unsigned op)
{
	return (uint8_t)(op & MST_OPBIT_FAILED ? 0u
		: (mst_op_acquires(op & MST_OP_MAX) ? ACQUIRES : 0u) | (mst_op_releases(op & MST_OP_MAX) ? RELEASES : 0u));
}

void mst_slicer_begin(struct mst_slicer *s, const struct mst_events *ev, const struct mst_evt *evt)
{
	s->ev = *ev;
	s->evt = *evt;
	s->at = s->extra = s->n_calls = s->n_pool_calls = 0;
	s->ordinal = ev->first_alloc;
	s->maps = mst_cursor_over(ev->maps, ev->maps_len);
	s->last_map_addr = 0;
	s->pools = mst_cursor_over(ev->pools, ev->pools_len);
	s->last_pool_row = (struct mst_pool_row){0};
	for (unsigned op = 0; op < sizeof(s->traits); op++)
		s->traits[op] = traits_of(op);
}

/* What a column that was not asked for looks like. */
static const uint64_t no_numbers[MST_SLICE_EVENTS];
static const uint32_t no_ids[MST_SLICE_EVENTS];

/* All but addresses and extras. */
static void make_base(struct mst_slicer *s, uint32_t n, struct mst_event *out)
{
	const struct mst_events *ev = &s->ev;
	const uint64_t *time = ev->time ? ev->time + s->at : no_numbers;
	const uint64_t *freed = ev->freed ? ev->freed + s->at : no_numbers;
	const uint64_t *size = ev->size ? ev->size + s->at : no_numbers;
	const uint32_t *stack = ev->stack ? ev->stack + s->at : no_ids;
	const uint32_t *thread = ev->thread + s->at;
	const uint8_t *op = ev->op + s->at;
	uint64_t number = s->evt.first_event + s->at, ordinal = s->ordinal;
	unsigned shift = s->evt.time_shift;

	for (uint32_t k = 0; k < n; k++) {
		uint64_t acquires = s->traits[op[k]] & ACQUIRES;

		out[k] = (struct mst_event){
			.number = number + k,
			.time_ns = time[k] << shift,
			.alloc = ordinal & (0 - acquires),
			.freed = freed[k],
			.size = size[k],
			.stack = stack[k],
			.thread = thread[k],
			.op = op[k] & MST_OP_MAX,
			.flags = (uint8_t)(op[k] >> 7 | (op[k] >> 5 & MST_EV_LATE)),
		};
		ordinal += acquires;
	}
	s->ordinal = ordinal;
}
_Static_assert(MST_OPBIT_FAILED >> 7 == MST_EV_FAILED && MST_OPBIT_LATE >> 5 == MST_EV_LATE, "flags by shifting");

/* A pure release has its address in addr, every other call what it was given in old_addr. */
static void add_addresses(const struct mst_slicer *s, uint32_t n, struct mst_event *out)
{
	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = s->at + k;
		uint64_t old = s->ev.freed_addr[i];

		bool releases = s->traits[out[k].op] & RELEASES;

		if (releases && !(s->traits[out[k].op] & ACQUIRES)) {
			out[k].addr = old;
		} else {
			out[k].addr = s->ev.addr[i];
			out[k].old_addr = old;
		}
	}
}

/* A release that names no block, but an address. */
static void mark_foreign(const struct mst_slicer *s, uint32_t n, struct mst_event *out)
{
	for (uint32_t k = 0; k < n; k++)
		if (s->ev.freed_addr[s->at + k] != 0 && out[k].freed == 0 && s->traits[out[k].op] & RELEASES &&
			!(out[k].flags & MST_EV_FAILED))
			out[k].flags |= MST_EV_FOREIGN;
}

static void add_extras(struct mst_slicer *s, uint32_t n, struct mst_event *out)
{
	for (; s->extra < s->ev.n_extra && s->ev.extra[s->extra].index < s->at + n; s->extra++) {
		const struct mst_extra *x = &s->ev.extra[s->extra];
		struct mst_event *e = &out[x->index - s->at];

		if (x->kind == MST_EXTRA_ALIGN)
			e->align = (uint32_t)x->value;
		else if (x->kind == MST_EXTRA_ERRNO)
			e->err = (uint16_t)x->value;
		else if (x->kind == MST_EXTRA_SAID_SIZE && mst_op_is_sized(e->op)) {
			e->said_size = x->value;
			e->flags |= MST_EV_WRONG_SIZE;
		}
	}
}

/* The rows of the calls of the mapping layer; decoding has checked them. */
static void add_map_calls(struct mst_slicer *s, uint32_t n, struct mst_event *out)
{
	for (uint32_t k = 0; k < n; k++) {
		struct mst_event *e = &out[k];

		if (!mst_op_maps(e->op))
			continue;
		struct mst_sliced_call *c = &s->calls[s->n_calls++];
		c->number = e->number;
		mst_map_row_get(&s->maps, e->op, e->number, &s->last_map_addr, &c->call);
		e->addr = c->call.addr;
		e->size = c->call.length;
		e->old_addr = c->call.old_addr;
	}
}

/* The rows of the calls of pools, likewise. */
static void add_pool_calls(struct mst_slicer *s, uint32_t n, struct mst_event *out)
{
	for (uint32_t k = 0; k < n; k++) {
		struct mst_event *e = &out[k];

		if (!mst_op_pools(e->op))
			continue;
		struct mst_sliced_pool_call *c = &s->pool_calls[s->n_pool_calls++];
		c->number = e->number;
		mst_pool_row_get(&s->pools, e->op, &s->last_pool_row, &c->call);
		if (e->flags & MST_EV_FAILED)
			c->call.alloc = c->call.freed = 0;
		e->addr = c->call.addr;
		e->size = c->call.size;
		e->old_addr = c->call.old_addr;
	}
}

const struct mst_pool_call *mst_slicer_pool_call(const struct mst_slicer *s, uint64_t number)
{
	uint32_t low = 0, high = s->n_pool_calls;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (s->pool_calls[mid].number == number)
			return &s->pool_calls[mid].call;
		if (s->pool_calls[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct mst_map_call *mst_slicer_map_call(const struct mst_slicer *s, uint64_t number)
{
	uint32_t low = 0, high = s->n_calls;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (s->calls[mid].number == number)
			return &s->calls[mid].call;
		if (s->calls[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

uint32_t mst_slicer_next(struct mst_slicer *s, struct mst_event *out)
{
	uint32_t n = s->ev.n - s->at < MST_SLICE_EVENTS ? s->ev.n - s->at : MST_SLICE_EVENTS;

	if (n == 0)
		return 0; /* also before the first frame, when there are no columns at all */
	make_base(s, n, out);
	if (s->ev.addr)
		add_addresses(s, n, out);
	if (s->ev.freed_addr)
		mark_foreign(s, n, out);
	add_extras(s, n, out);
	s->n_calls = s->n_pool_calls = 0;
	if (s->ev.maps_len)
		add_map_calls(s, n, out);
	if (s->ev.pools_len)
		add_pool_calls(s, n, out);
	s->at += n;
	return n;
}

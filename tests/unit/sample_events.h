/* sample_events.h - made-up but lawful frames of events, the same for the same seed: for tests, benchmarks, fuzzing.
 *
 * A toy heap hands out addresses, last freed first. Threads take turns; each frees its own newest blocks mostly, now and
 * then another's, one from before the frame, or an address nobody knows. */
#ifndef SAMPLE_EVENTS_H
#define SAMPLE_EVENTS_H

#include "event.h"
#include "mstrace.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct sample_options {
	uint64_t seed;
	uint32_t n, n_threads, n_stacks;
	uint64_t first_alloc, first_time;
	bool has_addresses, has_rarities; /* rarities: failed and late calls, extras, wild addresses, huge values */
};

/* Arrays for n events; sample_release frees them. */
static inline struct mst_events sample_arrays(uint32_t n)
{
	struct mst_events ev = {.n = n};

	ev.op = calloc(n, sizeof(*ev.op));
	ev.thread = calloc(n, sizeof(*ev.thread));
	ev.time = calloc(n, sizeof(*ev.time));
	ev.stack = calloc(n, sizeof(*ev.stack));
	ev.size = calloc(n, sizeof(*ev.size));
	ev.freed = calloc(n, sizeof(*ev.freed));
	ev.addr = calloc(n, sizeof(*ev.addr));
	ev.freed_addr = calloc(n, sizeof(*ev.freed_addr));
	ev.extra = calloc(2 * (size_t)n, sizeof(*ev.extra));
	return ev;
}

static inline void sample_release(struct mst_events *ev)
{
	free(ev->op);
	free(ev->thread);
	free(ev->time);
	free(ev->stack);
	free(ev->size);
	free(ev->freed);
	free(ev->addr);
	free(ev->freed_addr);
	free(ev->extra);
	memset(ev, 0, sizeof(*ev));
}

struct sample_heap {
	uint64_t random;
	const struct sample_options *opt;
	struct mst_events *ev;
	uint64_t *block_addr; /* [ordinal - first_alloc] */
	uint32_t *live;                    /* a stack of live blocks of the frame */
	uint32_t n_live;
	uint64_t brk, now;
};

static inline uint32_t sample_random(struct sample_heap *h, uint32_t below)
{
	h->random ^= h->random << 13;
	h->random ^= h->random >> 7;
	h->random ^= h->random << 17;
	return (uint32_t)(h->random >> 32) % below;
}

static inline void sample_free(struct sample_heap *h, uint32_t i)
{
	struct mst_events *ev = h->ev;
	uint32_t dice = sample_random(h, 32);

	if (dice == 0 && h->opt->first_alloc > 1) {
		ev->freed[i] = 1 + sample_random(h, (uint32_t)(h->opt->first_alloc - 1));
	} else if (dice == 1 && h->opt->has_rarities) {
		ev->freed_addr[i] = (uint64_t)sample_random(h, UINT32_MAX) << sample_random(h, 32);
	} else if (h->n_live > 0) {
		uint32_t depth = dice < 24 ? sample_random(h, h->n_live < 4 ? h->n_live : 4) : sample_random(h, h->n_live);
		uint32_t *at = &h->live[h->n_live - 1 - depth], block = *at;
		memmove(at, at + 1, depth * sizeof(*at));
		h->n_live--;
		ev->freed[i] = h->opt->first_alloc + block;
		ev->freed_addr[i] = h->block_addr[block];
	}
}

static inline void sample_alloc(struct sample_heap *h, uint32_t i)
{
	struct mst_events *ev = h->ev;
	uint64_t size = 8u << sample_random(h, 8);

	if (h->opt->has_rarities && sample_random(h, 64) == 0)
		size = h->random >> sample_random(h, 64);
	ev->size[i] = size;
	if (h->opt->has_addresses) {
		ev->addr[i] = h->brk;
		h->brk += 16 * (1 + sample_random(h, 8));
		if (ev->freed_addr[i] != 0 && sample_random(h, 2) == 0)
			ev->addr[i] = ev->freed_addr[i];
		else if (i > 0 && sample_random(h, 2) == 0)
			ev->addr[i] = ev->freed_addr[sample_random(h, i)] | (sample_random(h, 50) == 0);
		if (ev->addr[i] == 0)
			ev->addr[i] = 0x7f0000000000 + 4096 * (uint64_t)i;
	}
	h->block_addr[ev->n_alloc] = ev->addr[i];
	h->live[h->n_live++] = ev->n_alloc++;
}

static inline void sample_fail(struct sample_heap *h, uint32_t i)
{
	h->ev->op[i] |= MST_OPBIT_FAILED;
	h->ev->size[i] = h->random;
	h->ev->extra[h->ev->n_extra++] = (struct mst_extra){i, MST_EXTRA_ERRNO, 12};
}

static inline void sample_event(struct sample_heap *h, uint32_t i)
{
	static const uint8_t ops[] = {MST_OP_MALLOC, MST_OP_FREE, MST_OP_MALLOC, MST_OP_FREE, MST_OP_CALLOC, MST_OP_FREE,
		MST_OP_REALLOC, MST_OP_ALIGNED_ALLOC, MST_OP_REALLOC_FREE, MST_OP_REALLOC_END};
	struct mst_events *ev = h->ev;
	uint8_t op = ops[sample_random(h, sizeof(ops))];

	ev->op[i] = op;
	ev->thread[i] = 1 + (i > 0 && sample_random(h, 4) ? ev->thread[i - 1] - 1 : 3 * sample_random(h, h->opt->n_threads));
	ev->stack[i] = sample_random(h, 3) ? 7 * op : sample_random(h, h->opt->n_stacks);
	h->now += i == 0 ? 0 : sample_random(h, 16) ? sample_random(h, 3) : sample_random(h, 5000);
	ev->time[i] = h->now;
	if (h->opt->has_rarities && op == MST_OP_ALIGNED_ALLOC)
		ev->extra[ev->n_extra++] = (struct mst_extra){i, MST_EXTRA_ALIGN, 1u << sample_random(h, 13)};
	if (h->opt->has_rarities && !mst_op_releases(op) && sample_random(h, 50) == 0) {
		sample_fail(h, i);
		return;
	}
	if (mst_op_releases(op))
		sample_free(h, i);
	if (mst_op_acquires(op))
		sample_alloc(h, i);
	if (h->opt->has_rarities && sample_random(h, 100) == 0) {
		ev->op[i] |= MST_OPBIT_LATE;
		ev->time[i] = h->now - sample_random(h, 1000);
	}
}

/* Fills ev, from sample_arrays(opt->n). first_alloc >= 1, n >= 1. */
static inline void sample_fill(struct mst_events *ev, const struct sample_options *opt)
{
	struct sample_heap h = {.random = opt->seed * 0x9e3779b97f4a7c15u + 1, .opt = opt, .ev = ev, .brk = 0x555555559010};

	ev->n_alloc = ev->n_extra = 0;
	ev->first_alloc = opt->first_alloc;
	h.now = ev->first_time = opt->first_time;
	h.block_addr = calloc(opt->n, sizeof(*h.block_addr));
	h.live = calloc(opt->n, sizeof(*h.live));
	for (uint32_t i = 0; i < opt->n; i++)
		sample_event(&h, i);
	free(h.block_addr);
	free(h.live);
}
#endif

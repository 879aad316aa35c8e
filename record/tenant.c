/* See tenant.h. */
#include "tenant.h"

#include <stdlib.h>
#include <string.h>

#include "mstrace.h"

struct ms_tenant *ms_tenant_new(struct ms_process *process, uint32_t slot, uint32_t depth_max)
{
	struct ms_tenant *t = calloc(1, sizeof *t);
	uint32_t *path = calloc((size_t)depth_max + 1, sizeof *path);
	if (!t || !path) {
		free(t);
		free(path);
		return NULL;
	}
	t->process = process;
	t->path = path;
	t->depth_max = depth_max;
	t->cursor = ms_cursor_start(slot);
	t->queue.order = slot;
	t->horizon = UINT64_MAX;
	return t;
}

void ms_tenant_free(struct ms_tenant *t, struct ms_pool *pool)
{
	if (!t)
		return;
	ms_queue_clear(&t->queue, pool);
	free(t->path);
	free(t);
}

/* Follows the unit's stack: 1 and *node, 0 malformed, -1 no memory. */
static inline int follow_stack(
	struct ms_tenant *t, struct ms_stacktree *tree, const struct ms_unit *u, uint32_t *node)
{
	*node = MS_NODE_NONE;
	if (u->flags & MS_UF_NO_STACK)
		return 1;
	if (u->flags & MS_UF_SAME) {
		if (t->is_stack_known && t->depth)
			*node = t->path[t->depth];
		return 1;
	}
	if (u->keep == 0) {
		t->path[0] = u->flags & MS_UF_CUT ? MS_NODE_CUT : MS_NODE_NONE;
		t->is_stack_known = true;
	} else if (!t->is_stack_known) {
		return 1; /* the part it keeps was lost in a fault */
	} else if (u->keep > t->depth || u->flags & MS_UF_CUT) {
		return 0;
	}
	uint32_t depth = u->keep + u->n_push;
	if (depth > t->depth_max)
		return 0;
	uint32_t at = ms_stacktree_follow(tree, t->path + u->keep, u->push, u->n_push);
	t->depth = depth;
	if (at == MS_NODE_NONE && depth) {
		t->is_stack_known = false;
		return -1;
	}
	*node = depth ? at : MS_NODE_NONE;
	return 1;
}

enum kind_trait { CALLS = 1, ACQUIRES = 2 };

/* The calls a capture library tells of, of the heap (all but the half of a realloc that is made here) and of pools. Those
 * that do not acquire release at their place in the order; so does what is no call. */
static const uint8_t kind_traits[256] = {
	[MST_OP_MALLOC] = CALLS | ACQUIRES,
	[MST_OP_CALLOC] = CALLS | ACQUIRES,
	[MST_OP_REALLOC] = CALLS | ACQUIRES,
	[MST_OP_REALLOCARRAY] = CALLS | ACQUIRES,
	[MST_OP_POSIX_MEMALIGN] = CALLS | ACQUIRES,
	[MST_OP_ALIGNED_ALLOC] = CALLS | ACQUIRES,
	[MST_OP_MEMALIGN] = CALLS | ACQUIRES,
	[MST_OP_VALLOC] = CALLS | ACQUIRES,
	[MST_OP_PVALLOC] = CALLS | ACQUIRES,
	[MST_OP_FREE] = CALLS,
	[MST_OP_FREE_SIZED] = CALLS,
	[MST_OP_FREE_ALIGNED_SIZED] = CALLS,
	[MST_OP_CFREE] = CALLS,
	[MST_OP_REALLOC_FREE] = CALLS,
	[MST_OP_REALLOC_BEGIN] = CALLS,
	[MST_OP_NEW] = CALLS | ACQUIRES,
	[MST_OP_NEW_ARRAY] = CALLS | ACQUIRES,
	[MST_OP_NEW_NOTHROW] = CALLS | ACQUIRES,
	[MST_OP_NEW_ARRAY_NOTHROW] = CALLS | ACQUIRES,
	[MST_OP_DELETE] = CALLS,
	[MST_OP_DELETE_ARRAY] = CALLS,
	[MST_OP_DELETE_SIZED] = CALLS,
	[MST_OP_DELETE_ARRAY_SIZED] = CALLS,
	[MST_OP_POOL_ALLOC] = CALLS | ACQUIRES,
	[MST_OP_POOL_FREE] = CALLS,
	[MST_OP_POOL_REALLOC] = CALLS | ACQUIRES,
	[MST_OP_POOL_REALLOC_FREE] = CALLS,
	[MS_POOL_REALLOC_BEGIN] = CALLS,
};

static inline void settle(struct ms_tenant *t, uint64_t stamp)
{
	if (stamp >= t->last_stamp)
		t->last_stamp = stamp;
	else
		ms_queue_settle(&t->queue);
}

/* The node of a stack that keeps `keep` frames of one of `depth` and goes on by n. NONE if it cannot be so, or without
 * memory: follow_stack tells. */
static inline uint32_t follow_plainly(const struct ms_tenant *t, struct ms_stacktree *tree, uint32_t depth, uint32_t keep,
	const uint64_t *ips, uint32_t n)
{
	if (keep == 0 || keep > depth || keep + n > t->depth_max)
		return MS_NODE_NONE;
	return ms_stacktree_follow(tree, t->path + keep, ips, n);
}

/* Takes what most units are, as long as they are: calls with nothing rare about them, in the order of their stamps, for which
 * there is room in the queue's last block. Returns the words taken; what follows is for take_call and its like. The two
 * agree; this is what an event costs, so what changes stands in locals, which no store to an item can change. */
static size_t take_plain_calls(
	struct ms_tenant *t, struct ms_stacktree *tree, const uint64_t *words, size_t n, uintptr_t ahead)
{
	const unsigned rare = MS_UF_CUT | MS_UF_FAILED | MS_UF_BIG_SIZE | MS_UF_ALIGN;
	struct ms_queue *q = &t->queue;
	if (!q->tail)
		return 0;
	struct ms_item *item = q->tail->items + q->end, *const full = q->tail->items + MS_BLOCK_ITEMS;
	uint64_t last_stamp = t->last_stamp;
	uint32_t depth = t->is_stack_known ? t->depth : 0, node = depth ? t->path[depth] : MS_NODE_NONE;
	const uint64_t *w = words, *const end = words + n;
	for (; end - w >= 3 && item < full; item++) {
		unsigned trait = kind_traits[MS_UNIT_KIND(w[0])], flags = w[1] >> 48 & 0xff, n_push = (unsigned)(w[1] >> 56);
		uint64_t stamp = MS_UNIT_STAMP(w[0]), addr = w[1] & MS_ADDR_MASK, size = 0, old_addr = 0;
		uint8_t kind = (uint8_t)w[0];
		bool has_stack = !(flags & (MS_UF_SAME | MS_UF_NO_STACK));
		__builtin_prefetch((const void *)((uintptr_t)w + ahead), 0, 2);
		if (!trait || flags & rare || stamp < last_stamp || stamp > t->horizon || n_push == 255)
			break;
		if (flags & MS_UF_SHORT) {
			if (flags & MS_UF_OLD || n_push || has_stack)
				break;
			w += 2;
		} else {
			unsigned fixed = 3 + (flags / MS_UF_OLD & 1);
			const uint64_t *ips = w + fixed;
			if (end - w < fixed + n_push)
				break;
			size = w[2] & MS_ADDR_MASK;
			old_addr = flags & MS_UF_OLD ? w[3] : 0;
			if (has_stack) {
				uint32_t keep = (uint32_t)(w[2] >> 48);
				uint32_t to = follow_plainly(t, tree, depth, keep, ips, n_push);
				if (to == MS_NODE_NONE)
					break;
				node = to;
				depth = keep + n_push;
			} else if (n_push) {
				break;
			}
			w = ips + n_push;
		}
		*item = (struct ms_item){
			.key = MS_ITEM_KEY(stamp, trait & ACQUIRES),
			.addr = addr,
			.size = size,
			.old_addr = old_addr,
			.node = flags & MS_UF_NO_STACK ? MS_NODE_NONE : node,
			.kind = kind,
			.flags = (uint8_t)flags,
		};
		last_stamp = stamp;
	}
	if (t->is_stack_known)
		t->depth = depth;
	t->last_stamp = last_stamp;
	q->n += (uint64_t)(item - q->tail->items) - q->end;
	q->end = (uint32_t)(item - q->tail->items);
	return (size_t)(w - words);
}

/* Decodes a call and follows its stack. Words read; 0 malformed; -1 no memory. */
static ptrdiff_t read_call(struct ms_tenant *t, struct ms_stacktree *tree, const uint64_t *words, size_t n,
	struct ms_unit *u, uint32_t *node)
{
	size_t used = ms_unit_decode(words, n, u);
	if (!used || u->stamp > t->horizon)
		return 0;
	int rc = follow_stack(t, tree, u, node);
	return rc > 0 ? (ptrdiff_t)used : rc;
}

/* What calls of all layers say. */
static void fill_item(struct ms_item *item, const struct ms_unit *u, uint32_t node, bool acquires)
{
	bool is_failed = u->flags & MS_UF_FAILED;
	item->key = MS_ITEM_KEY(u->stamp, acquires);
	item->addr = is_failed ? 0 : u->addr;
	item->size = u->size;
	item->node = node;
	item->err = is_failed ? (uint16_t)u->addr : 0;
	item->kind = u->kind;
	item->flags = u->flags;
}

/* Words taken; 0 malformed; -1 no memory. */
static ptrdiff_t take_call(
	struct ms_tenant *t, struct ms_stacktree *tree, struct ms_pool *pool, const uint64_t *words, size_t n)
{
	struct ms_unit u;
	uint32_t node;
	ptrdiff_t used = read_call(t, tree, words, n, &u, &node);
	if (used <= 0)
		return used;
	struct ms_item *item = ms_queue_push(&t->queue, pool);
	if (!item)
		return -1;
	fill_item(item, &u, node, kind_traits[u.kind] & ACQUIRES);
	item->old_addr = u.old_addr;
	item->align = u.align > UINT32_MAX ? UINT32_MAX : (uint32_t)u.align;
	settle(t, u.stamp);
	return used;
}

/* The words that a call of the mapping layer has besides; NULL if it has none. False without memory. */
static bool keep_more(const struct ms_unit *u, struct ms_note **kept)
{
	*kept = NULL;
	if (!u->n_more)
		return true;
	struct ms_note *note = malloc(sizeof *note + u->n_more * sizeof(uint64_t));
	if (!note)
		return false;
	note->n_words = u->n_more;
	memcpy(note->words, u->more, u->n_more * sizeof(uint64_t));
	*kept = note;
	return true;
}

/* A call of the mapping layer: as take_call, with those words. */
static ptrdiff_t take_mapping(
	struct ms_tenant *t, struct ms_stacktree *tree, struct ms_pool *pool, const uint64_t *words, size_t n)
{
	struct ms_note *more;
	struct ms_unit u;
	uint32_t node;
	ptrdiff_t used = read_call(t, tree, words, n, &u, &node);
	if (used <= 0)
		return used;
	struct ms_item *item = keep_more(&u, &more) ? ms_queue_push(&t->queue, pool) : NULL;
	if (!item) {
		free(more);
		return -1;
	}
	fill_item(item, &u, node, true);
	item->more = more;
	item->align = 0;
	settle(t, u.stamp);
	return used;
}

static ptrdiff_t take_note(struct ms_tenant *t, struct ms_pool *pool, const uint64_t *words, size_t n)
{
	size_t used = ms_unit_other_words(words, n);
	if (!used || MS_UNIT_STAMP(words[0]) > t->horizon)
		return 0;
	struct ms_note *note = malloc(sizeof *note + used * 8);
	struct ms_item *item = note ? ms_queue_push(&t->queue, pool) : NULL;
	if (!item) {
		free(note);
		return -1;
	}
	note->n_words = (uint32_t)used;
	memcpy(note->words, words, used * 8);
	*item = (struct ms_item){
		.key = MS_ITEM_KEY(MS_UNIT_STAMP(words[0]), false),
		.note = note,
		.kind = (uint8_t)MS_UNIT_KIND(words[0]),
	};
	settle(t, MS_UNIT_STAMP(words[0]));
	return (ptrdiff_t)used;
}

int ms_tenant_decode(
	struct ms_tenant *t, struct ms_stacktree *tree, struct ms_pool *pool, const uint64_t *words, size_t n, uintptr_t ahead)
{
	for (size_t i = 0; i < n;) {
		i += take_plain_calls(t, tree, words + i, n - i, ahead);
		if (i == n)
			break;
		unsigned kind = MS_UNIT_KIND(words[i]);
		ptrdiff_t used = kind_traits[kind]   ? take_call(t, tree, pool, words + i, n - i)
				 : mst_op_maps(kind) ? take_mapping(t, tree, pool, words + i, n - i)
						     : take_note(t, pool, words + i, n - i);
		if (used <= 0)
			return (int)used;
		i += (size_t)used;
	}
	return 1;
}

/* Gives back all chunks that name this slot as their owner, except `keep`. */
static void sweep(const struct ms_tenant *t, struct ms_segment *seg, uint32_t keep)
{
	for (uint32_t i = 0; i < seg->n_chunks; i++)
		if (i != keep && ms_chunk_is_of(seg, i, t->cursor.slot))
			ms_chunk_release(seg, i);
}

/* After a fault: gives up what was published so far and goes on behind it. If even that place makes no sense,
 * the tenant stays lost until it does. */
static void resume_behind(struct ms_tenant *t, struct ms_segment *seg, uint64_t committed)
{
	uint32_t chunk = MS_COMMITTED_CHUNK(committed), bytes = MS_COMMITTED_BYTES(committed);
	t->is_stack_known = false;
	t->is_lost = true;
	t->given_up = committed;
	if (bytes > MS_CHUNK_SIZE || bytes % 8 || !ms_chunk_is_of(seg, chunk, t->cursor.slot))
		return;
	sweep(t, seg, chunk);
	t->cursor.chunk = chunk;
	t->cursor.pos = bytes;
	t->cursor.seq = atomic_load_explicit(&seg->headers[chunk].seq, memory_order_relaxed);
	t->is_lost = false;
}

int ms_tenant_drain(struct ms_tenant *t, struct ms_segment *seg, struct ms_stacktree *tree,
	struct ms_drain *drain, struct ms_look look, uint64_t max_items)
{
	const unsigned char *bytes;
	uint32_t len;
	int rc = 1;
	if (ms_tenant_is_drained(t, look.committed))
		return 1;
	if (t->is_lost) {
		resume_behind(t, seg, look.committed);
		return 1;
	}
	while (t->queue.n < max_items &&
		(rc = ms_cursor_next(seg, &t->cursor, look.committed, &bytes, &len)) > 0) {
		const unsigned char *ahead = ms_cursor_ahead(seg, &t->cursor, look.committed);
		memcpy(drain->staging, bytes, len);
		rc = ms_tenant_decode(t, tree, &drain->pool, drain->staging, len / 8,
			ahead ? (uintptr_t)ahead - (uintptr_t)drain->staging : 0);
		if (rc < 0)
			return -1;
		if (rc == 0) {
			rc = -1;
			break;
		}
	}
	if (rc < 0) {
		t->faults++;
		resume_behind(t, seg, look.committed);
	}
	return rc <= 0;
}

void ms_tenant_leave(struct ms_tenant *t, struct ms_segment *seg)
{
	bool was_lost = t->faults > 0;
	ms_slot_release(seg, &t->cursor);
	if (was_lost)
		sweep(t, seg, MS_NO_CHUNK);
}

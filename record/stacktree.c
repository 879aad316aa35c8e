/* See stacktree.h. */
#include "stacktree.h"

#include "huge.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_NODES 256u
#define FIRST_INDEX_SHIFT 23u
_Static_assert((UINT32_MAX >> FIRST_INDEX_SHIFT) + 1 == 2 * FIRST_NODES, "half full at most");
#define FIRST_RUNS 64u
#define NODES_PER_RUN 4u /* of room in the tree */
#define RUNS_MAX (1u << 13)

/* Makes room for n runs, a power of two, and forgets those there were. Without memory all stays. */
static int clear_runs(struct ms_stacktree *t, uint32_t n)
{
	struct ms_run *runs = aligned_alloc(sizeof *runs, n * sizeof *runs);
	if (!runs)
		return -1;
	memset(runs, 0, n * sizeof *runs);
	free(t->runs);
	t->runs = runs;
	t->runs_mask = n - 1;
	return 0;
}

int ms_stacktree_init(struct ms_stacktree *t)
{
	memset(t, 0, sizeof *t);
	t->nodes = calloc(FIRST_NODES, sizeof *t->nodes);
	t->index = calloc(FIRST_NODES * 2, sizeof *t->index);
	if (!t->nodes || !t->index || clear_runs(t, FIRST_RUNS)) {
		ms_stacktree_release(t);
		return -1;
	}
	t->n = MS_NODE_CUT + 1;
	t->cap = FIRST_NODES;
	t->index_shift = FIRST_INDEX_SHIFT;
	return 0;
}

void ms_stacktree_release(struct ms_stacktree *t)
{
	free(t->nodes);
	free(t->index);
	free(t->runs);
	memset(t, 0, sizeof *t);
}

static uint32_t hash(uint32_t parent, uint64_t ip)
{
	uint64_t h = (ip ^ (uint64_t)parent << 40 ^ parent) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

static inline uint32_t index_after(const struct ms_stacktree *t, uint32_t at)
{
	return (at + 1) & (UINT32_MAX >> t->index_shift);
}

/* Twice the slots. By the high bits of their hashes nodes keep their order, so both tables are gone through from start to end. */
static int grow_index(struct ms_stacktree *t)
{
	size_t n = (size_t)(UINT32_MAX >> t->index_shift) + 1;
	struct ms_node_slot *before = t->index, *index = calloc(2 * n, sizeof *index);
	if (!index)
		return -1;
	mst_huge_wish(index, 2 * n * sizeof *index);
	t->index = index;
	t->index_shift--;
	for (size_t i = 0; i < n; i++) {
		uint32_t at = before[i].hash >> t->index_shift;
		if (!before[i].node)
			continue;
		while (index[at].node)
			at = index_after(t, at);
		index[at] = before[i];
	}
	free(before);
	return 0;
}

static int grow(struct ms_stacktree *t)
{
	if (t->cap > UINT32_MAX / 4)
		return -1;
	struct ms_node *nodes = realloc(t->nodes, (size_t)t->cap * 2 * sizeof *nodes);
	if (!nodes)
		return -1;
	t->nodes = nodes;
	mst_huge_wish(nodes, (size_t)t->cap * 2 * sizeof *nodes);
	if (grow_index(t))
		return -1;
	t->cap *= 2;
	if (t->runs_mask + 1 < RUNS_MAX && t->cap / NODES_PER_RUN > t->runs_mask + 1)
		clear_runs(t, t->cap / NODES_PER_RUN); /* a want: with few the tree is but slower */
	return 0;
}

/* The slot of that node, or the empty one where it would go. */
static inline struct ms_node_slot *find(const struct ms_stacktree *t, uint32_t parent, uint64_t ip, uint32_t h)
{
	const struct ms_node *nodes = t->nodes;
	uint32_t at = h >> t->index_shift;
	for (struct ms_node_slot *slot; (slot = &t->index[at])->node; at = index_after(t, at))
		if (slot->hash == h && nodes[slot->node].ip == ip && nodes[slot->node].parent == parent)
			break;
	return &t->index[at];
}

/* The node, a new one if need be. MS_NODE_NONE without memory. */
static inline uint32_t find_or_add(struct ms_stacktree *t, uint32_t parent, uint64_t ip)
{
	uint32_t h = hash(parent, ip);
	struct ms_node_slot *slot = find(t, parent, ip, h);
	if (slot->node)
		return slot->node;
	if (t->n == t->cap) {
		if (grow(t))
			return MS_NODE_NONE;
		slot = find(t, parent, ip, h);
	}
	t->nodes[t->n] = (struct ms_node){.ip = ip, .parent = parent};
	*slot = (struct ms_node_slot){.node = t->n, .hash = h};
	return t->n++;
}

/* Goes the way node by node. */
static uint32_t walk(struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	uint32_t at = path[0];
	for (uint32_t i = 0; i < n; i++) {
		uint32_t child = t->nodes[at].latest;
		if (t->nodes[child].ip != ips[i] || child <= MS_NODE_CUT) {
			child = find_or_add(t, at, ips[i]);
			if (!child)
				return MS_NODE_NONE;
			t->nodes[at].latest = child;
		}
		path[i + 1] = at = child;
	}
	return at;
}

static uint32_t walk_and_remember(struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	uint32_t end = walk(t, path, ips, n);
	if (end == MS_NODE_NONE)
		return end;
	uint64_t key = ms_run_key(path[0], n);
	struct ms_run *run = ms_run_of(t, key, ips, n);
	run->key = key;
	memcpy(run->ips, ips, n * sizeof *ips);
	memcpy(run->nodes, path + 1, n * sizeof *path);
	return end;
}

uint32_t ms_stacktree_go(struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	if (n == 1)
		return walk(t, path, ips, n);
	while (n) {
		uint32_t part = n < MS_RUN_MAX ? n : MS_RUN_MAX;
		if (ms_run_follow(t, path, ips, part) == MS_NODE_NONE &&
			walk_and_remember(t, path, ips, part) == MS_NODE_NONE)
			return MS_NODE_NONE;
		path += part;
		ips += part;
		n -= part;
	}
	__builtin_prefetch(&t->nodes[path[0]]);
	return path[0];
}

/* See stacktree.h. */
#include "stacktree.h"

#include "huge.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_NODES 256u
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
	t->index_mask = FIRST_NODES * 2 - 1;
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

static void index_put(struct ms_stacktree *t, uint32_t node)
{
	uint32_t i = hash(t->nodes[node].parent, t->nodes[node].ip) & t->index_mask;
	while (t->index[i])
		i = (i + 1) & t->index_mask;
	t->index[i] = node;
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
	uint32_t *index = calloc((size_t)t->cap * 4, sizeof *index);
	if (!index)
		return -1;
	free(t->index);
	t->index = index;
	mst_huge_wish(index, (size_t)t->cap * 4 * sizeof *index);
	t->index_mask = t->cap * 4 - 1;
	t->cap *= 2;
	for (uint32_t i = MS_NODE_CUT + 1; i < t->n; i++)
		index_put(t, i);
	if (t->runs_mask + 1 < RUNS_MAX && t->cap / NODES_PER_RUN > t->runs_mask + 1)
		clear_runs(t, t->cap / NODES_PER_RUN); /* a want: with few the tree is but slower */
	return 0;
}

/* A new node. MS_NODE_NONE without memory. */
static __attribute__((noinline)) uint32_t add(struct ms_stacktree *t, uint32_t parent, uint64_t ip)
{
	if (t->n == t->cap && grow(t))
		return MS_NODE_NONE;
	t->nodes[t->n] = (struct ms_node){.ip = ip, .parent = parent};
	index_put(t, t->n);
	return t->n++;
}

/* The node that the hash table has, or 0. */
static inline uint32_t look_up(const struct ms_stacktree *t, uint32_t parent, uint64_t ip)
{
	const struct ms_node *nodes = t->nodes;
	uint32_t i = hash(parent, ip) & t->index_mask, node;
	while ((node = t->index[i]) != 0 && (nodes[node].ip != ip || nodes[node].parent != parent))
		i = (i + 1) & t->index_mask;
	return node;
}

/* Goes the way node by node. Behind a new node all are new: nothing is looked up that cannot be there. */
static uint32_t walk(struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	uint32_t at = path[0], first_new = t->n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t child = t->nodes[at].latest;
		if (t->nodes[child].ip != ips[i] || child <= MS_NODE_CUT) {
			child = at < first_new ? look_up(t, at, ips[i]) : MS_NODE_NONE;
			if (!child && !(child = add(t, at, ips[i])))
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

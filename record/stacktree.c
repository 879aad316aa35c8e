/* See stacktree.h. */
#include "stacktree.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_NODES 256u

int ms_stacktree_init(struct ms_stacktree *t)
{
	memset(t, 0, sizeof *t);
	t->nodes = calloc(FIRST_NODES, sizeof *t->nodes);
	t->index = calloc(FIRST_NODES * 2, sizeof *t->index);
	if (!t->nodes || !t->index) {
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
	uint32_t *index = calloc((size_t)t->cap * 4, sizeof *index);
	if (!index)
		return -1;
	free(t->index);
	t->index = index;
	t->index_mask = t->cap * 4 - 1;
	t->cap *= 2;
	for (uint32_t i = MS_NODE_CUT + 1; i < t->n; i++)
		index_put(t, i);
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

/* Where the memo remembers what stack ended these calls. */
static inline uint32_t *memo_of(struct ms_stacktree *t, uint32_t start, const uint64_t *ips, uint32_t n)
{
	uint64_t h = (ips[n - 1] ^ ips[n / 2] << 20 ^ ips[0] << 40 ^ start ^ (uint64_t)n << 32) * 0x9e3779b97f4a7c15u;
	return &t->memo[h >> (64 - MS_STACKTREE_MEMO_BITS)];
}

/* Does the stack `end` go back to path[0] by these n addresses? Then fills in path. */
static inline bool goes_back(const struct ms_stacktree *t, uint32_t end, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	const struct ms_node *nodes = t->nodes;
	uint32_t at = end, i = n;
	for (; i > 0 && at > MS_NODE_CUT && nodes[at].ip == ips[i - 1]; i--) {
		path[i] = at;
		at = nodes[at].parent;
	}
	return i == 0 && at == path[0];
}

static uint32_t follow(struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	struct ms_node *nodes = t->nodes;
	uint32_t at = path[0];
	for (uint32_t i = 0; i < n; i++) {
		uint32_t child = nodes[at].latest;
		if (nodes[child].ip != ips[i] || child <= MS_NODE_CUT) {
			child = look_up(t, at, ips[i]);
			if (!child && !(child = add(t, at, ips[i])))
				return MS_NODE_NONE;
			nodes = t->nodes;
			nodes[at].latest = child;
		}
		path[i + 1] = at = child;
	}
	return at;
}

uint32_t ms_stacktree_follow(struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	if (n < 2)
		return follow(t, path, ips, n);
	uint32_t *memo = memo_of(t, path[0], ips, n);
	if (!goes_back(t, *memo, path, ips, n))
		*memo = follow(t, path, ips, n);
	return *memo;
}

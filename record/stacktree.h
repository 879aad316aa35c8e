/* stacktree.h - the stacks of one process image, as raw return addresses.
 *
 * A node is "this return address, called from parent"; a stack is its innermost node. Threads send only how
 * their stack differs from the previous one, so per event a few nodes are looked up, and a stack costs one
 * number. Node 0 is "no stack", node 1 the pseudo parent of a cut stack: the numbers mst_stack gives them.
 *
 * A node also remembers what it is in the trace (its stack id there), found when it is first used by an event
 * and valid while the module map it was found by holds: see `era`. */
#ifndef MS_STACKTREE_H
#define MS_STACKTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MS_NODE_NONE 0u
#define MS_NODE_CUT 1u

struct ms_node {
	uint64_t ip;
	uint32_t parent;
	uint32_t latest; /* the child found last: most events meet it again, and this spares the hash table */
	uint32_t stack;	 /* id in the trace, if era matches */
	uint32_t era;	 /* 0 = never resolved */
};

/* Where a node is found by its parent and address. The hash stands here too: what another node's is, most times, tells without a
 * look at the node, which is in no cache. */
struct ms_node_slot {
	uint32_t node; /* 0 = empty */
	uint32_t hash;
};

/* A way gone before: from node `start` by n addresses, over these nodes. Programs go few ways again and again, and this is
 * two neighbouring cache lines for what would be two or three of the tree for each address. */
#define MS_RUN_MAX 10u
struct ms_run {
	uint64_t key; /* ms_run_key; 0 = empty */
	uint64_t ips[MS_RUN_MAX];
	uint32_t nodes[MS_RUN_MAX];
};
_Static_assert(sizeof(struct ms_run) == 128, "a run fills its cache lines");

struct ms_stacktree {
	struct ms_node *nodes;
	uint32_t n, cap; /* n counts nodes 0 and 1; cap doubles */
	struct ms_node_slot *index; /* open addressing; at most half full */
	unsigned index_shift;	    /* of a hash, to become the number of a slot */
	struct ms_run *runs; /* the latest of those that hash to the same place; grows with the tree, up to a limit */
	uint32_t runs_mask;
};

/* 0, or -1 without memory. All zeros is a valid argument for release. */
int ms_stacktree_init(struct ms_stacktree *t);
void ms_stacktree_release(struct ms_stacktree *t);

static inline uint64_t ms_run_key(uint32_t start, uint32_t n)
{
	return (uint64_t)n << 32 | start;
}

/* Where a way of n > 0 addresses is remembered. */
static inline struct ms_run *ms_run_of(const struct ms_stacktree *t, uint64_t key, const uint64_t *ips, uint32_t n)
{
	uint64_t h = (ips[n - 1] ^ ips[n / 2] << 20 ^ ips[0] << 40 ^ key) * 0x9e3779b97f4a7c15u;
	return &t->runs[h >> 40 & t->runs_mask];
}

/* The node at the end of a way, n > 0, if it is remembered: then path is filled in. Else MS_NODE_NONE. */
static inline uint32_t ms_run_follow(const struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	uint64_t key = ms_run_key(path[0], n);
	const struct ms_run *run = ms_run_of(t, key, ips, n);
	uint32_t node = MS_NODE_NONE;
	if (run->key != key)
		return MS_NODE_NONE;
	for (uint32_t i = 0; i < n; i++) {
		if (run->ips[i] != ips[i])
			return MS_NODE_NONE;
		path[i + 1] = node = run->nodes[i];
	}
	return node;
}

/* ms_stacktree_follow, if it is no single way gone before. */
uint32_t ms_stacktree_go(struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n);

/* Goes from path[0], an existing node or NONE or CUT, by n return addresses, outermost first; makes nodes that are new.
 * path[i] becomes the node of the first i. The last one, or MS_NODE_NONE without memory (also if n is 0 and path[0] is that). */
static inline uint32_t ms_stacktree_follow(struct ms_stacktree *t, uint32_t *path, const uint64_t *ips, uint32_t n)
{
	uint32_t node = n - 2 < MS_RUN_MAX - 1 ? ms_run_follow(t, path, ips, n) : MS_NODE_NONE;
	if (node == MS_NODE_NONE)
		return ms_stacktree_go(t, path, ips, n);
	__builtin_prefetch(&t->nodes[node]); /* the translator will want it */
	return node;
}

#endif

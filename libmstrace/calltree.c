/* calltree.c - weights per call stack, folded into one tree of functions by name.
 *
 * Weights are collected per stack id first, in a plain array: adding costs one addition. The tree is built
 * once, in mst_calltree_finish(), when the names are known:
 *
 *     stacks    1 <- 2 <- 5         ids, parent < id (the reader checked; checked again here)
 *     frames         [main] [run, step (inlined)]        one code address = one or more functions
 *     nodes     root -> main -> run -> step
 *
 * Since parents have smaller ids, one walk down the ids marks the stacks that lead to a weight, and one walk
 * up gives each of them its node: the parent's node, then one step per function, outermost first. Nothing
 * recurses, whatever the depth; work and memory are O(stacks + functions in marked stacks). A child is found
 * by a hash of (parent node, name). The name of a function is its string and its module: two call sites in
 * one function, or a function inlined here and called there, are one node below the same caller. A function
 * that is not known is named by its code address. */
#include "mstrace.h"

#include <stdlib.h>
#include <string.h>

#define ROOT 0u

struct rank { /* a node's place among its siblings */
	uint64_t total;
	uint32_t parent, node;
};

struct mst_calltree {
	const struct mst_reader *reader;
	uint64_t *weights; /* by stack id */
	uint32_t n_stacks, cap_stacks;
	struct mst_callnode *nodes;
	uint32_t n_nodes, cap_nodes;
	uint32_t *slots; /* 2^slot_bits, open addressing: index of a node other than the root, 0 = empty */
	unsigned slot_bits;
	bool is_finished;
};

static uint64_t hash(uint32_t parent, const struct mst_callnode *key)
{
	uint64_t h = (uint64_t)parent * UINT64_C(0x9E3779B97F4A7C15);
	h ^= ((uint64_t)key->function << 32 | key->module) + (h >> 29);
	h *= UINT64_C(0xBF58476D1CE4E5B9);
	h ^= ((uint64_t)key->code << 1 | key->is_cut) + (h >> 32);
	h *= UINT64_C(0x94D049BB133111EB);
	return h ^ h >> 31;
}

static bool is_same_name(const struct mst_callnode *a, const struct mst_callnode *b)
{
	if (a->function != b->function || a->module != b->module || a->is_cut != b->is_cut)
		return false;
	return a->function != 0 || a->code == b->code;
}

/* The slot of the child of `parent` named as *key, in which code is 0 unless it belongs to the name. */
static uint32_t *find_slot(const struct mst_calltree *t, uint32_t parent, const struct mst_callnode *key)
{
	uint32_t mask = (uint32_t)((UINT64_C(1) << t->slot_bits) - 1);
	uint32_t i = (uint32_t)hash(parent, key) & mask;
	while (t->slots[i] != 0) {
		const struct mst_callnode *n = &t->nodes[t->slots[i]];
		if (n->parent == parent && is_same_name(n, key))
			break;
		i = (i + 1) & mask;
	}
	return &t->slots[i];
}

static struct mst_callnode name_of(const struct mst_callnode *n)
{
	struct mst_callnode key = *n;
	if (key.function)
		key.code = 0;
	return key;
}

static int resize_slots(struct mst_calltree *t, unsigned bits)
{
	uint32_t *slots = calloc((size_t)1 << bits, sizeof *slots);
	if (!slots)
		return MST_ENOMEM;
	free(t->slots);
	t->slots = slots;
	t->slot_bits = bits;
	for (uint32_t i = 1; i < t->n_nodes; i++) {
		struct mst_callnode key = name_of(&t->nodes[i]);
		*find_slot(t, t->nodes[i].parent, &key) = i;
	}
	return 0;
}

static int append_node(struct mst_calltree *t, const struct mst_callnode *node)
{
	if (t->n_nodes == t->cap_nodes) {
		if (t->cap_nodes > UINT32_MAX / 4)
			return MST_ENOMEM;
		uint32_t cap = t->cap_nodes ? t->cap_nodes * 2 : 256;
		struct mst_callnode *nodes = realloc(t->nodes, cap * sizeof *nodes);
		if (!nodes)
			return MST_ENOMEM;
		t->nodes = nodes;
		t->cap_nodes = cap;
	}
	t->nodes[t->n_nodes++] = *node;
	return 0;
}

/* *at: in, the caller's node; out, that of the function described by *node, made if need be. */
static int step(struct mst_calltree *t, uint32_t *at, const struct mst_callnode *node)
{
	if (t->n_nodes > (UINT64_C(1) << t->slot_bits) / 2) {
		int rc = resize_slots(t, t->slot_bits + 1);
		if (rc < 0)
			return rc;
	}
	struct mst_callnode key = name_of(node);
	uint32_t *slot = find_slot(t, *at, &key);
	if (*slot == 0) {
		struct mst_callnode fresh = *node;
		fresh.parent = *at;
		int rc = append_node(t, &fresh);
		if (rc < 0)
			return rc;
		*slot = t->n_nodes - 1;
	}
	*at = *slot;
	t->nodes[*at].is_inlined &= node->is_inlined; /* only if it is so everywhere */
	return 0;
}

/* Steps through the functions at a code address, outermost first. */
static int step_code(struct mst_calltree *t, uint32_t *at, uint32_t code)
{
	const struct mst_code *c = mst_reader_code(t->reader, code);
	size_t n;
	const struct mst_symbol *symbols = mst_reader_symbols(t->reader, code, &n);
	struct mst_callnode node = {.module = c ? c->module : 0, .code = code};
	if (n == 0)
		return step(t, at, &node);
	int rc = 0;
	while (n-- > 0 && rc == 0) {
		node.function = symbols[n].function;
		node.file = symbols[n].file;
		node.line = symbols[n].line;
		node.is_inlined = symbols[n].is_inlined;
		rc = step(t, at, &node);
	}
	return rc;
}

/* Parent of a stack, MST_STACK_NONE also where the table is wrong or has a hole. */
static uint32_t parent_of(const struct mst_calltree *t, uint32_t stack)
{
	const struct mst_stack *s = mst_reader_stack(t->reader, stack);
	return stack > MST_STACK_CUT && s && s->parent < stack ? s->parent : MST_STACK_NONE;
}

static int step_stack(struct mst_calltree *t, uint32_t *at, uint32_t stack)
{
	if (stack == MST_STACK_CUT) {
		struct mst_callnode cut = {.is_cut = true};
		return step(t, at, &cut);
	}
	const struct mst_stack *s = mst_reader_stack(t->reader, stack);
	return s ? step_code(t, at, s->code) : 0;
}

/* Places every stack in the tree that has a weight or leads to one that has. node_of is zero (the root). */
static int build(struct mst_calltree *t, uint32_t *node_of, bool *is_needed)
{
	for (uint32_t id = t->n_stacks; id-- > 1;) {
		is_needed[id] |= t->weights[id] != 0;
		if (is_needed[id])
			is_needed[parent_of(t, id)] = true;
	}
	if (t->n_stacks)
		t->nodes[ROOT].self = t->weights[MST_STACK_NONE];
	for (uint32_t id = 1; id < t->n_stacks; id++) {
		if (!is_needed[id])
			continue;
		node_of[id] = node_of[parent_of(t, id)];
		int rc = step_stack(t, &node_of[id], id);
		if (rc < 0)
			return rc;
		t->nodes[node_of[id]].self += t->weights[id];
	}
	return 0;
}

static void sum_totals(struct mst_calltree *t)
{
	for (uint32_t i = 0; i < t->n_nodes; i++)
		t->nodes[i].total = t->nodes[i].self;
	for (uint32_t i = t->n_nodes; i-- > 1;)
		t->nodes[t->nodes[i].parent].total += t->nodes[i].total;
}

/* Reverse order of the sibling lists, which are then built by pushing in front. */
static int compare_rank(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;
	if (x->total != y->total)
		return x->total < y->total ? -1 : 1;
	return x->node > y->node ? -1 : x->node < y->node;
}

static int link_children(struct mst_calltree *t)
{
	struct rank *order = malloc(t->n_nodes * sizeof *order);
	if (!order)
		return MST_ENOMEM;
	for (uint32_t i = 0; i < t->n_nodes; i++)
		order[i] = (struct rank){t->nodes[i].total, t->nodes[i].parent, i};
	qsort(order + 1, t->n_nodes - 1, sizeof *order, compare_rank);
	for (uint32_t i = 1; i < t->n_nodes; i++) {
		struct mst_callnode *parent = &t->nodes[order[i].parent];
		t->nodes[order[i].node].next_sibling = parent->first_child;
		parent->first_child = order[i].node;
	}
	free(order);
	return 0;
}

/* ---- public -------------------------------------------------------------------------------------------- */

int mst_calltree_new(const struct mst_reader *r, struct mst_calltree **out)
{
	struct mst_calltree *t = calloc(1, sizeof *t);
	if (!t)
		return MST_ENOMEM;
	t->reader = r;
	int rc = append_node(t, &(struct mst_callnode){0});
	if (rc == 0)
		rc = resize_slots(t, 10);
	if (rc < 0) {
		mst_calltree_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

void mst_calltree_free(struct mst_calltree *t)
{
	if (!t)
		return;
	free(t->weights);
	free(t->nodes);
	free(t->slots);
	free(t);
}

static int hold_stack(struct mst_calltree *t, uint32_t stack)
{
	if (stack >= t->cap_stacks) {
		size_t cap = (size_t)stack + stack / 2 + 64;
		if (cap > UINT32_MAX)
			cap = UINT32_MAX;
		if (stack >= cap)
			return MST_ENOMEM;
		uint64_t *weights = realloc(t->weights, cap * sizeof *weights);
		if (!weights)
			return MST_ENOMEM;
		t->weights = weights;
		t->cap_stacks = (uint32_t)cap;
	}
	memset(t->weights + t->n_stacks, 0, (stack + 1 - t->n_stacks) * sizeof *t->weights);
	t->n_stacks = stack + 1;
	return 0;
}

int mst_calltree_add(struct mst_calltree *t, uint32_t stack, uint64_t weight)
{
	if (t->is_finished)
		return MST_EARG;
	if (stack > mst_reader_n_stacks(t->reader) && stack != MST_STACK_CUT)
		stack = MST_STACK_NONE; /* its entry is lost */
	int rc = stack >= t->n_stacks ? hold_stack(t, stack) : 0;
	if (rc == 0)
		t->weights[stack] += weight;
	return rc;
}

const struct mst_callnode *mst_calltree_finish(struct mst_calltree *t, uint32_t *n_nodes)
{
	uint32_t *node_of = calloc(t->n_stacks + (size_t)1, sizeof *node_of);
	bool *is_needed = calloc(t->n_stacks + (size_t)1, sizeof *is_needed);
	int rc = node_of && is_needed ? 0 : MST_ENOMEM;
	if (rc == 0 && !t->is_finished) {
		rc = build(t, node_of, is_needed);
		sum_totals(t);
		if (rc == 0)
			rc = link_children(t);
		t->is_finished = true;
	}
	free(node_of);
	free(is_needed);
	*n_nodes = rc == 0 ? t->n_nodes : 0;
	return rc == 0 ? t->nodes : NULL;
}

/* What a picture is drawn from: a tree of stack frames with weights, and a few sentences about the trace.
 * Nothing here knows files or replay; nothing that draws knows more than this.
 *
 * The tree is an array. Node 0 is the root and stands for everything; the order of the others means nothing,
 * walks follow the links. Invariants, which whoever fills it must keep:
 *	total = self + the sum of the children's totals        (saturating at UINT64_MAX)
 *	first_child, next_sibling, parent are node indices; 0 means none
 * All strings are borrowed, raw bytes from the trace: they go through an escape function, always. */
#ifndef MS_RENDER_VIEW_H
#define MS_RENDER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view_text {
	const char *s; /* NULL: unknown */
	size_t n;
};

struct view_node {
	uint32_t parent, first_child, next_sibling;
	struct view_text name;	 /* the function, or module+0xoffset */
	struct view_text module; /* path */
	struct view_text file;
	uint32_t line; /* 0: unknown */
	bool is_inlined;
	bool is_cut; /* stands for callers that are not known */
	uint64_t self, total;
};

enum view_unit { VIEW_BYTES, VIEW_ALLOCATIONS };

struct view_tree {
	const struct view_node *nodes; /* at least the root */
	uint32_t n_nodes;
	enum view_unit unit;
};

/* For captions. */
struct view_facts {
	const char *title;   /* "Bytes live at the peak: sqlite3 bench.db" */
	const char *caption; /* "12.3 s, 1,234,567 events, 2 processes" */
	const char *gaps;    /* what is missing from the trace; NULL when nothing is */
};

/* The node after `at` in depth-first order, parents before children, within the whole tree; 0 after the last.
 * With skip, the descendants of `at` are passed over. Adds the change of depth to *depth. */
static inline uint32_t view_next(const struct view_node *nodes, uint32_t at, bool skip, uint32_t *depth)
{
	if (!skip && nodes[at].first_child) {
		++*depth;
		return nodes[at].first_child;
	}
	while (at && !nodes[at].next_sibling) {
		at = nodes[at].parent;
		--*depth;
	}
	return at ? nodes[at].next_sibling : 0;
}

#endif

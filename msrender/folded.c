/* The line so far is kept as one text and cut back to the length it had at each level: no path is collected
 * twice. */
#include "folded.h"

#include "escape.h"
#include "room.h"

#include <stdlib.h>

static uint32_t tree_depth(const struct view_tree *tree)
{
	uint32_t depth = 0, deepest = 0, at = 0;

	do {
		deepest = depth > deepest ? depth : deepest;
		at = view_next(tree->nodes, at, false, &depth);
	} while (at);
	return deepest;
}

void folded_write(const struct view_tree *tree, struct ms_out *out)
{
	size_t *length = ms_zeroed((size_t)tree_depth(tree) + 2, sizeof(*length));
	struct ms_out line;
	uint32_t depth = 0, at = 0;

	ms_out_init_memory(&line);
	/* length[d] is that of the text above level d; the root has none, nor its callees a leading ';'. */
	while ((at = view_next(tree->nodes, at, false, &depth)) != 0) {
		const struct view_node *n = &tree->nodes[at];

		line.len = length[depth];
		if (depth > 1)
			ms_out_char(&line, ';');
		ms_escape_folded(&line, n->name.s, n->name.n);
		length[depth + 1] = line.len;
		if (n->self) {
			ms_out_write(out, line.buf, line.len);
			ms_out_char(out, ' ');
			ms_out_u64(out, n->self);
			ms_out_char(out, '\n');
		}
	}
	if (tree->nodes[0].self) {
		ms_out_str(out, "[no stack] ");
		ms_out_u64(out, tree->nodes[0].self);
		ms_out_char(out, '\n');
	}
	ms_out_release(&line);
	free(length);
}

/* The flamegraph: one box per function of the call tree, as wide as its weight, callees on their callers.
 *
 * The SVG stands alone: it is a complete picture without scripts, and with them (in a browser, from a file,
 * without a network) it zooms, searches, resets and is driven by keyboard. Its size is bounded whatever the
 * trace: what is too narrow to see is drawn as one "…" per caller, and the caption says how much that is. */
#ifndef MS_RENDER_FLAME_H
#define MS_RENDER_FLAME_H

#include "out.h"
#include "view.h"

struct flame_options {
	uint64_t width;	   /* pixels, at least FLAME_MIN_WIDTH */
	bool is_inverted;  /* icicle: the root on top */
};

enum { FLAME_MIN_WIDTH = 300, FLAME_DEFAULT_WIDTH = 1200, FLAME_MAX_WIDTH = 20000 };

/* Writes the SVG. Out of memory ends the tool. */
void flame_draw(const struct view_tree *tree, const struct view_facts *facts, const struct flame_options *opt,
	struct ms_out *out);

#endif

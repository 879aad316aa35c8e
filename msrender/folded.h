/* Collapsed stacks, one line each: "outermost;...;innermost weight", as flamegraph.pl, speedscope and inferno
 * read them. Only nodes with a weight of their own make a line. */
#ifndef MS_RENDER_FOLDED_H
#define MS_RENDER_FOLDED_H

#include "out.h"
#include "view.h"

void folded_write(const struct view_tree *tree, struct ms_out *out);

#endif

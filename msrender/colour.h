/* Colours that mean the same in every picture: a module has its hue, a function its shade of it, whatever
 * else is in the trace. */
#ifndef MS_RENDER_COLOUR_H
#define MS_RENDER_COLOUR_H

#include "view.h"

/* 0xrrggbb, light enough for black text. Unknown module: grey. */
uint32_t colour_of_function(struct view_text module, struct view_text function);

#endif

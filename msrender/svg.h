/* Shapes to SVG text. Every string is escaped here; nothing else in msrender writes markup.
 * Coordinates are user units (pixels at natural size), written with at most four decimals. */
#ifndef MS_RENDER_SVG_H
#define MS_RENDER_SVG_H

#include "out.h"

struct svg {
	struct ms_out *out;
};

struct svg_box {
	double x, y, w, h;
};

/* Starts the document. title is its accessible name; style is CSS of ours. */
void svg_begin(struct svg *s, struct ms_out *out, double width, double height, const char *title,
	const char *style);

/* Ends the document; script is JavaScript of ours (without "]]>"), or NULL. */
void svg_end(struct svg *s, const char *script);

/* A group with a class (NULL: none). */
void svg_group(struct svg *s, const char *class);
void svg_group_end(struct svg *s);

/* A tooltip for the group just begun. */
void svg_tooltip(struct svg *s, const char *text, size_t n);

/* rgb is 0xrrggbb; or colour by class with rgb SVG_BY_CLASS. */
#define SVG_BY_CLASS UINT32_MAX
void svg_rect(struct svg *s, struct svg_box box, uint32_t rgb, const char *class);

void svg_text(struct svg *s, double x, double y, const char *class, const char *text, size_t n);

#endif

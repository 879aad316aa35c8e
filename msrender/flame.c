/* Layout in one depth-first walk without recursion: a node's x is its caller's x plus the widths of the
 * siblings drawn before it. Only nodes of at least `least` weight within MAX_LEVELS are drawn; since a callee
 * never outweighs its caller, these form a tree, and `least` doubles until there are few enough of them.
 *
 * The boxes come in depth-first order, and the script rebuilds the tree from that order and the heights
 * alone: no ids, no second copy of the data. */
#include "flame.h"

#include "colour.h"
#include "escape.h"
#include "flame_script.h"
#include "room.h"
#include "svg.h"
#include "units.h"

#include <stdlib.h>

enum {
	ROW = 17,	  /* pixels from one level to the next */
	BOX = 16,	  /* height of a box */
	MARGIN = 10,	  /* left and right */
	HEAD = 84,	  /* title, captions, controls above the boxes */
	FOOT = 30,	  /* details below them */
	CONTROLS = 300,	  /* width that the script's search field takes, top right */
	MAX_BOXES = 10000,
	MAX_LEVELS = 1000,
};

/* Of the 12-pixel monospaced fonts browsers choose; the script has the same number. The title has 15. */
static const double char_width = 7.3, title_char_width = 9.1;

struct flame {
	const struct view_tree *tree;
	const struct flame_options *opt;
	struct svg svg;
	uint64_t least;	      /* weight of the lightest node that is drawn */
	uint32_t n_left_out;  /* nodes that are not */
	uint64_t weight_left_out; /* their weight, the callees' not counted twice */
	uint32_t max_depth;
	double *x;	      /* by level: where the next box begins */
	double scale;	      /* pixels per unit of weight */
	struct ms_out scratch;
};

static void print_weight(struct ms_out *o, const struct view_tree *tree, uint64_t weight)
{
	if (tree->unit == VIEW_BYTES) {
		ms_print_size(o, weight);
	} else {
		ms_print_count(o, weight);
		ms_out_str(o, weight == 1 ? " allocation" : " allocations");
	}
}

static double share(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static bool is_drawn(const struct flame *f, uint32_t at, uint32_t depth)
{
	return at == 0 || (f->tree->nodes[at].total >= f->least && depth <= MAX_LEVELS);
}

/* Counts what is drawn and what is not under f->least. */
static uint32_t measure(struct flame *f)
{
	const struct view_node *nodes = f->tree->nodes;
	uint32_t depth = 0, n_drawn = 0, at = 0;

	f->max_depth = 0;
	f->weight_left_out = 0;
	do {
		bool is_shown = is_drawn(f, at, depth);

		if (is_shown) {
			n_drawn++;
			f->max_depth = depth > f->max_depth ? depth : f->max_depth;
		} else {
			f->weight_left_out += nodes[at].total;
		}
		at = view_next(nodes, at, !is_shown, &depth);
	} while (at);
	f->n_left_out = f->tree->n_nodes - n_drawn;
	return n_drawn;
}

/* At first 0.05 % of the whole, or half a pixel if that is more. */
static void choose_least(struct flame *f)
{
	uint64_t total = f->tree->nodes[0].total;
	uint64_t half_pixel = total / (2 * f->opt->width);

	f->least = total / 2000 > half_pixel ? total / 2000 : half_pixel;
	f->least += f->least == 0;
	while (measure(f) > MAX_BOXES)
		f->least *= 2;
}

static double level_y(const struct flame *f, uint32_t depth)
{
	return HEAD + ROW * (double)(f->opt->is_inverted ? depth : f->max_depth + 1 - depth);
}

/* "name (module)", file and line, weights: a line each; the name's line first, for the script. */
static void describe(struct flame *f, const struct view_node *n)
{
	struct ms_out *o = &f->scratch;
	uint64_t whole = f->tree->nodes[0].total;

	o->len = 0;
	ms_escape_text(o, n->name.s, n->name.n);
	ms_out_char(o, '\n');
	if (n->is_inlined)
		ms_out_str(o, "inlined, ");
	print_weight(o, f->tree, n->total);
	ms_out_printf(o, ", %.2f %%", share(n->total, whole));
	if (n->self && n->first_child) {
		ms_out_str(o, ", self ");
		print_weight(o, f->tree, n->self);
	}
	if (n->file.n) {
		ms_out_char(o, '\n');
		ms_escape_text(o, n->file.s, n->file.n);
		if (n->line)
			ms_out_printf(o, ":%u", n->line);
	}
	if (n->module.n) {
		ms_out_char(o, '\n');
		ms_escape_text(o, n->module.s, n->module.n);
	}
}

/* s as visible text in f->scratch, cut to so many columns. */
static void fit_text(struct flame *f, const char *s, size_t n, size_t columns)
{
	struct ms_out *o = &f->scratch;

	o->len = 0;
	ms_escape_text(o, s, n);
	if (ms_text_prefix(ms_out_text(o), o->len, columns) == o->len)
		return;
	o->len = ms_text_prefix(o->buf, o->len, columns - 1);
	ms_out_str(o, "…");
}

static void draw_label(struct flame *f, struct svg_box box, const char *s, size_t n)
{
	size_t columns = box.w > 6 ? (size_t)((box.w - 6) / char_width) : 0;

	if (columns < 3)
		return;
	fit_text(f, s, n, columns);
	svg_text(&f->svg, box.x + 3, box.y + 12, NULL, f->scratch.buf, f->scratch.len);
}

static void draw_node(struct flame *f, const struct view_node *n, struct svg_box box)
{
	svg_group(&f->svg, n->is_cut ? "cut" : n->is_inlined ? "inl" : NULL);
	describe(f, n);
	svg_tooltip(&f->svg, f->scratch.buf, f->scratch.len);
	svg_rect(&f->svg, box, n->is_cut ? SVG_BY_CLASS : colour_of_function(n->module, n->name), NULL);
	draw_label(f, box, n->name.s, n->name.n);
	svg_group_end(&f->svg);
}

/* One box for all callees of `n` that are too light. It comes after the drawn ones; first its weight. */
static void draw_rest(struct flame *f, const struct view_node *n, uint32_t depth)
{
	uint64_t weight = 0;
	uint32_t count = 0;
	struct svg_box box = {f->x[depth], level_y(f, depth), 0, BOX};

	for (uint32_t c = n->first_child; c; c = f->tree->nodes[c].next_sibling)
		if (!is_drawn(f, c, depth)) {
			weight += f->tree->nodes[c].total;
			count++;
		}
	if (weight < f->least)
		return;
	box.w = (double)weight * f->scale;
	svg_group(&f->svg, "rest");
	f->scratch.len = 0;
	ms_out_printf(&f->scratch, "…\n%u callees folded: ", count);
	print_weight(&f->scratch, f->tree, weight);
	ms_out_printf(&f->scratch, ", %.2f %%", share(weight, f->tree->nodes[0].total));
	svg_tooltip(&f->svg, f->scratch.buf, f->scratch.len);
	svg_rect(&f->svg, box, SVG_BY_CLASS, NULL);
	svg_group_end(&f->svg);
}

/* Depth-first; "…" of a caller follows its drawn callees, when the walk leaves it. */
static void draw_nodes(struct flame *f)
{
	const struct view_node *nodes = f->tree->nodes;
	uint32_t at = 0, depth = 0;

	f->x[0] = MARGIN;
	for (;;) {
		if (is_drawn(f, at, depth)) {
			struct svg_box box = {
				f->x[depth], level_y(f, depth), (double)nodes[at].total * f->scale, BOX};

			draw_node(f, &nodes[at], box);
			f->x[depth + 1] = f->x[depth];
			f->x[depth] += box.w;
			if (nodes[at].first_child) {
				at = nodes[at].first_child;
				depth++;
				continue;
			}
		}
		while (at && !nodes[at].next_sibling) {
			at = nodes[at].parent;
			draw_rest(f, &nodes[at], depth--);
		}
		if (!at)
			return;
		at = nodes[at].next_sibling;
	}
}

static void draw_line(struct flame *f, double y, const char *class, const char *text)
{
	svg_text(&f->svg, MARGIN, y, class, text, strlen(text));
	ms_out_char(f->svg.out, '\n');
}

/* The command may be long: the tooltip has it whole. */
static void draw_title(struct flame *f, const char *title)
{
	double width = (double)f->opt->width - 2 * MARGIN - CONTROLS;
	size_t columns = width > 10 * title_char_width ? (size_t)(width / title_char_width) : 10;

	svg_group(&f->svg, NULL);
	svg_tooltip(&f->svg, title, strlen(title));
	fit_text(f, title, strlen(title), columns);
	draw_line(f, 22, "title", ms_out_text(&f->scratch));
	svg_group_end(&f->svg);
}

/* "1,418 of 387,538 stack frames are lighter than 484 KiB and folded into … (285 MiB, 30.14 %)" */
static void draw_note(struct flame *f)
{
	struct ms_out *o = &f->scratch;

	o->len = 0;
	ms_print_count(o, f->n_left_out);
	ms_out_str(o, " of ");
	ms_print_count(o, f->tree->n_nodes);
	ms_out_str(o, " stack frames are lighter than ");
	print_weight(o, f->tree, f->least);
	ms_out_printf(
		o, "%s and folded into … (", f->max_depth == MAX_LEVELS ? ", or above level 1000," : "");
	print_weight(o, f->tree, f->weight_left_out);
	ms_out_printf(o, ", %.2f %%)", share(f->weight_left_out, f->tree->nodes[0].total));
	draw_line(f, 56, "note", ms_out_text(o));
}

static void draw_captions(struct flame *f, const struct view_facts *facts)
{
	draw_title(f, facts->title);
	f->scratch.len = 0;
	print_weight(&f->scratch, f->tree, f->tree->nodes[0].total);
	ms_out_printf(&f->scratch, " in all · %s", facts->caption);
	draw_line(f, 40, NULL, ms_out_text(&f->scratch));
	if (f->n_left_out)
		draw_note(f);
	if (facts->gaps)
		draw_line(f, 72, "gaps", facts->gaps);
}

static const char style[] =
	":root{--paper:#fff;--ink:#222;--faint:#666;--line:#fff;--hit:#d63ad6}\n"
	"@media(prefers-color-scheme:dark){:root{--paper:#1c1c1e;--ink:#eee;--faint:#aaa;--line:#1c1c1e}}\n"
	"svg{background:var(--paper)}\n"
	"text{font:12px monospace;fill:var(--ink)}\n"
	".title{font-size:15px;font-weight:bold}\n"
	".note{fill:var(--faint)}\n"
	".gaps{fill:#d22;font-weight:bold}\n"
	".frames text{fill:#111;pointer-events:none}\n"
	".frames g{cursor:pointer}\n"
	".frames rect{stroke:var(--line);stroke-width:.5}\n"
	".inl text{font-style:italic}\n"
	".inl rect{stroke:#333;stroke-dasharray:3 2}\n"
	".frames .cut rect{fill:#bbb}\n"
	".frames .rest{cursor:default}\n"
	".rest rect{fill:#999;fill-opacity:.45}\n"
	".above rect{fill-opacity:.5}\n"
	".frames .hit rect{fill:var(--hit)}\n"
	".frames .at rect{stroke:#000;stroke-width:1.5}\n"
	".frames g:hover rect{stroke:#000;stroke-width:1}\n"
	".gone{display:none}\n"
	".backdrop{fill:var(--paper);fill-opacity:.9}\n"
	".button{cursor:pointer;text-decoration:underline}\n"
	"input{font:12px monospace;box-sizing:border-box;width:100%;height:100%;"
	"border:1px solid #888;padding:0 4px;background:var(--paper);color:var(--ink)}\n";

void flame_draw(const struct view_tree *tree, const struct view_facts *facts, const struct flame_options *opt,
	struct ms_out *out)
{
	struct flame f = {.tree = tree, .opt = opt};
	uint64_t total = tree->nodes[0].total;

	choose_least(&f);
	f.x = ms_zeroed((size_t)f.max_depth + 2, sizeof(*f.x));
	ms_out_init_memory(&f.scratch);
	f.scale = total ? ((double)opt->width - 2 * MARGIN) / (double)total : 0;
	svg_begin(&f.svg, out, (double)opt->width, HEAD + ROW * ((double)f.max_depth + 2) + FOOT,
		facts->title, style);
	draw_captions(&f, facts);
	svg_group(&f.svg, opt->is_inverted ? "frames inverted" : "frames");
	ms_out_char(out, '\n');
	draw_nodes(&f);
	svg_group_end(&f.svg);
	svg_end(&f.svg, flame_script);
	ms_out_release(&f.scratch);
	free(f.x);
}

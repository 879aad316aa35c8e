/* Numbers are printed from integers: locale-proof, without trailing zeros, and a third of printf's time. */
#include "svg.h"

#include "escape.h"

#include <math.h>

static void write_number(struct ms_out *o, double v)
{
	uint64_t scaled = v > 0 ? (uint64_t)llround(v * 10000) : 0;
	unsigned fraction = (unsigned)(scaled % 10000);
	unsigned digit = 1000;

	ms_out_u64(o, scaled / 10000);
	if (fraction)
		ms_out_char(o, '.');
	for (; fraction; digit /= 10) {
		ms_out_char(o, (char)('0' + fraction / digit));
		fraction %= digit;
	}
}

static void write_attribute(struct ms_out *o, const char *name, double v)
{
	ms_out_printf(o, " %s=\"", name);
	write_number(o, v);
	ms_out_char(o, '"');
}

static void write_class(struct ms_out *o, const char *class)
{
	if (class)
		ms_out_printf(o, " class=\"%s\"", class);
}

void svg_begin(
	struct svg *s, struct ms_out *out, double width, double height, const char *title, const char *style)
{
	s->out = out;
	ms_out_str(
		out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"");
	write_attribute(out, "width", width);
	write_attribute(out, "height", height);
	ms_out_str(out, " viewBox=\"0 0 ");
	write_number(out, width);
	ms_out_char(out, ' ');
	write_number(out, height);
	ms_out_str(out, "\">\n<title>");
	ms_escape_xml(out, title, strlen(title));
	ms_out_printf(out, "</title>\n<style><![CDATA[\n%s]]></style>\n", style);
}

void svg_end(struct svg *s, const char *script)
{
	if (script) {
		ms_out_str(s->out, "<script><![CDATA[\n");
		ms_out_str(s->out, script);
		ms_out_str(s->out, "]]></script>\n");
	}
	ms_out_str(s->out, "</svg>\n");
}

void svg_group(struct svg *s, const char *class)
{
	ms_out_str(s->out, "<g");
	write_class(s->out, class);
	ms_out_char(s->out, '>');
}

void svg_group_end(struct svg *s)
{
	ms_out_str(s->out, "</g>\n");
}

void svg_tooltip(struct svg *s, const char *text, size_t n)
{
	ms_out_str(s->out, "<title>");
	/* Lines of a tooltip are ours, made by the caller from escaped pieces; each is escaped on its own. */
	for (size_t i = 0; i <= n;) {
		const char *end = memchr(text + i, '\n', n - i);
		size_t len = end ? (size_t)(end - (text + i)) : n - i;

		ms_escape_xml(s->out, text + i, len);
		if (end)
			ms_out_char(s->out, '\n');
		i += len + 1;
	}
	ms_out_str(s->out, "</title>");
}

void svg_rect(struct svg *s, struct svg_box box, uint32_t rgb, const char *class)
{
	ms_out_str(s->out, "<rect");
	write_class(s->out, class);
	write_attribute(s->out, "x", box.x);
	write_attribute(s->out, "y", box.y);
	write_attribute(s->out, "width", box.w);
	write_attribute(s->out, "height", box.h);
	if (rgb != SVG_BY_CLASS)
		ms_out_printf(s->out, " fill=\"#%06x\"", rgb & 0xffffff);
	ms_out_str(s->out, "/>");
}

void svg_text(struct svg *s, double x, double y, const char *class, const char *text, size_t n)
{
	ms_out_str(s->out, "<text");
	write_class(s->out, class);
	write_attribute(s->out, "x", x);
	write_attribute(s->out, "y", y);
	ms_out_char(s->out, '>');
	ms_escape_xml(s->out, text, n);
	ms_out_str(s->out, "</text>");
}

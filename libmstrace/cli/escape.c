/* All escapers are one loop over *pieces*: next_piece() cuts the input into a valid, visible character, an
 * invisible character, or a single bad byte. An output then only says what it does with each of the three.
 *
 * Plain printable ASCII, nearly everything in practice, is copied in runs. */
#include "escape.h"

#include <strings.h>

enum piece_kind {
	PIECE_PLAIN,	 /* a valid character that is safe to show */
	PIECE_INVISIBLE, /* a valid code point that is a control or invisible or non-character */
	PIECE_BYTE,	 /* one byte that is not part of valid UTF-8 */
};

struct piece {
	enum piece_kind kind;
	uint32_t code; /* the code point, or the byte */
	size_t n;      /* bytes of input */
};

struct range {
	uint32_t first, last;
};

/* Code points that draw nothing, or reorder or hide what is around them, or are no characters at all: the
 * Unicode categories Cc, Cf, Zl and Zp, fillers, variation selectors, non-characters. */
static const struct range invisible[] = {
	{0x00, 0x1f},	    {0x7f, 0x9f},	{0xad, 0xad},	    {0x34f, 0x34f},	{0x600, 0x605},
	{0x61c, 0x61c},	    {0x6dd, 0x6dd},	{0x70f, 0x70f},	    {0x890, 0x891},	{0x8e2, 0x8e2},
	{0x115f, 0x1160},   {0x17b4, 0x17b5},	{0x180b, 0x180f},   {0x200b, 0x200f},	{0x2028, 0x202e},
	{0x2060, 0x206f},   {0x3164, 0x3164},	{0xfdd0, 0xfdef},   {0xfe00, 0xfe0f},	{0xfeff, 0xfeff},
	{0xffa0, 0xffa0},   {0xfff0, 0xfffb},	{0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f},
	{0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

static const struct range zero_width[] = {
	{0x300, 0x36f},	  {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},	{0x64b, 0x65f},
	{0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe20, 0xfe2f},
};

static const struct range double_width[] = {
	{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},	{0xf900, 0xfaff},   {0xfe30, 0xfe6f},
	{0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
};

#define IN_RANGES(code, ranges) in_ranges(code, ranges, sizeof(ranges) / sizeof((ranges)[0]))

static bool in_ranges(uint32_t code, const struct range *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (code >= r[i].first && code <= r[i].last)
			return true;
	return false;
}

static bool is_ascii_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f;
}

/* Length of the valid UTF-8 character at s (2 to 4 bytes), or 0. No overlongs, no surrogates, <= U+10FFFF. */
static size_t decode_multibyte(const unsigned char *s, size_t n, uint32_t *code)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	uint32_t c;

	if (len == 0 || s[0] > 0xf4 || len > n)
		return 0;
	c = s[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return len;
}

static struct piece next_piece(const char *bytes, size_t n)
{
	const unsigned char *s = (const unsigned char *)bytes;
	struct piece p = {PIECE_PLAIN, s[0], 1};

	if (is_ascii_plain(s[0]))
		return p;
	if (s[0] >= 0x80) {
		p.n = decode_multibyte(s, n, &p.code);
		if (p.n == 0)
			return (struct piece){PIECE_BYTE, s[0], 1};
	}
	if (IN_RANGES(p.code, invisible) || (p.code & 0xfffe) == 0xfffe)
		p.kind = PIECE_INVISIBLE;
	return p;
}

static void write_visible(struct ms_out *o, struct piece p)
{
	if (p.kind == PIECE_BYTE || p.code < 0x80)
		ms_out_printf(o, "\\x%02x", p.code);
	else
		ms_out_printf(o, "\\u{%x}", p.code);
}

/* Copies the run of plain ASCII at s without the bytes in `special`; returns its length. */
static size_t copy_run(struct ms_out *o, const char *s, size_t n, const char *special)
{
	size_t i = 0;

	while (i < n && is_ascii_plain((unsigned char)s[i]) && !strchr(special, s[i]))
		i++;
	ms_out_write(o, s, i);
	return i;
}

void ms_escape_text(struct ms_out *o, const char *s, size_t n)
{
	for (size_t i = copy_run(o, s, n, ""); i < n; i += copy_run(o, s + i, n - i, "")) {
		struct piece p = next_piece(s + i, n - i);

		if (p.kind == PIECE_PLAIN)
			ms_out_write(o, s + i, p.n);
		else
			write_visible(o, p);
		i += p.n;
	}
}

static void write_json_unit(struct ms_out *o, uint32_t unit)
{
	ms_out_printf(o, "\\u%04x", unit);
}

static void write_json_code(struct ms_out *o, uint32_t code)
{
	static const char shorts[] = "\bb\ff\nn\rr\tt";
	const char *hit = code && code < 0x20 ? memchr(shorts, (int)code, sizeof(shorts) - 1) : NULL;

	if (hit) {
		ms_out_char(o, '\\');
		ms_out_char(o, hit[1]);
	} else if (code < 0x10000) {
		write_json_unit(o, code);
	} else {
		write_json_unit(o, 0xd800 + ((code - 0x10000) >> 10));
		write_json_unit(o, 0xdc00 + (code & 0x3ff));
	}
}

/* An HTML parser leaves a script element, or changes its mind about it, at these. */
static bool opens_html(const char *s, size_t n)
{
	return n >= 2 && (s[1] == '/' || s[1] == '!' || (n >= 7 && strncasecmp(s + 1, "script", 6) == 0));
}

static void write_json_special(struct ms_out *o, const char *s, size_t n)
{
	if (*s == '<' && !opens_html(s, n)) {
		ms_out_char(o, '<');
	} else if (*s == '<') {
		write_json_unit(o, '<');
	} else {
		ms_out_char(o, '\\');
		ms_out_char(o, *s);
	}
}

void ms_escape_json(struct ms_out *o, const char *s, size_t n)
{
	static const char special[] = "\"\\<";

	for (size_t i = copy_run(o, s, n, special); i < n; i += copy_run(o, s + i, n - i, special)) {
		struct piece p = next_piece(s + i, n - i);

		if (p.kind == PIECE_BYTE || (p.code >= 0xef80 && p.code <= 0xefff))
			for (size_t k = 0; k < p.n; k++)
				write_json_unit(o, 0xef00u | (unsigned char)s[i + k]);
		else if (p.kind == PIECE_INVISIBLE)
			write_json_code(o, p.code);
		else if (p.n == 1)
			write_json_special(o, s + i, n - i);
		else
			ms_out_write(o, s + i, p.n);
		i += p.n;
	}
}

static bool needs_csv_quotes(const char *s, size_t n)
{
	if (n > 0 && (s[0] == ' ' || s[n - 1] == ' '))
		return true;
	for (size_t i = 0; i < n; i++)
		if (s[i] && strchr("\",\n\r\t", s[i]))
			return true;
	return false;
}

void ms_escape_csv(struct ms_out *o, const char *s, size_t n, bool is_machine)
{
	static const char special[] = "\"\n\r\t";
	bool is_quoted = needs_csv_quotes(s, n);

	if (is_quoted)
		ms_out_char(o, '"');
	if (!is_machine && n > 0 && s[0] && strchr("=+-@\t\r", s[0]))
		ms_out_char(o, '\'');
	for (size_t i = copy_run(o, s, n, special); i < n; i += copy_run(o, s + i, n - i, special)) {
		struct piece p = next_piece(s + i, n - i);

		if (s[i] == '"')
			ms_out_str(o, "\"\"");
		else if (p.kind == PIECE_PLAIN || (s[i] && strchr(special, s[i])))
			ms_out_write(o, s + i, p.n);
		else
			write_visible(o, p);
		i += p.n;
	}
	if (is_quoted)
		ms_out_char(o, '"');
}

static const char *xml_entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	default:
		return "&#39;";
	}
}

void ms_escape_xml(struct ms_out *o, const char *s, size_t n)
{
	static const char special[] = "&<>\"'";

	for (size_t i = copy_run(o, s, n, special); i < n; i += copy_run(o, s + i, n - i, special)) {
		struct piece p = next_piece(s + i, n - i);

		if (p.kind != PIECE_PLAIN)
			write_visible(o, p);
		else if (p.n == 1)
			ms_out_str(o, xml_entity(s[i]));
		else
			ms_out_write(o, s + i, p.n);
		i += p.n;
	}
}

/* Where the space before trailing digits is ("b 9" has it at 1), or n if the name does not end so. */
static size_t weight_lookalike(const char *s, size_t n)
{
	size_t i = n;

	while (i > 0 && ((s[i - 1] >= '0' && s[i - 1] <= '9') || s[i - 1] == '.'))
		i--;
	return i < n && i > 0 && s[i - 1] == ' ' ? i - 1 : n;
}

void ms_escape_folded(struct ms_out *o, const char *s, size_t n)
{
	size_t space = weight_lookalike(s, n);

	if (n == 0)
		ms_out_str(o, "[unnamed]");
	for (size_t i = 0; i < n;) {
		struct piece p = next_piece(s + i, n - i);

		if (p.kind != PIECE_PLAIN)
			write_visible(o, p);
		else if (s[i] == ';')
			ms_out_char(o, ':');
		else if (i == space)
			ms_out_char(o, '_');
		else
			ms_out_write(o, s + i, p.n);
		i += p.n;
	}
}

static size_t code_width(uint32_t code)
{
	if (code < 0x300)
		return 1;
	return IN_RANGES(code, zero_width) ? 0 : IN_RANGES(code, double_width) ? 2 : 1;
}

size_t ms_text_prefix(const char *s, size_t n, size_t columns)
{
	size_t i = 0;

	while (i < n) {
		struct piece p = next_piece(s + i, n - i);
		size_t w = code_width(p.code);

		if (w > columns)
			break;
		columns -= w;
		i += p.n;
	}
	return i;
}

size_t ms_text_width(const char *s, size_t n)
{
	size_t width = 0;

	for (size_t i = 0; i < n;) {
		struct piece p = next_piece(s + i, n - i);

		width += code_width(p.code);
		i += p.n;
	}
	return width;
}

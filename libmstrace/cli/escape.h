/* Names from a trace are attacker text. This file holds the ONLY ways they may reach an output.
 *
 * One function per kind of output. Each takes any bytes at all (with NUL bytes, invalid UTF-8, 10 MiB of
 * it) and appends something that cannot leave its place: no terminal escape, no second CSV column, no end
 * of a JSON string, no SVG element. Each is linear in n and allocates nothing of its own.
 *
 * The *visible form* that text, CSV, SVG and folded output share: a control character, DEL, a byte that is
 * not valid UTF-8, a bidirectional or zero-width or otherwise invisible character appears as \xNN (a byte) or
 * \u{…} (a code point). It is for eyes, not reversible: a backslash stays as it is. JSON is the
 * reversible one. */
#ifndef MS_CLI_ESCAPE_H
#define MS_CLI_ESCAPE_H

#include "out.h"

/* Terminal and plain text. Also newline and tab become visible: a name never makes a second line. */
void ms_escape_text(struct ms_out *o, const char *s, size_t n);

/* The body of a JSON string, without the quotes: always valid UTF-8, always one line, safe inside an HTML
 * script element ("</", "<!" and "<script" are broken up), invisible characters as \u escapes.
 * Bytes that are not UTF-8 are kept, reversibly: byte 0xNN (0x80 to 0xff) is written as the private-use
 * character U+EFNN (so "\uef80" to "\uefff"); a genuine U+EF80…U+EFFF in the name is written as
 * its three bytes in the same way. A reader gets the original bytes back by encoding every U+EF80…U+EFFF as
 * its low byte and everything else as UTF-8. Lone surrogates (Python's scheme) were rejected: many parsers
 * refuse or replace them. */
void ms_escape_json(struct ms_out *o, const char *s, size_t n);

/* One CSV field (RFC 4180), quotes included when needed. Newline, CR and tab stay, quoted; other unsafe
 * characters take the visible form. Unless is_machine, a field that a spreadsheet would take
 * for a formula (leading = + - @ TAB CR) is prefixed with '. */
void ms_escape_csv(struct ms_out *o, const char *s, size_t n, bool is_machine);

/* Text or a quoted attribute of XML, SVG or HTML. Characters that XML 1.0 forbids take the visible form. */
void ms_escape_xml(struct ms_out *o, const char *s, size_t n);

/* One stack frame of a folded stack line: ';' becomes ':', and the space before trailing digits '_',
 * so that it cannot be read as the weight. An empty name becomes "[unnamed]". */
void ms_escape_folded(struct ms_out *o, const char *s, size_t n);

/* Terminal columns of escaped (hence valid) text: 0 for combining marks, 2 for wide characters. */
size_t ms_text_width(const char *s, size_t n);

/* How many leading bytes of escaped text fill at most `columns` columns, whole characters only. */
size_t ms_text_prefix(const char *s, size_t n, size_t columns);

#endif

/* Strings that have broken other tools' outputs, one place for every test of an output. */
#ifndef MS_TEST_HOSTILE_H
#define MS_TEST_HOSTILE_H

#include <stddef.h>

struct hostile {
	const char *bytes;
	size_t n;
};

#define HOSTILE(text) {text, sizeof(text) - 1}

static const struct hostile hostile_strings[] = {
	HOSTILE("\033]0;owned\a"),			 /* sets the terminal's title */
	HOSTILE("\033[2J\033[H"),			 /* clears the screen */
	HOSTILE("\033]8;;http://evil/\033\\click\033]8;;\033\\"), /* a hyperlink */
	HOSTILE("\x9b" "2J"),				 /* the one-byte CSI, invalid UTF-8 */
	HOSTILE("\xc2\x9b" "2J"),			 /* the same as valid UTF-8 */
	HOSTILE("abc\xe2\x80\xae" "gnp.exe"),		 /* right-to-left override */
	HOSTILE("a\xe2\x80\x8b" "b\xef\xbb\xbf" "c"),	 /* zero-width space, byte order mark */
	HOSTILE("%n%s%n%s%1000000000d"),
	HOSTILE("</script><img src=x onerror=alert(1)>"),
	HOSTILE("<!--<script>"),
	HOSTILE("\"onmouseover=\"alert(1)"),
	HOSTILE("'onload='alert(1)"),
	HOSTILE("javascript:alert(1)"),
	HOSTILE("]]>"),
	HOSTILE("&x;&#0;&lt;"),
	HOSTILE("a\0b"),
	HOSTILE("=HYPERLINK(\"http://evil\",\"x\")"),
	HOSTILE("@SUM(1)"),
	HOSTILE("-1+cmd|' /C calc'!A0"),
	HOSTILE("+1"),
	HOSTILE("\t=1"),
	HOSTILE("\r=1"),
	HOSTILE("two\nlines\r\nthree"),
	HOSTILE("a;b 9"),
	HOSTILE("name 12"),
	HOSTILE("\xed\xa0\x80"),			 /* a lone surrogate */
	HOSTILE("\xed\xa0\xbd\xed\xb8\x80"),		 /* a surrogate pair in UTF-8 */
	HOSTILE("\xe2\x80\xa8\xe2\x80\xa9"),		 /* U+2028, U+2029 */
	HOSTILE("\xc0\x80\xc1\xbf\xe0\x80\x80\xf0\x80\x80\x80"), /* overlong */
	HOSTILE("\xf4\x90\x80\x80\xf5\xff\xfe"),	 /* beyond U+10FFFF */
	HOSTILE("\xef\xbf\xbe\xef\xbf\xbf"),		 /* U+FFFE, U+FFFF */
	HOSTILE("\xef\xbe\x80\xee\xbe\x80\xee\xbf\xbf"), /* U+FF80; U+EF80 and U+EFFF, our own escapes */
	HOSTILE("\xf3\xa0\x81\x81"),			 /* a tag character */
	HOSTILE("cut \xe2\x82"),			 /* a character cut short */
	HOSTILE("\\u0041\\x41\\"),
	HOSTILE("\"\\\b\f\n\r\t\x7f"),
	HOSTILE("`$(touch /tmp/owned)`"),
	HOSTILE("';DROP TABLE events;--"),
	HOSTILE("../../../etc/passwd"),
	HOSTILE(""),
	HOSTILE(" "),
};

enum { N_HOSTILE = sizeof(hostile_strings) / sizeof(hostile_strings[0]) };

#endif

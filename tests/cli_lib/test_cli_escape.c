#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "escape.h"

static char *escaped(void (*escape)(struct ms_out *, const char *, size_t), const char *s, size_t n)
{
	static struct ms_out o;

	ms_out_release(&o);
	ms_out_init_memory(&o);
	escape(&o, s, n);
	ms_out_text(&o);
	return o.buf;
}

#define ASSERT_ESCAPED(escape, input, expected) \
	assert_string_equal(escaped(escape, input, sizeof(input) - 1), expected)

static void escape_csv(struct ms_out *o, const char *s, size_t n)
{
	ms_escape_csv(o, s, n, false);
}

static void escape_csv_machine(struct ms_out *o, const char *s, size_t n)
{
	ms_escape_csv(o, s, n, true);
}

static void text_shows_what_a_terminal_would_obey(void **state)
{
	(void)state;
	ASSERT_ESCAPED(ms_escape_text, "\033]0;x\a", "\\x1b]0;x\\x07");
	ASSERT_ESCAPED(ms_escape_text, "a\x9b" "2J", "a\\x9b2J");
	ASSERT_ESCAPED(ms_escape_text, "a\xc2\x9b", "a\\u{9b}");
	ASSERT_ESCAPED(ms_escape_text, "\xe2\x80\xae", "\\u{202e}");
	ASSERT_ESCAPED(ms_escape_text, "one\ntwo\t", "one\\x0atwo\\x09");
	ASSERT_ESCAPED(ms_escape_text, "a\0b", "a\\x00b");
	ASSERT_ESCAPED(ms_escape_text, "\xf3\xa0\x81\x81", "\\u{e0041}");
}

static void text_leaves_readable_text_alone(void **state)
{
	(void)state;
	ASSERT_ESCAPED(ms_escape_text, "std::map<int, \"x\">::f() \\ %n", "std::map<int, \"x\">::f() \\ %n");
	ASSERT_ESCAPED(ms_escape_text, "größe 漢字 \xf0\x9f\x98\x80", "größe 漢字 \xf0\x9f\x98\x80");
}

static void text_shows_each_byte_of_broken_utf8(void **state)
{
	(void)state;
	ASSERT_ESCAPED(ms_escape_text, "\xe2\x82", "\\xe2\\x82");
	ASSERT_ESCAPED(ms_escape_text, "\xc0\x80", "\\xc0\\x80");
	ASSERT_ESCAPED(ms_escape_text, "\xed\xa0\x80", "\\xed\\xa0\\x80");
	ASSERT_ESCAPED(ms_escape_text, "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
}

static void json_keeps_broken_bytes_reversibly(void **state)
{
	(void)state;
	ASSERT_ESCAPED(ms_escape_json, "a\xff", "a\\uefff");
	ASSERT_ESCAPED(ms_escape_json, "\x80", "\\uef80");
	ASSERT_ESCAPED(ms_escape_json, "\xee\xbe\x80", "\\uefee\\uefbe\\uef80");
}

static void json_escapes_controls_and_invisible_characters(void **state)
{
	(void)state;
	ASSERT_ESCAPED(ms_escape_json, "\"\\\n\t\r\b\f", "\\\"\\\\\\n\\t\\r\\b\\f");
	ASSERT_ESCAPED(ms_escape_json, "\0\033\x7f", "\\u0000\\u001b\\u007f");
	ASSERT_ESCAPED(ms_escape_json, "\xe2\x80\xa8", "\\u2028");
	ASSERT_ESCAPED(ms_escape_json, "\xf3\xa0\x81\x81", "\\udb40\\udc41");
}

static void json_cannot_end_a_script_element(void **state)
{
	(void)state;
	ASSERT_ESCAPED(ms_escape_json, "</script>", "\\u003c/script>");
	ASSERT_ESCAPED(ms_escape_json, "<!--", "\\u003c!--");
	ASSERT_ESCAPED(ms_escape_json, "<ScRipt", "\\u003cScRipt");
	ASSERT_ESCAPED(ms_escape_json, "vector<std::string<", "vector<std::string<");
}

static void csv_quotes_by_rfc_4180(void **state)
{
	(void)state;
	ASSERT_ESCAPED(escape_csv, "plain", "plain");
	ASSERT_ESCAPED(escape_csv, "a,b", "\"a,b\"");
	ASSERT_ESCAPED(escape_csv, "say \"x\"", "\"say \"\"x\"\"\"");
	ASSERT_ESCAPED(escape_csv, "a\r\nb", "\"a\r\nb\"");
	ASSERT_ESCAPED(escape_csv, "\033[2J", "\\x1b[2J");
}

static void csv_defuses_formulas_except_for_machines(void **state)
{
	(void)state;
	ASSERT_ESCAPED(escape_csv, "=1+1", "'=1+1");
	ASSERT_ESCAPED(escape_csv, "@SUM(A1)", "'@SUM(A1)");
	ASSERT_ESCAPED(escape_csv, "+1", "'+1");
	ASSERT_ESCAPED(escape_csv, "-1", "'-1");
	ASSERT_ESCAPED(escape_csv, "\t=1", "\"'\t=1\"");
	ASSERT_ESCAPED(escape_csv, "\r=1", "\"'\r=1\"");
	ASSERT_ESCAPED(escape_csv_machine, "=1+1", "=1+1");
}

static void xml_escapes_markup_and_forbidden_characters(void **state)
{
	(void)state;
	ASSERT_ESCAPED(ms_escape_xml, "<a href=\"x\">'&]]>", "&lt;a href=&quot;x&quot;&gt;&#39;&amp;]]&gt;");
	ASSERT_ESCAPED(ms_escape_xml, "\0\x01\xef\xbf\xbf", "\\x00\\x01\\u{ffff}");
}

static void folded_cannot_add_a_frame_or_a_weight(void **state)
{
	(void)state;
	ASSERT_ESCAPED(ms_escape_folded, "a;b 9", "a:b_9");
	ASSERT_ESCAPED(ms_escape_folded, "x 1.5", "x_1.5");
	ASSERT_ESCAPED(ms_escape_folded, "f(int, int) const", "f(int, int) const");
	ASSERT_ESCAPED(ms_escape_folded, "two\nlines", "two\\x0alines");
	ASSERT_ESCAPED(ms_escape_folded, "", "[unnamed]");
	ASSERT_ESCAPED(ms_escape_folded, "fn12", "fn12");
}

static void ten_megabytes_pass_through(void **state)
{
	size_t n = 10 << 20;
	char *big = malloc(n);

	(void)state;
	assert_non_null(big);
	memset(big, '\n', n);
	assert_int_equal(strlen(escaped(ms_escape_text, big, n)), 4 * n);
	free(big);
}

static void width_counts_columns_not_bytes(void **state)
{
	(void)state;
	assert_int_equal(ms_text_width("abc", 3), 3);
	assert_int_equal(ms_text_width("größe", strlen("größe")), 5);
	assert_int_equal(ms_text_width("漢字", strlen("漢字")), 4);
	assert_int_equal(ms_text_width("e\xcc\x81", 3), 1);
	assert_int_equal(ms_text_prefix("漢字", strlen("漢字"), 3), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_shows_what_a_terminal_would_obey),
		cmocka_unit_test(text_leaves_readable_text_alone),
		cmocka_unit_test(text_shows_each_byte_of_broken_utf8),
		cmocka_unit_test(json_keeps_broken_bytes_reversibly),
		cmocka_unit_test(json_escapes_controls_and_invisible_characters),
		cmocka_unit_test(json_cannot_end_a_script_element),
		cmocka_unit_test(csv_quotes_by_rfc_4180),
		cmocka_unit_test(csv_defuses_formulas_except_for_machines),
		cmocka_unit_test(xml_escapes_markup_and_forbidden_characters),
		cmocka_unit_test(folded_cannot_add_a_frame_or_a_weight),
		cmocka_unit_test(ten_megabytes_pass_through),
		cmocka_unit_test(width_counts_columns_not_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

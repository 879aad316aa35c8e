#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "escape.h"
#include "table.h"

static const struct ms_column columns[] = {
	{"calls", "calls", MS_COLUMN_COUNT},	    {"pid", "pid", MS_COLUMN_NUMBER},
	{"bytes", "size", MS_COLUMN_BYTES},	    {"age_ns", "age", MS_COLUMN_DURATION},
	{"share", "share", MS_COLUMN_PERCENT},	    {"addr", "address", MS_COLUMN_HEX},
	{"is_live", "live", MS_COLUMN_BOOL},	    {"function", "function", MS_COLUMN_STRING},
};

enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static const char *printed(const struct ms_table *t, enum ms_format format, struct ms_table_style style)
{
	static struct ms_out o;

	ms_out_release(&o);
	ms_out_init_memory(&o);
	ms_table_print(t, format, &o, style);
	return ms_out_text(&o);
}

static void fill_row(struct ms_table *t, uint64_t n, const char *name)
{
	ms_table_row(t);
	ms_table_number(t, n);
	ms_table_number(t, 12345);
	ms_table_number(t, 1268776);
	ms_table_number(t, 1500000000);
	ms_table_number(t, 1234);
	ms_table_number(t, 0x7f00);
	ms_table_number(t, 1);
	ms_table_string(t, name);
}

static struct ms_table *two_rows(void)
{
	struct ms_table *t = ms_table_new(columns, N_COLUMNS);

	fill_row(t, 1234567, "main");
	ms_table_row(t);
	ms_table_number(t, 2);
	return t;
}

static void text_aligns_and_rounds(void **state)
{
	struct ms_table *t = two_rows();

	(void)state;
	assert_string_equal(printed(t, MS_FORMAT_TEXT, (struct ms_table_style){0}),
		"    calls    pid      size     age    share  address  live  function\n"
		"1,234,567  12345  1.21 MiB  1.50 s  12.34 %   0x7f00   yes  main\n"
		"        2      -         -       -        -        -     -  -\n");
	assert_string_equal(printed(t, MS_FORMAT_TEXT, (struct ms_table_style){.is_exact = true}),
		"  calls    pid     size         age    share  address  live  function\n"
		"1234567  12345  1268776  1500000000  12.34 %   0x7f00   yes  main\n"
		"      2      -        -           -        -        -     -  -\n");
	ms_table_free(t);
}

static void differences_have_a_sign(void **state)
{
	static const struct ms_column one[] = {{"d", "d", MS_COLUMN_DIFFERENCE}};
	struct ms_table *t = ms_table_new(one, 1);

	(void)state;
	ms_table_row(t);
	ms_table_number(t, (uint64_t)100 - 2148);
	ms_table_row(t);
	ms_table_number(t, 4096);
	assert_string_equal(printed(t, MS_FORMAT_TEXT, (struct ms_table_style){0}), "        d\n-2.00 KiB\n 4.00 KiB\n");
	assert_string_equal(printed(t, MS_FORMAT_CSV, (struct ms_table_style){0}), "d\r\n-2048\r\n4096\r\n");
	assert_non_null(strstr(printed(t, MS_FORMAT_JSON, (struct ms_table_style){0}), "\"d\": -2048"));
	ms_table_free(t);
}

static void csv_is_exact(void **state)
{
	struct ms_table *t = two_rows();

	(void)state;
	assert_string_equal(printed(t, MS_FORMAT_CSV, (struct ms_table_style){0}),
		"calls,pid,bytes,age_ns,share,addr,is_live,function\r\n"
		"1234567,12345,1268776,1500000000,12.34,0x7f00,true,main\r\n"
		"2,,,,,,,\r\n");
	ms_table_free(t);
}

static void json_types_hold_for_the_whole_column(void **state)
{
	static const struct ms_column two[] = {
		{"big", "big", MS_COLUMN_COUNT}, {"small", "small", MS_COLUMN_COUNT}};
	struct ms_table *t = ms_table_new(two, 2);

	(void)state;
	ms_table_row(t);
	ms_table_number(t, 1);
	ms_table_number(t, 1);
	ms_table_row(t);
	ms_table_number(t, UINT64_MAX);
	assert_string_equal(printed(t, MS_FORMAT_JSON, (struct ms_table_style){0}),
		"[\n  {\n    \"big\": \"1\",\n    \"small\": 1\n  },\n"
		"  {\n    \"big\": \"18446744073709551615\",\n    \"small\": null\n  }\n]\n");
	ms_table_free(t);
}

static void empty_table_is_a_valid_document(void **state)
{
	struct ms_table *t = ms_table_new(columns, 2);

	(void)state;
	assert_string_equal(printed(t, MS_FORMAT_JSON, (struct ms_table_style){0}), "[]\n");
	assert_string_equal(printed(t, MS_FORMAT_CSV, (struct ms_table_style){0}), "calls,pid\r\n");
	assert_string_equal(printed(t, MS_FORMAT_TEXT, (struct ms_table_style){0}), "calls  pid\n");
	ms_table_free(t);
}

static void record_is_one_object(void **state)
{
	static const struct ms_column two[] = {
		{"live_bytes", "live at the end", MS_COLUMN_BYTES}, {"exit", "exit", MS_COLUMN_STRING}};
	struct ms_table *t = ms_table_new(two, 2);

	(void)state;
	ms_table_row(t);
	ms_table_number(t, 2048);
	ms_table_string(t, "exit 0");
	assert_string_equal(printed(t, MS_FORMAT_TEXT, (struct ms_table_style){.is_record = true}),
		"live at the end:  2.00 KiB\nexit:             exit 0\n");
	assert_string_equal(printed(t, MS_FORMAT_JSON, (struct ms_table_style){.is_record = true}),
		"{\n  \"live_bytes\": 2048,\n  \"exit\": \"exit 0\"\n}\n");
	ms_table_free(t);
}

static void names_shrink_to_the_terminal_numbers_do_not(void **state)
{
	struct ms_table *t = ms_table_new(columns, N_COLUMNS);
	char name[4001];
	const char *line;

	(void)state;
	memset(name, 'x', 4000);
	name[4000] = '\0';
	fill_row(t, 1234567, name);
	line = strchr(printed(t, MS_FORMAT_TEXT, (struct ms_table_style){.width = 100}), '\n') + 1;
	assert_int_equal(ms_text_width(line, strlen(line) - 1), 100);
	assert_non_null(strstr(line, "x…\n"));
	assert_memory_equal(line, "1,234,567  12345  1.21 MiB", 26);
	ms_table_free(t);
}

static void hostile_names_stay_in_their_cell(void **state)
{
	struct ms_table *t = ms_table_new(columns + 7, 1);

	(void)state;
	ms_table_row(t);
	ms_table_string(t, "\033[2J\n,\"x");
	assert_string_equal(
		printed(t, MS_FORMAT_TEXT, (struct ms_table_style){0}), "function\n\\x1b[2J\\x0a,\"x\n");
	assert_string_equal(printed(t, MS_FORMAT_CSV, (struct ms_table_style){0}),
		"function\r\n\"\\x1b[2J\n,\"\"x\"\r\n");
	assert_string_equal(printed(t, MS_FORMAT_JSON, (struct ms_table_style){0}),
		"[\n  {\n    \"function\": \"\\u001b[2J\\n,\\\"x\"\n  }\n]\n");
	ms_table_free(t);
}

static void stacks_follow_their_row(void **state)
{
	static const struct ms_column site[] = {
		{"bytes", "bytes", MS_COLUMN_COUNT}, {"frames", "", MS_COLUMN_FRAMES}};
	static const struct ms_table_frame frames[] = {
		{.function = "alloc", .file = "a.c", .module = "/bin/app", .line = 7, .is_inlined = true},
		{.module = "/lib/libx.so", .offset = 0x10}, {.is_cut = true}};
	struct ms_table *t = ms_table_new(site, 2);

	(void)state;
	ms_table_row(t);
	ms_table_number(t, 64);
	ms_table_frames(t, frames, 3);
	assert_string_equal(printed(t, MS_FORMAT_TEXT, (struct ms_table_style){0}),
		"bytes\n   64\n    alloc (inlined)  a.c:7  [app]\n    ??  [libx.so+0x10]\n"
		"    (callers unknown)\n");
	assert_string_equal(printed(t, MS_FORMAT_CSV, (struct ms_table_style){0}),
		"bytes,frames\r\n64,\"alloc (a.c:7)\n/lib/libx.so+0x10\n(callers unknown)\"\r\n");
	assert_non_null(strstr(printed(t, MS_FORMAT_JSON, (struct ms_table_style){0}), "\"line\": 7"));
	assert_non_null(
		strstr(printed(t, MS_FORMAT_JSON, (struct ms_table_style){0}), "\"offset\": \"0x10\""));
	assert_non_null(strstr(printed(t, MS_FORMAT_JSON, (struct ms_table_style){0}), "\"cut\": true"));
	ms_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_aligns_and_rounds),
		cmocka_unit_test(differences_have_a_sign),
		cmocka_unit_test(csv_is_exact),
		cmocka_unit_test(json_types_hold_for_the_whole_column),
		cmocka_unit_test(empty_table_is_a_valid_document),
		cmocka_unit_test(record_is_one_object),
		cmocka_unit_test(names_shrink_to_the_terminal_numbers_do_not),
		cmocka_unit_test(hostile_names_stay_in_their_cell),
		cmocka_unit_test(stacks_follow_their_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

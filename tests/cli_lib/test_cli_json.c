#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json.h"

#include <math.h>

static void nesting_and_commas(void **state)
{
	struct ms_out o;
	struct ms_json j;

	(void)state;
	ms_out_init_memory(&o);
	ms_json_init(&j, &o, false);
	ms_json_object(&j);
	ms_json_put_u64(&j, "a", 1);
	ms_json_key(&j, "b");
	ms_json_array(&j);
	ms_json_null(&j);
	ms_json_object(&j);
	ms_json_end(&j);
	ms_json_array(&j);
	ms_json_end(&j);
	ms_json_bool(&j, true);
	ms_json_end(&j);
	ms_json_put_str(&j, "c", "x\"y");
	ms_json_put_str(&j, "d", NULL);
	ms_json_put_hex(&j, "e", 0x7f00);
	ms_json_end(&j);
	ms_json_line(&j);
	assert_string_equal(ms_out_text(&o),
		"{\"a\":1,\"b\":[null,{},[],true],\"c\":\"x\\\"y\",\"d\":null,\"e\":\"0x7f00\"}\n");
	ms_out_release(&o);
}

static void several_lines(void **state)
{
	struct ms_out o;
	struct ms_json j;

	(void)state;
	ms_out_init_memory(&o);
	ms_json_init(&j, &o, false);
	for (uint64_t i = 0; i < 3; i++) {
		ms_json_object(&j);
		ms_json_put_u64(&j, "n", i);
		ms_json_end(&j);
		ms_json_line(&j);
	}
	assert_string_equal(ms_out_text(&o), "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n");
	ms_out_release(&o);
}

static void numbers_beyond_double_become_strings(void **state)
{
	struct ms_out o;
	struct ms_json j;

	(void)state;
	ms_out_init_memory(&o);
	ms_json_init(&j, &o, false);
	ms_json_array(&j);
	ms_json_u64(&j, UINT64_C(1) << 53);
	ms_json_u64(&j, (UINT64_C(1) << 53) + 1);
	ms_json_i64(&j, -5);
	ms_json_i64(&j, INT64_MIN);
	ms_json_u64_str(&j, 7);
	ms_json_f64(&j, 0.5, 2);
	ms_json_f64(&j, NAN, 2);
	ms_json_f64(&j, INFINITY, 2);
	ms_json_end(&j);
	assert_string_equal(ms_out_text(&o),
		"[9007199254740992,\"9007199254740993\",-5,\"-9223372036854775808\",\"7\",0.50,null,null]");
	ms_out_release(&o);
}

static void pretty_form_indents(void **state)
{
	struct ms_out o;
	struct ms_json j;

	(void)state;
	ms_out_init_memory(&o);
	ms_json_init(&j, &o, true);
	ms_json_object(&j);
	ms_json_key(&j, "a");
	ms_json_array(&j);
	ms_json_u64(&j, 1);
	ms_json_u64(&j, 2);
	ms_json_end(&j);
	ms_json_key(&j, "b");
	ms_json_object(&j);
	ms_json_end(&j);
	ms_json_end(&j);
	assert_string_equal(ms_out_text(&o), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
	ms_out_release(&o);
}

static void sixty_levels_deep(void **state)
{
	struct ms_out o;
	struct ms_json j;

	(void)state;
	ms_out_init_memory(&o);
	ms_json_init(&j, &o, false);
	for (int i = 0; i < 60; i++) {
		ms_json_array(&j);
		ms_json_u64(&j, 1);
	}
	for (int i = 0; i < 60; i++)
		ms_json_end(&j);
	assert_int_equal(j.depth, 0);
	assert_memory_equal(ms_out_text(&o), "[1,[1,[1,", 9);
	assert_int_equal(o.len, 60 * 4 - 1);
	ms_out_release(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nesting_and_commas),
		cmocka_unit_test(several_lines),
		cmocka_unit_test(numbers_beyond_double_become_strings),
		cmocka_unit_test(pretty_form_indents),
		cmocka_unit_test(sixty_levels_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

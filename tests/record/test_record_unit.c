/* Units decoded: every field, every cut, and any bytes at all without reading past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "mstrace.h"
#include "unit.h"

#define WORD1(addr, flags, n_push) ((uint64_t)(addr) | (uint64_t)(flags) << 48 | (uint64_t)(n_push) << 56)

static void every_field_comes_through(void **state)
{
	const uint64_t w[] = {MS_UNIT_HEAD(MST_OP_REALLOC, 77),
		WORD1(0x7f001234, MS_UF_OLD | MS_UF_ALIGN | MS_UF_BIG_SIZE, 2), (uint64_t)3 << 48, 1ull << 60,
		0xabc, 64, 0x401000, 0x402000};
	struct ms_unit u;
	(void)state;
	assert_int_equal(ms_unit_decode(w, 8, &u), 8);
	assert_int_equal(u.kind, MST_OP_REALLOC);
	assert_int_equal(u.stamp, 77);
	assert_int_equal(u.addr, 0x7f001234);
	assert_int_equal(u.size, 1ull << 60);
	assert_int_equal(u.keep, 3);
	assert_int_equal(u.old_addr, 0xabc);
	assert_int_equal(u.align, 64);
	assert_int_equal(u.n_push, 2);
	assert_int_equal(u.push[1], 0x402000);
}

static void cut_unit_is_refused_at_every_length(void **state)
{
	const uint64_t w[] = {MS_UNIT_HEAD(MST_OP_MALLOC, 1),
		WORD1(0x1000, MS_UF_OLD | MS_UF_ALIGN | MS_UF_BIG_SIZE, 255), 3, 0, 9, 1, 2, 5, 6, 7};
	struct ms_unit u;
	(void)state;
	assert_int_equal(ms_unit_decode(w, 10, &u), 10);
	for (size_t n = 1; n < 10; n++) {
		/* its own allocation, so that a read behind it is seen by the sanitizer */
		uint64_t *copy = malloc(n * 8);
		memcpy(copy, w, n * 8);
		assert_int_equal(ms_unit_decode(copy, n, &u), 0);
		free(copy);
	}
}

static void stack_count_that_would_wrap_is_refused(void **state)
{
	uint64_t w[] = {MS_UNIT_HEAD(MST_OP_MALLOC, 1), WORD1(0x1000, 0, 255), UINT64_MAX - 1, 0, 0};
	struct ms_unit u;
	(void)state;
	assert_int_equal(ms_unit_decode(w, 5, &u), 0);
	w[2] = MS_UNIT_DEPTH_MAX + 1;
	assert_int_equal(ms_unit_decode(w, 5, &u), 0);
}

static void short_unit_must_do_without_stack_and_size(void **state)
{
	uint64_t w[] = {MS_UNIT_HEAD(MST_OP_FREE, 1), WORD1(0x1000, MS_UF_SHORT | MS_UF_SAME, 0), 1, 2};
	struct ms_unit u;
	(void)state;
	assert_int_equal(ms_unit_decode(w, 2, &u), 2);
	w[1] = WORD1(0x1000, MS_UF_SHORT, 0);
	assert_int_equal(ms_unit_decode(w, 4, &u), 0);
	w[1] = WORD1(0x1000, MS_UF_SHORT | MS_UF_SAME, 1);
	assert_int_equal(ms_unit_decode(w, 4, &u), 0);
}

static void random_words_never_lead_outside(void **state)
{
	struct ms_unit u;
	(void)state;
	srand(11);
	for (int i = 0; i < 200000; i++) {
		size_t n = 1 + (size_t)rand() % 12;
		uint64_t *w = malloc(n * 8);
		for (size_t j = 0; j < n; j++)
			w[j] = (uint64_t)rand() << 48 ^ (uint64_t)rand() << 24 ^
			       (uint64_t)rand() % (j ? 9 : 80);
		size_t used =
			MS_UNIT_KIND(w[0]) - 1 < 63 ? ms_unit_decode(w, n, &u) : ms_unit_other_words(w, n);
		assert_true(used <= n);
		free(w);
	}
}

static void module_whose_lengths_do_not_fit_is_refused(void **state)
{
	struct {
		struct ms_unit_module m;
		char path[8];
	} unit = {{.head = MS_UNIT_HEAD(MS_U_MODULE, 1), .map_start = 1, .map_end = 2, .path_len = 8},
		"/bin/abc"};
	uint64_t w[sizeof unit / 8];
	struct ms_unit_module_view view;
	(void)state;
	unit.m.words = sizeof unit / 8;
	memcpy(w, &unit, sizeof w);
	assert_int_equal(ms_unit_other_words(w, sizeof w / 8), sizeof w / 8);
	assert_int_equal(ms_unit_other_words(w, sizeof w / 8 - 1), 0);
	assert_true(ms_unit_module_get(w, sizeof w / 8, &view));
	assert_memory_equal(view.path, "/bin/abc", 8);
	unit.m.path_len = 9;
	memcpy(w, &unit, sizeof w);
	assert_false(ms_unit_module_get(w, sizeof w / 8, &view));
	unit.m.path_len = 8;
	unit.m.build_id_len = 33;
	memcpy(w, &unit, sizeof w);
	assert_false(ms_unit_module_get(w, sizeof w / 8, &view));
	unit.m.words = 1;
	memcpy(w, &unit, sizeof w);
	assert_int_equal(ms_unit_other_words(w, sizeof w / 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_comes_through),
		cmocka_unit_test(cut_unit_is_refused_at_every_length),
		cmocka_unit_test(stack_count_that_would_wrap_is_refused),
		cmocka_unit_test(short_unit_must_do_without_stack_and_size),
		cmocka_unit_test(random_words_never_lead_outside),
		cmocka_unit_test(module_whose_lengths_do_not_fit_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

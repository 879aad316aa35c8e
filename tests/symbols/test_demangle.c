#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "demangle.h"

static char buf[MS_NAME_MAX];

static void names_of_both_languages_come_back_as_written(void **state)
{
	static const char *const cases[][2] = {
		{ "_ZN5boost3mapIiE3addEi", "boost::map<int>::add(int)" },
		{ "_Znwm", "operator new(unsigned long)" },
		{ "_ZN3fooC2Ev", "foo::foo()" },
		{ "_ZL4coldi.part.0", "cold(int) [clone .part.0]" },
		{ "_RNvCsj4CZ6flxxfE_7mycrate3foo", "mycrate::foo" },
		{ "_RNvMs_NtCs4fqI2P2rA04_5alloc3vecINtB4_3VecpE4push", "<alloc::vec::Vec<_>>::push" },
		{ "_ZN4core3ptr85drop_in_place$LT$std..rt..lang_start$LT$$LP$$RP$$GT$..$u7b$$u7b$closure$u7d$$u7d$$GT$17h0123456789abcdefE",
			"core::ptr::drop_in_place<std::rt::lang_start<()>::{{closure}}>" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(ms_demangle(cases[i][0], buf), cases[i][1]);
}

static void other_names_stay_as_they_are(void **state)
{
	static const char *const cases[] = { "", "_", "main", "_Z", "_ZN", "_R", "_ZN3fo", "__libc_malloc", "_Z\xff\xfe" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_ptr_equal(ms_demangle(cases[i], buf), cases[i]);
}

/* Each substitution doubles the text: 2^40 bytes if it were printed to its end. */
static void exploding_name_is_given_up_at_the_limit(void **state)
{
	char name[2048] = "_Z1fSt4pairIiiE";

	(void)state;
	for (int i = 0; i < 34; i++) {
		char seq = (char)(i < 10 ? '0' + i : 'A' + i - 10);

		sprintf(name + strlen(name), "S_IS%c_S%c_E", seq, seq);
	}
	assert_ptr_equal(ms_demangle(name, buf), name);
}

static void endless_and_deep_names_are_survived(void **state)
{
	char *name = malloc(4 << 20);

	(void)state;
	assert_non_null(name);
	for (size_t len = 1000; len < (4 << 20); len *= 4) {
		memset(name, 'P', len);
		memcpy(name, "_Z1f", 4);
		name[len] = '\0';
		ms_demangle(name, buf);
		memcpy(name, "_RNv", 4);
		ms_demangle(name, buf);
	}
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_both_languages_come_back_as_written),
		cmocka_unit_test(other_names_stay_as_they_are),
		cmocka_unit_test(exploding_name_is_given_up_at_the_limit),
		cmocka_unit_test(endless_and_deep_names_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

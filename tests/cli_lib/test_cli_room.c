#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "report.h"
#include "room.h"

static void an_array_with_room_stays_where_it_is(void **state)
{
	size_t cap = 0;
	uint32_t *items = ms_room(NULL, &cap, 3, sizeof(*items)), *before = items;
	size_t had = cap;

	(void)state;
	assert_true(cap >= 3);
	items = ms_room(items, &cap, had, sizeof(*items));
	assert_ptr_equal(items, before);
	assert_int_equal(cap, had);
	free(items);
}

static void no_room_needs_no_memory(void **state)
{
	size_t cap = 0;

	(void)state;
	assert_null(ms_room(NULL, &cap, 0, 8));
	assert_int_equal(cap, 0);
}

static void appending_one_by_one_grows_at_least_twofold_and_keeps_all(void **state)
{
	enum { N = 100000 };
	uint32_t *items = NULL;
	size_t cap = 0, n_grown = 0;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		size_t before = cap;

		items = ms_room(items, &cap, i + (size_t)1, sizeof(*items));
		assert_true(cap == before || cap >= 2 * before);
		n_grown += cap != before;
		items[i] = i;
	}
	assert_true(n_grown <= 17); /* log2 of N */
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(items[i], i);
	free(items);
}

static void a_leap_is_grown_to(void **state)
{
	size_t cap = 0;
	char *items = ms_room(NULL, &cap, 1, 1);

	(void)state;
	items = ms_room(items, &cap, 1000000, 1);
	assert_true(cap >= 1000000);
	items[999999] = 1;
	free(items);
}

static void what_is_new_is_zero_and_what_was_stays(void **state)
{
	enum { N = 5000 };
	size_t cap = 0, filled = 0;
	uint64_t *items = NULL;

	(void)state;
	for (size_t n = 1; n < N; n += n / 3 + 1) {
		items = ms_room_zeroed(items, &cap, n, sizeof(*items));
		for (size_t i = 0; i < filled; i++)
			assert_int_equal(items[i], i + 1);
		for (size_t i = filled; i < cap; i++)
			assert_int_equal(items[i], 0);
		for (; filled < n; filled++)
			items[filled] = filled + 1;
	}
	free(items);
	items = ms_zeroed(N, sizeof(*items));
	for (size_t i = 0; i < N; i++)
		assert_int_equal(items[i], 0);
	free(items);
	items = ms_zeroed(0, sizeof(*items));
	assert_non_null(items);
	free(items);
}

/* Runs f in a child; its exit status and, in `said`, what it wrote to standard error. */
static int status_of(void (*f)(void), char *said, size_t size)
{
	int ends[2], status;
	size_t got = 0;
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		ms_report_init("test", 7);
		f();
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], said + got, size - 1 - got)) > 0)
		got += (size_t)n;
	said[got] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void ask_for_all_memory(void)
{
	size_t cap = 0;

	ms_room(NULL, &cap, SIZE_MAX / 16, 8);
}

static void ask_for_more_than_can_be_said(void)
{
	size_t cap = 0;

	ms_room_zeroed(NULL, &cap, SIZE_MAX / 2, 8); /* the product does not fit */
}

static void without_memory_the_tool_ends_saying_so(void **state)
{
	static void (*const asks[])(void) = {ask_for_all_memory, ask_for_more_than_can_be_said};
	char said[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(*asks); i++) {
		assert_int_equal(status_of(asks[i], said, sizeof(said)), 7);
		assert_non_null(strstr(said, "test: out of memory\n")); /* a sanitizer may have had its say before */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_array_with_room_stays_where_it_is),
		cmocka_unit_test(no_room_needs_no_memory),
		cmocka_unit_test(appending_one_by_one_grows_at_least_twofold_and_keeps_all),
		cmocka_unit_test(a_leap_is_grown_to),
		cmocka_unit_test(what_is_new_is_zero_and_what_was_stays),
		cmocka_unit_test(without_memory_the_tool_ends_saying_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which line of a perf map names an address, and which files are no perf map. */
#include "perfmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The name of addr by the map, in static storage; "" for none. The text has no NUL behind it. */
static const char *name_of(const char *text, uint64_t addr)
{
	static char name[64];
	struct ms_perfmap map = {.text = malloc(strlen(text) + 1), .len = strlen(text)};
	struct ms_perfmap_query q = {.addr = addr};
	memcpy(map.text, text, map.len);
	map.text = realloc(map.text, map.len + !map.len);
	assert_int_equal(ms_perfmap_find(&map, &q, 1), 0);
	snprintf(name, sizeof name, "%.*s", (int)q.len, q.name ? q.name : "");
	ms_perfmap_release(&map);
	return name;
}

static void range_is_half_open(void **state)
{
	(void)state;
	assert_string_equal(name_of("1000 10 f\n", 0xfff), "");
	assert_string_equal(name_of("1000 10 f\n", 0x1000), "f");
	assert_string_equal(name_of("1000 10 f\n", 0x100f), "f");
	assert_string_equal(name_of("1000 10 f\n", 0x1010), "");
	assert_string_equal(name_of("0x1000 0x10 f g h", 0x1008), "f g h");
}

static void last_line_counts(void **state)
{
	(void)state;
	assert_string_equal(name_of("1000 10 f\n1000 10 g\n", 0x1000), "g");
	assert_string_equal(name_of("1000 10 f\n1008 8 g\n2000 10 h\n", 0x1000), "f");
	assert_string_equal(name_of("1000 10 f\n1008 8 g\n2000 10 h\n", 0x1009), "g");
}

static void nonsense_is_passed_over(void **state)
{
	static const char *const lines[] = {"", "\n\n", "1000", "1000 10", "1000 10 ", "1000  10 f", " 1000 10 f", "g 10 f",
		"1000 0 f", "1000 ffffffffffffffff f", "11111111111111111 10 f", "1000 10\tf", "-1000 10 f"};
	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		char text[128];
		assert_string_equal(name_of(lines[i], 0x1000), "");
		snprintf(text, sizeof text, "1000 10 good\n%s\n", lines[i]);
		assert_string_equal(name_of(text, 0x1000), "good");
	}
}

static void many_lines_over_many_addresses_take_no_longer(void **state)
{
	enum { N = 200000 };
	struct ms_perfmap map = {.text = malloc(N * 16)};
	struct ms_perfmap_query *q = calloc(N, sizeof *q);
	(void)state;
	for (size_t i = 0; i < N; i++) {
		map.len += (size_t)sprintf(map.text + map.len, "1 fffffff %c\n", i == N - 1 ? 'z' : 'a');
		q[i].addr = 1 + i;
	}
	assert_int_equal(ms_perfmap_find(&map, q, N), 0); /* each against each would take hours */
	for (size_t i = 0; i < N; i++)
		assert_true(q[i].name && *q[i].name == 'z');
	free(q);
	ms_perfmap_release(&map);
}

static void only_an_own_regular_fresh_file_is_read(void **state)
{
	char directory[] = "/tmp/mstest-perfmap-XXXXXX";
	struct ms_perfmap map;
	struct stat st;
	(void)state;
	assert_non_null(mkdtemp(directory));
	int dir = open(directory, O_PATH | O_DIRECTORY);
	assert_true(ms_perfmap_read(dir, 7, getuid(), 0, &map) < 0);
	int fd = openat(dir, "perf-7.map", O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "1 2 f\n", 6), 6);
	fstat(fd, &st);
	uint64_t written_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u;
	assert_int_equal(ms_perfmap_read(dir, 7, getuid(), written_ns, &map), 0);
	assert_int_equal(map.len, 6);
	ms_perfmap_release(&map);
	assert_true(ms_perfmap_read(dir, 7, getuid(), written_ns + 10000000000u, &map) < 0); /* of another process */
	if (getuid()) /* root's file counts for all */
		assert_true(ms_perfmap_read(dir, 7, getuid() + 1, written_ns, &map) < 0);
	assert_int_equal(symlinkat("perf-7.map", dir, "perf-8.map"), 0);
	assert_true(ms_perfmap_read(dir, 8, getuid(), 0, &map) < 0);
	assert_int_equal(mkfifoat(dir, "perf-9.map", 0600), 0); /* and nobody writes to it */
	assert_true(ms_perfmap_read(dir, 9, getuid(), 0, &map) < 0);
	for (int i = 7; i < 10; i++) {
		char name[16];
		snprintf(name, sizeof name, "perf-%d.map", i);
		unlinkat(dir, name, 0);
	}
	close(fd);
	close(dir);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_is_half_open),
		cmocka_unit_test(last_line_counts),
		cmocka_unit_test(nonsense_is_passed_over),
		cmocka_unit_test(many_lines_over_many_addresses_take_no_longer),
		cmocka_unit_test(only_an_own_regular_fresh_file_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

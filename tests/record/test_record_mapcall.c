/* Calls of the mapping layer: from a unit's words to what the trace says, where they began; and lines of /proc/PID/maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mapcall.h"
#include "regions.h"
#include "tenant.h"

static struct mst_map_call call_of(unsigned kind, unsigned flags, const uint64_t *words, uint32_t n, const char **path,
	size_t *path_len)
{
	struct mst_map_call call;
	struct ms_note *more = malloc(sizeof *more + n * 8);
	struct ms_item item = {
		.kind = (uint8_t)kind, .flags = (uint8_t)flags, .addr = 0x7000, .size = 5000, .more = more};
	more->n_words = n;
	memcpy(more->words, words, n * 8);
	ms_map_call_get(&item, &call, path, path_len);
	if (*path_len) {
		static char kept[64];
		memcpy(kept, *path, *path_len);
		*path = kept;
	}
	free(more);
	return call;
}

static void words_become_what_the_call_was(void **state)
{
	const uint64_t file[] = {0x6000, 3 | UINT64_C(2) << 32, 4096, (uint32_t)-1 | UINT64_C(5) << 32, 0};
	uint64_t named[5];
	const char *path;
	size_t n;
	(void)state;
	memcpy(named, file, sizeof named);
	memcpy(&named[4], "/file", 5);
	struct mst_map_call c = call_of(MST_OP_MMAP, 0, named, 5, &path, &n);
	assert_int_equal(c.addr, 0x7000);
	assert_int_equal(c.length, 5000);
	assert_int_equal(c.prot, 3);
	assert_int_equal(c.flags, 2);
	assert_int_equal(c.offset, 4096);
	assert_int_equal(c.fd, -1);
	assert_int_equal(n, 5);
	assert_memory_equal(path, "/file", 5);
	assert_int_equal(call_of(MST_OP_MMAP, MS_UF_FAILED, named, 5, &path, &n).addr, 0x6000);
	c = call_of(MST_OP_MREMAP, 0, file, 4, &path, &n);
	assert_int_equal(c.addr, 0x7000);
	assert_int_equal(c.old_addr, 0x6000);
	assert_int_equal(c.old_length, 4096);
	assert_int_equal(c.offset, 0);
	c = call_of(MST_OP_SBRK, 0, file, 4, &path, &n);
	assert_int_equal(c.addr, 4096);
	assert_int_equal(c.old_addr, 0x6000);
	c = call_of(MST_OP_MUNMAP, MS_UF_FAILED, file, 4, &path, &n);
	assert_int_equal(c.addr, 0x6000);
}

static void a_path_that_cannot_be_is_none(void **state)
{
	uint64_t words[] = {0, 0, 0, UINT64_C(5) << 32, 0}; /* five bytes, all of them NUL */
	const char *path;
	size_t n;
	(void)state;
	call_of(MST_OP_MMAP, 0, words, 5, &path, &n);
	assert_int_equal(n, 0);
	memset(&words[4], 'x', 8);
	words[3] = UINT64_C(9) << 32; /* longer than the words */
	call_of(MST_OP_MMAP, 0, words, 5, &path, &n);
	assert_int_equal(n, 0);
	words[3] = UINT64_C(8) << 32;
	call_of(MST_OP_MMAP, 0, words, 5, &path, &n);
	assert_int_equal(n, 8);
	call_of(MST_OP_MMAP, 0, words, 4, &path, &n);
	assert_int_equal(n, 0);
}

static void a_call_finds_where_it_began(void **state)
{
	struct ms_map_begins b = {.n = 0};
	(void)state;
	ms_map_begins_put(&b, 0x1000, 10);
	ms_map_begins_put(&b, 0x2000, 20); /* a handler's, inside it */
	assert_int_equal(ms_map_begins_take(&b, 0x3000, 99), 99);
	assert_int_equal(ms_map_begins_take(&b, 0x2000, 99), 20);
	assert_int_equal(ms_map_begins_take(&b, 0x1000, 99), 10);
	assert_int_equal(ms_map_begins_take(&b, 0x1000, 99), 99);
	for (uint64_t i = 0; i < 20; i++) /* handlers that never return */
		ms_map_begins_put(&b, i, i);
	assert_int_equal(ms_map_begins_take(&b, 19, 99), 19);
	assert_int_equal(ms_map_begins_take(&b, 16, 99), 16);
	assert_int_equal(b.n, 0);
}

static void lines_of_maps_are_read(void **state)
{
	static const char text[] = "00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/a file\n"
				   "7f0000000000-7f0000021000 rw-s 00000000 00:00 0 \n"
				   "no line\n"
				   "2000-1000 rw-p 00000000 00:00 0\n"
				   "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]";
	struct ms_region_line line;
	size_t at = 0;
	(void)state;
	assert_int_equal(ms_regions_next(text, sizeof text - 1, &at, &line), 1);
	assert_int_equal(line.start, 0x400000);
	assert_int_equal(line.end, 0x452000);
	assert_int_equal(line.offset, 0x1000);
	assert_int_equal(line.prot, PROT_READ | PROT_EXEC);
	assert_false(line.is_shared);
	assert_int_equal(line.name_len, 15);
	assert_memory_equal(line.name, "/usr/bin/a file", 15);
	assert_int_equal(ms_regions_next(text, sizeof text - 1, &at, &line), 1);
	assert_int_equal(line.name_len, 0);
	assert_true(line.is_shared);
	assert_int_equal(ms_regions_next(text, sizeof text - 1, &at, &line), 1);
	assert_int_equal(line.end, 0xffffffffff601000);
	assert_memory_equal(line.name, "[vsyscall]", 10);
	assert_int_equal(ms_regions_next(text, sizeof text - 1, &at, &line), 0);
}

static void any_bytes_are_survived(void **state)
{
	uint64_t seed = 1;
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		static const char alphabet[] = "0123456789abcdef- rwxps:\n/[]";
		size_t n = round % 97, at = 0;
		char *text = malloc(n + 1);
		struct ms_region_line line;
		for (size_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[i] = alphabet[(seed >> 33) % (sizeof alphabet - 1)];
		}
		char *exact = realloc(text, n ? n : 1); /* so that a read behind it is seen */
		while (ms_regions_next(exact, n, &at, &line))
			assert_true(line.start < line.end && line.name + line.name_len <= exact + n);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_what_the_call_was),
		cmocka_unit_test(a_path_that_cannot_be_is_none),
		cmocka_unit_test(a_call_finds_where_it_began),
		cmocka_unit_test(lines_of_maps_are_read),
		cmocka_unit_test(any_bytes_are_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

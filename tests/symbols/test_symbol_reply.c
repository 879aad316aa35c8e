/* A reply crosses from an untrusted child: what it carries arrives, and no byte of it can lead outside of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "demangle.h"
#include "symbol_reply.h"

/* Writes the reply through a temporary file; the caller frees the bytes. */
static char *bytes_of(struct ms_reply *r, size_t *len)
{
	FILE *f = tmpfile();
	char *bytes;

	assert_non_null(f);
	assert_int_equal(ms_reply_write(r, fileno(f)), 0);
	*len = (size_t)lseek(fileno(f), 0, SEEK_END);
	bytes = malloc(*len + 1);
	assert_non_null(bytes);
	assert_int_equal(pread(fileno(f), bytes, *len, 0), *len);
	fclose(f);
	return bytes;
}

/* Three queries: two frames, none, one. */
static void build(struct ms_reply *r)
{
	struct ms_reply_frame frame = { .line = 7, .flags = MS_REPLY_INLINED };

	ms_reply_begin_query(r);
	ms_reply_add_string(r, "inner", &frame.function);
	ms_reply_add_string(r, "a.c", &frame.file);
	ms_reply_add_frame(r, &frame);
	ms_reply_add_string(r, "outer", &frame.function);
	ms_reply_add_frame(r, &frame);
	ms_reply_begin_query(r);
	ms_reply_begin_query(r);
	ms_reply_add_string(r, "inner", &frame.function);
	frame.file = 0;
	ms_reply_add_frame(r, &frame);
}

static void what_was_built_is_what_is_parsed(void **state)
{
	struct ms_reply r = { 0 }, parsed = { 0 };
	size_t len;
	char *bytes;

	(void)state;
	build(&r);
	bytes = bytes_of(&r, &len);
	assert_int_equal(ms_reply_parse(&parsed, bytes, len, 3), 0);
	assert_int_equal(parsed.first[1], 2);
	assert_int_equal(parsed.first[2], 2);
	assert_int_equal(parsed.first[3], 3);
	assert_string_equal(ms_reply_text(&parsed, parsed.frames[0].function), "inner");
	assert_string_equal(ms_reply_text(&parsed, parsed.frames[1].function), "outer");
	assert_string_equal(ms_reply_text(&parsed, parsed.frames[1].file), "a.c");
	assert_null(ms_reply_text(&parsed, parsed.frames[2].file));
	assert_int_equal(parsed.frames[2].function, parsed.frames[0].function); /* stored once */
	ms_reply_release(&parsed);
	ms_reply_release(&r);
}

static void answer_without_questions_is_sound(void **state)
{
	struct ms_reply r = { 0 }, parsed = { 0 };
	size_t len;
	char *bytes;

	(void)state;
	bytes = bytes_of(&r, &len);
	assert_int_equal(ms_reply_parse(&parsed, bytes, len, 0), 0);
	ms_reply_release(&parsed);
}

static void endless_names_are_cut(void **state)
{
	struct ms_reply r = { 0 };
	char *text = malloc(1 << 20);
	uint32_t string;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', (1 << 20) - 1);
	text[(1 << 20) - 1] = '\0';
	assert_int_equal(ms_reply_add_string(&r, text, &string), 0);
	assert_int_equal(strlen(ms_reply_text(&r, string)), MS_NAME_MAX - 1);
	free(text);
	ms_reply_release(&r);
}

static void many_strings_are_found_again(void **state)
{
	struct ms_reply r = { 0 };
	uint32_t strings[5000];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 5000; i++) {
			char text[16];
			uint32_t string;

			snprintf(text, sizeof(text), "name%u", i);
			assert_int_equal(ms_reply_add_string(&r, text, &string), 0);
			if (round == 0)
				strings[i] = string;
			assert_int_equal(string, strings[i]);
			assert_string_equal(ms_reply_text(&r, string), text);
		}
	}
	ms_reply_release(&r);
}

static void cut_or_longer_answer_is_refused(void **state)
{
	struct ms_reply r = { 0 };
	size_t len;
	char *bytes;

	(void)state;
	build(&r);
	bytes = bytes_of(&r, &len);
	for (size_t cut = 0; cut <= len + 1; cut++) {
		struct ms_reply parsed = { 0 };

		if (cut != len)
			assert_int_equal(ms_reply_parse(&parsed, bytes, cut, 3), -71 /* EPROTO */);
	}
	free(bytes);
	ms_reply_release(&r);
}

/* Every byte set to several values: the answer is refused, or everything reachable in it stays inside it. */
static void no_changed_byte_leads_outside(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct ms_reply r = { 0 };
	unsigned refused = 0;
	size_t len;
	char *bytes;

	(void)state;
	build(&r);
	bytes = bytes_of(&r, &len);
	for (size_t i = 0; i < len * sizeof(values); i++) {
		struct ms_reply parsed = { 0 };
		char *copy = malloc(len); /* exact: a sanitizer or valgrind sees the byte behind */

		assert_non_null(copy);
		memcpy(copy, bytes, len);
		copy[i / sizeof(values)] = (char)values[i % sizeof(values)];
		if (ms_reply_parse(&parsed, copy, len, 3) < 0) {
			refused++;
			free(copy);
			continue;
		}
		for (uint32_t f = 0; f < parsed.head.n_frames; f++) {
			const char *function = ms_reply_text(&parsed, parsed.frames[f].function);
			const char *file = ms_reply_text(&parsed, parsed.frames[f].file);

			assert_true(!function || function + strlen(function) < copy + len);
			assert_true(!file || file + strlen(file) < copy + len);
		}
		for (uint32_t q = 0; q < 3; q++)
			assert_true(parsed.first[q] <= parsed.first[q + 1] && parsed.first[q + 1] <= parsed.head.n_frames);
		ms_reply_release(&parsed);
	}
	assert_true(refused > len);
	free(bytes);
	ms_reply_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_built_is_what_is_parsed),
		cmocka_unit_test(answer_without_questions_is_sound),
		cmocka_unit_test(endless_names_are_cut),
		cmocka_unit_test(many_strings_are_found_again),
		cmocka_unit_test(cut_or_longer_answer_is_refused),
		cmocka_unit_test(no_changed_byte_leads_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

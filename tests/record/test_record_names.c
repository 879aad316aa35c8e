/* When the files of modules begin to be read: not for recordings that are over sooner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mstrace.h"
#include "names.h"

#define MS 1000000u

static struct mst_writer *open_writer(FILE *file)
{
	const struct mst_writer_options opt = {.header = {.has_addresses = true, .tool = "test"}};
	struct mst_writer *w = NULL;
	assert_non_null(file);
	assert_int_equal(mst_writer_open(fileno(file), &opt, &w), 0);
	return w;
}

static void add_address(struct mst_writer *w, const char *path, uint64_t offset)
{
	struct mst_module module = {0};
	uint32_t id;
	assert_int_equal(mst_writer_string(w, path, strlen(path), &module.path), 0);
	assert_int_equal(mst_writer_module(w, &module, &id), 0);
	assert_int_equal(mst_writer_code(w, id, offset, &id), 0);
}

static bool has_parser(pid_t process)
{
	char path[64];
	int pid, n = 0;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)process, (int)process);
	FILE *f = fopen(path, "r");
	if (f) {
		n = fscanf(f, "%d", &pid);
		fclose(f);
	}
	return n == 1;
}

static pid_t only_child(void)
{
	char path[64];
	int pid = 0, other;
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d %d", &pid, &other), 1);
	fclose(f);
	return pid;
}

static void short_recordings_read_nothing_ahead(void **state)
{
	struct ms_names_ahead ahead = {0};
	FILE *file = tmpfile();
	char self[4096] = "";
	(void)state;
	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	ms_names_ahead_open(&ahead);
	struct mst_writer *w = open_writer(file);
	pid_t process = only_child();
	add_address(w, "[vdso]", 0x100);
	add_address(w, self, 0x1000);
	ms_names_look_ahead(&ahead, w, 149 * MS);
	assert_int_equal(ahead.n_codes, 0);
	assert_false(has_parser(process));
	ms_names_look_ahead(&ahead, w, 150 * MS);
	assert_int_equal(ahead.n_codes, 2);
	while (!has_parser(process))
		usleep(1000);
	add_address(w, self, 0x2000);
	ms_names_look_ahead(&ahead, w, 151 * MS); /* now and then is often enough */
	assert_int_equal(ahead.n_codes, 2);
	ms_names_look_ahead(&ahead, w, 1000 * MS);
	assert_int_equal(ahead.n_codes, 3);
	ms_names_ahead_close(&ahead);
	mst_writer_close(w, true, 0, NULL);
	fclose(file);
}

static void nothing_is_read_ahead_unless_asked_for(void **state)
{
	struct ms_names_ahead ahead = {0};
	FILE *file = tmpfile();
	struct mst_writer *w = open_writer(file);
	(void)state;
	add_address(w, "/bin/sh", 0x1000);
	ms_names_look_ahead(&ahead, w, 1000 * MS);
	assert_int_equal(ahead.n_codes, 0);
	ms_names_ahead_close(&ahead);
	mst_writer_close(w, true, 0, NULL);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_recordings_read_nothing_ahead),
		cmocka_unit_test(nothing_is_read_ahead_unless_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

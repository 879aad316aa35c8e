#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "out.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/ms-test-out-XXXXXX";

static int enter_scratch(void **state)
{
	(void)state;
	return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int count_entries(void)
{
	DIR *d = opendir(".");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n - 2;
}

static int leave_scratch(void **state)
{
	(void)state;
	return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

static void read_back(const char *path, char *buf, size_t cap)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, buf, cap - 1);

	assert_true(fd >= 0 && n >= 0);
	buf[n] = '\0';
	close(fd);
}

static void memory_sink_collects_everything(void **state)
{
	struct ms_out o;

	(void)state;
	ms_out_init_memory(&o);
	for (int i = 0; i < 100000; i++)
		ms_out_printf(&o, "%d,", i % 10);
	assert_int_equal(o.len, 200000);
	assert_memory_equal(ms_out_text(&o) + 199980, "0,1,2,3,4,5,6,7,8,9,", 20);
	ms_out_release(&o);
}

static void numbers_print_as_printf_does(void **state)
{
	struct ms_out o;

	(void)state;
	ms_out_init_memory(&o);
	ms_out_u64(&o, UINT64_MAX);
	ms_out_char(&o, ' ');
	ms_out_hex(&o, UINT64_MAX);
	ms_out_char(&o, ' ');
	ms_out_u64(&o, 0);
	ms_out_hex(&o, 0);
	assert_string_equal(ms_out_text(&o), "18446744073709551615 ffffffffffffffff 00");
	ms_out_release(&o);
}

static void file_appears_complete_and_private(void **state)
{
	const char *why = NULL;
	struct ms_out o;
	struct stat st;
	char text[64];

	(void)state;
	assert_int_equal(ms_out_open(&o, "new.svg", 0, &why), 0);
	ms_out_str(&o, "hello");
	assert_int_equal(access("new.svg", F_OK), -1);
	assert_int_equal(ms_out_close(&o), 0);
	read_back("new.svg", text, sizeof(text));
	assert_string_equal(text, "hello");
	assert_int_equal(stat("new.svg", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(count_entries(), 1);
	unlink("new.svg");
}

static void abandoned_file_leaves_the_old_one_and_no_rest(void **state)
{
	const char *why = NULL;
	struct ms_out o;
	char text[64];

	(void)state;
	assert_int_equal(ms_out_open(&o, "a", 0, &why), 0);
	ms_out_str(&o, "old");
	assert_int_equal(ms_out_close(&o), 0);
	assert_int_equal(ms_out_open(&o, "a", 0, &why), 0);
	ms_out_str(&o, "new");
	ms_out_release(&o);
	read_back("a", text, sizeof(text));
	assert_string_equal(text, "old");
	assert_int_equal(count_entries(), 1);
	unlink("a");
}

static void large_writes_keep_their_order(void **state)
{
	const char *why = NULL;
	char *big = malloc(300000);
	struct ms_out o;
	struct stat st;
	char text[8];

	(void)state;
	assert_non_null(big);
	memset(big, 'x', 300000);
	assert_int_equal(ms_out_open(&o, "big", 0, &why), 0);
	ms_out_str(&o, "head");
	ms_out_write(&o, big, 300000);
	ms_out_str(&o, "tail");
	assert_int_equal(ms_out_close(&o), 0);
	assert_int_equal(stat("big", &st), 0);
	assert_int_equal(st.st_size, 300008);
	read_back("big", text, sizeof(text));
	assert_string_equal(text, "headxxx");
	unlink("big");
	free(big);
}

static void planted_names_are_refused(void **state)
{
	const char *why = NULL;
	struct ms_out o;

	(void)state;
	assert_int_equal(symlink("victim", "link"), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(mkdir("dir", 0700), 0);
	assert_int_equal(ms_out_open(&o, "link", 0, &why), -1);
	assert_string_equal(why, "it is a symbolic link");
	assert_int_equal(ms_out_open(&o, "fifo", 0, &why), -1);
	assert_string_equal(why, "it is not a regular file");
	assert_int_equal(ms_out_open(&o, "dir", MS_OUT_FORCE, &why), -1);
	assert_string_equal(why, "it is a directory");
	assert_int_equal(ms_out_open(&o, "", 0, &why), -1);
	assert_int_equal(ms_out_open(&o, "no/such/dir", 0, &why), -1);
	assert_string_equal(why, strerror(ENOENT));
	assert_int_equal(access("victim", F_OK), -1);
	assert_int_equal(count_entries(), 3);
	unlink("link");
	unlink("fifo");
	rmdir("dir");
}

static void new_only_never_replaces(void **state)
{
	const char *why = NULL;
	struct ms_out o, late;
	char text[8];

	(void)state;
	assert_int_equal(ms_out_open(&late, "n", MS_OUT_NEW, &why), 0);
	assert_int_equal(ms_out_open(&o, "n", MS_OUT_NEW, &why), 0);
	ms_out_str(&o, "1");
	assert_int_equal(ms_out_close(&o), 0);
	assert_int_equal(ms_out_close(&late), EEXIST);
	assert_int_equal(ms_out_open(&o, "n", MS_OUT_NEW, &why), -1);
	assert_string_equal(why, "it exists already");
	read_back("n", text, sizeof(text));
	assert_string_equal(text, "1");
	assert_int_equal(count_entries(), 1);
	unlink("n");
}

static void full_disk_is_told_at_close(void **state)
{
	const char *why = NULL;
	struct ms_out o;

	(void)state;
	if (access("/dev/full", W_OK) < 0)
		skip();
	assert_int_equal(ms_out_open(&o, "/dev/full", 0, &why), -1);
	assert_int_equal(ms_out_open(&o, "/dev/full", MS_OUT_FORCE, &why), 0);
	for (int i = 0; i < 200000; i++)
		ms_out_char(&o, 'x');
	assert_int_equal(ms_out_close(&o), ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_sink_collects_everything),
		cmocka_unit_test(numbers_print_as_printf_does),
		cmocka_unit_test(file_appears_complete_and_private),
		cmocka_unit_test(abandoned_file_leaves_the_old_one_and_no_rest),
		cmocka_unit_test(large_writes_keep_their_order),
		cmocka_unit_test(planted_names_are_refused),
		cmocka_unit_test(new_only_never_replaces),
		cmocka_unit_test(full_disk_is_told_at_close),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}

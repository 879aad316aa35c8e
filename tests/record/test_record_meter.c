/* What the kernel's texts say, and what they do not say. */
#include "meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs.h"

static bool knows(const struct mst_sample *s, unsigned field)
{
	return s->known >> field & 1;
}

static void rollup_gives_its_lines(void **state)
{
	static const char text[] = "55d0-7ffc ---p 00000000 00:00 0    [rollup]\n"
				   "Rss:                2048 kB\nPss:                 930 kB\nPss_Anon:    500 kB\n"
				   "Shared_Clean:       1400 kB\nPrivate_Clean:        0 kB\nPrivate_Dirty:      600 kB\n"
				   "Rssish:   7 kB\nSwap: 5 kB\nSwapPss:               3 kB\nLocked:   1";
	struct mst_sample s = {0};
	uint64_t uss;
	(void)state;
	ms_meter_parse_rollup(text, sizeof text - 1, &s);
	assert_int_equal(s.value[MST_SAMPLE_RSS], 2048 * 1024);
	assert_int_equal(s.value[MST_SAMPLE_PSS], 930 * 1024);
	assert_int_equal(s.value[MST_SAMPLE_SWAP_PSS], 3 * 1024);
	assert_true(knows(&s, MST_SAMPLE_PRIVATE_CLEAN)); /* zero is known */
	assert_false(knows(&s, MST_SAMPLE_SHARED_DIRTY)); /* not said is not */
	assert_false(knows(&s, MST_SAMPLE_LOCKED));	   /* cut */
	assert_true(mst_sample_uss(&s, &uss));
	assert_int_equal(uss, 600 * 1024);
}

static void status_of_a_zombie_has_no_memory(void **state)
{
	static const char text[] = "Name:\tVmRSS:\t9 kB\nState:\tZ (zombie)\nThreads:\t1\n";
	struct mst_sample s = {0};
	(void)state;
	ms_meter_parse_status(text, sizeof text - 1, &s);
	assert_false(knows(&s, MST_SAMPLE_RSS));
	assert_int_equal(s.value[MST_SAMPLE_THREADS], 1);
}

static void stat_is_read_behind_the_last_parenthesis(void **state)
{
	static const char text[] = "12 (a) S 1) S 1 2 3 4 -1 4194304 111 222 33 44 5 6 7 8 20 0 1 0\n";
	struct mst_sample s = {0};
	(void)state;
	ms_meter_parse_stat(text, sizeof text - 1, &s);
	assert_int_equal(s.value[MST_SAMPLE_MINOR_FAULTS], 111);
	assert_int_equal(s.value[MST_SAMPLE_MAJOR_FAULTS], 33);
	assert_int_equal(s.value[MST_SAMPLE_CPU], 11 * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK)));
}

static void cut_and_absurd_texts_say_nothing(void **state)
{
	static const char *const texts[] = {"", ")", "1 (x", "1 (x) S", "1 (x) S 1 2 3", "Rss: 99999999999999999999 kB\n",
		"Rss: 18446744073709551615 kB\n", "Rss:\n", "Rss: x kB\n", "\n\n", "Rss"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		size_t n = strlen(texts[i]);
		char *copy = malloc(n + 1); /* without its NUL: a sanitizer sees any byte read beyond it */
		struct mst_sample s = {0};
		memcpy(copy, texts[i], n);
		ms_meter_parse_status(copy, n, &s);
		ms_meter_parse_rollup(copy, n, &s);
		ms_meter_parse_stat(copy, n, &s);
		assert_int_equal(s.known, 0);
		free(copy);
	}
}

static void we_ourselves_can_be_read(void **state)
{
	struct ms_meter m;
	struct mst_sample s = {0};
	int dir = ms_procfs_dir(getpid());
	(void)state;
	assert_true(dir >= 0);
	assert_true(ms_meter_open(&m, dir));
	assert_true(ms_meter_read(&m, &s));
	assert_true(s.value[MST_SAMPLE_RSS] > 100000 && s.value[MST_SAMPLE_THREADS] == 1);
	assert_true(s.value[MST_SAMPLE_MINOR_FAULTS] > 0);
	if (m.rollup >= 0) {
		assert_true(ms_meter_read_rollup(&m, &s));
		assert_true(s.value[MST_SAMPLE_PSS] <= s.value[MST_SAMPLE_RSS]);
	}
	ms_meter_close(&m);
	close(dir);
}

static void ended_process_says_nothing_whoever_has_its_id(void **state)
{
	struct ms_meter m;
	struct mst_sample s = {0};
	pid_t child = fork();
	(void)state;
	if (child == 0) {
		pause();
		_exit(0);
	}
	int dir = ms_procfs_dir(child);
	assert_true(ms_meter_open(&m, dir));
	assert_true(ms_meter_read(&m, &s));
	kill(child, SIGKILL);
	siginfo_t info;
	waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
	s = (struct mst_sample){0};
	assert_false(ms_meter_read(&m, &s)); /* a zombie */
	assert_int_equal(s.known, 0);
	waitpid(child, NULL, 0);
	assert_false(ms_meter_read(&m, &s)); /* gone */
	assert_int_equal(s.known, 0);
	ms_meter_close(&m);
	close(dir);
}

/* ---- control groups --------------------------------------------------------------------------------- */

static void group_is_found_by_its_mount(void **state)
{
	static const char mounts[] = "22 28 0:20 / /proc rw - proc proc rw\n"
				     "31 28 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
				     "32 28 0:28 /box /sys/fs/cgroup/unified rw shared:1 - cgroup2 cgroup2 rw\n";
	char directory[256], path[64];
	(void)state;
	assert_true(ms_group_find("4:memory:/v1\n0::/box/app.slice\n", mounts, directory, sizeof directory, path, sizeof path));
	assert_string_equal(path, "/box/app.slice");
	assert_string_equal(directory, "/sys/fs/cgroup/unified/app.slice");
	assert_true(ms_group_find("0::/\n", mounts, directory, sizeof directory, path, sizeof path));
	assert_string_equal(directory, "/sys/fs/cgroup/unified/");
	assert_false(ms_group_find("4:memory:/v1\n", mounts, directory, sizeof directory, path, sizeof path));
	assert_false(ms_group_find("0::/\n", "22 28 0:20 / /proc rw - proc proc rw\n", directory, sizeof directory, path,
		sizeof path));
	assert_false(ms_group_find("0::/a/path/that/is/too/long\n", mounts, directory, sizeof directory, path, 8));
}

static void put_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void group_files_are_fields(void **state)
{
	char directory[] = "/tmp/mstest-group-XXXXXX";
	struct ms_group_meter m;
	struct mst_sample s = {0};
	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chdir(directory), 0);
	put_file("memory.current", "123456\n");
	put_file("memory.max", "max\n");
	put_file("memory.high", "65536\n");
	put_file("memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n");
	put_file("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 "
				    "avg300=0.00 total=33\n");
	assert_true(ms_group_meter_open(&m, directory));
	ms_group_meter_read(&m, &s);
	assert_int_equal(s.value[MST_SAMPLE_GROUP_CURRENT], 123456);
	assert_true(s.value[MST_SAMPLE_GROUP_MAX] == MST_NO_LIMIT);
	assert_int_equal(s.value[MST_SAMPLE_GROUP_HIGH], 65536);
	assert_false(knows(&s, MST_SAMPLE_GROUP_PEAK));
	assert_true(knows(&s, MST_SAMPLE_GROUP_LOW_EVENTS));
	assert_int_equal(s.value[MST_SAMPLE_GROUP_OOM_EVENTS], 3);
	assert_int_equal(s.value[MST_SAMPLE_GROUP_OOM_KILLS], 4);
	assert_int_equal(s.value[MST_SAMPLE_GROUP_PRESSURE_SOME], 77000);
	assert_int_equal(s.value[MST_SAMPLE_GROUP_PRESSURE_FULL], 33000);
	ms_group_meter_close(&m);
	const char *const files[] = {
		"memory.current", "memory.max", "memory.high", "memory.events", "memory.pressure"};
	for (size_t i = 0; i < 5; i++)
		unlink(files[i]);
	assert_int_equal(chdir("/"), 0);
	rmdir(directory);
	assert_false(ms_group_meter_open(&m, directory));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rollup_gives_its_lines),
		cmocka_unit_test(status_of_a_zombie_has_no_memory),
		cmocka_unit_test(stat_is_read_behind_the_last_parenthesis),
		cmocka_unit_test(cut_and_absurd_texts_say_nothing),
		cmocka_unit_test(we_ourselves_can_be_read),
		cmocka_unit_test(ended_process_says_nothing_whoever_has_its_id),
		cmocka_unit_test(group_is_found_by_its_mount),
		cmocka_unit_test(group_files_are_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

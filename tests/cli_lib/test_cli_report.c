#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "report.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char captured[65536];

/* Runs body in a child with standard error into `captured`; returns its exit status. */
static int run_captured(void (*body)(void))
{
	FILE *f = tmpfile();
	int status = 0;
	pid_t pid;
	size_t n;

	assert_non_null(f);
	pid = fork();
	if (pid == 0) {
		dup2(fileno(f), STDERR_FILENO);
		body();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rewind(f);
	n = fread(captured, 1, sizeof(captured) - 1, f);
	captured[n] = '\0';
	fclose(f);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void die_with_hostile_name(void)
{
	ms_report_init("msdump", MS_EXIT_FAIL);
	ms_die("cannot read '%s': %s", "\033[2J%n\nmsdump: all fine", "no such file");
}

static void messages_stay_one_harmless_line(void **state)
{
	(void)state;
	assert_int_equal(run_captured(die_with_hostile_name), 2);
	assert_string_equal(
		captured, "msdump: cannot read '\\x1b[2J%n\\x0amsdump: all fine': no such file\n");
}

static void warn_of_long_name(void)
{
	char *name = malloc(10 << 20);

	memset(name, 'n', 10 << 20);
	name[(10 << 20) - 1] = '\0';
	ms_report_init("msdump", MS_EXIT_FAIL);
	ms_warn("cannot read '%s': %s", name, "it is too long");
	free(name);
}

static void endless_messages_lose_their_middle(void **state)
{
	(void)state;
	assert_int_equal(run_captured(warn_of_long_name), 0);
	assert_true(strlen(captured) < 4400);
	assert_memory_equal(captured, "msdump: warning: cannot read 'nnn", 33);
	assert_non_null(strstr(captured, "bytes left out"));
	assert_non_null(strstr(captured, "nnn': it is too long\n"));
}

static void die_as_msrecord(void)
{
	ms_report_init("msrecord", 125);
	ms_die("no");
}

static void fail_status_is_the_tools(void **state)
{
	(void)state;
	assert_int_equal(run_captured(die_as_msrecord), 125);
}

static void be_quiet(void)
{
	ms_report_quiet(true);
	ms_info("never seen");
	ms_warn("seen");
}

static void quiet_silences_only_information(void **state)
{
	(void)state;
	run_captured(be_quiet);
	assert_null(strstr(captured, "never seen"));
	assert_non_null(strstr(captured, "seen"));
}

static void write_to_full_disk(void)
{
	struct ms_out o;

	ms_report_init("msdump", MS_EXIT_FAIL);
	ms_report_open(&o, "/dev/full", MS_OUT_FORCE);
	ms_out_str(&o, "x");
	_exit(ms_report_close(&o, "/dev/full", MS_EXIT_OK));
}

static void full_disk_is_exit_2_with_a_reason(void **state)
{
	(void)state;
	if (access("/dev/full", W_OK) < 0)
		skip();
	assert_int_equal(run_captured(write_to_full_disk), 2);
	assert_string_equal(captured, "msdump: cannot write '/dev/full': No space left on device\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_stay_one_harmless_line),
		cmocka_unit_test(endless_messages_lose_their_middle),
		cmocka_unit_test(fail_status_is_the_tools),
		cmocka_unit_test(quiet_silences_only_information),
		cmocka_unit_test(full_disk_is_exit_2_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

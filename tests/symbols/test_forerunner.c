/* Parsers started ahead, on real files: libc and the library that reads it are in this process. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <elfutils/libdw.h>

#include "forerunner.h"
#include "symbols.h"

enum { N = 2000 };

static char libc_path[4096], libdw_path[4096], scratch[] = "/tmp/forerunner-XXXXXX";

static void path_of(const void *function, char *path)
{
	Dl_info info;

	assert_true(dladdr(function, &info));
	assert_non_null(realpath(info.dli_fname, path));
}

/* Addresses all over both modules. */
static struct ms_symbols *resolve(const char *first, const char *second, struct ms_forerunner *f)
{
	const struct ms_symbol_module modules[] = { { .path = first }, { .path = second } };
	const struct ms_symbol_options options = { .forerunner = f };
	static struct ms_symbol_query queries[N];
	struct ms_symbols *symbols;

	for (uint32_t i = 0; i < N; i++)
		queries[i] = (struct ms_symbol_query){ .module = i % 2, .offset = 0x20000 + 401 * (uint64_t)i };
	assert_int_equal(ms_symbols_resolve(modules, 2, queries, N, &options, &symbols), 0);
	return symbols;
}

static void same_text(const char *a, const char *b)
{
	if (a && b)
		assert_string_equal(a, b);
	else
		assert_ptr_equal(a, b);
}

static void same_symbols(const struct ms_symbols *a, const struct ms_symbols *b)
{
	for (size_t i = 0; i < N; i++) {
		size_t n, m;
		const struct ms_symbol_frame *f = ms_symbols_frames(a, i, &n), *g = ms_symbols_frames(b, i, &m);

		assert_int_equal(n, m);
		for (size_t k = 0; k < n; k++) {
			same_text(f[k].function, g[k].function);
			same_text(f[k].file, g[k].file);
			assert_int_equal(f[k].line, g[k].line);
			assert_int_equal(f[k].is_inlined, g[k].is_inlined);
		}
	}
	for (size_t i = 0; i < 2; i++) {
		same_text(ms_symbols_report(a, i)->problem, ms_symbols_report(b, i)->problem);
		assert_int_equal(ms_symbols_report(a, i)->has_debug_info, ms_symbols_report(b, i)->has_debug_info);
		assert_int_equal(ms_symbols_report(a, i)->has_symbol_table, ms_symbols_report(b, i)->has_symbol_table);
	}
}

static void wait_a_moment(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

/* Fills pids with the children of a process (of its first thread), as far as there is room. */
static size_t children_of(pid_t pid, pid_t *pids, size_t room)
{
	char path[64];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "r");
	while (f && n < room && fscanf(f, "%d", &pids[n]) == 1)
		n++;
	if (f)
		fclose(f);
	return n;
}

/* One told of both modules, as soon as it has started both parsers. */
static struct ms_forerunner *send_ahead(pid_t *process, pid_t parsers[2])
{
	struct ms_forerunner *f = ms_forerunner_open(NULL);

	assert_non_null(f);
	ms_forerunner_tell(f, &(struct ms_symbol_module){ .path = libc_path });
	ms_forerunner_tell(f, &(struct ms_symbol_module){ .path = libdw_path });
	assert_int_equal(children_of(getpid(), process, 1), 1);
	while (children_of(*process, parsers, 2) < 2)
		wait_a_moment();
	return f;
}

static void prepared_modules_have_the_same_names(void **state)
{
	struct ms_symbols *plain = resolve(libc_path, libdw_path, NULL), *early;
	pid_t process, parsers[2];
	struct ms_forerunner *f = send_ahead(&process, parsers);

	(void)state;
	early = resolve(libc_path, libdw_path, f);
	same_symbols(plain, early);
	ms_symbols_free(early);
	ms_symbols_free(plain);
	ms_forerunner_close(f);
}

static void without_forerunner_or_parsers_names_are_the_same(void **state)
{
	struct ms_symbols *plain = resolve(libc_path, libdw_path, NULL);

	(void)state;
	for (int kills_process = 0; kills_process < 2; kills_process++) {
		pid_t process, parsers[2];
		struct ms_forerunner *f = send_ahead(&process, parsers);
		struct ms_symbols *early;

		if (kills_process)
			kill(process, SIGKILL);
		else
			kill(parsers[0], SIGKILL), kill(parsers[1], SIGKILL);
		early = resolve(libc_path, libdw_path, f);
		same_symbols(plain, early);
		ms_symbols_free(early);
		/* nor does anything go wrong when it is told of more */
		ms_forerunner_tell(f, &(struct ms_symbol_module){ .path = "/bin/sh" });
		ms_forerunner_close(f);
	}
	ms_symbols_free(plain);
}

static void copy(const char *from, const char *to)
{
	char command[8300];

	snprintf(command, sizeof(command), "cp '%s' '%s'", from, to);
	assert_int_equal(system(command), 0);
}

/* In place, and by another file: the names are those of what is there when they are asked for. */
static void file_that_has_changed_is_read_again(void **state)
{
	char path[64], other[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/module", scratch);
	snprintf(other, sizeof(other), "%s/other", scratch);
	for (int replaces = 0; replaces < 2; replaces++) {
		struct ms_forerunner *f = ms_forerunner_open(NULL);
		struct ms_symbols *plain, *early;
		pid_t process, parser;

		assert_non_null(f);
		copy(libc_path, path);
		ms_forerunner_tell(f, &(struct ms_symbol_module){ .path = path });
		assert_int_equal(children_of(getpid(), &process, 1), 1);
		while (children_of(process, &parser, 1) < 1)
			wait_a_moment();
		copy(libdw_path, replaces ? other : path);
		if (replaces)
			assert_int_equal(rename(other, path), 0);
		early = resolve(path, libc_path, f);
		plain = resolve(path, libc_path, NULL);
		same_symbols(plain, early);
		ms_symbols_free(early);
		ms_symbols_free(plain);
		ms_forerunner_close(f);
	}
}

/* Neither a descriptor of ours nor a process is left behind, and nobody is waited for who reads what we write. */
static void nothing_is_held_or_left(void **state)
{
	pid_t process, parsers[2];
	struct ms_forerunner *f;
	int ends[2];
	char c;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	f = send_ahead(&process, parsers);
	close(ends[1]);
	assert_int_equal(read(ends[0], &c, 1), 0);
	close(ends[0]);
	assert_int_not_equal(getsid(process), getsid(0)); /* no terminal of ours */
	ms_forerunner_close(f);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(kill(parsers[i], 0), -1); /* it has reaped them */
}

static void all_end_with_the_recorder(void **state)
{
	pid_t pids[3], recorder;
	int told[2], held[2];
	char c;

	(void)state;
	assert_int_equal(pipe(told), 0);
	assert_int_equal(pipe(held), 0);
	recorder = fork();
	if (recorder == 0) {
		pid_t parsers[2];

		send_ahead(&pids[0], parsers);
		memcpy(pids + 1, parsers, 2 * sizeof(pid_t));
		if (write(told[1], pids, sizeof(pids)) != (ssize_t)sizeof(pids))
			_exit(1);
		for (;;)
			pause();
	}
	close(held[1]);
	assert_int_equal(read(told[0], pids, sizeof(pids)), sizeof(pids));
	kill(recorder, SIGKILL);
	assert_int_equal(read(held[0], &c, 1), 0);
	waitpid(recorder, NULL, 0);
	for (size_t i = 0; i < 3; i++) {
		char path[64], state_of = 'R';
		FILE *stat;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pids[i]);
		while ((stat = fopen(path, "r")) && state_of != 'Z') { /* a zombie is whose child it has become now */
			if (fscanf(stat, "%*d (%*[^)]) %c", &state_of) != 1)
				state_of = 'Z';
			fclose(stat);
			wait_a_moment();
		}
		if (stat)
			fclose(stat);
	}
	close(told[0]);
	close(told[1]);
	close(held[0]);
}

/* A descriptor a module is the most it costs the recorder. */
static void many_modules_are_told_and_most_are_left(void **state)
{
	struct ms_forerunner *f = ms_forerunner_open(NULL);
	struct ms_symbols *plain, *early;

	(void)state;
	assert_non_null(f);
	for (int i = 0; i < 300; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/no/such/file.%d", i);
		ms_forerunner_tell(f, &(struct ms_symbol_module){ .path = path });
	}
	ms_forerunner_tell(f, &(struct ms_symbol_module){ .path = libc_path });
	early = resolve(libc_path, libdw_path, f);
	plain = resolve(libc_path, libdw_path, NULL);
	same_symbols(plain, early);
	ms_symbols_free(early);
	ms_symbols_free(plain);
	ms_forerunner_close(f);
}

static int set_up(void **state)
{
	(void)state;
	path_of((const void *)(uintptr_t)malloc, libc_path);
	path_of((const void *)(uintptr_t)dwarf_begin, libdw_path);
	return mkdtemp(scratch) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", scratch);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prepared_modules_have_the_same_names),
		cmocka_unit_test(without_forerunner_or_parsers_names_are_the_same),
		cmocka_unit_test(file_that_has_changed_is_read_again),
		cmocka_unit_test(nothing_is_held_or_left),
		cmocka_unit_test(all_end_with_the_recorder),
		cmocka_unit_test(many_modules_are_told_and_most_are_left),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

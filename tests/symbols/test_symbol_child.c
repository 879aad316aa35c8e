/* What becomes of a parser that has been taken over, or has gone mad. The parser itself is replaced: this file defines
 * ms_symbol_parse, so the linker does not take the real one, and what it does is told by the name of the file. All
 * names are links to a copy of this program. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "symbols.h"

#include "file_broker.h"
#include "forerunner.h"
#include "symbol_parser.h"

static char scratch[] = "/tmp/symbol-child-XXXXXX";

static int answer(const struct ms_parser_job *job, struct ms_reply *reply, const char *name)
{
	const uint64_t *addresses = job->addresses;
	struct ms_reply_frame frame = { .line = 1 };
	size_t n = job->n_addresses;
	int rc = ms_reply_add_string(reply, name, &frame.function);

	if (rc == 0 && job->await)
		rc = job->await(&addresses, &n);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		ms_reply_begin_query(reply);
		rc = ms_reply_add_frame(reply, &frame);
	}
	return rc;
}

static int exhaust_memory(void)
{
	for (size_t i = 0; i < 4096; i++) {
		char *block = malloc(1 << 20);

		if (!block)
			return -ENOMEM;
		block[0] = 1;
		__asm__ volatile("" : : "r"(block) : "memory");
	}
	return 0;
}

/* Names the first thing that worked although it must not. */
static const char *try_forbidden(void)
{
	char path[4096];
	void *code;

	snprintf(path, sizeof(path), "%s/planted", scratch);
	if (open(path, O_WRONLY | O_CREAT, 0600) >= 0)
		return "created a file";
	if (unlink("crash") == 0 || mkdir(path, 0700) == 0)
		return "changed a directory";
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
		return "made a socket";
	if (kill(getppid(), 0) == 0)
		return "signalled";
	if (fork() >= 0)
		return "forked";
	execl("/bin/true", "true", (char *)NULL);
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0)
		return "traced";
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code != MAP_FAILED)
		return "made code";
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED || mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0)
		return "made data code";
	return "nothing forbidden worked";
}

static const char *try_files(const struct ms_parser_job *job)
{
	static const char *const bad[] = { "/etc/passwd", "/dev/zero", "/dev/tty", "/", "/no/such/file", "", "fifo" };
	char magic[4] = "";
	int fd;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (open(bad[i], O_RDONLY) >= 0 || job->open_file(bad[i]) >= 0)
			return bad[i];
	}
	fd = open(job->path, O_RDONLY); /* through the signal handler, as libdw does */
	if (fd < 0 || read(fd, magic, 4) != 4 || memcmp(magic, "\177ELF", 4) != 0)
		return "an ELF file could not be read";
	if (write(fd, magic, 4) >= 0)
		return "an ELF file could be written";
	fd = job->open_file(job->path);
	return fd >= 0 && read(fd, magic, 4) == 4 ? "only ELF files opened" : "an ELF file was not given";
}

static int count_descriptors(void)
{
	int n = 0;

	for (int fd = 3; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int lie(const struct ms_parser_job *job, struct ms_reply *reply)
{
	int rc = answer(job, reply, "lie");

	reply->frames[0].function = 1 << 20;
	return rc;
}

/* Shared with the parser, which sets it when it has begun to loop. */
static volatile sig_atomic_t *is_looping;

int ms_symbol_parse(const struct ms_parser_job *job, struct ms_reply *reply)
{
	const char *what = strrchr(job->path, '/') + 1;

	if (strcmp(what, "crash") == 0)
		raise(SIGSEGV), abort();
	if (strcmp(what, "loop") == 0)
		for (*is_looping = 1;;)
			;
	if (strcmp(what, "memory") == 0)
		return exhaust_memory();
	if (strcmp(what, "lie") == 0)
		return lie(job, reply);
	if (strcmp(what, "silent") == 0)
		_exit(0);
	if (strcmp(what, "half") == 0)
		return job->uses_debug_info ? -EOVERFLOW : answer(job, reply, "half");
	if (strcmp(what, "forbidden") == 0)
		return answer(job, reply, try_forbidden());
	if (strcmp(what, "files") == 0)
		return answer(job, reply, try_files(job));
	if (strcmp(what, "descriptors") == 0)
		return answer(job, reply, count_descriptors() == 3 ? "three" : "others");
	if (strcmp(what, "early") == 0) /* tells who has asked */
		return answer(job, reply, job->await ? "early" : "late");
	if (strcmp(what, "crash early") == 0 && job->await)
		raise(SIGSEGV), abort();
	if (strcmp(what, "lie early") == 0 && job->await)
		return lie(job, reply);
	if (strcmp(what, "hang early") == 0 && job->await)
		for (*is_looping = 1;;)
			pause();
	return answer(job, reply, what);
}

static const struct ms_symbol_options short_limits = { .memory_bytes = 256 << 20, .cpu_seconds = 1, .wall_seconds = 600 };

/* Resolves one address in each of the n files named. */
static struct ms_symbols *resolve(const char *const *names, size_t n, const struct ms_symbol_options *options)
{
	struct ms_symbol_module modules[8] = { { .path = NULL } };
	struct ms_symbol_query queries[8];
	struct ms_symbols *symbols = NULL;
	char paths[8][64];

	for (size_t i = 0; i < n; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s/%s", scratch, names[i]);
		modules[i].path = paths[i];
		queries[i] = (struct ms_symbol_query){ .module = (uint32_t)i, .offset = 0x1001 };
	}
	assert_int_equal(ms_symbols_resolve(modules, n, queries, n, options, &symbols), 0);
	return symbols;
}

static const char *function_of(const struct ms_symbols *symbols, size_t query)
{
	size_t n;
	const struct ms_symbol_frame *frames = ms_symbols_frames(symbols, query, &n);

	return n == 1 ? frames[0].function : NULL;
}

static void failing_parsers_cost_only_their_own_module(void **state)
{
	static const char *const names[] = { "good", "crash", "loop", "lie", "silent", "better" };
	struct ms_symbols *symbols = resolve(names, 6, &short_limits);

	(void)state;
	assert_string_equal(function_of(symbols, 0), "good");
	assert_string_equal(function_of(symbols, 5), "better");
	for (size_t i = 0; i < 6; i++) {
		const struct ms_symbol_report *report = ms_symbols_report(symbols, i);

		assert_int_equal(report->was_read, i == 0 || i == 5);
		assert_int_equal(report->problem == NULL, i == 0 || i == 5);
		if (!report->was_read)
			assert_null(function_of(symbols, i));
	}
	assert_non_null(strstr(ms_symbols_report(symbols, 2)->problem, "1 s of processor time"));
	assert_non_null(strstr(ms_symbols_report(symbols, 3)->problem, "malformed answer"));
	assert_non_null(strstr(ms_symbols_report(symbols, 4)->problem, "malformed answer"));
	ms_symbols_free(symbols);
}

static void unusable_debug_info_leaves_the_symbol_table(void **state)
{
	static const char *const names[] = { "half" };
	struct ms_symbols *symbols = resolve(names, 1, &short_limits);

	(void)state;
	assert_string_equal(function_of(symbols, 0), "half");
	assert_true(ms_symbols_report(symbols, 0)->was_read);
	assert_non_null(strstr(ms_symbols_report(symbols, 0)->problem, "only names from its symbol table"));
	ms_symbols_free(symbols);
}

static void wall_time_is_limited_too(void **state)
{
	static const struct ms_symbol_options options = { .cpu_seconds = 100, .wall_seconds = 1 };
	static const char *const names[] = { "loop" };
	struct ms_symbols *symbols = resolve(names, 1, &options);

	(void)state;
	assert_non_null(strstr(ms_symbols_report(symbols, 0)->problem, "not there after 1 s"));
	ms_symbols_free(symbols);
}

static bool is_that_looping(void)
{
	return *is_looping;
}

static void cancelled_lookup_keeps_what_it_has(void **state)
{
	static const struct ms_symbol_options options = { .is_cancelled = is_that_looping };
	static const char *const names[] = { "good", "loop", "better" };
	struct ms_symbols *symbols;

	(void)state;
	*is_looping = 0;
	symbols = resolve(names, 3, &options);
	assert_true(*is_looping);
	assert_string_equal(function_of(symbols, 0), "good");
	for (size_t i = 1; i < 3; i++) {
		assert_false(ms_symbols_report(symbols, i)->was_read);
		assert_string_equal(ms_symbols_report(symbols, i)->problem, "the lookup was cut short");
		assert_null(function_of(symbols, i));
	}
	ms_symbols_free(symbols);
}

#ifdef __SANITIZE_ADDRESS__
enum { HAS_OWN_MEMORY_LIMITS = 1 }; /* its allocator does not return NULL but hangs in its own report */
#else
enum { HAS_OWN_MEMORY_LIMITS = 0 };
#endif

static void memory_is_limited(void **state)
{
	static const char *const names[] = { "memory" };
	struct ms_symbols *symbols;

	(void)state;
	if (HAS_OWN_MEMORY_LIMITS)
		skip();
	symbols = resolve(names, 1, &short_limits);
	assert_non_null(strstr(ms_symbols_report(symbols, 0)->problem, "more than 256 MiB of memory"));
	ms_symbols_free(symbols);
}

static void parser_can_do_nothing_but_parse(void **state)
{
	static const char *const names[] = { "forbidden", "files", "descriptors" };
	struct ms_symbols *symbols;
	int extra = open("/dev/null", O_RDONLY); /* one that the parser must not get */

	(void)state;
	symbols = resolve(names, 3, &short_limits);
	assert_string_equal(function_of(symbols, 0), "nothing forbidden worked");
	assert_string_equal(function_of(symbols, 1), "only ELF files opened");
	assert_string_equal(function_of(symbols, 2), "three");
	ms_symbols_free(symbols);
	close(extra);
}

static void missing_standard_descriptors_do_no_harm(void **state)
{
	static const char *const names[] = { "good", "files" };
	int saved = dup(STDIN_FILENO);
	struct ms_symbols *symbols;

	(void)state;
	close(STDIN_FILENO);
	symbols = resolve(names, 2, &short_limits);
	assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	close(saved);
	assert_string_equal(function_of(symbols, 0), "good");
	assert_string_equal(function_of(symbols, 1), "only ELF files opened");
	ms_symbols_free(symbols);
}

static void no_child_and_no_descriptor_is_left(void **state)
{
	static const char *const names[] = { "good", "crash", "loop" };
	int before = count_descriptors();

	(void)state;
	ms_symbols_free(resolve(names, 3, &short_limits));
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static struct ms_forerunner *send_ahead(const char *const *names, size_t n)
{
	struct ms_forerunner *f = ms_forerunner_open(&short_limits);

	assert_non_null(f);
	for (size_t i = 0; i < n; i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%s", scratch, names[i]);
		ms_forerunner_tell(f, &(struct ms_symbol_module){ .path = path });
	}
	return f;
}

static void early_parsers_are_asked_and_late_ones_run(void **state)
{
	static const char *const names[] = { "early", "small" };
	struct ms_symbol_options options = { .wall_seconds = 600 };
	struct ms_symbols *symbols;

	(void)state;
	symbols = resolve(names, 1, &options);
	assert_string_equal(function_of(symbols, 0), "late");
	ms_symbols_free(symbols);
	options.forerunner = send_ahead(names, 2);
	symbols = resolve(names, 2, &options);
	assert_string_equal(function_of(symbols, 0), "early");
	assert_string_equal(function_of(symbols, 1), "small"); /* not worth it */
	ms_symbols_free(symbols);
	symbols = resolve(names, 1, &options); /* each answers once */
	assert_string_equal(function_of(symbols, 0), "late");
	ms_symbols_free(symbols);
	ms_forerunner_close(options.forerunner);
}

/* Whatever becomes of an early parser, names are those that there are without it. */
static void failing_early_parsers_cost_nothing(void **state)
{
	static const char *const names[] = { "crash early", "lie early", "early", "hang early", "crash", "half" };
	struct ms_symbol_options options = short_limits;
	struct ms_symbols *symbols;

	(void)state;
	options.wall_seconds = 5; /* for the one that hangs; the others may need a moment, too */
	options.forerunner = send_ahead(names, 6);
	symbols = resolve(names, 6, &options);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(function_of(symbols, i), names[i]);
		assert_null(ms_symbols_report(symbols, i)->problem);
	}
	assert_non_null(strstr(ms_symbols_report(symbols, 4)->problem, "crashed"));
	assert_string_equal(function_of(symbols, 5), "half");
	assert_non_null(strstr(ms_symbols_report(symbols, 5)->problem, "only names from its symbol table"));
	ms_symbols_free(symbols);
	ms_forerunner_close(options.forerunner);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void early_parser_can_do_nothing_but_parse(void **state)
{
	static const char *const names[] = { "forbidden", "files", "descriptors" };
	struct ms_symbol_options options = { .wall_seconds = 600 };
	int extra = open("/dev/null", O_RDONLY); /* one that the parser must not get */
	struct ms_symbols *symbols;

	(void)state;
	options.forerunner = send_ahead(names, 3);
	symbols = resolve(names, 3, &options);
	assert_string_equal(function_of(symbols, 0), "nothing forbidden worked");
	assert_string_equal(function_of(symbols, 1), "only ELF files opened");
	assert_string_equal(function_of(symbols, 2), "three");
	ms_symbols_free(symbols);
	ms_forerunner_close(options.forerunner);
	close(extra);
}

/* It would take files for missing, and answer without their names. */
static void parser_whose_broker_is_gone_ends(void **state)
{
	int sockets[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	close(sockets[1]);
	pid = fork();
	if (pid == 0)
		_exit(ms_broker_ask(sockets[0], "/bin/sh") < 0 ? 1 : 2);
	close(sockets[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EPROTO);
}

static void cancelled_lookup_does_not_wait_for_early_parsers(void **state)
{
	static const char *const names[] = { "hang early", "loop" };
	struct ms_symbol_options options = { .is_cancelled = is_that_looping };
	struct ms_symbols *symbols;

	(void)state;
	*is_looping = 0;
	options.forerunner = send_ahead(names, 2);
	symbols = resolve(names, 2, &options);
	assert_true(*is_looping);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(ms_symbols_report(symbols, i)->problem, "the lookup was cut short");
	ms_symbols_free(symbols);
	ms_forerunner_close(options.forerunner);
}

static void query_of_no_module_is_refused(void **state)
{
	const struct ms_symbol_query query = { .module = 0, .offset = 1 };
	struct ms_symbols *symbols;

	(void)state;
	assert_int_equal(ms_symbols_resolve(NULL, 0, &query, 1, NULL, &symbols), -EINVAL);
	assert_null(symbols);
	ms_symbols_free(symbols);
}

static int plant_files(void **state)
{
	static const char *const names[] = { "good", "better", "crash", "loop", "lie", "silent", "half", "memory",
		"forbidden", "files", "descriptors", "early", "crash early", "lie early", "hang early" };

	(void)state;
	is_looping = mmap(NULL, sizeof(*is_looping), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (is_looping == MAP_FAILED)
		return -1;
	if (!mkdtemp(scratch) || chdir(scratch) < 0 || mkfifo("fifo", 0600) < 0)
		return -1;
	/* One file is large enough to be read ahead, one is not; all are ELF files. */
	if (system("cp /proc/$PPID/exe large && head -c 4096 large > small && truncate -s 100M large") != 0)
		return -1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (symlink("large", names[i]) < 0)
			return -1;
	}
	return 0;
}

static int remove_files(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", scratch);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failing_parsers_cost_only_their_own_module),
		cmocka_unit_test(unusable_debug_info_leaves_the_symbol_table),
		cmocka_unit_test(wall_time_is_limited_too),
		cmocka_unit_test(cancelled_lookup_keeps_what_it_has),
		cmocka_unit_test(memory_is_limited),
		cmocka_unit_test(parser_can_do_nothing_but_parse),
		cmocka_unit_test(missing_standard_descriptors_do_no_harm),
		cmocka_unit_test(no_child_and_no_descriptor_is_left),
		cmocka_unit_test(early_parsers_are_asked_and_late_ones_run),
		cmocka_unit_test(failing_early_parsers_cost_nothing),
		cmocka_unit_test(early_parser_can_do_nothing_but_parse),
		cmocka_unit_test(parser_whose_broker_is_gone_ends),
		cmocka_unit_test(cancelled_lookup_does_not_wait_for_early_parsers),
		cmocka_unit_test(query_of_no_module_is_refused),
	};

	return cmocka_run_group_tests(tests, plant_files, remove_files);
}

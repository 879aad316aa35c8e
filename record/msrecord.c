/* msrecord - runs a command and writes what it does with the heap to a trace.
 *
 * This file is options, order of business and what is said meanwhile. The order matters: the child is forked
 * first of all, while this process has nothing a program should not inherit; whatever can be refused is
 * refused before it is let go; and from then on nothing that happens to us may become its problem. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bounds.h"
#include "library.h"
#include "mstrace.h"
#include "names.h"
#include "options.h"
#include "recording_summary.h"
#include "remote.h"
#include "report.h"
#include "resolve.h"
#include "sampler.h"
#include "session.h"
#include "shortcomings.h"
#include "target.h"
#include "tracefile.h"
#include "units.h"
#include "wrapper.h"
#include "wraps.h"

enum { MS_BUFFER_MIN = 1 << 20, MS_BUFFER_MAX = 64 << 20 };
enum { STATUS_OWN_FAILURE = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

struct options {
	const char *output, *resolved;
	bool is_forced;
	int follow, on_full;
	struct ms_string_list only;
	uint64_t stack_depth;
	bool has_no_free_stacks, has_no_symbols, is_quiet, stops_with_command;
	uint64_t level, time_shift, sample_ns;
	uint64_t max_size, buffer;
	const char *kept;
	const char *controlled;
	bool starts_paused;
	uint64_t delay_ns, duration_ns;
	int toggle; /* index into toggle_names */
	struct ms_string_list wraps;
};

static const char *const follow_names[] = {"none", "fork", "exec", "all", NULL}; /* enum ms_follow */
static const char *const full_names[] = {"block", "drop", NULL};
static const char *const toggle_names[] = {"none", "USR1", "USR2", NULL};
static const int toggle_signals[] = {0, SIGUSR1, SIGUSR2};

static const struct ms_opt option_table[] = {
	MS_OPT_GROUP("Trace"),
	MS_OPT_STRING('o', "output", struct options, output, "FILE",
		"write the trace to FILE instead of NAME.PID.mst; - is standard output, and the command's "
		"own standard output then goes to standard error"),
	MS_OPT_FLAG('f', "force", struct options, is_forced, "replace FILE if it exists"),
	MS_OPT_COUNT(0, "level", struct options, level, "N",
		"compression level of zstd, 1 to 19 (default {})"),
	MS_OPT_COUNT(0, "time-shift", struct options, time_shift, "N",
		"keep times in steps of 2^N nanoseconds, 0 to 20; the order is exact whatever N is "
		"(default {})"),
	MS_OPT_SIZE(0, "max-size", struct options, max_size, "SIZE",
		"end the recording before the trace is longer than SIZE; the command goes on unrecorded"),
	MS_OPT_STRING(0, "keep-last", struct options, kept, "SIZE|TIME",
		"flight recorder: drop the oldest events, so that the trace, with the copy that replaces it from "
		"time to time, stays within SIZE and has the most recent fifth of it at least; or so that it "
		"covers the last TIME, and one to three times as much again. What the dropped events left alive stays known, "
		"with its call stacks; SIZE should be eight times what these take, or becomes so, and at least as many events are "
		"dropped at a time as there are live blocks"),
	MS_OPT_FLAG(0, "no-symbols", struct options, has_no_symbols,
		"do not look up function names at the end; addresses are kept"),
	MS_OPT_GROUP("What is recorded"),
	MS_OPT_ENUM(0, "follow", struct options, follow, follow_names,
		"processes besides the command's first program: none, those it forks, those started by exec, "
		"or all (default {})"),
	MS_OPT_STRINGS(0, "only", struct options, only, "PATTERN",
		"record only programs, of these and the first one, whose name matches the shell pattern (with a / in it: the "
		"whole path), be it their file's or the one they are called by; the others run unrecorded, but what they start is "
		"looked at; may be given several times"),
	MS_OPT_FLAG(0, "no-wait", struct options, stops_with_command,
		"end the recording with the command, though processes it has started still run"),
	MS_OPT_COUNT(0, "stack-depth", struct options, stack_depth, "N",
		"keep at most N frames of each call stack, the innermost ones; 0: no stacks (default {})"),
	MS_OPT_FLAG(0, "no-free-stacks", struct options, has_no_free_stacks,
		"no call stacks for frees: faster, smaller"),
	MS_OPT_STRINGS(0, "wrap", struct options, wraps, "POOL",
		"record an allocator of the program's own, too, as a layer apart from the heap: POOL is "
		"alloc=NAME,free=NAME[,realloc=NAME][,name=TEXT] with the names of functions in shared objects, as said above; "
		"may be given several times"),
	MS_OPT_ENUM(0, "on-full", struct options, on_full, full_names,
		"when the program is faster than the recorder: block it until there is room, or drop events "
		"and count them, as is done in any case while the recorder, stopped perhaps, has taken nothing for 5 s of waiting "
		"(default {})"),
	MS_OPT_SIZE(0, "buffer", struct options, buffer, "SIZE",
		"room for events that the recorder has not taken yet, in each process, beside the 32 KiB that each thread "
		"has; what of it was ever needed counts as memory of the process (1M to 64M, default {})"),
	MS_OPT_DURATION(0, "sample", struct options, sample_ns, "TIME",
		"every so often note how much memory each process has in the kernel's account (RSS, PSS, shared "
		"and private, swap, faults, control group); at most 1 % of a processor goes into it, so large "
		"processes get PSS less often; 0: never (default {})"),
	MS_OPT_GROUP("When it is recorded"),
	MS_OPT_FLAG(0, "paused", struct options, starts_paused,
		"start with the recording paused: --control, a signal or the program itself (see mstrace/annotate.h) "
		"starts it"),
	MS_OPT_DURATION(0, "delay", struct options, delay_ns, "TIME",
		"start with the recording paused, and record from TIME after the start on"),
	MS_OPT_DURATION(0, "duration", struct options, duration_ns, "TIME",
		"end the recording when TIME has passed since it was first on, and complete the trace; the command "
		"goes on unrecorded"),
	MS_OPT_ENUM(0, "signal", struct options, toggle, toggle_names,
		"pause and resume by turns whenever this signal is sent to msrecord, which then does not pass it on; the "
		"command's own signals are left alone (default {})"),
	MS_OPT_GROUP("Another recording, while it runs"),
	MS_OPT_STRING(0, "control", struct options, controlled, "TRACE",
		"record nothing, but tell the msrecord that is writing TRACE to start, to stop (that is, to pause), to "
		"mark NAME, which gives this place in the trace a name, or to print its status"),
	MS_OPT_GROUP("Afterwards"),
	MS_OPT_STRING(0, "resolve", struct options, resolved, "TRACE",
		"run nothing: look up the function names that TRACE lacks, in the files it names, and "
		"replace it by the completed trace, or write that to FILE"),
	MS_OPT_GROUP("Messages"),
	MS_OPT_FLAG('q', "quiet", struct options, is_quiet, "say nothing unless something is wrong"),
	MS_OPT_END,
};

static const struct ms_example examples[] = {
	{"msrecord -- ./app --its-own options", "record ./app into app.PID.mst"},
	{"msrecord -o build.mst make -j4", "record make and all it starts"},
	{"msrecord --only='cc1*' -o cc.mst make", "the compiler proper, wherever make starts it"},
	{"msrecord -q -o - ./app | msanalyze leaks -", "analyse without a file"},
	{"msrecord --keep-last=30s ./server", "what came last before a crash, for days if need be"},
	{"msrecord --paused -o srv.mst ./server", "start it with the recording paused ..."},
	{"msrecord --control srv.mst start", "... and record from here on"},
	{"msrecord --control srv.mst mark 'load test'", "name this moment in the trace"},
	{"msrecord --delay=10s --duration=1min ./server", "record one minute, after the start-up"},
	{"msrecord --wrap=alloc=pool_get:2,free=pool_put:2 ./app", "and what it has from a pool of its own"},
	{"msrecord --resolve app.1234.mst", "add names after a crash, or with debug files installed since"},
	{NULL, NULL},
};

static const struct ms_exit_code exit_codes[] = {
	{"n", "the command's own exit status"},
	{"128+n", "signal n ended the command"},
	{"125", "msrecord itself failed; or the trace is incomplete though the command succeeded"},
	{"126", "the command is not executable"},
	{"127", "the command was not found"},
	{NULL, NULL},
};

static const struct ms_tool tool = {
	.name = "msrecord",
	.summary = "record what a program does with the heap",
	.description =
		"Runs COMMAND and writes every call of malloc, free and their kin, with call stacks, threads "
		"and processes, to a trace that msdump, msanalyze and msrender read.\n\n"
		"The command's output and exit status are its own. Signals sent to msrecord are passed on to "
		"it; Ctrl-C reaches both, and msrecord completes the trace. If processes outlive the "
		"command, as daemons do, recording goes on until they end too, or until Ctrl-C.\n\n"
		"--wrap=alloc=NAME,free=NAME,... records a pool: functions by which the command, or a library of it, "
		"hands out pieces of memory that it has from the heap or maps. Their blocks have ordinals of their own, "
		"and their bytes are not added to the heap's; calls of malloc that a pool makes are recorded as ever, calls of "
		"its own functions are not. The functions must be called by way of the dynamic linker: in a shared object, "
		"exported, and called from another one (or through its PLT). alloc=NAME:2 says that its second argument is "
		"the size, alloc=NAME:1*2 that the size is a product; free=NAME:2 and realloc=NAME:2:3 say which argument "
		"is the block, and realloc which the size (else 1, and 1:2). alloc, free and realloc may stand several times. "
		"These arguments are integers or pointers among the first six; a function may have fourteen in all, and vectors. "
		"A function that releases many blocks at once (a reset of the pool, its end) cannot be told: its arguments do not "
		"say which, so what it releases stays in the live set. "
		"name=TEXT names the pool in the trace (else it has the name of the first alloc): msanalyze leaks --pool=TEXT.\n\n"
		"Code that the command generates while it runs has the names that the command writes to "
		"/tmp/perf-PID.map, as node --perf-basic-prof does (with --interpreted-frames-native-stack for functions "
		"that are not compiled, too); without them it is shown as [jit] and its address. Stacks lead through such "
		"code where it keeps frame pointers, or can be seen to return; else they end there, and are marked as cut.\n\n"
		"While the recording is paused, allocations are not recorded and next to nothing is done in the "
		"command. Releases of blocks that the trace knows are, so that no block is taken for a leak that was "
		"freed meanwhile. --control reaches the msrecord of the same user on the same machine (and network "
		"namespace), by the trace file, wherever it has been moved to in its file system. Pauses and marks "
		"are in the trace; msdump prints them among the events.\n\n"
		"If the trace cannot be written any more, the command goes on unrecorded. If msrecord is "
		"killed, the trace can be read up to its last second.\n\n"
		"COMMAND must be dynamically linked with glibc and built without sanitizers. What it starts "
		"and cannot be recorded (static, set-uid, sanitized, of another ABI) runs as it would without "
		"msrecord, and is named at the end and in the trace. The environment variable MSTRACE_CAPTURE_LIB "
		"may name the capture library.",
	.self = {.operands = "[--] COMMAND [ARG...] | --control TRACE start|stop|mark NAME|status", .min_operands = 0, .max_operands = -1},
	.options = option_table,
	.examples = examples,
	.exit_codes = exit_codes,
	.stops_at_operand = true,
	.usage_status = STATUS_OWN_FAILURE,
};

/* One recording and all it holds. */
struct recording {
	const struct options *options;
	struct ms_bounds bounds;
	char **command;
	struct ms_session session;
	struct ms_server *server;
	struct ms_sampler *sampler; /* NULL: nothing is sampled */
	struct ms_library library;
	struct ms_wraps wraps;
	struct ms_wrapper wrapper;
	struct ms_child child;
	struct ms_tracefile file;
	struct ms_remote *remote;
	struct mst_writer *writer;
	struct ms_names_ahead ahead;
};

/* ---- before the start ------------------------------------------------------------------------------- */

static void check_bounds(const struct options *o, struct ms_bounds *b)
{
	b->max_bytes = o->max_size;
	if (o->kept && !ms_bounds_parse_keep(o->kept, b))
		ms_die("--keep-last: '%s' is neither a size such as 64M or 2GiB nor a time such as 30s or 5min", o->kept);
	const char *fault = ms_bounds_fault(b);
	if (fault)
		ms_die("%s", fault);
	if (o->kept && o->output && strcmp(o->output, "-") == 0)
		ms_die("--keep-last drops the beginning of a file, and standard output has none: give -o FILE");
}

static void check_options(const struct options *o)
{
	if (o->level < 1 || o->level > 19)
		ms_die("--level must be between 1 and 19");
	if (o->time_shift > 20)
		ms_die("--time-shift must be between 0 and 20");
	if (o->sample_ns && o->sample_ns < 1000000)
		ms_die("--sample must be at least 1ms, or 0");
	if (o->buffer < MS_BUFFER_MIN || o->buffer > MS_BUFFER_MAX)
		ms_die("--buffer must be between 1M and 64M");
	if (o->stack_depth > MS_MAX_STACK_DEPTH)
		ms_die("--stack-depth must be between 0 and %u", MS_MAX_STACK_DEPTH);
}

static void check_patterns(const struct ms_string_list *only)
{
	for (size_t i = 0; i < only->n; i++)
		if (!*only->items[i])
			ms_die("--only needs a pattern, such as cc1plus or '/opt/app/*'");
}

static void take_wraps(struct options *o, struct ms_wraps *wraps)
{
	char why[512];
	for (size_t i = 0; i < o->wraps.n; i++)
		if (ms_wraps_add(wraps, o->wraps.items[i], why) < 0)
			ms_die("--wrap: %s", why);
	free(o->wraps.items);
	o->wraps.items = NULL;
	o->wraps.n = 0;
}

/* 0, or the status to exit with. */
static int check_target(const char *argv0)
{
	static const int statuses[] = {
		[MS_TARGET_UNFIT] = STATUS_OWN_FAILURE,
		[MS_TARGET_NOT_EXECUTABLE] = STATUS_NOT_EXECUTABLE,
		[MS_TARGET_NOT_FOUND] = STATUS_NOT_FOUND,
	};
	struct ms_target target;
	ms_target_inspect(argv0, &target);
	if (target.verdict == MS_TARGET_GOOD)
		return 0;
	if (target.verdict == MS_TARGET_DOUBTFUL) {
		ms_warn("%s", target.why);
		return 0;
	}
	ms_error("%s", target.why);
	return statuses[target.verdict];
}

/* A segment, a descriptor and a connection for each of many processes. */
static void raise_limits(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int open_server(struct recording *r)
{
	const struct options *o = r->options;
	const struct ms_server_options opt = {
		.segments =
			{
				.clock_base = r->session.clock.base,
				.clock = r->session.clock.kind,
				.on_full = o->on_full == 0 ? MS_FULL_BLOCK : MS_FULL_DROP,
				.stack_depth = (uint32_t)o->stack_depth,
				.free_stacks = !o->has_no_free_stacks,
				.backlog = (uint32_t)(o->buffer / MS_CHUNK_SIZE),
			},
		.follow = (enum ms_follow)o->follow,
		.selection = {o->only.items, o->only.n},
		.clock = &r->session.clock,
		.wake = ms_session_wake,
		.ctx = &r->session,
	};
	int rc = ms_server_open(&opt, &r->server);
	if (rc < 0)
		ms_error(
			"cannot make a directory and socket for the command to find: %s (%s)", strerror(-rc),
			rc == -EMFILE ? "see ulimit -n" : "TMPDIR names another place");
	return rc;
}

/* The shared object that --wrap needs. */
static int make_wrapper(struct recording *r)
{
	if (r->wraps.n == 0)
		return 0;
	const char *taken = ms_wraps_taken_name(&r->wraps, r->library.path);
	if (taken) {
		ms_error("--wrap: '%s' is recorded anyway, or used for that, and can be no pool's", taken);
		return -1;
	}
	int rc = ms_wrapper_make(&r->wrapper, &r->wraps, ms_server_directory(r->server));
	if (rc < 0)
		ms_error("cannot make a library for --wrap: %s",
			rc == -EINVAL ? "its path has blanks or colons (TMPDIR names another place)"
			: rc == -EPERM ? "nothing can be executed in that directory (TMPDIR names another place)"
				       : strerror(-rc));
	return rc;
}

static int fork_child(struct recording *r)
{
	const char *why;
	if (ms_library_find(&r->library, ms_server_directory(r->server), &why)) {
		ms_error("cannot use the capture library libmscapture.so: %s", why);
		return -1;
	}
	char names[sizeof r->wrapper.path + sizeof r->library.name + 1];
	if (make_wrapper(r) < 0)
		return -1;
	snprintf(names, sizeof names, "%s%s%s", r->wrapper.path, r->wrapper.path[0] ? ":" : "", r->library.name);
	const struct ms_spawn spawn = {
		.argv = r->command,
		.preload = names,
		.variable = ms_server_variable(r->server),
		.is_stdout_to_stderr = r->options->output && strcmp(r->options->output, "-") == 0,
	};
	int rc = ms_child_fork(&spawn, &r->child);
	if (rc < 0)
		ms_error("cannot start a process: %s", strerror(-rc));
	return rc;
}

/* The arguments joined by NUL. malloc'ed, or NULL. */
static char *join_command(char **command, size_t *len)
{
	size_t n = 0;
	for (char **arg = command; *arg; arg++)
		n += strlen(*arg) + 1;
	char *joined = malloc(n), *at = joined;
	for (char **arg = command; joined && *arg; arg++)
		at = stpcpy(at, *arg) + 1;
	*len = n - 1;
	return joined;
}

static int open_writer(struct recording *r)
{
	char cwd[PATH_MAX] = "", tool_name[64];
	struct utsname host;
	const struct options *o = r->options;
	const struct ms_clock_map *clock = &r->session.clock;
	size_t cmdline_len;
	char *cmdline = join_command(r->command, &cmdline_len);
	if (!cmdline)
		return MST_ENOMEM;
	uname(&host);
	if (!getcwd(cwd, sizeof cwd))
		cwd[0] = 0;
	snprintf(tool_name, sizeof tool_name, "msrecord %s", MS_VERSION);
	struct mst_writer_options opt = {
		.header =
			{
				.time_shift = (uint8_t)o->time_shift,
				.has_addresses = true,
				.has_free_stacks = !o->has_no_free_stacks && o->stack_depth > 0,
				.stack_depth = (uint32_t)o->stack_depth,
				.start_realtime_ns = clock->realtime_ns,
				.start_monotonic_ns = clock->monotonic_ns,
				.page_size = (uint32_t)sysconf(_SC_PAGESIZE),
				.n_cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN),
				.tool = tool_name,
				.host = host.nodename,
				.kernel = host.release,
				.arch = host.machine,
				.clock = ms_clock_name(clock->kind),
				.cwd = cwd,
				.cmdline = cmdline,
				.cmdline_len = cmdline_len,
			},
		.level = (int)o->level,
		.threaded = true,
	};
	ms_bounds_apply(&r->bounds, &r->file, &opt);
	int rc = mst_writer_open(r->file.fd, &opt, &r->writer);
	free(cmdline);
	return rc;
}

static int open_trace(struct recording *r)
{
	const char *why;
	if (ms_tracefile_open(
		    &r->file, r->options->output, r->command[0], r->child.pid, r->options->is_forced, &why)) {
		ms_error("cannot write '%s': %s", r->file.path, why);
		return -1;
	}
	if (r->options->kept && !r->file.is_new) {
		ms_error("cannot write '%s': --keep-last needs a regular file", r->file.path);
		return -1;
	}
	int rc = open_writer(r);
	if (rc < 0)
		ms_error("cannot write '%s': %s", r->file.path,
			rc == MST_EIO ? strerror(errno) : mst_strerror(rc));
	return rc;
}

static void say_out_of_reach(int rc)
{
	ms_warn("--control will not reach this recording: %s",
		rc == -EADDRINUSE ? "another process has taken its place" : strerror(-rc));
}

/* The trace becomes another file: the writer's thread says so. */
static void move_remote(void *ctx, int fd)
{
	int rc = ms_remote_move(ctx, fd);
	if (rc < 0)
		say_out_of_reach(rc);
}

/* A recording that can not be controlled is as good as any. */
static void open_remote(struct recording *r)
{
	int rc = ms_remote_open(r->file.fd, &r->remote);
	if (rc < 0 && rc != -EINVAL) /* a pipe or device */
		say_out_of_reach(rc);
	if (rc < 0)
		return;
	r->file.on_next = move_remote;
	r->file.ctx = r->remote;
}

/* ---- the recording ---------------------------------------------------------------------------------- */

static void say_who_is_waited_for(void *ctx, size_t n)
{
	(void)ctx;
	ms_info("the command has ended; %zu process%s it started still run%s and %s recorded: "
		"Ctrl-C ends that",
		n, n == 1 ? "" : "es", n == 1 ? "s" : "", n == 1 ? "is" : "are");
}

/* Exec has failed, as it can in spite of all we looked at. */
static int say_exec_failure(const char *command, int error)
{
	ms_error("cannot run '%s': %s", command, strerror(error));
	return error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

static void say_writer_failure(const struct recording *r, int rc)
{
	const struct mst_problem *problem = mst_writer_problem(r->writer);
	ms_error("cannot write '%s': %s; the trace ends here%s", r->file.path,
		problem && problem->os_errno  ? strerror(problem->os_errno)
		: problem && problem->text[0] ? problem->text
					      : mst_strerror(rc),
		r->child.has_ended ? "" : ", the command goes on");
}

static void say_full(const struct recording *r)
{
	struct ms_out size;
	ms_out_init_memory(&size);
	ms_print_size(&size, r->bounds.max_bytes);
	ms_warn("'%s' has reached --max-size (%s): the recording ends here%s", r->file.path, ms_out_text(&size),
		r->child.has_ended ? "" : ", the command goes on unrecorded");
	ms_out_release(&size);
}

/* A flight recorder whose dictionaries and live blocks alone were too much. */
static void say_bound_broken(const struct recording *r, const struct mst_kept *kept)
{
	struct ms_out line;
	if (kept->limit_bytes <= r->bounds.keep_bytes)
		return;
	ms_out_init_memory(&line);
	ms_print_size(&line, kept->base_bytes);
	ms_out_str(&line, " of stacks, names and live blocks are too much for --keep-last; the bound became ");
	ms_print_size(&line, kept->limit_bytes);
	ms_warn("%s", ms_out_text(&line));
	ms_out_release(&line);
}

/* The trace is complete without names, too. */
static void add_names(struct recording *r)
{
	struct ms_names_result names;
	char cwd[PATH_MAX];
	if (isatty(STDERR_FILENO))
		ms_info("looking up function names");
	const struct ms_names_trace trace = ms_names_of_writer(r->writer, getcwd(cwd, sizeof cwd));
	ms_signals_forget_urge(); /* the one that ended the command, perhaps */
	int rc = ms_names_add(&trace, ms_signals_urged, &r->ahead, &names);
	if (rc < 0)
		ms_warn("not all function names could be looked up: %s (msrecord --resolve does it later)",
			mst_strerror(rc));
	else if (names.is_cut)
		ms_warn("the lookup of function names was cut short, %u of %u addresses have none: msrecord --resolve %s "
			"completes it", names.n_codes - names.n_named, names.n_codes, r->file.path);
	else if (names.problem[0])
		ms_info("no names for %u of %u files: %s", names.n_unread, names.n_modules, names.problem);
}

/* Completes the trace and tells of it. 0 or the writer's error. */
static int finish(struct recording *r, int status)
{
	struct ms_summary summary = {.path = r->file.path, .n_processes = r->session.n_processes};
	if (!r->options->has_no_symbols)
		add_names(r);
	int rc = mst_writer_kept(r->writer, &summary.kept);
	if (rc < 0) {
		say_writer_failure(r, rc);
		return rc;
	}
	mst_writer_totals(r->writer, &summary.totals);
	rc = mst_writer_close(r->writer, true, status, &summary.bytes);
	r->writer = NULL;
	int error = ms_tracefile_close(&r->file);
	if (rc < 0 || error) {
		ms_error(
			"cannot complete '%s': %s", r->file.path, error ? strerror(error) : mst_strerror(rc));
		return MST_EIO;
	}
	ms_shortcomings_say(&r->session, &summary.totals, r->library.path, r->options->only.n);
	say_bound_broken(r, &summary.kept);
	ms_summary_print(&summary);
	return 0;
}

/* What is known of the functions named by --wrap, as soon as it is. */
static void say_what_is_wrapped(struct ms_wraps *wraps)
{
	char why[512];
	for (uint32_t i = 0; i < wraps->n; i++) {
		enum ms_wraps_verdict verdict = ms_wraps_finding(wraps, i, why);
		if (verdict == MS_WRAPS_UNSEEN)
			ms_warn("%s", why);
		else if (verdict == MS_WRAPS_MISSING_YET)
			ms_info("%s", why);
	}
	ms_wraps_found(wraps);
}

static void look_ahead(void *ctx, uint64_t elapsed_ns)
{
	struct recording *r = ctx;
	say_what_is_wrapped(&r->wraps);
	ms_names_look_ahead(&r->ahead, r->writer, elapsed_ns);
}

/* A process that came to be recorded, and had to go without. */
static bool was_anyone_refused(const struct recording *r)
{
	struct ms_refusals refused;
	const struct ms_absences *x = &r->session.absences;
	ms_server_refusals(r->server, &refused);
	bool is_any = refused.failed || refused.wrong_abi;
	for (size_t i = 0; i < x->n_programs; i++)
		is_any |= x->programs[i].why == MST_OBSTACLE_SILENCE;
	return is_any;
}

/* The command runs. Returns what to exit with. */
static int record(struct recording *r)
{
	const struct options *o = r->options;
	const struct ms_session_options opt = {
		.remote = r->remote,
		.starts_paused = o->starts_paused,
		.delay_ns = o->delay_ns,
		.duration_ns = o->duration_ns,
		.writer = r->writer,
		.server = r->server,
		.child = &r->child,
		.sampler = r->sampler,
		.wants_jit_names = !r->options->has_no_symbols,
		.stack_depth = (uint32_t)r->options->stack_depth,
		.wraps = r->wraps.n ? &r->wraps : NULL,
		.is_forking_followed =
			r->options->follow == MS_FOLLOW_ALL || r->options->follow == MS_FOLLOW_FORK,
		.stops_with_command = r->options->stops_with_command,
		.on_pass = look_ahead,
		.on_waiting = say_who_is_waited_for,
		.ctx = r,
	};
	int rc = ms_session_run(&r->session, &opt);
	if (rc == MST_EFULL) {
		say_full(r);
		rc = 0;
	} else if (rc < 0) {
		say_writer_failure(r, rc);
	}
	ms_remote_end(r->remote);
	if (rc >= 0)
		rc = finish(r, ms_child_poll(&r->child) ? ms_child_exit_status(&r->child) : -1);
	ms_child_wait(&r->child); /* also after a failure: its status is ours to pass on */
	ms_signals_forget_child();
	int status = ms_child_exit_status(&r->child);
	return status == 0 && (rc < 0 || was_anyone_refused(r)) ? STATUS_OWN_FAILURE : status;
}

/* It can do without. */
static void start_sampler(struct recording *r)
{
	const struct ms_sampler_options opt = {
		.interval_ns = r->options->sample_ns, .clock = &r->session.clock};
	int rc = opt.interval_ns ? ms_sampler_open(&opt, &r->sampler) : 0;
	if (rc < 0)
		ms_warn("cannot start a thread for --sample: %s", strerror(-rc));
}

/* From the opened gate on. */
static int start(struct recording *r)
{
	int rc = ms_server_start(r->server, r->child.pid);
	if (rc < 0) {
		ms_error("cannot start a thread: %s", strerror(-rc));
		ms_child_abandon(&r->child);
		return STATUS_OWN_FAILURE;
	}
	start_sampler(r);
	ms_signals_reserve(toggle_signals[r->options->toggle]);
	ms_signals_install(&r->child, ms_session_wake, &r->session);
	rc = ms_child_go(&r->child);
	return rc < 0 ? say_exec_failure(r->command[0], -rc) : record(r);
}

/* Do programs run on that may start others? After a failure those that were live may have ended meanwhile. */
static bool needs_wrapper(const struct recording *r)
{
	return r->session.n_left_running || (r->session.n_live && ms_server_is_referred_to(r->server));
}

static int run(struct recording *r)
{
	int status = STATUS_OWN_FAILURE;
	if (!r->options->has_no_symbols)
		ms_names_ahead_open(&r->ahead); /* first of all: it keeps what it inherits */
	int rc = ms_session_init(&r->session);
	if (rc == 0)
		rc = ms_share_init();
	if (rc < 0) {
		ms_error("cannot set up the recording: %s", strerror(-rc));
		goto out;
	}
	if (open_server(r) < 0 || fork_child(r) < 0)
		goto out;
	raise_limits();
	if (open_trace(r) < 0) {
		ms_child_abandon(&r->child);
		goto out;
	}
	open_remote(r);
	ms_server_pause(r->server, r->options->starts_paused);
	status = start(r);
out:
	ms_remote_end(r->remote); /* before the file: a new one may get its number, and with it our address */
	if (r->writer) /* not completed: what has been written stays readable */
		mst_writer_close(r->writer, false, -1, NULL);
	if (!r->child.has_run)
		ms_tracefile_discard(&r->file);
	ms_tracefile_close(&r->file);
	ms_remote_close(r->remote);
	ms_library_release(&r->library);
	ms_wrapper_release(&r->wrapper, needs_wrapper(r));
	ms_wraps_release(&r->wraps);
	ms_server_close(r->server);
	ms_sampler_close(r->sampler);
	ms_names_ahead_close(&r->ahead);
	ms_session_release(&r->session);
	return status;
}

static int control(const struct options *o, char **operands, int n_operands)
{
	static const char *const verbs[] = {"", "start", "stop", "mark", "status", NULL}; /* enum ms_remote_verb */
	char text[1024];
	int verb = MS_REMOTE_STATUS;
	if (n_operands == 0)
		ms_die("--control: start, stop, mark NAME or status?");
	while (verb > 0 && strcmp(operands[0], verbs[verb]) != 0)
		verb--;
	if (verb == 0)
		ms_die("--control: there is no command '%s' (start, stop, mark NAME, status)", operands[0]);
	if (n_operands != (verb == MS_REMOTE_MARK ? 2 : 1))
		ms_die(verb == MS_REMOTE_MARK ? "--control: mark needs one NAME" : "--control: '%s' needs nothing else",
			operands[0]);
	if (ms_remote_ask(o->controlled, (enum ms_remote_verb)verb, n_operands > 1 ? operands[1] : "", text,
		    sizeof text)) {
		ms_error("cannot control the recording of '%s': %s", o->controlled, text);
		return STATUS_OWN_FAILURE;
	}
	struct ms_out out;
	ms_report_open(&out, NULL, 0);
	ms_out_str(&out, text);
	return ms_report_close(&out, NULL, 0);
}

static int resolve(const struct options *o, int n_operands)
{
	if (n_operands)
		ms_die("--resolve runs no command");
	return ms_resolve(o->resolved, o->output, o->is_forced) ? STATUS_OWN_FAILURE : 0;
}

int main(int argc, char **argv)
{
	static struct recording recording; /* too large for the stack */
	struct options options = {.follow = MS_FOLLOW_ALL, .stack_depth = 256, .level = 3, .time_shift = 8, .sample_ns = 100000000,
		.buffer = (uint64_t)MS_BACKLOG_CHUNKS * MS_CHUNK_SIZE};
	struct ms_parsed parsed;
	ms_report_init("msrecord", STATUS_OWN_FAILURE);
	int status = ms_options_parse(&tool, argc, argv, &options, &parsed);
	if (status != MS_OPTIONS_RUN)
		return status;
	ms_report_quiet(options.is_quiet);
	check_options(&options);
	check_patterns(&options.only);
	check_bounds(&options, &recording.bounds);
	take_wraps(&options, &recording.wraps);
	options.starts_paused |= options.delay_ns > 0;
	if (options.controlled)
		return control(&options, parsed.operands, parsed.n_operands);
	if (options.resolved)
		return resolve(&options, parsed.n_operands);
	if (parsed.n_operands == 0)
		ms_die("which command is to be recorded? (see msrecord --help)");
	status = check_target(parsed.operands[0]);
	if (status)
		return status;
	ms_summary_prepare();
	recording.options = &options;
	recording.command = parsed.operands;
	recording.file.fd = -1;
	status = run(&recording);
	free(options.only.items);
	return status;
}

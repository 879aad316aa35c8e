/* kill_campaign [OPTION...] BIN_DIR LIB_DIR DIR: real programs, killed at random instants while they are recorded.
 *
 *	--kills N        so many of each program (default 10)
 *	--program NAME   only that one (again for more): sqlite3 python3 perl jq cc1plus git
 *	--recorder       kills msrecord, not the program
 *	--seed S         of all that is drawn (default 1)
 *	--first I        begins with kill number I: a campaign goes on where it was interrupted
 *	--span MS        the kill comes within so many milliseconds of the first call (default 80, msrecord: 2500), most come early
 *
 * A program is killed by SIGKILL. kill_witness.so, between it and the capture library, has counted calls that had begun
 * and calls that had returned: the trace must hold at least the latter and at most the former, be sound and clean, and
 * tell of no loss. If msrecord is killed, the program must end with its own output and status, and what there is of
 * the trace must be sound; how far it was behind is told, not judged.
 *
 * One line for each program, one for each fault with what repeats it. Exit 0: no fault; 1: some; 2: could not test; 77:
 * none of the programs is here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../record/cut_frame.h"
#include "kill_witness.h"
#include "mstrace.h"

enum { ARGS_MAX = 16, PATIENCE_MS = 600000, SAMPLES_MAX = 4096 };

/* ---- programs ------------------------------------------------------------------------------------------- */

struct program {
	const char *name;
	const char *argv[ARGS_MAX]; /* for ever, or for long */
	const char *ends[ARGS_MAX]; /* a second or so of work, then output; NULL: not for --recorder */
	const char *setup;	    /* of sh */
};

#define CC1PLUS_SETUP                                                                                                 \
	"test -f in.cpp || { for h in map string vector regex functional algorithm iostream; do echo \"#include <$h>\"; done; " \
	"echo 'int main(int c, char **v) { std::regex r(v[0]); return std::regex_match(v[1], r) + c; }'; } > in.cpp; "    \
	"ln -sf \"$(g++ -print-prog-name=cc1plus)\" cc1plus"
#define GIT_SETUP                                                                                                        \
	"test -d repo/.git || { mkdir -p repo && cd repo && git init -q && git config user.name a && git config "            \
	"user.email a@example.invalid && for c in $(seq 40); do for f in 1 2 3 4 5 6 7 8; do seq $((c * f)) $((c * 3 + f * 90)) > f$f; " \
	"done; git add -A; git commit -qm \"change $c\"; done; }"

static const struct program programs[] = {
	{"sqlite3",
		{"sqlite3", ":memory:",
			"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<9000000) SELECT count(DISTINCT "
			"printf('%08x', i*2654435761 & 4294967295)) FROM c;"},
		{"sqlite3", ":memory:",
			"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<300000) SELECT count(DISTINCT "
			"printf('%08x', i*2654435761 & 4294967295)) FROM c;"},
		NULL},
	{"python3", {"/usr/bin/python3", "-S", "-c", "while True: d = {str(i): [i] * (i % 7) for i in range(3000)}"},
		{"/usr/bin/python3", "-S", "-c",
			"n = 0\nfor k in range(150): n += len({str(i): [i] * (i % 7) for i in range(3000)})\nprint(n); raise SystemExit(3)"},
		NULL},
	{"perl", {"perl", "-e", "while (1) { my %h; push @{$h{$_ % 97}}, \"v$_\" x ($_ % 5) for 1..3000; }"},
		{"perl", "-e",
			"my $n = 0; for my $k (1..150) { my %h; push @{$h{$_ % 97}}, \"v$_\" x ($_ % 5) for 1..3000; $n += keys %h; } "
			"print \"$n\\n\"; exit 4"},
		NULL},
	{"jq", {"jq", "-n", "last(range(1000000000) | {a: [., \"x\\(.)\"]})"},
		{"jq", "-n", "last(range(200000) | {a: [., \"x\\(.)\"]})"}, NULL},
	{"cc1plus", {"./cc1plus", "-quiet", "-imultiarch", "x86_64-linux-gnu", "-D_GNU_SOURCE", "-O1", "in.cpp", "-o", "/dev/null"},
		{"./cc1plus", "-quiet", "-imultiarch", "x86_64-linux-gnu", "-D_GNU_SOURCE", "-O0", "in.cpp", "-o", "/dev/stdout"},
		CC1PLUS_SETUP},
	{"git", {"git", "-C", "repo", "--no-pager", "log", "-p", "--stat", "--no-color"},
		{"git", "-C", "repo", "--no-pager", "log", "-p", "--stat", "--no-color"}, GIT_SETUP},
};
enum { N_PROGRAMS = sizeof programs / sizeof *programs };

/* ---- options, names, chance ------------------------------------------------------------------------------ */

static struct {
	unsigned long kills, first, seed, span_ms;
	bool kills_recorder, is_chosen[N_PROGRAMS];
	char msrecord[PATH_MAX], preload[2 * PATH_MAX + 16], witness_file[PATH_MAX];
} options = {.kills = 10, .seed = 1};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* When kill number i of a program comes: most of them soon. */
static uint64_t delay_us(size_t program, unsigned long i)
{
	double u = (double)(mix(mix(options.seed) + mix(program * 1000003u + i)) >> 11) / (double)(1ull << 53);
	return (uint64_t)(u * u * (double)options.span_ms * 1000);
}

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

static void sleep_us(uint64_t us)
{
	struct timespec t = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
	nanosleep(&t, NULL);
}

/* ---- one recording ---------------------------------------------------------------------------------------- */

static struct witness *witness;

static uint64_t sum(bool returned, unsigned kind)
{
	uint64_t n = 0;
	for (size_t i = 0; i < WITNESS_THREADS; i++)
		n += atomic_load(returned ? &witness->threads[i].returned[kind] : &witness->threads[i].begun[kind]);
	return n;
}

static bool make_witness(void)
{
	int fd = open(options.witness_file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (witness)
		munmap(witness, sizeof *witness);
	if (fd < 0 || ftruncate(fd, sizeof *witness))
		return false;
	void *p = mmap(NULL, sizeof *witness, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	witness = p == MAP_FAILED ? NULL : p;
	return witness;
}

static pid_t spawn(char *const argv[], const char *out)
{
	pid_t pid = fork();
	if (pid == 0) {
		dup2(open("/dev/null", O_RDWR), 0);
		dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
		dup2(open("messages", O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
		setenv("PYTHONMALLOC", "malloc", 1);
		setenv("PYTHONHASHSEED", "0", 1);
		setenv("PERL_HASH_SEED", "0", 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

/* env puts the witness before the capture library, where msrecord would put it behind. */
static pid_t start_recording(const char *const *program)
{
	const char *argv[ARGS_MAX + 12] = {options.msrecord, "-qf", "--no-symbols", "-o", "killed.mst", "--", "env", options.preload};
	size_t n = 8;
	char *mutable_argv[ARGS_MAX + 12];
	while (*program)
		argv[n++] = *program++;
	memcpy(mutable_argv, argv, sizeof mutable_argv);
	return spawn(mutable_argv, "out");
}

enum { TOLD_SOMEBODY_ELSE = -1 }; /* a status: msrecord had it before it was killed */

/* Waits for pid. False: it has not ended in time. */
static bool wait_for(pid_t pid, int *status)
{
	for (uint64_t end = now_us() + PATIENCE_MS * 1000ull; now_us() < end; sleep_us(500)) {
		pid_t ended = waitpid(pid, status, WNOHANG);
		if (ended == pid)
			return true;
		if (ended < 0 && errno == ECHILD && kill(pid, 0) < 0 && errno == ESRCH) {
			*status = TOLD_SOMEBODY_ELSE;
			return true;
		}
	}
	return false;
}

static bool wait_for_witness(pid_t recorder)
{
	for (uint64_t end = now_us() + PATIENCE_MS * 1000ull; now_us() < end; sleep_us(100)) {
		if (atomic_load(&witness->pid))
			return true;
		siginfo_t info = {0};
		if (waitid(P_PID, (id_t)recorder, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
			return false;
	}
	return false;
}

/* ---- what the trace says ------------------------------------------------------------------------------------ */

struct tally {
	uint64_t n[WITNESS_KINDS]; /* of the process that the witness has seen */
	uint64_t damaged, lost;
	bool is_readable, is_clean, is_truncated;
};

/* The witness's image is the last one of its pid: before it there was env. (An entry that only says that another malloc,
 * the witness's, comes first is none.) */
static uint32_t witnessed_process(const struct mst_reader *r)
{
	uint32_t found = 0;
	for (uint32_t id = 1; id <= mst_reader_n_processes(r); id++) {
		const struct mst_process *p = mst_reader_process(r, id);
		if (p && p->pid == atomic_load(&witness->pid) && p->origin == MST_ORIGIN_EXEC &&
			p->fate != MST_FATE_UNRECORDED)
			found = id;
	}
	return found;
}

static int kind_of(unsigned op)
{
	switch (op) {
	case MST_OP_REALLOC:
	case MST_OP_REALLOCARRAY:
	case MST_OP_REALLOC_FREE:
	case MST_OP_REALLOC_END:
		return WITNESS_REALLOC;
	case MST_OP_REALLOC_BEGIN:
		return -1;
	default:
		return op >= 32 ? -1 : mst_op_acquires(op) ? WITNESS_ACQUIRE : WITNESS_RELEASE;
	}
}

static void tally_events(struct mst_reader *r, struct tally *t)
{
	struct mst_event ev;
	uint32_t process = 0;
	mst_reader_load_tables(r);
	process = witnessed_process(r);
	while (mst_reader_next(r, &ev) > 0) {
		const struct mst_thread *thread = mst_reader_thread(r, ev.thread);
		int kind = kind_of(ev.op);
		if (kind >= 0 && thread && thread->process == process)
			t->n[kind]++;
	}
}

static void read_trace(struct tally *t)
{
	struct mst_reader *r;
	struct mst_loss loss;
	memset(t, 0, sizeof *t);
	if (mst_reader_open("killed.mst", NULL, &r, NULL) < 0)
		return;
	t->is_readable = true;
	tally_events(r, t);
	const struct mst_totals *end = mst_reader_end(r);
	mst_reader_loss(r, &loss);
	t->damaged = damaged_places(r, "killed.mst");
	t->is_truncated = loss.is_truncated;
	t->is_clean = end && end->is_clean;
	t->lost = end ? end->lost_events : 0;
	mst_reader_close(r);
}

static bool fault(const struct program *p, unsigned long i, const char *what)
{
	printf("\n%s, kill %lu of seed %lu: %s\n", p->name, i, options.seed, what);
	fflush(stdout);
	return false;
}

/* ---- killing the program -------------------------------------------------------------------------------------- */

static bool compare(const struct program *p, unsigned long i, const struct tally *t)
{
	static const char *const names[] = {"acquisitions", "releases", "reallocs"};
	char what[200];
	if (!t->is_readable || !t->is_clean || t->damaged || t->lost)
		return fault(p, i, "the trace is not sound, clean and without loss");
	for (unsigned k = 0; k < WITNESS_KINDS; k++) {
		uint64_t returned = sum(true, k), begun = sum(false, k);
		if (returned <= t->n[k] && t->n[k] <= begun)
			continue;
		snprintf(what, sizeof what, "%llu %s in the trace, %llu had returned, %llu had begun", (unsigned long long)t->n[k],
			names[k], (unsigned long long)returned, (unsigned long long)begun);
		return fault(p, i, what);
	}
	return true;
}

static bool kill_program(const struct program *p, size_t index, unsigned long i, uint64_t *n_calls)
{
	struct tally t;
	int status = 0;
	if (!make_witness())
		return fault(p, i, "no witness");
	unlink("killed.mst");
	pid_t recorder = start_recording(p->argv);
	if (!wait_for_witness(recorder)) {
		kill(recorder, SIGKILL);
		waitpid(recorder, &status, 0);
		return fault(p, i, "it did not start");
	}
	sleep_us(delay_us(index, i));
	kill((pid_t)atomic_load(&witness->pid), SIGKILL);
	if (!wait_for(recorder, &status)) {
		kill(recorder, SIGKILL);
		waitpid(recorder, &status, 0);
		return fault(p, i, "msrecord does not end");
	}
	/* what ends within the span by itself has been recorded completely */
	if (status != W_EXITCODE(137, 0) && status != 0)
		return fault(p, i, "msrecord ended with another status");
	read_trace(&t);
	*n_calls += sum(true, 0) + sum(true, 1) + sum(true, 2);
	return compare(p, i, &t);
}

/* ---- killing the recorder --------------------------------------------------------------------------------------- */

/* How much the program had done when. */
static struct sample {
	uint64_t at_us, calls;
} samples[SAMPLES_MAX];

static size_t sleep_and_sample(uint64_t us)
{
	size_t n = 0;
	uint64_t end = now_us() + us;
	for (uint64_t now; (now = now_us()) < end && n < SAMPLES_MAX - 1; sleep_us(end - now < 2000 ? end - now : 2000))
		samples[n++] = (struct sample){now, sum(true, 0) + sum(true, 1) + sum(true, 2)};
	return n;
}

static bool same_file(const char *a, const char *b)
{
	FILE *f = fopen(a, "r"), *g = fopen(b, "r");
	int c = 0, d = 0;
	while (f && g && c == d && c != EOF) {
		c = getc(f);
		d = getc(g);
	}
	if (f)
		fclose(f);
	if (g)
		fclose(g);
	return f && g && c == d;
}

static bool kill_recorder(const struct program *p, size_t index, unsigned long i, int native, uint64_t *behind_us)
{
	struct tally t;
	int status = 0;
	if (!make_witness())
		return fault(p, i, "no witness");
	unlink("killed.mst");
	pid_t recorder = start_recording(p->ends);
	if (!wait_for_witness(recorder)) {
		waitpid(recorder, &status, 0);
		return fault(p, i, "it did not start");
	}
	pid_t program = (pid_t)atomic_load(&witness->pid);
	uint64_t started_us = now_us();
	size_t n = sleep_and_sample(delay_us(index, i));
	uint64_t killed_us = now_us();
	kill(recorder, SIGKILL);
	waitpid(recorder, &status, 0);
	bool was_done = WIFEXITED(status); /* the program was faster: msrecord has told its status */
	if (!was_done && !wait_for(program, &status)) {
		kill(program, SIGKILL);
		return fault(p, i, "the program does not end");
	}
	if (status != native && status != TOLD_SOMEBODY_ELSE)
		return fault(p, i, "the program's status is not its own");
	if (!same_file("out", "native"))
		return fault(p, i, "the program's output is not its own");
	read_trace(&t);
	if (!t.is_readable || t.damaged)
		return fault(p, i, "what there is of the trace is not sound");
	uint64_t recorded = t.n[0] + t.n[1] + t.n[2];
	while (n > 0 && samples[n - 1].calls > recorded)
		n--;
	uint64_t behind = killed_us - (n > 0 ? samples[n - 1].at_us : started_us);
	if (!was_done && behind > *behind_us)
		*behind_us = behind;
	return true;
}

static bool run_natively(const struct program *p, int *status)
{
	char *argv[ARGS_MAX];
	memcpy(argv, p->ends, sizeof argv);
	pid_t pid = spawn(argv, "native");
	return waitpid(pid, status, 0) == pid;
}

/* ---- the campaign ------------------------------------------------------------------------------------------------- */

static bool is_here(const struct program *p)
{
	char command[200];
	if (p->setup && system(p->setup))
		return false;
	snprintf(command, sizeof command, "command -v %s > /dev/null", p->argv[0]);
	return system(command) == 0;
}

/* Faults of one program. */
static unsigned long attack(size_t index)
{
	const struct program *p = &programs[index];
	unsigned long n_faults = 0;
	uint64_t n_calls = 0, behind_us = 0;
	int native = 0;
	if (options.kills_recorder && !run_natively(p, &native))
		return 1;
	for (unsigned long i = options.first; i < options.first + options.kills; i++) {
		bool right = options.kills_recorder ? kill_recorder(p, index, i, native, &behind_us)
						    : kill_program(p, index, i, &n_calls);
		n_faults += !right;
		if (isatty(1) || (i + 1) % 100 == 0)
			printf("%s%s: %lu kills, %lu faults%s", isatty(1) ? "\r" : "", p->name, i + 1 - options.first, n_faults,
				isatty(1) ? "" : "\n");
		fflush(stdout);
	}
	printf("%s%s: %lu kills%s from number %lu of seed %lu, %lu faults", isatty(1) ? "\r" : "", p->name, options.kills,
		options.kills_recorder ? " of msrecord" : "", options.first, options.seed, n_faults);
	if (options.kills_recorder)
		printf("; at most %.2f s behind\n", (double)behind_us / 1e6);
	else
		printf("; %llu calls had returned\n", (unsigned long long)n_calls);
	fflush(stdout);
	return n_faults;
}

static bool choose(const char *name)
{
	for (size_t i = 0; i < N_PROGRAMS; i++)
		if (strcmp(programs[i].name, name) == 0)
			return options.is_chosen[i] = true;
	return false;
}

static bool parse(int argc, char **argv)
{
	static const struct option table[] = {{"kills", required_argument, NULL, 'k'}, {"program", required_argument, NULL, 'p'},
		{"recorder", no_argument, NULL, 'r'}, {"seed", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
		{"span", required_argument, NULL, 'm'}, {0}};
	bool is_limited = false;
	for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
		if (c == 'k')
			options.kills = strtoul(optarg, NULL, 10);
		else if (c == 'r')
			options.kills_recorder = true;
		else if (c == 's')
			options.seed = strtoul(optarg, NULL, 10);
		else if (c == 'f')
			options.first = strtoul(optarg, NULL, 10);
		else if (c == 'm')
			options.span_ms = strtoul(optarg, NULL, 10);
		else if (c != 'p' || !choose(optarg))
			return false;
		is_limited |= c == 'p';
	}
	for (size_t i = 0; i < N_PROGRAMS; i++)
		options.is_chosen[i] |= !is_limited;
	if (!options.span_ms)
		options.span_ms = options.kills_recorder ? 2500 : 80;
	return optind + 3 == argc;
}

static bool find_files(char **dirs)
{
	char bin[PATH_MAX], lib[PATH_MAX], dir[PATH_MAX];
	mkdir(dirs[2], 0700);
	if (!realpath(dirs[0], bin) || !realpath(dirs[1], lib) || !realpath(dirs[2], dir) || chdir(dir))
		return false;
	int n = snprintf(options.msrecord, sizeof options.msrecord, "%.4000s/msrecord", bin);
	snprintf(options.preload, sizeof options.preload, "LD_PRELOAD=%.4000s/libkill_witness.so:%.4000s/libmscapture.so", lib, lib);
	snprintf(options.witness_file, sizeof options.witness_file, "%.4000s/witness", dir);
	setenv(WITNESS_VARIABLE, options.witness_file, 1);
	return n > 0;
}

int main(int argc, char **argv)
{
	unsigned long n_faults = 0, n_kills = 0;
	if (!parse(argc, argv) || !find_files(argv + optind))
		return 2;
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* a program whose msrecord is gone becomes our child */
	for (size_t i = 0; i < N_PROGRAMS; i++) {
		if (!options.is_chosen[i])
			continue;
		if (!is_here(&programs[i])) {
			printf("%s: not here\n", programs[i].name);
			continue;
		}
		n_faults += attack(i);
		n_kills += options.kills;
	}
	printf("%lu kills, %lu faults\n", n_kills, n_faults);
	return n_faults ? 1 : n_kills ? 0 : 77;
}

/* make_trace plain|hostile|huge|empty FILE: small traces whose every number is known (run_msrender.py has
 * them). */
#include "hostile.h"
#include "mstrace.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct mst_writer *w;

static void must(int rc)
{
	if (rc < 0)
		ms_die("cannot write: %s: %s", mst_strerror(rc), w ? mst_writer_problem(w)->text : "");
}

static uint32_t string_n(const char *s, size_t n)
{
	uint32_t id = 0;

	must(mst_writer_string(w, s, n, &id));
	return id;
}

static uint32_t string(const char *s)
{
	return string_n(s, strlen(s));
}

static uint32_t module(uint32_t path)
{
	const struct mst_module m = {.path = path};
	uint32_t id = 0;

	must(mst_writer_module(w, &m, &id));
	return id;
}

/* A code address with up to two functions, the inner one inlined; no symbols when function is 0. */
static uint32_t code(uint32_t in_module, uint64_t offset, uint32_t inner, uint32_t function)
{
	struct mst_symbol symbols[2] = {{inner, 0, 0, true}, {function, 0, 0, false}};
	uint32_t id = 0;

	symbols[0].file = symbols[1].file = function ? string("src/app.c") : 0;
	symbols[0].line = 7;
	symbols[1].line = 42;
	must(mst_writer_code(w, in_module, offset, &id));
	if (function && inner)
		must(mst_writer_symbols(w, id, symbols, 2));
	else if (function)
		must(mst_writer_symbols(w, id, symbols + 1, 1));
	return id;
}

static uint32_t stack(uint32_t parent, uint32_t at)
{
	uint32_t id = 0;

	must(mst_writer_stack(w, parent, at, &id));
	return id;
}

static uint32_t process(uint32_t pid, uint32_t parent, unsigned origin, const char *cmdline, size_t n)
{
	const struct mst_process p = {.pid = pid,
		.parent = parent,
		.origin = (uint8_t)origin,
		.exe = string("/bin/app"),
		.cmdline = string_n(cmdline, n),
		.start_ns = 0};
	uint32_t id = 0;

	must(mst_writer_process(w, &p, &id));
	return id;
}

static uint32_t thread(uint32_t in_process, uint32_t tid, uint32_t name)
{
	const struct mst_thread t = {.process = in_process, .tid = tid, .name = name, .end_ns = UINT64_MAX};
	uint32_t id = 0;

	must(mst_writer_thread(w, &t, &id));
	return id;
}

static void event(
	uint32_t in_thread, uint64_t ms, unsigned op, uint32_t at, uint64_t size, uint64_t addr, uint64_t old)
{
	struct mst_event ev = {.thread = in_thread,
		.time_ns = ms * 1000000,
		.op = (uint8_t)op,
		.stack = at,
		.size = size,
		.addr = addr,
		.old_addr = old};

	must(mst_writer_event(w, &ev));
}

static void write_plain(void)
{
	uint32_t app = module(string("/opt/app/bin/app")), foo = module(string("/usr/lib/libfoo.so"));
	uint32_t main_ = stack(MST_STACK_NONE, code(app, 0x100, 0, string("main")));
	uint32_t parse = stack(main_, code(app, 0x200, string("grow"), string("parse")));
	uint32_t a = stack(parse, code(app, 0x300, 0, string("alloc")));
	uint32_t b = stack(main_, code(app, 0x400, 0, string("emit")));
	uint32_t b2 = stack(b, code(app, 0x500, 0, string("resize")));
	uint32_t c = stack(MST_STACK_CUT, code(0, 0x7f001234, 0, 0));
	uint32_t d = stack(main_, code(foo, 0x1234, 0, 0));
	uint32_t p1 = process(100, 0, MST_ORIGIN_START, "app\0--fast", 10), p2;
	uint32_t t1 = thread(p1, 100, string("app")), t2;
	struct mst_event failed = {.thread = t1,
		.time_ns = 1000000,
		.op = MST_OP_MALLOC,
		.flags = MST_EV_FAILED,
		.stack = a,
		.size = UINT64_C(1) << 50,
		.err = 12};

	must(mst_writer_event(w, &failed));
	event(t1, 1, MST_OP_MALLOC, a, 100, 0x1000, 0);
	event(t1, 2, MST_OP_MALLOC, a, 200, 0x2000, 0);
	event(t1, 3, MST_OP_MALLOC, a, 300, 0x3000, 0);
	event(t1, 4, MST_OP_FREE, a, 0, 0x2000, 0);
	event(t1, 5, MST_OP_CALLOC, b, 1000, 0x4000, 0);
	event(t1, 6, MST_OP_MALLOC, d, 7, 0x5000, 0);
	event(t1, 7, MST_OP_FREE, d, 0, 0x5000, 0);
	event(t1, 8, MST_OP_REALLOC, b2, 3000, 0x6000, 0x4000);
	event(t1, 9, MST_OP_MALLOC, c, 50, 0x7000, 0);
	p2 = process(200, p1, MST_ORIGIN_FORK, "child", 5);
	t2 = thread(p2, 200, string("child"));
	event(t2, 10, MST_OP_MALLOC, a, 40, 0x8000, 0);
	event(t1, 11, MST_OP_MALLOC, b, 5000, 0x9000, 0);
	event(t1, 12, MST_OP_FREE, b, 0, 0x9000, 0);
}

/* Each hostile string as function, module, thread name and command. */
static void write_hostile(void)
{
	for (size_t i = 0; i < N_HOSTILE; i++) {
		const struct hostile *h = &hostile_strings[i];
		uint32_t name = h->n ? string_n(h->bytes, h->n) : string("x");
		uint32_t p = process((uint32_t)i + 1, 0, MST_ORIGIN_START, h->bytes, h->n);
		uint32_t named = stack(MST_STACK_NONE, code(module(name), 0x100, 0, name));
		uint32_t nameless = stack(MST_STACK_NONE, code(module(name), 0x200, 0, 0));

		event(thread(p, (uint32_t)i + 1, name), i + 1, MST_OP_MALLOC, i % 2 ? named : nameless, 1000,
			0x1000 * (i + 1), 0);
	}
}

/* Sums beyond what a JSON number holds. */
static void write_huge(void)
{
	uint32_t p = process(1, 0, MST_ORIGIN_START, "huge", 4), t = thread(p, 1, 0);
	uint32_t at = stack(MST_STACK_NONE, code(module(string("/bin/huge")), 1, 0, string("main")));

	for (uint64_t i = 0; i < 3; i++)
		event(t, i, MST_OP_MALLOC, at, (UINT64_C(1) << 53) - 1, 0x1000 * (i + 1), 0);
}

int main(int argc, char **argv)
{
	struct mst_writer_options opt = {.header = {.tool = "make_trace",
						 .host = "host",
						 .kernel = "kernel",
						 .arch = "x86_64",
						 .clock = "monotonic",
						 .cwd = "/",
						 .cmdline = "app\0--fast",
						 .cmdline_len = 10,
						 .stack_depth = 64,
						 .page_size = 4096,
						 .n_cpus = 1,
						 .has_addresses = true,
						 .has_free_stacks = true,
						 .start_realtime_ns = UINT64_C(1700000000000000001)}};
	int fd;

	ms_report_init("make_trace", MS_EXIT_FAIL);
	if (argc != 3)
		ms_die("say which trace and where");
	if (strcmp(argv[1], "hostile") == 0) {
		opt.header.cmdline = opt.header.cwd = opt.header.host = "</title>\033[2J&\xff";
		opt.header.cmdline_len = strlen(opt.header.cmdline);
	}
	fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		ms_die("cannot write '%s': %s", argv[2], strerror(errno));
	must(mst_writer_open(fd, &opt, &w));
	if (strcmp(argv[1], "plain") == 0)
		write_plain();
	else if (strcmp(argv[1], "hostile") == 0)
		write_hostile();
	else if (strcmp(argv[1], "huge") == 0)
		write_huge();
	must(mst_writer_close(w, true, 0, NULL));
	return close(fd) < 0;
}

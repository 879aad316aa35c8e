/* make_cli_trace KIND FILE - writes one of the small traces that the tests of the tools read. Always the same
 * bytes.
 *
 *   small     one process, two threads, every kind of call, inlined and unknown functions, a cut stack
 *   forks     a process, its forked child, which execs: inherited blocks, leaks of the dead, three images
 *   hostile   names that attack a terminal, JSON, CSV, HTML and folded stacks
 *   lost      a recording that dropped events
 *   open      one without an end, as a killed recorder leaves it
 *   empty     no events at all
 *   sampled   two processes and their control group, measured every 10 ms; the recording's own costs
 *   mappings  calls of the mapping layer, and what was mapped before; a forked child
 *   cxx       new and delete in right and wrong pairs; a forked child that releases what it inherited
 *   long N    N malloc/free pairs in frames of 1,000 events */
#include "mstrace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mst_writer *w;
static uint64_t now_ns;

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "make_cli_trace: %s: %s\n", what, mst_strerror(rc));
	exit(1);
}

static uint32_t string(const char *s)
{
	uint32_t id;

	must(mst_writer_string(w, s, strlen(s), &id), "string");
	return id;
}

static uint32_t module(const char *path)
{
	struct mst_module m = {
		.path = string(path), .build_id = {0xab, 0xcd}, .build_id_len = 2, .file_size = 12345};
	uint32_t id;

	must(mst_writer_module(w, &m, &id), "module");
	return id;
}

static uint32_t process(uint32_t pid, uint32_t parent, uint8_t origin, const char *exe)
{
	struct mst_process p = {.pid = pid,
		.parent = parent,
		.exe = string(exe),
		.cmdline = string(exe),
		.origin = origin,
		.start_ns = now_ns};
	uint32_t id;

	must(mst_writer_process(w, &p, &id), "process");
	return id;
}

static void process_end(uint32_t id, uint8_t fate, int status)
{
	struct mst_process p = {.fate = fate, .status = status, .end_ns = now_ns};

	must(mst_writer_process_end(w, id, &p), "process end");
}

static uint32_t thread(uint32_t in, uint32_t tid, const char *name)
{
	struct mst_thread t = {
		.process = in, .tid = tid, .name = string(name), .start_ns = now_ns, .end_ns = UINT64_MAX};
	uint32_t id;

	must(mst_writer_thread(w, &t, &id), "thread");
	return id;
}

/* A stack node calling from a fresh code address; its functions, outermost last, NULL-terminated. */
static uint32_t stack(uint32_t parent, uint32_t in, uint64_t offset, const char *const *functions)
{
	struct mst_symbol symbols[8];
	uint32_t code, id;
	size_t n = 0;

	must(mst_writer_code(w, in, offset, &code), "code");
	for (; functions && functions[n]; n++)
		symbols[n] = (struct mst_symbol){.function = string(functions[n]),
			.file = string("src/app.c"),
			.line = (uint32_t)(10 * (n + 1)),
			.is_inlined = functions[n + 1] != NULL};
	if (n)
		must(mst_writer_symbols(w, code, symbols, n), "symbols");
	must(mst_writer_stack(w, parent, code, &id), "stack");
	return id;
}

static void event(struct mst_event ev)
{
	now_ns += 1024;
	ev.time_ns = now_ns;
	must(mst_writer_event(w, &ev), "event");
}

static void acquire(uint32_t in, uint8_t op, uint64_t addr, uint64_t size, uint32_t at)
{
	event((struct mst_event){.thread = in, .op = op, .addr = addr, .size = size, .stack = at});
}

static void release(uint32_t in, uint64_t addr)
{
	event((struct mst_event){.thread = in, .op = MST_OP_FREE, .addr = addr});
}

static void map_event(uint32_t in, uint8_t op, uint32_t at, struct mst_map_call call)
{
	struct mst_event ev = {.thread = in, .op = op, .stack = at};
	struct mst_totals totals;

	now_ns += 1024;
	ev.time_ns = now_ns;
	mst_writer_totals(w, &totals);
	call.begun = call.begun ? totals.events - call.begun : totals.events;
	must(mst_writer_map_event(w, &ev, &call), "mapping");
}

static void region(uint32_t in, const char *name, uint64_t start, uint64_t size, uint32_t prot)
{
	const struct mst_region r = {.process = in,
		.name = name ? string(name) : 0,
		.start = start,
		.end = start + size,
		.prot = prot};

	must(mst_writer_region(w, &r), "region");
}

static void load(uint32_t in, uint32_t what, uint64_t start)
{
	const struct mst_mapping m = {.process = in,
		.module = what,
		.start = start,
		.end = start + 0x3000,
		.bias = start,
		.load_ns = now_ns,
		.unload_ns = UINT64_MAX};

	must(mst_writer_mapping(w, &m), "module's mapping");
}

/* Two regions by main, one of them cut in three, moved and partly overlaid; another thread maps where the first is just
 * unmapping; the child of a fork unmaps its copy. */
static void mappings(void)
{
	static const char *const main_[] = {"main", NULL}, *const grow[] = {"grow", NULL}, *const read_[] = {"read", NULL};
	uint32_t app = module("/usr/bin/app"), p = process(100, 0, MST_ORIGIN_START, "/usr/bin/app");
	uint32_t t1 = thread(p, 100, "app"), t2 = thread(p, 101, "worker");
	uint32_t in_main = stack(0, app, 0x1010, main_), in_grow = stack(in_main, app, 0x1110, grow);
	uint32_t in_read = stack(in_main, app, 0x1210, read_), file = string("/srv/<data>\x1b[2J");
	enum { RW = 3, R = 1, PRIVATE_ANON = 0x22, PRIVATE = 2, FIXED = 0x10 };
	const uint64_t mib = 1 << 20, a = 0x7f0000000000, b = 0x7f0010000000, c = 0x7f0020000000;

	region(p, "/usr/bin/app", 0x400000, 0x3000, 5);
	region(p, "[heap]", 0x600000, 0x21000, RW);
	region(p, NULL, a - mib, mib, RW);
	load(p, app, 0x400000);
	load(p, module("/usr/lib/first.so"), c + 16 * mib);
	region(p, "[stack]", 0x7fff00000000, 0x21000, RW);
	acquire(t1, MST_OP_MALLOC, 0x600010, 100, in_main);
	map_event(t1, MST_OP_MMAP, in_grow,
		(struct mst_map_call){.addr = a, .length = 4 * mib, .prot = RW, .flags = PRIVATE_ANON, .fd = -1});
	map_event(t1, MST_OP_MUNMAP, in_main, (struct mst_map_call){.addr = a + mib, .length = mib - 100});
	map_event(t1, MST_OP_MREMAP, in_main,
		(struct mst_map_call){
			.addr = b, .length = 3 * mib, .old_addr = a + 2 * mib, .old_length = 2 * mib, .flags = 1});
	map_event(t1, MST_OP_MMAP, in_read,
		(struct mst_map_call){.addr = b + mib,
			.length = 5000,
			.prot = R,
			.flags = PRIVATE | FIXED,
			.fd = 3,
			.offset = 4096,
			.file = file});
	map_event(t1, MST_OP_MPROTECT, in_main, (struct mst_map_call){.addr = b, .length = 4096, .prot = R});
	map_event(t1, MST_OP_MADVISE, in_main, (struct mst_map_call){.addr = b, .length = 4096, .flags = 4});
	must(mst_writer_unmapping(w, p, c + 16 * mib, now_ns), "unload");
	load(p, module("/usr/lib/second.so"), c + 16 * mib);
	map_event(t1, MST_OP_SBRK, in_grow,
		(struct mst_map_call){.addr = 0x641000, .old_addr = 0x621000, .length = 0x20000});
	map_event(t1, MST_OP_BRK, in_main,
		(struct mst_map_call){.addr = 0x631000, .old_addr = 0x641000, .length = 0x10000});
	map_event(t1, MST_OP_MMAP, in_grow,
		(struct mst_map_call){.addr = c, .length = mib, .prot = RW, .flags = PRIVATE_ANON, .fd = -1});
	map_event(t2, MST_OP_MMAP, in_read,
		(struct mst_map_call){.addr = c, .length = 2 * mib, .prot = RW, .flags = PRIVATE_ANON, .fd = -1});
	map_event(t1, MST_OP_MUNMAP, in_main, (struct mst_map_call){.addr = c, .length = mib, .begun = 1});
	uint32_t child = process(200, p, MST_ORIGIN_FORK, "/usr/bin/app"), t3 = thread(child, 200, "app");
	map_event(t3, MST_OP_MUNMAP, in_main, (struct mst_map_call){.addr = c, .length = 2 * mib});
	now_ns += 1024;
	process_end(child, MST_FATE_EXITED, 0);
	release(t1, 0x600010);
}

static void small(void)
{
	static const char *const main_[] = {"main", NULL}, *const load[] = {"copy", "load", NULL};
	uint32_t app = module("/usr/bin/app"), lib = module("/usr/lib/libz.so.1");
	uint32_t p = process(100, 0, MST_ORIGIN_START, "/usr/bin/app");
	uint32_t t1 = thread(p, 100, "app"), t2 = thread(p, 101, "worker");
	uint32_t s_main = stack(MST_STACK_NONE, app, 0x1010, main_);
	uint32_t s_load = stack(s_main, app, 0x2020, load);
	uint32_t s_unknown = stack(s_main, lib, 0x3030, NULL);
	uint32_t s_cut = stack(MST_STACK_CUT, app, 0x4040, load);

	acquire(t1, MST_OP_MALLOC, 0x10000, 100, s_load);
	acquire(t1, MST_OP_CALLOC, 0x10100, 4096, s_main);
	release(t1, 0x10100); /* temporary */
	acquire(t2, MST_OP_MALLOC, 0x10200, 24, s_unknown);
	event((struct mst_event){.thread = t1,
		.op = MST_OP_REALLOC,
		.old_addr = 0x10000,
		.addr = 0x10400,
		.size = 200,
		.stack = s_load});
	acquire(t1, MST_OP_REALLOC, 0x10600, 7, s_cut); /* realloc(NULL, 7) */
	event((struct mst_event){.thread = t2,
		.op = MST_OP_POSIX_MEMALIGN,
		.addr = 0x20000,
		.size = 512,
		.align = 256,
		.stack = s_cut});
	event((struct mst_event){.thread = t2,
		.op = MST_OP_MALLOC,
		.flags = MST_EV_FAILED,
		.size = INT64_MAX,
		.err = 12,
		.stack = s_main});
	release(t2, 0xdead0); /* never seen */
	event((struct mst_event){.thread = t2, .op = MST_OP_REALLOC_BEGIN, .addr = 0x10200});
	acquire(t1, MST_OP_MALLOC, 0x10200, 16, s_main); /* reuses the address meanwhile */
	event((struct mst_event){.thread = t2,
		.op = MST_OP_REALLOC_END,
		.old_addr = 0x10200,
		.addr = 0x30000,
		.size = 48,
		.stack = s_unknown});
	event((struct mst_event){.thread = t1, .op = MST_OP_REALLOC_FREE, .addr = 0x10600});
	release(t2, 0x20000);
	acquire(t1, MST_OP_MALLOC, 0x40000, 0, MST_STACK_NONE);
	process_end(p, MST_FATE_EXITED, 3);
}

/* Every way to begin and to end; the threads of one have done different things. */
static void family(void)
{
	uint32_t shell = process(100, 0, MST_ORIGIN_START, "/bin/sh"), t1 = thread(shell, 100, "sh");
	uint32_t child = process(200, shell, MST_ORIGIN_FORK, "/bin/sh"), t2 = thread(child, 200, "sh");

	acquire(t1, MST_OP_MALLOC, 0x1000, 100, MST_STACK_NONE);
	acquire(t2, MST_OP_MALLOC, 0x2000, 40, MST_STACK_NONE);
	process_end(child, MST_FATE_EXEC, 0);

	uint32_t app = process(200, child, MST_ORIGIN_EXEC, "/usr/bin/app"), main_ = thread(app, 200, "app");
	uint32_t worker = thread(app, 201, "worker"), daemon = process(300, 0, MST_ORIGIN_ATTACH, "/usr/sbin/daemon");

	acquire(main_, MST_OP_MALLOC, 0x3000, 1000, MST_STACK_NONE);
	acquire(worker, MST_OP_CALLOC, 0x4000, 24, MST_STACK_NONE);
	release(worker, 0x3000);
	event((struct mst_event){.thread = main_, .op = MST_OP_REALLOC_BEGIN, .addr = 0x4000});
	acquire(worker, MST_OP_MALLOC, 0x4000, 16, MST_STACK_NONE);
	event((struct mst_event){.thread = main_, .op = MST_OP_REALLOC_END, .old_addr = 0x4000, .addr = 0x5000, .size = 48});
	acquire(thread(daemon, 300, "daemon"), MST_OP_MALLOC, 0x6000, 7, MST_STACK_NONE);
	process_end(app, MST_FATE_KILLED, 9);
	process_end(daemon, MST_FATE_UNFINISHED, 0);
	process_end(process(0, shell, MST_ORIGIN_FORK, "/sbin/ldconfig"), MST_FATE_UNRECORDED, MST_OBSTACLE_STATIC);
	process_end(shell, MST_FATE_EXITED, 3);
}

static void forks(void)
{
	static const char *const main_[] = {"main", NULL}, *const work[] = {"work", NULL};
	uint32_t app = module("/usr/bin/app");
	uint32_t parent = process(200, 0, MST_ORIGIN_START, "/usr/bin/app");
	uint32_t t = thread(parent, 200, "app");
	uint32_t s_main = stack(MST_STACK_NONE, app, 0x10, main_), s_work = stack(s_main, app, 0x20, work);

	acquire(t, MST_OP_MALLOC, 0x1000, 1000, s_main);
	uint32_t child = process(201, parent, MST_ORIGIN_FORK, "/usr/bin/app");
	uint32_t u = thread(child, 201, "app");

	release(u, 0x1000); /* the child's copy */
	acquire(u, MST_OP_MALLOC, 0x1000, 300, s_work);
	acquire(t, MST_OP_MALLOC, 0x2000, 50, s_work);
	process_end(child, MST_FATE_EXEC, 0);
	uint32_t image = process(201, child, MST_ORIGIN_EXEC, "/usr/bin/other");
	uint32_t v = thread(image, 201, "other");

	acquire(v, MST_OP_MALLOC, 0x1000, 20, s_main);
	process_end(image, MST_FATE_KILLED, 9);
	acquire(t, MST_OP_MALLOC, 0x3000, 400, s_work);
	release(t, 0x1000);
	process_end(parent, MST_FATE_EXITED, 0);
}

static void hostile(void)
{
	static const char *const names[] = {"\033]0;pwned\007\033[2J",
		"</script><img src=x onerror=alert(1)>", "a;b 9", "two\nlines\ttab", "\xff\xfe\x80 bytes",
		"=HYPERLINK(\"http://x\")",
		("\xe2\x80\xae"
		 "desrever"),
		"\"};q,'\\"};
	uint32_t bad = module("/tmp/\033[31mred\n.so");
	uint32_t p = process(300, 0, MST_ORIGIN_START, "/tmp/\033c");
	uint32_t t = thread(p, 300, "\033[5m;\n");
	uint32_t at = MST_STACK_NONE;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *const one[] = {names[i], NULL};

		at = stack(at, bad, 0x100 * (i + 1), one);
		acquire(t, MST_OP_MALLOC, 0x1000 * (i + 1), 10 * (i + 1), at);
	}
	acquire(t, MST_OP_MALLOC, 0x90000, 5, stack(at, bad, 0x9999, NULL));
	process_end(p, MST_FATE_EXITED, 0);
}

static void lost(void)
{
	struct mst_process end = {.fate = MST_FATE_EXITED, .lost_events = 7, .lost_bytes = 700};
	uint32_t p = process(400, 0, MST_ORIGIN_START, "/usr/bin/app");
	uint32_t t = thread(p, 400, "app");

	acquire(t, MST_OP_MALLOC, 0x1000, 10, MST_STACK_NONE);
	must(mst_writer_loss(w, t, now_ns, now_ns + 5, 7, 700, 1), "loss");
	acquire(t, MST_OP_MALLOC, 0x2000, 20, MST_STACK_NONE);
	end.end_ns = now_ns;
	must(mst_writer_process_end(w, p, &end), "process end");
}

static void annotation(uint32_t kind, uint32_t in, uint32_t by, const char *name)
{
	struct mst_annotation a = {
		.kind = kind, .process = in, .thread = by, .name = name ? string(name) : 0, .time_ns = now_ns};

	must(mst_writer_annotation(w, &a), "annotation");
}

/* Recording that is paused from outside and by the program, with a process that the recording outlived. */
static void paused(void)
{
	uint32_t p = process(600, 0, MST_ORIGIN_START, "/usr/bin/app"), t = thread(p, 600, "app");

	annotation(MST_ANNOTATION_PAUSE, 0, 0, NULL);
	now_ns += 500000000;
	annotation(MST_ANNOTATION_RESUME, 0, 0, NULL);
	acquire(t, MST_OP_MALLOC, 0x1000, 10, MST_STACK_NONE);
	annotation(MST_ANNOTATION_MARK, p, t, "phase two");
	acquire(t, MST_OP_MALLOC, 0x2000, 20, MST_STACK_NONE);
	uint32_t q = process(601, p, MST_ORIGIN_FORK, "/usr/bin/app"), u = thread(q, 601, "app");

	annotation(MST_ANNOTATION_PAUSE, p, t, NULL);
	release(t, 0x2000);
	now_ns += 250000000;
	annotation(MST_ANNOTATION_RESUME, p, t, NULL);
	acquire(u, MST_OP_MALLOC, 0x4000, 40, MST_STACK_NONE);
	annotation(MST_ANNOTATION_MARK, 0, 0, "\033[31m\"</script>\n,=1");
	process_end(p, MST_FATE_EXITED, 0);
	annotation(MST_ANNOTATION_PAUSE, 0, 0, NULL);
	now_ns += 250000000;
	process_end(q, MST_FATE_UNFINISHED, 0);
}

static void long_(uint64_t n)
{
	static const char *const main_[] = {"main", NULL};
	uint32_t app = module("/usr/bin/app");
	uint32_t p = process(500, 0, MST_ORIGIN_START, "/usr/bin/app");
	uint32_t t = thread(p, 500, "app");
	uint32_t at = stack(MST_STACK_NONE, app, 0x10, main_);

	for (uint64_t i = 0; i < n; i++) {
		acquire(t, MST_OP_MALLOC, 0x1000 + 64 * (i % 1000), 1 + i % 50, at);
		release(t, 0x1000 + 64 * (i % 1000));
	}
	process_end(p, MST_FATE_EXITED, 0);
}

static struct mst_sample blank_sample(uint32_t process, const char *group)
{
	return (struct mst_sample){
		.time_ns = now_ns, .cost_ns = 40000, .process = process, .group = group ? string(group) : 0};
}

static void set(struct mst_sample *s, unsigned field, uint64_t value)
{
	s->known |= UINT64_C(1) << field;
	s->value[field] = value;
}

/* What the kernel may say of a process with so much memory; every other time without the dear numbers. */
static void sample_process(uint32_t process, uint64_t kib, bool is_full)
{
	struct mst_sample s = blank_sample(process, "/app.slice");

	set(&s, MST_SAMPLE_RSS, (kib + 2000) << 10);
	set(&s, MST_SAMPLE_ANON, (kib + 500) << 10);
	set(&s, MST_SAMPLE_FILE, UINT64_C(1500) << 10);
	set(&s, MST_SAMPLE_SWAP, 0);
	set(&s, MST_SAMPLE_THREADS, 1);
	if (is_full) {
		set(&s, MST_SAMPLE_PSS, (kib + 900) << 10);
		set(&s, MST_SAMPLE_PRIVATE_CLEAN, 0);
		set(&s, MST_SAMPLE_PRIVATE_DIRTY, (kib + 500) << 10);
		s.cost_ns = 90000;
	}
	must(mst_writer_sample(w, &s), "sample");
}

static void sample_group(uint64_t kib, uint64_t limit)
{
	struct mst_sample s = blank_sample(0, "/app.slice");

	set(&s, MST_SAMPLE_GROUP_CURRENT, kib << 10);
	set(&s, MST_SAMPLE_GROUP_MAX, limit);
	set(&s, MST_SAMPLE_GROUP_OOM_KILLS, 0);
	must(mst_writer_sample(w, &s), "sample");
}

/* What being recorded has cost a process, or (0) all of it the recorder. */
static void sample_costs(uint32_t process)
{
	struct mst_sample s = blank_sample(process, NULL);

	set(&s, MST_SAMPLE_ARENA_PEAK, UINT64_C(96) << 10);
	if (process) {
		set(&s, MST_SAMPLE_HOOK_TIME, 1000u * process);
		set(&s, MST_SAMPLE_HOOKS_TIMED, 20);
		set(&s, MST_SAMPLE_STALL_TIME, 0);
		set(&s, MST_SAMPLE_LOST_EVENTS, 0);
	} else {
		set(&s, MST_SAMPLE_RSS, UINT64_C(9000) << 10);
		set(&s, MST_SAMPLE_PEAK_RSS, UINT64_C(10000) << 10);
		set(&s, MST_SAMPLE_CPU, 12345678);
		set(&s, MST_SAMPLE_SAMPLING_TIME, 1300000);
	}
	must(mst_writer_sample(w, &s), "sample");
}

static void sampled(void)
{
	static const char *const main_[] = {"main", NULL};
	uint32_t app = module("/usr/bin/app");
	uint32_t p = process(600, 0, MST_ORIGIN_START, "/usr/bin/app");
	uint32_t q = process(601, p, MST_ORIGIN_EXEC, "/usr/bin/tool");
	uint32_t t = thread(p, 600, "app"), u = thread(q, 601, "tool");
	uint32_t at = stack(MST_STACK_NONE, app, 0x10, main_);

	for (uint64_t i = 0; i < 10; i++) {
		now_ns = (i + 1) * 10000000;
		sample_process(p, 100 * i, i % 2 == 0);
		if (i < 6)
			sample_process(q, 64, true);
		if (i == 6)
			process_end(q, MST_FATE_EXITED, 0);
		sample_group(100 * i + 5000, i < 5 ? MST_NO_LIMIT : 64 << 20);
		acquire(t, MST_OP_MALLOC, 0x100000 * (i + 1), 100 << 10, at);
		if (i == 2)
			acquire(u, MST_OP_MALLOC, 0x7000, 64 << 10, at);
		if (i == 8)
			release(t, 0x100000);
	}
	sample_costs(p);
	sample_costs(q);
	process_end(p, MST_FATE_EXITED, 0);
	sample_costs(0);
}

static void give_back(uint32_t in, uint8_t op, uint64_t addr, struct mst_event with)
{
	with.thread = in;
	with.op = op;
	with.addr = addr;
	event(with);
}

static void cxx(void)
{
	static const char *const main_[] = {"main", NULL}, *const make[] = {"make", NULL}, *const drop[] = {"drop", NULL};
	static const char *const new_[] = {"operator new(unsigned long)", NULL};
	uint32_t app = module("/usr/bin/app");
	uint32_t p = process(700, 0, MST_ORIGIN_START, "/usr/bin/app");
	uint32_t t = thread(p, 700, "app");
	uint32_t at = stack(MST_STACK_NONE, app, 0x10, main_);
	uint32_t made = stack(at, app, 0x20, make), dropped = stack(at, app, 0x30, drop);
	uint32_t unseen = stack(made, app, 0x40, new_);
	const struct mst_event here = {.stack = dropped};

	/* right */
	acquire(t, MST_OP_NEW, 0x1000, 24, made);
	give_back(t, MST_OP_DELETE_SIZED, 0x1000, (struct mst_event){.stack = dropped, .size = 24});
	acquire(t, MST_OP_NEW_ARRAY_NOTHROW, 0x1000, 0, made);
	give_back(t, MST_OP_DELETE_ARRAY, 0x1000, here);
	event((struct mst_event){.thread = t, .op = MST_OP_ALIGNED_ALLOC, .addr = 0x1000, .size = 64, .align = 64});
	give_back(t, MST_OP_FREE, 0x1000, here);
	event((struct mst_event){.thread = t, .op = MST_OP_NEW, .addr = 0x1000, .size = 64, .align = 64});
	give_back(t, MST_OP_DELETE, 0x1000, (struct mst_event){.stack = dropped, .align = 64});
	give_back(t, MST_OP_DELETE, 0x6660, here); /* of nothing that is known */
	/* new[] and delete, twice at one place */
	for (int i = 0; i < 2; i++) {
		acquire(t, MST_OP_NEW_ARRAY, 0x1000, 100, made);
		give_back(t, MST_OP_DELETE, 0x1000, here);
	}
	acquire(t, MST_OP_NEW, 0x1000, 10, made);
	give_back(t, MST_OP_FREE, 0x1000, here);
	acquire(t, MST_OP_CALLOC, 0x1000, 11, made);
	give_back(t, MST_OP_DELETE_SIZED, 0x1000, (struct mst_event){.stack = dropped, .size = 12});
	acquire(t, MST_OP_NEW, 0x1000, 40, made);
	give_back(t, MST_OP_DELETE_SIZED, 0x1000, (struct mst_event){.stack = dropped, .size = 48});
	event((struct mst_event){.thread = t, .op = MST_OP_NEW, .addr = 0x1000, .size = 128, .align = 64});
	give_back(t, MST_OP_DELETE, 0x1000, here);
	acquire(t, MST_OP_NEW, 0x1000, 7, made);
	event((struct mst_event){.thread = t, .op = MST_OP_REALLOC, .old_addr = 0x1000, .addr = 0x1000, .size = 70});
	give_back(t, MST_OP_FREE, 0x1000, here);
	/* an operator that was not recorded */
	acquire(t, MST_OP_MALLOC, 0x1000, 99, unseen);
	give_back(t, MST_OP_DELETE, 0x1000, here);
	/* the child's copy of a block is not the block */
	acquire(t, MST_OP_NEW, 0x2000, 5, made);
	uint32_t child = process(701, p, MST_ORIGIN_FORK, "/usr/bin/app");
	uint32_t u = thread(child, 701, "app");

	give_back(u, MST_OP_FREE, 0x2000, here);
	acquire(u, MST_OP_NEW, 0x3000, 5, made);
	give_back(u, MST_OP_DELETE_ARRAY, 0x3000, here);
	process_end(child, MST_FATE_EXITED, 0);
	process_end(p, MST_FATE_EXITED, 0);
}

static void pool_event(uint32_t in, uint8_t op, const char *pool, uint32_t at, struct mst_pool_call call)
{
	struct mst_event ev = {.thread = in, .op = op, .stack = at};

	now_ns += 1024;
	ev.time_ns = now_ns;
	if (op != MST_OP_POOL_FREE && op != MST_OP_POOL_REALLOC_FREE && call.addr == 0) {
		ev.flags = MST_EV_FAILED;
		ev.err = 12;
	}
	call.pool = string(pool);
	must(mst_writer_pool_event(w, &ev, &call), "a pool's call");
}

/* Two pools in memory of the heap, one of them with a name that no terminal should see, and a child that inherits. */
static void pools(void)
{
	static const char *const main_[] = {"main", NULL}, *const load[] = {"load", NULL};
	static const char arena[] = "arena_alloc", bad[] = "\033[31m\"</script>\n,=1";
	uint32_t app = module("/usr/bin/app");
	uint32_t p = process(800, 0, MST_ORIGIN_START, "/usr/bin/app"), t = thread(p, 800, "app");
	uint32_t at = stack(MST_STACK_NONE, app, 0x10, main_), in = stack(at, app, 0x20, load);

	acquire(t, MST_OP_MALLOC, 0x10000, 64 << 10, at);
	pool_event(t, MST_OP_POOL_ALLOC, arena, in, (struct mst_pool_call){.addr = 0x10000, .size = 1000});
	pool_event(t, MST_OP_POOL_ALLOC, arena, in, (struct mst_pool_call){.addr = 0x10400, .size = 2000});
	pool_event(t, MST_OP_POOL_ALLOC, bad, at, (struct mst_pool_call){.addr = 0x10400, .size = 8});
	pool_event(t, MST_OP_POOL_REALLOC, arena, at,
		(struct mst_pool_call){.addr = 0x11000, .old_addr = 0x10000, .size = 3000});
	pool_event(t, MST_OP_POOL_ALLOC, arena, at, (struct mst_pool_call){.size = UINT64_C(1) << 40});
	pool_event(t, MST_OP_POOL_REALLOC, arena, at, (struct mst_pool_call){.addr = 0x12000, .size = 16});
	pool_event(t, MST_OP_POOL_FREE, arena, 0, (struct mst_pool_call){.addr = 0x12000});
	pool_event(t, MST_OP_POOL_FREE, arena, 0, (struct mst_pool_call){.addr = 0x66600}); /* of nothing */
	pool_event(t, MST_OP_POOL_REALLOC_FREE, bad, 0, (struct mst_pool_call){.addr = 0x10400});
	uint32_t child = process(801, p, MST_ORIGIN_FORK, "/usr/bin/app"), u = thread(child, 801, "app");

	pool_event(u, MST_OP_POOL_FREE, arena, 0, (struct mst_pool_call){.addr = 0x11000});
	pool_event(u, MST_OP_POOL_ALLOC, arena, in, (struct mst_pool_call){.addr = 0x11000, .size = 5});
	process_end(child, MST_FATE_EXITED, 0);
	pool_event(t, MST_OP_POOL_FREE, arena, 0, (struct mst_pool_call){.addr = 0x11000});
	release(t, 0x10000);
	process_end(p, MST_FATE_EXITED, 0);
}

static void open_writer(int fd, bool is_hostile)
{
	static const char command[] = "app\0--fast\0in.txt", bad[] = "app\0\033[2J\n</script>";
	struct mst_writer_options opt = {
		.header = {.time_shift = 8,
			.has_addresses = true,
			.stack_depth = 64,
			.tool = "make_cli_trace 1.0",
			.start_realtime_ns = 1700000000000000000,
			.page_size = 4096,
			.n_cpus = 2,
			.host = "testhost",
			.kernel = "6.1.0",
			.arch = "x86_64",
			.clock = "monotonic",
			.cwd = "/home/user",
			.cmdline = is_hostile ? bad : command,
			.cmdline_len = is_hostile ? sizeof(bad) - 1 : sizeof(command) - 1},
		.file_id = 0x1122334455667788,
		.frame_events = 1000,
	};

	must(mst_writer_open(fd, &opt, &w), "open");
}

int main(int argc, char **argv)
{
	const char *kind = argc > 2 ? argv[1] : "";
	bool is_whole = strcmp(kind, "open") != 0;
	int fd = argc > 2 ? open(argv[argc - 1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;

	if (fd < 0) {
		fprintf(stderr, "usage: make_cli_trace KIND FILE\n");
		return 2;
	}
	open_writer(fd, strcmp(kind, "hostile") == 0);
	if (strcmp(kind, "small") == 0 || strcmp(kind, "open") == 0)
		small();
	else if (strcmp(kind, "forks") == 0)
		forks();
	else if (strcmp(kind, "family") == 0)
		family();
	else if (strcmp(kind, "hostile") == 0)
		hostile();
	else if (strcmp(kind, "lost") == 0)
		lost();
	else if (strcmp(kind, "paused") == 0)
		paused();
	else if (strcmp(kind, "sampled") == 0)
		sampled();
	else if (strcmp(kind, "mappings") == 0)
		mappings();
	else if (strcmp(kind, "cxx") == 0)
		cxx();
	else if (strcmp(kind, "pools") == 0)
		pools();
	else if (strcmp(kind, "long") == 0)
		long_(strtoull(argv[2], NULL, 10));
	else if (strcmp(kind, "empty") != 0)
		must(MST_EARG, kind);
	if (is_whole)
		must(mst_writer_close(w, true, strcmp(kind, "small") == 0 ? 3 : 0, NULL), "close");
	else
		must(mst_writer_flush(w), "flush");
	return close(fd) == 0 ? 0 : 1;
}

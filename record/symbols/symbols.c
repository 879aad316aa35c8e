/* See symbols.h. The queries are sorted by module and address, each module's distinct addresses go to a child, and
 * every query remembers which of them was its. */
#include "symbols.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf_file.h"
#include "symbol_child.h"

struct module {
	struct ms_symbol_report report;
	char problem[MS_PROBLEM_MAX];
	struct ms_reply reply;
	struct ms_symbol_frame *frames; /* those of the reply, with its strings */
};

struct place {
	uint32_t module;
	uint32_t number; /* of the address in the module's reply */
};

struct ms_symbols {
	struct module *modules;
	size_t n_modules;
	struct place *places; /* by query */
	size_t n_queries;
};

struct sorted_query {
	uint64_t address;
	uint32_t module;
	uint32_t query;
};

static int compare_queries(const void *left, const void *right)
{
	const struct sorted_query *a = left, *b = right;

	if (a->module != b->module)
		return a->module < b->module ? -1 : 1;
	return (a->address > b->address) - (a->address < b->address);
}

static int sort_queries(const struct ms_symbol_query *queries, size_t n, size_t n_modules, struct sorted_query **out)
{
	struct sorted_query *sorted;

	for (size_t i = 0; i < n; i++) {
		if (queries[i].module >= n_modules)
			return -EINVAL;
	}
	sorted = reallocarray(NULL, n + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		/* A return address of 0 has no call before it; 0 is no code address, so it stays unknown. */
		sorted[i] = (struct sorted_query){ .address = queries[i].offset ? queries[i].offset - 1 : 0,
			.module = queries[i].module,
			.query = (uint32_t)i };
	}
	qsort(sorted, n, sizeof(*sorted), compare_queries);
	*out = sorted;
	return 0;
}

static void set_problem(struct module *m, const char *sentence)
{
	snprintf(m->problem, sizeof(m->problem), "%s", sentence);
	m->report.problem = m->problem;
}

/* Opens the module's file if it is one that may be believed. Returns a descriptor, or a negative errno with the problem
 * set. */
static int open_module(struct module *m, const struct ms_symbol_module *wanted, uint64_t max_bytes, uint64_t *size)
{
	int fd = ms_elf_open_regular(wanted->path, max_bytes, size);
	uint8_t id[MS_BUILD_ID_MAX];
	struct ms_elf_file f;
	size_t len = 0;
	int rc;

	if (fd < 0) {
		snprintf(m->problem, sizeof(m->problem), "it cannot be opened: %s",
			fd == -EINVAL ? "it is no regular file" : strerror(-fd));
		m->report.problem = m->problem;
		return fd;
	}
	rc = ms_elf_file_attach(&f, fd, *size);
	if (rc < 0 || !f.is_elf64) {
		set_problem(m, rc == -ENOMEM ? "there is not enough memory to read it" : "it is no 64-bit ELF file");
		rc = rc < 0 ? rc : -ENOEXEC;
	} else {
		rc = ms_elf_file_build_id(&f, id, &len);
		if (rc == 0 && wanted->build_id_len > 0 &&
			(len != wanted->build_id_len || memcmp(id, wanted->build_id, len) != 0)) {
			set_problem(m, "the file there now is another build than the one that ran (build-id differs)");
			rc = -ESTALE;
		} else if (rc < 0) {
			set_problem(m, "its build-id cannot be read");
		}
		ms_elf_file_release(&f);
	}
	if (rc < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

/* Turns the reply's frames into those of the interface. */
static int adopt_reply(struct module *m)
{
	const struct ms_reply *reply = &m->reply;

	m->frames = reallocarray(NULL, (size_t)reply->head.n_frames + 1, sizeof(*m->frames));
	if (!m->frames)
		return -ENOMEM;
	for (uint32_t i = 0; i < reply->head.n_frames; i++) {
		m->frames[i] = (struct ms_symbol_frame){ .function = ms_reply_text(reply, reply->frames[i].function),
			.file = ms_reply_text(reply, reply->frames[i].file),
			.line = reply->frames[i].line,
			.is_inlined = reply->frames[i].flags & MS_REPLY_INLINED };
	}
	m->report.was_read = true;
	m->report.has_debug_info = reply->head.flags & MS_REPLY_DEBUG_INFO;
	m->report.has_symbol_table = reply->head.flags & MS_REPLY_SYMBOL_TABLE;
	if (reply->head.note && !m->report.problem)
		set_problem(m, ms_reply_text(reply, reply->head.note));
	return 0;
}

/* Parses the module, a second time without debug information if need be. Only -ENOMEM of our own is an error. */
static int read_module(struct module *m, struct ms_parser_job *job, uint64_t size, const struct ms_child_limits *limits)
{
	char problem[MS_PROBLEM_MAX];
	int rc;

	job->uses_debug_info = true;
	rc = ms_symbol_child_run(job, size, limits, &m->reply, problem);
	if (rc < 0) {
		set_problem(m, problem);
		if (rc == -ECANCELED)
			return 0;
		job->uses_debug_info = false;
		rc = ms_symbol_child_run(job, size, limits, &m->reply, problem);
		if (rc < 0)
			return 0;
		snprintf(m->problem, sizeof(m->problem), "only names from its symbol table were used: %.200s", problem);
	}
	return adopt_reply(m);
}

/* Resolves the n sorted queries of one module. */
static int resolve_module(struct ms_symbols *s, const struct sorted_query *queries, size_t n,
	const struct ms_symbol_module *wanted, const struct ms_symbol_options *options)
{
	const struct ms_child_limits limits = { .memory_bytes = options->memory_bytes,
		.max_file_bytes = options->max_file_bytes,
		.cpu_seconds = options->cpu_seconds,
		.wall_seconds = options->wall_seconds,
		.is_cancelled = options->is_cancelled };
	struct module *m = &s->modules[queries->module];
	uint64_t *addresses = reallocarray(NULL, n, sizeof(*addresses));
	struct ms_parser_job job = { .path = wanted->path, .debug_dir = options->debug_dir, .addresses = addresses };
	uint64_t size;
	int rc = 0;

	if (!addresses)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || queries[i].address != addresses[job.n_addresses - 1])
			addresses[job.n_addresses++] = queries[i].address;
		s->places[queries[i].query] =
			(struct place){ .module = queries->module, .number = (uint32_t)job.n_addresses - 1 };
	}
	if (options->is_cancelled && options->is_cancelled()) {
		set_problem(m, "the lookup was cut short");
		job.fd = -1;
	} else {
		job.fd = open_module(m, wanted, options->max_file_bytes, &size);
	}
	if (job.fd >= 0) {
		rc = read_module(m, &job, size, &limits);
		close(job.fd);
	}
	free(addresses);
	return rc;
}

static struct ms_symbols *new_symbols(size_t n_modules, size_t n_queries)
{
	struct ms_symbols *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->modules = calloc(n_modules + 1, sizeof(*s->modules));
	s->places = calloc(n_queries + 1, sizeof(*s->places));
	if (!s->modules || !s->places) {
		ms_symbols_free(s);
		return NULL;
	}
	s->n_modules = n_modules;
	s->n_queries = n_queries;
	return s;
}

static struct ms_symbol_options with_defaults(const struct ms_symbol_options *given)
{
	struct ms_symbol_options o = given ? *given : (struct ms_symbol_options){ 0 };

	if (!o.debug_dir)
		o.debug_dir = "/usr/lib/debug";
	if (!o.memory_bytes)
		o.memory_bytes = UINT64_C(2) << 30;
	if (!o.max_file_bytes)
		o.max_file_bytes = UINT64_C(16) << 30;
	if (!o.cpu_seconds)
		o.cpu_seconds = 60;
	if (!o.wall_seconds)
		o.wall_seconds = 180;
	return o;
}

int ms_symbols_resolve(const struct ms_symbol_module *modules, size_t n_modules, const struct ms_symbol_query *queries,
	size_t n_queries, const struct ms_symbol_options *options, struct ms_symbols **out)
{
	const struct ms_symbol_options all = with_defaults(options);
	struct sorted_query *sorted = NULL;
	struct ms_symbols *s = NULL;
	int rc;

	*out = NULL;
	if (n_queries > INT32_MAX || n_modules > INT32_MAX)
		return -EINVAL;
	rc = sort_queries(queries, n_queries, n_modules, &sorted);
	if (rc < 0)
		goto out;
	s = new_symbols(n_modules, n_queries);
	rc = s ? 0 : -ENOMEM;
	for (size_t first = 0, end; rc == 0 && first < n_queries; first = end) {
		for (end = first + 1; end < n_queries && sorted[end].module == sorted[first].module; end++)
			;
		rc = resolve_module(s, sorted + first, end - first, &modules[sorted[first].module], &all);
	}
	if (rc == 0) {
		*out = s;
		s = NULL;
	}
out:
	ms_symbols_free(s);
	free(sorted);
	return rc;
}

const struct ms_symbol_frame *ms_symbols_frames(const struct ms_symbols *symbols, size_t query, size_t *n)
{
	const struct place *place = &symbols->places[query];
	const struct module *m = &symbols->modules[place->module];
	const uint32_t *first = m->reply.first;

	*n = 0;
	if (!m->frames)
		return NULL;
	*n = first[place->number + 1] - first[place->number];
	return m->frames + first[place->number];
}

const struct ms_symbol_report *ms_symbols_report(const struct ms_symbols *symbols, size_t module)
{
	return &symbols->modules[module].report;
}

void ms_symbols_free(struct ms_symbols *symbols)
{
	if (!symbols)
		return;
	for (size_t i = 0; i < symbols->n_modules; i++) {
		ms_reply_release(&symbols->modules[i].reply);
		free(symbols->modules[i].frames);
	}
	free(symbols->modules);
	free(symbols->places);
	free(symbols);
}

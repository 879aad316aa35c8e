/* See symbols.h. The queries are sorted by module and address, each module's distinct addresses go to a child, which may
 * have been at work for long (forerunner.h), and every query remembers which of them was its. */
#include "symbols.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forerunner.h"
#include "module_file.h"
#include "symbol_child.h"

struct module {
	struct ms_symbol_report report;
	char problem[MS_PROBLEM_MAX];
	struct ms_reply reply;
	struct ms_symbol_frame *frames; /* those of the reply, with its strings */
	uint64_t *addresses;		/* asked for, ascending, distinct */
	size_t n_addresses;
	int early; /* socket of a parser that was started ahead and has been asked; -1 = none */
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

static void note_cancellation(struct module *m)
{
	set_problem(m, "the lookup was cut short");
}

static bool is_cancelled(const struct ms_child_limits *limits)
{
	return limits->is_cancelled && limits->is_cancelled();
}

/* Parses the module, a second time without debug information if need be. Only -ENOMEM of our own is an error. */
static int parse_module(struct module *m, struct ms_parser_job *job, uint64_t size, const struct ms_child_limits *limits)
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

static int read_module(struct module *m, const struct ms_symbol_module *wanted, const char *debug_dir,
	const struct ms_child_limits *limits)
{
	struct ms_parser_job job = {
		.path = wanted->path, .debug_dir = debug_dir, .addresses = m->addresses, .n_addresses = m->n_addresses };
	char problem[MS_PROBLEM_MAX];
	uint64_t size;
	int rc;

	if (is_cancelled(limits)) {
		note_cancellation(m);
		return 0;
	}
	job.fd = ms_module_file_open(wanted, limits->max_file_bytes, &size, problem);
	if (job.fd < 0) {
		set_problem(m, problem);
		return 0;
	}
	rc = parse_module(m, &job, size, limits);
	close(job.fd);
	return rc;
}

/* Hears the parser that was started ahead. What goes wrong with it is forgotten: it is only asked in order to save
 * time, and the module is then read like any other. */
static int hear_module(struct module *m, const struct ms_symbol_module *wanted, const char *debug_dir,
	const struct ms_child_limits *limits)
{
	int rc = ms_early_child_hear(m->early, m->n_addresses, limits, &m->reply);

	close(m->early);
	m->early = -1;
	if (rc == 0)
		return adopt_reply(m);
	return read_module(m, wanted, debug_dir, limits);
}

/* Gives each module its distinct addresses, and each query its place among them. */
static int distribute(struct ms_symbols *s, const struct sorted_query *queries)
{
	for (size_t first = 0, end; first < s->n_queries; first = end) {
		struct module *m = &s->modules[queries[first].module];

		for (end = first + 1; end < s->n_queries && queries[end].module == queries[first].module; end++)
			;
		m->addresses = reallocarray(NULL, end - first, sizeof(*m->addresses));
		if (!m->addresses)
			return -ENOMEM;
		for (size_t i = first; i < end; i++) {
			if (i == first || queries[i].address != m->addresses[m->n_addresses - 1])
				m->addresses[m->n_addresses++] = queries[i].address;
			s->places[queries[i].query] =
				(struct place){ .module = queries[i].module, .number = (uint32_t)m->n_addresses - 1 };
		}
	}
	return 0;
}

/* Those that were started ahead are asked first, and answer while the others are read. */
static int read_modules(struct ms_symbols *s, const struct ms_symbol_module *wanted, const struct ms_symbol_options *options)
{
	const struct ms_child_limits limits = { .memory_bytes = options->memory_bytes,
		.max_file_bytes = options->max_file_bytes,
		.cpu_seconds = options->cpu_seconds,
		.wall_seconds = options->wall_seconds,
		.is_cancelled = options->is_cancelled };
	int rc = 0;

	for (size_t i = 0; i < s->n_modules; i++) {
		struct module *m = &s->modules[i];

		if (m->n_addresses > 0 && options->forerunner)
			m->early = ms_forerunner_ask(options->forerunner, &wanted[i], m->addresses, m->n_addresses, &limits);
	}
	for (size_t i = 0; rc == 0 && i < s->n_modules; i++) {
		if (s->modules[i].n_addresses > 0 && s->modules[i].early < 0)
			rc = read_module(&s->modules[i], &wanted[i], options->debug_dir, &limits);
	}
	for (size_t i = 0; rc == 0 && i < s->n_modules; i++) {
		if (s->modules[i].early >= 0)
			rc = hear_module(&s->modules[i], &wanted[i], options->debug_dir, &limits);
	}
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
	for (size_t i = 0; i < n_modules; i++)
		s->modules[i].early = -1;
	s->n_modules = n_modules;
	s->n_queries = n_queries;
	return s;
}

struct ms_symbol_options ms_symbol_options_complete(const struct ms_symbol_options *given)
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
	const struct ms_symbol_options all = ms_symbol_options_complete(options);
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
	if (rc == 0)
		rc = distribute(s, sorted);
	if (rc == 0)
		rc = read_modules(s, modules, &all);
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
		free(symbols->modules[i].addresses);
		if (symbols->modules[i].early >= 0)
			close(symbols->modules[i].early);
	}
	free(symbols->modules);
	free(symbols->places);
	free(symbols);
}

/* See names.h. */
#include "names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forerunner.h"
#include "symbols.h"

#define MS 1000000u
#define AHEAD_AFTER_NS (150u * MS)
#define AHEAD_EVERY_NS (50u * MS)
#define FRAMES_MAX 256u /* symbols of one address: the format's limit */

/* What is asked, by trace id. */
struct request {
	struct ms_symbol_module *modules;
	char **paths;	    /* of modules with relative names; NULL of others */
	uint32_t *index_of; /* module id → index in modules + 1; 0 = not asked */
	uint32_t n_modules, cap_index;
	struct ms_symbol_query *queries;
	uint32_t *codes; /* code id of each query */
	uint32_t n_queries;
};

static void release(struct request *rq)
{
	for (uint32_t i = 0; rq->paths && i < rq->n_modules; i++)
		free(rq->paths[i]);
	free(rq->paths);
	free(rq->modules);
	free(rq->index_of);
	free(rq->queries);
	free(rq->codes);
}

/* ---- the two kinds of traces ------------------------------------------------------------------------ */

static uint32_t writer_n_codes(const void *trace)
{
	return mst_writer_n_code(trace);
}

static const struct mst_code *writer_code(const void *trace, uint32_t id)
{
	return mst_writer_get_code(trace, id);
}

static const struct mst_module *writer_module(const void *trace, uint32_t id)
{
	return mst_writer_get_module(trace, id);
}

static const char *writer_string(const void *trace, uint32_t id, size_t *len)
{
	return mst_writer_get_string(trace, id, len);
}

static int writer_add_string(void *trace, const char *s, size_t len, uint32_t *id)
{
	return mst_writer_string(trace, s, len, id);
}

static int writer_add_symbols(void *trace, uint32_t code, const struct mst_symbol *s, size_t n)
{
	return mst_writer_symbols(trace, code, s, n);
}

struct ms_names_trace ms_names_of_writer(struct mst_writer *w, const char *directory)
{
	return (struct ms_names_trace){w, writer_n_codes, writer_code, writer_module, writer_string,
		writer_add_string, writer_add_symbols, directory};
}

static uint32_t old_n_codes(const void *trace)
{
	return mst_reader_n_codes(mst_amendment_reader(trace));
}

static const struct mst_code *old_code(const void *trace, uint32_t id)
{
	const struct mst_reader *r = mst_amendment_reader(trace);
	size_t n_known;
	mst_reader_symbols(r, id, &n_known);
	return n_known ? NULL : mst_reader_code(r, id);
}

static const struct mst_module *old_module(const void *trace, uint32_t id)
{
	return mst_reader_module(mst_amendment_reader(trace), id);
}

static const char *old_string(const void *trace, uint32_t id, size_t *len)
{
	return mst_reader_string(mst_amendment_reader(trace), id, len);
}

static int old_add_string(void *trace, const char *s, size_t len, uint32_t *id)
{
	return mst_amendment_string(trace, s, len, id);
}

static int old_add_symbols(void *trace, uint32_t code, const struct mst_symbol *s, size_t n)
{
	return mst_amendment_symbols(trace, code, s, n);
}

struct ms_names_trace ms_names_of_amendment(struct mst_amendment *a)
{
	return (struct ms_names_trace){
		a, old_n_codes, old_code, old_module, old_string, old_add_string, old_add_symbols,
		mst_reader_header(mst_amendment_reader(a))->cwd};
}

/* ---- question and answer ---------------------------------------------------------------------------- */

/* A relative name (LD_LIBRARY_PATH=., dlopen("./plugin.so") where the kernel could not be asked for the file) within the directory
 * of the recording. The process may have been in another one: the build id will tell. malloc'ed; NULL: no file, as
 * "[vdso]", or no build id, or no memory. */
static char *likely_path(const struct ms_names_trace *t, const struct mst_module *m, const char *name)
{
	if (!t->directory || t->directory[0] != '/' || !m->build_id_len || !strchr(name, '/'))
		return NULL;
	size_t size = strlen(t->directory) + 1 + strlen(name) + 1;
	char *path = malloc(size);
	if (path)
		snprintf(path, size, "%s/%s", t->directory, name);
	return path;
}

/* false: there is no file to read. *likely (may be NULL: absolute names only) becomes a path to be freed, or NULL. */
static bool get_module(const struct ms_names_trace *t, uint32_t id, struct ms_symbol_module *module, char **likely)
{
	const struct mst_module *m = t->module(t->trace, id);
	size_t len = 0;
	const char *path = m && m->path ? t->string(t->trace, m->path, &len) : NULL;
	if (likely)
		*likely = path && path[0] != '/' ? likely_path(t, m, path) : NULL;
	if (path && path[0] != '/')
		path = likely ? *likely : NULL;
	if (!path)
		return false;
	*module = (struct ms_symbol_module){path, m->build_id, m->build_id_len};
	return true;
}

/* The index of a module in the request, made if it is new. UINT32_MAX: there is no file to read. */
static uint32_t ask_module(const struct ms_names_trace *t, struct request *rq, uint32_t id)
{
	if (rq->index_of[id])
		return rq->index_of[id] - 1;
	if (!get_module(t, id, &rq->modules[rq->n_modules], &rq->paths[rq->n_modules]))
		return UINT32_MAX;
	rq->index_of[id] = ++rq->n_modules;
	return rq->n_modules - 1;
}

static uint32_t greatest_module(const struct ms_names_trace *t, uint32_t n_codes)
{
	uint32_t greatest = 0;
	for (uint32_t id = 1; id <= n_codes; id++) {
		const struct mst_code *code = t->code(t->trace, id);
		if (code && code->module > greatest)
			greatest = code->module;
	}
	return greatest;
}

static int make_request(const struct ms_names_trace *t, struct request *rq)
{
	uint32_t n = t->n_codes(t->trace);
	size_t n_modules = (size_t)greatest_module(t, n) + 1;
	rq->modules = calloc(n_modules, sizeof *rq->modules);
	rq->paths = calloc(n_modules, sizeof *rq->paths);
	rq->index_of = calloc(n_modules, sizeof *rq->index_of);
	rq->queries = calloc((size_t)n + 1, sizeof *rq->queries);
	rq->codes = calloc((size_t)n + 1, sizeof *rq->codes);
	if (!rq->modules || !rq->paths || !rq->index_of || !rq->queries || !rq->codes)
		return MST_ENOMEM;
	for (uint32_t id = 1; id <= n; id++) {
		const struct mst_code *code = t->code(t->trace, id);
		uint32_t module = code && code->module ? ask_module(t, rq, code->module) : UINT32_MAX;
		if (module == UINT32_MAX)
			continue;
		rq->queries[rq->n_queries] = (struct ms_symbol_query){module, code->offset};
		rq->codes[rq->n_queries++] = id;
	}
	return 0;
}

static int intern(const struct ms_names_trace *t, const char *s, uint32_t *id)
{
	*id = 0;
	return s && *s ? t->add_string(t->trace, s, strlen(s), id) : 0;
}

static int add_symbols(
	const struct ms_names_trace *t, uint32_t code, const struct ms_symbol_frame *frames, size_t n)
{
	struct mst_symbol symbols[FRAMES_MAX];
	if (n > FRAMES_MAX)
		n = FRAMES_MAX;
	for (size_t i = 0; i < n; i++) {
		symbols[i] = (struct mst_symbol){.line = frames[i].line, .is_inlined = frames[i].is_inlined};
		int rc = intern(t, frames[i].function, &symbols[i].function);
		if (rc >= 0)
			rc = intern(t, frames[i].file, &symbols[i].file);
		if (rc < 0)
			return rc;
	}
	return t->add_symbols(t->trace, code, symbols, n);
}

static int add_answers(const struct ms_names_trace *t, const struct request *rq,
	const struct ms_symbols *symbols, struct ms_names_result *result)
{
	for (uint32_t i = 0; i < rq->n_queries; i++) {
		size_t n;
		const struct ms_symbol_frame *frames = ms_symbols_frames(symbols, i, &n);
		if (n == 0)
			continue;
		result->n_named++;
		int rc = add_symbols(t, rq->codes[i], frames, n);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void note_problems(
	const struct request *rq, const struct ms_symbols *symbols, struct ms_names_result *result)
{
	for (uint32_t i = 0; i < rq->n_modules; i++) {
		const struct ms_symbol_report *report = ms_symbols_report(symbols, i);
		if (report->was_read)
			continue;
		if (result->n_unread++ == 0)
			snprintf(result->problem, sizeof result->problem, "'%s': %s", rq->modules[i].path,
				report->problem ? report->problem : "no symbols");
	}
}

void ms_names_ahead_open(struct ms_names_ahead *ahead)
{
	ahead->forerunner = ms_forerunner_open(NULL); /* NULL: names take longer at the end */
}

void ms_names_ahead_close(struct ms_names_ahead *ahead)
{
	ms_forerunner_close(ahead->forerunner);
	ahead->forerunner = NULL;
}

void ms_names_look_ahead(struct ms_names_ahead *ahead, struct mst_writer *w, uint64_t elapsed_ns)
{
	if (!ahead->forerunner || elapsed_ns < AHEAD_AFTER_NS || elapsed_ns < ahead->next_ns)
		return;
	ahead->next_ns = elapsed_ns + AHEAD_EVERY_NS;
	uint32_t n = mst_writer_n_code(w);
	while (ahead->n_codes < n) {
		const struct mst_code *code = mst_writer_get_code(w, ++ahead->n_codes);
		if (!code || !code->module || code->module == ahead->last_module)
			continue;
		ahead->last_module = code->module;
		struct ms_symbol_module module;
		const struct ms_names_trace trace = ms_names_of_writer(w, NULL);
		if (get_module(&trace, code->module, &module, NULL))
			ms_forerunner_tell(ahead->forerunner, &module);
	}
}

int ms_names_add(const struct ms_names_trace *trace, bool (*is_cancelled)(void), struct ms_names_ahead *ahead,
	struct ms_names_result *result)
{
	struct request rq = {0};
	struct ms_symbols *symbols = NULL;
	memset(result, 0, sizeof *result);
	int rc = make_request(trace, &rq);
	if (rc < 0)
		goto out;
	result->n_codes = rq.n_queries;
	result->n_modules = rq.n_modules;
	const struct ms_symbol_options options = {
		.is_cancelled = is_cancelled, .forerunner = ahead ? ahead->forerunner : NULL};
	if (ms_symbols_resolve(rq.modules, rq.n_modules, rq.queries, rq.n_queries, &options, &symbols)) {
		rc = MST_ENOMEM;
		goto out;
	}
	if (options.forerunner)
		ms_forerunner_dismiss(options.forerunner); /* it ends while we go on */
	result->is_cut = is_cancelled && is_cancelled();
	note_problems(&rq, symbols, result);
	rc = add_answers(trace, &rq, symbols, result);
out:
	ms_symbols_free(symbols);
	release(&rq);
	return rc;
}

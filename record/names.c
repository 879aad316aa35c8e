/* See names.h. */
#include "names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "symbols.h"

#define FRAMES_MAX 256u /* symbols of one address: the format's limit */

/* What is asked, by trace id. */
struct request {
	struct ms_symbol_module *modules;
	uint32_t *index_of; /* module id → index in modules + 1; 0 = not asked */
	uint32_t n_modules, cap_index;
	struct ms_symbol_query *queries;
	uint32_t *codes;    /* code id of each query */
	uint32_t n_queries;
};

static void release(struct request *rq)
{
	free(rq->modules);
	free(rq->index_of);
	free(rq->queries);
	free(rq->codes);
}

/* The index of a module in the request, made if it is new. UINT32_MAX: there is no file to read. */
static uint32_t ask_module(const struct mst_writer *w, struct request *rq, uint32_t id)
{
	if (rq->index_of[id])
		return rq->index_of[id] - 1;
	const struct mst_module *m = mst_writer_get_module(w, id);
	size_t len = 0;
	const char *path = m && m->path ? mst_writer_get_string(w, m->path, &len) : NULL;
	if (!path || path[0] != '/') /* "[vdso]" and the like */
		return UINT32_MAX;
	rq->modules[rq->n_modules] = (struct ms_symbol_module){path, m->build_id, m->build_id_len};
	rq->index_of[id] = ++rq->n_modules;
	return rq->n_modules - 1;
}

static int make_request(const struct mst_writer *w, struct request *rq)
{
	uint32_t n = mst_writer_n_code(w), max_module = 0;
	for (uint32_t id = 1; id <= n; id++) {
		const struct mst_code *code = mst_writer_get_code(w, id);
		if (code->module > max_module)
			max_module = code->module;
	}
	rq->modules = calloc((size_t)max_module + 1, sizeof *rq->modules);
	rq->index_of = calloc((size_t)max_module + 1, sizeof *rq->index_of);
	rq->queries = calloc((size_t)n + 1, sizeof *rq->queries);
	rq->codes = calloc((size_t)n + 1, sizeof *rq->codes);
	if (!rq->modules || !rq->index_of || !rq->queries || !rq->codes)
		return MST_ENOMEM;
	for (uint32_t id = 1; id <= n; id++) {
		const struct mst_code *code = mst_writer_get_code(w, id);
		uint32_t module = code->module ? ask_module(w, rq, code->module) : UINT32_MAX;
		if (module == UINT32_MAX)
			continue;
		rq->queries[rq->n_queries] = (struct ms_symbol_query){module, code->offset};
		rq->codes[rq->n_queries++] = id;
	}
	return 0;
}

static int intern(struct mst_writer *w, const char *s, uint32_t *id)
{
	*id = 0;
	return s && *s ? mst_writer_string(w, s, strlen(s), id) : 0;
}

static int add_symbols(struct mst_writer *w, uint32_t code, const struct ms_symbol_frame *frames, size_t n)
{
	struct mst_symbol symbols[FRAMES_MAX];
	if (n > FRAMES_MAX)
		n = FRAMES_MAX;
	for (size_t i = 0; i < n; i++) {
		symbols[i] = (struct mst_symbol){.line = frames[i].line, .is_inlined = frames[i].is_inlined};
		int rc = intern(w, frames[i].function, &symbols[i].function);
		if (rc >= 0)
			rc = intern(w, frames[i].file, &symbols[i].file);
		if (rc < 0)
			return rc;
	}
	return mst_writer_symbols(w, code, symbols, n);
}

static int add_answers(struct mst_writer *w, const struct request *rq, const struct ms_symbols *symbols,
	struct ms_names_result *result)
{
	for (uint32_t i = 0; i < rq->n_queries; i++) {
		size_t n;
		const struct ms_symbol_frame *frames = ms_symbols_frames(symbols, i, &n);
		if (n == 0)
			continue;
		result->n_named++;
		int rc = add_symbols(w, rq->codes[i], frames, n);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void note_problems(const struct request *rq, const struct ms_symbols *symbols, struct ms_names_result *result)
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

int ms_names_add(struct mst_writer *w, struct ms_names_result *result)
{
	struct request rq = {0};
	struct ms_symbols *symbols = NULL;
	memset(result, 0, sizeof *result);
	int rc = make_request(w, &rq);
	if (rc < 0)
		goto out;
	result->n_codes = rq.n_queries;
	result->n_modules = rq.n_modules;
	if (ms_symbols_resolve(rq.modules, rq.n_modules, rq.queries, rq.n_queries, NULL, &symbols)) {
		rc = MST_ENOMEM;
		goto out;
	}
	note_problems(&rq, symbols, result);
	rc = add_answers(w, &rq, symbols, result);
out:
	ms_symbols_free(symbols);
	release(&rq);
	return rc;
}

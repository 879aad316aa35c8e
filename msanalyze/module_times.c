/* module_times.c - which files with code were mapped, where, and from when to when.
 *
 * A module is in the trace from the moment one of its addresses was first seen in a stack; a file that never was in one
 * is not. Ends are those of dlclose. */
#include "analysis.h"
#include "room.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>

static const struct ms_column head[] = {
	{"mappings", "mappings", MS_COLUMN_COUNT},
	{"n_modules", "modules", MS_COLUMN_COUNT},
	{"unloaded", "unloaded", MS_COLUMN_COUNT},
};

static const struct ms_column rows[] = {
	{"pid", "pid", MS_COLUMN_NUMBER},
	{"start", "address", MS_COLUMN_HEX},
	{"size_bytes", "size", MS_COLUMN_BYTES},
	{"loaded_ns", "loaded", MS_COLUMN_DURATION},
	{"unloaded_ns", "unloaded", MS_COLUMN_DURATION},
	{"build_id", "build id", MS_COLUMN_STRING},
	{"path", "path", MS_COLUMN_STRING},
};

static void add_build_id(struct ms_table *t, const struct mst_module *m)
{
	char text[2 * sizeof(m->build_id) + 1] = "";

	for (size_t i = 0; m && i < m->build_id_len; i++)
		snprintf(text + 2 * i, 3, "%02x", m->build_id[i]);
	if (text[0])
		ms_table_string(t, text);
	else
		ms_table_absent(t);
}

static void add_row(const struct mst_reader *r, const struct mst_mapping *m, uint32_t pid, struct ms_table *t)
{
	const struct mst_module *module = mst_reader_module(r, m->module);
	size_t n = 0;
	const char *path = module ? mst_reader_string(r, module->path, &n) : NULL;

	ms_table_row(t);
	ms_table_number(t, pid);
	ms_table_number(t, m->start);
	ms_table_number(t, m->end - m->start);
	ms_table_number(t, m->load_ns);
	if (m->unload_ns == UINT64_MAX)
		ms_table_absent(t);
	else
		ms_table_number(t, m->unload_ns);
	add_build_id(t, module);
	if (n)
		ms_table_stringn(t, path, n);
	else
		ms_table_absent(t);
}

static void end(void *state, const struct pass *pass, struct answer *answer)
{
	uint64_t n = 0, n_unloaded = 0, n_modules = 0;
	const struct mst_reader *r = pass->reader;
	bool *is_seen = ms_zeroed(mst_reader_n_modules(r) + (size_t)1, sizeof(*is_seen));

	(void)state;
	answer->rows = ms_table_new(rows, sizeof(rows) / sizeof(*rows));
	answer->rows_key = "modules";
	for (size_t i = 0; i < mst_reader_n_mappings(r); i++) {
		const struct mst_mapping *m = mst_reader_mapping(r, i);
		const struct mst_process *p = m ? mst_reader_process(r, m->process) : NULL;

		if (!m || (pass->options->pid && (!p || p->pid != pass->options->pid)))
			continue;
		n++;
		n_unloaded += m->unload_ns != UINT64_MAX;
		if (m->module <= mst_reader_n_modules(r) && !is_seen[m->module]) {
			is_seen[m->module] = true;
			n_modules++;
		}
		if (!pass->options->top || n <= pass->options->top)
			add_row(r, m, p ? p->pid : 0, answer->rows);
	}
	answer->head = ms_table_new(head, sizeof(head) / sizeof(*head));
	ms_table_row(answer->head);
	ms_table_number(answer->head, n);
	ms_table_number(answer->head, n_modules);
	ms_table_number(answer->head, n_unloaded);
	free(is_seen);
}

const struct analysis analysis_modules = {
	.name = "modules",
	.summary = "files with code: where they were mapped, when loaded and unloaded",
	.end = end,
};

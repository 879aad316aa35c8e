/* writer_tables.c - entries of the dictionaries that are the ledger's alone, in and out. */
#include "writer.h"

int mst_writer_string(struct mst_writer *w, const char *s, size_t len, uint32_t *id)
{
	return mst_writer_check(w, mst_ledger_string(&w->ledger, s, len, id), "");
}

int mst_writer_module(struct mst_writer *w, const struct mst_module *m, uint32_t *id)
{
	return mst_writer_check(w, mst_ledger_module(&w->ledger, m, id), "a module's path is unknown");
}

int mst_writer_code(struct mst_writer *w, uint32_t module, uint64_t offset, uint32_t *id)
{
	return mst_writer_check(w, mst_ledger_code(&w->ledger, module, offset, id), "a code address's module is unknown");
}

int mst_writer_stack(struct mst_writer *w, uint32_t parent, uint32_t code, uint32_t *id)
{
	int rc = mst_ledger_stack(&w->ledger, parent, code, id);

	if (rc == 0 && *id > w->n_stacks)
		w->n_stacks = *id;
	return mst_writer_check(w, rc, "a stack's parent or code is unknown");
}

int mst_writer_mapping(struct mst_writer *w, const struct mst_mapping *m)
{
	return mst_writer_check(w, mst_ledger_mapping(&w->ledger, m), "a mapping's process, module or range is invalid");
}

int mst_writer_region(struct mst_writer *w, const struct mst_region *region)
{
	return mst_writer_check(w, mst_ledger_region(&w->ledger, region), "a region's process, name or range is invalid");
}

int mst_writer_unmapping(struct mst_writer *w, uint32_t process, uint64_t start, uint64_t unload_ns)
{
	struct mst_mapping *m = mst_ledger_change_mapping(&w->ledger, process, start);

	if (!m)
		return mst_writer_fail(w, MST_EARG, "the mapping that ends is unknown");
	m->unload_ns = unload_ns;
	return 0;
}

int mst_writer_symbols(struct mst_writer *w, uint32_t code, const struct mst_symbol *s, size_t n)
{
	return mst_writer_check(w, mst_ledger_symbols(&w->ledger, code, s, n), "the code address of symbols is unknown");
}

int mst_writer_loss(struct mst_writer *w, uint32_t thread, uint64_t first_ns, uint64_t last_ns, uint64_t events,
	uint64_t bytes, unsigned reason)
{
	struct mst_lost l = {.thread = thread, .reason = reason, .first_ns = first_ns, .last_ns = last_ns,
		.events = events, .bytes = bytes};

	if (last_ns < first_ns || last_ns > MST_NUMBER_MAX || events > MST_NUMBER_MAX || bytes > MST_NUMBER_MAX)
		return mst_writer_fail(w, MST_EARG, "a loss is out of range");
	w->totals.lost_events += events;
	w->totals.lost_bytes += bytes;
	return mst_writer_check(w, mst_ledger_loss(&w->ledger, &l), "");
}

int mst_writer_annotation(struct mst_writer *w, const struct mst_annotation *a)
{
	struct mst_annotation copy = {.kind = a->kind, .process = a->process, .thread = a->thread, .name = a->name,
		.event = w->totals.events, .time_ns = a->time_ns};

	if (a->kind == 0 || a->time_ns > MST_NUMBER_MAX)
		return mst_writer_fail(w, MST_EARG, "an annotation is out of range");
	w->has_paused |= a->kind == MST_ANNOTATION_PAUSE;
	return mst_writer_check(w, mst_ledger_annotation(&w->ledger, &copy), "an annotation's process, thread or name is unknown");
}

uint32_t mst_writer_n_code(const struct mst_writer *w)
{
	return mst_table_last(&w->ledger.dict.codes);
}

const struct mst_code *mst_writer_get_code(const struct mst_writer *w, uint32_t id)
{
	return mst_table_get(&w->ledger.dict.codes, id);
}

const struct mst_module *mst_writer_get_module(const struct mst_writer *w, uint32_t id)
{
	return mst_table_get(&w->ledger.dict.modules, id);
}

const char *mst_writer_get_string(const struct mst_writer *w, uint32_t id, size_t *len)
{
	return mst_dict_string(&w->ledger.dict, id, len);
}

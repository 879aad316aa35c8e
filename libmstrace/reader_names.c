/* reader_names.c - what a caller may ask of a reader without moving it. */
#include "reader.h"

const struct mst_header *mst_reader_header(const struct mst_reader *r)
{
	return &r->header;
}

const struct mst_totals *mst_reader_end(const struct mst_reader *r)
{
	return r->end_known ? &r->end.totals : NULL;
}

const struct mst_problem *mst_reader_problem(const struct mst_reader *r)
{
	return &r->problem;
}

const char *mst_reader_string(const struct mst_reader *r, uint32_t id, size_t *len)
{
	size_t ignored;
	const char *s = mst_dict_string(&r->dict, id, len ? len : &ignored);

	if (!s && len)
		*len = 0;
	return s ? s : "";
}

uint32_t mst_reader_n_processes(const struct mst_reader *r)
{
	return mst_table_last(&r->dict.processes);
}

const struct mst_process *mst_reader_process(const struct mst_reader *r, uint32_t id)
{
	return mst_table_get(&r->dict.processes, id);
}

uint32_t mst_reader_n_threads(const struct mst_reader *r)
{
	return mst_table_last(&r->dict.threads);
}

const struct mst_thread *mst_reader_thread(const struct mst_reader *r, uint32_t id)
{
	return mst_table_get(&r->dict.threads, id);
}

uint32_t mst_reader_n_modules(const struct mst_reader *r)
{
	return mst_table_last(&r->dict.modules);
}

const struct mst_module *mst_reader_module(const struct mst_reader *r, uint32_t id)
{
	return mst_table_get(&r->dict.modules, id);
}

uint32_t mst_reader_n_codes(const struct mst_reader *r)
{
	uint32_t last = mst_table_last(&r->dict.codes), named = mst_table_last(&r->dict.symbol_lists);

	return last > named ? last : named; /* the last codes may be lost, and their symbols not */
}

const struct mst_code *mst_reader_code(const struct mst_reader *r, uint32_t id)
{
	return mst_table_get(&r->dict.codes, id);
}

uint32_t mst_reader_n_stacks(const struct mst_reader *r)
{
	return mst_table_last(&r->dict.stacks);
}

const struct mst_stack *mst_reader_stack(const struct mst_reader *r, uint32_t id)
{
	return mst_table_get(&r->dict.stacks, id);
}

size_t mst_reader_n_mappings(const struct mst_reader *r)
{
	return mst_table_last(&r->dict.mappings);
}

const struct mst_mapping *mst_reader_mapping(const struct mst_reader *r, size_t i)
{
	return i < UINT32_MAX ? mst_table_get(&r->dict.mappings, (uint32_t)i + 1) : NULL;
}

size_t mst_reader_n_regions(const struct mst_reader *r)
{
	return r->dict.n_regions;
}

const struct mst_region *mst_reader_region(const struct mst_reader *r, size_t i)
{
	return i < r->dict.n_regions ? &r->dict.regions[i] : NULL;
}

size_t mst_reader_n_lost(const struct mst_reader *r)
{
	return r->dict.n_losses;
}

const struct mst_lost *mst_reader_lost(const struct mst_reader *r, size_t i)
{
	return i < r->dict.n_losses ? &r->dict.losses[i] : NULL;
}

size_t mst_reader_n_annotations(const struct mst_reader *r)
{
	return r->dict.n_annotations;
}

const struct mst_annotation *mst_reader_annotation(const struct mst_reader *r, size_t i)
{
	return i < r->dict.n_annotations ? &r->dict.annotations[i] : NULL;
}

const struct mst_symbol *mst_reader_symbols(const struct mst_reader *r, uint32_t code, size_t *n)
{
	const struct mst_symbol_list *list = mst_table_get(&r->dict.symbol_lists, code);

	*n = list ? list->n : 0;
	return list ? r->dict.symbols + list->first : NULL;
}

const struct mst_damage *mst_reader_damage(const struct mst_reader *r, size_t *n)
{
	*n = r->damages.n;
	return r->damages.list;
}

void mst_reader_loss(const struct mst_reader *r, struct mst_loss *out)
{
	*out = r->damages.loss;
}

const char *mst_frame_kind_name(unsigned kind)
{
	static const char *const names[MST_KIND_LIMIT] = {
		[MST_KIND_HEADER] = "HEADER",
		[MST_KIND_PROC] = "PROC",
		[MST_KIND_THREAD] = "THREAD",
		[MST_KIND_MODULE] = "MODULE",
		[MST_KIND_STRING] = "STRING",
		[MST_KIND_STACK] = "STACK",
		[MST_KIND_EVT] = "EVT",
		[MST_KIND_CLOCK] = "CLOCK",
		[MST_KIND_LOSS] = "LOSS",
		[MST_KIND_SYM] = "SYM",
		[MST_KIND_SAMPLE] = "SAMPLE",
		[MST_KIND_INDEX] = "INDEX",
		[MST_KIND_CODE] = "CODE",
		[MST_KIND_CHECKPOINT] = "CHECKPOINT",
		[MST_KIND_END] = "END",
		[MST_KIND_API] = "API",
		[MST_KIND_METRIC] = "METRIC",
		[MST_KIND_MAP] = "MAP",
		[MST_KIND_REGION] = "REGION",
		[MST_KIND_POOL] = "POOL",
		[MST_KIND_SPACE] = "SPACE",
	};

	return kind < MST_KIND_LIMIT ? names[kind] : NULL;
}

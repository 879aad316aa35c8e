#include "dict.h"

#include <stdlib.h>
#include <string.h>

void mst_dict_init(struct mst_dict *d)
{
	*d = (struct mst_dict){0};
	mst_table_init(&d->strings, sizeof(uint64_t));
	mst_table_init(&d->modules, sizeof(struct mst_module));
	mst_table_init(&d->codes, sizeof(struct mst_code));
	mst_table_init(&d->stacks, sizeof(struct mst_stack));
	mst_table_init(&d->processes, sizeof(struct mst_process));
	mst_table_init(&d->threads, sizeof(struct mst_thread));
	mst_table_init(&d->mappings, sizeof(struct mst_mapping));
	mst_table_init(&d->symbol_lists, sizeof(struct mst_symbol_list));
}

void mst_dict_release(struct mst_dict *d)
{
	mst_table_release(&d->strings);
	mst_table_release(&d->modules);
	mst_table_release(&d->codes);
	mst_table_release(&d->stacks);
	mst_table_release(&d->processes);
	mst_table_release(&d->threads);
	mst_table_release(&d->mappings);
	mst_table_release(&d->symbol_lists);
	mst_buffer_release(&d->text);
	free(d->symbols);
	free(d->losses);
	free(d->annotations);
	free(d->regions);
	mst_dict_init(d);
}

static void *add(struct mst_table *t, uint32_t id, bool *is_new, int *rc, const char **why)
{
	void *entry = mst_table_add(t, id, is_new);

	if (entry)
		return entry;
	*rc = MST_ENOMEM;
	if (t->n_pieces == MST_PIECES_MAX) {
		*rc = MST_EDAMAGED;
		*why = "the table is in too many pieces";
	}
	return NULL;
}

int mst_dict_put(struct mst_table *t, uint32_t id, const void *entry, const char **why)
{
	bool is_new;
	int rc = 0;
	void *place = add(t, id, &is_new, &rc, why);

	if (!place)
		return rc;
	if (is_new) {
		memcpy(place, entry, t->entry_size);
	} else if (memcmp(place, entry, t->entry_size) != 0) {
		*why = "an entry differs from what was said before";
		return MST_EDAMAGED;
	}
	return 0;
}

int mst_dict_replace(struct mst_table *t, uint32_t id, const void *entry, const char **why)
{
	bool is_new;
	int rc = 0;
	void *place = add(t, id, &is_new, &rc, why);

	if (place)
		memcpy(place, entry, t->entry_size);
	return rc;
}

static mst_dict_decode_fn *const decoders[MST_KIND_LIMIT] = {
	[MST_KIND_PROC] = mst_processes_decode,
	[MST_KIND_THREAD] = mst_threads_decode,
	[MST_KIND_MODULE] = mst_modules_decode,
	[MST_KIND_STRING] = mst_strings_decode,
	[MST_KIND_STACK] = mst_stacks_decode,
	[MST_KIND_LOSS] = mst_losses_decode,
	[MST_KIND_SYM] = mst_symbols_decode,
	[MST_KIND_CODE] = mst_codes_decode,
	[MST_KIND_API] = mst_annotations_decode,
	[MST_KIND_MAP] = mst_mappings_decode,
	[MST_KIND_REGION] = mst_regions_decode,
};

bool mst_dict_is_table(unsigned kind)
{
	return kind < MST_KIND_LIMIT && decoders[kind] != NULL;
}

int mst_dict_decode(struct mst_dict *d, unsigned kind, uint32_t n_items, const uint8_t *raw, size_t len,
	const char **why)
{
	struct mst_cursor c = mst_cursor_over(raw, len);
	int rc;

	/* Every entry of every table is at least one byte. */
	if (n_items > len) {
		*why = "more entries than bytes";
		return MST_EDAMAGED;
	}
	rc = decoders[kind](d, n_items, &c, why);
	if (rc == 0 && !mst_cursor_finish(&c)) {
		*why = "a table ends too early or too late";
		rc = MST_EDAMAGED;
	}
	return rc;
}

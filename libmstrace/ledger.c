#include "ledger.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define RECORDS_PER_FRAME 4096u

/* ---- pages ------------------------------------------------------------------------------------------------ */

void mst_pages_clear(struct mst_pages *p)
{
	p->n = 0;
	mst_buffer_clear(&p->raw);
}

void mst_pages_release(struct mst_pages *p)
{
	free(p->pages);
	mst_buffer_release(&p->raw);
	*p = (struct mst_pages){0};
}

int mst_pages_add(struct mst_pages *p, unsigned kind, uint32_t n_items, size_t start)
{
	if (p->raw.failed)
		return MST_ENOMEM;
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 16;
		struct mst_page *grown = realloc(p->pages, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		p->pages = grown;
		p->cap = cap;
	}
	p->pages[p->n++] = (struct mst_page){(uint8_t)kind, n_items, start, p->raw.len - start};
	return 0;
}

/* ---- life cycle ------------------------------------------------------------------------------------------- */

void mst_ledger_init(struct mst_ledger *l, uint64_t seed)
{
	*l = (struct mst_ledger){
		.seed = seed, .stacks_done = MST_STACK_FIRST - 1, .symbols_first = UINT32_MAX, .symbols_last = 0};
	mst_dict_init(&l->dict);
}

void mst_ledger_release(struct mst_ledger *l)
{
	mst_dict_release(&l->dict);
	mst_pairset_release(&l->strings);
	mst_pairset_release(&l->modules);
	mst_pairset_release(&l->codes);
	mst_pairset_release(&l->stacks);
	free(l->processes.ids);
	free(l->threads.ids);
	free(l->mappings.ids);
}

static int note_change(struct mst_changes *c, uint32_t id)
{
	if (c->n != 0 && c->ids[c->n - 1] == id)
		return 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		uint32_t *grown = realloc(c->ids, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		c->ids = grown;
		c->cap = cap;
	}
	c->ids[c->n++] = id;
	return 0;
}

/* ---- dense tables ----------------------------------------------------------------------------------------- */

int mst_ledger_string(struct mst_ledger *l, const char *s, size_t len, uint32_t *id)
{
	uint32_t last = mst_table_last(&l->dict.strings);
	const char *why;
	uint64_t hash;

	if (len > MST_STRING_MAX)
		len = MST_STRING_MAX;
	hash = XXH3_64bits_withSeed(s, len, l->seed);
	for (;; hash++) { /* a hash that another string has is passed on to the next number */
		struct mst_pair *p = mst_pairset_at(&l->strings, hash, (uint32_t)len);
		const char *known;
		size_t known_len;

		if (!p)
			return MST_ENOMEM;
		if (p->id == 0) {
			if (last == MST_IDS_MAX || mst_dict_put_string(&l->dict, last + 1, s, len, &why) < 0)
				return MST_ENOMEM;
			*id = p->id = last + 1;
			mst_pairset_added(&l->strings);
			return 0;
		}
		known = mst_dict_string(&l->dict, p->id, &known_len);
		if (len == 0 || memcmp(known, s, len) == 0) {
			*id = p->id;
			return 0;
		}
	}
}

/* A copy whose padding and unused build-id bytes are zero, so that equal modules are equal bytes. */
static struct mst_module clean_module(const struct mst_module *m)
{
	struct mst_module c;

	memset(&c, 0, sizeof(c));
	c.path = m->path;
	c.build_id_len = m->build_id_len < sizeof(c.build_id) ? m->build_id_len : sizeof(c.build_id);
	memcpy(c.build_id, m->build_id, c.build_id_len);
	c.file_size = m->file_size <= MST_NUMBER_MAX ? m->file_size : 0;
	c.mtime_ns = m->mtime_ns <= MST_NUMBER_MAX ? m->mtime_ns : 0;
	return c;
}

int mst_ledger_module(struct mst_ledger *l, const struct mst_module *m, uint32_t *id)
{
	struct mst_module c = clean_module(m);
	uint64_t hash = XXH3_64bits_withSeed(&c, sizeof(c), l->seed);
	uint32_t last = mst_table_last(&l->dict.modules);
	const char *why;

	if (c.path > mst_table_last(&l->dict.strings))
		return MST_EARG;
	for (;; hash++) {
		struct mst_pair *p = mst_pairset_at(&l->modules, hash, c.path);

		if (!p)
			return MST_ENOMEM;
		if (p->id == 0) {
			if (last == MST_MODULES_MAX - 1 || mst_dict_put(&l->dict.modules, last + 1, &c, &why) < 0)
				return MST_ENOMEM;
			*id = p->id = last + 1;
			mst_pairset_added(&l->modules);
			return 0;
		}
		if (memcmp(mst_table_get(&l->dict.modules, p->id), &c, sizeof(c)) == 0) {
			*id = p->id;
			return 0;
		}
	}
}

int mst_ledger_code(struct mst_ledger *l, uint32_t module, uint64_t offset, uint32_t *id)
{
	struct mst_pair *p = mst_pairset_at(&l->codes, offset, module);
	uint32_t last = mst_table_last(&l->dict.codes);
	struct mst_code code;
	const char *why;

	if (module > mst_table_last(&l->dict.modules))
		return MST_EARG;
	if (!p)
		return MST_ENOMEM;
	if (p->id == 0) {
		memset(&code, 0, sizeof(code));
		code.module = module;
		code.offset = offset;
		if (last == MST_IDS_MAX || mst_dict_put(&l->dict.codes, last + 1, &code, &why) < 0)
			return MST_ENOMEM;
		p->id = last + 1;
		mst_pairset_added(&l->codes);
	}
	*id = p->id;
	return 0;
}

int mst_ledger_stack(struct mst_ledger *l, uint32_t parent, uint32_t code, uint32_t *id)
{
	struct mst_pair *p = mst_pairset_at(&l->stacks, parent, code);
	uint32_t last = mst_table_last(&l->dict.stacks);
	struct mst_stack s = {parent, code}, *place;
	const char *why;

	if (!p)
		return MST_ENOMEM;
	if (p->id == 0) {
		last = last ? last : MST_STACK_FIRST - 1;
		if (code == 0 || code > mst_table_last(&l->dict.codes) || parent > last)
			return MST_EARG;
		if (last == MST_IDS_MAX)
			return MST_ENOMEM;
		place = mst_table_append(&l->dict.stacks);
		if (place)
			*place = s;
		else if (mst_dict_put(&l->dict.stacks, last + 1, &s, &why) < 0)
			return MST_ENOMEM;
		p->id = last + 1;
		mst_pairset_added(&l->stacks);
	}
	*id = p->id;
	return 0;
}

int mst_ledger_symbols(struct mst_ledger *l, uint32_t code, const struct mst_symbol *s, size_t n)
{
	const char *why;
	int rc;

	if (code == 0 || code > mst_table_last(&l->dict.codes) || n > MST_INLINES_MAX)
		return MST_EARG;
	rc = n ? mst_dict_set_symbols(&l->dict, code, s, n, &why) : 0;
	if (rc < 0)
		return MST_ENOMEM;
	if (code < l->symbols_first)
		l->symbols_first = code;
	if (code > l->symbols_last)
		l->symbols_last = code;
	return 0;
}

/* ---- record tables and the logs --------------------------------------------------------------------------- */

/* A new entry behind the last of t. */
static int add_record(struct mst_table *t, struct mst_changes *changes, uint32_t limit, const void *entry, uint32_t *id)
{
	uint32_t last = mst_table_last(t);
	const char *why;

	if (last == limit || mst_dict_replace(t, last + 1, entry, &why) < 0 || note_change(changes, last + 1) < 0)
		return MST_ENOMEM;
	*id = last + 1;
	return 0;
}

int mst_ledger_process(struct mst_ledger *l, const struct mst_process *p, uint32_t *id)
{
	if (p->parent > mst_table_last(&l->dict.processes))
		return MST_EARG;
	return add_record(&l->dict.processes, &l->processes, MST_PROCESSES_MAX, p, id);
}

int mst_ledger_thread(struct mst_ledger *l, const struct mst_thread *t, uint32_t *id)
{
	if (t->process == 0 || t->process > mst_table_last(&l->dict.processes))
		return MST_EARG;
	return add_record(&l->dict.threads, &l->threads, MST_THREADS_MAX, t, id);
}

int mst_ledger_mapping(struct mst_ledger *l, const struct mst_mapping *m)
{
	uint32_t id;

	if (m->process == 0 || m->process > mst_table_last(&l->dict.processes) || m->module == 0 ||
		m->module > mst_table_last(&l->dict.modules) || m->end < m->start)
		return MST_EARG;
	return add_record(&l->dict.mappings, &l->mappings, MST_MAPPINGS_MAX, m, &id);
}

static void *change_record(struct mst_table *t, struct mst_changes *changes, uint32_t id)
{
	void *entry = mst_table_get(t, id);

	return entry && note_change(changes, id) == 0 ? entry : NULL;
}

struct mst_process *mst_ledger_change_process(struct mst_ledger *l, uint32_t id)
{
	return change_record(&l->dict.processes, &l->processes, id);
}

struct mst_thread *mst_ledger_change_thread(struct mst_ledger *l, uint32_t id)
{
	return change_record(&l->dict.threads, &l->threads, id);
}

struct mst_mapping *mst_ledger_change_mapping(struct mst_ledger *l, uint32_t process, uint64_t start)
{
	/* From the newest: what is unmapped was mostly mapped last. */
	for (uint32_t id = mst_table_last(&l->dict.mappings); id > 0; id--) {
		const struct mst_mapping *m = mst_table_get(&l->dict.mappings, id);

		if (m->process == process && m->start == start && m->unload_ns == UINT64_MAX)
			return change_record(&l->dict.mappings, &l->mappings, id);
	}
	return NULL;
}

int mst_ledger_loss(struct mst_ledger *l, const struct mst_lost *lost)
{
	return mst_dict_add_loss(&l->dict, lost);
}

int mst_ledger_annotation(struct mst_ledger *l, const struct mst_annotation *a)
{
	const struct mst_dict *d = &l->dict;

	if (a->process > mst_table_last(&d->processes) || a->thread > mst_table_last(&d->threads) ||
		a->name > mst_table_last(&d->strings))
		return MST_EARG;
	return mst_dict_add_annotation(&l->dict, a);
}

int mst_ledger_region(struct mst_ledger *l, const struct mst_region *region)
{
	if (region->process == 0 || region->process > mst_table_last(&l->dict.processes) ||
		region->name > mst_table_last(&l->dict.strings) || region->end < region->start)
		return MST_EARG;
	return mst_dict_add_region(&l->dict, region);
}

/* ---- what goes into the file ------------------------------------------------------------------------------ */

typedef uint32_t dense_encoder(const struct mst_dict *, uint32_t, uint32_t, struct mst_buffer *);
typedef void record_encoder(const struct mst_dict *, uint32_t, struct mst_buffer *);

static int dense_pages(const struct mst_dict *d, unsigned kind, dense_encoder *encode, uint32_t first, uint32_t last,
	struct mst_pages *out)
{
	while (first <= last) {
		size_t start = out->raw.len;
		uint32_t n = encode(d, first, last, &out->raw);

		if (mst_pages_add(out, kind, n, start) < 0)
			return MST_ENOMEM;
		first += n;
	}
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Entries in ascending order, each once, however often it changed. */
static int changed_pages(const struct mst_dict *d, unsigned kind, record_encoder *encode, struct mst_changes *c,
	struct mst_pages *out)
{
	uint32_t n = 0;
	size_t start = out->raw.len;

	if (c->n == 0)
		return 0;
	qsort(c->ids, c->n, sizeof(*c->ids), compare_ids);
	for (size_t i = 0; i < c->n; i++) {
		if (i + 1 == c->n || c->ids[i] != c->ids[i + 1]) {
			encode(d, c->ids[i], &out->raw);
			n++;
		}
		if (n == RECORDS_PER_FRAME || (i + 1 == c->n && n != 0)) {
			if (mst_pages_add(out, kind, n, start) < 0)
				return MST_ENOMEM;
			n = 0;
			start = out->raw.len;
		}
	}
	c->n = 0;
	return 0;
}

static int loss_pages(const struct mst_dict *d, size_t first, struct mst_pages *out)
{
	while (first < d->n_losses) {
		size_t start = out->raw.len;
		uint32_t n = 0;

		while (first < d->n_losses && n < RECORDS_PER_FRAME) {
			mst_loss_encode(&d->losses[first++], &out->raw);
			n++;
		}
		if (mst_pages_add(out, MST_KIND_LOSS, n, start) < 0)
			return MST_ENOMEM;
	}
	return 0;
}

static int annotation_pages(const struct mst_dict *d, size_t first, struct mst_pages *out)
{
	while (first < d->n_annotations) {
		size_t start = out->raw.len;
		uint32_t n = 0;

		while (first < d->n_annotations && n < RECORDS_PER_FRAME) {
			mst_annotation_encode(&d->annotations[first++], &out->raw);
			n++;
		}
		if (mst_pages_add(out, MST_KIND_API, n, start) < 0)
			return MST_ENOMEM;
	}
	return 0;
}

static int region_pages(const struct mst_dict *d, size_t first, struct mst_pages *out)
{
	while (first < d->n_regions) {
		size_t start = out->raw.len;
		uint32_t n = 0;

		while (first < d->n_regions && n < RECORDS_PER_FRAME) {
			mst_region_encode(&d->regions[first++], &out->raw);
			n++;
		}
		if (mst_pages_add(out, MST_KIND_REGION, n, start) < 0)
			return MST_ENOMEM;
	}
	return 0;
}

int mst_ledger_pending(struct mst_ledger *l, struct mst_pages *out)
{
	struct mst_dict *d = &l->dict;
	int rc = 0;

	if (rc == 0)
		rc = dense_pages(d, MST_KIND_STRING, mst_strings_encode, l->strings_done + 1,
			mst_table_last(&d->strings), out);
	if (rc == 0)
		rc = dense_pages(d, MST_KIND_MODULE, mst_modules_encode, l->modules_done + 1,
			mst_table_last(&d->modules), out);
	if (rc == 0)
		rc = dense_pages(d, MST_KIND_CODE, mst_codes_encode, l->codes_done + 1, mst_table_last(&d->codes), out);
	if (rc == 0)
		rc = dense_pages(d, MST_KIND_STACK, mst_stacks_encode, l->stacks_done + 1,
			mst_table_last(&d->stacks), out);
	if (rc == 0)
		rc = changed_pages(d, MST_KIND_PROC, mst_process_encode, &l->processes, out);
	if (rc == 0)
		rc = changed_pages(d, MST_KIND_THREAD, mst_thread_encode, &l->threads, out);
	if (rc == 0)
		rc = changed_pages(d, MST_KIND_MAP, mst_mapping_encode, &l->mappings, out);
	if (rc == 0)
		rc = region_pages(d, l->regions_done, out);
	if (rc == 0)
		rc = loss_pages(d, l->losses_done, out);
	if (rc == 0)
		rc = annotation_pages(d, l->annotations_done, out);
	if (rc == 0 && l->symbols_first <= l->symbols_last)
		rc = dense_pages(d, MST_KIND_SYM, mst_symbols_encode, l->symbols_first, l->symbols_last, out);
	if (rc < 0)
		return rc;
	l->losses_done = d->n_losses;
	l->annotations_done = d->n_annotations;
	l->regions_done = d->n_regions;
	l->strings_done = mst_table_last(&d->strings);
	l->modules_done = mst_table_last(&d->modules);
	l->codes_done = mst_table_last(&d->codes);
	if (mst_table_last(&d->stacks) != 0)
		l->stacks_done = mst_table_last(&d->stacks);
	l->symbols_first = UINT32_MAX;
	l->symbols_last = 0;
	return 0;
}

/* Every entry of a record table. */
static int record_pages(const struct mst_dict *d, unsigned kind, record_encoder *encode, uint32_t last,
	struct mst_pages *out)
{
	for (uint32_t id = 1; id <= last;) {
		size_t start = out->raw.len;
		uint32_t n = 0;

		for (; id <= last && n < RECORDS_PER_FRAME; id++, n++)
			encode(d, id, &out->raw);
		if (mst_pages_add(out, kind, n, start) < 0)
			return MST_ENOMEM;
	}
	return 0;
}

int mst_ledger_all(const struct mst_ledger *l, unsigned kind, struct mst_pages *out)
{
	const struct mst_dict *d = &l->dict;

	switch (kind) {
	case MST_KIND_STRING:
		return dense_pages(d, kind, mst_strings_encode, 1, mst_table_last(&d->strings), out);
	case MST_KIND_MODULE:
		return dense_pages(d, kind, mst_modules_encode, 1, mst_table_last(&d->modules), out);
	case MST_KIND_CODE:
		return dense_pages(d, kind, mst_codes_encode, 1, mst_table_last(&d->codes), out);
	case MST_KIND_STACK:
		return dense_pages(d, kind, mst_stacks_encode, MST_STACK_FIRST, mst_table_last(&d->stacks), out);
	case MST_KIND_PROC:
		return record_pages(d, kind, mst_process_encode, mst_table_last(&d->processes), out);
	case MST_KIND_THREAD:
		return record_pages(d, kind, mst_thread_encode, mst_table_last(&d->threads), out);
	case MST_KIND_MAP:
		return record_pages(d, kind, mst_mapping_encode, mst_table_last(&d->mappings), out);
	case MST_KIND_LOSS:
		return loss_pages(d, 0, out);
	case MST_KIND_REGION:
		return region_pages(d, 0, out);
	case MST_KIND_API:
		return annotation_pages(d, 0, out);
	case MST_KIND_SYM:
		return dense_pages(d, kind, mst_symbols_encode, 1, mst_table_last(&d->symbol_lists), out);
	default:
		return MST_EARG;
	}
}

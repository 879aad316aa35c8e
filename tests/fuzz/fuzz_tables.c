/* fuzz_tables.c - any bytes as the payloads of table frames, HEADER, INDEX and SAMPLE.
 *
 * The input is a row of payloads (kind u8, n_items u8, len u16, bytes) decoded into one dictionary, as a file would have
 * them. What was taken over is then encoded, and decoding that must give the same entries. */
#include "dict.h"
#include "header.h"
#include "index.h"
#include "mstrace.h"
#include "sample.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

typedef uint32_t dense_encoder(const struct mst_dict *, uint32_t, uint32_t, struct mst_buffer *);

/* Every contiguous piece of a dense table, encoded and decoded into `again`. */
static void repeat_dense(const struct mst_dict *d, const struct mst_table *t, unsigned kind, dense_encoder *encode,
	struct mst_dict *again, const struct mst_table *t_again)
{
	for (size_t i = 0; i < t->n_pieces; i++) {
		uint32_t first = t->pieces[i].first, last = first + t->pieces[i].n - 1;

		while (first <= last) {
			struct mst_buffer out = {0};
			const char *why;
			uint32_t n = encode(d, first, last, &out);

			must(n > 0 && !out.failed);
			must(mst_dict_decode(again, kind, n, out.bytes, out.len, &why) == 0);
			mst_buffer_release(&out);
			if (kind != MST_KIND_STRING && kind != MST_KIND_SYM)
				for (uint32_t id = first; id < first + n; id++)
					must(memcmp(mst_table_get(t, id), mst_table_get(t_again, id), t->entry_size) == 0);
			if (last - first < n)
				break;
			first += n;
		}
	}
}

static void repeat_strings(const struct mst_dict *d, const struct mst_dict *again)
{
	for (size_t i = 0; i < d->strings.n_pieces; i++)
		for (uint32_t k = 0; k < d->strings.pieces[i].n; k++) {
			size_t len, len_again;
			uint32_t id = d->strings.pieces[i].first + k;
			const char *s = mst_dict_string(d, id, &len), *t = mst_dict_string(again, id, &len_again);

			must(s && t && len == len_again && memcmp(s, t, len) == 0 && s[len] == 0);
		}
}

typedef void record_encoder(const struct mst_dict *, uint32_t, struct mst_buffer *);

static void repeat_records(const struct mst_dict *d, const struct mst_table *t, unsigned kind, record_encoder *encode,
	struct mst_dict *again, const struct mst_table *t_again)
{
	for (size_t i = 0; i < t->n_pieces; i++)
		for (uint32_t k = 0; k < t->pieces[i].n; k++) {
			uint32_t id = t->pieces[i].first + k;
			struct mst_buffer out = {0};
			const char *why;

			encode(d, id, &out);
			must(mst_dict_decode(again, kind, 1, out.bytes, out.len, &why) == 0);
			must(memcmp(mst_table_get(t, id), mst_table_get(t_again, id), t->entry_size) == 0);
			mst_buffer_release(&out);
		}
}

/* The log in two halves, as two frames would have it. */
static void repeat_annotations(const struct mst_dict *d, struct mst_dict *again)
{
	size_t done = 0, half = d->n_annotations / 2;

	for (size_t end = half; done < d->n_annotations; end = d->n_annotations) {
		struct mst_buffer out = {0};
		uint32_t n = (uint32_t)(end - done);
		const char *why;

		while (done < end)
			mst_annotation_encode(&d->annotations[done++], &out);
		must(!out.failed && mst_dict_decode(again, MST_KIND_API, n, out.bytes, out.len, &why) == 0);
		mst_buffer_release(&out);
	}
	must(d->n_annotations == again->n_annotations);
	for (size_t i = 0; i < d->n_annotations; i++) {
		must(memcmp(&d->annotations[i], &again->annotations[i], sizeof(*d->annotations)) == 0);
		must(i == 0 || d->annotations[i].event >= d->annotations[i - 1].event);
	}
}

static void repeat_all(const struct mst_dict *d)
{
	struct mst_dict again;

	mst_dict_init(&again);
	repeat_dense(d, &d->strings, MST_KIND_STRING, mst_strings_encode, &again, &again.strings);
	repeat_strings(d, &again);
	repeat_dense(d, &d->modules, MST_KIND_MODULE, mst_modules_encode, &again, &again.modules);
	repeat_dense(d, &d->codes, MST_KIND_CODE, mst_codes_encode, &again, &again.codes);
	repeat_dense(d, &d->stacks, MST_KIND_STACK, mst_stacks_encode, &again, &again.stacks);
	repeat_dense(d, &d->symbol_lists, MST_KIND_SYM, mst_symbols_encode, &again, &again.symbol_lists);
	repeat_records(d, &d->processes, MST_KIND_PROC, mst_process_encode, &again, &again.processes);
	repeat_records(d, &d->threads, MST_KIND_THREAD, mst_thread_encode, &again, &again.threads);
	repeat_records(d, &d->mappings, MST_KIND_MAP, mst_mapping_encode, &again, &again.mappings);
	repeat_annotations(d, &again);
	mst_dict_release(&again);
}

static void try_header(const uint8_t *p, size_t len, uint32_t n_items)
{
	struct mst_header h;
	char *text = NULL;
	const char *why;

	if (mst_header_decode(p, len, n_items, &h, &text, &why) == 0) {
		struct mst_buffer out = {0};

		must(strlen(h.tool) <= len && strlen(h.cwd) <= len && h.cmdline_len <= len);
		must(mst_header_encode(&h, &out) != 0 && !out.failed);
		mst_buffer_release(&out);
	}
	free(text);
}

static void try_index(struct mst_index *x, const uint8_t *p, size_t len, uint32_t n_items)
{
	struct mst_index one = {0}, again = {0};
	struct mst_buffer out = {0};
	const char *why;

	mst_index_decode(x, n_items, p, len, MST_NUMBER_MAX, &why);
	if (mst_index_decode(&one, n_items, p, len, MST_NUMBER_MAX, &why) == 0 && one.n != 0) {
		must(mst_index_encode(&one, 0, &out) == one.n);
		must(mst_index_decode(&again, (uint32_t)one.n, out.bytes, out.len, MST_NUMBER_MAX, &why) == 0);
		must(memcmp(one.entries, again.entries, one.n * sizeof(*one.entries)) == 0);
		for (size_t i = 1; i < one.n; i++)
			must(one.entries[i].offset >= one.entries[i - 1].offset + one.entries[i - 1].size);
	}
	mst_buffer_release(&out);
	mst_index_release(&one);
	mst_index_release(&again);
}

static void try_samples(const uint8_t *p, size_t len, uint32_t n_items)
{
	struct mst_samples one = {0}, again = {0};
	struct mst_buffer out = {0};
	const char *why;

	if (mst_samples_decode(p, len, n_items, &one, &why) == 0) {
		must(one.n == n_items);
		must(mst_samples_encode(one.items, n_items, &out) == 0);
		must(mst_samples_decode(out.bytes, out.len, n_items, &again, &why) == 0);
		must(memcmp(one.items, again.items, one.n * sizeof(*one.items)) == 0);
	}
	mst_buffer_release(&out);
	mst_samples_release(&one);
	mst_samples_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mst_cursor c = mst_cursor_over(data, size);
	struct mst_index index = {0};
	struct mst_dict dict;

	mst_dict_init(&dict);
	while (mst_cursor_left(&c) > 4) {
		unsigned kind = mst_get8(&c) % MST_KIND_LIMIT;
		uint32_t n_items = mst_get8(&c);
		size_t len = mst_get16(&c);
		const uint8_t *p;
		const char *why;

		if (len > mst_cursor_left(&c))
			len = mst_cursor_left(&c);
		p = mst_get_bytes(&c, len);
		if (kind == MST_KIND_HEADER)
			try_header(p, len, n_items);
		else if (kind == MST_KIND_INDEX)
			try_index(&index, p, len, n_items);
		else if (kind == MST_KIND_SAMPLE)
			try_samples(p, len, n_items);
		else if (mst_dict_is_table(kind))
			mst_dict_decode(&dict, kind, n_items, p, len, &why);
	}
	repeat_all(&dict);
	mst_index_release(&index);
	mst_dict_release(&dict);
	return 0;
}

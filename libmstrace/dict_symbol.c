/* dict_symbol.c - SYM: first_id (a code id), the column of symbol counts per code address, then per symbol the columns
 * function, file, 2 * line + inlined. A count of 0 says nothing about its address. */
#include "dict.h"

#include <stdlib.h>
#include <string.h>

#define FRAME_ENTRIES 65536u
#define FRAME_SYMBOLS 65536u

static bool symbols_reserve(struct mst_dict *d, size_t more)
{
	size_t need = d->n_symbols + more;
	size_t cap = d->cap_symbols + d->cap_symbols / 2;
	struct mst_symbol *grown;

	if (need <= d->cap_symbols)
		return true;
	if (cap < need)
		cap = need;
	grown = realloc(d->symbols, cap * sizeof(*grown));
	if (!grown)
		return false;
	d->symbols = grown;
	d->cap_symbols = cap;
	return true;
}

int mst_dict_set_symbols(struct mst_dict *d, uint32_t code, const struct mst_symbol *s, size_t n, const char **why)
{
	struct mst_symbol_list list = {(uint32_t)d->n_symbols, (uint32_t)n};
	int rc;

	if (d->n_symbols + n > UINT32_MAX || !symbols_reserve(d, n))
		return MST_ENOMEM;
	rc = mst_dict_replace(&d->symbol_lists, code, &list, why);
	if (rc < 0)
		return rc;
	memcpy(d->symbols + d->n_symbols, s, n * sizeof(*s));
	d->n_symbols += n;
	return 0;
}

static const struct mst_symbol *symbols_of(const struct mst_dict *d, uint32_t code, uint32_t *n)
{
	const struct mst_symbol_list *list = mst_table_get(&d->symbol_lists, code);

	*n = list ? list->n : 0;
	return list ? d->symbols + list->first : NULL;
}

enum column { FUNCTION, FILE_NAME, LINE, N_COLUMNS };

static void put_column(const struct mst_dict *d, uint32_t first, uint32_t n, enum column column,
	struct mst_buffer *out)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t n_symbols;
		const struct mst_symbol *s = symbols_of(d, first + i, &n_symbols);

		for (uint32_t k = 0; k < n_symbols; k++) {
			uint64_t values[N_COLUMNS] = {
				s[k].function, s[k].file, (uint64_t)s[k].line << 1 | s[k].is_inlined};
			mst_buffer_put_varint(out, values[column]);
		}
	}
}

uint32_t mst_symbols_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out)
{
	uint32_t n = 0, n_symbols = 0, more;

	mst_buffer_put_varint(out, first);
	while (n <= last - first && n < FRAME_ENTRIES && n_symbols < FRAME_SYMBOLS) {
		symbols_of(d, first + n++, &more);
		mst_buffer_put_varint(out, more);
		n_symbols += more;
	}
	put_column(d, first, n, FUNCTION, out);
	put_column(d, first, n, FILE_NAME, out);
	put_column(d, first, n, LINE, out);
	return n;
}

/* A cursor over the next n varints, which c steps over. */
static struct mst_cursor split_column(struct mst_cursor *c, uint64_t n)
{
	struct mst_cursor column = *c;

	for (uint64_t i = 0; i < n && !c->failed; i++)
		mst_get_varint(c);
	return column;
}

/* Reads n symbols from the three columns to the end of d->symbols, where there is room. */
static void get_symbols(struct mst_dict *d, uint32_t n, struct mst_cursor columns[N_COLUMNS], bool *failed)
{
	for (uint32_t k = 0; k < n; k++) {
		struct mst_symbol s;
		uint64_t line;

		memset(&s, 0, sizeof(s));
		s.function = (uint32_t)mst_get_varint_max(&columns[FUNCTION], MST_IDS_MAX);
		s.file = (uint32_t)mst_get_varint_max(&columns[FILE_NAME], MST_IDS_MAX);
		line = mst_get_varint_max(&columns[LINE], (uint64_t)UINT32_MAX << 1 | 1);
		s.line = (uint32_t)(line >> 1);
		s.is_inlined = line & 1;
		d->symbols[d->n_symbols + k] = s;
	}
	*failed = columns[FUNCTION].failed || columns[FILE_NAME].failed || columns[LINE].failed;
}

int mst_symbols_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	uint32_t first = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
	struct mst_cursor counts = *c, columns[N_COLUMNS];
	uint64_t total = 0;
	bool failed = false;

	for (uint32_t i = 0; i < n_items; i++)
		total += mst_get_varint_max(c, MST_INLINES_MAX);
	for (unsigned i = 0; i < N_COLUMNS; i++)
		columns[i] = split_column(c, total);
	if (c->failed || first == 0 || n_items > MST_IDS_MAX - first || d->n_symbols + total > UINT32_MAX) {
		*why = "symbol counts out of range";
		return MST_EDAMAGED;
	}
	if (!symbols_reserve(d, (size_t)total))
		return MST_ENOMEM;
	for (uint32_t i = 0; i < n_items; i++) {
		struct mst_symbol_list list = {(uint32_t)d->n_symbols, (uint32_t)mst_get_varint(&counts)};
		int rc;

		get_symbols(d, list.n, columns, &failed);
		if (failed) {
			*why = "a symbol is out of range";
			return MST_EDAMAGED;
		}
		rc = list.n ? mst_dict_replace(&d->symbol_lists, first + i, &list, why) : 0;
		if (rc < 0)
			return rc;
		d->n_symbols += list.n;
	}
	return 0;
}

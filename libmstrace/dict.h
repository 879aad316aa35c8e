/* dict.h - the dictionaries of a trace, and how their entries stand in table frames (FORMAT.md "Tables").
 *
 * Writer and reader hold the same struct mst_dict: the writer adds entries and encodes those not yet written, the
 * reader decodes frames into it. Each noun has one file, dict_NOUN.c, with its encoder and its decoder side by side.
 *
 *     dense tables    STRING MODULE CODE STACK SYM    entries first_id, first_id + 1, ...; said once, may be said
 *                                                     again identically (SYM: again with other symbols, last wins)
 *     record tables   PROC THREAD MAP                 each entry carries its id; the last one said wins
 *     logs            LOSS API REGION                 every entry is new
 *
 * Payloads are columns: all values of one field, then all of the next, because like compresses best beside like.
 * Decoders take any bytes whatever: they check every count against the bytes left before it sizes anything. */
#ifndef MST_DICT_H
#define MST_DICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "bytes.h"
#include "format.h"
#include "mstrace.h"
#include "idtable.h"

/* Where the symbols of one code address stand in mst_dict.symbols. */
struct mst_symbol_list {
	uint32_t first, n;
};

struct mst_dict {
	struct mst_table strings;   /* uint64_t: place in `text` << MST_STRING_LEN_BITS | length */
	struct mst_buffer text;     /* all strings, each with a NUL behind */
	struct mst_table modules;   /* struct mst_module */
	struct mst_table codes;     /* struct mst_code */
	struct mst_table stacks;    /* struct mst_stack */
	struct mst_table processes; /* struct mst_process */
	struct mst_table threads;   /* struct mst_thread */
	struct mst_table mappings;  /* struct mst_mapping, by number from 1 */
	struct mst_table symbol_lists; /* struct mst_symbol_list, by code id */
	struct mst_symbol *symbols; /* grows by half; superseded ones stay */
	size_t n_symbols, cap_symbols;
	struct mst_lost *losses;    /* grows by half */
	size_t n_losses, cap_losses;
	struct mst_annotation *annotations; /* grows by half; ascending by event */
	size_t n_annotations, cap_annotations;
	struct mst_region *regions; /* grows by half */
	size_t n_regions, cap_regions;
};
#define MST_STRING_LEN_BITS 17

void mst_dict_init(struct mst_dict *d);
void mst_dict_release(struct mst_dict *d);

/* The string, NULL if unknown. Lives until the next change of d. A NUL follows its *len bytes. */
const char *mst_dict_string(const struct mst_dict *d, uint32_t id, size_t *len);

/* Adds or compares one entry (entry_size bytes, padding zeroed). 0; MST_EDAMAGED and *why when the id has another
 * content already or the table is in too many pieces; MST_ENOMEM. */
int mst_dict_put(struct mst_table *t, uint32_t id, const void *entry, const char **why);
/* Adds or replaces one entry. */
int mst_dict_replace(struct mst_table *t, uint32_t id, const void *entry, const char **why);
int mst_dict_put_string(struct mst_dict *d, uint32_t id, const void *bytes, size_t len, const char **why);
/* Sets the symbols of a code address; n > 0. */
int mst_dict_set_symbols(struct mst_dict *d, uint32_t code, const struct mst_symbol *s, size_t n, const char **why);
int mst_dict_add_loss(struct mst_dict *d, const struct mst_lost *l);
int mst_dict_add_annotation(struct mst_dict *d, const struct mst_annotation *a);
int mst_dict_add_region(struct mst_dict *d, const struct mst_region *region);

/* ---- payloads --------------------------------------------------------------------------------------------- */

/* Encoders of dense tables: append the payload of one frame with entries from `first` on, not beyond `last`, as many
 * as suit one frame; return how many. Memory failure latches in out. */
uint32_t mst_strings_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out);
uint32_t mst_modules_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out);
uint32_t mst_codes_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out);
uint32_t mst_stacks_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out);
uint32_t mst_symbols_encode(const struct mst_dict *d, uint32_t first, uint32_t last, struct mst_buffer *out);

/* Encoders of one entry of the record tables and of the logs. */
void mst_process_encode(const struct mst_dict *d, uint32_t id, struct mst_buffer *out);
void mst_thread_encode(const struct mst_dict *d, uint32_t id, struct mst_buffer *out);
void mst_mapping_encode(const struct mst_dict *d, uint32_t id, struct mst_buffer *out);
void mst_loss_encode(const struct mst_lost *l, struct mst_buffer *out);
void mst_annotation_encode(const struct mst_annotation *a, struct mst_buffer *out);
void mst_region_encode(const struct mst_region *region, struct mst_buffer *out);

/* Decoders of a whole payload. 0, MST_EDAMAGED with *why (static storage) or MST_ENOMEM; entries before a bad one
 * stay. */
typedef int mst_dict_decode_fn(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why);
mst_dict_decode_fn mst_strings_decode, mst_modules_decode, mst_codes_decode, mst_stacks_decode, mst_symbols_decode,
	mst_processes_decode, mst_threads_decode, mst_mappings_decode, mst_losses_decode, mst_annotations_decode,
	mst_regions_decode;

/* Decodes a table frame's payload by kind. `is_table` tells whether the kind is a table at all. */
bool mst_dict_is_table(unsigned kind);
int mst_dict_decode(struct mst_dict *d, unsigned kind, uint32_t n_items, const uint8_t *raw, size_t len,
	const char **why);
#endif

/* ledger.h - the writer's dictionaries: interned, and written once.
 *
 * Content in, id out; equal content gives the same id. What has been added or changed since the last call of
 * mst_ledger_pending is due for the file; table frames are cut from it just before the events that use it. */
#ifndef MST_LEDGER_H
#define MST_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "dict.h"
#include "pairset.h"

/* Raw payloads of table frames, in the order they go into the file. */
struct mst_pages {
	struct mst_page {
		uint8_t kind;
		uint32_t n_items;
		size_t start, len; /* in raw */
	} *pages; /* grows by doubling */
	size_t n, cap;
	struct mst_buffer raw;
};
void mst_pages_clear(struct mst_pages *p);
/* Closes the page that holds the raw bytes from `start` on. 0 or MST_ENOMEM. */
int mst_pages_add(struct mst_pages *p, unsigned kind, uint32_t n_items, size_t start);
void mst_pages_release(struct mst_pages *p);

/* Ids of record entries that changed. */
struct mst_changes {
	uint32_t *ids; /* grows by doubling; an id may stand there twice */
	size_t n, cap;
};

struct mst_ledger {
	struct mst_dict dict;
	struct mst_pairset strings, modules, codes, stacks;
	uint64_t seed; /* of string hashes: a program must not choose collisions */
	uint32_t strings_done, modules_done, codes_done, stacks_done; /* greatest ids in the file */
	uint32_t symbols_first, symbols_last; /* codes whose symbols are due; first > last: none */
	struct mst_changes processes, threads, mappings;
	size_t losses_done, annotations_done, regions_done;
};

void mst_ledger_init(struct mst_ledger *l, uint64_t seed);
void mst_ledger_release(struct mst_ledger *l);

/* Each: 0 and *id, MST_ENOMEM (memory, or a limit of the format) or MST_EARG (an id that does not exist). */
int mst_ledger_string(struct mst_ledger *l, const char *s, size_t len, uint32_t *id);
int mst_ledger_module(struct mst_ledger *l, const struct mst_module *m, uint32_t *id);
int mst_ledger_code(struct mst_ledger *l, uint32_t module, uint64_t offset, uint32_t *id);
int mst_ledger_stack(struct mst_ledger *l, uint32_t parent, uint32_t code, uint32_t *id);
int mst_ledger_process(struct mst_ledger *l, const struct mst_process *p, uint32_t *id);
int mst_ledger_thread(struct mst_ledger *l, const struct mst_thread *t, uint32_t *id);
int mst_ledger_mapping(struct mst_ledger *l, const struct mst_mapping *m);

/* The entry, to be changed; it is due for the file then. NULL if it does not exist or memory is short. */
struct mst_process *mst_ledger_change_process(struct mst_ledger *l, uint32_t id);
struct mst_thread *mst_ledger_change_thread(struct mst_ledger *l, uint32_t id);
/* The mapping of `process` that starts at `start` and has no end. */
struct mst_mapping *mst_ledger_change_mapping(struct mst_ledger *l, uint32_t process, uint64_t start);
int mst_ledger_symbols(struct mst_ledger *l, uint32_t code, const struct mst_symbol *s, size_t n);
int mst_ledger_loss(struct mst_ledger *l, const struct mst_lost *lost);
int mst_ledger_annotation(struct mst_ledger *l, const struct mst_annotation *a);
int mst_ledger_region(struct mst_ledger *l, const struct mst_region *region);

/* Appends what is due to *out; 0 or MST_ENOMEM. Afterwards nothing is due. */
int mst_ledger_pending(struct mst_ledger *l, struct mst_pages *out);
/* Appends the whole table of one kind (STRING MODULE CODE STACK PROC THREAD MAP REGION LOSS API SYM). 0 or MST_ENOMEM. */
int mst_ledger_all(const struct mst_ledger *l, unsigned kind, struct mst_pages *out);
#endif

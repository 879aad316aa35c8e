/* names.h - symbols for a trace: which code addresses need names, and what record/symbols/ says about them.
 *
 * The one place where traces and symbols meet. It serves a recording that ends and a trace that was written
 * long ago alike: both are seen through struct ms_names_trace. */
#ifndef MS_NAMES_H
#define MS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mstrace.h"

/* A trace that wants names. */
struct ms_names_trace {
	void *trace;
	uint32_t (*n_codes)(const void *trace);
	/* Code ids from 1; NULL: no name is wanted. */
	const struct mst_code *(*code)(const void *trace, uint32_t id);
	const struct mst_module *(*module)(const void *trace, uint32_t id);
	const char *(*string)(const void *trace, uint32_t id, size_t *len);
	int (*add_string)(void *trace, const char *s, size_t len, uint32_t *id);
	int (*add_symbols)(void *trace, uint32_t code, const struct mst_symbol *s, size_t n);
};
struct ms_names_trace ms_names_of_writer(struct mst_writer *w);
struct ms_names_trace ms_names_of_amendment(
	struct mst_amendment *a); /* wants names where there are none yet */

struct ms_names_result {
	uint32_t n_codes;   /* addresses in modules that have files */
	uint32_t n_named;   /* of which we know something now */
	uint32_t n_modules; /* modules with addresses */
	uint32_t n_unread;  /* modules that gave no names at all */
	bool is_cut;        /* is_cancelled said so before all were looked up */
	char problem[512];  /* the first of them and why; "" = none */
};

/* Finds the symbols and adds them. Files that cannot be read cost their own names only. 0, or what adding
 * gave, or MST_ENOMEM. is_cancelled (may be NULL) is asked now and then: true ends the lookup. Forks: other threads may go on meanwhile. */
int ms_names_add(
	const struct ms_names_trace *trace, bool (*is_cancelled)(void), struct ms_names_result *result);

#endif

/* names.h - symbols for a trace: which code addresses need names, and what record/symbols/ says about them.
 *
 * The one place where traces and symbols meet. It works on a list of addresses, so that a recording that ends and a
 * trace that was written long ago (msrecord --resolve) are served alike. */
#ifndef MS_NAMES_H
#define MS_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "mstrace.h"

struct ms_names_result {
	uint32_t n_codes;      /* addresses in modules */
	uint32_t n_named;      /* of which we know a function */
	uint32_t n_modules;    /* modules with addresses */
	uint32_t n_unread;     /* modules that gave no names at all */
	char problem[512];     /* the first of them and why; "" = none */
};

/* Finds the symbols of all code addresses w has and adds them to the trace. Files that cannot be read cost their own
 * names only. 0 or the writer's error, or MST_ENOMEM. Forks: the writer's own threads may go on. */
int ms_names_add(struct mst_writer *w, struct ms_names_result *result);

#endif

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

struct ms_forerunner;

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
	const char *directory; /* in which the recording was started: where modules with relative names are looked for */
};
struct ms_names_trace ms_names_of_writer(struct mst_writer *w, const char *directory);
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

/* Names to come: a process (forerunner.h) is told of the modules that addresses of a recording are in, and reads them
 * while the recording goes on. All zeros: nothing is done ahead. */
struct ms_names_ahead {
	struct ms_forerunner *forerunner;
	uint32_t n_codes; /* those up to here have been looked at */
	uint64_t next_ns; /* nothing is done before */
	uint32_t last_module;
};

/* Forks: to be called while this process is small and has one thread. */
void ms_names_ahead_open(struct ms_names_ahead *ahead);
void ms_names_ahead_close(struct ms_names_ahead *ahead);

/* To be called now and then while the recording goes on; costs nothing most of the time. A recording of less than
 * 150 ms is over sooner than anything could be ready, and nothing is begun for it. Never blocks. */
void ms_names_look_ahead(struct ms_names_ahead *ahead, struct mst_writer *w, uint64_t elapsed_ns);

/* Finds the symbols and adds them. Files that cannot be read cost their own names only. 0, or what adding
 * gave, or MST_ENOMEM. is_cancelled (may be NULL) is asked now and then: true ends the lookup. ahead may be NULL; its
 * process is dismissed. Forks: other threads may go on meanwhile. */
int ms_names_add(const struct ms_names_trace *trace, bool (*is_cancelled)(void), struct ms_names_ahead *ahead,
	struct ms_names_result *result);

#endif

/* analysis.h - one question about a trace.
 *
 * An analysis is a constant that says what it asks, and three functions that find the answer: begin, events
 * (may be NULL), end. It never opens, prints or exits; it fills tables, and msanalyze.c prints them as text,
 * CSV or JSON. One pass over the trace feeds any number of analyses, with one replay among them; each may
 * keep O(stacks + live blocks + samples), never O(events).
 *
 * A new analysis is one new file and one line in the table of msanalyze.c; one that ranks call stacks by their counters
 * is a list of these in sites.c and that line. */
#ifndef MSANALYZE_ANALYSIS_H
#define MSANALYZE_ANALYSIS_H

#include "mstrace.h"
#include "options.h"
#include "table.h"

/* What the command line says; the defaults are in msanalyze.c. */
struct options {
	int format;	    /* enum ms_format */
	int sort;	    /* index into the analysis's sort words */
	uint64_t top;	    /* rows, 0 = all */
	uint64_t pid;	    /* kernel pid to count, 0 = all */
	const char *pool;   /* leaks, peak, top: the pool to count instead of the heap, NULL = the heap */
	uint64_t points;    /* memory: samples of each process, 0 = all */
	uint64_t fail_over; /* leaks: bytes that may stay live */
	bool fail;	    /* mismatches: none may be */
};

/* The pass over the trace that feeds the analyses. */
struct pass {
	const struct options *options;
	const struct mst_reader *reader;
	const struct mst_replay *replay; /* everything so far applied; counts options->pid only */
	uint64_t n_events;
	uint64_t last_ns; /* time of the latest event */
};

struct answer {
	struct ms_table *head; /* one row: the numbers that stand above */
	struct ms_table *rows; /* NULL = none */
	const char *rows_key;  /* their member in JSON */
	struct ms_table *more; /* a second table, behind those; not in CSV. NULL = none */
	const char *more_key;
	bool is_no;	       /* the answer that makes the exit status 1 */
};

struct analysis {
	const char *name;
	const char *summary;	      /* one line, for --help */
	const struct ms_opt *options; /* of its own, beside the shared ones; may be NULL */
	bool needs_stacks; /* of the events, and counters per stack; time, size and what is released come
			      always */
	bool needs_maps;   /* calls of the mapping layer */
	bool needs_pools;  /* calls of the pool layer */
	bool is_record;	   /* CSV prints the head, not the rows */
	const char *lacks_spaces; /* said where a flight recorder has dropped events and (of an earlier version) not kept what
				     had been mapped: what the answer lacks by that; or NULL: nothing */
	/* Returns the analysis's own state, which end() frees; may be NULL together with `events`. */
	void *(*begin)(const struct pass *pass);
	/* The next n events, after the replay has taken them. */
	void (*events)(void *state, const struct pass *pass, const struct mst_event *events, size_t n);
	/* A sample, when all events before it and none behind it have been taken. May be NULL. */
	void (*sample)(void *state, const struct pass *pass, const struct mst_sample *sample);
	/* A release of a block that its own process acquired. May be NULL. */
	void (*released)(void *state, const struct mst_event *ev, const struct mst_block *block);
	/* Fills *answer with tables that the caller frees. */
	void (*end)(void *state, const struct pass *pass, struct answer *answer);
};

extern const struct analysis analysis_summary, analysis_leaks, analysis_peak, analysis_top, analysis_mismatches,
	analysis_memory, analysis_maps, analysis_modules, analysis_processes, analysis_threads;

#endif

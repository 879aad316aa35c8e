/* One pass over a trace, and what every kind of output asks of it afterwards: weights per stack, the call
 * tree, the sentences of the captions. Memory: live blocks + stacks + names, never events. */
#ifndef MS_RENDER_SURVEY_H
#define MS_RENDER_SURVEY_H

#include "mstrace.h"
#include "out.h"
#include "view.h"

/* What a stack weighs. */
enum survey_value {
	SURVEY_BYTES,	  /* allocated, over the whole time */
	SURVEY_COUNT,	  /* allocations */
	SURVEY_LIVE,	  /* bytes live at the moment asked for, else at the end */
	SURVEY_PEAK,	  /* bytes live when most was */
	SURVEY_LEAKED,	  /* bytes never freed */
	SURVEY_TEMPORARY, /* allocations freed by their thread's next heap call */
};
extern const char *const survey_value_names[]; /* for options and reports; ended by NULL */

#define SURVEY_TO_THE_END UINT64_MAX

struct survey_options {
	uint64_t pid;	/* only this process, by the system's number; 0: all */
	uint64_t at_ns; /* stop counting there; SURVEY_TO_THE_END */
	bool is_quiet;	/* no progress line */
};

struct survey {
	const char *path;
	struct survey_options options;
	struct mst_reader *reader; /* read to its end: all names are known */
	struct mst_replay *replay;
	uint64_t n_events; /* read, whether counted or not */
	uint64_t last_ns;  /* time of the last of them */
	int status;	   /* MS_EXIT_OK or MS_EXIT_GAPS; what is missing has been said on standard error */
};

/* Reads the whole trace; dies with one line if it cannot. Release with survey_release(). */
void survey_run(struct survey *s, const char *path, const struct survey_options *opt);
void survey_release(struct survey *s);

uint64_t survey_weight(const struct mst_counters *c, enum survey_value value);
enum view_unit survey_unit(enum survey_value value);

/* Length of the recording, as its END says or else the time of the last event. */
uint64_t survey_duration_ns(const struct survey *s);

/* A tree for the views. Zero-initialise. The names in it belong to the survey. */
struct survey_tree {
	struct view_tree tree;
	struct view_node *nodes;
	struct ms_out labels; /* names made up for code without a known function */
};
void survey_build_tree(const struct survey *s, enum survey_value value, struct survey_tree *out);
void survey_release_tree(struct survey_tree *t);

/* The sentences. Zero-initialise; the texts are owned. */
struct survey_facts {
	struct view_facts facts;
	struct ms_out title, caption, gaps;
};
void survey_describe(const struct survey *s, enum survey_value value, struct survey_facts *out);
void survey_release_facts(struct survey_facts *f);

#endif

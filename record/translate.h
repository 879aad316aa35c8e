/* translate.h - items in their final order become the calls of mst_writer: the recorder's sense of language.
 *
 * What it does on the way: introduces processes and threads when their first item comes; turns raw return
 * addresses into (module, offset) by the map of that moment; makes one event of a realloc's two units unless
 * another thread took the old block's address in between; remembers fork points until a child claims them; leaves
 * out what is acquired during a pause (FORMAT.md "API"). Calls of pools take the same way as those of the heap, each pool
 * for itself. */
#ifndef MS_TRANSLATE_H
#define MS_TRANSLATE_H

#include "mstrace.h"
#include "process.h"
#include "sampler.h"
#include "timebase.h"
#include "wraps.h"

struct ms_fork_point;

struct ms_translator {
	struct mst_writer *writer;
	struct ms_clock_map *clock;
	struct ms_process *processes; /* all there ever were, newest first; the session's list */
	uint32_t first_pid;
	struct ms_fork_point *points; /* unclaimed, newest first */
	bool is_paused;		      /* as said last for all processes */
	bool has_paused;	      /* somebody, at some time */
	uint64_t n_pauses;	      /* pauses and resumes said for all */
	uint64_t last_stamp;	      /* of the order so far */
	uint64_t sampled_ns;	      /* time of the last sample */
	uint64_t n_late;
	uint64_t n_unfollowed[MST_OBSTACLES]; /* processes of which nothing is known but the obstacle */
	struct ms_wraps *wraps; /* pools that are recorded; NULL: none. Set after the init, borrowed */
	uint32_t climb[MS_UNIT_DEPTH_MAX + 1]; /* scratch: a path to the root */
	uint32_t n_calls;		       /* of one tenant, on their way; none outside ms_translate */
	struct mst_call calls[MS_BLOCK_ITEMS];
	int error;			       /* the writer's code that stopped us */
};

void ms_translator_init(
	struct ms_translator *tr, struct mst_writer *w, struct ms_clock_map *clock, uint32_t first_pid);
/* Drops unclaimed fork points. */
void ms_translator_release(struct ms_translator *tr);

/* The emit function of ms_merge_run: ctx is the translator, q the queue of a tenant. 0, or the writer's error; then *n is the
 * number of the items that were taken. */
int ms_translate(void *ctx, struct ms_queue *q, struct ms_item *items, uint32_t *n);

/* A reading, at its place in the order. One of an image that had ended is left out. 0 or the writer's error. */
int ms_translate_reading(struct ms_translator *tr, struct ms_reading *r);

/* Any other sample; its time is that of the stamp. The same. */
int ms_translate_sample(struct ms_translator *tr, struct mst_sample *sample, uint64_t stamp);
/* What being recorded has cost an image, now. */
int ms_translate_costs(struct ms_translator *tr, struct ms_process *proc, uint64_t lost_events);

/* Something is said from outside at this place of the order: a mark with its name, or a pause or resume of all
 * processes, or (not a mark) of one. 0 or the writer's error. */
int ms_translate_annotation(struct ms_translator *tr, enum mst_annotation_kind kind, struct ms_process *proc,
	const char *name, size_t name_len, uint64_t stamp);

/* The thread has ended and its last item was translated. `slot_lost_*`: what its slot counted as lost and no
 * unit has told. With an end_stamp of UINT64_MAX the thread still runs. 0 or the writer's error. */
int ms_translate_thread_end(
	struct ms_translator *tr, struct ms_tenant *t, uint64_t lost_events, uint64_t lost_bytes);
/* The image has ended, or the recording. The same. */
int ms_translate_process_end(
	struct ms_translator *tr, struct ms_process *proc, uint64_t lost_events, uint64_t lost_bytes);

#endif

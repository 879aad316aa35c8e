/* translator.h - the translator's inside, shared by its files.
 *
 *     items -> translate.c (each by its kind; runs of ordinary calls in one go) -> mst_writer_calls
 *                |-> translate_events.c  calls of heap and pools one by one, of the mapping layer
 *                |     '-> translate_reallocs.c  those that have begun and not ended
 *                |-> translate_modules.c  where code lies        translate_stacks.c  frames to code, by that
 *                |-> translate_process.c  processes and threads, begun, lost and ended
 *                |     '-> translate_forks.c  fork points until a child claims them
 *                '-> translate_pauses.c   marks, pauses, resumes
 *     readings -> translate_samples.c
 *
 * All of it happens in the one order of items: what is kept of a process is its state at that place. Functions return 0, or
 * the writer's error, unless they say otherwise. */
#ifndef MS_TRANSLATOR_H
#define MS_TRANSLATOR_H

#include "translate.h"

/* The id of a string; that of an empty one is 0. */
int ms_translator_intern(struct ms_translator *tr, const char *s, size_t len, uint32_t *id);
/* The number that the next event will have. */
uint64_t ms_translator_next_event(const struct ms_translator *tr);

/* ---- translate_events.c */

/* A call of the heap or of a pool. */
int ms_translator_tell_call(struct ms_translator *tr, struct ms_tenant *t, struct ms_item *item, uint64_t ns);
/* A call of the mapping layer. */
int ms_translator_tell_mapping(struct ms_translator *tr, struct ms_tenant *t, const struct ms_item *item, uint64_t ns);
/* A call of the heap or of a pool as an event `op`, as it is. */
int ms_translator_tell_event(
	struct ms_translator *tr, const struct ms_tenant *t, const struct ms_item *item, unsigned op, uint64_t ns);
/* Is a block of the pool (1 + its number), or of the heap (0), at addr in the trace? 1, 0, or negative. */
int ms_translator_knows(struct ms_translator *tr, const struct ms_process *proc, uint32_t pool, uint64_t addr);

/* ---- translate_reallocs.c. Pools as in struct ms_pending. */

/* 0 or MST_ENOMEM. */
int ms_translator_begin_realloc(
	struct ms_process *proc, const struct ms_tenant *t, const struct ms_item *item, uint32_t pool);
/* addr has been acquired, so every realloc under way of a block there has released it by now. During a pause the
 * acquisition may have gone unseen, and the release of what was acquired tells of it. */
int ms_translator_split_reallocs(
	struct ms_translator *tr, struct ms_process *proc, uint32_t pool, uint64_t addr, uint64_t ns);
/* What became of a realloc's begin before its end came. */
enum ms_begun { MS_BEGUN_WHOLE, MS_BEGUN_SPLIT, MS_BEGUN_SPLIT_UNTOLD };
/* Takes the matching begin away, if there is one (it may be lost). */
enum ms_begun ms_translator_end_realloc(
	struct ms_process *proc, const struct ms_tenant *t, uint32_t pool, uint64_t old_addr);

/* ---- translate_modules.c */

int ms_translator_tell_module(
	struct ms_translator *tr, struct ms_process *proc, const struct ms_note *note, uint64_t ns);
int ms_translator_tell_unmodule(struct ms_translator *tr, struct ms_process *proc, uint64_t start, uint64_t ns);
/* The process has mapped something by itself: code of a file has the file's names. */
int ms_translator_tell_mapped_code(
	struct ms_translator *tr, struct ms_process *proc, const struct mst_map_call *call, uint64_t ns);
/* What a process has unmapped by itself is no module's any more. */
int ms_translator_tell_unmapped_code(
	struct ms_translator *tr, struct ms_process *proc, const struct mst_map_call *call, uint64_t ns);

/* ---- translate_stacks.c */

/* The trace's stack id of a node. */
int ms_translator_find_stack(struct ms_translator *tr, struct ms_process *proc, uint32_t node, uint32_t *stack);

/* ---- translate_process.c */

/* Tells of a process that has no id yet, and of what it had mapped when it came to us; of a thread, and of its process if
 * need be. */
int ms_translator_introduce_process(struct ms_translator *tr, struct ms_process *proc);
int ms_translator_introduce(struct ms_translator *tr, struct ms_tenant *t);
/* Says of a thread again what is known of it now. */
int ms_translator_update_thread(struct ms_translator *tr, const struct ms_tenant *t, uint64_t end_ns);
/* A unit that tells of a loss. */
int ms_translator_tell_loss(struct ms_translator *tr, struct ms_tenant *t, const uint64_t *words, uint64_t ns);
/* A program that will not come; nothing is known of it but that, and who started it. */
int ms_translator_tell_unfollowed(struct ms_translator *tr, const struct ms_process *parent, uint64_t why, uint64_t ns);

/* ---- translate_forks.c */

struct ms_fork_point {
	struct ms_fork_point *next;
	struct ms_process *parent;
	struct ms_modmap *modules;
	uint64_t fork_id;
	uint64_t token;
	bool is_paused;	   /* the parent was */
	uint64_t n_pauses; /* said for all until then */
};

int ms_translator_add_point(struct ms_translator *tr, struct ms_process *parent, uint64_t fork_id);
/* The point that fork_id names, taken out of the list; NULL if there is none. */
struct ms_fork_point *ms_translator_claim_point(struct ms_translator *tr, uint64_t fork_id);
void ms_fork_point_free(struct ms_fork_point *point);
/* Those that nobody has claimed. */
void ms_translator_drop_points(struct ms_translator *tr);

/* ---- translate_pauses.c */

/* A process that has just been introduced is paused or not like all others, or, if its parent was not, like that: then
 * the trace is told. */
int ms_translator_inherit_pause(
	struct ms_translator *tr, struct ms_process *proc, bool was_paused, uint64_t n_pauses);
/* A mark, pause or resume from the program itself. */
int ms_translator_tell_annotation(
	struct ms_translator *tr, struct ms_tenant *t, const struct ms_item *item, uint64_t ns);

#endif

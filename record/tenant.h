/* tenant.h - one thread's stay in a slot: its chunks, read once and in order, become items in a queue.
 *
 *	slot + chunks (shared, distrusted) --copy--> staging (private) --decode--> queue of items, stack tree
 *of the image
 *
 * Everything is copied before it is looked at, so what was checked stays true. A tenant whose bytes break the
 * wire's rules is never fatal: what it had published and not yet been read is given up, and it goes on with
 *what comes next (ms_tenant.faults counts; the image says so once). */
#ifndef MS_TENANT_H
#define MS_TENANT_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "mapcall.h"
#include "queue.h"
#include "stacktree.h"
#include "unit.h"

/* What a unit that is no heap call says: a copy of its words. */
struct ms_note {
	uint32_t n_words;
	uint64_t words[];
};

struct ms_tenant {
	struct ms_queue queue; /* first: whoever holds the queue holds the tenant */
	struct ms_process *process;
	struct ms_cursor cursor;
	uint32_t tid;	    /* as the program sees it */
	uint32_t outer_tid; /* as we see it; 0 = not found out yet */
	uint32_t thread;    /* id in the trace; 0 = not told yet */
	uint64_t start_stamp, start_ns; /* ns from when it is introduced on */
	uint64_t last_stamp;   /* greatest one drained */
	uint64_t horizon;      /* no honest stamp is beyond it now; set by the scan */
	uint64_t bound;	       /* what may still come is not before it */
	uint64_t given_up;     /* with is_lost: slot.committed when it was last found to make no sense */
	uint64_t busy_since;   /* stamp at which it was first found with its present unit on its way; 0 = not
				  busy */
	uint64_t patient_until; /* while busy: the stamp at which it is to be asked (again) what it is at; 0 = not
				   set */
	uint64_t cpu_ticks;    /* processor time it had had when it was asked last */
	bool was_asked;	       /* in its present unit */
	bool is_given_up;      /* its present unit is not waited for any more */
	uint64_t next_name_ns; /* when to ask for the thread's name again */
	uint32_t *path; /* path[d] = node of the latest stack's d outermost frames; path[0] = NONE or CUT */
	uint32_t depth; /* frames of the latest stack */
	uint32_t depth_max;  /* path has room for depth_max + 1 */
	uint32_t faults;     /* times it made no sense */
	bool is_stack_known; /* false after a fault, until a unit carries its whole stack */
	bool is_lost;	     /* its chunk chain is lost: see ms_tenant_drain */
	bool is_gone;	     /* the thread has ended */
	bool is_over;	     /* gone, and everything drained */
	char name[16];	     /* as told to the trace; NUL-padded, not terminated */
	struct ms_map_begins begins;
	uint64_t told_loss;  /* lost events told so far */
	uint64_t end_stamp;  /* when it was found gone, or its process had ended */
};

/* A tenant of slot `slot`. NULL without memory. */
struct ms_tenant *ms_tenant_new(struct ms_process *process, uint32_t slot, uint32_t depth_max);
/* Its queue must not be in a merge. NULL is fine. */
void ms_tenant_free(struct ms_tenant *t, struct ms_pool *pool);

/* Is there nothing to drain up to `committed`? The cursor tells: its chunk is not given back before it moves
 * on, whereas an earlier value of committed may come again with other units behind it. */
static inline bool ms_tenant_is_drained(const struct ms_tenant *t, uint64_t committed)
{
	return committed == (t->is_lost ? t->given_up : MS_COMMITTED(t->cursor.chunk, t->cursor.pos));
}

/* Scratch memory of all draining. */
struct ms_drain {
	struct ms_pool pool;
	uint64_t staging[MS_CHUNK_SIZE / 8];
};

/* Takes what the slot had published at `look`, until the queue holds about max_items. 1: all of it; 0: there
 * is more; -1: no memory (what was read is in the queue; the rest is not lost yet). */
int ms_tenant_drain(struct ms_tenant *t, struct ms_segment *seg, struct ms_stacktree *tree,
	struct ms_drain *drain, struct ms_look look, uint64_t max_items);

/* Decodes n words that stand in private memory. What ms_tenant_drain does with each run. 1 all, 0 malformed
 * (what stood before is in the queue), -1 no memory. Meanwhile memory that lies `ahead` bytes behind these words is fetched;
 * 0: none. */
int ms_tenant_decode(struct ms_tenant *t, struct ms_stacktree *tree, struct ms_pool *pool,
	const uint64_t *words, size_t n, uintptr_t ahead);

/* Gives the slot and every chunk of it back; the tenant is over. */
void ms_tenant_leave(struct ms_tenant *t, struct ms_segment *seg);

#endif

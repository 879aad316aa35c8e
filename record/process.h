/* process.h - one process image of the traced program: its segment, its threads, its stacks and its modules.
 *
 * ms_process_scan() is half of the argument that the order is right (arena.h 3, format: "Order"): it takes
 * what every thread has published and says before which stamp nothing more can come. The other half, the
 * watermark, is the least of those bounds over all images (session.c). */
#ifndef MS_PROCESS_H
#define MS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "merge.h"
#include "modmap.h"
#include "serve.h"
#include "stacktree.h"
#include "tenant.h"
#include "timebase.h"

/* A realloc that has begun and not ended, at the present place of the order. */
struct ms_pending {
	const struct ms_tenant *tenant;
	uint64_t addr; /* the old block */
	uint64_t stamp;
	uint32_t pool;	   /* whose it is: 0 the heap's, else 1 + the pool's number */
	uint32_t function; /* of a pool: which one was called */
	bool is_unknown; /* with is_split: the old block was not in the trace, so nothing has been told */
	bool is_split; /* another thread has acquired addr since: the release has been told */
};

/* A return address outside every module, as a code of the trace. */
struct ms_stray {
	uint64_t ip;
	uint32_t code;
};

/* What an address was in the trace, while the era lasts. */
struct ms_known_code {
	uint64_t ip;
	uint32_t code;
	uint32_t era; /* 0 = empty */
};
#define MS_KNOWN_CODES_BITS 13u

struct ms_process {
	struct ms_process *next; /* of all images, newest first; ended ones stay as a record of who was who */
	struct ms_arrival *arrival; /* who it is; its segment; NULL once closed */
	uint32_t pid;		    /* as we see it */
	uint32_t own_pid;	    /* as it sees itself */
	uint32_t id;		    /* in the trace; 0 = not told yet */
	uint64_t start_stamp;

	struct ms_tenant **tenants;	 /* by slot */
	uint32_t n_tenants, cap_tenants; /* slots looked at so far */
	uint32_t n_live;		 /* tenants there are */
	uint32_t n_chunks, max_chunks;	 /* in use at the last scan, and the most at any */
	uint64_t next_reap_ns, next_check_ns;

	struct ms_stacktree tree;
	struct ms_modmap *modules; /* at the present place of the order */
	uint32_t era;		   /* raised when a resolved node may have become wrong */
	struct ms_stray *strays;   /* grows by doubling; MS_STRAYS_MAX at most */
	size_t n_strays, cap_strays;
	struct ms_known_code *known_codes; /* 2^MS_KNOWN_CODES_BITS, the latest of those that hash to the same place; NULL without memory */
	bool has_unknown;	   /* some node was resolved to no module in this era */

	/* at the present place of the order: stamps of the latest pause, and of its end unless it lasts */
	bool is_paused;
	uint64_t pause_stamp, resume_stamp;
	uint64_t mute_since_ns; /* since when it has kept silent though nobody has told us of a pause; 0 = it does not */

	struct ms_pending *pending;
	size_t n_pending, cap_pending;
	size_t n_fork_points; /* unclaimed ones */

	struct ms_subject *subject; /* of the sampler; NULL: not sampled */

	bool is_dead; /* no more units will come */
	uint8_t fate; /* enum mst_process_fate, with is_dead */
	int32_t status;
	uint64_t end_stamp;
	uint64_t lost_events, lost_bytes, stall_ns; /* summed over tenants that left */
	uint64_t hook_ticks, hooks_timed;	    /* the same */
	uint32_t faults;			    /* the same */
};

#define MS_STRAYS_MAX (1u << 20)
/* Remembers one. Without memory, or when there are too many, it stays without a name. */
void ms_process_add_stray(struct ms_process *proc, uint64_t ip, uint32_t code);

/* Takes the arrival. NULL without memory: then it is freed, and its program told to go on unrecorded. */
struct ms_process *ms_process_new(struct ms_arrival *arrival);
/* Gives everything but the record back. No tenant may be in a merge. */
void ms_process_close(struct ms_process *proc, struct ms_pool *pool);
void ms_process_free(struct ms_process *proc, struct ms_pool *pool); /* closes; NULL is fine */

static inline struct ms_segment *ms_process_segment(struct ms_process *proc)
{
	return &proc->arrival->share.segment;
}

/* The world as a pass finds it. */
struct ms_scan {
	struct ms_drain *drain;
	struct ms_merge *merge;
	uint64_t now;	    /* stamp taken before the pass began */
	uint64_t guard;	    /* ticks a store may linger unseen */
	uint64_t patience;  /* ticks for which a unit on its way is waited for, and a thread that has not run since
			       for as long again, some times */
	const struct ms_clock_map *clock;
	uint64_t leeway;    /* ticks: stamps so far ahead of the clock are garbage */
	uint64_t max_items; /* about so many may wait per thread */
	uint32_t stack_depth;
	uint64_t n_tenants; /* of all processes, about */
	uint64_t n_units;   /* out: items taken */
	bool is_behind;	    /* out: some thread has more than was taken */
	uint64_t bound; /* in and out: lowered to the stamp before which nothing more comes from this image */
};

/* Drains every slot. 0, or -1 without memory. */
int ms_process_scan(struct ms_process *proc, struct ms_scan *scan);

/* Marks the tenants whose threads have ended; they are over after the next scan. To be called every few ms
 * while threads come and go; `now_ns` is CLOCK_MONOTONIC. */
void ms_process_reap(struct ms_process *proc, uint64_t now_ns);

/* The image has ended: the next scan is the last. */
void ms_process_die(struct ms_process *proc, uint8_t fate, int32_t status, uint64_t end_stamp);
/* Dead, and everything merged. */
bool ms_process_is_finished(const struct ms_process *proc);

/* What the program counts in shared memory may have been written over: a number no recording reaches is 0. */
static inline uint64_t ms_process_believe(uint64_t count)
{
	return count >> 48 ? 0 : count;
}

/* Was it paused then? By stamps, so that a call that comes late is judged by when it was made. */
static inline bool ms_process_is_in_pause(const struct ms_process *proc, uint64_t stamp)
{
	return stamp >= proc->pause_stamp && (proc->is_paused || stamp < proc->resume_stamp);
}

static inline bool ms_process_has_paused(const struct ms_process *proc)
{
	return proc->is_paused || proc->resume_stamp;
}

/* Removes an over tenant whose queue is empty from its slot and adds up what it lost. The tenant is freed. */
void ms_process_part(struct ms_process *proc, struct ms_tenant *t, struct ms_pool *pool);

#endif

/* replay.c - the live set at a place in the order, its counters, and the exact peak in one pass.
 *
 * Blocks. A block is known by its ordinal, never by its address: addresses come back. Live blocks lie in a
 * pool of 48-byte slots whose free slots form a LIFO list, so that the short-lived majority keeps using the
 * same few cache lines; a chained table of pool indices finds a slot by ordinal:
 *
 *     heads[home(ordinal)] -> pool[i] -> pool[pool[i].next] -> ...        load factor <= 1/2
 *
 * home() keeps 64 consecutive ordinals side by side (whoever frees the blocks of one burst walks one run of
 * heads) and scatters the runs by an odd multiplier drawn per replay, so that no file can choose ordinals that
 * all fall into one chain. Open addressing was rejected: ordinals come in dense runs, and runs are what makes
 * linear probing degenerate. Links per process were rejected as well: they would be 8 bytes a block for the
 * one moment when a process ends, see "Ends".
 *
 * Accounts. Totals, each process image and each stack ("site") keep the same account, so that one formula
 * serves all three:
 *
 *     live  = allocated - freed                 what the public counters call live_*
 *     gone  = the part of live whose process has ended: its leaks
 *     now   = live - gone                       what the peak is the maximum of (in the total account)
 *
 * Peak. When an acquisition raises the total `now` above the highest seen so far, that instant is the new
 * peak, and what every account held at it has to be kept, although no one can copy all accounts at each of
 * millions of new peaks. Therefore peaks are numbered (epoch), and an account copies its `now` to its peak_*
 * only just before it is first changed after a peak:
 *
 *     account.epoch == p->epoch: peak_* is what it held at the latest peak
 *     account.epoch <  p->epoch: it has not changed since that peak: its `now` is what it held
 *
 * Ends. When an image ends, its blocks stop counting as `now`. In the total and in its own account that is a
 * subtraction; the sites that hold its blocks are settled later, at the next new peak, which is the first time
 * it matters (until then the latest peak lies before the end, and the blocks did live at it). Mass deaths at
 * the end of a recording thus cost nothing, and thousands of short children cost a look at the ordinals each
 * could have acquired, not at the whole pool.
 *
 * Hostile input. Ids are checked against the reader's tables, unknown ones fall to entry 0; ordinals that
 * repeat or were never acquired are findings, not errors; sums wrap. */
#include "mstrace.h"

#include <stdlib.h>
#include <string.h>

#define RUN_BITS 6               /* consecutive ordinals kept side by side in heads[] */
#define NO_SLOT UINT32_MAX
#define NEVER UINT64_MAX
#define LOOK_AHEAD 8u            /* events between the steps of look_ahead() */

struct block { /* one slot of the pool; alloc 0 = free slot */
	uint64_t alloc, addr, size, time_ns;
	uint32_t site;   /* index of its site; the stack id itself without by_stack */
	uint32_t thread; /* index into runners: 0 when the dictionary does not know it */
	uint32_t next;   /* in the same chain, or in the free list */
	uint8_t op;
};

struct account {
	struct mst_counters c;
	uint64_t gone_blocks, gone_bytes;
	uint64_t epoch;
};

struct site {
	struct account a;
	uint32_t stack;
};

struct image { /* a process image; entry 0 stands for threads whose process is not known */
	struct account a;
	uint64_t base;                   /* ordinals below it were acquired before this image began */
	uint64_t first_alloc, last_alloc; /* what it acquired itself lies between, 0 = nothing */
	bool is_forked, is_ended;
	bool is_settled; /* is_ended, and the gone parts of the sites are up to date */
	bool is_counted; /* by the caller's filter */
};

struct runner { /* a thread */
	uint32_t process;    /* index into images */
	bool is_known;       /* process has been looked up */
	uint64_t last_alloc; /* what its latest event acquired, 0 = nothing: the next may make it temporary */
	uint64_t begun_alloc, begun_addr; /* what its latest REALLOC_BEGIN released, for the END */
};

struct change { /* the start or the end of an image, in a heap ordered by event number */
	uint64_t event;
	uint32_t process;
	bool is_end;
};

struct mst_replay {
	const struct mst_reader *reader;
	struct mst_replay_options opt;
	uint64_t release_ops; /* bit n: mst_op_releases(n) */

	struct block *pool;
	uint32_t n_slots, cap_slots; /* slots ever used, and there */
	uint32_t free_slot;          /* first of the free list, NO_SLOT = none */
	uint32_t n_live;
	uint32_t *heads;             /* 2^head_bits chains, NO_SLOT = empty */
	unsigned head_bits;
	uint64_t scatter;            /* odd */
	uint64_t last_alloc;         /* greatest ordinal acquired so far */

	struct account total;
	struct site *sites; /* site 0: stack 0 and stacks the dictionary does not know */
	uint32_t n_sites, cap_sites;
	uint32_t *site_of;  /* by stack id; 0 = none yet */
	uint32_t n_stacks, cap_stacks;
	struct image *images; /* by process id */
	uint32_t n_images, cap_images;
	struct runner *runners; /* by thread id */
	uint32_t n_runners;

	struct change *changes;
	size_t n_changes, cap_changes;
	uint64_t next_change; /* event number of the first of them */
	uint32_t *watched;    /* running processes whose end the reader does not know yet */
	size_t n_watched, cap_watched;
	uint32_t *unsettled;  /* ended processes with blocks, not yet in the sites' gone parts */
	size_t n_unsettled, cap_unsettled;

	uint64_t epoch; /* number of peaks so far */
	uint64_t peak_bytes, peak_event, peak_time_ns;
	uint64_t foreign, inherited;
};

/* What a release turned out to be, for completing the caller's event. */
struct outcome {
	uint64_t addr, size; /* of the block released */
	uint64_t freed;      /* its ordinal */
	uint8_t flags;       /* MST_EV_FOREIGN, MST_EV_INHERITED */
};

/* Grows *array of *cap items of `size` bytes to at least `need`, doubling; new items are zero. */
static int grow(void *array, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return 0;
	size_t n = *cap ? *cap * 2 : 16;
	if (n < need)
		n = need;
	if (n > SIZE_MAX / size)
		return MST_ENOMEM;
	void *old;
	memcpy(&old, array, sizeof old);
	char *a = realloc(old, n * size);
	if (!a)
		return MST_ENOMEM;
	memset(a + *cap * size, 0, (n - *cap) * size);
	memcpy(array, &a, sizeof a);
	*cap = n;
	return 0;
}

/* The same for tables counted in 32 bits. */
static int grow32(void *array, uint32_t *cap, uint32_t need, size_t size)
{
	size_t wide = *cap;
	int rc = grow(array, &wide, need, size);
	*cap = wide > UINT32_MAX ? UINT32_MAX : (uint32_t)wide;
	return rc;
}

/* ---- accounts ------------------------------------------------------------------------------------------ */

/* Keeps what the account held at the latest peak, before the caller changes it. */
static inline void keep_peak(const struct mst_replay *p, struct account *a)
{
	if (a->epoch == p->epoch)
		return;
	a->c.peak_blocks = a->c.live_blocks - a->gone_blocks;
	a->c.peak_bytes = a->c.live_bytes - a->gone_bytes;
	a->epoch = p->epoch;
}

static inline void book_alloc(const struct mst_replay *p, struct account *a, uint64_t size)
{
	keep_peak(p, a);
	a->c.allocs++;
	a->c.allocated_bytes += size;
	a->c.live_blocks++;
	a->c.live_bytes += size;
	if (a->c.live_bytes > a->c.max_bytes)
		a->c.max_bytes = a->c.live_bytes;
}

static inline void book_free(const struct mst_replay *p, struct account *a, uint64_t size, bool is_temporary)
{
	keep_peak(p, a);
	a->c.frees++;
	a->c.freed_bytes += size;
	a->c.live_blocks--;
	a->c.live_bytes -= size;
	a->c.temporary += is_temporary;
}

/* `blocks` (may be a negative number, as everywhere modulo 2^64) of what lives have lost their process. */
static void book_gone(const struct mst_replay *p, struct account *a, uint64_t blocks, uint64_t bytes)
{
	keep_peak(p, a);
	a->gone_blocks += blocks;
	a->gone_bytes += bytes;
}

/* ---- the live set -------------------------------------------------------------------------------------- */

static inline size_t home(const struct mst_replay *p, uint64_t alloc)
{
	uint64_t run = ((alloc >> RUN_BITS) * p->scatter) >> (64 - (p->head_bits - RUN_BITS));
	return (size_t)(run << RUN_BITS | (alloc & ((1u << RUN_BITS) - 1)));
}

/* The link (head or next) that holds the block's slot index, or NULL. */
static inline uint32_t *find(const struct mst_replay *p, uint64_t alloc)
{
	uint32_t *link = &p->heads[home(p, alloc)];
	while (*link != NO_SLOT && p->pool[*link].alloc != alloc)
		link = &p->pool[*link].next;
	return *link == NO_SLOT ? NULL : link;
}

/* Takes the block out of the live set; its slot stays readable until the next insertion. */
static inline void unlink_block(struct mst_replay *p, uint32_t *link)
{
	uint32_t slot = *link;
	*link = p->pool[slot].next;
	p->pool[slot].alloc = 0;
	p->pool[slot].next = p->free_slot;
	p->free_slot = slot;
	p->n_live--;
}

static int set_heads(struct mst_replay *p, unsigned bits)
{
	uint32_t *heads = malloc(sizeof *heads << bits);
	if (!heads)
		return MST_ENOMEM;
	memset(heads, 0xff, sizeof *heads << bits); /* NO_SLOT */
	free(p->heads);
	p->heads = heads;
	p->head_bits = bits;
	for (uint32_t i = 0; i < p->n_slots; i++) {
		if (p->pool[i].alloc == 0)
			continue;
		uint32_t *head = &heads[home(p, p->pool[i].alloc)];
		p->pool[i].next = *head;
		*head = i;
	}
	return 0;
}

/* Room for one more block. */
static int make_room(struct mst_replay *p)
{
	if (p->free_slot != NO_SLOT)
		return 0;
	if (p->n_slots == NO_SLOT - 1)
		return MST_ENOMEM;
	int rc = grow32(&p->pool, &p->cap_slots, p->n_slots + 1, sizeof *p->pool);
	if (rc == 0 && (uint64_t)p->n_slots >> (p->head_bits - 1))
		rc = set_heads(p, p->head_bits + 1);
	return rc;
}

/* A slot for a block of that ordinal, linked; the caller fills the rest. make_room has succeeded. */
static inline struct block *link_block(struct mst_replay *p, uint64_t alloc)
{
	uint32_t slot = p->free_slot;
	if (slot == NO_SLOT)
		slot = p->n_slots++;
	else
		p->free_slot = p->pool[slot].next;
	uint32_t *head = &p->heads[home(p, alloc)];
	p->pool[slot].alloc = alloc;
	p->pool[slot].next = *head;
	*head = slot;
	p->n_live++;
	return &p->pool[slot];
}

/* ---- who and where ------------------------------------------------------------------------------------- */

/* First event of a thread: which process is it of? Once answered, the answer stays, so that a table that
 * arrives late in a stream cannot move a block from one account to another. */
static int meet_thread(struct mst_replay *p, uint32_t id, uint32_t *index)
{
	const struct mst_thread *t = mst_reader_thread(p->reader, id);
	*index = 0;
	if (!t)
		return 0;
	int rc = grow32(&p->runners, &p->n_runners, id + 1, sizeof *p->runners);
	if (rc < 0)
		return rc;
	p->runners[id].process = t->process < p->n_images ? t->process : 0;
	p->runners[id].is_known = true;
	*index = id;
	return 0;
}

static inline int find_thread(struct mst_replay *p, uint32_t id, uint32_t *index)
{
	if (id < p->n_runners && p->runners[id].is_known) {
		*index = id;
		return 0;
	}
	return meet_thread(p, id, index);
}

static inline struct image *image_of(const struct mst_replay *p, uint32_t thread)
{
	return &p->images[p->runners[thread].process];
}

static int meet_stack(struct mst_replay *p, uint32_t stack, uint32_t *site)
{
	*site = 0;
	if (stack == MST_STACK_NONE || stack > mst_reader_n_stacks(p->reader))
		return 0;
	int rc = grow32(&p->site_of, &p->cap_stacks, stack + 1, sizeof *p->site_of);
	if (rc == 0)
		rc = grow32(&p->sites, &p->cap_sites, p->n_sites + 1, sizeof *p->sites);
	if (rc < 0)
		return rc;
	if (stack >= p->n_stacks)
		p->n_stacks = stack + 1;
	*site = p->n_sites++;
	p->site_of[stack] = *site;
	p->sites[*site].stack = stack;
	return 0;
}

static inline int find_site(struct mst_replay *p, uint32_t stack, uint32_t *site)
{
	if (!p->opt.by_stack) {
		*site = stack;
		return 0;
	}
	if (stack < p->cap_stacks && p->site_of[stack]) {
		*site = p->site_of[stack];
		return 0;
	}
	return meet_stack(p, stack, site);
}

/* ---- starts and ends of processes ---------------------------------------------------------------------- */

static bool change_before(const struct change *a, const struct change *b)
{
	return a->event < b->event;
}

static void sift_down(struct change *h, size_t n, size_t i)
{
	for (;;) {
		size_t least = i;
		for (size_t child = 2 * i + 1; child < n && child <= 2 * i + 2; child++)
			if (change_before(&h[child], &h[least]))
				least = child;
		if (least == i)
			return;
		struct change swap = h[i];
		h[i] = h[least];
		h[least] = swap;
		i = least;
	}
}

static int push_change(struct mst_replay *p, uint64_t event, uint32_t process, bool is_end)
{
	int rc = grow(&p->changes, &p->cap_changes, p->n_changes + 1, sizeof *p->changes);
	if (rc < 0)
		return rc;
	struct change c = {event, process, is_end};
	size_t i = p->n_changes++;
	for (; i > 0 && change_before(&c, &p->changes[(i - 1) / 2]); i = (i - 1) / 2)
		p->changes[i] = p->changes[(i - 1) / 2];
	p->changes[i] = c;
	p->next_change = p->changes[0].event;
	return 0;
}

static int push_u32(uint32_t **list, size_t *n, size_t *cap, uint32_t value)
{
	int rc = grow(list, cap, *n + 1, sizeof **list);
	if (rc == 0)
		(*list)[(*n)++] = value;
	return rc;
}

static bool is_counted(const struct mst_replay *p, uint32_t id, const struct mst_process *process)
{
	if (p->opt.only_process && id != p->opt.only_process)
		return false;
	return !p->opt.only_pid || (process && process->pid == p->opt.only_pid);
}

static int meet_process(struct mst_replay *p, uint32_t id)
{
	const struct mst_process *process = mst_reader_process(p->reader, id);
	struct image *m = &p->images[id];
	m->is_counted = is_counted(p, id, process);
	if (!process)
		return 0;
	m->is_forked = process->origin == MST_ORIGIN_FORK;
	int rc = push_change(p, process->start_event, id, false);
	if (rc < 0)
		return rc;
	if (process->end_event == NEVER)
		return push_u32(&p->watched, &p->n_watched, &p->cap_watched, id);
	return push_change(p, process->end_event, id, true);
}

static int meet_processes(struct mst_replay *p)
{
	uint32_t n = mst_reader_n_processes(p->reader);
	if (n >= UINT32_MAX - 1)
		return MST_ENOMEM;
	int rc = grow32(&p->images, &p->cap_images, n + 1, sizeof *p->images);
	while (rc == 0 && p->n_images <= n)
		rc = meet_process(p, p->n_images++);
	return rc;
}

/* Asks the reader what it has learnt about processes since the last time. */
static int look_at_processes(struct mst_replay *p)
{
	int rc = 0;
	if (mst_reader_n_processes(p->reader) >= p->n_images)
		rc = meet_processes(p);
	for (size_t i = 0; i < p->n_watched && rc == 0;) {
		const struct mst_process *process = mst_reader_process(p->reader, p->watched[i]);
		if (!process || process->end_event == NEVER) {
			i++;
			continue;
		}
		rc = push_change(p, process->end_event, p->watched[i], true);
		p->watched[i] = p->watched[--p->n_watched];
	}
	return rc;
}

static int end_process(struct mst_replay *p, uint32_t id)
{
	struct image *m = &p->images[id];
	if (m->is_ended)
		return 0;
	m->is_ended = true;
	if (m->a.c.live_blocks == 0 || !m->is_counted) {
		m->is_settled = true;
		return 0;
	}
	uint64_t blocks = m->a.c.live_blocks, bytes = m->a.c.live_bytes;
	book_gone(p, &m->a, blocks, bytes);
	book_gone(p, &p->total, blocks, bytes);
	m->is_settled = !p->opt.by_stack;
	return m->is_settled ? 0 : push_u32(&p->unsettled, &p->n_unsettled, &p->cap_unsettled, id);
}

static int run_changes(struct mst_replay *p, uint64_t event)
{
	int rc = 0;
	while (p->n_changes > 0 && p->changes[0].event <= event && rc == 0) {
		struct change c = p->changes[0];
		p->changes[0] = p->changes[--p->n_changes];
		sift_down(p->changes, p->n_changes, 0);
		if (c.is_end)
			rc = end_process(p, c.process);
		else
			p->images[c.process].base = p->last_alloc + 1;
	}
	p->next_change = p->n_changes ? p->changes[0].event : NEVER;
	return rc;
}

static void settle_block(struct mst_replay *p, const struct block *b)
{
	book_gone(p, &p->sites[b->site].a, 1, b->size);
}

/* Settles one image by looking up every ordinal it can have acquired; the sooner done the fewer those are. */
static void settle_by_ordinals(struct mst_replay *p, struct image *m)
{
	uint64_t left = m->a.c.live_blocks;
	for (uint64_t alloc = m->first_alloc; left > 0 && alloc <= m->last_alloc; alloc++) {
		uint32_t *link = find(p, alloc);
		if (!link || image_of(p, p->pool[*link].thread) != m)
			continue;
		settle_block(p, &p->pool[*link]);
		left--;
	}
	m->is_settled = true;
}

/* Settles all that are left in one walk over the pool. */
static void settle_by_pool(struct mst_replay *p)
{
	for (uint32_t i = 0; i < p->n_slots; i++) {
		const struct block *b = &p->pool[i];
		if (b->alloc == 0)
			continue;
		const struct image *m = image_of(p, b->thread);
		if (m->is_ended && !m->is_settled)
			settle_block(p, b);
	}
	for (size_t i = 0; i < p->n_unsettled; i++)
		p->images[p->unsettled[i]].is_settled = true;
}

/* Brings the sites' gone parts up to date, because a new peak is about to be taken. */
static void settle(struct mst_replay *p)
{
	bool is_done = true;
	for (size_t i = 0; i < p->n_unsettled; i++) {
		struct image *m = &p->images[p->unsettled[i]];
		if (m->last_alloc - m->first_alloc < p->n_slots / 2)
			settle_by_ordinals(p, m);
		is_done &= m->is_settled;
	}
	if (!is_done)
		settle_by_pool(p);
	p->n_unsettled = 0;
}

/* ---- events -------------------------------------------------------------------------------------------- */

static inline void take_peak(struct mst_replay *p, const struct mst_event *ev)
{
	if (p->n_unsettled)
		settle(p);
	p->peak_bytes = p->total.c.live_bytes - p->total.gone_bytes;
	p->peak_event = ev->number;
	p->peak_time_ns = ev->time_ns;
	p->epoch++;
	keep_peak(p, &p->total); /* this one is always up to date */
}

/* A block of an image that has ended came (sign 1) or went (sign -1 modulo 2^64). Only late events do this. */
static void book_posthumous(struct mst_replay *p, struct image *m, uint32_t site, uint64_t sign, uint64_t size)
{
	book_gone(p, &p->total, sign, sign * size);
	book_gone(p, &m->a, sign, sign * size);
	if (p->opt.by_stack && m->is_settled) /* else settle() is still to see the block, or its absence */
		book_gone(p, &p->sites[site].a, sign, sign * size);
}

/* A live block leaves the live set: one free in the accounts of its owner. */
static inline void drop_block(struct mst_replay *p, uint32_t *link, bool is_temporary)
{
	const struct block *b = &p->pool[*link];
	struct image *owner = image_of(p, b->thread);
	if (owner->is_counted) {
		book_free(p, &p->total, b->size, is_temporary);
		book_free(p, &owner->a, b->size, is_temporary);
		if (p->opt.by_stack)
			book_free(p, &p->sites[b->site].a, b->size, is_temporary);
		if (owner->is_ended)
			book_posthumous(p, owner, b->site, (uint64_t)-1, b->size);
	}
	unlink_block(p, link);
}

/* A release that leaves the live set as it is: of a block never seen, or of a forked child's copy. The call
 * is booked where it was made. */
static int release_stray(struct mst_replay *p, const struct mst_event *ev, struct image *m, struct outcome *out)
{
	bool is_inherited = m->is_forked && ev->freed && ev->freed < m->base;
	out->flags |= is_inherited ? MST_EV_INHERITED : MST_EV_FOREIGN;
	if (!m->is_counted)
		return 0;
	uint32_t site;
	int rc = find_site(p, ev->stack, &site);
	if (rc < 0)
		return rc;
	*(is_inherited ? &p->inherited : &p->foreign) += 1;
	p->total.c.frees++;
	m->a.c.frees++;
	if (p->opt.by_stack)
		p->sites[site].a.c.frees++;
	return 0;
}

static inline int release(struct mst_replay *p, const struct mst_event *ev, uint32_t thread, struct outcome *out)
{
	struct image *m = image_of(p, thread);
	uint32_t *link = ev->freed ? find(p, ev->freed) : NULL;
	if (!link)
		return release_stray(p, ev, m, out);
	const struct block *b = &p->pool[*link];
	out->addr = b->addr;
	out->size = b->size;
	out->freed = b->alloc;
	const struct image *owner = image_of(p, b->thread);
	/* An unknown process is taken for the owner: its entry was in a lost frame. */
	if (owner != m && owner != p->images && m != p->images)
		return release_stray(p, ev, m, out);
	drop_block(p, link, p->runners[thread].last_alloc == ev->freed);
	return 0;
}

static inline int acquire(struct mst_replay *p, const struct mst_event *ev, uint32_t thread)
{
	uint32_t site;
	int rc = find_site(p, ev->stack, &site);
	if (rc == 0)
		rc = make_room(p);
	if (rc < 0)
		return rc;
	if (ev->alloc > p->last_alloc) {
		p->last_alloc = ev->alloc;
	} else { /* ordinals only rise: a repeated one is a finding, and replaces the block */
		uint32_t *link = find(p, ev->alloc);
		if (link) {
			p->foreign++;
			drop_block(p, link, false);
		}
	}
	struct block *b = link_block(p, ev->alloc);
	b->addr = ev->addr;
	b->size = ev->size;
	b->time_ns = ev->time_ns;
	b->site = site;
	b->thread = thread;
	b->op = ev->op;

	struct image *m = image_of(p, thread);
	if (m->first_alloc == 0 || ev->alloc < m->first_alloc)
		m->first_alloc = ev->alloc;
	if (ev->alloc > m->last_alloc)
		m->last_alloc = ev->alloc;
	if (!m->is_counted)
		return 0;
	book_alloc(p, &p->total, ev->size);
	book_alloc(p, &m->a, ev->size);
	if (p->opt.by_stack)
		book_alloc(p, &p->sites[site].a, ev->size);
	if (m->is_ended)
		book_posthumous(p, m, site, 1, ev->size);
	if (p->total.c.live_bytes - p->total.gone_bytes > p->peak_bytes)
		take_peak(p, ev);
	return 0;
}

static int book_failure(struct mst_replay *p, const struct mst_event *ev, struct image *m)
{
	if (!m->is_counted)
		return 0;
	uint32_t site;
	int rc = find_site(p, ev->stack, &site);
	if (rc < 0)
		return rc;
	p->total.c.failed++;
	m->a.c.failed++;
	if (p->opt.by_stack)
		p->sites[site].a.c.failed++;
	return 0;
}

/* Is an event whose op releases, but which names no ordinal, a release? realloc(NULL, n) is not. */
static inline bool is_release_of_unknown(const struct mst_event *ev)
{
	if (ev->op != MST_OP_REALLOC && ev->op != MST_OP_REALLOCARRAY)
		return true;
	return ev->old_addr || ev->flags & MST_EV_FOREIGN;
}

/* A REALLOC_END names what its BEGIN released. */
static void complete_realloc_end(const struct runner *t, struct outcome *out)
{
	out->freed = t->begun_alloc;
	out->addr = t->begun_addr;
}

static inline int apply(struct mst_replay *p, const struct mst_event *ev, struct outcome *out)
{
	int rc = ev->number >= p->next_change ? run_changes(p, ev->number) : 0;
	uint32_t thread = 0;
	if (rc == 0)
		rc = find_thread(p, ev->thread, &thread);
	if (rc < 0)
		return rc;
	if (ev->flags & MST_EV_FAILED) {
		p->runners[thread].last_alloc = 0;
		return book_failure(p, ev, image_of(p, thread));
	}
	if (p->release_ops >> (ev->op & 63u) & 1 && (ev->freed || is_release_of_unknown(ev)))
		rc = release(p, ev, thread, out);
	if (rc == 0 && ev->alloc)
		rc = acquire(p, ev, thread);
	struct runner *t = &p->runners[thread];
	t->last_alloc = ev->alloc;
	if (ev->op == MST_OP_REALLOC_BEGIN) {
		t->begun_alloc = out->freed;
		t->begun_addr = out->addr ? out->addr : ev->addr;
	} else if (ev->op == MST_OP_REALLOC_END) {
		complete_realloc_end(t, out);
	}
	return rc;
}

static inline void prefetch_site(const struct mst_replay *p, uint32_t site)
{
	const char *s = (const char *)&p->sites[site];
	__builtin_prefetch(s, 1);
	__builtin_prefetch(s + 64, 1);
}

/* Memory latency is most of the work: each event's lines are fetched in three steps, some events ahead, every
 * step reading what the one before it has fetched. */
static inline void look_ahead(const struct mst_replay *p, const struct mst_event *events, size_t n, size_t i)
{
	if (i + 3 * LOOK_AHEAD >= n)
		return;
	const struct mst_event *far = &events[i + 3 * LOOK_AHEAD];
	if (far->freed)
		__builtin_prefetch(&p->heads[home(p, far->freed)], 1);
	if (p->opt.by_stack && far->alloc && far->stack < p->n_stacks)
		__builtin_prefetch(&p->site_of[far->stack]);

	const struct mst_event *mid = &events[i + 2 * LOOK_AHEAD];
	uint32_t slot = mid->freed ? p->heads[home(p, mid->freed)] : NO_SLOT;
	if (slot != NO_SLOT)
		__builtin_prefetch(&p->pool[slot], 1);
	if (!p->opt.by_stack)
		return;
	if (mid->alloc && mid->stack < p->n_stacks)
		prefetch_site(p, p->site_of[mid->stack]);

	const struct mst_event *near = &events[i + LOOK_AHEAD];
	slot = near->freed ? p->heads[home(p, near->freed)] : NO_SLOT;
	if (slot != NO_SLOT)
		prefetch_site(p, p->pool[slot].site);
}

/* ---- public -------------------------------------------------------------------------------------------- */

static uint64_t set_of_releases(void)
{
	uint64_t set = 0;
	for (unsigned op = 0; op <= MST_OP_MAX; op++)
		if (mst_op_releases(op))
			set |= UINT64_C(1) << op;
	return set;
}

int mst_replay_new(const struct mst_reader *r, const struct mst_replay_options *opt, struct mst_replay **out)
{
	struct mst_replay *p = calloc(1, sizeof *p);
	if (!p)
		return MST_ENOMEM;
	p->reader = r;
	if (opt)
		p->opt = *opt;
	p->release_ops = set_of_releases();
	p->free_slot = NO_SLOT;
	p->next_change = NEVER;
	p->scatter = (uint64_t)(uintptr_t)p * UINT64_C(0x9E3779B97F4A7C15) | 1;
	int rc = set_heads(p, 2 * RUN_BITS);
	if (rc == 0)
		rc = grow32(&p->runners, &p->n_runners, 1, sizeof *p->runners);
	if (rc == 0 && p->opt.by_stack)
		rc = grow32(&p->sites, &p->cap_sites, 1, sizeof *p->sites);
	if (rc == 0)
		rc = grow32(&p->images, &p->cap_images, 1, sizeof *p->images);
	if (rc < 0) {
		mst_replay_free(p);
		return rc;
	}
	p->n_sites = 1;
	p->n_images = 1;
	p->n_stacks = p->opt.by_stack;
	p->images[0].is_counted = !p->opt.only_process && !p->opt.only_pid;
	*out = p;
	return 0;
}

void mst_replay_free(struct mst_replay *p)
{
	if (!p)
		return;
	free(p->pool);
	free(p->heads);
	free(p->sites);
	free(p->site_of);
	free(p->images);
	free(p->runners);
	free(p->changes);
	free(p->watched);
	free(p->unsettled);
	free(p);
}

int mst_replay_apply(struct mst_replay *p, struct mst_event *ev)
{
	struct outcome out = {0};
	int rc = look_at_processes(p);
	if (rc == 0)
		rc = apply(p, ev, &out);
	if (rc < 0)
		return rc;
	ev->flags |= out.flags;
	if (out.freed && !ev->freed)
		ev->freed = out.freed;
	if (ev->alloc || ev->op == MST_OP_REALLOC_END) {
		if (!ev->old_addr)
			ev->old_addr = out.addr;
	} else if (out.freed) {
		if (!ev->addr)
			ev->addr = out.addr;
		ev->size = out.size;
	}
	return 0;
}

int mst_replay_apply_batch(struct mst_replay *p, const struct mst_event *events, size_t n)
{
	int rc = look_at_processes(p);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct outcome out = {0};
		look_ahead(p, events, n, i);
		rc = apply(p, &events[i], &out);
	}
	return rc;
}

const struct mst_counters *mst_replay_totals(const struct mst_replay *p)
{
	return &p->total.c;
}

uint64_t mst_replay_peak_event(const struct mst_replay *p)
{
	return p->peak_event;
}

uint64_t mst_replay_peak_time_ns(const struct mst_replay *p)
{
	return p->peak_time_ns;
}

uint64_t mst_replay_now_bytes(const struct mst_replay *p)
{
	return p->total.c.live_bytes - p->total.gone_bytes;
}

uint64_t mst_replay_foreign_frees(const struct mst_replay *p)
{
	return p->foreign;
}

uint64_t mst_replay_inherited_frees(const struct mst_replay *p)
{
	return p->inherited;
}

uint32_t mst_replay_n_stacks(const struct mst_replay *p)
{
	return p->n_stacks;
}

static const struct mst_counters *settled(const struct mst_replay *p, struct account *a)
{
	keep_peak(p, a);
	return &a->c;
}

static const struct mst_counters no_counters;

const struct mst_counters *mst_replay_stack(const struct mst_replay *p, uint32_t stack)
{
	if (stack >= p->n_stacks || (stack != MST_STACK_NONE && p->site_of[stack] == 0))
		return &no_counters;
	return settled(p, &p->sites[stack == MST_STACK_NONE ? 0 : p->site_of[stack]].a);
}

const struct mst_counters *mst_replay_process(const struct mst_replay *p, uint32_t process)
{
	if (process >= p->n_images)
		return &no_counters;
	return settled(p, &p->images[process].a);
}

struct age { /* of a live block: ordinals are the order of acquisition */
	uint64_t alloc;
	uint32_t slot;
};

static int compare_age(const void *a, const void *b)
{
	const struct age *x = a, *y = b;
	return x->alloc < y->alloc ? -1 : x->alloc > y->alloc;
}

static void describe_block(const struct mst_replay *p, const struct block *b, struct mst_block *out)
{
	*out = (struct mst_block){
		.alloc = b->alloc,
		.addr = b->addr,
		.size = b->size,
		.time_ns = b->time_ns,
		.stack = p->opt.by_stack ? p->sites[b->site].stack : b->site,
		.thread = b->thread,
		.process = p->runners[b->thread].process,
		.op = b->op,
	};
}

int mst_replay_each_live(const struct mst_replay *p, int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	struct age *order = malloc((p->n_live + (size_t)1) * sizeof *order);
	if (!order)
		return MST_ENOMEM;
	size_t n = 0;
	for (uint32_t i = 0; i < p->n_slots; i++)
		if (p->pool[i].alloc && image_of(p, p->pool[i].thread)->is_counted)
			order[n++] = (struct age){p->pool[i].alloc, i};
	qsort(order, n, sizeof *order, compare_age);
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct mst_block b;
		describe_block(p, &p->pool[order[i].slot], &b);
		rc = visit(ctx, &b);
	}
	free(order);
	return rc;
}

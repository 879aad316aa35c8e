/* replay.c - the live set at a place in the order, its counters, and the exact peak in one pass.
 *
 *     liveset.h          which blocks live, by ordinal
 *     account.h          what a stack, a process, the whole trace holds, now and at the peak
 *     stack_accounts.h   one account per stack
 *     lifetimes.h        when processes start and end
 *     here               what an event, or a checkpoint, means for all of them
 *
 * A release is booked in the accounts of the stack and the process that acquired the block: in each of them
 * live is what was acquired less what was released. A release that finds no block of its own process is a
 * stray: booked where it was made, it changes no live set.
 *
 * Ends. When an image ends, its blocks stop counting as `now` (account.h). In the total and in its own
 * account that is a subtraction; the stacks that hold its blocks are settled later, at the next new peak,
 * which is the first time it matters (until then the latest peak lies before the end, and the blocks did live
 * at it). Mass deaths at the end of a recording thus cost nothing, and thousands of short children cost a
 * look at the ordinals each could have acquired, not at all live blocks. Links between the blocks of a
 * process were rejected: 8 bytes a block for this one moment.
 *
 * Layers. Calls of the mapping layer (mst_op_maps) and of pools are no heap calls: they pass, and nothing here knows of
 * them, not even whether a block is temporary. A replay of a pool (only_pool) is this one turned round: the calls of that
 * pool are taken as if they were the heap's, with the pool's own ordinals, and all others pass.
 *
 * Hostile input. Ids are checked against the reader's tables, unknown ones fall to entry 0; ordinals that
 * repeat or were never acquired are findings, not errors; sums wrap. */
#include "mstrace.h"

#include "account.h"
#include "copies.h"
#include "grow.h"
#include "lifetimes.h"
#include "liveset.h"
#include "stack_accounts.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_AHEAD 8u /* events between the steps of look_ahead() */

struct image { /* a process image; entry 0 stands for threads whose process is not known */
	struct mst_account a;
	struct mst_account_rest rest;
	uint64_t base;			  /* ordinals below it were acquired before this image began */
	uint64_t first_alloc, last_alloc; /* what it acquired itself lies between, 0 = nothing */
	bool is_forked, is_ended;
	bool is_settled; /* is_ended, and the gone parts of the stacks are up to date */
	bool is_counted; /* by the caller's filter */
};

struct runner {		     /* a thread; entry 0 stands for those that no dictionary knows */
	uint32_t process;    /* index into images */
	bool is_known;	     /* process has been looked up */
	uint64_t last_alloc; /* what its latest event acquired, 0 = nothing: the next may make it temporary */
	uint64_t begun_alloc, begun_addr; /* what its latest REALLOC_BEGIN released, for the END */
};

struct mst_replay {
	const struct mst_reader *reader;
	struct mst_replay_options opt;
	uint64_t release_ops; /* bit n: mst_op_releases(n), or what does so in a pool */
	uint32_t pool;        /* string id of opt.only_pool; 0: not met yet */

	struct mst_liveset live; /* site: index of a stack account; the stack id itself without by_stack */
	uint64_t last_alloc;	 /* greatest ordinal acquired so far */
	struct mst_copies copies; /* empty without keep_copies */

	struct mst_account total;
	struct mst_account_rest total_rest;
	struct mst_stack_accounts stacks; /* empty without by_stack */
	struct image *images;		  /* by process id */
	uint32_t n_images, cap_images;
	struct runner *runners; /* by thread id */
	uint32_t n_runners;

	struct mst_lifetimes lifetimes;
	uint32_t *unsettled; /* ended processes with blocks, not yet in the stacks' gone parts */
	size_t n_unsettled, cap_unsettled;

	uint64_t n_peaks;
	uint64_t peak_bytes, peak_event, peak_time_ns; /* the latest */
	uint64_t foreign, inherited;
	bool has_begun; /* the first event, or the checkpoint before it, has been seen */
};

/* What a release turned out to be, for completing the caller's event. */
struct outcome {
	uint64_t addr, size; /* of the block released */
	uint64_t freed;	     /* its ordinal */
	uint8_t flags;	     /* MST_EV_FOREIGN, MST_EV_INHERITED */
};

/* ---- who and where ------------------------------------------------------------------------------------- */

/* First event of a thread: which process is it of? Once answered, the answer stays, so that a table that
 * arrives late in a stream cannot move a block from one account to another. */
static int meet_thread(struct mst_replay *p, uint32_t id, uint32_t *index)
{
	const struct mst_thread *t = mst_reader_thread(p->reader, id);
	*index = 0;
	if (!t)
		return 0;
	int rc = mst_grow32(&p->runners, &p->n_runners, id + 1, sizeof *p->runners);
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

static inline int find_site(struct mst_replay *p, uint32_t stack, uint32_t *site)
{
	*site = stack;
	return p->opt.by_stack ? mst_stack_accounts_find(&p->stacks, p->reader, stack, site) : 0;
}

static inline uint64_t now_bytes(const struct mst_replay *p)
{
	return mst_account_now(&p->total, &p->total_rest);
}

/* ---- starts and ends of processes ---------------------------------------------------------------------- */

static bool is_counted(const struct mst_replay *p, uint32_t id, const struct mst_process *process)
{
	if (p->opt.only_process && id != p->opt.only_process)
		return false;
	return !p->opt.only_pid || (process && process->pid == p->opt.only_pid);
}

/* Asks the reader what it has learnt about processes since the last time. */
static int look_at_processes(struct mst_replay *p)
{
	int rc = mst_lifetimes_look(&p->lifetimes, p->reader);
	if (rc < 0 || p->lifetimes.n_known < p->n_images)
		return rc;
	rc = mst_grow32(&p->images, &p->cap_images, p->lifetimes.n_known + 1, sizeof *p->images);
	for (; rc == 0 && p->n_images <= p->lifetimes.n_known; p->n_images++) {
		const struct mst_process *process = mst_reader_process(p->reader, p->n_images);
		struct image *m = &p->images[p->n_images];
		m->is_counted = is_counted(p, p->n_images, process);
		m->is_forked = process && process->origin == MST_ORIGIN_FORK;
	}
	return rc;
}

static int remember_unsettled(struct mst_replay *p, uint32_t id)
{
	int rc = mst_grow(&p->unsettled, &p->cap_unsettled, p->n_unsettled + 1, sizeof *p->unsettled);
	if (rc == 0)
		p->unsettled[p->n_unsettled++] = id;
	return rc;
}

static int end_process(struct mst_replay *p, uint32_t id)
{
	struct image *m = &p->images[id];
	if (m->is_ended)
		return 0;
	uint64_t blocks = m->a.live_blocks, bytes = m->a.live_bytes;
	m->is_ended = true;
	m->is_settled = blocks == 0 || !p->opt.by_stack;
	if (blocks == 0)
		return 0;
	mst_account_gone(&m->a, &m->rest, p->n_peaks, blocks, bytes);
	mst_account_gone(&p->total, &p->total_rest, p->n_peaks, blocks, bytes);
	return m->is_settled ? 0 : remember_unsettled(p, id);
}

static int start_process(struct mst_replay *p, uint32_t id, uint64_t event)
{
	struct image *m = &p->images[id];
	m->base = p->last_alloc + 1;
	return p->opt.keep_copies && m->is_forked ? mst_copies_fork(&p->copies, id, event, m->base) : 0;
}

static int pass_lifetimes(struct mst_replay *p, uint64_t event)
{
	struct mst_lifetime change;
	int rc = 0;
	while (rc == 0 && mst_lifetimes_next(&p->lifetimes, event, &change) > 0) {
		if (change.is_end) {
			mst_copies_end(&p->copies, change.process);
			rc = end_process(p, change.process);
		} else {
			rc = start_process(p, change.process, change.event);
		}
	}
	return rc;
}

static void settle_block(struct mst_replay *p, const struct mst_live *b)
{
	mst_account_gone(&p->stacks.hot[b->site], &p->stacks.rest[b->site], p->n_peaks, 1, b->size);
}

/* Settles one image by looking up every ordinal it can have acquired; the sooner done the fewer those are. */
static void settle_by_ordinals(struct mst_replay *p, struct image *m)
{
	uint64_t left = m->a.live_blocks;
	for (uint64_t alloc = m->first_alloc; left > 0 && alloc <= m->last_alloc; alloc++) {
		uint32_t *link = mst_liveset_find(&p->live, alloc);
		if (!link || image_of(p, p->live.pool[*link].thread) != m)
			continue;
		settle_block(p, &p->live.pool[*link]);
		left--;
	}
	m->is_settled = true;
}

/* Settles all that are left in one walk over the live set. */
static void settle_by_walk(struct mst_replay *p)
{
	for (uint32_t i = 0; i < p->live.n_slots; i++) {
		const struct mst_live *b = &p->live.pool[i];
		if (b->alloc == 0)
			continue;
		const struct image *m = image_of(p, b->thread);
		if (m->is_ended && !m->is_settled)
			settle_block(p, b);
	}
	for (size_t i = 0; i < p->n_unsettled; i++)
		p->images[p->unsettled[i]].is_settled = true;
}

/* Brings the stacks' gone parts up to date, because a new peak is about to be taken. */
static void settle(struct mst_replay *p)
{
	bool is_done = true;
	for (size_t i = 0; i < p->n_unsettled; i++) {
		struct image *m = &p->images[p->unsettled[i]];
		if (m->last_alloc - m->first_alloc < p->live.n_slots / 2)
			settle_by_ordinals(p, m);
		is_done &= m->is_settled;
	}
	if (!is_done)
		settle_by_walk(p);
	p->n_unsettled = 0;
}

/* ---- events -------------------------------------------------------------------------------------------- */

static inline void take_peak(struct mst_replay *p, const struct mst_event *ev)
{
	if (p->n_unsettled)
		settle(p);
	p->peak_bytes = now_bytes(p);
	p->peak_event = ev->number;
	p->peak_time_ns = ev->time_ns;
	p->n_peaks++;
}

/* A block of an image that has ended came (sign 1) or went (-1 modulo 2^64). Only late events do this. */
static void book_posthumous(
	struct mst_replay *p, struct image *m, uint32_t site, uint64_t sign, uint64_t size)
{
	mst_account_gone(&p->total, &p->total_rest, p->n_peaks, sign, sign * size);
	mst_account_gone(&m->a, &m->rest, p->n_peaks, sign, sign * size);
	if (p->opt.by_stack && m->is_settled) /* else settle() is still to see the block, or its absence */
		mst_account_gone(&p->stacks.hot[site], &p->stacks.rest[site], p->n_peaks, sign, sign * size);
}

static void describe_block(const struct mst_replay *p, const struct mst_live *b, struct mst_block *out)
{
	*out = (struct mst_block){
		.alloc = b->alloc,
		.addr = b->addr,
		.size = b->size,
		.time_ns = b->time_ns,
		.stack = p->opt.by_stack ? p->stacks.stack_of[b->site] : b->site,
		.thread = b->thread,
		.process = p->runners[b->thread].process,
		.align = b->align_bits ? UINT32_C(1) << (b->align_bits - 1) : 0,
		.op = b->op,
	};
}

static uint8_t bits_of(uint32_t align)
{
	unsigned bits = 0;
	while (bits < 32 && UINT32_C(1) << bits < align)
		bits++;
	return (uint8_t)(align == 0 ? 0 : bits < 32 ? bits + 1 : 32);
}

/* A live block leaves the live set: one free in the accounts of its owner. */
static inline void drop_block(struct mst_replay *p, uint32_t *link, bool is_temporary)
{
	const struct mst_live *b = &p->live.pool[*link];
	struct image *owner = image_of(p, b->thread);
	if (owner->is_counted) {
		uint64_t peak = p->n_peaks;
		mst_account_free(&p->total, &p->total_rest, peak, b->size, is_temporary);
		mst_account_free(&owner->a, &owner->rest, peak, b->size, is_temporary);
		if (p->opt.by_stack)
			mst_account_free(&p->stacks.hot[b->site], &p->stacks.rest[b->site], peak, b->size,
				is_temporary);
		if (owner->is_ended)
			book_posthumous(p, owner, b->site, (uint64_t)-1, b->size);
	}
	mst_liveset_remove(&p->live, link);
}

/* The accounts of a call by an image at a stack, as far as no block is concerned. Their number, or negative. */
static int rests_of(struct mst_replay *p, struct image *m, uint32_t stack, struct mst_account_rest *rests[3])
{
	uint32_t site;
	int rc = find_site(p, stack, &site);
	if (rc < 0)
		return rc;
	rests[0] = &p->total_rest;
	rests[1] = &m->rest;
	rests[2] = p->opt.by_stack ? &p->stacks.rest[site] : NULL;
	return rests[2] ? 3 : 2;
}

/* A release that leaves the live set as it is: of a block never seen, or of a forked child's copy. */
static int release_stray(
	struct mst_replay *p, const struct mst_event *ev, struct image *m, struct outcome *out)
{
	bool is_inherited = m->is_forked && ev->freed && ev->freed < m->base;
	const struct mst_live *copy = is_inherited && !out->freed ? mst_copies_find(&p->copies, ev->freed) : NULL;
	out->flags |= is_inherited ? MST_EV_INHERITED : MST_EV_FOREIGN;
	if (copy) {
		out->addr = copy->addr;
		out->size = copy->size;
		out->freed = copy->alloc;
	}
	if (!m->is_counted)
		return 0;
	struct mst_account_rest *rests[3];
	int n = rests_of(p, m, ev->stack, rests);
	for (int i = 0; i < n; i++)
		rests[i]->strays++;
	*(is_inherited ? &p->inherited : &p->foreign) += n > 0;
	return n < 0 ? n : 0;
}

static inline int release(
	struct mst_replay *p, const struct mst_event *ev, uint32_t thread, struct outcome *out)
{
	struct image *m = image_of(p, thread);
	uint32_t *link = ev->freed ? mst_liveset_find(&p->live, ev->freed) : NULL;
	if (!link)
		return release_stray(p, ev, m, out);
	const struct mst_live *b = &p->live.pool[*link];
	out->addr = b->addr;
	out->size = b->size;
	out->freed = b->alloc;
	const struct image *owner = image_of(p, b->thread);
	/* An unknown process is taken for the owner: its entry was in a lost frame. */
	if (owner != m && owner != p->images && m != p->images)
		return release_stray(p, ev, m, out);
	if (p->opt.released && owner->is_counted) {
		struct mst_block block;
		describe_block(p, b, &block);
		p->opt.released(p->opt.released_ctx, ev, &block);
	}
	int rc = b->alloc < p->copies.below ? mst_copies_keep(&p->copies, b, ev->number) : 0;
	drop_block(p, link, p->runners[thread].last_alloc == ev->freed);
	return rc;
}

/* Ordinals only rise: a repeated one is a finding, and its block replaces the earlier. */
static void drop_repeated(struct mst_replay *p, uint64_t alloc)
{
	uint32_t *link = mst_liveset_find(&p->live, alloc);
	if (!link)
		return;
	p->foreign++;
	drop_block(p, link, false);
}

/* Makes a block live, not yet counted; site and thread are the replay's. Returns the image that has it, NULL without
 * memory. */
static inline struct image *enter_block(
	struct mst_replay *p, const struct mst_block *block, uint32_t site, uint32_t thread)
{
	struct mst_live *b = mst_liveset_insert(&p->live, block->alloc);
	struct image *m = image_of(p, thread);
	if (!b)
		return NULL;
	b->addr = block->addr;
	b->size = block->size;
	b->time_ns = block->time_ns;
	b->site = site;
	b->thread = thread;
	b->op = block->op;
	b->align_bits = bits_of(block->align);
	if (m->first_alloc == 0 || block->alloc < m->first_alloc)
		m->first_alloc = block->alloc;
	if (block->alloc > m->last_alloc)
		m->last_alloc = block->alloc;
	return m;
}

static inline void book_block(
	struct mst_replay *p, struct image *m, const struct mst_event *ev, uint32_t site)
{
	uint64_t peak = p->n_peaks;
	mst_account_alloc(&p->total, &p->total_rest, peak, ev->size);
	mst_account_alloc(&m->a, &m->rest, peak, ev->size);
	if (p->opt.by_stack)
		mst_account_alloc(&p->stacks.hot[site], &p->stacks.rest[site], peak, ev->size);
	if (m->is_ended)
		book_posthumous(p, m, site, 1, ev->size);
	if (now_bytes(p) > p->peak_bytes)
		take_peak(p, ev);
}

static inline int acquire(struct mst_replay *p, const struct mst_event *ev, uint32_t thread)
{
	uint32_t site;
	int rc = find_site(p, ev->stack, &site);
	if (rc < 0)
		return rc;
	if (ev->alloc > p->last_alloc)
		p->last_alloc = ev->alloc;
	else
		drop_repeated(p, ev->alloc);
	struct image *m = enter_block(p,
		&(struct mst_block){
			.alloc = ev->alloc,
			.addr = ev->addr,
			.size = ev->size,
			.time_ns = ev->time_ns,
			.align = ev->align,
			.op = ev->op,
		},
		site, thread);
	if (!m)
		return MST_ENOMEM;
	if (m->is_counted)
		book_block(p, m, ev, site);
	return 0;
}

static int book_failure(struct mst_replay *p, const struct mst_event *ev, struct image *m)
{
	if (!m->is_counted)
		return 0;
	struct mst_account_rest *rests[3];
	int n = rests_of(p, m, ev->stack, rests);
	for (int i = 0; i < n; i++)
		rests[i]->failed++;
	return n < 0 ? n : 0;
}

/* Is an event whose op releases, but which names no ordinal, a release? realloc(NULL, n) is not. */
static inline bool is_release_of_unknown(const struct mst_event *ev)
{
	if (ev->op != MST_OP_REALLOC && ev->op != MST_OP_REALLOCARRAY && ev->op != MST_OP_POOL_REALLOC)
		return true;
	return ev->old_addr || ev->flags & MST_EV_FOREIGN;
}

/* The two halves of a split realloc: the END names what its BEGIN released. */
static inline void join_halves(struct runner *t, const struct mst_event *ev, struct outcome *out)
{
	if (ev->op == MST_OP_REALLOC_BEGIN) {
		t->begun_alloc = out->freed;
		t->begun_addr = out->addr ? out->addr : ev->addr;
	} else if (ev->op == MST_OP_REALLOC_END) {
		out->freed = t->begun_alloc;
		out->addr = t->begun_addr;
	}
}

/* An event that belongs to the layer which this replay counts. */
static inline int apply_own(struct mst_replay *p, const struct mst_event *ev, uint32_t thread, struct outcome *out)
{
	int rc = 0;
	if (ev->flags & MST_EV_FAILED) {
		p->runners[thread].last_alloc = 0;
		return book_failure(p, ev, image_of(p, thread));
	}
	if (p->release_ops >> (ev->op & 63u) & 1 && (ev->freed || is_release_of_unknown(ev)))
		rc = release(p, ev, thread, out);
	if (rc == 0 && ev->alloc)
		rc = acquire(p, ev, thread);
	p->runners[thread].last_alloc = ev->alloc;
	join_halves(&p->runners[thread], ev, out);
	return rc;
}

/* Is it the pool that is asked for? Its name stands in a table before the first event that uses it. */
static bool is_own_pool(struct mst_replay *p, uint32_t pool)
{
	size_t len;
	if (p->pool || !pool)
		return pool && pool == p->pool;
	const char *name = mst_reader_string(p->reader, pool, &len);
	if (!name || len != strlen(p->opt.only_pool) || memcmp(name, p->opt.only_pool, len) != 0)
		return false;
	p->pool = pool;
	return true;
}

/* Does the event, of whatever layer, say something to a replay of a pool? Then *own is what a heap call would say. */
static bool take_pool_call(struct mst_replay *p, const struct mst_event *ev, struct mst_event *own)
{
	const struct mst_pool_call *call = mst_op_pools(ev->op) ? mst_reader_pool_call(p->reader, ev) : NULL;
	if (!call || !is_own_pool(p, call->pool))
		return false;
	*own = *ev;
	own->alloc = call->alloc;
	own->freed = call->freed;
	return true;
}

static inline int apply(struct mst_replay *p, const struct mst_event *ev, struct outcome *out)
{
	int rc = ev->number >= p->lifetimes.next_event ? pass_lifetimes(p, ev->number) : 0;
	uint32_t thread = 0;
	struct mst_event own;
	if (p->opt.only_pool) {
		if (!take_pool_call(p, ev, &own))
			return rc;
		ev = &own;
	}
	if (rc == 0)
		rc = find_thread(p, ev->thread, &thread);
	if (rc < 0 || (!mst_op_is_heap(ev->op) && !p->opt.only_pool))
		return rc;
	return apply_own(p, ev, thread, out);
}

/* ---- a checkpoint ---------------------------------------------------------------------------------------- */

/* A block that was acquired before the first event there is. */
static int adopt_block(void *ctx, const struct mst_block *b)
{
	struct mst_replay *p = ctx;
	uint32_t thread, site;
	int rc = find_thread(p, b->thread, &thread);
	if (rc == 0)
		rc = find_site(p, b->stack, &site);
	if (rc < 0)
		return rc;
	struct image *m = enter_block(p, b, site, thread);
	if (!m)
		return MST_ENOMEM;
	if (!m->is_counted)
		return 0;
	mst_account_adopt(&p->total, &p->total_rest, b->size);
	mst_account_adopt(&m->a, &m->rest, b->size);
	if (p->opt.by_stack)
		mst_account_adopt(&p->stacks.hot[site], &p->stacks.rest[site], b->size);
	return 0;
}

/* What the checkpoint says of the pool that is asked for, NULL: nothing. */
static const struct mst_checkpoint *find_pool_checkpoint(struct mst_replay *p)
{
	const struct mst_checkpoint *c;
	uint32_t pool;
	for (size_t i = 0; (c = mst_reader_pool_checkpoint(p->reader, i, &pool)); i++)
		if (is_own_pool(p, pool))
			return c;
	return NULL;
}

/* Before the first event: what lived at the checkpoint, if the trace begins with one. Peaks are taken only when all
 * blocks are there and processes that had ended are known to have. */
static int begin(struct mst_replay *p)
{
	const struct mst_checkpoint *c =
		p->opt.only_pool ? find_pool_checkpoint(p) : mst_reader_checkpoint(p->reader);
	p->has_begun = true;
	if (!c)
		return 0;
	int rc = p->opt.only_pool ? mst_reader_each_pool_block(p->reader, p->pool, adopt_block, p)
				  : mst_reader_each_checkpoint_block(p->reader, adopt_block, p);
	if (rc < 0)
		return rc;
	p->last_alloc = c->next_alloc - 1;
	rc = pass_lifetimes(p, c->event);
	if (rc == 0 && now_bytes(p) > 0)
		take_peak(p, &(struct mst_event){.number = c->event ? c->event - 1 : 0, .time_ns = c->time_ns});
	return rc;
}

/* What the reader has learnt since the last time. */
static inline int look_at_reader(struct mst_replay *p)
{
	int rc = look_at_processes(p);
	return rc == 0 && !p->has_begun ? begin(p) : rc;
}

/* Memory latency is most of the work: each event's lines are fetched in three steps, some events ahead, every
 * step reading what the one before it has fetched. */
static inline void look_ahead(const struct mst_replay *p, const struct mst_event *events, size_t n, size_t i)
{
	const struct mst_liveset *s = &p->live;
	const struct mst_stack_accounts *a = &p->stacks;
	if (i + 3 * LOOK_AHEAD >= n)
		return;
	const struct mst_event *far = &events[i + 3 * LOOK_AHEAD];
	if (far->freed)
		__builtin_prefetch(&s->heads[mst_liveset_home(s, far->freed)], 1);
	if (far->alloc && far->stack && far->stack < a->n_stacks)
		__builtin_prefetch(&a->index_of[far->stack]);

	const struct mst_event *mid = &events[i + 2 * LOOK_AHEAD];
	uint32_t slot = mid->freed ? s->heads[mst_liveset_home(s, mid->freed)] : MST_NO_SLOT;
	if (slot != MST_NO_SLOT)
		__builtin_prefetch(&s->pool[slot], 1);
	if (!p->opt.by_stack)
		return;
	if (mid->alloc && mid->stack && mid->stack < a->n_stacks)
		mst_stack_accounts_prefetch(a, a->index_of[mid->stack]);

	const struct mst_event *near = &events[i + LOOK_AHEAD];
	slot = near->freed ? s->heads[mst_liveset_home(s, near->freed)] : MST_NO_SLOT;
	if (slot != MST_NO_SLOT)
		mst_stack_accounts_prefetch(a, s->pool[slot].site);
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

static int set_up(struct mst_replay *p)
{
	mst_lifetimes_init(&p->lifetimes);
	int rc = mst_liveset_init(&p->live);
	if (rc == 0)
		rc = mst_grow32(&p->runners, &p->n_runners, 1, sizeof *p->runners);
	if (rc == 0)
		rc = mst_grow32(&p->images, &p->cap_images, 1, sizeof *p->images);
	if (rc == 0 && p->opt.by_stack)
		rc = mst_stack_accounts_init(&p->stacks);
	if (rc < 0)
		return rc;
	p->n_images = 1;
	p->images[0].is_counted = is_counted(p, 0, NULL);
	return 0;
}

int mst_replay_new(const struct mst_reader *r, const struct mst_replay_options *opt, struct mst_replay **out)
{
	struct mst_replay *p = calloc(1, sizeof *p);
	if (!p)
		return MST_ENOMEM;
	p->reader = r;
	if (opt)
		p->opt = *opt;
	p->release_ops = set_of_releases() | UINT64_C(1) << MST_OP_POOL_FREE | UINT64_C(1) << MST_OP_POOL_REALLOC |
		UINT64_C(1) << MST_OP_POOL_REALLOC_FREE;
	int rc = set_up(p);
	if (rc < 0)
		mst_replay_free(p);
	else
		*out = p;
	return rc;
}

void mst_replay_free(struct mst_replay *p)
{
	if (!p)
		return;
	mst_liveset_release(&p->live);
	mst_copies_release(&p->copies);
	mst_stack_accounts_release(&p->stacks);
	mst_lifetimes_release(&p->lifetimes);
	free(p->images);
	free(p->runners);
	free(p->unsettled);
	free(p);
}

int mst_replay_apply(struct mst_replay *p, struct mst_event *ev)
{
	struct outcome out = {0};
	int rc = look_at_reader(p);
	if (rc == 0)
		rc = apply(p, ev, &out);
	if (rc < 0)
		return rc;
	ev->flags |= out.flags;
	if (p->opt.only_pool)
		return 0;
	if (out.freed && !ev->freed)
		ev->freed = out.freed;
	if (ev->alloc) {
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
	int rc = look_at_reader(p);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct outcome out = {0};
		look_ahead(p, events, n, i);
		rc = apply(p, &events[i], &out);
	}
	return rc;
}

/* A replay that can be asked is not const inside: counters are brought up to date for whoever asks. */
static struct mst_replay *inside(const struct mst_replay *p)
{
	return (struct mst_replay *)(uintptr_t)p;
}

const struct mst_counters *mst_replay_totals(const struct mst_replay *p)
{
	return mst_account_show(&inside(p)->total, &inside(p)->total_rest, p->n_peaks);
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
	return now_bytes(p);
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
	return p->stacks.n_stacks;
}

static const struct mst_counters no_counters;

const struct mst_counters *mst_replay_stack(const struct mst_replay *p, uint32_t stack)
{
	const struct mst_stack_accounts *s = &p->stacks;
	if (stack >= s->n_stacks || (stack != MST_STACK_NONE && s->index_of[stack] == 0))
		return &no_counters;
	uint32_t i = stack == MST_STACK_NONE ? 0 : s->index_of[stack];
	return mst_account_show(&s->hot[i], &s->rest[i], p->n_peaks);
}

const struct mst_counters *mst_replay_process(const struct mst_replay *p, uint32_t process)
{
	if (process >= p->n_images)
		return &no_counters;
	return mst_account_show(&p->images[process].a, &p->images[process].rest, p->n_peaks);
}

int mst_replay_each_live(
	const struct mst_replay *p, int (*visit)(void *ctx, const struct mst_block *), void *ctx)
{
	struct mst_aged *order = mst_liveset_by_age(&p->live);
	if (!order)
		return MST_ENOMEM;
	int rc = 0;
	for (uint32_t i = 0; i < p->live.n_live && rc == 0; i++) {
		const struct mst_live *live = &p->live.pool[order[i].slot];
		struct mst_block b;
		if (!image_of(p, live->thread)->is_counted)
			continue;
		describe_block(p, live, &b);
		rc = visit(ctx, &b);
	}
	free(order);
	return rc;
}

/* arena.h - both ends of the shared arena: how a thread publishes units and how msrecord takes them out.
 *
 *	slot.committed = (chunk C, bytes n)                    cursor = (chunk A, bytes p)
 *	         |                                                      |
 *	chunk A  [u u u u u u u u|used]--next-->  chunk B [u u u u|used]--next-->  chunk C [u u u n......]
 *	              ^p                                                                          ^published
 *
 * One thread writes a chunk, msrecord alone reads it, and msrecord alone gives it back. A unit never
 * straddles two chunks, so every span a cursor yields is a run of whole units.
 *
 * Memory order, argued once:
 *  1. A unit's words, and the header words (owner, seq, used, next) that lead to it, are written before the
 *     release store of slot.committed. Whoever loads that value with acquire sees them all, and none of them
 *     is written again before the reader gives the chunk back. So unit words may be plain memory on both
 *     ends.
 *  2. A chunk given back (owner 0, stored with release) was read before that; the writer that claims it (CAS of
 *     owner with acquire) writes after that. So reader and next writer never touch a chunk at the same time. The
 *     bitmap is but a hint where free chunks are.
 *  3. intent is stored before the stamp is taken and cleared, with release, after committed. A reader takes
 *     the time T first, then intent, then committed (both acquire). intent == 0: either no stamp was being
 *     taken, so any later one is >= T (less the time a store may linger in the store buffer: the reader
 *     subtracts a guard or issues MEMBARRIER_CMD_GLOBAL_EXPEDITED first), or the unit was finished and the
 *     committed that is read after it includes it. intent != 0: one unit with a stamp > the last committed
 *     one may be on its way.
 *  4. A slot is claimed by a CAS of tid from 0 to the claimer's (acquire), filled, then state = LIVE
 *     (release). msrecord stores state = FREE, then tid = 0 (release), when the thread is gone and its chunks
 *     are drained. A slot with tid != 0 and state FREE is being claimed (or its claimer died on the way).
 * The kernel of it is one writer, one reader, one release store: no read-modify-write on the hot path, and a
 * process killed between any two instructions leaves each unit wholly published or not at all.
 *
 * The other side may be broken or hostile. A reader checks every index it follows; a writer keeps its
 * position in private memory and checks what else it reads, which at worst makes it drop.
 *
 * A handler may leave a hook by a jump, at any instruction. What is torn is found again by the slot's next hook, or by
 * msrecord when the thread ends: a link to a chunk without units, or slot.claiming, the name of a chunk whose owner the
 * slot has become without a link to it.
 *
 * Rejected: a ring per thread (memory times threads, wrap checks on each unit), per-CPU buffers with
 * reserve/commit counters (two atomics a unit, a dead writer blocks its buffer), a free list of chunks (one
 * stray write tangles it), claims in the bitmap (a bit does not tell whose it is after a jump). */
#ifndef MS_ARENA_H
#define MS_ARENA_H

#include "wire.h"

#include <stdbool.h>

/* A mapped segment. Private memory of whoever mapped it; the limits are copies, checked once. */
struct ms_segment {
	struct ms_control *control;
	struct ms_slot *slots;
	_Atomic uint64_t *bitmap; /* bit set = chunk in use, as a rule */
	struct ms_chunk_header *headers;
	unsigned char *chunks;
	uint32_t n_chunks, n_slots; /* <= MS_MAX_CHUNKS, MS_MAX_SLOTS */
	uint32_t backlog;	    /* chunks beyond one per live slot that may be in use */
};

/* Describes the MS_SEGMENT_SIZE bytes at base. False: the control page is not of this ABI or its limits are
 * absurd. */
static inline bool ms_segment_view(struct ms_segment *seg, void *base)
{
	unsigned char *b = base;
	seg->control = base;
	seg->slots = (void *)(b + MS_OFF_SLOTS);
	seg->bitmap = (void *)(b + MS_OFF_BITMAP);
	seg->headers = (void *)(b + MS_OFF_HEADERS);
	seg->chunks = b + MS_OFF_CHUNKS;
	seg->n_chunks = seg->control->n_chunks;
	seg->n_slots = seg->control->n_slots;
	seg->backlog = seg->control->backlog;
	return seg->control->magic == MS_WIRE_MAGIC && seg->control->abi == MS_WIRE_ABI &&
	       seg->control->size == sizeof(struct ms_control) && seg->n_chunks > 0 &&
	       seg->n_chunks <= MS_MAX_CHUNKS && seg->n_slots > 0 && seg->n_slots <= MS_MAX_SLOTS &&
	       seg->backlog <= MS_MAX_CHUNKS;
}

static inline unsigned char *ms_chunk_bytes(const struct ms_segment *seg, uint32_t chunk)
{
	return seg->chunks + (size_t)chunk * MS_CHUNK_SIZE;
}

#define MS_COMMITTED(chunk, bytes) ((uint64_t)(chunk) << 32 | (uint32_t)(bytes))
#define MS_COMMITTED_CHUNK(c) ((uint32_t)((c) >> 32))
#define MS_COMMITTED_BYTES(c) ((uint32_t)(c))

/* ---- chunks: claimed by writers, given back by msrecord ---- */

static inline bool ms_chunk_is_of(const struct ms_segment *seg, uint32_t chunk, uint32_t slot)
{
	return chunk < seg->n_chunks &&
	       atomic_load_explicit(&seg->headers[chunk].owner, memory_order_relaxed) == slot + 1;
}

/* Gives a chunk back. One that is nobody's already (scribbled on) is left alone. */
static inline void ms_chunk_release(const struct ms_segment *seg, uint32_t chunk)
{
	atomic_fetch_and_explicit(&seg->bitmap[chunk / 64], ~(1ull << chunk % 64), memory_order_relaxed);
	if (atomic_exchange_explicit(&seg->headers[chunk].owner, 0, memory_order_release))
		atomic_fetch_sub_explicit(&seg->control->chunks_in_use, 1, memory_order_relaxed);
}

/* ---- the writing end: a thread and its slot ---- */

/* Where a thread writes. Private memory of the thread that owns the slot. */
struct ms_writer {
	uint64_t *pos, *end; /* next free word of the chunk and the chunk's end; both NULL: no chunk yet */
	uint64_t bias;	     /* committed = bias + address of the first word not published */
	struct ms_slot *slot;
	uint32_t chunk; /* written to; MS_NO_CHUNK: none yet */
	uint32_t index; /* of the slot */
};

/* Claims the lowest free slot for thread tid (> 0) and makes *w its writer. False: every slot is taken. The
 * caller's thread must not have a slot; the slot stays with it until msrecord sees that the thread is
 * gone. */
static inline bool ms_slot_claim(
	const struct ms_segment *seg, struct ms_writer *w, uint32_t tid, uint64_t stamp)
{
	for (uint32_t i = 0; i < seg->n_slots; i++) {
		struct ms_slot *s = &seg->slots[i];
		uint32_t nobody = 0;
		if (atomic_load_explicit(&s->tid, memory_order_relaxed) != 0 ||
			!atomic_compare_exchange_strong_explicit(
				&s->tid, &nobody, tid, memory_order_acquire, memory_order_relaxed))
			continue;
		*w = (struct ms_writer){.slot = s, .chunk = MS_NO_CHUNK, .index = i};
		atomic_store_explicit(&s->committed, MS_COMMITTED(MS_NO_CHUNK, 0), memory_order_relaxed);
		atomic_store_explicit(&s->intent, 0, memory_order_relaxed);
		atomic_store_explicit(&s->claiming, MS_NO_CHUNK, memory_order_relaxed);
		atomic_store_explicit(&s->first_chunk, MS_NO_CHUNK, memory_order_relaxed);
		atomic_store_explicit(&s->aside, 0, memory_order_relaxed);
		atomic_store_explicit(&s->lost_events, 0, memory_order_relaxed);
		atomic_store_explicit(&s->lost_bytes, 0, memory_order_relaxed);
		atomic_store_explicit(&s->stall_ns, 0, memory_order_relaxed);
		atomic_store_explicit(&s->hook_ticks, 0, memory_order_relaxed);
		atomic_store_explicit(&s->hooks_timed, 0, memory_order_relaxed);
		atomic_store_explicit(&s->start_stamp, stamp, memory_order_relaxed);
		atomic_fetch_add_explicit(&s->tenancy, 1, memory_order_relaxed);
		atomic_store_explicit(&s->state, MS_SLOT_LIVE, memory_order_release);
		atomic_fetch_add_explicit(&seg->control->live_slots, 1, memory_order_relaxed);
		uint32_t high = atomic_load_explicit(&seg->control->slots_high, memory_order_relaxed);
		while (high <= i && !atomic_compare_exchange_weak_explicit(&seg->control->slots_high, &high,
					    i + 1, memory_order_release, memory_order_relaxed))
			;
		return true;
	}
	return false;
}

/* True if `words` more words fit into the writer's chunk. */
static inline bool ms_writer_fits(const struct ms_writer *w, size_t words)
{
	return (size_t)(w->end - w->pos) >= words;
}

/* Puts the writer at byte `pos` of a chunk that is its own. */
static inline void ms_writer_enter(
	const struct ms_segment *seg, struct ms_writer *w, uint32_t chunk, uint32_t pos)
{
	unsigned char *base = ms_chunk_bytes(seg, chunk);
	w->chunk = chunk;
	w->pos = (uint64_t *)(void *)(base + pos);
	w->end = (uint64_t *)(void *)(base + MS_CHUNK_SIZE);
	w->bias = MS_COMMITTED(chunk, 0) - (uintptr_t)base;
}

/* Makes the writer's slot the owner of a chunk. False: it has one. */
static inline bool ms_chunk_take(const struct ms_segment *seg, const struct ms_writer *w, uint32_t chunk)
{
	uint32_t nobody = 0;
	atomic_store_explicit(&w->slot->claiming, chunk, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (!atomic_compare_exchange_strong_explicit(&seg->headers[chunk].owner, &nobody, w->index + 1,
		    memory_order_acquire, memory_order_relaxed))
		return false;
	atomic_fetch_or_explicit(&seg->bitmap[chunk / 64], 1ull << chunk % 64, memory_order_relaxed);
	return true;
}

/* Claims the lowest free chunk (so that few pages are ever touched); MS_NO_CHUNK if the backlog is full. */
static inline uint32_t ms_chunk_claim(const struct ms_segment *seg, const struct ms_writer *w)
{
	struct ms_control *ctl = seg->control;
	uint32_t limit = seg->backlog + atomic_load_explicit(&ctl->live_slots, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&ctl->chunks_in_use, 1, memory_order_relaxed) >= limit)
		goto full;
	for (uint32_t first = 0; first < seg->n_chunks; first += 64) {
		uint64_t free = ~atomic_load_explicit(&seg->bitmap[first / 64], memory_order_relaxed);
		for (; free; free &= free - 1) {
			uint32_t chunk = first + (uint32_t)__builtin_ctzll(free);
			if (chunk >= seg->n_chunks)
				goto full;
			if (ms_chunk_take(seg, w, chunk))
				return chunk;
		}
	}
full:
	atomic_fetch_sub_explicit(&ctl->chunks_in_use, 1, memory_order_relaxed);
	return MS_NO_CHUNK;
}

/* The next chunk. One that the slot has already, since ms_writer_advance was left by a jump: behind `link`, the last
 * word of the chain, or not linked yet; else a claimed one. */
static inline uint32_t ms_writer_next_chunk(
	const struct ms_segment *seg, const struct ms_writer *w, _Atomic uint32_t *link, uint32_t seq)
{
	uint32_t left = atomic_load_explicit(link, memory_order_relaxed);
	uint32_t torn = atomic_load_explicit(&w->slot->claiming, memory_order_relaxed);
	if (ms_chunk_is_of(seg, left, w->index) &&
		atomic_load_explicit(&seg->headers[left].seq, memory_order_relaxed) == seq)
		return left;
	return ms_chunk_is_of(seg, torn, w->index) ? torn : ms_chunk_claim(seg, w);
}

/* Goes on to a fresh chunk. False: none may be claimed now; the writer is unchanged. */
static inline bool ms_writer_advance(const struct ms_segment *seg, struct ms_writer *w)
{
	_Atomic uint32_t *link = &w->slot->first_chunk;
	uint32_t seq = 0;
	if (w->chunk != MS_NO_CHUNK) {
		struct ms_chunk_header *old = &seg->headers[w->chunk];
		link = &old->next;
		seq = atomic_load_explicit(&old->seq, memory_order_relaxed) + 1;
		atomic_store_explicit(
			&old->used, MS_COMMITTED_BYTES(w->bias + (uintptr_t)w->pos), memory_order_relaxed);
	}
	uint32_t fresh = ms_writer_next_chunk(seg, w, link, seq);
	if (fresh == MS_NO_CHUNK)
		return false;
	struct ms_chunk_header *h = &seg->headers[fresh];
	atomic_store_explicit(&h->seq, seq, memory_order_relaxed);
	atomic_store_explicit(&h->used, 0, memory_order_relaxed);
	atomic_store_explicit(&h->next, MS_NO_CHUNK, memory_order_relaxed);
	atomic_store_explicit(link, fresh, memory_order_release);
	atomic_store_explicit(&w->slot->claiming, MS_NO_CHUNK, memory_order_relaxed);
	ms_writer_enter(seg, w, fresh, 0);
	return true;
}

/* After a jump out of any of the above: back to the last word published. */
static inline void ms_writer_recover(const struct ms_segment *seg, struct ms_writer *w)
{
	uint64_t committed = atomic_load_explicit(&w->slot->committed, memory_order_relaxed);
	uint32_t chunk = MS_COMMITTED_CHUNK(committed), bytes = MS_COMMITTED_BYTES(committed);
	if (chunk < seg->n_chunks && bytes <= MS_CHUNK_SIZE && bytes % 8 == 0) {
		ms_writer_enter(seg, w, chunk, bytes);
	} else {
		w->chunk = MS_NO_CHUNK;
		w->pos = w->end = NULL;
	}
}

/* Says that a stamp is about to be taken. The compiler barrier keeps the stamp's instruction after the
 * store. */
static inline void ms_writer_intend(const struct ms_writer *w)
{
	atomic_store_explicit(&w->slot->intent, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void ms_writer_idle(const struct ms_writer *w)
{
	atomic_store_explicit(&w->slot->intent, 0, memory_order_release);
}

/* Publishes the words from w->pos to unit_end. They are in the trace from this store on, whatever happens. */
static inline void ms_writer_commit(struct ms_writer *w, uint64_t *unit_end)
{
	w->pos = unit_end;
	atomic_store_explicit(&w->slot->committed, w->bias + (uintptr_t)unit_end, memory_order_release);
}

/* ---- the reading end: msrecord ---- */

/* What a slot had published, and whether more was on its way, at one look (order argument 3). */
struct ms_look {
	uint64_t committed;
	bool busy;
};

static inline struct ms_look ms_slot_look(struct ms_slot *s)
{
	struct ms_look look;
	look.busy = atomic_load_explicit(&s->intent, memory_order_acquire) != 0;
	look.committed = atomic_load_explicit(&s->committed, memory_order_acquire);
	return look;
}

/* How far one tenancy of a slot has been read. */
struct ms_cursor {
	uint32_t slot;
	uint32_t chunk; /* being read, MS_NO_CHUNK before the first */
	uint32_t pos;	/* bytes of it that were handed out */
	uint32_t seq;
};

static inline struct ms_cursor ms_cursor_start(uint32_t slot)
{
	return (struct ms_cursor){.slot = slot, .chunk = MS_NO_CHUNK};
}

/* Is `chunk`, met as number `seq` of the cursor's chain, really that? */
static inline bool ms_cursor_may_enter(
	const struct ms_segment *seg, const struct ms_cursor *c, uint32_t chunk, uint32_t seq)
{
	return ms_chunk_is_of(seg, chunk, c->slot) &&
	       atomic_load_explicit(&seg->headers[chunk].seq, memory_order_relaxed) == seq;
}

/* The next run of units published up to `committed` (a value of ms_slot_look): 1 and *bytes, *len (multiples
 * of 8); 0 when all was handed out; -1 if the slot makes no sense: the caller quarantines it. The run is
 * valid until the next call, which gives back the chunks it has left behind; copy first if the bytes are to
 * be trusted twice, for a broken program may change them at any time. */
static inline int ms_cursor_next(const struct ms_segment *seg, struct ms_cursor *c, uint64_t committed,
	const unsigned char **bytes, uint32_t *len)
{
	uint32_t last = MS_COMMITTED_CHUNK(committed), last_bytes = MS_COMMITTED_BYTES(committed);
	if (last == MS_NO_CHUNK)
		return 0;
	if (c->chunk == MS_NO_CHUNK) {
		uint32_t first = atomic_load_explicit(&seg->slots[c->slot].first_chunk, memory_order_relaxed);
		if (!ms_cursor_may_enter(seg, c, first, 0))
			return -1;
		c->chunk = first;
	}
	for (uint32_t steps = 0; steps <= seg->n_chunks; steps++) {
		struct ms_chunk_header *h = &seg->headers[c->chunk];
		bool is_last = c->chunk == last;
		uint32_t end = is_last ? last_bytes : atomic_load_explicit(&h->used, memory_order_relaxed);
		if (end > MS_CHUNK_SIZE || end < c->pos || end % 8)
			return -1;
		if (end > c->pos) {
			*bytes = ms_chunk_bytes(seg, c->chunk) + c->pos;
			*len = end - c->pos;
			c->pos = end;
			return 1;
		}
		if (is_last)
			return 0;
		uint32_t next = atomic_load_explicit(&h->next, memory_order_relaxed);
		if (!ms_cursor_may_enter(seg, c, next, c->seq + 1))
			return -1;
		ms_chunk_release(seg, c->chunk);
		c->chunk = next;
		c->pos = 0;
		c->seq++;
	}
	return -1;
}

/* The chunk behind the one being read, if its writer has left it, too; else NULL. To be fetched, not to be believed. */
static inline const unsigned char *ms_cursor_ahead(
	const struct ms_segment *seg, const struct ms_cursor *c, uint64_t committed)
{
	uint32_t next = atomic_load_explicit(&seg->headers[c->chunk].next, memory_order_relaxed);
	return next < seg->n_chunks && next != MS_COMMITTED_CHUNK(committed) && c->chunk != MS_COMMITTED_CHUNK(committed)
		       ? ms_chunk_bytes(seg, next)
		       : NULL;
}

/* Gives a slot back once its thread is gone and ms_cursor_next has returned 0 (or -1: then the chunks that
 * can not be found stay lost). Also frees a slot whose claimer died before it was LIVE. */
static inline void ms_slot_release(const struct ms_segment *seg, struct ms_cursor *c)
{
	struct ms_slot *s = &seg->slots[c->slot];
	bool live = atomic_load_explicit(&s->state, memory_order_relaxed) == MS_SLOT_LIVE;
	uint32_t chunk = c->chunk;
	if (chunk == MS_NO_CHUNK && live) {
		chunk = atomic_load_explicit(&s->first_chunk, memory_order_relaxed);
		if (!ms_cursor_may_enter(seg, c, chunk, 0))
			chunk = MS_NO_CHUNK;
	}
	if (chunk != MS_NO_CHUNK) {
		/* A thread torn out of a hook may have linked a chunk that it never published into. */
		uint32_t next = atomic_load_explicit(&seg->headers[chunk].next, memory_order_acquire);
		if (ms_cursor_may_enter(seg, c, next, c->seq + 1))
			ms_chunk_release(seg, next);
		ms_chunk_release(seg, chunk);
	}
	uint32_t torn = atomic_load_explicit(&s->claiming, memory_order_relaxed);
	if (ms_chunk_is_of(seg, torn, c->slot))
		ms_chunk_release(seg, torn);
	if (live)
		atomic_fetch_sub_explicit(&seg->control->live_slots, 1, memory_order_relaxed);
	atomic_store_explicit(&s->first_chunk, MS_NO_CHUNK, memory_order_relaxed);
	atomic_store_explicit(&s->state, MS_SLOT_FREE, memory_order_relaxed);
	atomic_store_explicit(&s->tid, 0, memory_order_release);
}

/* A thread that leaves ms_chunk_claim by a jump may leave its count behind: too many of those, and no chunk could ever be
 * claimed. Takes back what is counted beyond the chunks held and one claim under way in each slot. For msrecord, which
 * alone gives chunks back. */
static inline void ms_chunks_recount(const struct ms_segment *seg)
{
	_Atomic uint32_t *counted = &seg->control->chunks_in_use;
	uint32_t n = atomic_load_explicit(counted, memory_order_seq_cst);
	uint32_t most = atomic_load_explicit(&seg->control->live_slots, memory_order_seq_cst);
	for (uint32_t w = 0; w * 64 < seg->n_chunks; w++)
		most += (uint32_t)__builtin_popcountll(atomic_load_explicit(&seg->bitmap[w], memory_order_seq_cst));
	if (n > most)
		atomic_fetch_sub_explicit(counted, n - most, memory_order_relaxed);
}

/* To be called after chunks or slots were given back: the new generation ends the wait of every blocked
 * writer. True: some thread waits, so FUTEX_WAKE control.free_gen (shared, not private). */
static inline bool ms_arena_freed(const struct ms_segment *seg)
{
	atomic_fetch_add_explicit(&seg->control->free_gen, 1, memory_order_seq_cst);
	return atomic_load_explicit(&seg->control->waiting, memory_order_seq_cst) != 0;
}

#endif

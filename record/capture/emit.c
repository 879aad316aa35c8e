/* Writing units. See emit.h for the order of things, thread.h for the guard, wire.h for the bytes. */
#include "emit.h"

#include "modules.h"
#include "rawcall.h"

#include <string.h>
#include <sys/prctl.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define COLD __attribute__((noinline, cold))
#define HOT __attribute__((hot))

enum { PUSH_ESCAPE = 255, BIG_SIZE_BITS = 48 };

/* ---- the guard ---- */

/* From here to guard_rest the thread's writer (or side buffer) is this hook's own. */
ALWAYS_INLINE void guard_record(uintptr_t guard)
{
	ms_tls.guard = guard | MS_GUARD_RECORDING;
	atomic_signal_fence(memory_order_seq_cst);
}

ALWAYS_INLINE void guard_rest(uintptr_t guard)
{
	atomic_signal_fence(memory_order_seq_cst);
	ms_tls.guard = guard;
}

/* ---- dropping, and finding room ---- */

static void count_lost(struct ms_thread *t, uint64_t events, uint64_t bytes)
{
	struct ms_lost *lost = &t->lost;
	lost->last_stamp = ms_session_stamp(MS_RELEASING);
	if (!lost->events)
		lost->first_stamp = lost->last_stamp;
	lost->events += events;
	lost->bytes += bytes;
	atomic_store_explicit(&t->writer.slot->lost_events, lost->events, memory_order_relaxed);
	atomic_store_explicit(&t->writer.slot->lost_bytes, lost->bytes, memory_order_relaxed);
	t->attention |= MS_ATTEND_LOSS;
	t->needs_whole_stack = true;
}

/* An event of a signal handler is in the thread's own memory, or not even there: msrecord counts it as lost unless it hears
 * more of it. */
static void count_aside(struct ms_thread *t)
{
	atomic_fetch_add_explicit(&t->writer.slot->aside, 1, memory_order_relaxed);
}

static void count_told(struct ms_thread *t, uint32_t n)
{
	atomic_fetch_sub_explicit(&t->writer.slot->aside, n, memory_order_relaxed);
}

void ms_emit_drop_aside(struct ms_thread *t)
{
	count_aside(t);
	atomic_fetch_add(&t->side.n_dropped, 1);
}

/* Half-way through each chunk the writer's room ends too early. Whoever comes to that end has the next call timed: a
 * call in a thousand or so, at no cost to the others, and not the one that touches a chunk's first page. */
enum { HALF_CHUNK_WORDS = MS_CHUNK_SIZE / 16, LONGEST_HOOK_TICKS = 1 << 18 };

/* True: that was not the chunk's real end, which it now is. */
static bool end_first_half(struct ms_writer *w)
{
	if (w->chunk == MS_NO_CHUNK)
		return false;
	uint64_t *end = (uint64_t *)(void *)(ms_chunk_bytes(&ms_session.segment, w->chunk) + MS_CHUNK_SIZE);
	bool was_early = w->end != end;
	w->end = end;
	return was_early;
}

/* Waits for chunks to be given back. Nothing else is under way then, no stamp and no half of a unit: handlers that come
 * meanwhile may publish what they and others have put aside, and wait as well. */
static enum ms_wait wait_for_chunks(struct ms_thread *t, struct ms_waiter *waiter)
{
	t->side.may_move = true;
	atomic_signal_fence(memory_order_seq_cst);
	enum ms_wait rc = ms_session_wait(waiter);
	atomic_signal_fence(memory_order_seq_cst);
	t->side.may_move = false;
	return rc;
}

static void count_stall(struct ms_thread *t, uint64_t start_ns)
{
	_Atomic uint64_t *stall_ns = &t->writer.slot->stall_ns;
	atomic_store_explicit(stall_ns,
		atomic_load_explicit(stall_ns, memory_order_relaxed) + ms_clock_monotonic_ns() - start_ns,
		memory_order_relaxed);
}

static COLD bool make_room(struct ms_thread *t, size_t words)
{
	if (end_first_half(&t->writer)) {
		t->attention |= MS_ATTEND_TIME;
		if (ms_writer_fits(&t->writer, words))
			return true;
	}
	struct ms_waiter waiter = {0};
	uint64_t start_ns = 0;
	bool is_fresh = false, has_room = false;
	ms_pause_notice();
	while (!has_room) {
		if (ms_session_is_over()) {
			ms_go_silent();
			break;
		}
		has_room = is_fresh = ms_writer_advance(&ms_session.segment, &t->writer);
		ms_session_nudge();
		if (has_room || !ms_session.is_blocking)
			break;
		if (!start_ns)
			start_ns = ms_clock_monotonic_ns();
		if (wait_for_chunks(t, &waiter) == MS_WAIT_GIVE_UP)
			break;
		has_room = ms_writer_fits(&t->writer, words); /* in a chunk that a handler has found */
	}
	if (start_ns)
		count_stall(t, start_ns);
	if (is_fresh && words < HALF_CHUNK_WORDS / 2)
		t->writer.end -= HALF_CHUNK_WORDS;
	return has_room;
}

ALWAYS_INLINE bool has_room(struct ms_thread *t, size_t words)
{
	return MS_LIKELY(ms_writer_fits(&t->writer, words)) || make_room(t, words);
}

/* ---- units that are no heap calls ---- */

static void move_side(struct ms_thread *t);

static bool fits_aside(const struct ms_side *side, size_t n)
{
	uint32_t i = atomic_load(&side->n);
	return i < MS_SIDE_UNITS && MS_SIDE_WORDS - side->start[i] >= n;
}

/* Room for a unit of n words of a handler's, for the interrupted hook to publish; or NULL. If that hook waits at rest, its
 * handler can as well do what it will do then, and wait as it does. */
static uint64_t *open_aside(struct ms_thread *t, size_t n)
{
	struct ms_side *side = &t->side;
	if (!fits_aside(side, n) && side->may_move) {
		move_side(t);
		side->may_move = true;
	}
	if (!fits_aside(side, n))
		return NULL;
	/* until it is published the watermark must not pass its stamp */
	ms_writer_intend(&t->writer);
	return side->words + side->start[atomic_load(&side->n)];
}

/* Room for a unit of n words, in the writer or the side buffer as the guard says; NULL if there is none. */
static uint64_t *open_unit(struct ms_thread *t, size_t n)
{
	if (ms_tls.guard & MS_GUARD_ASIDE)
		return open_aside(t, n);
	if (MS_UNLIKELY(atomic_load(&t->side.n) != 0)) /* they are older */
		move_side(t);
	if (!has_room(t, n))
		return NULL;
	ms_writer_intend(&t->writer);
	return t->writer.pos;
}

/* And not a note? */
static bool is_event(const uint64_t *unit)
{
	return MS_UNIT_KIND(*unit) < MS_U_MODULE;
}

static void close_unit(struct ms_thread *t, uint64_t *end)
{
	struct ms_side *side = &t->side;
	uint32_t i = atomic_load(&side->n);
	if (ms_tls.guard & MS_GUARD_ASIDE) {
		if (is_event(side->words + side->start[i]))
			count_aside(t);
		side->start[i + 1] = (uint32_t)(end - side->words);
		atomic_store(&side->n, i + 1);
	} else {
		ms_writer_commit(&t->writer, end);
		ms_writer_idle(&t->writer);
	}
}

ALWAYS_INLINE bool has_side(const struct ms_thread *t)
{
	return atomic_load_explicit(&t->side.n, memory_order_relaxed) != 0;
}

/* Has a handler come since the unit was stamped that is about to be published? Then that waits for what the handler has put
 * aside, and gets a stamp of its own again: the call it tells of has not returned, or not begun. */
ALWAYS_INLINE bool is_overtaken(const struct ms_thread *t)
{
	return MS_UNLIKELY(has_side(t));
}

static bool send_note(struct ms_thread *t, enum ms_unit_kind kind, const uint64_t *words, size_t n)
{
	uint64_t *u;
	do {
		u = open_unit(t, n + 1);
		if (!u)
			return false;
		u[0] = MS_UNIT_HEAD(kind, ms_session_stamp(MS_RELEASING));
		for (size_t i = 0; i < n; i++)
			u[i + 1] = words[i];
	} while (!(ms_tls.guard & MS_GUARD_ASIDE) && is_overtaken(t));
	close_unit(t, u + 1 + n);
	return true;
}

static bool send_module(struct ms_thread *t, const struct dl_find_object *found)
{
	uint64_t *u;
	size_t n;
	do {
		u = open_unit(t, ms_module_unit_room(found));
		if (!u)
			return false;
		n = ms_module_unit_write(found, ms_session_stamp(MS_RELEASING), u);
	} while (!(ms_tls.guard & MS_GUARD_ASIDE) && is_overtaken(t));
	close_unit(t, u + n);
	return true;
}

/* What handlers have put aside may get lost in the very sending: that stays to be told. */
static void send_loss(struct ms_thread *t)
{
	const struct ms_lost told = t->lost;
	uint64_t words[] = {told.events, told.bytes, told.first_stamp, told.last_stamp};
	if (!send_note(t, MS_U_LOSS, words, 4))
		return;
	t->lost.events -= told.events;
	t->lost.bytes -= told.bytes;
	t->lost.first_stamp = told.last_stamp;
	atomic_store_explicit(&t->writer.slot->lost_events, t->lost.events, memory_order_relaxed);
	atomic_store_explicit(&t->writer.slot->lost_bytes, t->lost.bytes, memory_order_relaxed);
	if (!t->lost.events)
		t->attention &= ~(uint32_t)MS_ATTEND_LOSS;
}

static void send_all_modules(struct ms_thread *t)
{
	struct dl_find_object found;
	for (uint32_t cursor = 0; ms_modules_next_loaded(&cursor, &found);) {
		if (!send_module(t, &found))
			return;
	}
	t->attention &= ~(uint32_t)MS_ATTEND_MODULES;
}

static COLD void attend(struct ms_thread *t)
{
	if (t->attention & MS_ATTEND_LOSS)
		send_loss(t);
	if (t->attention & MS_ATTEND_MODULES)
		send_all_modules(t);
}

void ms_emit_module(const struct dl_find_object *found)
{
	struct ms_thread *t = ms_tls.thread;
	ms_modules_remember(found);
	if (t && !send_module(t, found))
		t->attention |= MS_ATTEND_MODULES;
}

/* ---- heap calls ---- */

/* A stack as a unit carries it. */
struct shown {
	uint32_t keep, n_push;
	const struct ms_unwind_frame *frames; /* what is pushed, outermost first */
	const uintptr_t *ips;		      /* the same, if not NULL */
	unsigned flags;			      /* MS_UF_SAME, MS_UF_NO_STACK, MS_UF_CUT */
};

/* Where a hook was called from, from its frame. */
ALWAYS_INLINE struct ms_unwind_regs caller_of(uintptr_t frame)
{
	const uintptr_t *words = (const uintptr_t *)frame;
	return (struct ms_unwind_regs){words[1], frame + 2 * sizeof(*words), words[0]};
}

/* The whole stack that the unwinder remembers. */
static COLD struct shown whole_stack(struct ms_thread *t)
{
	return (struct shown){0, t->depth, t->unwind.frame, NULL, t->is_cut ? MS_UF_CUT : 0};
}

static struct shown shown_of(struct ms_thread *t, const struct ms_stack_diff *d)
{
	bool is_cut = d->flags != 0, is_same = d->n_push == 0 && d->keep == t->depth;
	t->depth = d->keep + d->n_push;
	if (t->needs_whole_stack || is_cut != t->is_cut) {
		t->is_cut = is_cut;
		return whole_stack(t);
	}
	if (is_same)
		return (struct shown){.flags = MS_UF_SAME};
	return (struct shown){d->keep, d->n_push, d->push, NULL, is_cut && d->keep == 0 ? MS_UF_CUT : 0};
}

/* Without a size, there is no word 2 unless the stack needs it. */
static bool is_short(const struct ms_event *ev, const struct shown *s)
{
	return ev->kind >= MS_CALL_FREE && ev->size == 0 && !(ev->flags & (MS_UF_FAILED | MS_UF_OLD)) &&
	       (s->flags & (MS_UF_SAME | MS_UF_NO_STACK));
}

static size_t unit_words(const struct ms_event *ev, const struct shown *s)
{
	size_t words = 2 + (size_t)s->n_push;
	words += !is_short(ev, s);
	words += s->n_push >= PUSH_ESCAPE;
	words += ev->size >> BIG_SIZE_BITS != 0;
	words += (ev->flags & MS_UF_OLD) != 0;
	words += (ev->flags & MS_UF_ALIGN) != 0;
	words += ev->more ? ev->align : 0;
	return words;
}

/* Writes the unit at u; returns its end. */
static uint64_t *write_unit(uint64_t *u, const struct ms_event *ev, uint64_t stamp, const struct shown *s)
{
	bool is_big = ev->size >> BIG_SIZE_BITS != 0;
	uint64_t flags =
		ev->flags | s->flags | (is_short(ev, s) ? MS_UF_SHORT : 0) | (is_big ? MS_UF_BIG_SIZE : 0);
	bool is_deep = s->n_push >= PUSH_ESCAPE;
	*u++ = MS_UNIT_HEAD(ev->kind, stamp);
	*u++ = (ev->addr & MS_ADDR_MASK) | flags << 48 | (uint64_t)(is_deep ? PUSH_ESCAPE : s->n_push) << 56;
	if (is_deep)
		*u++ = s->n_push;
	if (!is_short(ev, s))
		*u++ = (is_big ? 0 : ev->size) | (uint64_t)s->keep << 48;
	if (is_big)
		*u++ = ev->size;
	if (ev->flags & MS_UF_OLD)
		*u++ = ev->old;
	if (ev->flags & MS_UF_ALIGN)
		*u++ = ev->align;
	for (uint64_t i = 0; ev->more && i < ev->align; i++)
		*u++ = ev->more[i];
	for (uint32_t i = 0; i < s->n_push; i++)
		*u++ = s->ips ? s->ips[i] : s->frames[i].ip;
	return u;
}

/* ---- signal handlers that interrupt a hook ---- */

static COLD void record_aside(
	const struct ms_call *call, const struct ms_event *ev, bool has_stack, enum ms_moment moment)
{
	struct ms_thread *t = call->thread;
	struct ms_event copy = *ev;
	struct shown s = {.flags = MS_UF_NO_STACK};
	uintptr_t ips[MS_SIDE_DEPTH];
	unsigned cut = 0;
	guard_record(call->mine);
	if (has_stack) {
		struct ms_unwind_regs at = caller_of(MS_GUARD_FRAME(call->mine));
		uint32_t cap =
			ms_session.stack_depth < MS_SIDE_DEPTH ? ms_session.stack_depth : MS_SIDE_DEPTH;
		uint32_t n = ms_unwind_fresh(&t->unwind, &at, ips, cap, &cut);
		s = (struct shown){0, n, NULL, ips, cut ? MS_UF_CUT : 0};
	}
	uint64_t *u = open_unit(t, unit_words(&copy, &s));
	if (u)
		close_unit(t, write_unit(u, &copy, ms_session_stamp(moment), &s));
	else
		ms_emit_drop_aside(t);
	guard_rest(call->mine);
}

/* Publishes the first unit that is in the side buffer, as it is; unless a handler has done so meanwhile. */
static void move_side_unit(struct ms_thread *t)
{
	struct ms_side *side = &t->side;
	const uint32_t *start = side->start + side->first;
	bool is_found = has_room(t, start[1] - start[0]);
	if (side->first >= atomic_load(&side->n))
		return;
	start = side->start + side->first; /* another one, perhaps */
	const uint64_t *unit = side->words + start[0];
	size_t n = start[1] - start[0];
	uint32_t n_events = is_event(unit);
	if (is_found && !ms_writer_fits(&t->writer, n))
		return;
	side->first++; /* not after it: who jumps away would come back to it */
	if (is_found) {
		memcpy(t->writer.pos, unit, n * sizeof(*unit));
		ms_writer_commit(&t->writer, t->writer.pos + n);
	} else if (n_events) {
		count_lost(t, n_events, 0);
	}
	count_told(t, n_events);
}

/* Publishes what is in the side buffer, and what comes in meanwhile, and empties it. */
static void move_side(struct ms_thread *t)
{
	struct ms_side *side = &t->side;
	uint32_t n;
	do {
		while (side->first < atomic_load(&side->n))
			move_side_unit(t);
		n = side->first;
	} while (!atomic_compare_exchange_strong(&side->n, &n, 0));
	side->first = 0;
	uint32_t dropped = atomic_exchange(&side->n_dropped, 0);
	if (dropped) {
		count_lost(t, dropped, 0);
		count_told(t, dropped);
	}
	t->needs_whole_stack = true;
	ms_writer_idle(&t->writer);
}

/* A handler came after the unit was committed, before the guard was at rest: `guard` is the one at rest. */
static COLD void settle_side(struct ms_thread *t, uintptr_t guard)
{
	do {
		guard_record(guard);
		move_side(t);
		guard_rest(guard);
	} while (atomic_load(&t->side.n));
}

void ms_emit_recover(struct ms_thread *t)
{
	struct ms_side *side = &t->side;
	ms_writer_recover(&ms_session.segment, &t->writer);
	t->needs_whole_stack = true;
	side->may_move = false;
	if (side->first > atomic_load(&side->n)) /* just emptied */
		side->first = 0;
	move_side(t);
}

/* ---- the way of every event ---- */

/* Room for an event at the writer, behind what handlers have put aside: then its stack is to be told whole. */
static COLD bool make_room_for(struct ms_thread *t, const struct ms_event *ev, struct shown *s)
{
	bool is_found;
	do {
		if (has_side(t))
			move_side(t);
		is_found = has_room(t, unit_words(ev, s));
		if (t->needs_whole_stack && !(s->flags & MS_UF_NO_STACK))
			*s = whole_stack(t);
	} while (is_found && (has_side(t) || !ms_writer_fits(&t->writer, unit_words(ev, s))));
	return is_found;
}

/* What is left to do when the guard is at RECORDING and the stack is known. */
static void record_shown(struct ms_thread *t, uintptr_t guard, const struct ms_event *ev, struct shown *s,
	enum ms_moment moment)
{
	uint64_t *end = NULL;
	do {
		bool is_found = !has_side(t) && ms_writer_fits(&t->writer, unit_words(ev, s));
		if (!is_found && !make_room_for(t, ev, s)) {
			end = NULL;
			break;
		}
		ms_writer_intend(&t->writer);
		end = write_unit(t->writer.pos, ev, ms_session_stamp(moment), s);
	} while (is_overtaken(t));
	if (end) {
		if (!(s->flags & MS_UF_NO_STACK))
			t->needs_whole_stack = false;
		ms_writer_commit(&t->writer, end);
		ms_writer_idle(&t->writer);
	} else {
		count_lost(t, 1, ev->size);
	}
	guard_rest(guard);
	if (has_side(t))
		settle_side(t, guard);
}

static void record(struct ms_thread *t, uintptr_t guard, const struct ms_event *ev, bool has_stack,
	enum ms_moment moment)
{
	struct shown s = {.flags = MS_UF_NO_STACK};
	guard_record(guard);
	if (t->attention)
		attend(t);
	if (has_stack) {
		struct ms_unwind_regs at = caller_of(guard);
		struct ms_stack_diff d;
		ms_unwind_here(&t->unwind, &at, &d);
		s = shown_of(t, &d);
	}
	record_shown(t, guard, ev, &s, moment);
}

/* ---- the short way: calls of one pointer and one size when nothing is unusual ---- */

/* The same as above with all that is seldom left out, in straight code: the clock is the TSC, no handler has
 * left anything aside, nothing is to be attended to, the stack is a difference of a few frames, the chunk has
 * room. What is not so goes the long way. Look at the disassembly after a change. */

/* Such a call. In registers: gcc would clear the struct by a string instruction, which takes as long as all the rest. */
#define PLAIN_CALL enum ms_call_kind kind, uintptr_t addr, size_t size

static void record_acquired(struct ms_thread *t, uintptr_t guard, PLAIN_CALL, bool has_stack);
static void record_released(struct ms_thread *t, uintptr_t guard, PLAIN_CALL, bool has_stack);

/* Records a call by the short way and notes how long that took, less what the two looks at the clock take. */
static COLD void record_timed(
	struct ms_thread *t, uintptr_t guard, PLAIN_CALL, bool has_stack, enum ms_moment moment)
{
	struct ms_slot *slot = t->writer.slot;
	bool is_tsc = ms_session.is_tsc;
	t->attention &= ~(uint32_t)MS_ATTEND_TIME;
	uint64_t before = ms_clock_raw(is_tsc, MS_RELEASING), start = ms_clock_raw(is_tsc, MS_ACQUIRED);
	if (moment == MS_ACQUIRED)
		record_acquired(t, guard, kind, addr, size, has_stack);
	else
		record_released(t, guard, kind, addr, size, has_stack);
	uint64_t took = ms_clock_raw(is_tsc, MS_ACQUIRED) - start, look = start - before;
	if (took > LONGEST_HOOK_TICKS)
		return; /* another thread ran meanwhile */
	uint64_t ticks = atomic_load_explicit(&slot->hook_ticks, memory_order_relaxed);
	uint64_t n = atomic_load_explicit(&slot->hooks_timed, memory_order_relaxed);
	atomic_store_explicit(&slot->hook_ticks, ticks + (took > look ? took - look : 0), memory_order_relaxed);
	atomic_store_explicit(&slot->hooks_timed, n + 1, memory_order_relaxed);
}

/* What the short way did not do: DIFF is the stack's difference if that was taken already. */
static COLD void record_long(struct ms_thread *t, uintptr_t guard, PLAIN_CALL, bool has_stack, uint64_t diff,
	enum ms_moment moment)
{
	struct ms_event ev = {.kind = kind, .addr = addr, .size = size};
	if (diff == MS_UNWIND_NOT_QUICK && t->attention == MS_ATTEND_TIME) {
		record_timed(t, guard, kind, addr, size, has_stack, moment);
		return;
	}
	if (diff == MS_UNWIND_NOT_QUICK) {
		record(t, guard, &ev, has_stack, moment);
		return;
	}
	struct ms_stack_diff d = {
		(uint32_t)diff, (uint32_t)(diff >> 32), t->unwind.frame + (uint32_t)diff, t->unwind.flags};
	struct shown s = shown_of(t, &d);
	record_shown(t, guard, &ev, &s, moment);
}

static COLD void publish_anew(
	struct ms_thread *t, uintptr_t guard, PLAIN_CALL, bool has_stack, enum ms_moment moment)
{
	struct ms_event ev = {.kind = kind, .addr = addr, .size = size};
	struct shown s = has_stack ? whole_stack(t) : (struct shown){.flags = MS_UF_NO_STACK};
	record_shown(t, guard, &ev, &s, moment);
}

/* Stamps and publishes the unit of `words` words whose words from the second on stand at the writer's place,
 * and leaves the guard at rest. */
ALWAYS_INLINE void publish_short(struct ms_thread *t, uintptr_t guard, PLAIN_CALL, size_t words, bool has_stack,
	enum ms_moment moment)
{
	uint64_t stamp, *u = t->writer.pos;
	ms_writer_intend(&t->writer);
	stamp = ms_clock_raw(true, ms_session_moment(moment)) - ms_session.clock_base;
	u[0] = MS_UNIT_HEAD(kind, stamp);
	if (is_overtaken(t)) {
		publish_anew(t, guard, kind, addr, size, has_stack, moment);
		return;
	}
	ms_writer_commit(&t->writer, u + words);
	ms_writer_idle(&t->writer);
	guard_rest(guard);
	if (MS_UNLIKELY(has_side(t)))
		settle_side(t, guard);
}

/* Words 1 and 2 of a unit without a stack, or with the same as before; a release has no word 2. Returns the unit's words. */
ALWAYS_INLINE size_t write_stackless(uint64_t *u, uintptr_t addr, size_t size, bool has_size, uint64_t flags)
{
	u[1] = addr | (flags | (has_size ? 0 : MS_UF_SHORT)) << 48;
	if (has_size)
		u[2] = size;
	return 2 + (size_t)has_size;
}

/* Frames are copied four at a time, up to three too many. */
enum { COPIED_AT_ONCE = 4 };

/* Words 1 and further of a unit whose stack DIFF tells. Returns the unit's words. */
ALWAYS_INLINE size_t write_difference(
	struct ms_thread *t, uintptr_t addr, size_t size, bool has_size, uint64_t diff)
{
	uint64_t *u = t->writer.pos, keep = (uint32_t)diff, n_push = diff >> 32;
	const struct ms_unwind_frame *push = t->unwind.frame + keep;
	if (diff == t->depth)
		return write_stackless(u, addr, size, has_size, MS_UF_SAME);
	u[1] = addr | n_push << 56;
	u[2] = size | keep << 48;
	for (uint64_t i = 0; i < n_push; i += COPIED_AT_ONCE) {
		u[3 + i] = push[i].ip;
		u[4 + i] = push[i + 1].ip;
		u[5 + i] = push[i + 2].ip;
		u[6 + i] = push[i + 3].ip;
	}
	t->depth = (uint32_t)(keep + n_push);
	return 3 + n_push;
}

ALWAYS_INLINE void record_short(
	struct ms_thread *t, uintptr_t guard, PLAIN_CALL, bool has_stack, enum ms_moment moment)
{
	bool has_size = moment == MS_ACQUIRED || size != 0;
	uint64_t diff = MS_UNWIND_NOT_QUICK;
	size_t words;
	guard_record(guard);
	if (MS_UNLIKELY(t->attention || !ms_session.is_tsc)) {
		record_long(t, guard, kind, addr, size, has_stack, diff, moment);
		return;
	}
	if (has_stack) {
		struct ms_unwind_regs at = caller_of(guard);
		diff = ms_unwind_quick(&t->unwind, at.ip, at.sp, at.bp);
		/* NOT_QUICK pushes more than any */
		if (MS_UNLIKELY(diff >> 32 >= PUSH_ESCAPE || t->needs_whole_stack ||
				!ms_writer_fits(&t->writer, 2 + COPIED_AT_ONCE + (diff >> 32)))) {
			record_long(t, guard, kind, addr, size, has_stack, diff, moment);
			return;
		}
		words = write_difference(t, addr, size, has_size, diff);
	} else {
		if (MS_UNLIKELY(!ms_writer_fits(&t->writer, 3))) {
			record_long(t, guard, kind, addr, size, has_stack, diff, moment);
			return;
		}
		words = write_stackless(t->writer.pos, addr, size, has_size, MS_UF_NO_STACK);
	}
	publish_short(t, guard, kind, addr, size, words, has_stack, moment);
}

/* The short way for all kinds, called. */
static HOT __attribute__((noinline)) void record_acquired(
	struct ms_thread *t, uintptr_t guard, PLAIN_CALL, bool has_stack)
{
	record_short(t, guard, kind, addr, size, has_stack, MS_ACQUIRED);
}

static HOT __attribute__((noinline)) void record_released(
	struct ms_thread *t, uintptr_t guard, PLAIN_CALL, bool has_stack)
{
	record_short(t, guard, kind, addr, size, has_stack, MS_RELEASING);
}

HOT void ms_emit_block(
	struct ms_thread *t, const void *frame, enum ms_call_kind kind, const void *p, size_t size)
{
	record_short(t, (uintptr_t)frame, kind, (uintptr_t)p, size, ms_session.stack_depth != 0, MS_ACQUIRED);
}

HOT void ms_emit_free(struct ms_thread *t, const void *frame, const void *p)
{
	record_short(t, (uintptr_t)frame, MS_CALL_FREE, (uintptr_t)p & MS_ADDR_MASK, 0, ms_session.has_free_stacks,
		MS_RELEASING);
}

HOT void ms_emit_release(
	struct ms_thread *t, const void *frame, enum ms_call_kind kind, const void *p, size_t size)
{
	record_released(t, (uintptr_t)frame, kind, (uintptr_t)p & MS_ADDR_MASK, size, ms_session.has_free_stacks);
}

/* ---- any call ---- */

static void record_any(
	const struct ms_call *call, const struct ms_event *ev, bool has_stack, enum ms_moment moment)
{
	has_stack = has_stack && ms_session.stack_depth &&
		    atomic_load_explicit(&ms_image_page.is_recording, memory_order_relaxed);
	if (ms_call_is_aside(call))
		record_aside(call, ev, has_stack, moment);
	else if (ev->flags || ev->more || ev->size > INT32_MAX)
		record(call->thread, call->mine, ev, has_stack, moment);
	else if (moment == MS_ACQUIRED)
		record_acquired(call->thread, call->mine, ev->kind, ev->addr, ev->size, has_stack);
	else
		record_released(call->thread, call->mine, ev->kind, ev->addr, ev->size, has_stack);
}

void ms_emit_acquired(const struct ms_call *call, const struct ms_event *ev)
{
	struct ms_event copy = *ev;
	copy.addr &= MS_ADDR_MASK;
	if (copy.size > INT64_MAX)
		copy.size = INT64_MAX;
	record_any(call, &copy, true, MS_ACQUIRED);
}

void ms_emit_released(const struct ms_call *call, const struct ms_event *ev)
{
	struct ms_event copy = *ev;
	copy.addr &= MS_ADDR_MASK;
	if (copy.size > INT64_MAX)
		copy.size = INT64_MAX;
	record_any(call, &copy, ms_session.has_free_stacks, MS_RELEASING);
}

/* ---- the others ---- */

void ms_emit_begin(const struct ms_call *call, const void *p)
{
	struct ms_event ev = {.kind = MS_CALL_REALLOC_BEGIN, .addr = (uintptr_t)p & MS_ADDR_MASK};
	if (ms_call_is_aside(call))
		record_aside(call, &ev, false, MS_RELEASING);
	else
		record_released(call->thread, call->mine, MS_CALL_REALLOC_BEGIN, ev.addr, 0, false);
}

void ms_emit_pool_begin(const struct ms_call *call, uint64_t addr, uint32_t number)
{
	struct ms_event ev = {.kind = MS_POOL_REALLOC_BEGIN, .flags = MS_UF_ALIGN, .addr = addr & MS_ADDR_MASK,
		.align = number};
	record_any(call, &ev, false, MS_RELEASING);
}

bool ms_emit_note(const struct ms_call *call, enum ms_unit_kind kind, const uint64_t *words, size_t n)
{
	guard_record(call->mine);
	bool is_sent = send_note(call->thread, kind, words, n);
	guard_rest(call->mine);
	if (!ms_call_is_aside(call) && has_side(call->thread))
		settle_side(call->thread, call->mine);
	return is_sent;
}

bool ms_emit_annotation(const struct ms_call *call, enum ms_unit_kind kind, const uint64_t *words, size_t n)
{
	bool is_sent = ms_emit_note(call, kind, words, n);
	if (!is_sent && !ms_call_is_aside(call))
		count_lost(call->thread, 1, 0);
	else if (!is_sent)
		ms_emit_drop_aside(call->thread);
	return is_sent;
}

void ms_emit_thread_name(const struct ms_call *call)
{
	uint64_t name[2] = {0, 0};
	if (!ms_may_ask())
		return;
	ms_rawcall(SYS_prctl, PR_GET_NAME, (long)name, 0, 0, 0, 0);
	ms_emit_note(call, MS_U_NAME, name, 2);
}

void ms_emit_unloaded_modules(const struct ms_call *call)
{
	uint64_t start;
	while (ms_modules_take_unloaded(&start)) {
		ms_unwind_forget_module(start);
		ms_emit_note(call, MS_U_UNMODULE, &start, 1);
	}
}

/*
 * Stepping, and verified reuse. See unwind.h for the idea.
 *
 * Remembered frame i was derived from frame i+1 by the rule of i+1's ip, the word at sp[i]-8 (its ip) and the word at
 * bp_slot[i] (its rbp). A frame that hangs on anything more (a realigned frame, a signal frame, a guess) has a slot that
 * never compares equal, so that it is derived again each time.
 *
 * Rejected: marking return addresses on the program's stack to skip verification (exceptions and longjmp break, and it
 * writes to memory that is not ours); hashing the stack region (reads more than the slots do).
 */
#include "unwind.h"

#include "unwind_guess.h"
#include "unwind_walk.h"

/* ---- one step outward ---- */

/* F becomes its caller, whose sp is CFA; RULE tells where its rbp is. F is unchanged unless STEP_OK. */
static inline enum step step_to(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule, uintptr_t cfa)
{
	uintptr_t slot = 0, bp = f->bp, ip;

	if (unlikely(cfa <= f->sp || cfa % 8 != 0))
		return STEP_CUT;
	if (ms_cfi_bp(rule) != MS_CFI_BP_SAME) {
		slot = (ms_cfi_bp(rule) == MS_CFI_BP_CFA ? cfa : f->bp) + (uintptr_t)ms_cfi_bp_off(rule);
		if (unlikely(slot < f->sp || !load(w, slot, &bp)))
			return STEP_CUT;
	}
	if (unlikely(!load(w, cfa - 8, &ip)))
		return STEP_CUT;
	if (unlikely(ip == 0)) {
		w->recheck = true;
		return STEP_END;
	}
	*f = (struct ms_unwind_frame){ip, cfa, bp, slot};
	return STEP_OK;
}

/* The frame that a signal interrupted. Its registers lie in the ucontext_t at the signal frame's sp. */
static cold enum step step_signal(struct walk *w, struct ms_unwind_frame *f)
{
	enum { UC_BP = 120, UC_SP = 160, UC_IP = 168 };
	uintptr_t ip, sp, bp;

	w->recheck = true;
	if (!load(w, f->sp + UC_BP, &bp) || !load(w, f->sp + UC_SP, &sp) || !load(w, f->sp + UC_IP, &ip))
		return STEP_CUT;
	if (w->foreign || sp <= f->sp || sp >= w->stack->hi) {
		w->tainted = true;
		walk_look_at(w, sp);
	}
	*f = (struct ms_unwind_frame){ip + 1, sp, bp, never_slot(bp)};
	w->recheck = false;
	w->interrupted = ip + 1;
	return STEP_OK;
}

/* gcc's realigned frames: the old stack pointer was spilt at a fixed distance from rbp. */
static cold enum step step_realigned(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	uintptr_t at = f->bp + (uintptr_t)ms_cfi_cfa_off(rule), cfa;
	enum step step = STEP_CUT;

	w->recheck = true;
	if (at >= f->sp && load(w, at, &cfa))
		step = step_to(w, f, rule, cfa);
	if (step == STEP_OK) {
		f->bp_slot = never_slot(f->bp);
		w->recheck = false;
	}
	return step;
}

static cold enum step step_rarely(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	switch (ms_cfi_kind(rule)) {
	case MS_CFI_AT_BP:
		return step_realigned(w, f, rule);
	case MS_CFI_PLT: /* such a frame was interrupted, so its pc is ip - 1 */
		return step_to(w, f, rule,
			f->sp + 8 + ((intptr_t)((f->ip - 1) & 15) >= ms_cfi_cfa_off(rule) ? 8 : 0));
	case MS_CFI_SIGNAL:
		return step_signal(w, f);
	case MS_CFI_END:
		return STEP_END;
	case MS_CFI_FRAME:
	case MS_CFI_POP:
		return ms_guess_step_again(w, f, rule);
	case MS_CFI_UNKNOWN:
		return ms_guess_step(w, f);
	default:
		return STEP_CUT;
	}
}

/* Through a copy, so that the caller's frame need not be in memory: that halves the cost of the common step.
 */
static inline enum step step_aside(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	struct ms_unwind_frame copy = *f;
	enum step step = step_rarely(w, &copy, rule);

	*f = copy;
	return step;
}

static inline enum step step_out(struct walk *w, struct ms_unwind_frame *f)
{
	ms_cfi_rule rule = rule_of(w, f->ip - 1);
	enum ms_cfi_kind kind = ms_cfi_kind(rule);

	if (likely(kind == MS_CFI_SP))
		return step_to(w, f, rule, f->sp + (uintptr_t)ms_cfi_cfa_off(rule));
	if (likely(kind == MS_CFI_BP))
		return step_to(w, f, rule, f->bp + (uintptr_t)ms_cfi_cfa_off(rule));
	return step_aside(w, f, rule);
}

/* ---- the remembered stack ---- */

/* It is read, written and verified four frames at a time: before its outermost frame lie as many that always hold,
 * behind its innermost one and before the first fresh one is room for what is copied too much. */
enum { BLOCK = 4 };

static inline bool is_same_frame(const struct ms_unwind_frame *a, const struct ms_unwind_frame *b)
{
	return a->sp == b->sp && a->ip == b->ip && a->bp == b->bp;
}

/* A word that is still the callee's is verified against itself. */
static inline void remember(struct ms_unwind_frame *place, const struct ms_unwind_frame *f)
{
	place->ip = f->ip;
	place->sp = f->sp;
	place->bp = f->bp;
	place->bp_slot = f->bp_slot ? f->bp_slot : (uintptr_t)&place->bp;
}

static inline struct ms_unwind_frame remembered(const struct ms_unwind_frame *place)
{
	uintptr_t slot = place->bp_slot == (uintptr_t)&place->bp ? 0 : place->bp_slot;

	return (struct ms_unwind_frame){place->ip, place->sp, place->bp, slot};
}

/* Zero if F would be derived from the frame inside of it again. */
static inline uintptr_t difference(const struct ms_unwind_frame *f)
{
	return (word_at(f->sp - 8) ^ f->ip) | (word_at(f->bp_slot) ^ f->bp);
}

/* Frame F holds; how far outward do the others? Returns the outermost that does, or one outside of OUTERMOST if all do.
 * This is the hot loop. */
static inline __attribute__((always_inline)) const struct ms_unwind_frame *outermost_valid(
	const struct ms_unwind_frame *outermost, const struct ms_unwind_frame *f)
{
	while (f > outermost) {
		uintptr_t differs = difference(f - 1) | difference(f - 2) | difference(f - 3) | difference(f - 4);

		if (unlikely(differs))
			break;
		f -= BLOCK;
	}
	while (f > outermost && difference(f - 1) == 0)
		f--;
	return f;
}

/* FRESH[0..K-1], innermost first, stand on the KEPT outer frames from now on; N were remembered before. Returns how many
 * ips from the outermost on are the same as before. */
static inline __attribute__((always_inline)) uint32_t put_fresh(struct ms_unwind *u, uint32_t kept, uint32_t k, uint32_t n)
{
	const struct ms_unwind_frame *f = u->fresh + k;
	struct ms_unwind_frame *place = u->frame + kept, *end = place + k;
	uint32_t same = 0, is_same = 1, most = n < kept + k ? n - kept : k;

	for (; place < end; place += BLOCK, f -= BLOCK) {
		same += is_same &= place[0].ip == f[-1].ip;
		remember(&place[0], &f[-1]);
		same += is_same &= place[1].ip == f[-2].ip;
		remember(&place[1], &f[-2]);
		same += is_same &= place[2].ip == f[-3].ip;
		remember(&place[2], &f[-3]);
		same += is_same &= place[3].ip == f[-4].ip;
		remember(&place[3], &f[-4]);
	}
	return kept + (same < most ? same : most);
}

/* The stack under way: `kept` remembered frames from the outermost on, then the fresh ones. */
struct climb {
	struct ms_unwind *u;
	uint32_t kept, n_fresh;
	unsigned flags;
};

static inline bool take_fresh(struct climb *c, const struct ms_unwind_frame *f)
{
	if (c->n_fresh == c->u->limit)
		return false;
	c->u->fresh[c->n_fresh++] = *f;
	return true;
}

static bool take_remembered(struct climb *c, uint32_t inner, uint32_t outer)
{
	for (uint32_t i = inner + 1; i-- > outer;) {
		struct ms_unwind_frame f = remembered(&c->u->frame[i]);

		if (!take_fresh(c, &f))
			return false;
	}
	return true;
}

enum climbed { CLIMBED, CLIMB_ON, CLIMB_AGAIN };

/*
 * F equals remembered frame I. Either all that is outside of it holds (CLIMBED), or F becomes the first frame
 * that does not and the ones before it are taken over (CLIMB_ON), or there is no room for them (CLIMB_AGAIN).
 */
static inline enum climbed join(struct climb *c, struct walk *w, struct ms_unwind_frame *f, uint32_t i)
{
	struct ms_unwind *u = c->u;
	const struct ms_unwind_frame *holds;
	uint32_t outer;
	enum step step = STEP_END;

	remember(&u->frame[i], f);
	holds = outermost_valid(u->frame, &u->frame[i]);
	outer = holds <= u->frame ? 0 : (uint32_t)(holds - u->frame);
	if (likely(outer == 0 && !u->recheck)) {
		c->kept = i + 1;
		c->flags = u->flags;
		return c->kept + c->n_fresh > u->limit ? CLIMB_AGAIN : CLIMBED;
	}
	*f = remembered(&u->frame[outer]);
	step = step_out(w, f);
	if (outer == 0 && step != STEP_OK) {
		c->kept = i + 1;
		c->flags = step == STEP_CUT ? MS_UNWIND_CUT : 0;
		return c->kept + c->n_fresh > u->limit ? CLIMB_AGAIN : CLIMBED;
	}
	if (!take_remembered(c, i, outer))
		return CLIMB_AGAIN;
	c->flags = step == STEP_CUT ? MS_UNWIND_CUT : 0;
	return step == STEP_OK ? CLIMB_ON : CLIMBED;
}

/*
 * From F to the outer end, joining the remembered stack of N frames wherever that is met. False: start again
 * without it, because together they are deeper than the limit or modules have changed.
 */
static bool climb(struct climb *c, struct walk *w, struct ms_unwind_frame f, uint32_t n)
{
	struct ms_unwind *u = c->u;
	int64_t i = (int64_t)n - 1;

	c->kept = c->n_fresh = 0;
	for (;;) {
		enum climbed climbed = CLIMB_ON;
		enum step step;

		if (!w->foreign) {
			while (i >= 0 && u->frame[i].sp < f.sp)
				i--;
			if (i >= 0 && is_same_frame(&u->frame[i], &f)) {
				climbed = join(c, w, &f, (uint32_t)i);
				if (unlikely(climbed == CLIMB_AGAIN || w->stale))
					return false;
				if (climbed == CLIMBED)
					return true;
				continue;
			}
		}
		if (unlikely(!take_fresh(c, &f))) {
			c->flags = MS_UNWIND_LIMITED;
			return n == 0;
		}
		step = step_out(w, &f);
		if (unlikely(w->stale))
			return false;
		if (step != STEP_OK) {
			c->flags = step == STEP_CUT ? MS_UNWIND_CUT : 0;
			return true;
		}
	}
}

/* Make what was found the remembered stack and say how it differs from the N frames reported before. */
static void settle(struct climb *c, struct walk *w, uint32_t n, struct ms_stack_diff *out)
{
	struct ms_unwind *u = c->u;
	uint32_t depth = c->kept + c->n_fresh, keep = put_fresh(u, c->kept, c->n_fresh, n);

	u->flags = c->flags;
	u->recheck = w->recheck;
	u->reusable = !w->tainted && !(c->flags & MS_UNWIND_LIMITED);
	atomic_signal_fence(memory_order_release);
	u->n = depth;
	*out = (struct ms_stack_diff){keep, depth - keep, u->frame + keep, c->flags};
}

/* ---- the quick way ---- */

/*
 * The table's rules are far away, in steps: ip, then the place in the table, then the rule, then the next ip. So each
 * thread has a few steps of its own, and each of them knows which one came next last time. While that guess holds, the
 * processor goes on before the ip is there to compare.
 */
static inline struct ms_unwind_step *place_of_step(const struct ms_unwind *u, uintptr_t ip)
{
	return &u->steps->step[(ip ^ ip >> 11) % MS_UNWIND_STEPS];
}

/* The step out of IP, from the table if need be; NULL: it is not there. At any moment a step has the rule of its key, or
 * none: a signal may end this. */
static struct ms_unwind_step *find_step(const struct ms_unwind *u, uintptr_t ip, uintptr_t generation)
{
	struct ms_unwind_step *s = place_of_step(u, ip);
	ms_cfi_rule rule;

	if (likely(s->key == ip + u->steps->age))
		return s;
	if (!ms_rules_have(ip - 1, generation, &rule))
		return NULL;
	s->rule = ms_cfi_make(MS_CFI_NONE, 0, 0, 0);
	atomic_signal_fence(memory_order_release);
	s->key = ip + u->steps->age;
	s->outer = s;
	atomic_signal_fence(memory_order_release);
	s->rule = rule;
	return s;
}

/* step_quick() for rules that are not plain: all that they say has to be checked. */
static inline bool step_checked(struct ms_unwind_frame *f, ms_cfi_rule rule, uintptr_t last)
{
	uintptr_t cfa, slot = 0, bp = f->bp, ip;

	if (unlikely(ms_cfi_kind(rule) - 1u >= MS_CFI_POP))
		return false;
	cfa = (ms_cfi_is_of_sp(rule) ? f->sp : f->bp) + (uintptr_t)ms_cfi_cfa_off(rule);
	if (unlikely(cfa <= f->sp || cfa % 8 != 0 || cfa - 8 > last))
		return false;
	if (ms_cfi_bp(rule) != MS_CFI_BP_SAME) {
		slot = (ms_cfi_bp(rule) == MS_CFI_BP_CFA ? cfa : f->bp) + (uintptr_t)ms_cfi_bp_off(rule);
		if (unlikely(slot < f->sp || slot > last))
			return false;
		bp = word_at(slot);
	}
	ip = word_at(cfa - 8);
	*f = (struct ms_unwind_frame){ip, cfa, bp, slot};
	return ip != 0;
}

/*
 * F becomes its caller. The stack's words from F's sp to LAST can be loaded. False, F being nothing any more: the rule is
 * not one of the two common ones, or makes no sense here.
 */
static inline __attribute__((always_inline)) bool step_quick(
	struct ms_unwind_frame *f, ms_cfi_rule rule, uintptr_t last)
{
	uintptr_t cfa;

	if (unlikely(!(rule & MS_CFI_PLAIN)))
		return step_checked(f, rule, last);
	cfa = f->sp + (uintptr_t)ms_cfi_cfa_off(rule);
	if (unlikely(cfa - 8 > last))
		return false;
	f->bp_slot = 0;
	if (ms_cfi_form(rule) == MS_CFI_PLAIN_SAVED) {
		f->bp_slot = cfa + (uintptr_t)ms_cfi_bp_off(rule);
		f->bp = word_at(f->bp_slot);
	}
	f->ip = word_at(cfa - 8);
	f->sp = cfa;
	return true;
}

/*
 * climb() and settle() for what nearly every event is, in registers: nothing remembered but u->fresh is written until
 * the remembered stack is met.
 */
uint64_t ms_unwind_quick(struct ms_unwind *u, uintptr_t ip, uintptr_t sp, uintptr_t bp)
{
	struct ms_unwind_frame f = {ip, sp, bp, never_slot(bp)};
	uint64_t epoch = atomic_load_explicit(&ms_rules_epoch, memory_order_acquire);
	uintptr_t generation = ms_rules_generation(epoch), last = u->stack.hi - 8;
	struct ms_unwind_frame *outermost = u->frame, *in = outermost + u->n; /* in[-1]: the innermost that may still hold */
	struct ms_unwind_frame *fresh = u->fresh, *no_room = fresh + u->limit;
	struct ms_unwind_step *step = place_of_step(u, ip), *first = step, **guess = &first;
	uintptr_t age = u->steps->age;
	uint32_t n = u->n, kept, k, keep;

	if (unlikely(epoch != u->epoch || !u->reusable || u->recheck || sp < u->stack.lo || sp > last))
		return MS_UNWIND_NOT_QUICK;
	for (;;) {
		while (in > outermost && in[-1].sp < f.sp)
			in--;
		if (in > outermost && is_same_frame(&in[-1], &f)) {
			const struct ms_unwind_frame *holds = outermost_valid(outermost, &in[-1]);

			if (likely(holds <= outermost))
				break;
			for (; in - 1 > holds; in--) { /* these hold, what is outside of them does not */
				if (unlikely(fresh == no_room))
					return MS_UNWIND_NOT_QUICK;
				*fresh++ = f;
				f = remembered(&in[-2]);
			}
		}
		if (unlikely(fresh == no_room))
			return MS_UNWIND_NOT_QUICK;
		*fresh++ = f;
		if (unlikely(step->key != f.ip + age)) {
			step = find_step(u, f.ip, generation);
			if (unlikely(!step))
				return MS_UNWIND_NOT_QUICK;
			*guess = step;
		}
		if (unlikely(!step_quick(&f, step->rule, last)))
			return MS_UNWIND_NOT_QUICK;
		guess = &step->outer;
		step = *guess;
	}
	kept = (uint32_t)(in - outermost);
	k = (uint32_t)(fresh - u->fresh);
	if (unlikely(kept + k > u->limit))
		return MS_UNWIND_NOT_QUICK;
	u->n = 0; /* as in ms_unwind_from() */
	atomic_signal_fence(memory_order_release);
	remember(&in[-1], &f);
	keep = put_fresh(u, kept, k, n);
	atomic_signal_fence(memory_order_release);
	u->n = kept + k;
	return keep | (uint64_t)(kept + k - keep) << 32;
}

/*
 * The thread's own stack is not known: its first event may have come from a coroutine. Look again now and
 * then, ever more seldom.
 */
static cold void find_own_stack(struct ms_unwind *u, uintptr_t sp)
{
	u->n_stackless++;
	if ((u->n_stackless & (u->n_stackless - 1)) == 0)
		u->stack = ms_unwind_find_stack(sp);
}

static cold void start_epoch(struct ms_unwind *u, uint64_t epoch)
{
	uintptr_t age = u->steps->age + (UINT64_C(1) << MS_UNWIND_AGE_SHIFT);

	u->epoch = EPOCH_NONE;
	atomic_signal_fence(memory_order_release);
	if (age == 0) /* they start over: what is left of the first time must go */
		for (unsigned i = 0; i < MS_UNWIND_STEPS; i++)
			u->steps->step[i] = (struct ms_unwind_step){0};
	u->steps->age = age;
	atomic_signal_fence(memory_order_release);
	u->epoch = epoch;
}

void ms_unwind_from(struct ms_unwind *u, uintptr_t ip, uintptr_t sp, uintptr_t bp, struct ms_stack_diff *out)
{
	struct ms_unwind_frame first = {ip, sp, bp, never_slot(bp)};
	struct climb c = {.u = u};
	struct walk w;
	uint32_t n;

	uint64_t diff = ms_unwind_quick(u, ip, sp, bp);

	if (diff != MS_UNWIND_NOT_QUICK) {
		uint32_t keep = (uint32_t)diff;

		*out = (struct ms_stack_diff){keep, (uint32_t)(diff >> 32), u->frame + keep, u->flags};
		return;
	}
	if (unlikely(u->stack.hi == 0))
		find_own_stack(u, sp);
	walk_open(&w, &u->stack, u->window, MS_UNWIND_WINDOW, sp);
	n = likely(w.epoch == u->epoch) ? u->n : 0;
	u->n = 0; /* until settled: a longjmp out of here must not leave half a stack behind */
	atomic_signal_fence(memory_order_release);
	if (unlikely(!climb(&c, &w, first, u->reusable ? n : 0))) {
		bool stale = w.stale;

		walk_open(&w, &u->stack, u->window, MS_UNWIND_WINDOW, sp);
		if (stale) { /* modules move: this once, ask them instead of the table */
			w.use_table = false;
			n = 0;
		}
		(void)climb(&c, &w, first, 0);
	}
	if (unlikely(u->epoch != (w.use_table ? w.epoch : EPOCH_NONE)))
		start_epoch(u, w.use_table ? w.epoch : EPOCH_NONE);
	settle(&c, &w, n, out);
}

uint32_t ms_unwind_fresh(const struct ms_unwind *u, const struct ms_unwind_regs *at, uintptr_t *ips,
	uint32_t cap, unsigned *flags)
{
	struct ms_unwind_frame f = {at->ip, at->sp, at->bp, 0};
	unsigned char window[256] __attribute__((aligned(8)));
	enum step step = STEP_OK;
	struct walk w;
	uint32_t n = 0;

	walk_open(&w, &u->stack, window, sizeof(window), at->sp);
	while (step == STEP_OK && n < cap) {
		ips[n++] = f.ip;
		step = step_out(&w, &f);
		if (w.stale) {
			walk_open(&w, &u->stack, window, sizeof(window), at->sp);
			w.use_table = false;
			f = (struct ms_unwind_frame){at->ip, at->sp, at->bp, 0};
			n = 0;
			step = STEP_OK;
		}
	}
	*flags = step == STEP_OK ? MS_UNWIND_LIMITED : step == STEP_CUT ? MS_UNWIND_CUT : 0;
	for (uint32_t i = 0; i < n / 2; i++) {
		uintptr_t ip = ips[i];

		ips[i] = ips[n - 1 - i];
		ips[n - 1 - i] = ip;
	}
	return n;
}

bool ms_unwind_out_to(
	const struct ms_unwind *u, struct ms_unwind_regs *at, uintptr_t lo, uintptr_t hi, unsigned steps)
{
	struct ms_unwind_frame f = {at->ip, at->sp, at->bp, 0};
	unsigned char window[256] __attribute__((aligned(8)));
	struct walk w;

	walk_open(&w, &u->stack, window, sizeof(window), at->sp);
	for (; f.ip - lo >= hi - lo; steps--) {
		enum ms_cfi_kind kind = steps ? ms_cfi_kind(rule_of(&w, f.ip - 1)) : MS_CFI_NONE;

		if (kind != MS_CFI_SP && kind != MS_CFI_BP && kind != MS_CFI_AT_BP)
			return false;
		if (step_out(&w, &f) != STEP_OK || w.stale)
			return false;
	}
	*at = (struct ms_unwind_regs){f.ip, f.sp, f.bp};
	return true;
}

size_t ms_unwind_storage_size(uint32_t limit)
{
	return sizeof(struct ms_unwind_steps) + (2 * (size_t)limit + 3 * BLOCK) * sizeof(struct ms_unwind_frame) +
	       MS_UNWIND_WINDOW;
}

void ms_unwind_init(struct ms_unwind *u, void *storage, uint32_t limit, struct ms_unwind_bounds stack)
{
	struct ms_unwind_steps *steps = storage; /* first, as they are kept from one use of the storage to the next */
	struct ms_unwind_frame *frames = (struct ms_unwind_frame *)(steps + 1);

	for (struct ms_unwind_frame *f = frames; f < frames + BLOCK; f++)
		*f = (struct ms_unwind_frame){.sp = (uintptr_t)&f->ip + 8, .bp_slot = (uintptr_t)&f->bp};
	*u = (struct ms_unwind){
		.frame = frames + BLOCK,
		.limit = limit,
		.epoch = EPOCH_NONE,
		.stack = stack,
		.steps = steps,
		.fresh = frames + limit + 3 * (size_t)BLOCK,
	};
	u->window = (unsigned char *)(u->fresh + limit);
}

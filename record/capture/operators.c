/* The hooks of operator new and delete. See operators.h for the idea, operators_real.h for what they call.
 *
 * A hook is a fast way for the common case and a jump to a function that does the same for all others, which
 * then stands in its place: the stack looks as if that had been called. What the hook calls through without
 * recording is jumped to as well, so that every frame of ours that an exception meets belongs to a call that
 * is recorded. */
#include "operators.h"

#include "hook.h"
#include "operators_real.h"
#include "real.h"

#include <errno.h>
#include <stdlib.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
	STEPS = 8,	   /* frames looked at between a hook and the operator around it */
	HOOK_FRAME = 512,  /* more than a frame of a hook here has */
};

/* What an operator is asked to do. */
struct request {
	enum ms_operator_form form;
	uint32_t kind; /* enum ms_call_kind */
	uint64_t size, align;
	uintptr_t block; /* to be deleted; 0: to be acquired */
};

/* ---- who called whom ---- */

static struct ms_unwind_regs caller_of(uintptr_t frame)
{
	const uintptr_t *words = (const uintptr_t *)frame;
	return (struct ms_unwind_regs){words[1], frame + 2 * sizeof(*words), words[0]};
}

bool ms_operator_is_callers(const struct ms_thread *t, uintptr_t frame)
{
	return t->op.is_own && ms_operators_is_own(caller_of(frame).ip);
}

/* Is it as it was the last time? A caller's frame has the same size at the same place in its code. */
static bool is_at_place(const struct ms_operator_place *place, uintptr_t ip, uintptr_t frame, uintptr_t hook)
{
	return place->ip == ip && hook - frame == place->hook_off &&
	       *(const uintptr_t *)(frame + place->slot_off) == place->ret;
}

bool ms_operator_surrounds(struct ms_thread *t, uintptr_t frame)
{
	uintptr_t lo = ms_operators.us_start, hi = ms_operators.us_end;
	uintptr_t guard = ms_tls.guard;
	struct ms_unwind_regs at = caller_of(frame);
	uintptr_t ip = at.ip, hook = MS_GUARD_FRAME(guard);
	bool is_inside = at.ip - lo < hi - lo;
	if (!is_inside && is_at_place(&t->op_place, ip, frame, hook)) {
		t->op.inside = frame;
		return true;
	}
	if (!is_inside) {
		/* A module met now may be announced by us alone. */
		ms_tls.guard = frame | MS_GUARD_RECORDING | (guard & MS_GUARD_ASIDE);
		atomic_signal_fence(memory_order_seq_cst);
		is_inside = ms_unwind_out_to(&t->unwind, &at, lo, hi, 1);
		if (is_inside && hook - at.sp < HOOK_FRAME)
			t->op_place = (struct ms_operator_place){
				ip, at.sp - sizeof(at.ip) - frame, at.ip, hook - frame};
		is_inside = is_inside || ms_unwind_out_to(&t->unwind, &at, lo, hi, STEPS);
		atomic_signal_fence(memory_order_seq_cst);
		ms_tls.guard = guard;
	}
	is_inside = is_inside && hook - at.sp < HOOK_FRAME;
	t->op.inside = is_inside ? frame : 0;
	return is_inside;
}

/* ---- events inside an operator ---- */

static bool is_new(uint32_t kind)
{
	return kind >= MS_CALL_NEW && kind <= MS_CALL_NEW_ARRAY_NOTHROW;
}

/* Does it ask for what the operator was asked for? Operators turn 0 into 1, and round the size up to a
 * multiple of an alignment, which they may raise. */
static bool fits(const struct ms_operator *op, const struct ms_event *ev)
{
	uint64_t size = op->size ? op->size : 1;
	bool is_aligned = ev->flags & MS_UF_ALIGN;
	if (ev->flags & MS_UF_OLD || op->align > (is_aligned ? ev->align : 16))
		return false;
	if (!is_aligned)
		return ev->size == size || ev->size == op->size;
	return ev->size >= op->size && ev->size - op->size < (ev->align > 1 ? ev->align : 2);
}

static struct ms_event named(const struct ms_operator *op, struct ms_event ev)
{
	ev.kind = op->kind;
	ev.size = op->size;
	ev.align = op->align;
	ev.flags = (ev.flags & MS_UF_FAILED) | (op->align ? MS_UF_ALIGN : 0);
	return ev;
}

/* The same call as its operator's: the stack begins at the caller of that. */
static struct ms_call moved(const struct ms_call *call, const struct ms_operator *op)
{
	struct ms_call out = *call;
	out.mine = op->frame | (call->mine & MS_GUARD_ASIDE);
	return out;
}

/* Is the operator under way one that gets its memory from malloc and has nothing told yet, without an alignment? */
static bool is_usual(const struct ms_operator *op)
{
	return ms_tls.guard == (op->frame | MS_GUARD_OPERATOR) && !op->is_own && !op->align && !op->told &&
	       op->size <= INT32_MAX;
}

struct ms_thread *ms_operator_asks(size_t size, uintptr_t frame)
{
	struct ms_thread *t = ms_tls.thread;
	if (!t || !atomic_load_explicit(&ms_image_page.is_attached, memory_order_relaxed))
		return NULL;
	const struct ms_operator *op = &t->op;
	bool is_its = is_usual(op) && is_new(op->kind) && !op->vain_ip && op->size == size;
	return is_its && ms_operator_surrounds(t, frame) ? t : NULL;
}

struct ms_thread *ms_operator_gives_back(const void *p, uintptr_t frame)
{
	struct ms_thread *t = ms_tls.thread;
	if (!t || !atomic_load_explicit(&ms_image_page.is_attached, memory_order_relaxed))
		return NULL;
	bool is_its = p && is_usual(&t->op) && t->op.block == (uintptr_t)p;
	return is_its && ms_operator_surrounds(t, frame) ? t : NULL;
}

void ms_operator_got(struct ms_thread *t, const void *p)
{
	struct ms_operator *op = &t->op;
	op->told = (uintptr_t)p;
	ms_emit_block(t, (const void *)op->frame, (enum ms_call_kind)op->kind, p, op->size);
}

void ms_operator_gives(struct ms_thread *t, const void *p)
{
	struct ms_operator *op = &t->op;
	op->told = (uintptr_t)p;
	ms_emit_release(t, (const void *)op->frame, (enum ms_call_kind)op->kind, p, op->size);
}

void ms_operator_acquired(const struct ms_call *call, const struct ms_event *ev)
{
	struct ms_operator *op = &call->thread->op;
	uintptr_t frame = MS_GUARD_FRAME(call->mine), ip = caller_of(frame).ip;
	if (op->inside != frame || !is_new(op->kind) || op->told) {
		ms_emit_acquired(call, ev);
	} else if (!fits(op, ev) || (op->vain_ip && op->vain_ip != ip)) {
		if (!(ev->flags & MS_UF_FAILED))
			op->untold = ev->addr;
		ms_emit_acquired(call, ev);
	} else {
		struct ms_event new = named(op, *ev);
		struct ms_call outer = moved(call, op);
		if (ev->flags & MS_UF_FAILED) {
			op->has_failed = true;
			op->vain_ip = ip;
		} else {
			op->told = ev->addr;
		}
		ms_emit_acquired(&outer, &new);
	}
}

void ms_operator_released(const struct ms_call *call, const struct ms_event *ev)
{
	struct ms_operator *op = &call->thread->op;
	if (op->inside == MS_GUARD_FRAME(call->mine) && op->block == ev->addr && !op->told) {
		struct ms_event delete = named(op, *ev);
		struct ms_call outer = moved(call, op);
		op->told = ev->addr;
		ms_emit_released(&outer, &delete);
	} else {
		ms_emit_released(call, ev);
	}
}

/* ---- the ends of a call ---- */

static struct ms_call call_of(struct ms_thread *t)
{
	uintptr_t mine = t->op.frame | (t->op.saved & MS_GUARD_PHASE ? MS_GUARD_ASIDE : 0);
	return (struct ms_call){.thread = t, .mine = mine, .saved = t->op.saved};
}

static void tell_new(struct ms_thread *t, const void *p, uint32_t error)
{
	struct ms_event ev = {.flags = p ? 0 : MS_UF_FAILED, .addr = p ? (uintptr_t)p : error};
	struct ms_call call = call_of(t);
	if (!atomic_load(&ms_image_page.is_attached))
		return;
	ev = named(&t->op, ev);
	t->op.has_failed |= !p;
	ms_emit_acquired(&call, &ev);
}

static void tell_delete(struct ms_thread *t)
{
	struct ms_event ev = named(&t->op, (struct ms_event){.addr = t->op.block});
	struct ms_call call = call_of(t);
	ms_emit_released(&call, &ev);
}

/* new has returned p, which is not the block that was told of. */
static __attribute__((noinline)) void returned(struct ms_thread *t, const void *p)
{
	const struct ms_operator *op = &t->op;
	if (op->is_own)
		tell_new(t, p, (uint32_t)errno);
	else if (!p && !op->told && !op->has_failed)
		tell_new(t, NULL, (uint32_t)errno);
	else if (p && (op->told || op->untold == (uintptr_t)p))
		ms_operators_give_up();
}

static void leave(struct ms_thread *t)
{
	uintptr_t saved = t->op.saved;
	atomic_signal_fence(memory_order_seq_cst);
	ms_tls.guard = saved;
}

/* The personality routine of the hooks of new: an exception, or the end of the thread, passes through. */
__attribute__((used)) int ms_operator_passed(
	int version, int actions, uint64_t class, void *exception, void *context);
int ms_operator_passed(int version, int actions, uint64_t class, void *exception, void *context)
{
	enum { CLEANUP_PHASE = 2, FORCED = 8, CONTINUE_UNWIND = 8 };
	struct ms_thread *t = ms_tls.thread;
	(void)version, (void)class, (void)exception, (void)context;
	if (!(actions & CLEANUP_PHASE) || !t || !(ms_tls.guard & MS_GUARD_OPERATOR))
		return CONTINUE_UNWIND;
	struct ms_operator *op = &t->op;
	if (!(actions & FORCED) && !op->told && !op->has_failed)
		tell_new(t, NULL, ENOMEM);
	if (op->depth) { /* libstdc++'s nothrow new, around us, may catch it */
		op->depth--;
		ms_tls.guard = op->frame | MS_GUARD_OPERATOR | (ms_tls.guard & MS_GUARD_ASIDE);
		return CONTINUE_UNWIND;
	}
	leave(t);
	if (op->outer)
		*op = *op->outer;
	return CONTINUE_UNWIND;
}

/* pcrel, sdata4: a reference that needs no relocation. */
#define WITH_PERSONALITY __asm__ volatile(".cfi_personality 0x1b, ms_operator_passed")

/* ---- the begin of a call ---- */

ALWAYS_INLINE void begin(struct ms_thread *t, const struct request *r, uintptr_t frame, uintptr_t saved,
	const struct ms_operator *outer, bool is_own)
{
	/* The guard first: from then on a handler's operators put aside what they find. */
	ms_tls.guard = frame | MS_GUARD_OPERATOR | (saved & MS_GUARD_PHASE ? MS_GUARD_ASIDE : 0);
	atomic_signal_fence(memory_order_seq_cst);
	struct ms_operator *op = &t->op; /* one by one: gcc would clear the whole, slowly, first */
	op->kind = r->kind;
	op->is_own = is_own;
	op->has_failed = false;
	op->depth = 0;
	op->frame = frame;
	op->saved = saved;
	op->size = r->size;
	op->align = r->align;
	op->block = r->block;
	op->told = op->untold = op->vain_ip = op->inside = 0;
	op->outer = outer;
	atomic_signal_fence(memory_order_seq_cst);
}

/* What a hook has been asked for: x is a size or the block to be deleted, a and b are what the form says. */
ALWAYS_INLINE struct request request_of(enum ms_operator_form form, uintptr_t x, uintptr_t a, uintptr_t b)
{
	static const uint8_t kinds[MS_N_FORMS] = {
		MS_CALL_NEW,
		MS_CALL_NEW_ARRAY,
		MS_CALL_NEW_NOTHROW,
		MS_CALL_NEW_ARRAY_NOTHROW,
		MS_CALL_NEW,
		MS_CALL_NEW_ARRAY,
		MS_CALL_NEW_NOTHROW,
		MS_CALL_NEW_ARRAY_NOTHROW,
		MS_CALL_DELETE,
		MS_CALL_DELETE_ARRAY,
		MS_CALL_DELETE_SIZED,
		MS_CALL_DELETE_ARRAY_SIZED,
		MS_CALL_DELETE,
		MS_CALL_DELETE_ARRAY,
		MS_CALL_DELETE,
		MS_CALL_DELETE_ARRAY,
		MS_CALL_DELETE_SIZED,
		MS_CALL_DELETE_ARRAY_SIZED,
		MS_CALL_DELETE,
		MS_CALL_DELETE_ARRAY,
	};
	struct request r = {.form = form, .kind = kinds[form]};
	if (form < MS_FORM_DELETE) {
		r.size = x;
		r.align = form >= MS_FORM_NEW_ALIGNED ? a : 0;
		return r;
	}
	bool is_sized = r.kind == MS_CALL_DELETE_SIZED || r.kind == MS_CALL_DELETE_ARRAY_SIZED;
	r.block = x;
	r.size = is_sized ? a : 0;
	r.align = form < MS_FORM_DELETE_ALIGNED ? 0 : is_sized ? b : a;
	return r;
}

/* Ready to record, the thread in no hook, and the real operator a plain one. */
ALWAYS_INLINE bool is_common(const struct ms_thread *t, uintptr_t real)
{
	return MS_LIKELY(real && t && !ms_tls.guard &&
			 atomic_load_explicit(&ms_image_page.is_attached, memory_order_relaxed));
}

/* ---- calls that are not the common case ---- */

enum way { WAY_THROUGH, WAY_PLAIN, WAY_INSIDE, WAY_PART };

/* Is the operator of request r one that the one under way is made of? */
static bool is_part(const struct ms_operator *op, const struct request *r)
{
	if (r->block)
		return op->block == r->block && !op->told;
	return is_new(op->kind) && !op->told && !op->untold && !op->vain_ip && op->size == r->size &&
	       op->align == r->align;
}

/* How the hook at `frame` is to go about a call. */
static __attribute__((noinline)) enum way way_of(
	enum ms_operator_form form, uintptr_t x, uintptr_t a, uintptr_t b, uintptr_t frame)
{
	struct request r = request_of(form, x, a, b);
	if (atomic_load_explicit(&ms_operators.is_unseen, memory_order_relaxed) ||
		atomic_load_explicit(&ms_is_silent, memory_order_relaxed))
		return WAY_THROUGH;
	enum ms_met met = ms_tls.guard ? ms_meet_guard(frame) : MS_MET_NOTHING;
	if (met == MS_MET_NOTHING)
		return ms_thread_ready(frame) ? WAY_PLAIN : WAY_THROUGH;
	if (met != MS_MET_OTHER)
		return WAY_THROUGH;
	const struct ms_operator *op = &ms_tls.thread->op;
	bool is_inside = ms_tls.guard & MS_GUARD_OPERATOR && op->inside == frame;
	return is_inside && is_part(op, &r) ? WAY_PART : WAY_INSIDE;
}

/* A call that may stand in the middle of another, which it puts aside. */
struct passage {
	struct ms_thread *t;
	uintptr_t saved;
	enum way way;
	struct ms_operator outer;
};

static __attribute__((noinline)) void enter(
	struct passage *p, const struct request *r, enum way way, uintptr_t frame)
{
	struct ms_thread *t = ms_tls.thread;
	p->t = t;
	p->way = way;
	p->saved = ms_tls.guard;
	if (way == WAY_PART) {
		t->op.depth++;
		ms_tls.guard = frame | (p->saved & (MS_GUARD_OPERATOR | MS_GUARD_ASIDE));
		return;
	}
	if (way == WAY_INSIDE)
		p->outer = t->op;
	begin(t, r, frame, p->saved, way == WAY_INSIDE ? &p->outer : NULL,
		ms_operators_is_own(ms_operators.real[r->form]));
	if (t->op.is_own && r->block)
		tell_delete(t);
}

static __attribute__((noinline)) void finish(struct passage *p, const void *block)
{
	struct ms_thread *t = p->t;
	if (p->way == WAY_PART) {
		t->op.depth -= t->op.depth != 0;
		ms_tls.guard = p->saved;
		return;
	}
	if (is_new(t->op.kind) && (!block || t->op.told != (uintptr_t)block))
		returned(t, block);
	leave(t);
	if (p->way == WAY_INSIDE)
		t->op = p->outer;
}

/* ---- new ---- */

static __attribute__((noinline)) void *new_inside(
	size_t size, uintptr_t a, uintptr_t b, enum ms_operator_form form, enum way way)
{
	struct request r = request_of(form, size, a, b);
	struct passage passage;
	WITH_PERSONALITY;
	enter(&passage, &r, way, (uintptr_t)__builtin_frame_address(0));
	void *p = ((ms_operator_new_fn *)ms_operators.real[form])(size, a, b);
	finish(&passage, p);
	return p;
}

static __attribute__((noinline)) void *new_rarely(
	size_t size, uintptr_t a, uintptr_t b, enum ms_operator_form form)
{
	uintptr_t real = ms_operators_find(form);
	if (!real) /* nobody has an operator new, so nobody counts on what one does */
		return ms_real_prepare() ? malloc(size) : ms_real.malloc(size);
	enum way way = way_of(form, size, a, b, (uintptr_t)__builtin_frame_address(0));
	if (way == WAY_THROUGH)
		return ((ms_operator_new_fn *)real)(size, a, b);
	return new_inside(size, a, b, form, way);
}

ALWAYS_INLINE void *new_block(enum ms_operator_form form, size_t size, uintptr_t a, uintptr_t b)
{
	uintptr_t real = atomic_load_explicit(&ms_operators.plain[form], memory_order_relaxed);
	struct ms_thread *t = ms_tls.thread;
	struct request r = request_of(form, size, a, b);
	if (!is_common(t, real))
		return new_rarely(size, a, b, form);
	begin(t, &r, (uintptr_t)__builtin_frame_address(0), 0, NULL, false);
	WITH_PERSONALITY;
	void *p = ((ms_operator_new_fn *)real)(size, a, b);
	if (MS_UNLIKELY(!p || t->op.told != (uintptr_t)p))
		returned(t, p);
	ms_leave_fast();
	return p;
}

/* new, new[] */
HOOK void *_Znwm(size_t size);
HOOK void *_Znwm(size_t size)
{
	return new_block(MS_FORM_NEW, size, 0, 0);
}

HOOK void *_Znam(size_t size);
HOOK void *_Znam(size_t size)
{
	return new_block(MS_FORM_NEW_ARRAY, size, 0, 0);
}

HOOK void *_ZnwmRKSt9nothrow_t(size_t size, uintptr_t nothrow);
HOOK void *_ZnwmRKSt9nothrow_t(size_t size, uintptr_t nothrow)
{
	return new_block(MS_FORM_NEW_NOTHROW, size, nothrow, 0);
}

HOOK void *_ZnamRKSt9nothrow_t(size_t size, uintptr_t nothrow);
HOOK void *_ZnamRKSt9nothrow_t(size_t size, uintptr_t nothrow)
{
	return new_block(MS_FORM_NEW_ARRAY_NOTHROW, size, nothrow, 0);
}

HOOK void *_ZnwmSt11align_val_t(size_t size, uintptr_t align);
HOOK void *_ZnwmSt11align_val_t(size_t size, uintptr_t align)
{
	return new_block(MS_FORM_NEW_ALIGNED, size, align, 0);
}

HOOK void *_ZnamSt11align_val_t(size_t size, uintptr_t align);
HOOK void *_ZnamSt11align_val_t(size_t size, uintptr_t align)
{
	return new_block(MS_FORM_NEW_ARRAY_ALIGNED, size, align, 0);
}

HOOK void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t align, uintptr_t nothrow);
HOOK void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t align, uintptr_t nothrow)
{
	return new_block(MS_FORM_NEW_ALIGNED_NOTHROW, size, align, nothrow);
}

HOOK void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t align, uintptr_t nothrow);
HOOK void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t align, uintptr_t nothrow)
{
	return new_block(MS_FORM_NEW_ARRAY_ALIGNED_NOTHROW, size, align, nothrow);
}

/* ---- delete ---- */

static __attribute__((noinline)) void delete_inside(
	void *p, uintptr_t a, uintptr_t b, enum ms_operator_form form, enum way way)
{
	struct request r = request_of(form, (uintptr_t)p, a, b);
	struct passage passage;
	enter(&passage, &r, way, (uintptr_t)__builtin_frame_address(0));
	((ms_operator_delete_fn *)ms_operators.real[form])(p, a, b);
	finish(&passage, NULL);
}

static __attribute__((noinline)) void delete_rarely(
	void *p, uintptr_t a, uintptr_t b, enum ms_operator_form form)
{
	uintptr_t real = ms_operators_find(form);
	if (!real) {
		free(p);
		return;
	}
	enum way way = WAY_THROUGH; /* of NULL: no event */
	if (p)
		way = way_of(form, (uintptr_t)p, a, b, (uintptr_t)__builtin_frame_address(0));
	if (way == WAY_THROUGH)
		((ms_operator_delete_fn *)real)(p, a, b);
	else
		delete_inside(p, a, b, form, way);
}

ALWAYS_INLINE void delete_block(enum ms_operator_form form, void *p, uintptr_t a, uintptr_t b)
{
	uintptr_t real = atomic_load_explicit(&ms_operators.plain[form], memory_order_relaxed);
	struct ms_thread *t = ms_tls.thread;
	struct request r = request_of(form, (uintptr_t)p, a, b);
	if (!p || !is_common(t, real)) {
		delete_rarely(p, a, b, form);
		return;
	}
	begin(t, &r, (uintptr_t)__builtin_frame_address(0), 0, NULL, false);
	((ms_operator_delete_fn *)real)(p, a, b);
	ms_leave_fast();
}

HOOK void _ZdlPv(void *p);
HOOK void _ZdlPv(void *p)
{
	delete_block(MS_FORM_DELETE, p, 0, 0);
}

HOOK void _ZdaPv(void *p);
HOOK void _ZdaPv(void *p)
{
	delete_block(MS_FORM_DELETE_ARRAY, p, 0, 0);
}

HOOK void _ZdlPvm(void *p, size_t size);
HOOK void _ZdlPvm(void *p, size_t size)
{
	delete_block(MS_FORM_DELETE_SIZED, p, size, 0);
}

HOOK void _ZdaPvm(void *p, size_t size);
HOOK void _ZdaPvm(void *p, size_t size)
{
	delete_block(MS_FORM_DELETE_ARRAY_SIZED, p, size, 0);
}

HOOK void _ZdlPvRKSt9nothrow_t(void *p, uintptr_t nothrow);
HOOK void _ZdlPvRKSt9nothrow_t(void *p, uintptr_t nothrow)
{
	delete_block(MS_FORM_DELETE_NOTHROW, p, nothrow, 0);
}

HOOK void _ZdaPvRKSt9nothrow_t(void *p, uintptr_t nothrow);
HOOK void _ZdaPvRKSt9nothrow_t(void *p, uintptr_t nothrow)
{
	delete_block(MS_FORM_DELETE_ARRAY_NOTHROW, p, nothrow, 0);
}

HOOK void _ZdlPvSt11align_val_t(void *p, uintptr_t align);
HOOK void _ZdlPvSt11align_val_t(void *p, uintptr_t align)
{
	delete_block(MS_FORM_DELETE_ALIGNED, p, align, 0);
}

HOOK void _ZdaPvSt11align_val_t(void *p, uintptr_t align);
HOOK void _ZdaPvSt11align_val_t(void *p, uintptr_t align)
{
	delete_block(MS_FORM_DELETE_ARRAY_ALIGNED, p, align, 0);
}

HOOK void _ZdlPvmSt11align_val_t(void *p, size_t size, uintptr_t align);
HOOK void _ZdlPvmSt11align_val_t(void *p, size_t size, uintptr_t align)
{
	delete_block(MS_FORM_DELETE_SIZED_ALIGNED, p, size, align);
}

HOOK void _ZdaPvmSt11align_val_t(void *p, size_t size, uintptr_t align);
HOOK void _ZdaPvmSt11align_val_t(void *p, size_t size, uintptr_t align)
{
	delete_block(MS_FORM_DELETE_ARRAY_SIZED_ALIGNED, p, size, align);
}

HOOK void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, uintptr_t align, uintptr_t nothrow);
HOOK void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, uintptr_t align, uintptr_t nothrow)
{
	delete_block(MS_FORM_DELETE_ALIGNED_NOTHROW, p, align, nothrow);
}

HOOK void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, uintptr_t align, uintptr_t nothrow);
HOOK void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, uintptr_t align, uintptr_t nothrow)
{
	delete_block(MS_FORM_DELETE_ARRAY_ALIGNED_NOTHROW, p, align, nothrow);
}

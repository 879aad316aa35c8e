/* interpose.c - the heap's entry points as the program sees them. (Those of C++ are in operators.c, those by which
 * programs start in exec.c, the mapping layer's in mappings.c.)
 *
 * Each hook is guard, real call, emit. A release is told before the real call, an acquisition after it, a
 * realloc as BEGIN before and its outcome after: between the two another thread may be given the old address.
 * What is recorded is what really happened: results and errno are the real function's, untouched. */
#include "emit.h"
#include "hook.h"
#include "mappings.h"
#include "operators.h"
#include "operators_real.h"
#include "pools.h"
#include "rawcall.h"
#include "real.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define ENTER(call) MS_LIKELY(ms_enter(call, __builtin_frame_address(0)))
#define ENTER_FOR(call, need) MS_LIKELY(ms_enter_for(call, __builtin_frame_address(0), need))

/* ---- what the hooks share ---- */

static void tell_acquired(const struct ms_call *call, const struct ms_event *ev)
{
	if (MS_UNLIKELY(call->saved & MS_GUARD_OPERATOR))
		ms_operator_acquired(call, ev);
	else
		ms_emit_acquired(call, ev);
	ms_leave(call);
}

/* The end of every hook that acquires: tells of success or failure. */
static void acquired(const struct ms_call *call, struct ms_event ev, const void *p)
{
	ev.addr = (uintptr_t)p;
	if (!p) {
		ev.flags |= MS_UF_FAILED;
		ev.addr = (uint32_t)errno;
	}
	tell_acquired(call, &ev);
}

static size_t product(size_t n, size_t size)
{
	size_t bytes;
	return __builtin_mul_overflow(n, size, &bytes) ? SIZE_MAX : bytes;
}

/* The outcome of a realloc of `old`. With size 0 and no result, the allocator has either freed the block
 * (glibc) or failed to do whatever it does then: errno, cleared before the call, tells. */
static void reallocated(
	const struct ms_call *call, uint32_t kind, const void *old, size_t size, const void *p)
{
	struct ms_event ev = {.kind = kind, .flags = MS_UF_OLD, .size = size, .old = (uintptr_t)old};
	if (!p && size == 0 && errno == 0) {
		ev.kind = MS_CALL_REALLOC_FREE;
		p = old;
	}
	acquired(call, ev, p);
}

/* A block of the bootstrap arena moves to the real heap. */
static void *leave_boot(void *old, size_t size, const void *frame)
{
	struct ms_call call;
	bool is_recorded = ms_enter(&call, frame);
	void *p = ms_real.malloc(size);
	if (p)
		memcpy(p, old, ms_boot_size(old) < size ? ms_boot_size(old) : size);
	if (is_recorded)
		acquired(&call, (struct ms_event){.kind = MS_CALL_REALLOC, .size = size}, p);
	return p;
}

/* ---- acquiring ---- */

/* malloc, calloc and free have a way of their own through the common case; all others take the general one. Off that way
 * they look for a pause first: what else has to be got ready would cost more than they do. */
static __attribute__((noinline)) void *malloc_rarely(size_t size, const void *frame)
{
	struct ms_call call;
	if (ms_is_paused_for(MS_NEED_RECORDING) || !ms_enter(&call, frame))
		return ms_real.malloc(size);
	void *p = ms_real.malloc(size);
	acquired(&call, (struct ms_event){.kind = MS_CALL_MALLOC, .size = size}, p);
	return p;
}

/* The same, for operator new: nothing rare about it. */
static __attribute__((noinline)) void *malloc_inside(size_t size, const void *frame)
{
	struct ms_thread *t = ms_operator_asks(size, (uintptr_t)frame);
	struct ms_call call = {.thread = t, .mine = (uintptr_t)frame, .saved = ms_tls.guard};
	if (MS_UNLIKELY(!t))
		return malloc_rarely(size, frame);
	ms_tls.guard = call.mine;
	atomic_signal_fence(memory_order_seq_cst);
	void *p = ms_real.malloc(size);
	if (MS_LIKELY(p != NULL)) {
		ms_operator_got(t, p);
		ms_leave(&call);
	} else {
		acquired(&call, (struct ms_event){.kind = MS_CALL_MALLOC, .size = size}, p);
	}
	return p;
}

HOOK void *malloc(size_t size)
{
	const void *frame = __builtin_frame_address(0);
	struct ms_thread *t = size <= INT32_MAX ? ms_enter_fast(frame) : NULL;
	if (MS_UNLIKELY(!t))
		return ms_tls.guard & MS_GUARD_OPERATOR ? malloc_inside(size, frame)
							: malloc_rarely(size, frame);
	void *p = ms_real.malloc(size);
	if (MS_UNLIKELY(!p)) {
		struct ms_call call = {.thread = t, .mine = (uintptr_t)frame};
		acquired(&call, (struct ms_event){.kind = MS_CALL_MALLOC, .size = size}, NULL);
		return NULL;
	}
	ms_emit_block(t, frame, MS_CALL_MALLOC, p, size);
	ms_leave_fast();
	return p;
}

static __attribute__((noinline, cold)) void *calloc_rarely(size_t n, size_t size, const void *frame)
{
	struct ms_call call;
	if (ms_is_paused_for(MS_NEED_RECORDING) || !ms_enter(&call, frame))
		return ms_real.calloc(n, size);
	void *p = ms_real.calloc(n, size);
	acquired(&call, (struct ms_event){.kind = MS_CALL_CALLOC, .size = product(n, size)}, p);
	return p;
}

HOOK void *calloc(size_t n, size_t size)
{
	const void *frame = __builtin_frame_address(0);
	size_t bytes = product(n, size);
	struct ms_thread *t = bytes <= INT32_MAX ? ms_enter_fast(frame) : NULL;
	if (MS_UNLIKELY(!t))
		return calloc_rarely(n, size, frame);
	void *p = ms_real.calloc(n, size);
	if (MS_UNLIKELY(!p)) {
		struct ms_call call = {.thread = t, .mine = (uintptr_t)frame};
		acquired(&call, (struct ms_event){.kind = MS_CALL_CALLOC, .size = bytes}, NULL);
		return NULL;
	}
	ms_emit_block(t, frame, MS_CALL_CALLOC, p, bytes);
	ms_leave_fast();
	return p;
}

/* realloc and reallocarray, but for the call itself. */
struct realloc_call {
	struct ms_call call;
	const void *old;
	size_t size;
	uint32_t kind;
	int saved_errno;
	bool is_recorded;
};

static inline __attribute__((always_inline)) void realloc_begin(struct realloc_call *r)
{
	r->is_recorded = ENTER_FOR(&r->call, r->old ? MS_NEED_HISTORY : MS_NEED_RECORDING);
	if (!r->is_recorded || !r->old)
		return;
	ms_emit_begin(&r->call, r->old);
	if (r->size == 0) {
		r->saved_errno = errno;
		errno = 0;
	}
}

static inline __attribute__((always_inline)) void realloc_end(struct realloc_call *r, const void *p)
{
	if (!r->is_recorded)
		return;
	if (!r->old) {
		acquired(&r->call, (struct ms_event){.kind = r->kind, .size = r->size}, p);
		return;
	}
	reallocated(&r->call, r->kind, r->old, r->size, p);
	if (r->size == 0 && errno == 0)
		errno = r->saved_errno;
}

HOOK void *realloc(void *old, size_t size)
{
	struct realloc_call r = {.old = old, .size = size, .kind = MS_CALL_REALLOC};
	if (old && ms_boot_owns(old))
		return leave_boot(old, size, __builtin_frame_address(0));
	realloc_begin(&r);
	void *p = ms_real.realloc(old, size);
	realloc_end(&r, p);
	return p;
}

HOOK void *reallocarray(void *old, size_t n, size_t size)
{
	struct realloc_call r = {.old = old, .size = product(n, size), .kind = MS_CALL_REALLOCARRAY};
	if (old && ms_boot_owns(old))
		return leave_boot(old, r.size, __builtin_frame_address(0));
	realloc_begin(&r);
	void *p = ms_real.reallocarray(old, n, size);
	realloc_end(&r, p);
	return p;
}

HOOK int posix_memalign(void **out, size_t align, size_t size)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.posix_memalign(out, align, size);
	int rc = ms_real.posix_memalign(out, align, size);
	struct ms_event ev = {
		.kind = MS_CALL_POSIX_MEMALIGN, .flags = MS_UF_ALIGN, .size = size, .align = align};
	ev.flags |= rc ? MS_UF_FAILED : 0;
	ev.addr = rc ? (uint32_t)rc : (uintptr_t)*out;
	tell_acquired(&call, &ev);
	return rc;
}

HOOK void *aligned_alloc(size_t align, size_t size)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.aligned_alloc(align, size);
	void *p = ms_real.aligned_alloc(align, size);
	acquired(&call, (struct ms_event){MS_CALL_ALIGNED_ALLOC, MS_UF_ALIGN, .size = size, .align = align},
		p);
	return p;
}

HOOK void *memalign(size_t align, size_t size)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.memalign(align, size);
	void *p = ms_real.memalign(align, size);
	acquired(&call, (struct ms_event){MS_CALL_MEMALIGN, MS_UF_ALIGN, .size = size, .align = align}, p);
	return p;
}

HOOK void *valloc(size_t size)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.valloc(size);
	void *p = ms_real.valloc(size);
	acquired(&call, (struct ms_event){.kind = MS_CALL_VALLOC, .size = size}, p);
	return p;
}

HOOK void *pvalloc(size_t size)
{
	struct ms_call call;
	if (!ENTER(&call))
		return ms_real.pvalloc(size);
	void *p = ms_real.pvalloc(size);
	acquired(&call, (struct ms_event){.kind = MS_CALL_PVALLOC, .size = size}, p);
	return p;
}

/* ---- releasing ---- */

/* free, and the other ways to release. A libc may have them or not (free_sized is younger than most, cfree
 * was dropped in 2.26), and says in either case that they do as free does: so free is what is called. */
static __attribute__((noinline)) void release(struct ms_event ev, void *p, const void *frame)
{
	struct ms_call call;
	if (!p || ms_boot_owns(p))
		return;
	if (!ms_enter_for(&call, frame, MS_NEED_HISTORY)) {
		ms_real.free(p);
		return;
	}
	ev.addr = (uintptr_t)p;
	if (MS_UNLIKELY(call.saved & MS_GUARD_OPERATOR))
		ms_operator_released(&call, &ev);
	else
		ms_emit_released(&call, &ev);
	ms_real.free(p);
	ms_leave(&call);
}

static __attribute__((noinline)) void free_rarely(void *p, const void *frame)
{
	if (ms_is_paused_for(MS_NEED_HISTORY) && !ms_boot_owns(p)) {
		ms_real.free(p);
		return;
	}
	release((struct ms_event){.kind = MS_CALL_FREE}, p, frame);
}

/* For operator delete: nothing rare about it. */
static __attribute__((noinline)) void free_inside(void *p, const void *frame)
{
	struct ms_thread *t = ms_boot_owns(p) ? NULL : ms_operator_gives_back(p, (uintptr_t)frame);
	uintptr_t saved = ms_tls.guard;
	if (MS_UNLIKELY(!t)) {
		free_rarely(p, frame);
		return;
	}
	ms_tls.guard = (uintptr_t)frame;
	atomic_signal_fence(memory_order_seq_cst);
	ms_operator_gives(t, p);
	ms_tls.guard = (uintptr_t)frame; /* emitting has left it at rest in the operator's frame */
	ms_real.free(p);
	atomic_signal_fence(memory_order_seq_cst);
	ms_tls.guard = saved;
}

HOOK void free(void *p)
{
	const void *frame = __builtin_frame_address(0);
	if (!p)
		return;
	struct ms_thread *t = !ms_boot_owns(p) ? ms_enter_fast(frame) : NULL;
	if (MS_UNLIKELY(!t)) {
		if (ms_tls.guard & MS_GUARD_OPERATOR)
			free_inside(p, frame);
		else
			free_rarely(p, frame);
		return;
	}
	ms_emit_free(t, frame, p);
	ms_real.free(p);
	ms_leave_fast();
}

HOOK void free_sized(void *p, size_t size);
HOOK void free_sized(void *p, size_t size)
{
	release((struct ms_event){.kind = MS_CALL_FREE_SIZED, .size = size}, p, __builtin_frame_address(0));
}

HOOK void free_aligned_sized(void *p, size_t align, size_t size);
HOOK void free_aligned_sized(void *p, size_t align, size_t size)
{
	release((struct ms_event){MS_CALL_FREE_ALIGNED_SIZED, MS_UF_ALIGN, .size = size, .align = align}, p,
		__builtin_frame_address(0));
}

HOOK void cfree(void *p);
HOOK void cfree(void *p)
{
	release((struct ms_event){.kind = MS_CALL_CFREE}, p, __builtin_frame_address(0));
}

/* ---- modules and names: watched, not changed ---- */

/* The unwinder must not use what it knows of a module that is being unloaded; its destructors may allocate,
 * so the hook is not entered until it is gone. */
HOOK int dlclose(void *handle)
{
	static void *_Atomic real_dlclose;
	struct ms_call call;
	int (*real)(void *) = (int (*)(void *))ms_real_find(&real_dlclose, "dlclose");
	ms_unwind_dlclose_begin();
	int rc = real(handle);
	ms_unwind_dlclose_end();
	ms_operators_check_loaded();
	ms_pools_forget();
	if (ENTER_FOR(&call, MS_NEED_NOTHING)) {
		ms_emit_unloaded_modules(&call);
		ms_leave(&call);
	}
	return rc;
}

/* A thread may be about to lose its clock: to PR_SET_TSC, or to the strict sandbox, which takes the TSC away
 * and kills for any system call, so that nothing else can be asked either. Its further calls are counted, not
 * recorded. */
HOOK int prctl(int operation, ...)
{
	static void *_Atomic real_prctl;
	unsigned long arg[4];
	va_list args;
	va_start(args, operation);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(args, unsigned long);
	va_end(args);
	int (*real)(int, ...) = (int (*)(int, ...))ms_real_find(&real_prctl, "prctl");
	bool is_last = (operation == PR_SET_TSC && arg[0] == PR_TSC_SIGSEGV) ||
		       (operation == PR_SET_SECCOMP && arg[0] == SECCOMP_MODE_STRICT);
	bool is_filter = operation == PR_SET_SECCOMP && arg[0] == SECCOMP_MODE_FILTER;
	if (operation == PR_SET_NO_NEW_PRIVS || operation == PR_SET_SECCOMP) { /* nearly every sandbox begins with the first */
		ms_attach_while_allowed((uintptr_t)__builtin_frame_address(0));
		ms_mappings_confine();
	}
	uint32_t slotless_calls = ms_tls.slotless_calls;
	struct ms_thread *thread = ms_tls.thread;
	uint32_t was_confined = ms_is_confined;
	if (is_filter)
		ms_is_confined = 1;
	if (is_last)
		ms_thread_retire();
	int rc = real(operation, arg[0], arg[1], arg[2], arg[3]);
	if (is_filter && rc < 0)
		ms_is_confined = was_confined;
	if (is_last && rc < 0) {
		ms_tls.thread = thread;
		ms_tls.slotless_calls = slotless_calls;
	}
	return rc;
}

HOOK int pthread_setname_np(pthread_t thread, const char *name)
{
	static void *_Atomic real_setname;
	struct ms_call call;
	int (*real)(pthread_t, const char *) =
		(int (*)(pthread_t, const char *))ms_real_find(&real_setname, "pthread_setname_np");
	int rc = real(thread, name);
	if (rc == 0 && thread == pthread_self() && ENTER_FOR(&call, MS_NEED_HISTORY)) {
		ms_emit_thread_name(&call);
		ms_leave(&call);
	}
	return rc;
}

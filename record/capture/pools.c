/* See pools.h. */
#include "pools.h"

#include "definition.h"
#include "emit.h"
#include "hook.h"
#include "libc_needs.h"
#include "thread.h"

#include <errno.h>
#include <link.h>
#include <string.h>

#define HIDDEN __attribute__((visibility("hidden")))
#define NAKED __attribute__((naked))

enum { STACK_WORDS = 8 };

/* The frame of a wrapped call, from its lowest address on; the assembler below knows it. */
struct pool_frame {
	uint64_t stack[STACK_WORDS];  /* of the call to the real function: what may be arguments */
	uint64_t arg[6];	      /* rdi, rsi, rdx, rcx, r8, r9 */
	uint64_t rax, r10;	      /* number of vector arguments, static chain */
	uint64_t vector[8][2];	      /* xmm0 to xmm7 */
	uint64_t result[2];	      /* rax, rdx */
	uint64_t vector_result[2][2]; /* xmm0, xmm1 */
	const struct ms_wrapped *wrapped;
	uintptr_t frame;
	uint32_t is_followed; /* 0: jump to the real function, and never mind */
	int saved_errno;
	uint64_t pad[5];
};
_Static_assert(sizeof(struct pool_frame) == 368 && offsetof(struct pool_frame, arg) == 64 &&
		       offsetof(struct pool_frame, vector) == 128 && offsetof(struct pool_frame, result) == 256 &&
		       offsetof(struct pool_frame, vector_result) == 272 &&
		       offsetof(struct pool_frame, is_followed) == 320,
	"as the assembler has it, and a multiple of 16");

HIDDEN void *ms_pool_begin(struct pool_frame *f, const struct ms_wrapped *wrapped, uintptr_t frame);
HIDDEN void ms_pool_end(struct pool_frame *f);
extern const char ms_pool_return[] HIDDEN, ms_wrapped_call_end[] HIDDEN;

/* MS_WRAP_ENTRY. */
HOOK void ms_wrapped_call(void);
HOOK NAKED void ms_wrapped_call(void)
{
	__asm__("endbr64\n\t"
		"pushq %rbp\n\t"
		".cfi_def_cfa_offset 16\n\t"
		".cfi_offset 6, -16\n\t"
		"movq %rsp, %rbp\n\t"
		".cfi_def_cfa_register 6\n\t"
		"subq $368, %rsp\n\t"
		"movq %rdi, 64(%rsp)\n\t"
		"movq %rsi, 72(%rsp)\n\t"
		"movq %rdx, 80(%rsp)\n\t"
		"movq %rcx, 88(%rsp)\n\t"
		"movq %r8, 96(%rsp)\n\t"
		"movq %r9, 104(%rsp)\n\t"
		"movq %rax, 112(%rsp)\n\t"
		"movq %r10, 120(%rsp)\n\t"
		"movups %xmm0, 128(%rsp)\n\t"
		"movups %xmm1, 144(%rsp)\n\t"
		"movups %xmm2, 160(%rsp)\n\t"
		"movups %xmm3, 176(%rsp)\n\t"
		"movups %xmm4, 192(%rsp)\n\t"
		"movups %xmm5, 208(%rsp)\n\t"
		"movups %xmm6, 224(%rsp)\n\t"
		"movups %xmm7, 240(%rsp)\n\t"
		"movq %rsp, %rdi\n\t"
		"movq %r11, %rsi\n\t"
		"movq %rbp, %rdx\n\t"
		"call ms_pool_begin\n\t"
		"movq %rax, %r11\n\t"
		"movq 64(%rsp), %rdi\n\t"
		"movq 72(%rsp), %rsi\n\t"
		"movq 80(%rsp), %rdx\n\t"
		"movq 88(%rsp), %rcx\n\t"
		"movq 96(%rsp), %r8\n\t"
		"movq 104(%rsp), %r9\n\t"
		"movq 112(%rsp), %rax\n\t"
		"movq 120(%rsp), %r10\n\t"
		"movups 128(%rsp), %xmm0\n\t"
		"movups 144(%rsp), %xmm1\n\t"
		"movups 160(%rsp), %xmm2\n\t"
		"movups 176(%rsp), %xmm3\n\t"
		"movups 192(%rsp), %xmm4\n\t"
		"movups 208(%rsp), %xmm5\n\t"
		"movups 224(%rsp), %xmm6\n\t"
		"movups 240(%rsp), %xmm7\n\t"
		"cmpl $0, 320(%rsp)\n\t"
		"je 1f\n\t"
		"call *%r11\n\t"
		".globl ms_pool_return\n\t"
		".hidden ms_pool_return\n"
		"ms_pool_return:\n\t"
		"movq %rax, 256(%rsp)\n\t"
		"movq %rdx, 264(%rsp)\n\t"
		"movups %xmm0, 272(%rsp)\n\t"
		"movups %xmm1, 288(%rsp)\n\t"
		"movq %rsp, %rdi\n\t"
		"call ms_pool_end\n\t"
		"movq 256(%rsp), %rax\n\t"
		"movq 264(%rsp), %rdx\n\t"
		"movups 272(%rsp), %xmm0\n\t"
		"movups 288(%rsp), %xmm1\n\t"
		".cfi_remember_state\n\t"
		"leave\n\t"
		".cfi_def_cfa 7, 8\n\t"
		"ret\n"
		"1:\n\t"
		".cfi_restore_state\n\t"
		"leave\n\t"
		".cfi_def_cfa 7, 8\n\t"
		"jmp *%r11\n\t"
		".globl ms_wrapped_call_end\n\t"
		".hidden ms_wrapped_call_end\n"
		"ms_wrapped_call_end:\n\t");
}

bool ms_pools_is_return(uintptr_t ip)
{
	return ip == (uintptr_t)ms_pool_return;
}

/* Is it anywhere in a wrapped call, or did what it has called return there? */
static bool is_in_call(uintptr_t ip)
{
	return ip - (uintptr_t)ms_wrapped_call < (uintptr_t)ms_wrapped_call_end - (uintptr_t)ms_wrapped_call;
}

/* ---- the real function ---- */

enum { CALLERS = 4, NO_MODULE = 2, FORGOTTEN = 1 };

/* What was found for a function. A caller's entry is written once, its key last, and never used again: whoever has seen
 * the key sees the function that goes with it. Without room it is looked for at every call. */
static struct found {
	_Atomic uintptr_t for_all;
	struct {
		_Atomic uintptr_t module, function; /* module: where the caller's begins; 0 = empty */
	} callers[CALLERS];
	_Atomic uint32_t n_callers;
} found[MS_WRAPS_MAX];

static uintptr_t module_of(uintptr_t ip)
{
	struct dl_find_object object;
	if (_dl_find_object((void *)ip, &object) < 0)
		return NO_MODULE;
	return (uintptr_t)object.dlfo_map_start;
}

static void remember(struct found *f, uintptr_t module, uintptr_t function)
{
	uint32_t i = atomic_load(&f->n_callers);
	do {
		if (i >= CALLERS)
			return;
	} while (!atomic_compare_exchange_weak(&f->n_callers, &i, i + 1));
	atomic_store(&f->callers[i].function, function);
	atomic_store(&f->callers[i].module, module);
}

static uintptr_t look_up(struct found *f, const struct ms_wrapped *w, uintptr_t caller)
{
	uintptr_t module = module_of(caller);
	for (uint32_t i = 0; i < CALLERS; i++) {
		if (atomic_load(&f->callers[i].module) == module)
			return atomic_load(&f->callers[i].function);
	}
	struct ms_definition d =
		ms_definition_find((const char *)w + w->name_off, (uintptr_t)w, caller);
	if (d.function && d.is_for_all)
		atomic_store(&f->for_all, d.function);
	else if (d.function)
		remember(f, module, d.function);
	return d.function;
}

static uintptr_t real_of(const struct ms_wrapped *w, uintptr_t caller)
{
	struct found *f = &found[w->number % MS_WRAPS_MAX];
	uintptr_t function = atomic_load_explicit(&f->for_all, memory_order_acquire);
	return MS_LIKELY(function) ? function : look_up(f, w, caller);
}

void ms_pools_forget(void)
{
	for (uint32_t i = 0; i < MS_WRAPS_MAX; i++) {
		for (uint32_t k = 0; k < CALLERS; k++) {
			if (atomic_load(&found[i].callers[k].module))
				atomic_store(&found[i].callers[k].module, FORGOTTEN);
		}
	}
}

/* In the place of a function that is nowhere: a program may have asked for its address, or for whether there is one. */
static void *nothing(void)
{
	return NULL;
}

/* LD_PRELOAD has it in front of us, and so has the loader. */
const char *ms_pools_wrapper_path(void)
{
	static const char here, name[] = "/" MS_WRAP_FILE;
	struct dl_find_object us;
	if (!ms_libc_is_known() || _dl_find_object((void *)(uintptr_t)&here, &us) < 0 || !us.dlfo_link_map->l_prev)
		return NULL;
	const char *path = us.dlfo_link_map->l_prev->l_name;
	size_t len = path ? strlen(path) : 0;
	return len >= sizeof(name) && strcmp(path + len - (sizeof(name) - 1), name) == 0 ? path : NULL;
}

/* ---- calls within calls ---- */

/* Enters a call of the pool at `frame`; false: it is made by another one of the same pool, which tells. */
static bool enter(struct ms_thread *t, uint32_t pool, uintptr_t frame)
{
	while (t->n_pools && t->pools[t->n_pools - 1].frame <= frame &&
		ms_thread_nesting(t->pools[t->n_pools - 1].frame, frame, is_in_call) == MS_NEST_LEFTOVER)
		t->n_pools--;
	for (uint32_t i = t->n_pools; i-- > 0;) {
		if (t->pools[i].pool != pool)
			continue;
		enum ms_nesting nesting = ms_thread_nesting(t->pools[i].frame, frame, is_in_call);
		if (nesting == MS_NEST_ALLOCATOR)
			return false;
		if (nesting == MS_NEST_SIGNAL)
			break;
		t->n_pools = i; /* what came after it is left, too */
	}
	if (t->n_pools < MS_POOLS_NESTED) {
		t->pools[t->n_pools].frame = frame;
		t->pools[t->n_pools].pool = pool;
		atomic_signal_fence(memory_order_seq_cst);
		t->n_pools++;
	}
	return true;
}

static void leave(struct ms_thread *t, uintptr_t frame)
{
	for (uint32_t i = t ? t->n_pools : 0; i-- > 0;) {
		if (t->pools[i].frame == frame) {
			t->n_pools = i;
			return;
		}
	}
}

/* ---- one call ---- */

static uint64_t argument(const struct pool_frame *f, unsigned number)
{
	return number >= 1 && number <= 6 ? f->arg[number - 1] : 0;
}

static uint64_t size_of(const struct pool_frame *f, const struct ms_wrapped *w)
{
	uint64_t size = argument(f, w->size), bytes;
	if (!w->count)
		return size;
	return __builtin_mul_overflow(size, argument(f, w->count), &bytes) ? UINT64_MAX : bytes;
}

/* What a call needs told of it while the recording is paused. */
static enum ms_need need_of(const struct ms_wrapped *w, uint64_t block)
{
	return w->role == MS_WRAP_ALLOC || (w->role == MS_WRAP_REALLOC && !block) ? MS_NEED_RECORDING : MS_NEED_HISTORY;
}

/* The words above the return address: the caller's, and perhaps arguments. They may be the last of its stack. */
static void copy_stack(struct pool_frame *f)
{
	uintptr_t from = f->frame + 2 * sizeof(uint64_t);
	size_t left = MS_PAGE - from % MS_PAGE;
	if (left < sizeof(f->stack))
		ms_thread_copy_stack(from, f->stack, STACK_WORDS);
	else
		memcpy(f->stack, (const void *)from, sizeof(f->stack));
}

static bool begin(struct pool_frame *f, const struct ms_wrapped *w)
{
	uint64_t block = argument(f, w->block);
	struct ms_call call;
	if (w->role == MS_WRAP_FREE && !block)
		return false;
	if (!ms_enter_for(&call, (void *)f->frame, need_of(w, block)))
		return false;
	bool is_own = enter(call.thread, w->pool, f->frame);
	if (is_own && w->role == MS_WRAP_FREE)
		ms_emit_released(&call, &(struct ms_event){.kind = MS_CALL_POOL_FREE, .flags = MS_UF_ALIGN,
						.addr = block, .align = w->number});
	else if (is_own && w->role == MS_WRAP_REALLOC && block)
		ms_emit_pool_begin(&call, block, w->number);
	ms_leave(&call);
	return is_own;
}

void *ms_pool_begin(struct pool_frame *f, const struct ms_wrapped *w, uintptr_t frame)
{
	int error = errno;
	f->wrapped = w;
	f->frame = frame;
	f->is_followed = 0;
	uintptr_t real = real_of(w, ((const uintptr_t *)frame)[1]);
	if (real && begin(f, w)) {
		f->is_followed = 1;
		f->saved_errno = error;
		copy_stack(f);
		if (w->role != MS_WRAP_FREE)
			error = 0; /* what it says when it fails is its own */
	}
	errno = error;
	return real ? (void *)real : (void *)(uintptr_t)nothing;
}

static void tell_outcome(const struct pool_frame *f, const struct ms_call *call)
{
	const struct ms_wrapped *w = f->wrapped;
	uint64_t block = argument(f, w->block), got = f->result[0];
	struct ms_event ev = {.kind = MS_CALL_POOL_ALLOC, .flags = MS_UF_ALIGN, .addr = got, .size = size_of(f, w),
		.align = w->number};
	if (w->role == MS_WRAP_REALLOC)
		ev.kind = MS_CALL_POOL_REALLOC;
	if (block) {
		ev.flags |= MS_UF_OLD;
		ev.old = block;
	}
	if (!got && block && ev.size == 0 && errno == 0) { /* as realloc does */
		ev.kind = MS_CALL_POOL_REALLOC_FREE;
		ev.addr = block;
	} else if (!got) {
		ev.flags |= MS_UF_FAILED;
		ev.addr = (uint32_t)errno;
	}
	ms_emit_acquired(call, &ev);
}

void ms_pool_end(struct pool_frame *f)
{
	const struct ms_wrapped *w = f->wrapped;
	struct ms_call call;
	int error = errno;
	if (w->role != MS_WRAP_FREE && ms_enter_for(&call, (void *)f->frame, need_of(w, argument(f, w->block)))) {
		leave(call.thread, f->frame);
		errno = error;
		tell_outcome(f, &call);
		ms_leave(&call);
	} else {
		leave(ms_tls.thread, f->frame);
	}
	errno = error || w->role == MS_WRAP_FREE ? error : f->saved_errno;
}

/* emit.h - one heap call becomes one published unit, or one counted loss.
 *
 *	guard = RECORDING → unwind → room → intent → stamp → write → committed → intent = 0 → guard at rest
 *
 * The stack is unwound and room is found before the stamp is taken, so that the time in which the recorder
 * must hold its watermark back is a few nanoseconds, and so that a stamp never waits for room: a release that
 * had to wait is still stamped just before the real call. */
#ifndef MS_EMIT_H
#define MS_EMIT_H

#include "thread.h"

struct ms_event {
	uint32_t kind;	/* MS_CALL_* below: the wire's numbers of heap calls */
	uint32_t flags; /* MS_UF_FAILED, MS_UF_OLD, MS_UF_ALIGN as they apply */
	uint64_t addr;	/* acquired, or released; errno if FAILED */
	uint64_t size;	/* asked for */
	uint64_t old;	/* with MS_UF_OLD */
	uint64_t align; /* with MS_UF_ALIGN; calls of the mapping layer: words at `more`; of pools: ms_wrapped.number */
	const uint64_t *more; /* of calls of the mapping layer, as in wire.h */
};

/* As enum mst_op, which this library does not see. */
enum ms_call_kind {
	MS_CALL_MALLOC = 1,
	MS_CALL_CALLOC = 2,
	MS_CALL_REALLOC = 3,
	MS_CALL_REALLOCARRAY = 4,
	MS_CALL_POSIX_MEMALIGN = 5,
	MS_CALL_ALIGNED_ALLOC = 6,
	MS_CALL_MEMALIGN = 7,
	MS_CALL_VALLOC = 8,
	MS_CALL_PVALLOC = 9,
	MS_CALL_FREE = 10,
	MS_CALL_FREE_SIZED = 11,
	MS_CALL_FREE_ALIGNED_SIZED = 12,
	MS_CALL_CFREE = 13,
	MS_CALL_REALLOC_FREE = 14,
	MS_CALL_REALLOC_BEGIN = 15,
	MS_CALL_NEW = 17,
	MS_CALL_NEW_ARRAY = 18,
	MS_CALL_NEW_NOTHROW = 19,
	MS_CALL_NEW_ARRAY_NOTHROW = 20,
	MS_CALL_DELETE = 21,
	MS_CALL_DELETE_ARRAY = 22,
	MS_CALL_DELETE_SIZED = 23,
	MS_CALL_DELETE_ARRAY_SIZED = 24,
	MS_CALL_MMAP = 32,
	MS_CALL_MUNMAP = 33,
	MS_CALL_MREMAP = 34,
	MS_CALL_BRK = 35,
	MS_CALL_SBRK = 36,
	MS_CALL_MADVISE = 37,
	MS_CALL_MPROTECT = 38,
	MS_CALL_POOL_ALLOC = 48,
	MS_CALL_POOL_FREE = 49,
	MS_CALL_POOL_REALLOC = 50,
	MS_CALL_POOL_REALLOC_FREE = 51,
};

/* The real call has returned: tell of it. The stack is that of the hook's caller, as for all events. */
void ms_emit_acquired(const struct ms_call *call, const struct ms_event *ev);

/* The real call is about to release ev->addr: tell of it. size is 0 unless the caller said it. */
void ms_emit_released(const struct ms_call *call, const struct ms_event *ev);

/* The same for the commonest, after ms_enter_fast: the call (kind) returned the block p for a size < 2^31;
 * free(p), or one of its kin that was told a size < 2^31 or 0, is about to release one. */
void ms_emit_block(
	struct ms_thread *t, const void *frame, enum ms_call_kind kind, const void *p, size_t size);
void ms_emit_free(struct ms_thread *t, const void *frame, const void *p);
void ms_emit_release(
	struct ms_thread *t, const void *frame, enum ms_call_kind kind, const void *p, size_t size);

/* realloc(p) is about to begin. */
void ms_emit_begin(const struct ms_call *call, const void *p);
/* The same of the realloc of a pool, function `number`. */
void ms_emit_pool_begin(const struct ms_call *call, uint64_t addr, uint32_t number);

/* Units that are no heap calls, for a hook that is at rest (the first three) or inside an unwind (a module
 * that was just met). What can not be sent is dropped: a module is sent again later. */
bool ms_emit_note(const struct ms_call *call, enum ms_unit_kind kind, const uint64_t *words, size_t n);
/* The same for marks and pauses: what can not be sent is counted as an event lost. */
bool ms_emit_annotation(const struct ms_call *call, enum ms_unit_kind kind, const uint64_t *words, size_t n);
void ms_emit_thread_name(const struct ms_call *call);
void ms_emit_unloaded_modules(const struct ms_call *call);
void ms_emit_module(const struct dl_find_object *found);

/* A handler's call for which there is no place, not even aside: counts it. */
void ms_emit_drop_aside(struct ms_thread *t);

/* After a hook was left by a jump: bring the thread's state back to rest. */
void ms_emit_recover(struct ms_thread *t);

#endif

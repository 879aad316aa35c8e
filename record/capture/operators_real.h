/* operators_real.h - the operators new and delete behind our hooks: what the program would have called without
 * us.
 *
 * This library links no C++ library, and the program may load one at any time, or never. So the operators are
 * looked up when a hook is first called, in the modules behind this one, in the order in which they were
 * loaded: as the loader would have done, and as dlsym can not (it fails where the C++ library came with a
 * plugin that was loaded locally, and a failing dlsym spoils the program's dlerror).
 *
 * Three cases. *Plain*: an operator gets its memory from malloc, like that of every C++ library. *Own*: it
 * stands in the very module that has malloc, as in tcmalloc; it is the allocator. *Unseen*: the executable has
 * operators of its own, which the loader prefers to our hooks. They come with whatever form of operator they
 * do not replace calling them from behind, so that half of a block's life would be told as new or delete and
 * half as malloc or free: then none is told, and all is seen at malloc. */
#ifndef MS_OPERATORS_REAL_H
#define MS_OPERATORS_REAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ms_operator_form {
	MS_FORM_NEW,
	MS_FORM_NEW_ARRAY,
	MS_FORM_NEW_NOTHROW,
	MS_FORM_NEW_ARRAY_NOTHROW,
	MS_FORM_NEW_ALIGNED,
	MS_FORM_NEW_ARRAY_ALIGNED,
	MS_FORM_NEW_ALIGNED_NOTHROW,
	MS_FORM_NEW_ARRAY_ALIGNED_NOTHROW,
	MS_FORM_DELETE,
	MS_FORM_DELETE_ARRAY,
	MS_FORM_DELETE_SIZED,
	MS_FORM_DELETE_ARRAY_SIZED,
	MS_FORM_DELETE_NOTHROW,
	MS_FORM_DELETE_ARRAY_NOTHROW,
	MS_FORM_DELETE_ALIGNED,
	MS_FORM_DELETE_ARRAY_ALIGNED,
	MS_FORM_DELETE_SIZED_ALIGNED,
	MS_FORM_DELETE_ARRAY_SIZED_ALIGNED,
	MS_FORM_DELETE_ALIGNED_NOTHROW,
	MS_FORM_DELETE_ARRAY_ALIGNED_NOTHROW,
	MS_N_FORMS,
};

/* As new and delete: up to two more arguments (an alignment, a size, std::nothrow), which stand in registers
 * whether the callee wants them or not. */
typedef void *ms_operator_new_fn(size_t size, uintptr_t a, uintptr_t b);
typedef void ms_operator_delete_fn(void *p, uintptr_t a, uintptr_t b);

struct ms_operators {
	_Atomic uintptr_t real[MS_N_FORMS];  /* 0: not known (yet) */
	_Atomic uintptr_t plain[MS_N_FORMS]; /* the same, if it is plain and none is unseen; else 0 */
	_Atomic uintptr_t own_start, own_end; /* the allocator's module, if it has operators; else 0, 0 */
	_Atomic uintptr_t us_start, us_end;   /* this library */
	_Atomic bool is_unseen;
};
extern struct ms_operators ms_operators;

/* The real operator; 0 if there is none. Looks for it if need be: the loader's lock, no allocation. */
uintptr_t ms_operators_find(enum ms_operator_form form);

/* A replaced operator does not do with malloc what an operator does: from now on see malloc alone. */
void ms_operators_give_up(void);

/* After a dlclose: if a module with operators is gone, they are looked for again. */
void ms_operators_check_loaded(void);

/* Is this operator, or is this code, the allocator's own? */
static inline bool ms_operators_is_own(uintptr_t code)
{
	uintptr_t start = atomic_load_explicit(&ms_operators.own_start, memory_order_relaxed);
	return start && code >= start &&
	       code < atomic_load_explicit(&ms_operators.own_end, memory_order_relaxed);
}

#endif

/* pools.h - functions of the program that msrecord --wrap has named, as a layer of their own.
 *
 * A trampoline in the wrapper library (wire.h) comes to MS_WRAP_ENTRY with everything as the program's call left it.
 * That calls the real function with the same registers, the vector ones included, and with a copy of the first eight
 * words of the stack, in which further arguments stand, and tells of it: a release before, an acquisition after, a realloc
 * as BEGIN before and its outcome after, as for the heap. What is not to be recorded is not called but jumped to.
 *
 * The guard of the heap's hooks is set only while a unit is written, not while the real function runs: what it does
 * with the heap, and with other pools, is recorded. What it calls of its own pool's functions is not; that is what
 * ms_thread.pools is for. Like the guard, an entry there may be a leftover of a jump, or a handler's call may stand on top
 * of it; it is judged in the same way (thread.h).
 *
 * Which function is the real one is asked of the loaded modules (definition.h) and remembered; for functions of
 * modules that may go, by who calls, until the next dlclose. */
#ifndef MS_POOLS_H
#define MS_POOLS_H

#include <stdbool.h>
#include <stdint.h>

struct ms_thread;

/* Is `ip` where a wrapped function returns to? Frames of such calls are ours, but hide nothing of the heap's. */
bool ms_pools_is_return(uintptr_t ip);
/* Modules have gone: forget what was found in any. */
void ms_pools_forget(void);
/* The path of the wrapper library; NULL if there is none. Lives as long as it is loaded. */
const char *ms_pools_wrapper_path(void);

#endif

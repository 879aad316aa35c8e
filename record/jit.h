/* jit.h - names for code that is in no module: what each program said of the code it generated, asked when it ends.
 *
 * A code address outside every module is the same entry of the trace in all processes. If two of them give it
 * different names it gets none: a wrong name is worse. */
#ifndef MS_JIT_H
#define MS_JIT_H

#include <stdint.h>

#include "mstrace.h"
#include "process.h"

struct ms_jit {
	uint32_t *names; /* by code id: string id of its name, 0 = none, UINT32_MAX = they disagree */
	uint32_t cap;
	uint64_t n_named; /* addresses that got a name */
};

void ms_jit_release(struct ms_jit *j);

/* Names proc's addresses outside modules by its perf map, if it wrote one since it was let in, at realtime
 * started_ns. 0 or the writer's error. */
int ms_jit_tell(struct ms_jit *j, struct mst_writer *w, struct ms_process *proc, uint64_t started_ns);

#endif

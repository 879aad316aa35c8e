/* What kill_witness.so tells kill_campaign, in a shared file that outlives the program. */
#ifndef MS_KILL_WITNESS_H
#define MS_KILL_WITNESS_H

#include <stdatomic.h>
#include <stdint.h>

#define WITNESS_VARIABLE "MS_KILL_WITNESS" /* names the file */
#define WITNESS_THREADS 256		   /* further threads share the last place */

enum witness_kind { WITNESS_ACQUIRE, WITNESS_RELEASE, WITNESS_REALLOC, WITNESS_KINDS };

struct witness {
	_Atomic uint32_t pid; /* once the program runs */
	_Atomic uint32_t n_threads;
	struct {
		_Atomic uint64_t begun[WITNESS_KINDS], returned[WITNESS_KINDS];
		uint64_t apart[2];
	} threads[WITNESS_THREADS];
};

#endif

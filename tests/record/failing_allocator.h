/* What fail_allocations and the allocator it tests msrecord with share. */
#ifndef MS_FAILING_ALLOCATOR_H
#define MS_FAILING_ALLOCATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct failing_allocator {
	uint64_t at;	 /* the call that fails, from 1; 0: none */
	bool is_lasting; /* so do all after it */
	_Atomic uint64_t count;
	atomic_bool has_failed;
};

#endif

/* victim.h - what victim.c tells test_capture.c of itself, in a shared file. */
#ifndef VICTIM_H
#define VICTIM_H

#include <stdatomic.h>
#include <stdint.h>

enum truth_kind { TRUTH_PAIRS, TRUTH_SIGNAL, TRUTH_ALLOCS, TRUTH_FREES, TRUTH_WRONG, TRUTH_STEPS, TRUTH_KINDS = 16 };

#define VICTIM_MAPS_AT 0x200000000000ul /* where the victim maps */

struct truth {
	_Atomic uint64_t n[TRUTH_KINDS];
};

#endif

/*
 * The rules (cfi.h) of the program counters met so far, in one table for the process, and when they are void.
 *
 * A rule in the table is valid for the generation in its key; the key is written last. Readers look at the key before and
 * after, so a replaced entry is at worst a miss. Nobody ever waits: an entry whose writer was killed half-way stays busy
 * and is passed over. Any thread, any signal handler.
 *
 * Rejected: per-thread tables without one for all (each thread pays each miss, megabytes per thread).
 */
#ifndef MS_UNWIND_RULES_H
#define MS_UNWIND_RULES_H

#include "cfi.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define cold __attribute__((noinline, cold))

/* Upper 48 bits: how often modules may have changed; lower 16: how many dlclose() are under way. */
enum { EPOCH_CLOSING = 0xffff, EPOCH_STEP = 0x10000 };
#define EPOCH_NONE (~UINT64_C(0))

extern _Atomic uint64_t ms_rules_epoch;

/* Four entries share a cache line and are tried in turn. 1 MiB of zeroes; only pages in use become memory, so 2 KiB of code,
 * whose calls come together, share one. */
enum { TABLE_BITS = 16, TABLE_SIZE = 1 << TABLE_BITS, BUCKET = 4 };
#define ADDRESS_BITS 47
#define KEY_BUSY ((UINT64_C(1) << ADDRESS_BITS) - 1) /* no code is there */

struct rule_entry {
	_Atomic uintptr_t key; /* pc | generation << 47; 0: empty */
	_Atomic ms_cfi_rule rule;
};

extern struct rule_entry ms_rules[TABLE_SIZE];

/* The generation of an epoch, as in the keys of the table. */
static inline uintptr_t ms_rules_generation(uint64_t epoch)
{
	return (epoch / EPOCH_STEP) << ADDRESS_BITS;
}

static inline struct rule_entry *ms_rules_bucket(uintptr_t pc)
{
	return &ms_rules[pc / 32 % (TABLE_SIZE / BUCKET) * BUCKET];
}

/* The rule at PC, if the table has it for GENERATION. */
static inline bool ms_rules_have(uintptr_t pc, uintptr_t generation, ms_cfi_rule *rule)
{
	uintptr_t key = pc | generation;
	struct rule_entry *e = ms_rules_bucket(pc);

	for (unsigned i = 0; i < BUCKET; i++, e++) {
		if (atomic_load_explicit(&e->key, memory_order_acquire) != key)
			continue;
		*rule = atomic_load_explicit(&e->rule, memory_order_acquire);
		return likely(atomic_load_explicit(&e->key, memory_order_relaxed) == key);
	}
	return false;
}

/* From now on RULE is the one at PC, unless another writer is in the way. */
void ms_rules_publish(uintptr_t pc, uintptr_t generation, ms_cfi_rule rule);

/* The same for code whose module, if it has one, says nothing there. Void when something else comes to its place:
 * ms_unwind_unmapped(). */
void ms_rules_publish_outside(uintptr_t pc, uintptr_t generation, ms_cfi_rule rule);

/* What the module at PC says, and the extent of the function there; the table is left alone. */
ms_cfi_rule ms_rules_read(uintptr_t pc, struct ms_cfi_code *code);

bool ms_rules_is_in_module(uintptr_t pc);

/* Announce the module at PC if that has not been done (ms_unwind_on_module). False: there is none. */
bool ms_rules_meet(uintptr_t pc);

#endif

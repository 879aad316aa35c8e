/* unwind_rules.c - the table, generations, and the modules met so far. */
#include "unwind_rules.h"

#include "libc_needs.h"
#include "unwind.h"

#include <link.h>

_Atomic uint64_t ms_rules_epoch;
struct rule_entry ms_rules[TABLE_SIZE] __attribute__((aligned(64)));

/* ---- the table ---- */

static void put_rule(struct rule_entry *e, uintptr_t key, ms_cfi_rule rule)
{
	uintptr_t old = atomic_load_explicit(&e->key, memory_order_relaxed);

	if (old == KEY_BUSY || !atomic_compare_exchange_strong(&e->key, &old, KEY_BUSY))
		return;
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&e->rule, rule, memory_order_relaxed);
	atomic_store_explicit(&e->key, key, memory_order_release);
}

/* The entry of the bucket that has KEY, or one that is empty or of an older generation, or else any. */
static struct rule_entry *place_for(uintptr_t key)
{
	uintptr_t pc = key & ((UINT64_C(1) << ADDRESS_BITS) - 1);
	struct rule_entry *bucket = ms_rules_bucket(pc), *place = &bucket[(pc >> 4 ^ pc) % BUCKET];

	for (unsigned i = BUCKET; i-- > 0;) {
		uintptr_t have = atomic_load_explicit(&bucket[i].key, memory_order_relaxed);

		if (have == key)
			return &bucket[i];
		if (have == 0 || (have != KEY_BUSY && (have ^ key) >> ADDRESS_BITS))
			place = &bucket[i];
	}
	return place;
}

void ms_rules_publish(uintptr_t pc, uintptr_t generation, ms_cfi_rule rule)
{
	put_rule(place_for(pc | generation), pc | generation, rule);
}

/* ---- new generations ---- */

void ms_unwind_dlclose_begin(void)
{
	atomic_fetch_add_explicit(&ms_rules_epoch, 1, memory_order_acq_rel);
}

/*
 * All rules are void. Keys hold the generation in 17 bits only: when those start over, what is left of the
 * first time must go. Called with a dlclose() counted as under way, so that nobody looks at the table
 * meanwhile.
 */
static void start_generation(void)
{
	uint64_t before = atomic_fetch_add_explicit(&ms_rules_epoch, EPOCH_STEP, memory_order_acq_rel);

	if ((before / EPOCH_STEP + 1) << ADDRESS_BITS == 0)
		for (unsigned i = 0; i < TABLE_SIZE; i++)
			atomic_store_explicit(&ms_rules[i].key, 0, memory_order_relaxed);
}

void ms_unwind_dlclose_end(void)
{
	start_generation();
	atomic_fetch_sub_explicit(&ms_rules_epoch, 1, memory_order_acq_rel);
}

/* ---- code outside of modules ---- */

/* Where there are rules for such code: a bit for each place of 4 MiB, of which every 64th share one. */
enum { PLACE_SHIFT = 22 };

static _Atomic uint64_t outside_places;

static uint64_t places_of(uintptr_t start, size_t length)
{
	uintptr_t first = start >> PLACE_SHIFT, last = (start + length - 1) >> PLACE_SHIFT;
	uint64_t places = 0;

	if (last - first >= 63)
		return ~UINT64_C(0);
	for (uintptr_t place = first; place <= last; place++)
		places |= UINT64_C(1) << place % 64;
	return places;
}

void ms_rules_publish_outside(uintptr_t pc, uintptr_t generation, ms_cfi_rule rule)
{
	uint64_t place = places_of(pc, 1);

	if (!(atomic_load_explicit(&outside_places, memory_order_relaxed) & place))
		atomic_fetch_or(&outside_places, place);
	ms_rules_publish(pc, generation, rule);
}

void ms_unwind_unmapped(uintptr_t start, size_t length)
{
	uint64_t places = atomic_load_explicit(&outside_places, memory_order_relaxed);

	if (likely(places == 0) || length == 0 || !(places & places_of(start, length)))
		return;
	ms_unwind_dlclose_begin();
	atomic_store(&outside_places, 0);
	ms_unwind_dlclose_end();
}

/* ---- modules met so far ---- */

/*
 * Only to announce each module once, and to notice a module that sits where another one was: libc unloads its
 * own plugins (iconv, NSS) without a call that we could see.
 */
struct known_module {
	_Atomic uintptr_t start, end; /* start is written last; 0: not yet */
	_Atomic uint64_t identity;
};

enum { MAX_KNOWN = 1024 };

static struct known_module known[MAX_KNOWN];
static _Atomic unsigned n_known;
static void (*module_seen)(const struct dl_find_object *);

void ms_unwind_on_module(void (*seen)(const struct dl_find_object *))
{
	module_seen = seen;
}

/* Two modules of the same extent differ in their names, if in nothing else. */
static uint64_t identity_of(const struct dl_find_object *found)
{
	const char *name = found->dlfo_link_map->l_name;
	uint64_t hash = (uintptr_t)found->dlfo_eh_frame;

	for (unsigned i = 0; i < 4096 && name && name[i]; i++)
		hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static void remember_module(struct known_module *k, const struct dl_find_object *found, uint64_t identity)
{
	atomic_store_explicit(&k->end, (uintptr_t)found->dlfo_map_end, memory_order_relaxed);
	atomic_store_explicit(&k->identity, identity, memory_order_relaxed);
	atomic_store_explicit(&k->start, (uintptr_t)found->dlfo_map_start, memory_order_release);
}

/* Announce FOUND unless that has been done. */
static void meet_module(const struct dl_find_object *found)
{
	uintptr_t start = (uintptr_t)found->dlfo_map_start, end = (uintptr_t)found->dlfo_map_end;
	uint64_t identity = identity_of(found);
	struct known_module *place = NULL;
	unsigned n = atomic_load_explicit(&n_known, memory_order_acquire);

	for (unsigned i = 0; i < n && i < MAX_KNOWN; i++) {
		uintptr_t known_start = atomic_load_explicit(&known[i].start, memory_order_acquire);
		uintptr_t known_end = atomic_load_explicit(&known[i].end, memory_order_relaxed);

		if (known_start == 0 || known_start >= end || start >= known_end)
			continue;
		if (known_start == start && known_end == end &&
			atomic_load_explicit(&known[i].identity, memory_order_relaxed) == identity)
			return;
		place = &known[i];
	}
	if (module_seen)
		module_seen(found);
	if (place) { /* something else was here */
		ms_unwind_dlclose_begin();
		ms_unwind_dlclose_end();
	} else if (n < MAX_KNOWN &&
		   (n = atomic_fetch_add_explicit(&n_known, 1, memory_order_acq_rel)) < MAX_KNOWN)
		place = &known[n];
	if (place)
		remember_module(place, found, identity);
}

void ms_unwind_forget_module(uintptr_t start)
{
	unsigned n = atomic_load_explicit(&n_known, memory_order_acquire);

	/* The range stays: whatever comes there takes the place over. */
	for (unsigned i = 0; i < n && i < MAX_KNOWN; i++)
		if (atomic_load_explicit(&known[i].start, memory_order_acquire) == start)
			atomic_fetch_xor_explicit(&known[i].identity, ~UINT64_C(0), memory_order_relaxed);
}
/* ---- what modules say ---- */

static bool find_module(uintptr_t pc, struct dl_find_object *found)
{
	return pc >> ADDRESS_BITS == 0 && _dl_find_object((void *)pc, found) == 0;
}

/*
 * Where to look for the rule at PC. If a module has holes, its segments are found one by one, and .eh_frame
 * is in another one than the code. A function of its own, as is ms_rules_meet(), for the stack that the
 * results take.
 */
static cold bool find_eh_frame(uintptr_t pc, struct ms_cfi_module *module)
{
	struct dl_find_object found;
	uintptr_t hdr;

	if (!find_module(pc, &found))
		return false;
	hdr = (uintptr_t)found.dlfo_eh_frame;
	if (hdr < (uintptr_t)found.dlfo_map_start || hdr >= (uintptr_t)found.dlfo_map_end)
		(void)find_module(hdr, &found);
	*module = (struct ms_cfi_module){(uintptr_t)found.dlfo_map_start, (uintptr_t)found.dlfo_map_end, hdr};
	return true;
}

cold bool ms_rules_meet(uintptr_t pc)
{
	struct dl_find_object found;

	if (!find_module(pc, &found))
		return false;
	meet_module(&found);
	return true;
}

cold ms_cfi_rule ms_rules_read(uintptr_t pc, struct ms_cfi_code *code)
{
	struct ms_cfi_module module;

	if (!find_eh_frame(pc, &module))
		return ms_cfi_make(MS_CFI_UNKNOWN, 0, 0, 0);
	return ms_cfi_rule_at(&module, pc, code);
}

cold bool ms_rules_is_in_module(uintptr_t pc)
{
	struct dl_find_object found;

	return find_module(pc, &found);
}

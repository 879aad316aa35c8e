/*
 * Stepping, the table of rules, and verified reuse. See unwind.h for the idea.
 *
 * Invariants
 * - Every load goes through load(): from the thread's own stack between the sp of the event and its end, or
 *   from a copy of a foreign stack.
 * - Remembered frame i was derived from frame i+1 by the rule of i+1's ip, the word at sp[i]-8 (its ip) and
 * the word at bp_slot[i] (its rbp). A frame that hangs on anything more (a realigned frame, a signal frame, a
 *   guess) has a slot that never compares equal, so that it is derived again each time.
 * - A rule in the table is valid for the generation in its key; the key is written last. Readers look at the
 *   key before and after, so a replaced entry is at worst a miss. Nobody ever waits: an entry whose writer
 * was killed half-way stays busy and is passed over.
 *
 * Rejected: per-thread tables without one for all (each thread pays each miss, megabytes per thread); marking return addresses on
 * the program's stack to skip verification (exceptions and longjmp break, and it writes to memory that is not
 * ours); hashing the stack region (reads more than the slots do).
 */
#include "unwind.h"

#include "libc_needs.h"

#include "cfi.h"
#include "rawcall.h"

#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define cold __attribute__((noinline, cold))

/* Words of the program's stack, whatever type it has put there. */
typedef uintptr_t __attribute__((may_alias)) stack_word;

static uintptr_t word_at(uintptr_t address)
{
	return *(const stack_word *)address;
}

/* ---- generations ---- */

/* Upper 48 bits: how often modules may have changed; lower 16: how many dlclose() are under way. */
enum { EPOCH_CLOSING = 0xffff, EPOCH_STEP = 0x10000 };
#define EPOCH_NONE (~UINT64_C(0))

static _Atomic uint64_t modules_epoch;

/* ---- the table of rules ---- */

/* Four entries share a cache line and are tried in turn. 1 MiB of zeroes; only pages in use become memory, so 2 KiB of code,
 * whose calls come together, share one. */
enum { TABLE_BITS = 16, TABLE_SIZE = 1 << TABLE_BITS, BUCKET = 4 };
#define ADDRESS_BITS 47
#define KEY_BUSY ((UINT64_C(1) << ADDRESS_BITS) - 1) /* no code is there */

struct rule_entry {
	_Atomic uintptr_t key; /* pc | generation << 47; 0: empty */
	_Atomic ms_cfi_rule rule;
};

static struct rule_entry table[TABLE_SIZE] __attribute__((aligned(64)));

static struct rule_entry *bucket_of(uintptr_t pc)
{
	return &table[pc / 32 % (TABLE_SIZE / BUCKET) * BUCKET];
}

static void publish_rule(struct rule_entry *e, uintptr_t key, ms_cfi_rule rule)
{
	uintptr_t old = atomic_load_explicit(&e->key, memory_order_relaxed);

	if (old == KEY_BUSY || !atomic_compare_exchange_strong(&e->key, &old, KEY_BUSY))
		return;
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&e->rule, rule, memory_order_relaxed);
	atomic_store_explicit(&e->key, key, memory_order_release);
}

/* An entry of the bucket that is empty or of an older generation, or else any. */
static struct rule_entry *place_for(uintptr_t key)
{
	uintptr_t pc = key & ((UINT64_C(1) << ADDRESS_BITS) - 1);
	struct rule_entry *bucket = bucket_of(pc);

	for (unsigned i = 0; i < BUCKET; i++) {
		uintptr_t have = atomic_load_explicit(&bucket[i].key, memory_order_relaxed);

		if (have == 0 || (have != KEY_BUSY && (have ^ key) >> ADDRESS_BITS))
			return &bucket[i];
	}
	return &bucket[(pc >> 4 ^ pc) % BUCKET];
}

/* ---- new generations ---- */

void ms_unwind_dlclose_begin(void)
{
	atomic_fetch_add_explicit(&modules_epoch, 1, memory_order_acq_rel);
}

/*
 * All rules are void. Keys hold the generation in 17 bits only: when those start over, what is left of the
 * first time must go. Called with a dlclose() counted as under way, so that nobody looks at the table
 * meanwhile.
 */
static void start_generation(void)
{
	uint64_t before = atomic_fetch_add_explicit(&modules_epoch, EPOCH_STEP, memory_order_acq_rel);

	if ((before / EPOCH_STEP + 1) << ADDRESS_BITS == 0)
		for (unsigned i = 0; i < TABLE_SIZE; i++)
			atomic_store_explicit(&table[i].key, 0, memory_order_relaxed);
}

void ms_unwind_dlclose_end(void)
{
	start_generation();
	atomic_fetch_sub_explicit(&modules_epoch, 1, memory_order_acq_rel);
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

/* ---- one unwind ---- */

struct walk {
	uintptr_t lo, span; /* words at lo … lo + span can be loaded, each from its address + delta */
	uintptr_t delta;
	const struct ms_unwind_bounds *stack;
	unsigned char *window;
	size_t window_size;
	uint64_t epoch;
	uintptr_t generation; /* as in the keys of the table */
	bool use_table;
	bool foreign; /* on a foreign stack now */
	bool tainted; /* was on one, or went down: what was loaded cannot be verified later */
	bool stale;   /* modules have changed meanwhile */
	bool recheck; /* the end hangs on words that are not remembered */
};

static void look_at(struct walk *w, uintptr_t sp)
{
	w->foreign = sp < w->stack->lo || sp >= w->stack->hi || w->stack->hi - sp < 8;
	w->delta = 0;
	w->lo = sp;
	if (w->foreign) {
		w->tainted = true;
		w->lo = UINTPTR_MAX; /* nothing yet: the first load fills the window */
		w->span = 0;
	} else {
		w->span = w->stack->hi - sp - 8;
	}
}

static void open_walk(struct walk *w, const struct ms_unwind_bounds *stack, unsigned char *window,
	size_t size, uintptr_t sp)
{
	w->stack = stack;
	w->window = window;
	w->window_size = size;
	w->epoch = atomic_load_explicit(&modules_epoch, memory_order_acquire);
	w->generation = (w->epoch / EPOCH_STEP) << ADDRESS_BITS;
	w->use_table = !(w->epoch & EPOCH_CLOSING);
	w->tainted = w->stale = w->recheck = false;
	look_at(w, sp);
}

/* Copy the foreign stack from AT on; as much as is mapped, two pages at most. */
static cold bool slide_window(struct walk *w, uintptr_t at)
{
	size_t first = 4096 - at % 4096;
	struct iovec local = {w->window, w->window_size};
	struct iovec remote[2];
	long got;

	if (!w->foreign || at > (UINT64_C(1) << ADDRESS_BITS) || !ms_may_ask())
		return false;
	if (first > w->window_size)
		first = w->window_size;
	remote[0] = (struct iovec){(void *)at, first};
	remote[1] = (struct iovec){(void *)(at + first), w->window_size - first};
	got = ms_rawcall(SYS_process_vm_readv, ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0), (long)&local, 1,
		(long)remote, 2, 0);
	if (got < 8)
		return false;
	w->lo = at;
	w->span = (uintptr_t)got - 8;
	w->delta = (uintptr_t)w->window - at;
	return true;
}

static inline bool load(struct walk *w, uintptr_t at, uintptr_t *value)
{
	if (unlikely(at - w->lo > w->span) && !slide_window(w, at))
		return false;
	*value = word_at(at + w->delta);
	return true;
}

/* ---- rules ---- */

static bool find_module(uintptr_t pc, struct dl_find_object *found)
{
	return pc >> ADDRESS_BITS == 0 && _dl_find_object((void *)pc, found) == 0;
}

/*
 * Where to look for the rule at PC. If a module has holes, its segments are found one by one, and .eh_frame
 * is in another one than the code. A function of its own, as is meet_code(), for the stack that the results
 * take.
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

static cold bool meet_code(uintptr_t pc)
{
	struct dl_find_object found;

	if (!find_module(pc, &found))
		return false;
	meet_module(&found);
	return true;
}

static cold ms_cfi_rule read_rule(uintptr_t pc, struct ms_cfi_code *code)
{
	struct ms_cfi_module module;

	if (!find_eh_frame(pc, &module))
		return ms_cfi_make(MS_CFI_UNKNOWN, 0, 0, 0);
	return ms_cfi_rule_at(&module, pc, code);
}

/* Not in the table. Code outside of all modules is not remembered: a module may be loaded there later. */
static cold ms_cfi_rule find_rule(struct walk *w, uintptr_t pc)
{
	struct ms_cfi_code code;
	ms_cfi_rule rule;

	if (!meet_code(pc))
		return ms_cfi_make(MS_CFI_UNKNOWN, 0, 0, 0);
	rule = read_rule(pc, &code);
	if (!w->use_table)
		return rule;
	w->stale = atomic_load_explicit(&modules_epoch, memory_order_acquire) != w->epoch;
	if (!w->stale)
		publish_rule(place_for(pc | w->generation), pc | w->generation, rule);
	return rule;
}

static inline ms_cfi_rule rule_of(struct walk *w, uintptr_t pc)
{
	uintptr_t key = pc | w->generation;
	struct rule_entry *e = bucket_of(pc);

	if (unlikely(!w->use_table))
		return find_rule(w, pc);
	for (unsigned i = 0; i < BUCKET; i++, e++) {
		ms_cfi_rule rule;

		if (atomic_load_explicit(&e->key, memory_order_acquire) != key)
			continue;
		rule = atomic_load_explicit(&e->rule, memory_order_acquire);
		if (likely(atomic_load_explicit(&e->key, memory_order_relaxed) == key))
			return rule;
	}
	return find_rule(w, pc);
}

/* ---- one step outward ---- */

enum step { STEP_OK, STEP_END, STEP_CUT };

/* A slot that never holds BP. */
static uintptr_t never_slot(uintptr_t bp)
{
	static const uintptr_t never[2] = {0, 1};

	return (uintptr_t)&never[bp == 0];
}

/* F becomes its caller, whose sp is CFA; RULE tells where its rbp is. F is unchanged unless STEP_OK. */
static inline enum step step_to(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule, uintptr_t cfa)
{
	uintptr_t slot = 0, bp = f->bp, ip;

	if (unlikely(cfa <= f->sp || cfa % 8 != 0))
		return STEP_CUT;
	if (ms_cfi_bp(rule) != MS_CFI_BP_SAME) {
		slot = (ms_cfi_bp(rule) == MS_CFI_BP_CFA ? cfa : f->bp) + (uintptr_t)ms_cfi_bp_off(rule);
		if (unlikely(slot < f->sp || !load(w, slot, &bp)))
			return STEP_CUT;
	}
	if (unlikely(!load(w, cfa - 8, &ip)))
		return STEP_CUT;
	if (unlikely(ip == 0)) {
		w->recheck = true;
		return STEP_END;
	}
	*f = (struct ms_unwind_frame){ip, cfa, bp, slot};
	return STEP_OK;
}

/* The frame that a signal interrupted. Its registers lie in the ucontext_t at the signal frame's sp. */
static cold enum step step_signal(struct walk *w, struct ms_unwind_frame *f)
{
	enum { UC_BP = 120, UC_SP = 160, UC_IP = 168 };
	uintptr_t ip, sp, bp;

	w->recheck = true;
	if (!load(w, f->sp + UC_BP, &bp) || !load(w, f->sp + UC_SP, &sp) || !load(w, f->sp + UC_IP, &ip))
		return STEP_CUT;
	if (w->foreign || sp <= f->sp || sp >= w->stack->hi) {
		w->tainted = true;
		look_at(w, sp);
	}
	*f = (struct ms_unwind_frame){ip + 1, sp, bp, never_slot(bp)};
	w->recheck = false;
	return STEP_OK;
}

/* Bytes of the indirect call (ff /2, without prefixes) whose operand byte is MODRM, followed by SIB. */
static unsigned indirect_call_size(unsigned modrm, unsigned sib)
{
	unsigned mod = modrm >> 6, rm = modrm & 7;
	bool has_sib = mod != 3 && rm == 4;

	if ((modrm >> 3 & 7) != 2)
		return 0;
	if (mod == 1)
		return 3u + has_sib;
	if (mod == 2 || (mod == 0 && (rm == 5 || (has_sib && (sib & 7) == 5))))
		return 6u + has_sib;
	return 2u + has_sib;
}

/* The code before RA is a call: 1 = direct, TARGET is where it goes; 2 = indirect; 0 = it is not. */
static int call_before(uintptr_t ra, const struct ms_cfi_code *code, uintptr_t *target)
{
	const unsigned char *end = (const unsigned char *)ra;

	if (ra < code->start || ra > code->end || ra - code->start < 7)
		return 0;
	if (end[-5] == 0xe8) {
		uint32_t rel = (uint32_t)end[-4] | (uint32_t)end[-3] << 8 | (uint32_t)end[-2] << 16 |
			       (uint32_t)end[-1] << 24;

		*target = ra + (uintptr_t)(intptr_t)(int32_t)rel;
		return 1;
	}
	for (int size = 2; size <= 7; size++)
		if (end[-size] == 0xff && indirect_call_size(end[1 - size], end[2 - size]) == (unsigned)size)
			return 2;
	return 0;
}

/* RA is behind a call (as call_before() says), in code with unwind information. */
static cold int is_return(uintptr_t ra, uintptr_t *target)
{
	struct ms_cfi_code code;

	if (ra < 4096 || ms_cfi_kind(read_rule(ra - 1, &code)) == MS_CFI_UNKNOWN)
		return 0;
	return call_before(ra, &code, target);
}

static cold bool is_in_module(uintptr_t pc)
{
	struct dl_find_object found;

	return find_module(pc, &found);
}

/* No word between the sp of F and its frame pointer may be the return address that we are after. */
static cold bool frame_is_clean(struct walk *w, const struct ms_unwind_frame *f)
{
	enum { NEAR = 1 << 28 };
	bool is_generated = !is_in_module(f->ip - 1);

	for (uintptr_t at = f->sp; at < f->bp; at += 8) {
		uintptr_t word, target;

		if (!load(w, at, &word) || is_return(word, &target))
			return false;
		if (is_generated && word - f->ip + NEAR < 2 * (uintptr_t)NEAR && !is_in_module(word))
			return false;
	}
	return true;
}

/*
 * Code without unwind information: generated, or hand-written. If it keeps a frame pointer, its caller is
 * found there; if it does not, rbp is some outer frame's and following it would lose frames unnoticed. So
 * believe it only if the word at rbp+8 is a return address into compiled code whose call, if direct, went to
 * code without information at or before our pc, and nothing nearer looks like a return address, compiled or
 * generated.
 */
static cold enum step step_guess(struct walk *w, struct ms_unwind_frame *f)
{
	enum { MAX_FRAME = 1024 };
	uintptr_t ip, bp, target = 0;
	struct ms_cfi_code code;
	int call;

	w->recheck = true;
	if (f->bp < f->sp || f->bp - f->sp > MAX_FRAME || f->bp % 8 != 0)
		return STEP_CUT;
	if (!load(w, f->bp, &bp) || !load(w, f->bp + 8, &ip))
		return STEP_CUT;
	if (ms_cfi_kind(rule_of(w, ip - 1)) == MS_CFI_UNKNOWN) /* nearly always, and cheap: the table knows */
		return STEP_CUT;
	call = is_return(ip, &target);
	if (call == 0 || (call == 1 && target >= f->ip))
		return STEP_CUT;
	if (call == 1 && ms_cfi_kind(read_rule(target, &code)) != MS_CFI_UNKNOWN)
		return STEP_CUT;
	if (!frame_is_clean(w, f))
		return STEP_CUT;
	*f = (struct ms_unwind_frame){ip, f->bp + 16, bp, never_slot(bp)};
	w->recheck = false;
	return STEP_OK;
}

/* gcc's realigned frames: the old stack pointer was spilt at a fixed distance from rbp. */
static cold enum step step_realigned(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	uintptr_t at = f->bp + (uintptr_t)ms_cfi_cfa_off(rule), cfa;
	enum step step = STEP_CUT;

	w->recheck = true;
	if (at >= f->sp && load(w, at, &cfa))
		step = step_to(w, f, rule, cfa);
	if (step == STEP_OK) {
		f->bp_slot = never_slot(f->bp);
		w->recheck = false;
	}
	return step;
}

static cold enum step step_rarely(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	switch (ms_cfi_kind(rule)) {
	case MS_CFI_AT_BP:
		return step_realigned(w, f, rule);
	case MS_CFI_PLT: /* such a frame was interrupted, so its pc is ip - 1 */
		return step_to(w, f, rule,
			f->sp + 8 + ((intptr_t)((f->ip - 1) & 15) >= ms_cfi_cfa_off(rule) ? 8 : 0));
	case MS_CFI_SIGNAL:
		return step_signal(w, f);
	case MS_CFI_END:
		return STEP_END;
	case MS_CFI_UNKNOWN:
		return step_guess(w, f);
	default:
		return STEP_CUT;
	}
}

/* Through a copy, so that the caller's frame need not be in memory: that halves the cost of the common step.
 */
static inline enum step step_aside(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	struct ms_unwind_frame copy = *f;
	enum step step = step_rarely(w, &copy, rule);

	*f = copy;
	return step;
}

static inline enum step step_out(struct walk *w, struct ms_unwind_frame *f)
{
	ms_cfi_rule rule = rule_of(w, f->ip - 1);
	enum ms_cfi_kind kind = ms_cfi_kind(rule);

	if (likely(kind == MS_CFI_SP))
		return step_to(w, f, rule, f->sp + (uintptr_t)ms_cfi_cfa_off(rule));
	if (likely(kind == MS_CFI_BP))
		return step_to(w, f, rule, f->bp + (uintptr_t)ms_cfi_cfa_off(rule));
	return step_aside(w, f, rule);
}

/* ---- the remembered stack ---- */

/* It is read, written and verified four frames at a time: before its outermost frame lie as many that always hold,
 * behind its innermost one and before the first fresh one is room for what is copied too much. */
enum { BLOCK = 4 };

static inline bool is_same_frame(const struct ms_unwind_frame *a, const struct ms_unwind_frame *b)
{
	return a->sp == b->sp && a->ip == b->ip && a->bp == b->bp;
}

/* A word that is still the callee's is verified against itself. */
static inline void remember(struct ms_unwind_frame *place, const struct ms_unwind_frame *f)
{
	place->ip = f->ip;
	place->sp = f->sp;
	place->bp = f->bp;
	place->bp_slot = f->bp_slot ? f->bp_slot : (uintptr_t)&place->bp;
}

static inline struct ms_unwind_frame remembered(const struct ms_unwind_frame *place)
{
	uintptr_t slot = place->bp_slot == (uintptr_t)&place->bp ? 0 : place->bp_slot;

	return (struct ms_unwind_frame){place->ip, place->sp, place->bp, slot};
}

/* Zero if F would be derived from the frame inside of it again. */
static inline uintptr_t difference(const struct ms_unwind_frame *f)
{
	return (word_at(f->sp - 8) ^ f->ip) | (word_at(f->bp_slot) ^ f->bp);
}

/* Frame F holds; how far outward do the others? Returns the outermost that does, or one outside of OUTERMOST if all do.
 * This is the hot loop. */
static inline __attribute__((always_inline)) const struct ms_unwind_frame *outermost_valid(
	const struct ms_unwind_frame *outermost, const struct ms_unwind_frame *f)
{
	while (f > outermost) {
		uintptr_t differs = difference(f - 1) | difference(f - 2) | difference(f - 3) | difference(f - 4);

		if (unlikely(differs))
			break;
		f -= BLOCK;
	}
	while (f > outermost && difference(f - 1) == 0)
		f--;
	return f;
}

/* FRESH[0..K-1], innermost first, stand on the KEPT outer frames from now on; N were remembered before. Returns how many
 * ips from the outermost on are the same as before. */
static inline __attribute__((always_inline)) uint32_t put_fresh(struct ms_unwind *u, uint32_t kept, uint32_t k, uint32_t n)
{
	const struct ms_unwind_frame *f = u->fresh + k;
	struct ms_unwind_frame *place = u->frame + kept, *end = place + k;
	uint32_t same = 0, is_same = 1, most = n < kept + k ? n - kept : k;

	for (; place < end; place += BLOCK, f -= BLOCK) {
		same += is_same &= place[0].ip == f[-1].ip;
		remember(&place[0], &f[-1]);
		same += is_same &= place[1].ip == f[-2].ip;
		remember(&place[1], &f[-2]);
		same += is_same &= place[2].ip == f[-3].ip;
		remember(&place[2], &f[-3]);
		same += is_same &= place[3].ip == f[-4].ip;
		remember(&place[3], &f[-4]);
	}
	return kept + (same < most ? same : most);
}

/* The stack under way: `kept` remembered frames from the outermost on, then the fresh ones. */
struct climb {
	struct ms_unwind *u;
	uint32_t kept, n_fresh;
	unsigned flags;
};

static inline bool take_fresh(struct climb *c, const struct ms_unwind_frame *f)
{
	if (c->n_fresh == c->u->limit)
		return false;
	c->u->fresh[c->n_fresh++] = *f;
	return true;
}

static bool take_remembered(struct climb *c, uint32_t inner, uint32_t outer)
{
	for (uint32_t i = inner + 1; i-- > outer;) {
		struct ms_unwind_frame f = remembered(&c->u->frame[i]);

		if (!take_fresh(c, &f))
			return false;
	}
	return true;
}

enum climbed { CLIMBED, CLIMB_ON, CLIMB_AGAIN };

/*
 * F equals remembered frame I. Either all that is outside of it holds (CLIMBED), or F becomes the first frame
 * that does not and the ones before it are taken over (CLIMB_ON), or there is no room for them (CLIMB_AGAIN).
 */
static inline enum climbed join(struct climb *c, struct walk *w, struct ms_unwind_frame *f, uint32_t i)
{
	struct ms_unwind *u = c->u;
	const struct ms_unwind_frame *holds;
	uint32_t outer;
	enum step step = STEP_END;

	remember(&u->frame[i], f);
	holds = outermost_valid(u->frame, &u->frame[i]);
	outer = holds <= u->frame ? 0 : (uint32_t)(holds - u->frame);
	if (likely(outer == 0 && !u->recheck)) {
		c->kept = i + 1;
		c->flags = u->flags;
		return c->kept + c->n_fresh > u->limit ? CLIMB_AGAIN : CLIMBED;
	}
	*f = remembered(&u->frame[outer]);
	step = step_out(w, f);
	if (outer == 0 && step != STEP_OK) {
		c->kept = i + 1;
		c->flags = step == STEP_CUT ? MS_UNWIND_CUT : 0;
		return c->kept + c->n_fresh > u->limit ? CLIMB_AGAIN : CLIMBED;
	}
	if (!take_remembered(c, i, outer))
		return CLIMB_AGAIN;
	c->flags = step == STEP_CUT ? MS_UNWIND_CUT : 0;
	return step == STEP_OK ? CLIMB_ON : CLIMBED;
}

/*
 * From F to the outer end, joining the remembered stack of N frames wherever that is met. False: start again
 * without it, because together they are deeper than the limit or modules have changed.
 */
static bool climb(struct climb *c, struct walk *w, struct ms_unwind_frame f, uint32_t n)
{
	struct ms_unwind *u = c->u;
	int64_t i = (int64_t)n - 1;

	c->kept = c->n_fresh = 0;
	for (;;) {
		enum climbed climbed = CLIMB_ON;
		enum step step;

		if (!w->foreign) {
			while (i >= 0 && u->frame[i].sp < f.sp)
				i--;
			if (i >= 0 && is_same_frame(&u->frame[i], &f)) {
				climbed = join(c, w, &f, (uint32_t)i);
				if (unlikely(climbed == CLIMB_AGAIN || w->stale))
					return false;
				if (climbed == CLIMBED)
					return true;
				continue;
			}
		}
		if (unlikely(!take_fresh(c, &f))) {
			c->flags = MS_UNWIND_LIMITED;
			return n == 0;
		}
		step = step_out(w, &f);
		if (unlikely(w->stale))
			return false;
		if (step != STEP_OK) {
			c->flags = step == STEP_CUT ? MS_UNWIND_CUT : 0;
			return true;
		}
	}
}

/* Make what was found the remembered stack and say how it differs from the N frames reported before. */
static void settle(struct climb *c, struct walk *w, uint32_t n, struct ms_stack_diff *out)
{
	struct ms_unwind *u = c->u;
	uint32_t depth = c->kept + c->n_fresh, keep = put_fresh(u, c->kept, c->n_fresh, n);

	u->flags = c->flags;
	u->recheck = w->recheck;
	u->reusable = !w->tainted && !(c->flags & MS_UNWIND_LIMITED);
	atomic_signal_fence(memory_order_release);
	u->n = depth;
	*out = (struct ms_stack_diff){keep, depth - keep, u->frame + keep, c->flags};
}

/* ---- the quick way ---- */

/* The rule at PC, if the table has it. */
static inline bool has_rule(uintptr_t pc, uintptr_t generation, ms_cfi_rule *rule)
{
	uintptr_t key = pc | generation;
	struct rule_entry *e = bucket_of(pc);

	for (unsigned i = 0; i < BUCKET; i++, e++) {
		if (atomic_load_explicit(&e->key, memory_order_acquire) != key)
			continue;
		*rule = atomic_load_explicit(&e->rule, memory_order_acquire);
		return likely(atomic_load_explicit(&e->key, memory_order_relaxed) == key);
	}
	return false;
}

/*
 * The table's rules are far away, in steps: ip, then the place in the table, then the rule, then the next ip. So each
 * thread has a few steps of its own, and each of them knows which one came next last time. While that guess holds, the
 * processor goes on before the ip is there to compare.
 */
static inline struct ms_unwind_step *place_of_step(const struct ms_unwind *u, uintptr_t ip)
{
	return &u->steps->step[(ip ^ ip >> 11) % MS_UNWIND_STEPS];
}

/* The step out of IP, from the table if need be; NULL: it is not there. At any moment a step has the rule of its key, or
 * none: a signal may end this. */
static struct ms_unwind_step *find_step(const struct ms_unwind *u, uintptr_t ip, uintptr_t generation)
{
	struct ms_unwind_step *s = place_of_step(u, ip);
	ms_cfi_rule rule;

	if (likely(s->key == ip + u->steps->age))
		return s;
	if (!has_rule(ip - 1, generation, &rule))
		return NULL;
	s->rule = ms_cfi_make(MS_CFI_NONE, 0, 0, 0);
	atomic_signal_fence(memory_order_release);
	s->key = ip + u->steps->age;
	s->outer = s;
	atomic_signal_fence(memory_order_release);
	s->rule = rule;
	return s;
}

/* step_quick() for rules that are not plain: all that they say has to be checked. */
static inline bool step_checked(struct ms_unwind_frame *f, ms_cfi_rule rule, uintptr_t last)
{
	uintptr_t cfa, slot = 0, bp = f->bp, ip;

	if (unlikely(ms_cfi_kind(rule) != MS_CFI_SP && ms_cfi_kind(rule) != MS_CFI_BP))
		return false;
	cfa = (ms_cfi_kind(rule) == MS_CFI_SP ? f->sp : f->bp) + (uintptr_t)ms_cfi_cfa_off(rule);
	if (unlikely(cfa <= f->sp || cfa % 8 != 0 || cfa - 8 > last))
		return false;
	if (ms_cfi_bp(rule) != MS_CFI_BP_SAME) {
		slot = (ms_cfi_bp(rule) == MS_CFI_BP_CFA ? cfa : f->bp) + (uintptr_t)ms_cfi_bp_off(rule);
		if (unlikely(slot < f->sp || slot > last))
			return false;
		bp = word_at(slot);
	}
	ip = word_at(cfa - 8);
	*f = (struct ms_unwind_frame){ip, cfa, bp, slot};
	return ip != 0;
}

/*
 * F becomes its caller. The stack's words from F's sp to LAST can be loaded. False, F being nothing any more: the rule is
 * not one of the two common ones, or makes no sense here.
 */
static inline __attribute__((always_inline)) bool step_quick(
	struct ms_unwind_frame *f, ms_cfi_rule rule, uintptr_t last)
{
	uintptr_t cfa;

	if (unlikely(!(rule & MS_CFI_PLAIN)))
		return step_checked(f, rule, last);
	cfa = f->sp + (uintptr_t)ms_cfi_cfa_off(rule);
	if (unlikely(cfa - 8 > last))
		return false;
	f->bp_slot = 0;
	if (ms_cfi_form(rule) == MS_CFI_PLAIN_SAVED) {
		f->bp_slot = cfa + (uintptr_t)ms_cfi_bp_off(rule);
		f->bp = word_at(f->bp_slot);
	}
	f->ip = word_at(cfa - 8);
	f->sp = cfa;
	return true;
}

/*
 * climb() and settle() for what nearly every event is, in registers: nothing remembered but u->fresh is written until
 * the remembered stack is met.
 */
uint64_t ms_unwind_quick(struct ms_unwind *u, uintptr_t ip, uintptr_t sp, uintptr_t bp)
{
	struct ms_unwind_frame f = {ip, sp, bp, never_slot(bp)};
	uint64_t epoch = atomic_load_explicit(&modules_epoch, memory_order_acquire);
	uintptr_t generation = (epoch / EPOCH_STEP) << ADDRESS_BITS, last = u->stack.hi - 8;
	struct ms_unwind_frame *outermost = u->frame, *in = outermost + u->n; /* in[-1]: the innermost that may still hold */
	struct ms_unwind_frame *fresh = u->fresh, *no_room = fresh + u->limit;
	struct ms_unwind_step *step = place_of_step(u, ip), *first = step, **guess = &first;
	uintptr_t age = u->steps->age;
	uint32_t n = u->n, kept, k, keep;

	if (unlikely(epoch != u->epoch || !u->reusable || u->recheck || sp < u->stack.lo || sp > last))
		return MS_UNWIND_NOT_QUICK;
	for (;;) {
		while (in > outermost && in[-1].sp < f.sp)
			in--;
		if (in > outermost && is_same_frame(&in[-1], &f)) {
			const struct ms_unwind_frame *holds = outermost_valid(outermost, &in[-1]);

			if (likely(holds <= outermost))
				break;
			for (; in - 1 > holds; in--) { /* these hold, what is outside of them does not */
				if (unlikely(fresh == no_room))
					return MS_UNWIND_NOT_QUICK;
				*fresh++ = f;
				f = remembered(&in[-2]);
			}
		}
		if (unlikely(fresh == no_room))
			return MS_UNWIND_NOT_QUICK;
		*fresh++ = f;
		if (unlikely(step->key != f.ip + age)) {
			step = find_step(u, f.ip, generation);
			if (unlikely(!step))
				return MS_UNWIND_NOT_QUICK;
			*guess = step;
		}
		if (unlikely(!step_quick(&f, step->rule, last)))
			return MS_UNWIND_NOT_QUICK;
		guess = &step->outer;
		step = *guess;
	}
	kept = (uint32_t)(in - outermost);
	k = (uint32_t)(fresh - u->fresh);
	if (unlikely(kept + k > u->limit))
		return MS_UNWIND_NOT_QUICK;
	u->n = 0; /* as in ms_unwind_from() */
	atomic_signal_fence(memory_order_release);
	remember(&in[-1], &f);
	keep = put_fresh(u, kept, k, n);
	atomic_signal_fence(memory_order_release);
	u->n = kept + k;
	return keep | (uint64_t)(kept + k - keep) << 32;
}

/*
 * The thread's own stack is not known: its first event may have come from a coroutine. Look again now and
 * then, ever more seldom.
 */
static cold void find_own_stack(struct ms_unwind *u, uintptr_t sp)
{
	u->n_stackless++;
	if ((u->n_stackless & (u->n_stackless - 1)) == 0)
		u->stack = ms_unwind_find_stack(sp);
}

static cold void start_epoch(struct ms_unwind *u, uint64_t epoch)
{
	uintptr_t age = u->steps->age + (UINT64_C(1) << MS_UNWIND_AGE_SHIFT);

	u->epoch = EPOCH_NONE;
	atomic_signal_fence(memory_order_release);
	if (age == 0) /* they start over: what is left of the first time must go */
		for (unsigned i = 0; i < MS_UNWIND_STEPS; i++)
			u->steps->step[i] = (struct ms_unwind_step){0};
	u->steps->age = age;
	atomic_signal_fence(memory_order_release);
	u->epoch = epoch;
}

void ms_unwind_from(struct ms_unwind *u, uintptr_t ip, uintptr_t sp, uintptr_t bp, struct ms_stack_diff *out)
{
	struct ms_unwind_frame first = {ip, sp, bp, never_slot(bp)};
	struct climb c = {.u = u};
	struct walk w;
	uint32_t n;

	uint64_t diff = ms_unwind_quick(u, ip, sp, bp);

	if (diff != MS_UNWIND_NOT_QUICK) {
		uint32_t keep = (uint32_t)diff;

		*out = (struct ms_stack_diff){keep, (uint32_t)(diff >> 32), u->frame + keep, u->flags};
		return;
	}
	if (unlikely(u->stack.hi == 0))
		find_own_stack(u, sp);
	open_walk(&w, &u->stack, u->window, MS_UNWIND_WINDOW, sp);
	n = likely(w.epoch == u->epoch) ? u->n : 0;
	u->n = 0; /* until settled: a longjmp out of here must not leave half a stack behind */
	atomic_signal_fence(memory_order_release);
	if (unlikely(!climb(&c, &w, first, u->reusable ? n : 0))) {
		bool stale = w.stale;

		open_walk(&w, &u->stack, u->window, MS_UNWIND_WINDOW, sp);
		if (stale) { /* modules move: this once, ask them instead of the table */
			w.use_table = false;
			n = 0;
		}
		(void)climb(&c, &w, first, 0);
	}
	if (unlikely(u->epoch != (w.use_table ? w.epoch : EPOCH_NONE)))
		start_epoch(u, w.use_table ? w.epoch : EPOCH_NONE);
	settle(&c, &w, n, out);
}

uint32_t ms_unwind_fresh(const struct ms_unwind *u, const struct ms_unwind_regs *at, uintptr_t *ips,
	uint32_t cap, unsigned *flags)
{
	struct ms_unwind_frame f = {at->ip, at->sp, at->bp, 0};
	unsigned char window[256] __attribute__((aligned(8)));
	enum step step = STEP_OK;
	struct walk w;
	uint32_t n = 0;

	open_walk(&w, &u->stack, window, sizeof(window), at->sp);
	while (step == STEP_OK && n < cap) {
		ips[n++] = f.ip;
		step = step_out(&w, &f);
		if (w.stale) {
			open_walk(&w, &u->stack, window, sizeof(window), at->sp);
			w.use_table = false;
			f = (struct ms_unwind_frame){at->ip, at->sp, at->bp, 0};
			n = 0;
			step = STEP_OK;
		}
	}
	*flags = step == STEP_OK ? MS_UNWIND_LIMITED : step == STEP_CUT ? MS_UNWIND_CUT : 0;
	for (uint32_t i = 0; i < n / 2; i++) {
		uintptr_t ip = ips[i];

		ips[i] = ips[n - 1 - i];
		ips[n - 1 - i] = ip;
	}
	return n;
}

bool ms_unwind_out_to(
	const struct ms_unwind *u, struct ms_unwind_regs *at, uintptr_t lo, uintptr_t hi, unsigned steps)
{
	struct ms_unwind_frame f = {at->ip, at->sp, at->bp, 0};
	unsigned char window[256] __attribute__((aligned(8)));
	struct walk w;

	open_walk(&w, &u->stack, window, sizeof(window), at->sp);
	for (; f.ip - lo >= hi - lo; steps--) {
		enum ms_cfi_kind kind = steps ? ms_cfi_kind(rule_of(&w, f.ip - 1)) : MS_CFI_NONE;

		if (kind != MS_CFI_SP && kind != MS_CFI_BP && kind != MS_CFI_AT_BP)
			return false;
		if (step_out(&w, &f) != STEP_OK || w.stale)
			return false;
	}
	*at = (struct ms_unwind_regs){f.ip, f.sp, f.bp};
	return true;
}

size_t ms_unwind_storage_size(uint32_t limit)
{
	return sizeof(struct ms_unwind_steps) + (2 * (size_t)limit + 3 * BLOCK) * sizeof(struct ms_unwind_frame) +
	       MS_UNWIND_WINDOW;
}

void ms_unwind_init(struct ms_unwind *u, void *storage, uint32_t limit, struct ms_unwind_bounds stack)
{
	struct ms_unwind_steps *steps = storage; /* first, as they are kept from one use of the storage to the next */
	struct ms_unwind_frame *frames = (struct ms_unwind_frame *)(steps + 1);

	for (struct ms_unwind_frame *f = frames; f < frames + BLOCK; f++)
		*f = (struct ms_unwind_frame){.sp = (uintptr_t)&f->ip + 8, .bp_slot = (uintptr_t)&f->bp};
	*u = (struct ms_unwind){
		.frame = frames + BLOCK,
		.limit = limit,
		.epoch = EPOCH_NONE,
		.stack = stack,
		.steps = steps,
		.fresh = frames + limit + 3 * (size_t)BLOCK,
	};
	u->window = (unsigned char *)(u->fresh + limit);
}

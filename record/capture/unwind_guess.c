/*
 * unwind_guess.c - code without unwind information: generated, or hand-written.
 *
 * How it returns is seen from its epilogue, if that can be found (epilogue.c): then it is passed, if what it returns to lies
 * behind a call that can have led here.
 *
 * Else it may keep a frame pointer. If it does, its caller is found there; if it does not, rbp is some outer frame's, and
 * following it would lose frames unnoticed. That it does is taken for granted if no word between rsp and rbp is, or may be,
 * the address behind a call, as that of its caller would be, and only where it is part of a whole way to compiled code
 * that called code without information.
 *
 * How a place in the code returns is a property of that place, so what has been seen once is kept in the table of rules:
 * first as notes in an unknown rule; once the place has been passed, as MS_CFI_FRAME or MS_CFI_POP. These are carried out
 * like other rules, and their frames are verified like others. Generated code may be replaced at its place without our
 * notice: then what it would return to is hardly behind a call, and the place is looked at again.
 */
#include "unwind_guess.h"

#include "epilogue.h"

#include <string.h>

/* ---- is this behind a call? ---- */

enum call { CALL_NONE, CALL_DIRECT, CALL_INDIRECT, CALL_UNSURE };

enum { CALL_BYTES = 7 }; /* the longest one */

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

/* The bytes up to END, which has the address RA, may be a call. TARGET: where a direct one goes. */
static enum call call_in(const unsigned char *end, uintptr_t ra, uintptr_t *target)
{
	if (end[-5] == 0xe8) {
		uint32_t rel = (uint32_t)end[-4] | (uint32_t)end[-3] << 8 | (uint32_t)end[-2] << 16 |
			       (uint32_t)end[-1] << 24;

		*target = ra + (uintptr_t)(intptr_t)(int32_t)rel;
		return CALL_DIRECT;
	}
	for (int size = 2; size <= CALL_BYTES; size++)
		if (end[-size] == 0xff && indirect_call_size(end[1 - size], end[2 - size]) == (unsigned)size)
			return CALL_INDIRECT;
	return CALL_NONE;
}

/* The bytes before RA, as far as there is anything: zeroes before that. */
static bool read_code(uintptr_t ra, unsigned char bytes[CALL_BYTES])
{
	size_t on_page = (ra - 1) % 4096 + 1;

	memset(bytes, 0, CALL_BYTES);
	if (ms_code_read(ra - CALL_BYTES, bytes, CALL_BYTES))
		return true;
	return on_page < CALL_BYTES && ms_code_read(ra - on_page, bytes + CALL_BYTES - on_page, on_page);
}

/* What is before RA, which need not be code, nor mapped. Data seldom look like a call to something that is mapped. */
static cold enum call call_read(uintptr_t ra, uintptr_t *target)
{
	unsigned char bytes[CALL_BYTES];
	enum call call;

	if (!read_code(ra, bytes))
		return CALL_NONE;
	call = call_in(bytes + CALL_BYTES, ra, target);
	return call == CALL_DIRECT && !ms_code_read(*target, bytes, 1) ? CALL_NONE : call;
}

/* What is before RA, anywhere. IS_COMPILED: in code with unwind information. Generated code near NEAR is expected. */
static cold enum call call_before(uintptr_t ra, uintptr_t near, bool *is_compiled, uintptr_t *target)
{
	enum { NEAR = 1 << 28 };
	struct ms_cfi_code code;

	*is_compiled = false;
	if (ra < 4096 || ra >> ADDRESS_BITS)
		return CALL_NONE;
	*is_compiled = ms_cfi_kind(ms_rules_read(ra - 1, &code)) != MS_CFI_UNKNOWN;
	if (*is_compiled && ra - code.start >= CALL_BYTES)
		return call_in((const unsigned char *)ra, ra, target);
	if (ms_code_is_readable())
		return call_read(ra, target);
	if (*is_compiled || ms_rules_is_in_module(ra - 1) || ra - near + NEAR < 2 * (uintptr_t)NEAR)
		return CALL_UNSURE;
	return CALL_NONE;
}

static cold bool is_compiled_code(uintptr_t pc)
{
	struct ms_cfi_code code;

	return ms_cfi_kind(ms_rules_read(pc, &code)) != MS_CFI_UNKNOWN;
}

/* ---- notes in an unknown rule ---- */

enum note {
	NOTE_NOTHING,
	NOTE_CALL,  /* it lies behind a call */
	NOTE_DOUBT, /* its epilogue does not tell */
	NOTE_FRAME, /* it has a frame pointer */
	NOTE_POP,   /* it adds to rsp what it took: how much, and where rbp was, in the bits above */
};
enum { NOTE_BITS = 3, CFA_BITS = 9, CFA_UNIT = 16, BP_UNIT = 8, FEW = 8, MAX_FAILURES = 64 };

static ms_cfi_rule unknown_rule(uint32_t notes, intptr_t n_failures)
{
	return ms_cfi_make(MS_CFI_UNKNOWN, (int32_t)n_failures, MS_CFI_BP_SAME, (int32_t)notes);
}

static enum note note_of(ms_cfi_rule rule)
{
	return (enum note)(ms_cfi_bp_off(rule) & ((1 << NOTE_BITS) - 1));
}

static void learn(struct walk *w, uintptr_t pc, ms_cfi_rule rule)
{
	if (w->use_table)
		ms_rules_publish_outside(pc, w->generation, rule);
}

static bool is_doubtful(ms_cfi_rule rule)
{
	return ms_cfi_kind(rule) == MS_CFI_UNKNOWN && note_of(rule) == NOTE_DOUBT;
}

/* One of N times, a power of two. */
static bool happens_in(unsigned n)
{
	return (__builtin_ia32_rdtsc() & (n - 1)) == 0;
}

/* A place that has failed often is tried seldom, since that takes long: what stood in the way may be garbage on the stack. */
static bool is_worth_trying(ms_cfi_rule rule)
{
	intptr_t n = ms_cfi_cfa_off(rule);

	return !is_doubtful(rule) || happens_in(n < FEW ? 1 : n < MAX_FAILURES ? 256 : 4096);
}

/* The way ends at F, of which RULE is known. */
static void note_failure(struct walk *w, const struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	if (ms_cfi_kind(rule) == MS_CFI_UNKNOWN && ms_cfi_cfa_off(rule) < MAX_FAILURES)
		learn(w, f->ip - 1, unknown_rule((uint32_t)ms_cfi_bp_off(rule), ms_cfi_cfa_off(rule) + 1));
}

/* What an epilogue says, as a note. */
static uint32_t notes_of(ms_cfi_rule said)
{
	uint32_t cfa = (uint32_t)ms_cfi_cfa_off(said) / CFA_UNIT, bp = (uint32_t)(-ms_cfi_bp_off(said) / BP_UNIT);

	if (ms_cfi_kind(said) == MS_CFI_BP)
		return NOTE_FRAME;
	if (ms_cfi_kind(said) != MS_CFI_SP || cfa >= 1u << CFA_BITS)
		return NOTE_DOUBT;
	return NOTE_POP | cfa << NOTE_BITS | bp << (NOTE_BITS + CFA_BITS);
}

/* The rule that RULE, or the notes in it, say or suppose. */
static ms_cfi_rule noted_rule(ms_cfi_rule rule)
{
	uint32_t notes = (uint32_t)ms_cfi_bp_off(rule);
	int32_t cfa = (int32_t)(notes >> NOTE_BITS & ((1u << CFA_BITS) - 1)) * CFA_UNIT;
	int32_t bp = (int32_t)(notes >> (NOTE_BITS + CFA_BITS)) * -BP_UNIT;

	if (ms_cfi_kind(rule) != MS_CFI_UNKNOWN)
		return rule;
	if (note_of(rule) == NOTE_POP)
		return ms_cfi_make(MS_CFI_POP, cfa, bp ? MS_CFI_BP_CFA : MS_CFI_BP_SAME, bp);
	return ms_cfi_make(MS_CFI_FRAME, 16, MS_CFI_BP_CFA, -16);
}

/* ---- one frame ---- */

/* What is known of F, after a look at its code if there has been none. */
static ms_cfi_rule look_at_code(struct walk *w, const struct ms_unwind_frame *f)
{
	ms_cfi_rule rule = rule_of(w, f->ip - 1);

	if (ms_cfi_kind(rule) != MS_CFI_UNKNOWN || note_of(rule) > NOTE_CALL)
		return rule;
	rule = unknown_rule(notes_of(ms_epilogue_rule(f->ip == w->interrupted ? f->ip - 1 : f->ip)), ms_cfi_cfa_off(rule));
	learn(w, f->ip - 1, rule);
	return rule;
}

/* F becomes what RULE says its caller is, if that can be one at all. */
static bool follow(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	enum { MAX_FRAME = 8192 };
	uintptr_t cfa = (ms_cfi_is_of_sp(rule) ? f->sp : f->bp) + (uintptr_t)ms_cfi_cfa_off(rule);
	uintptr_t ip, bp = f->bp, slot = 0;

	if (cfa <= f->sp || cfa - f->sp > MAX_FRAME || cfa % 8 != 0)
		return false;
	if (ms_cfi_bp(rule) == MS_CFI_BP_CFA) {
		slot = cfa + (uintptr_t)ms_cfi_bp_off(rule);
		if (slot < f->sp || !load(w, slot, &bp))
			return false;
	}
	if (!load(w, cfa - 8, &ip))
		return false;
	*f = (struct ms_unwind_frame){ip, cfa, bp, slot};
	return true;
}

/* No word between the sp of F and its frame pointer may be the return address that we are after. */
static cold bool has_no_return(struct walk *w, const struct ms_unwind_frame *f)
{
	for (uintptr_t at = f->sp; at < f->bp; at += 8) {
		uintptr_t word, target;
		bool is_compiled;

		if (!load(w, at, &word))
			return false;
		if (word - w->stack->lo < w->stack->hi - w->stack->lo)
			continue;
		if (call_before(word, f->ip, &is_compiled, &target) != CALL_NONE)
			return false;
	}
	return true;
}

enum outer { OUTER_NONE, OUTER_GENERATED, OUTER_COMPILED };

/* The code that called F's, to judge by IP: compiled code, or code like F's. */
static cold enum outer judge_caller(struct walk *w, const struct ms_unwind_frame *f, uintptr_t ip)
{
	ms_cfi_rule rule = rule_of(w, ip - 1);
	bool is_compiled;
	uintptr_t target;
	enum call call;

	if (ms_cfi_kind(rule) == MS_CFI_FRAME || ms_cfi_kind(rule) == MS_CFI_POP ||
		(ms_cfi_kind(rule) == MS_CFI_UNKNOWN && note_of(rule) != NOTE_NOTHING))
		return OUTER_GENERATED;
	call = call_before(ip, f->ip, &is_compiled, &target);
	if (call == CALL_NONE || call == CALL_UNSURE)
		return OUTER_NONE;
	if (call == CALL_DIRECT && (is_compiled_code(target) || (is_compiled && target >= f->ip)))
		return OUTER_NONE;
	if (!is_compiled)
		learn(w, ip - 1, unknown_rule(NOTE_CALL, 0));
	return is_compiled ? OUTER_COMPILED : OUTER_GENERATED;
}

/* ---- the whole way ---- */

/* Frames from F to compiled code; 0: there is no such way, as far as can be told without a look at what lies between them. */
static cold uint32_t find_way(struct walk *w, struct ms_unwind_frame f)
{
	for (uint32_t n = 1; n < MS_UNWIND_MAX_DEPTH; n++) {
		struct ms_unwind_frame inner = f;
		ms_cfi_rule rule = look_at_code(w, &f);
		enum outer outer = OUTER_NONE;

		if (!is_worth_trying(rule))
			return 0;
		if (follow(w, &f, noted_rule(rule)))
			outer = judge_caller(w, &inner, f.ip);
		if (outer == OUTER_COMPILED)
			return n;
		if (outer == OUTER_NONE) {
			note_failure(w, &inner, rule);
			return 0;
		}
	}
	return 0;
}

/* Those of the N frames from F on that are in doubt have nothing between rsp and rbp that speaks against a frame pointer. */
static cold bool is_sound(struct walk *w, struct ms_unwind_frame f, uint32_t n)
{
	for (; n > 0; n--) {
		ms_cfi_rule rule = look_at_code(w, &f);

		if (is_doubtful(rule) && !has_no_return(w, &f)) {
			note_failure(w, &f, rule);
			return false;
		}
		(void)follow(w, &f, noted_rule(rule));
	}
	return true;
}

/* The N frames from F on are what they were taken for. */
static cold void learn_way(struct walk *w, struct ms_unwind_frame f, uint32_t n)
{
	for (; n > 0; n--) {
		ms_cfi_rule rule = noted_rule(look_at_code(w, &f));

		learn(w, f.ip - 1, rule);
		(void)follow(w, &f, rule);
	}
}

enum step ms_guess_step(struct walk *w, struct ms_unwind_frame *f)
{
	uint32_t n = find_way(w, *f);
	struct ms_unwind_frame outer = *f;
	ms_cfi_rule rule = look_at_code(w, f);

	if (n == 0 || !is_sound(w, *f, n))
		n = is_doubtful(rule) ? 0 : 1;
	w->recheck = true;
	if (n == 0 || !follow(w, &outer, noted_rule(rule)) || judge_caller(w, f, outer.ip) == OUTER_NONE)
		return STEP_CUT;
	learn_way(w, *f, n);
	*f = outer;
	if (!w->use_table)
		f->bp_slot = never_slot(f->bp);
	w->recheck = false;
	return STEP_OK;
}

enum step ms_guess_step_again(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule)
{
	struct ms_unwind_frame outer = *f;

	if (follow(w, &outer, rule) && (ms_cfi_kind(rule_of(w, outer.ip - 1)) != MS_CFI_UNKNOWN ||
					       judge_caller(w, f, outer.ip) != OUTER_NONE)) {
		*f = outer;
		return STEP_OK;
	}
	if (happens_in(1024)) /* other code may be there now */
		learn(w, f->ip - 1, unknown_rule(NOTE_CALL, 0));
	w->recheck = true;
	return STEP_CUT;
}

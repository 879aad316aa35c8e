/*
 * unwind_guess.c - code without unwind information: generated, or hand-written. If it keeps a frame pointer, its caller is
 * found there; if it does not, rbp is some outer frame's and following it would lose frames unnoticed. So
 * believe it only if the word at rbp+8 is a return address into compiled code whose call, if direct, went to
 * code without information at or before our pc, and nothing nearer looks like a return address, compiled or
 * generated.
 */
#include "unwind_guess.h"

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

	if (ra < 4096 || ms_cfi_kind(ms_rules_read(ra - 1, &code)) == MS_CFI_UNKNOWN)
		return 0;
	return call_before(ra, &code, target);
}

/* No word between the sp of F and its frame pointer may be the return address that we are after. */
static cold bool frame_is_clean(struct walk *w, const struct ms_unwind_frame *f)
{
	enum { NEAR = 1 << 28 };
	bool is_generated = !ms_rules_is_in_module(f->ip - 1);

	for (uintptr_t at = f->sp; at < f->bp; at += 8) {
		uintptr_t word, target;

		if (!load(w, at, &word) || is_return(word, &target))
			return false;
		if (is_generated && word - f->ip + NEAR < 2 * (uintptr_t)NEAR && !ms_rules_is_in_module(word))
			return false;
	}
	return true;
}

enum step ms_guess_step(struct walk *w, struct ms_unwind_frame *f)
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
	if (call == 1 && ms_cfi_kind(ms_rules_read(target, &code)) != MS_CFI_UNKNOWN)
		return STEP_CUT;
	if (!frame_is_clean(w, f))
		return STEP_CUT;
	*f = (struct ms_unwind_frame){ip, f->bp + 16, bp, never_slot(bp)};
	w->recheck = false;
	return STEP_OK;
}

/*
 * What .eh_frame says about one program counter, boiled down to one 64-bit word.
 *
 * A backtrace needs three registers of each frame: where it will continue (ip), its stack pointer (sp) and
 * rbp, because rbp is what the compilers use to find the frame when sp will not do. Of all rows of call frame
 * information found in Debian's libraries 98.9 to 99.99 % say no more than "CFA is rsp+n or rbp+n, and rbp is
 * where it was or at CFA-m"; four further shapes (below) cover nearly all the others that a stack of calls
 *can meet. So a rule is a word: it can be kept in a table, published with one store, and carried out without
 * looking at DWARF again.
 *
 *	 63             32 31             8 7 6     5   4 3    0
 *	+-----------------+----------------+-+-----+-----+------+
 *	| CFA offset      | rbp offset     |0|plain| rbp | kind |
 *	+-----------------+----------------+-+-----+-----+------+
 *
 * Plain: kind SP, and the frame is sound by itself: the CFA lies above rsp by a multiple of 8, and rbp is where it was or
 * was saved between the two.
 *
 * The return address always lies at CFA-8, the CFA is the caller's sp: rules for which that is not so are
 * MS_CFI_CUT. Everything here is a pure function of the module's bytes; nothing is kept, nothing is locked,
 * no call leaves this file, and no byte outside the range that holds .eh_frame is read.
 */
#ifndef MS_CFI_H
#define MS_CFI_H

#include <stdint.h>

enum ms_cfi_kind {
	MS_CFI_NONE = 0, /* no rule: the value of an empty table entry */
	MS_CFI_SP = 1,	 /* CFA = rsp + offset */
	MS_CFI_BP = 2,	 /* CFA = rbp + offset */
	MS_CFI_FRAME = 3, /* as BP and SP, but no information says so: the code was seen to (unwind_guess.c) */
	MS_CFI_POP = 4,
	MS_CFI_AT_BP,	 /* CFA = *(rbp + offset): the frame was realigned, gcc spilt the old stack pointer */
	MS_CFI_PLT,	 /* CFA = rsp + 8, + 8 more from byte `offset` of a 16-byte PLT entry on */
	MS_CFI_SIGNAL,	 /* the kernel's signal frame: registers lie in the ucontext at rsp */
	MS_CFI_END,	 /* return address undefined: the stack regularly ends here */
	MS_CFI_CUT,	 /* there is a rule but it is none of the above */
	MS_CFI_UNKNOWN,	 /* no information covers this program counter */
};

enum ms_cfi_bp {
	MS_CFI_BP_SAME = 0, /* the caller's rbp is still in rbp */
	MS_CFI_BP_CFA = 1,  /* it was saved at CFA + rbp offset */
	MS_CFI_BP_BP = 2,   /* it was saved at rbp + rbp offset */
};

typedef uint64_t ms_cfi_rule;

enum {
	MS_CFI_PLAIN = 1 << 6,
	MS_CFI_PLAIN_SAME = MS_CFI_PLAIN | MS_CFI_BP_SAME << 4 | MS_CFI_SP,
	MS_CFI_PLAIN_SAVED = MS_CFI_PLAIN | MS_CFI_BP_CFA << 4 | MS_CFI_SP,
};

static inline int ms_cfi_plain(enum ms_cfi_kind kind, int32_t cfa_off, enum ms_cfi_bp bp, int32_t bp_off)
{
	if (kind != MS_CFI_SP || cfa_off <= 0 || cfa_off % 8 != 0)
		return 0;
	if (bp == MS_CFI_BP_SAME || (bp == MS_CFI_BP_CFA && bp_off >= -cfa_off && bp_off <= -16))
		return MS_CFI_PLAIN;
	return 0;
}

static inline ms_cfi_rule ms_cfi_make(
	enum ms_cfi_kind kind, int32_t cfa_off, enum ms_cfi_bp bp, int32_t bp_off)
{
	return (uint64_t)(uint32_t)cfa_off << 32 | (uint64_t)((uint32_t)bp_off & 0xffffff) << 8 |
	       (uint64_t)ms_cfi_plain(kind, cfa_off, bp, bp_off) | (uint64_t)bp << 4 | (uint64_t)kind;
}

/* MS_CFI_PLAIN_SAME, MS_CFI_PLAIN_SAVED, or another number: the rule is not plain. */
static inline unsigned ms_cfi_form(ms_cfi_rule rule)
{
	return (uint8_t)rule;
}

static inline enum ms_cfi_kind ms_cfi_kind(ms_cfi_rule rule)
{
	return (enum ms_cfi_kind)(rule & 15);
}

/* Of SP, BP, FRAME and POP: is the CFA counted from rsp, not from rbp? */
static inline int ms_cfi_is_of_sp(ms_cfi_rule rule)
{
	return ms_cfi_kind(rule) == MS_CFI_SP || ms_cfi_kind(rule) == MS_CFI_POP;
}

static inline intptr_t ms_cfi_cfa_off(ms_cfi_rule rule)
{
	return (intptr_t)rule >> 32;
}

static inline enum ms_cfi_bp ms_cfi_bp(ms_cfi_rule rule)
{
	return (enum ms_cfi_bp)(rule >> 4 & 3);
}

static inline intptr_t ms_cfi_bp_off(ms_cfi_rule rule)
{
	return (intptr_t)(rule << 32) >> 40;
}

/* A mapped ELF module: its PT_GNU_EH_FRAME (0: it has none) and the readable range around that. */
struct ms_cfi_module {
	uintptr_t start, end;
	uintptr_t eh_frame_hdr;
};

/* The code that one rule's FDE covers: [start, end), both 0 if there is none. */
struct ms_cfi_code {
	uintptr_t start, end;
};

/*
 * The rule for the instruction at PC, which the caller knows to lie in that module. For a return address pass
 * the address minus one. CODE receives the extent of the function (as the FDE has it). Never fails: what is
 * missing, damaged or beyond the kinds above comes back as MS_CFI_UNKNOWN or MS_CFI_CUT. Any thread, any
 * signal handler; takes about a microsecond and less than 600 bytes of stack.
 */
ms_cfi_rule ms_cfi_rule_at(const struct ms_cfi_module *module, uintptr_t pc, struct ms_cfi_code *code);

#endif

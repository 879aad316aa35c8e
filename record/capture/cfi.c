/*
 * From a program counter to its rule: .eh_frame_hdr (binary search) → FDE → CIE → call frame program.
 *
 * The data is that of the traced program's own modules, so it is as trustworthy as the program itself; yet a
 * stripped, packed or broken module must not take its program down. Hence one cursor, bounded by the module's
 * mapping, that latches the first failure: code reads on and asks once.
 */
#include "cfi.h"

#include <stdbool.h>
#include <stddef.h>

/* DWARF register numbers of x86-64, and the only ones that matter here. */
enum { REG_BP = 6, REG_SP = 7, REG_RA = 16 };

/* ---- bytes ---- */

struct cursor {
	uintptr_t at, end;
	bool bad;
};

static uint64_t take_bytes(struct cursor *c, unsigned size)
{
	uint64_t value = 0;

	if (c->bad || c->end - c->at < size) {
		c->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)((const unsigned char *)c->at)[i] << (8 * i);
	c->at += size;
	return value;
}

static int64_t take_signed(struct cursor *c, unsigned size)
{
	unsigned unused = 64 - 8 * size;

	return (int64_t)(take_bytes(c, size) << unused) >> unused;
}

static uint64_t take_uleb(struct cursor *c)
{
	uint64_t value = 0, byte = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		byte = take_bytes(c, 1);
		value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	c->bad = true;
	return 0;
}

static int64_t take_sleb(struct cursor *c)
{
	uint64_t value = 0, byte = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		byte = take_bytes(c, 1);
		value |= (byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (shift + 7 < 64 && (byte & 0x40))
			value |= ~UINT64_C(0) << (shift + 7);
		return (int64_t)value;
	}
	c->bad = true;
	return 0;
}

static void skip(struct cursor *c, uint64_t size)
{
	if (c->bad || c->end - c->at < size)
		c->bad = true;
	else
		c->at += size;
}

/* ---- pointers as exception tables encode them ---- */

enum {
	ENC_OMIT = 0xff,
	ENC_FORM = 0x0f,
	ENC_BASE = 0x70,
	ENC_INDIRECT = 0x80,
	ENC_PCREL = 0x10,
	ENC_DATAREL = 0x30
};

static uint64_t take_form(struct cursor *c, unsigned form)
{
	switch (form) {
	case 0x0: /* absptr */
	case 0x4: /* udata8 */
	case 0xc: /* sdata8 */
		return take_bytes(c, 8);
	case 0x1:
		return take_uleb(c);
	case 0x2:
		return take_bytes(c, 2);
	case 0x3:
		return take_bytes(c, 4);
	case 0x9:
		return (uint64_t)take_sleb(c);
	case 0xa:
		return (uint64_t)take_signed(c, 2);
	case 0xb:
		return (uint64_t)take_signed(c, 4);
	default:
		c->bad = true;
		return 0;
	}
}

/* An encoded pointer; DATA is what data-relative ones are relative to. Indirect ones are not followed. */
static uintptr_t take_pointer(struct cursor *c, unsigned enc, uintptr_t data)
{
	uintptr_t here = c->at;
	uint64_t value = take_form(c, enc & ENC_FORM);

	switch (enc & ENC_BASE) {
	case 0:
		return value;
	case ENC_PCREL:
		return here + value;
	case ENC_DATAREL:
		return data + value;
	default:
		c->bad = true;
		return 0;
	}
}

/* ---- entries of .eh_frame ---- */

struct cie {
	struct cursor program;
	uint64_t code_align;
	int64_t data_align;
	unsigned pointer_enc;
	bool has_augmentation;
	bool is_signal;
};

struct fde {
	struct cie cie;
	struct cursor program;
	struct ms_cfi_code code;
};

/* Narrow C to the entry that starts at its place, behind the length; returns the place of the next entry. */
static uintptr_t open_entry(struct cursor *c)
{
	uint64_t size = take_bytes(c, 4);

	if (size == 0xffffffff)
		size = take_bytes(c, 8);
	if (c->bad || size == 0 || c->end - c->at < size) {
		c->bad = true;
		return 0;
	}
	c->end = c->at + size;
	return c->end;
}

/* The augmentation letters of a CIE whose string is at LETTERS ("zR", "zRS", "zPLR"); C is at their data. */
static void read_augmentation(struct cie *cie, struct cursor *letters, struct cursor *c)
{
	uint64_t letter;
	uint64_t size = take_uleb(c);
	uintptr_t end = c->at + size;

	if (c->bad || size > c->end - c->at) {
		c->bad = true;
		return;
	}
	while ((letter = take_bytes(letters, 1)) != 0) {
		if (letter == 'R')
			cie->pointer_enc = (unsigned)take_bytes(c, 1);
		else if (letter == 'S')
			cie->is_signal = true;
		else if (letter == 'P')
			(void)take_form(c, (unsigned)take_bytes(c, 1) & ENC_FORM);
		else if (letter == 'L')
			skip(c, 1);
		else
			break; /* unknown letters' data can be stepped over: the size is known */
	}
	if (letters->bad)
		c->bad = true;
	c->at = end;
}

static bool read_cie(struct cie *cie, uintptr_t at, uintptr_t limit)
{
	struct cursor c = {at, limit, false};
	struct cursor letters;
	uint64_t version;

	*cie = (struct cie){0};
	open_entry(&c);
	if (take_bytes(&c, 4) != 0)
		return false;
	version = take_bytes(&c, 1);
	letters = c;
	while (take_bytes(&c, 1) != 0)
		;
	if (version == 4)
		skip(&c, 2);
	cie->code_align = take_uleb(&c);
	cie->data_align = take_sleb(&c);
	if ((version == 1 ? take_bytes(&c, 1) : take_uleb(&c)) != REG_RA)
		return false;
	cie->has_augmentation = take_bytes(&letters, 1) == 'z';
	if (cie->has_augmentation)
		read_augmentation(cie, &letters, &c);
	else if (!letters.bad && *(const unsigned char *)(letters.at - 1) != 0)
		return false; /* pre-'z' augmentations: their data cannot be skipped */
	cie->program = c;
	return !c.bad && (version == 1 || version == 3 || version == 4);
}

/* Read the entry at AT if it is an FDE; NEXT (if asked for) receives the place behind it, 0 at the end. */
static bool read_fde(struct fde *fde, uintptr_t at, const struct ms_cfi_module *m, uintptr_t *next)
{
	struct cursor c = {at, m->end, false};
	uintptr_t behind = open_entry(&c);
	uintptr_t cie_field = c.at;
	uint64_t back = take_bytes(&c, 4);
	uintptr_t start;

	if (next)
		*next = behind;
	if (c.bad || back == 0 || back > cie_field - m->start)
		return false;
	if (!read_cie(&fde->cie, cie_field - back, m->end) || (fde->cie.pointer_enc & ENC_INDIRECT))
		return false;
	start = take_pointer(&c, fde->cie.pointer_enc, m->eh_frame_hdr);
	fde->code = (struct ms_cfi_code){start, start + take_form(&c, fde->cie.pointer_enc & ENC_FORM)};
	if (fde->cie.has_augmentation)
		skip(&c, take_uleb(&c));
	fde->program = c;
	return !c.bad;
}

static bool covers(const struct fde *fde, uintptr_t pc)
{
	return pc >= fde->code.start && pc < fde->code.end;
}

/* ---- which entry: .eh_frame_hdr ---- */

/* One row of the linker's table: both fields are relative to the header. */
struct table_row {
	int32_t code, fde;
};

static struct table_row row_at(uintptr_t table, uint64_t i)
{
	struct cursor c = {table + 8 * i, table + 8 * i + 8, false};
	struct table_row row;

	row.code = (int32_t)take_signed(&c, 4);
	row.fde = (int32_t)take_signed(&c, 4);
	return row;
}

/* The last row whose code starts at or before PC: binary search, as the linker sorted them. */
static uintptr_t search_table(uintptr_t table, uint64_t n, uintptr_t hdr, uintptr_t pc)
{
	uint64_t low = 0, high = n;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (hdr + (uintptr_t)(intptr_t)row_at(table, mid).code <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	return low == 0 ? 0 : hdr + (uintptr_t)(intptr_t)row_at(table, low - 1).fde;
}

/* No table (a linker that could not sort): walk all entries. Slow, and asked once per program counter. */
static bool walk_entries(struct fde *fde, uintptr_t at, const struct ms_cfi_module *m, uintptr_t pc)
{
	while (at >= m->start && at < m->end) {
		uintptr_t next;

		if (read_fde(fde, at, m, &next) && covers(fde, pc))
			return true;
		at = next;
	}
	return false;
}

static bool find_fde(struct fde *fde, const struct ms_cfi_module *m, uintptr_t pc)
{
	struct cursor c = {m->eh_frame_hdr, m->end, m->eh_frame_hdr < m->start || m->eh_frame_hdr >= m->end};
	uint64_t version = take_bytes(&c, 1);
	unsigned frame_enc = (unsigned)take_bytes(&c, 1);
	unsigned count_enc = (unsigned)take_bytes(&c, 1);
	unsigned table_enc = (unsigned)take_bytes(&c, 1);
	uintptr_t frames, at;
	uint64_t n;

	if (c.bad || version != 1 || frame_enc == ENC_OMIT)
		return false;
	frames = take_pointer(&c, frame_enc, m->eh_frame_hdr);
	if (count_enc == ENC_OMIT || table_enc != (ENC_DATAREL | 0x0b))
		return !c.bad && walk_entries(fde, frames, m, pc);
	n = take_form(&c, count_enc & ENC_FORM);
	if (c.bad || n > (c.end - c.at) / 8)
		return false;
	at = search_table(c.at, n, m->eh_frame_hdr, pc);
	return at >= m->start && at < m->end && read_fde(fde, at, m, NULL) && covers(fde, pc);
}

/* ---- the call frame program ---- */

enum cfa_kind { CFA_BAD, CFA_SP, CFA_BP, CFA_EXPRESSION };
enum saved { SAVED_SAME, SAVED_CFA, SAVED_BP, SAVED_UNDEFINED, SAVED_BAD };

/* One row of the table that the program describes, as far as it concerns us. */
struct row {
	uint8_t cfa, bp, ra; /* enum cfa_kind, enum saved, enum saved */
	int32_t cfa_off, bp_off, ra_off;
	uint32_t expression; /* of the CFA: its place, as distance from the module's start */
};

/* Compilers nest no deeper than two; see test_cfi. */
enum { MAX_REMEMBERED = 4 };

struct machine {
	const struct ms_cfi_module *module;
	const struct cie *cie;
	struct row row, initial;
	struct row remembered[MAX_REMEMBERED];
	unsigned n_remembered;
	uintptr_t loc, pc;
};

static int32_t narrow(int64_t value, uint8_t *kind)
{
	if (value != (int32_t)value)
		*kind = SAVED_BAD;
	return (int32_t)value;
}

static void set_saved(struct machine *m, uint64_t reg, enum saved how, int64_t off)
{
	if (reg == REG_BP) {
		m->row.bp = (uint8_t)how;
		m->row.bp_off = narrow(off, &m->row.bp);
	} else if (reg == REG_RA) {
		m->row.ra = (uint8_t)how;
		m->row.ra_off = narrow(off, &m->row.ra);
	}
}

static void restore(struct machine *m, uint64_t reg)
{
	if (reg == REG_BP) {
		m->row.bp = m->initial.bp;
		m->row.bp_off = m->initial.bp_off;
	} else if (reg == REG_RA) {
		m->row.ra = m->initial.ra;
		m->row.ra_off = m->initial.ra_off;
	}
}

static void set_cfa_register(struct machine *m, uint64_t reg)
{
	m->row.cfa = reg == REG_SP ? CFA_SP : reg == REG_BP ? CFA_BP : CFA_BAD;
}

static void set_cfa_offset(struct machine *m, int64_t off)
{
	m->row.cfa_off = (int32_t)off;
	if (off != (int32_t)off)
		m->row.cfa = CFA_BAD;
}

static void set_cfa_expression(struct machine *m, struct cursor *c)
{
	m->row.cfa = c->at - m->module->start > UINT32_MAX ? CFA_BAD : CFA_EXPRESSION;
	m->row.expression = (uint32_t)(c->at - m->module->start);
	skip(c, take_uleb(c));
}

/* A register saved at an address that an expression gives: all we know is rbp + constant. */
static void set_expression(struct machine *m, struct cursor *c)
{
	uint64_t reg = take_uleb(c);
	uint64_t size = take_uleb(c);
	struct cursor e = *c;

	skip(c, size);
	if (take_bytes(&e, 1) == 0x70 + REG_BP) {
		int64_t off = take_sleb(&e);

		set_saved(m, reg, e.bad || e.at != c->at ? SAVED_BAD : SAVED_BP, off);
	} else {
		set_saved(m, reg, SAVED_BAD, 0);
	}
}

/* Instructions told by their whole first byte, by what they are about. False: it is none of these. */
static bool run_location(struct machine *m, struct cursor *c, unsigned op)
{
	switch (op) {
	case 0x00: /* nop */
		return true;
	case 0x01: /* set_loc */
		m->loc = take_pointer(c, m->cie->pointer_enc, m->module->eh_frame_hdr);
		return true;
	case 0x02: /* advance_loc1 */
		m->loc += take_bytes(c, 1) * m->cie->code_align;
		return true;
	case 0x03: /* advance_loc2 */
		m->loc += take_bytes(c, 2) * m->cie->code_align;
		return true;
	case 0x04: /* advance_loc4 */
		m->loc += take_bytes(c, 4) * m->cie->code_align;
		return true;
	case 0x2e: /* GNU_args_size */
		(void)take_uleb(c);
		return true;
	default:
		return false;
	}
}

static bool run_register(struct machine *m, struct cursor *c, unsigned op)
{
	int64_t align = m->cie->data_align;
	uint64_t reg;

	switch (op) {
	case 0x05: /* offset_extended */
		reg = take_uleb(c);
		set_saved(m, reg, SAVED_CFA, (int64_t)take_uleb(c) * align);
		return true;
	case 0x06: /* restore_extended */
		restore(m, take_uleb(c));
		return true;
	case 0x07: /* undefined */
		set_saved(m, take_uleb(c), SAVED_UNDEFINED, 0);
		return true;
	case 0x08: /* same_value */
		set_saved(m, take_uleb(c), SAVED_SAME, 0);
		return true;
	case 0x09: /* register */
		set_saved(m, take_uleb(c), SAVED_BAD, 0);
		(void)take_uleb(c);
		return true;
	case 0x10: /* expression */
		set_expression(m, c);
		return true;
	case 0x11: /* offset_extended_sf */
		reg = take_uleb(c);
		set_saved(m, reg, SAVED_CFA, take_sleb(c) * align);
		return true;
	case 0x14: /* val_offset */
	case 0x15: /* val_offset_sf */
		set_saved(m, take_uleb(c), SAVED_BAD, 0);
		(void)take_uleb(c);
		return true;
	case 0x16: /* val_expression */
		set_saved(m, take_uleb(c), SAVED_BAD, 0);
		skip(c, take_uleb(c));
		return true;
	default:
		return false;
	}
}

static bool run_cfa(struct machine *m, struct cursor *c, unsigned op)
{
	int64_t align = m->cie->data_align;

	switch (op) {
	case 0x0c: /* def_cfa */
		set_cfa_register(m, take_uleb(c));
		set_cfa_offset(m, (int64_t)take_uleb(c));
		return true;
	case 0x0d: /* def_cfa_register */
		set_cfa_register(m, take_uleb(c));
		return true;
	case 0x0e: /* def_cfa_offset */
		set_cfa_offset(m, (int64_t)take_uleb(c));
		return true;
	case 0x0f: /* def_cfa_expression */
		set_cfa_expression(m, c);
		return true;
	case 0x12: /* def_cfa_sf */
		set_cfa_register(m, take_uleb(c));
		set_cfa_offset(m, take_sleb(c) * align);
		return true;
	case 0x13: /* def_cfa_offset_sf */
		set_cfa_offset(m, take_sleb(c) * align);
		return true;
	default:
		return false;
	}
}

/* False also if too many states are remembered, or none. */
static bool run_state(struct machine *m, unsigned op)
{
	switch (op) {
	case 0x0a: /* remember_state */
		if (m->n_remembered == MAX_REMEMBERED)
			return false;
		m->remembered[m->n_remembered++] = m->row;
		return true;
	case 0x0b: /* restore_state */
		if (m->n_remembered == 0)
			return false;
		m->row = m->remembered[--m->n_remembered];
		return true;
	default:
		return false;
	}
}

/* An instruction that is told by its whole first byte; false: one we do not know, or cannot follow. */
static bool run_extended(struct machine *m, struct cursor *c, unsigned op)
{
	return run_location(m, c, op) || run_register(m, c, op) || run_cfa(m, c, op) || run_state(m, op);
}

/* Run PROGRAM until it is past the program counter asked for; false: damaged, or not understood. */
static bool run(struct machine *m, struct cursor program)
{
	while (program.at < program.end && m->loc <= m->pc) {
		unsigned op = (unsigned)take_bytes(&program, 1);
		unsigned low = op & 0x3f;

		switch (op >> 6) {
		case 1: /* advance_loc */
			m->loc += low * m->cie->code_align;
			break;
		case 2: /* offset */
			set_saved(m, low, SAVED_CFA, (int64_t)take_uleb(&program) * m->cie->data_align);
			break;
		case 3: /* restore */
			restore(m, low);
			break;
		default:
			if (!run_extended(m, &program, op))
				return false;
		}
		if (program.bad)
			return false;
	}
	return true;
}

/* ---- from the row to the rule ---- */

/* CFA expressions: the three that compilers, linkers and libc are known to write. */
static ms_cfi_rule expression_rule(struct machine *m, enum ms_cfi_bp bp, bool is_signal)
{
	struct cursor c = {m->module->start + m->row.expression, m->module->end, false};
	uint64_t size = take_uleb(&c);
	uint64_t op = take_bytes(&c, 1);
	int64_t off = take_sleb(&c);
	uint64_t rest = take_bytes(&c, 1);

	if (c.bad || off != (int32_t)off)
		return ms_cfi_make(MS_CFI_CUT, 0, 0, 0);
	if (is_signal) /* *(rsp + 160): rsp in the ucontext, which is then where the kernel puts all others
			  too */
		return ms_cfi_make(
			op == 0x77 && off == 160 && rest == 0x06 ? MS_CFI_SIGNAL : MS_CFI_CUT, 0, 0, 0);
	if (op == 0x76 && rest == 0x06 && size == (off >= -64 && off < 64 ? 3u : 4u)) /* *(rbp + off) */
		return ms_cfi_make(MS_CFI_AT_BP, (int32_t)off, bp, m->row.bp_off);
	if (op == 0x77 && off == 8 && rest == 0x80 && size == 11 && take_bytes(&c, 3) == 0x1a3f00) {
		unsigned lit =
			(unsigned)take_bytes(&c, 1); /* breg16 0; lit15; and; LIT; ge; lit3; shl; plus */

		if (lit >= 0x30 && lit <= 0x3f && take_bytes(&c, 4) == 0x2224332a)
			return ms_cfi_make(MS_CFI_PLT, (int32_t)lit - 0x30, bp, m->row.bp_off);
	}
	return ms_cfi_make(MS_CFI_CUT, 0, 0, 0);
}

static ms_cfi_rule row_rule(struct machine *m)
{
	struct row *row = &m->row;
	enum ms_cfi_bp bp = row->bp == SAVED_CFA  ? MS_CFI_BP_CFA
			    : row->bp == SAVED_BP ? MS_CFI_BP_BP
						  : MS_CFI_BP_SAME;

	if (row->ra == SAVED_UNDEFINED)
		return ms_cfi_make(MS_CFI_END, 0, 0, 0);
	if (m->cie->is_signal)
		return row->cfa == CFA_EXPRESSION ? expression_rule(m, bp, true)
						  : ms_cfi_make(MS_CFI_CUT, 0, 0, 0);
	if (row->ra != SAVED_CFA || row->ra_off != -8 || row->bp == SAVED_BAD || row->bp_off < -(1 << 23) ||
		row->bp_off >= 1 << 23)
		return ms_cfi_make(MS_CFI_CUT, 0, 0, 0);
	switch (row->cfa) {
	case CFA_SP:
		return ms_cfi_make(MS_CFI_SP, row->cfa_off, bp, row->bp_off);
	case CFA_BP:
		return ms_cfi_make(MS_CFI_BP, row->cfa_off, bp, row->bp_off);
	case CFA_EXPRESSION:
		return expression_rule(m, bp, false);
	default:
		return ms_cfi_make(MS_CFI_CUT, 0, 0, 0);
	}
}

ms_cfi_rule ms_cfi_rule_at(const struct ms_cfi_module *module, uintptr_t pc, struct ms_cfi_code *code)
{
	struct machine m;
	struct fde fde;

	*code = (struct ms_cfi_code){0, 0};
	if (!find_fde(&fde, module, pc))
		return ms_cfi_make(MS_CFI_UNKNOWN, 0, 0, 0);
	*code = fde.code;
	m.module = module;
	m.cie = &fde.cie;
	m.row = (struct row){.cfa = CFA_BAD, .bp = SAVED_SAME, .ra = SAVED_SAME};
	m.n_remembered = 0;
	m.loc = 0;
	m.pc = pc;
	if (!run(&m, fde.cie.program))
		return ms_cfi_make(MS_CFI_CUT, 0, 0, 0);
	m.initial = m.row;
	m.loc = fde.code.start;
	if (!run(&m, fde.program))
		return ms_cfi_make(MS_CFI_CUT, 0, 0, 0);
	return row_rule(&m);
}

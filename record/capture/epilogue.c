/*
 * epilogue.c - see epilogue.h.
 *
 * The ways looked along are some of those that a machine could take: calls return with rsp as it was, jumps are followed,
 * conditional ones only if without them nothing is found. The first that comes to a return decides.
 */
#include "epilogue.h"

#include "insn.h"
#include "rawcall.h"

#include <string.h>
#include <sys/uio.h>

bool ms_code_is_readable(void)
{
	enum { UNKNOWN, YES, NO };
	static _Atomic int answer;
	int known = atomic_load_explicit(&answer, memory_order_relaxed);
	unsigned char byte;

	if (!ms_may_ask())
		return false;
	if (known == UNKNOWN) {
		known = ms_code_read((uintptr_t)&answer, &byte, 1) ? YES : NO;
		atomic_store_explicit(&answer, known, memory_order_relaxed);
	}
	return known == YES;
}

bool ms_code_read(uintptr_t at, unsigned char *to, uintptr_t n)
{
	struct iovec local = {to, n}, remote = {(void *)at, n};

	return ms_may_ask() && ms_rawcall(SYS_process_vm_readv, ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0), (long)&local, 1,
				       (long)&remote, 1, 0) == (long)n;
}

/* ---- code seen through a window ---- */

enum { WINDOW = 128, AHEAD = 32, PAGE = 4096 };

struct view {
	uintptr_t start;
	size_t size;
	unsigned char bytes[WINDOW];
};

static bool read_page_part(struct view *v, uintptr_t at, size_t n)
{
	v->start = at;
	v->size = n;
	return ms_code_read(at, v->bytes, n);
}

/* The instruction at IP is in the window, and some behind it; or as much as there is. */
static bool look(struct view *v, uintptr_t ip)
{
	size_t on_page = PAGE - ip % PAGE;

	if (ip - v->start <= v->size && v->start + v->size - ip >= AHEAD)
		return true;
	if (read_page_part(v, ip, WINDOW))
		return true;
	return on_page < WINDOW && read_page_part(v, ip, on_page);
}

/* ---- instructions ---- */

struct insn {
	const unsigned char *p;	 /* what can be read behind it belongs to it, too: */
	size_t n_ahead;		 /* bytes in all */
	const unsigned char *op; /* its opcode */
	unsigned size;
	unsigned rex; /* the byte before the opcode, if that is a REX prefix, or 0 */
};

static int32_t signed_at(const unsigned char *p, unsigned size)
{
	uint32_t value;

	if (size == 1)
		return (int8_t)p[0];
	memcpy(&value, p, sizeof(value));
	return (int32_t)value;
}

static bool is(const unsigned char *code, size_t size, const char *bytes, unsigned n)
{
	return size >= n && memcmp(code, bytes, n) == 0;
}

/* lea d(reg),%rsp, reg not being rsp: gcc goes back to where the stack was before it aligned a frame. */
static bool unaligns(const unsigned char *p, size_t size)
{
	return size > 2 && (p[0] == 0x48 || p[0] == 0x49) && p[1] == 0x8d && (p[2] & 0x38) == 0x20 && (p[2] & 7) != 4;
}

/* At P, with SIZE bytes: N registers are popped, and then rbp. */
static bool pops_to_bp(const unsigned char *p, size_t size, int32_t n)
{
	for (; n > 0 && size > 2; n--) {
		unsigned prefix = p[0] == 0x41;

		if (p[prefix] >> 3 != 0x58 >> 3)
			return false;
		p += prefix + 1;
		size -= prefix + 1;
	}
	return n == 0 && is(p, size, "\x5d", 1) && !unaligns(p + 1, size - 1);
}

/* leave; mov %rbp,%rsp and pop %rbp; lea -8n(%rbp),%rsp and n + 1 pops. Compilers restore rsp from other copies, too. */
static bool restores_sp(const unsigned char *p, size_t size)
{
	if (is(p, size, "\xc9", 1))
		return !unaligns(p + 1, size - 1);
	if (is(p, size, "\x48\x89\xec", 3) || is(p, size, "\x48\x8b\xe5", 3))
		return pops_to_bp(p + 3, size - 3, 0);
	if (is(p, size, "\x48\x8d\x65", 3) && size > 4)
		return pops_to_bp(p + 4, size - 4, signed_at(p + 3, 1) / -8);
	return false;
}

/* mov %rsp,%rbp; enter: the start of another function. */
static bool begins_frame(const unsigned char *p, size_t size)
{
	return is(p, size, "\x48\x89\xe5", 3) || is(p, size, "\x48\x8b\xec", 3) || is(p, size, "\xc8", 1);
}

/* int3, int, iret, hlt, ud2, a jump through a register or memory, a return that takes arguments along, or zeroes, which are
 * no code */
static bool ends(const unsigned char *op, size_t size)
{
	if (op[0] == 0xff)
		return size > 1 && (op[1] >> 3 & 6) == 4;
	if (op[0] == 0x0f)
		return size > 1 && op[1] == 0x0b;
	if (op[0] == 0)
		return size > 1 && op[1] == 0;
	return (op[0] >= 0xcc && op[0] <= 0xcf) || op[0] == 0xf4 || op[0] == 0xc2 || op[0] == 0xca || op[0] == 0xcb;
}

/* ---- the stack along a way ---- */

enum { BP_AS_IT_WAS = -1, BP_OTHER = -2 };

/* Where the way began, rsp was 0. */
struct stack {
	int32_t sp;
	int32_t bp; /* rbp was loaded from there; or one of the above */
};

enum { SP = 4, BP = 5 };

static unsigned modrm_rm(const struct insn *i)
{
	return (i->op[1] & 7) | (i->rex & 1) << 3;
}

static unsigned modrm_reg(const struct insn *i)
{
	return (i->op[1] >> 3 & 7) | (i->rex & 4) << 1;
}

/* One of the arithmetic instructions, mov, lea and xchg, with registers of 32 or 64 bits: does it write to REG? */
static bool writes(const struct insn *i, unsigned reg)
{
	unsigned op = i->op[0];
	bool is_direct = i->op[1] >> 6 == 3;

	if (op < 0x40 && (op & 7) == 1)
		return op != 0x39 && is_direct && modrm_rm(i) == reg;
	if (op < 0x40 && (op & 7) == 3)
		return op != 0x3b && modrm_reg(i) == reg;
	switch (op) {
	case 0x63:
	case 0x69:
	case 0x6b:
	case 0x8b:
	case 0x8d:
		return modrm_reg(i) == reg;
	case 0x81:
	case 0x83:
		return modrm_reg(i) % 8 != 7 && is_direct && modrm_rm(i) == reg;
	case 0x87:
		return modrm_reg(i) == reg || (is_direct && modrm_rm(i) == reg);
	case 0x89:
	case 0xc1:
	case 0xc7:
	case 0xd1:
	case 0xd3:
		return is_direct && modrm_rm(i) == reg;
	case 0xf7:
		return modrm_reg(i) % 8 > 1 && modrm_reg(i) % 8 < 4 && is_direct && modrm_rm(i) == reg;
	case 0xff:
		return modrm_reg(i) % 8 < 2 && is_direct && modrm_rm(i) == reg;
	default:
		return (op >= 0xb8 && op <= 0xbf && (op - 0xb8u) + (i->rex & 1) * 8 == reg) ||
		       (op > 0x90 && op <= 0x97 && (op - 0x90u) + (i->rex & 1) * 8 == reg);
	}
}

/* add or sub $n,%rsp, lea n(%rsp),%rsp */
static bool adds_to_sp(const struct insn *i, int32_t *n)
{
	const unsigned char *op = i->op;

	if (i->rex != 0x48)
		return false;
	if ((op[0] == 0x83 || op[0] == 0x81) && (op[1] == 0xc4 || op[1] == 0xec)) {
		*n = signed_at(op + 2, op[0] == 0x83 ? 1 : 4);
		if (op[1] == 0xec)
			*n = -*n;
		return true;
	}
	if (op[0] == 0x8d && op[2] == 0x24 && (op[1] == 0x64 || op[1] == 0xa4)) {
		*n = signed_at(op + 3, op[1] == 0x64 ? 1 : 4);
		return true;
	}
	return false;
}

/* mov n(%rsp),%rbp */
static bool loads_bp(const struct insn *i, int32_t *n)
{
	const unsigned char *op = i->op;

	if (i->rex != 0x48 || op[0] != 0x8b || op[2] != 0x24 || (op[1] != 0x2c && op[1] != 0x6c && op[1] != 0xac))
		return false;
	*n = op[1] == 0x2c ? 0 : signed_at(op + 3, op[1] == 0x6c ? 1 : 4);
	return true;
}

/* False: rsp is not known any more. */
static bool move_stack(struct stack *s, const struct insn *i)
{
	const unsigned char *op = i->op;
	int32_t n = 0;

	if ((op[0] >= 0x50 && op[0] <= 0x57) || op[0] == 0x68 || op[0] == 0x6a || op[0] == 0x9c ||
		(op[0] == 0xff && (op[1] >> 3 & 7) == 6)) {
		s->sp -= 8;
	} else if (op[0] >= 0x58 && op[0] <= 0x5f) {
		if (op[0] == 0x5c && !(i->rex & 1))
			return false;
		if (op[0] == 0x5d && !(i->rex & 1))
			s->bp = s->sp;
		s->sp += 8;
	} else if (op[0] == 0x8f || op[0] == 0x9d) {
		s->sp += 8;
	} else if (adds_to_sp(i, &n)) {
		s->sp += n;
	} else if (loads_bp(i, &n)) {
		s->bp = s->sp + n;
	} else if (op[0] != 0x0f && i->size > 1) {
		if (writes(i, BP))
			s->bp = BP_OTHER;
		return !writes(i, SP);
	}
	return s->sp > -(1 << 20) && s->sp < 1 << 20;
}

/* ---- ways ---- */

/* Where the ways tried began: the first N_BEEN places, relative to the first. Where others would begin: the last N_OTHER,
 * which are tried from the latest on. */
enum { MAX_PLACES = 128 };

struct ways {
	uintptr_t origin;
	unsigned n_been, n_other;
	int16_t places[MAX_PLACES]; /* a way that is further off is not tried */
};

static bool has_place(const struct ways *ways, unsigned from, unsigned to, uintptr_t ip)
{
	for (unsigned i = from; i < to; i++)
		if (ways->origin + (uintptr_t)(intptr_t)ways->places[i] == ip)
			return true;
	return false;
}

static bool has_been(const struct ways *ways, uintptr_t ip)
{
	return has_place(ways, 0, ways->n_been, ip);
}

static void may_go_to(struct ways *ways, uintptr_t ip)
{
	intptr_t distance = (intptr_t)(ip - ways->origin);

	if (ways->n_been + ways->n_other < MAX_PLACES && distance == (int16_t)distance && !has_been(ways, ip) &&
		!has_place(ways, MAX_PLACES - ways->n_other, MAX_PLACES, ip))
		ways->places[MAX_PLACES - ++ways->n_other] = (int16_t)distance;
}

/* The next way begins at *IP. False: there is none. */
static bool turn(struct ways *ways, uintptr_t *ip)
{
	while (ways->n_other > 0) {
		int16_t distance = ways->places[MAX_PLACES - ways->n_other--];

		*ip = ways->origin + (uintptr_t)(intptr_t)distance;
		if (!has_been(ways, *ip)) {
			ways->places[ways->n_been++] = distance;
			return true;
		}
	}
	return false;
}

enum effect { EFFECT_NONE, EFFECT_RESTORES, EFFECT_JUMPS, EFFECT_MAY_JUMP, EFFECT_RETURNS, EFFECT_ENDS };

/* What the instruction does. TARGET: where a jump goes, relative to the next one. */
static enum effect effect_of(const struct insn *i, int32_t *target)
{
	const unsigned char *op = i->op;
	size_t n_op = i->size - (size_t)(op - i->p);
	unsigned distance_size = n_op > 4 ? 4 : 1;

	if (restores_sp(i->p, i->n_ahead))
		return EFFECT_RESTORES;
	if (begins_frame(i->p, i->size) || ends(op, n_op))
		return EFFECT_ENDS;
	if (op[0] == 0xc3)
		return EFFECT_RETURNS;
	*target = signed_at(i->p + i->size - distance_size, distance_size);
	if (op[0] == 0xe9 || op[0] == 0xeb)
		return EFFECT_JUMPS;
	if (op[0] >> 4 == 7 || (op[0] == 0x0f && op[1] >> 4 == 8))
		return EFFECT_MAY_JUMP;
	return EFFECT_NONE;
}

/* The instruction at IP; false: it cannot be read, or understood. */
static bool decode(struct view *v, uintptr_t ip, struct insn *i)
{
	unsigned opcode;

	if (!look(v, ip))
		return false;
	i->p = v->bytes + (ip - v->start);
	i->n_ahead = v->size - (ip - v->start);
	i->size = ms_insn_size(i->p, i->n_ahead, &opcode);
	i->op = i->p + opcode;
	i->rex = opcode > 0 && i->op[-1] >> 4 == 4 ? i->op[-1] : 0;
	return i->size > 0;
}

/* Along one way from IP on, to what ends it: EFFECT_RESTORES; EFFECT_RETURNS, the stack then being S; or EFFECT_ENDS, also where
 * another way was, or the stack is not known any more. Other ways begin only where rsp is as it was. */
static enum effect look_along(struct ways *ways, struct view *v, uintptr_t ip, struct stack *s, unsigned *n_left)
{
	*s = (struct stack){0, BP_AS_IT_WAS};
	for (; *n_left > 0; --*n_left) {
		enum effect effect;
		int32_t target = 0;
		struct insn i;

		if (!decode(v, ip, &i))
			break;
		effect = effect_of(&i, &target);
		if (effect == EFFECT_RESTORES || effect == EFFECT_RETURNS)
			return effect;
		ip += i.size;
		if ((effect == EFFECT_MAY_JUMP || effect == EFFECT_JUMPS) && s->sp == 0 && s->bp == BP_AS_IT_WAS)
			may_go_to(ways, ip + (uintptr_t)(intptr_t)target);
		if (effect == EFFECT_JUMPS || effect == EFFECT_ENDS || has_been(ways, ip) || !move_stack(s, &i))
			break;
	}
	return EFFECT_ENDS;
}

/* The stack at a return as a rule. Who calls aligns rsp to 16 bytes before: with anything else between the two, this is
 * the return of another function, that lies behind a call which does not return. */
static ms_cfi_rule rule_of_return(const struct stack *s)
{
	int32_t cfa = s->sp + 8;

	if (cfa <= 8 || cfa % 16 != 0 || s->bp == BP_OTHER || (s->bp >= 0 && s->bp > s->sp - 8))
		return ms_cfi_make(MS_CFI_UNKNOWN, 0, 0, 0);
	if (s->bp == BP_AS_IT_WAS)
		return ms_cfi_make(MS_CFI_SP, cfa, MS_CFI_BP_SAME, 0);
	return ms_cfi_make(MS_CFI_SP, cfa, MS_CFI_BP_CFA, s->bp - cfa);
}

ms_cfi_rule ms_epilogue_rule(uintptr_t ip)
{
	enum effect effect = EFFECT_ENDS;
	struct ways ways = {.origin = ip};
	struct view v = {.size = 0};
	unsigned n_left = 4000;
	struct stack s = {0, BP_AS_IT_WAS};

	may_go_to(&ways, ip);
	while (effect == EFFECT_ENDS && n_left > 0 && turn(&ways, &ip))
		effect = look_along(&ways, &v, ip, &s, &n_left);
	if (effect == EFFECT_RESTORES)
		return ms_cfi_make(MS_CFI_BP, 16, MS_CFI_BP_CFA, -16);
	return effect == EFFECT_RETURNS ? rule_of_return(&s) : ms_cfi_make(MS_CFI_UNKNOWN, 0, 0, 0);
}

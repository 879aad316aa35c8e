/*
 * epilogue.c - see epilogue.h.
 *
 * The ways looked along are some of those that a machine could take: calls return, jumps are followed, conditional ones
 * only if without them nothing is found. The first that comes to a return decides.
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

enum effect {
	EFFECT_NONE,
	EFFECT_RESTORES, /* rsp from rbp */
	EFFECT_JUMPS,
	EFFECT_MAY_JUMP,
	EFFECT_RETURNS, /* with rbp as it is, or after another function began: rbp is not ours */
	EFFECT_ENDS,	/* nothing is known of what follows */
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

/* mov %rsp,%rbp; enter; pop %rbp: rbp was not ours, or is not any more. */
static bool replaces_bp(const unsigned char *p, unsigned size)
{
	return is(p, size, "\x48\x89\xe5", 3) || is(p, size, "\x48\x8b\xec", 3) || is(p, size, "\xc8", 1) ||
	       is(p, size, "\x5d", 1);
}

/* int3, int, iret, hlt, ud2, a jump through a register or memory, or zeroes, which are no code */
static bool ends(const unsigned char *op, unsigned size)
{
	if (op[0] == 0xff)
		return size > 1 && (op[1] >> 3 & 6) == 4;
	if (op[0] == 0x0f)
		return size > 1 && op[1] == 0x0b;
	if (op[0] == 0)
		return size > 1 && op[1] == 0;
	return (op[0] >= 0xcc && op[0] <= 0xcf) || op[0] == 0xf4;
}

static bool is_return(const unsigned char *op)
{
	return op[0] == 0xc2 || op[0] == 0xc3 || op[0] == 0xca || op[0] == 0xcb;
}

/* What the instruction of SIZE bytes at P does, N_AHEAD being there. TARGET: where a jump goes, relative to the next one. */
static enum effect effect_of(const unsigned char *p, size_t n_ahead, unsigned size, unsigned opcode, int32_t *target)
{
	const unsigned char *op = p + opcode;

	if (restores_sp(p, n_ahead))
		return EFFECT_RESTORES;
	if (replaces_bp(p, size) || is_return(op))
		return EFFECT_RETURNS;
	if (ends(op, size - opcode))
		return EFFECT_ENDS;
	*target = signed_at(p + size - (size - opcode > 4 ? 4 : 1), size - opcode > 4 ? 4 : 1);
	if (op[0] == 0xe9 || op[0] == 0xeb)
		return EFFECT_JUMPS;
	if (op[0] >> 4 == 7 || (op[0] == 0x0f && op[1] >> 4 == 8))
		return EFFECT_MAY_JUMP;
	return EFFECT_NONE;
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

/* The instruction at *IP, which becomes the next one. EFFECT_ENDS: it cannot be read, too. */
static enum effect pass(struct view *v, uintptr_t *ip, int32_t *target)
{
	const unsigned char *p;
	unsigned size, opcode;
	size_t n_ahead;

	if (!look(v, *ip))
		return EFFECT_ENDS;
	p = v->bytes + (*ip - v->start);
	n_ahead = v->size - (*ip - v->start);
	size = ms_insn_size(p, n_ahead, &opcode);
	if (size == 0)
		return EFFECT_ENDS;
	*ip += size;
	return effect_of(p, n_ahead, size, opcode, target);
}

/* Along one way from IP on, to what ends it: EFFECT_RESTORES, EFFECT_RETURNS, or EFFECT_ENDS, also where another was. */
static enum effect look_along(struct ways *ways, struct view *v, uintptr_t ip, unsigned *n_left)
{
	for (; *n_left > 0; --*n_left) {
		int32_t target = 0;
		enum effect effect = pass(v, &ip, &target);

		if (effect == EFFECT_JUMPS || effect == EFFECT_MAY_JUMP)
			may_go_to(ways, ip + (uintptr_t)(intptr_t)target);
		if (effect == EFFECT_RESTORES || effect == EFFECT_RETURNS)
			return effect;
		if (effect == EFFECT_JUMPS || effect == EFFECT_ENDS || has_been(ways, ip))
			break;
	}
	return EFFECT_ENDS;
}

bool ms_epilogue_restores_sp(uintptr_t ip)
{
	enum effect effect = EFFECT_ENDS;
	struct ways ways = {.origin = ip};
	struct view v = {.size = 0};
	unsigned n_left = 4000;

	may_go_to(&ways, ip);
	while (effect == EFFECT_ENDS && n_left > 0 && turn(&ways, &ip))
		effect = look_along(&ways, &v, ip, &n_left);
	return effect == EFFECT_RESTORES;
}

/* insn.c - see insn.h. An opcode map has a letter for each opcode, which tells what follows it. */
#include "insn.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * .  nothing                    m  ModRM                     x  no instruction
 * b  8 bits                     B  ModRM, 8 bits             p  a prefix
 * z  16 or 32 bits              Z  ModRM, 16 or 32 bits      w  16 bits
 * v  16, 32 or 64 bits          o  an address                e  16 bits and 8 bits
 * j  32 bits                    t, T  ModRM, and 8, or 16 or 32, bits if its middle says so
 * 0  more opcode                2, 3, E  VEX and EVEX
 */
static const char one_byte[] = "mmmmbzxxmmmmbzx0"
			       "mmmmbzxxmmmmbzxx"
			       "mmmmbzpxmmmmbzpx"
			       "mmmmbzpxmmmmbzpx"
			       "pppppppppppppppp"
			       "................"
			       "xxEmppppzZbB...."
			       "bbbbbbbbbbbbbbbb"
			       "BZxBmmmmmmmmmmmm"
			       "..........x....."
			       "oooo....bz......"
			       "bbbbbbbbvvvvvvvv"
			       "BBw.32BZe.w..bx."
			       "mmmmxxx.mmmmmmmm"
			       "bbbbbbbbjjxb...."
			       "p.pp..tT......mm";

static const char two_bytes[] = "mmmmx.....x.xm.B"
				"mmmmmmmmmmmmmmmm"
				"mmmmxxxxmmmmmmmm"
				"......x.0x0xxxxx"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"BBBBmmm.mmxxmmmm"
				"jjjjjjjjjjjjjjjj"
				"mmmmmmmmmmmmmmmm"
				"...mBmxx...mBmmm"
				"mmmmmmmmmmBmmmmm"
				"mmBmBBBm........"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm";

struct cursor {
	const unsigned char *code;
	size_t size;
	unsigned at;
	bool is_wide, is_short, is_near; /* REX.W, an operand of 16 bits, an address of 32 */
};

/* The next byte; 256: there is none, and the instruction has no end. */
static unsigned next(struct cursor *c)
{
	unsigned at = c->at++;

	return at < c->size ? c->code[at] : 256;
}

static bool is_rex(unsigned byte)
{
	return byte >> 4 == 4;
}

/* Behind the prefixes. A REX that is not the last of them has no effect. */
static unsigned skip_prefixes(struct cursor *c)
{
	unsigned byte = next(c);

	for (; byte < 256 && one_byte[byte] == 'p'; byte = next(c)) {
		c->is_wide = is_rex(byte) && byte & 8;
		c->is_short |= byte == 0x66;
		c->is_near |= byte == 0x67;
	}
	return byte;
}

/* What follows the opcode of VEX and EVEX. MAP: 1 = 0f, 2 = 0f 38, 3 = 0f 3a; 5 and 6 are those of half floats. */
static char letter_in_map(unsigned map, unsigned opcode)
{
	if (opcode > 255)
		return 'x';
	switch (map) {
	case 1:
		return opcode >= 0xc8 || two_bytes[opcode] == '.' || two_bytes[opcode] == 'B' ? two_bytes[opcode] : 'm';
	case 2:
	case 5:
	case 6:
		return 'm';
	case 3:
		return 'B';
	default:
		return 'x';
	}
}

static char letter_of_vex(struct cursor *c, char form)
{
	unsigned first = next(c), n_more = form == '2' ? 0 : form == '3' ? 1 : 2;
	unsigned map = form == '2' ? 1 : first & (form == '3' ? 31 : 7);

	while (n_more-- > 0)
		(void)next(c);
	return letter_in_map(map, next(c));
}

static char letter_of(struct cursor *c, unsigned opcode)
{
	char letter = opcode < 256 ? one_byte[opcode] : 'x';

	if (letter == '2' || letter == '3' || letter == 'E')
		return letter_of_vex(c, letter);
	if (letter != '0')
		return letter;
	opcode = next(c);
	letter = opcode < 256 ? two_bytes[opcode] : 'x';
	if (letter != '0')
		return letter;
	(void)next(c);
	return opcode == 0x38 ? 'm' : 'B';
}

static void skip_modrm(struct cursor *c, unsigned modrm)
{
	unsigned mod = modrm >> 6, base = modrm & 7;

	if (mod == 3)
		return;
	if (base == 4)
		base = next(c) & 7;
	c->at += mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
}

/* Bytes of the operand that LETTER stands for, besides ModRM. */
static unsigned size_of_immediate(const struct cursor *c, char letter, unsigned modrm)
{
	bool is_test = (modrm >> 3 & 7) < 2;
	unsigned z = c->is_short && !c->is_wide ? 2 : 4;

	switch (letter) {
	case 'b':
	case 'B':
		return 1;
	case 'z':
	case 'Z':
		return z;
	case 'w':
		return 2;
	case 'e':
		return 3;
	case 'v':
		return c->is_wide ? 8 : z;
	case 'o':
		return c->is_near ? 4 : 8;
	case 'j':
		return 4;
	case 't':
		return is_test ? 1 : 0;
	case 'T':
		return is_test ? z : 0;
	default:
		return 0;
	}
}

static bool has_modrm(char letter)
{
	return letter == 'm' || letter == 'B' || letter == 'Z' || letter == 't' || letter == 'T';
}

unsigned ms_insn_size(const unsigned char *code, size_t size, unsigned *opcode)
{
	struct cursor c = {.code = code, .size = size < MS_INSN_MAX ? size : MS_INSN_MAX};
	unsigned first = skip_prefixes(&c), modrm = 0;
	char letter;

	*opcode = c.at ? c.at - 1 : 0;
	letter = letter_of(&c, first);
	if (letter == 'x')
		return 0;
	if (has_modrm(letter)) {
		modrm = next(&c);
		if (modrm > 255 || (first == 0x8f && modrm >> 3 & 7))
			return 0;
		skip_modrm(&c, modrm);
	}
	c.at += size_of_immediate(&c, letter, modrm);
	return c.at <= c.size ? c.at : 0;
}

/*
 * insn.h - how long an x86-64 instruction is, to walk over code without unwind information.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 (formats) and appendix A
 * (opcode maps).
 */
#ifndef MS_INSN_H
#define MS_INSN_H

#include <stddef.h>

enum { MS_INSN_MAX = 15 };

/* Bytes of the instruction at CODE, of which SIZE can be read; 0: it is none in 64-bit mode, is not known here (XOP, the maps
 * of APX), or does not end within SIZE. OPCODE: where its opcode is, behind the prefixes. Any thread, any signal handler. */
unsigned ms_insn_size(const unsigned char *code, size_t size, unsigned *opcode);

#endif

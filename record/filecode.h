/* filecode.h - code that a program maps from a file by itself, without the dynamic linker: a second view of its own built-in
 * functions (node), the images of another loader. */
#ifndef MS_FILECODE_H
#define MS_FILECODE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The ELF file PATH is mapped at ADDR from OFFSET on. BIAS becomes what to take from an address there to get the one in the
 * file's own address space. False: there is no such file (as this process sees it), it is no ELF file of 64 bits, or it has no
 * code at OFFSET. Reads a few hundred bytes of it.
 */
bool ms_filecode_bias(const char *path, uint64_t addr, uint64_t offset, uint64_t *bias);

#endif

/* The dynamic symbols of an ELF file: what it offers to other objects, and what it wants of them.
 *
 *	ms_elf_exports("libpool.so", visit, ctx);
 *
 * The file is hostile input (elf_file.h): names are any bytes without NUL. */
#ifndef MS_ELF_EXPORTS_H
#define MS_ELF_EXPORTS_H

#include <stdbool.h>

/* Calls visit for each name in the dynamic symbol table; is_defined: the file has it, else it wants it. The name lives
 * for the call. 0, or a negative errno; -ENOEXEC when it is no 64-bit little-endian ELF file. */
int ms_elf_exports(const char *path, void (*visit)(void *ctx, const char *name, bool is_defined), void *ctx);

#endif

/* The functions an ELF file's symbol tables name, as a map from address to name.
 *
 * .symtab and .dynsym are read together (a stripped file has only the latter, a file of debug information only the
 * former). Where several symbols name one address, the one a developer expects wins: a function rather than a label,
 * visible rather than local, with a size, with fewer leading underscores (malloc, not __libc_malloc), global rather
 * than weak, no suffix (.cold, .part.0), then the shorter, then the alphabet. An address belongs to the nearest symbol
 * before it that covers it; a symbol without size reaches to the next symbol or the end of its section, but never cuts
 * into one that has a size. Entries of the procedure linkage table are named after what they call: "puts@plt".
 */
#ifndef MS_ELF_SYMTAB_H
#define MS_ELF_SYMTAB_H

#include <libelf.h>
#include <stddef.h>
#include <stdint.h>

#include "interval_map.h"

struct ms_symtab {
	struct ms_function_symbol *symbols; /* candidates as found, in the order of their addresses after finish */
	size_t n, room;
	struct ms_interval_map map; /* value = index into symbols */
	char *plt_names;	    /* NUL-separated; symbols of the PLT point into it */
	size_t plt_names_len, plt_names_room;
};

/* Adds the functions of one file. The names stay in elf's memory, so elf must outlive t. Damage in a table only costs
 * what cannot be read. 0 or -ENOMEM. */
int ms_symtab_add(struct ms_symtab *t, Elf *elf);

/* Chooses among the candidates; to be called once, after all files are added. 0 or -ENOMEM. */
int ms_symtab_finish(struct ms_symtab *t);

/* Name of the function that covers address (a link-time address), still mangled, or NULL. A version behind '@' is
 * still on it, except in PLT entries. Lives as long as t and the files added. */
const char *ms_symtab_get(const struct ms_symtab *t, uint64_t address);

void ms_symtab_release(struct ms_symtab *t);

#endif

/* Names for the addresses of one module: what the sandboxed child does with the file.
 *
 * Debug information first (dwarf_frames.h), the symbol table where that has nothing (elf_symtab.h). It runs on hostile
 * input and may crash or not end; callers outside tests run it in a sandbox (symbol_child.h).
 */
#ifndef MS_SYMBOL_PARSER_H
#define MS_SYMBOL_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "debug_file.h"
#include "symbol_reply.h"

/* Waits for the addresses, which live as long as the process, and are as those of a job. 0 or a negative errno. */
typedef int ms_await_function(const uint64_t **addresses, size_t *n);

struct ms_parser_job {
	int fd;		       /* the module's file, open for reading; borrowed */
	const char *path;      /* its path: other files are looked for beside it */
	const char *debug_dir; /* root of separate debug information, usually /usr/lib/debug */
	bool uses_debug_info;  /* else only the symbol tables are read */
	ms_open_function *open_file;
	const uint64_t *addresses; /* link-time addresses inside instructions, ascending, distinct */
	size_t n_addresses;
	ms_await_function *await; /* NULL, or who is asked for the addresses when all that goes without them is done */
};

/* Fills reply, which must be zeroed, with one query per address. 0 or a negative errno: -ENOEXEC when libelf does not
 * recognise the file, -ENOMEM. Release reply in any case. */
int ms_symbol_parse(const struct ms_parser_job *job, struct ms_reply *reply);

#endif

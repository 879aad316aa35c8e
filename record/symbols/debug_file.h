/* Where the debug information of an ELF file is: in the file itself, or in a separate one that provably belongs to it.
 *
 * A separate file is looked for by build-id under the debug directory (/usr/lib/debug/.build-id/ab/cdef….debug), then
 * by the name in .gnu_debuglink beside the file, in .debug/ beside it, and under the debug directory. It is taken only
 * when its build-id is the file's own or, where one of the two has none, its CRC is the one in .gnu_debuglink: wrong
 * names are worse than none. Nothing is ever fetched from a server.
 */
#ifndef MS_DEBUG_FILE_H
#define MS_DEBUG_FILE_H

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens a path for reading; returns a descriptor or a negative errno. How this is done depends on the sandbox. */
typedef int ms_open_function(const char *path);

struct ms_debug_file {
	Elf *elf; /* ELF_C_READ_MMAP_PRIVATE; NULL = there is no separate file */
	int fd;	  /* -1 */
	bool was_rejected; /* a file was there, but belongs to another build */
};

enum {
	MS_DEBUG_PATH_ROOM = 4096,
};

/* Where the separate file of a build-id belongs. false: it has no such place. */
bool ms_debug_file_place(const uint8_t *build_id, size_t len, const char *debug_dir, char path[MS_DEBUG_PATH_ROOM]);

/* Whether elf has DWARF of its own (.debug_info, plain or compressed). */
bool ms_has_debug_info(Elf *elf);

/* Makes libdw pass over compressed sections that names and lines do not need: it would decompress them all, and that is most
 * of what a debug file costs. Only in memory, for an Elf that was opened with ELF_C_READ_MMAP_PRIVATE. */
void ms_debug_sections_trim(Elf *elf);

/* Looks for the separate file of elf, which was opened from path. Nothing found is no failure: out->elf is NULL. */
void ms_debug_file_find(struct ms_debug_file *out, Elf *elf, const char *path, const char *debug_dir,
	ms_open_function *open_file);

/* Closes it; fine on {.fd = -1}. Not before the last use of the Elf. */
void ms_debug_file_release(struct ms_debug_file *f);

#endif

/* What an executable file is, as far as recording it is concerned: facts to check before the program is started.
 *
 *	struct ms_elf_info info;
 *	int rc = ms_elf_info_read("./app", &info);
 *	if (rc == 0 && info.kind == MS_FILE_ELF && info.is_static)
 *		…	the preloaded library will not be loaded
 *
 * Facts only; what to do about them is the caller's. A fact that cannot be established is false, empty or 0: a
 * damaged file that the kernel would run all the same is no reason to refuse it. Everything stands in the struct
 * itself: there is nothing to free. Any thread may call; the file is read by bounded reads (see elf_file.h).
 */
#ifndef MS_ELF_INFO_H
#define MS_ELF_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf_file.h"

enum ms_file_kind {
	MS_FILE_OTHER, /* regular, but neither ELF nor script: the kernel would say ENOEXEC */
	MS_FILE_SCRIPT,
	MS_FILE_ELF,
};

/* Sanitizer runtimes, by bit. All but UBSAN replace malloc and want to be first in the process. */
enum ms_sanitizer {
	MS_SANITIZER_ADDRESS = 1 << 0,
	MS_SANITIZER_HWADDRESS = 1 << 1,
	MS_SANITIZER_THREAD = 1 << 2,
	MS_SANITIZER_MEMORY = 1 << 3,
	MS_SANITIZER_LEAK = 1 << 4,
	MS_SANITIZER_UNDEFINED = 1 << 5,
};

enum {
	MS_INTERPRETER_MAX = 256, /* bytes with the NUL: the kernel's limit for a #! line (BINPRM_BUF_SIZE) */
};

struct ms_elf_info {
	enum ms_file_kind kind;

	/* Of any ELF file. */
	uint8_t elf_class; /* ELFCLASS32, ELFCLASS64 */
	uint8_t elf_data;  /* ELFDATA2LSB, ELFDATA2MSB */
	uint16_t machine;  /* EM_X86_64, … */
	uint16_t type;	   /* ET_EXEC, ET_DYN, … */

	/* ELF: PT_INTERP, the dynamic loader. Script: the program of the #! line, and what follows it (with blanks
	 * trimmed at both ends; it is one argument to the kernel). A longer path counts as none. */
	char interpreter[MS_INTERPRETER_MAX];
	char interpreter_arg[MS_INTERPRETER_MAX];

	/* Of 64-bit little-endian ELF files only. */
	bool is_static;		 /* no dynamic loader, so no preloaded library */
	bool is_musl;		 /* the loader is musl's: a library built for glibc cannot be preloaded */
	bool defines_malloc;	 /* malloc is in the file itself, so calls to it never reach a preloaded library */
	const char *allocator;	 /* a known allocator or runtime linked into the file ("jemalloc", "Go"), or NULL */
	unsigned sanitizers;	 /* enum ms_sanitizer bits: needed as libraries or linked in */
	uint8_t build_id[MS_BUILD_ID_MAX];
	size_t build_id_len;	 /* bytes; 0 = none */

	/* Of the file's inode. */
	bool is_setuid, is_setgid, has_capabilities;
	bool gains_privilege;	 /* started by this user the program would run with AT_SECURE, where the loader
				  * ignores LD_PRELOAD (mounts with nosuid aside) */
};

/* Inspects path (no search in PATH). 0, or a negative errno: it could not be opened or read, is a directory
 * (-EISDIR) or no regular file (-EINVAL); *info is then all zero. */
int ms_elf_info_read(const char *path, struct ms_elf_info *info);

/* The GNU build-id of an ELF file. 0 with *len bytes in id (0 = it has none), or a negative errno; -ENOEXEC when it
 * is no ELF file. */
int ms_elf_build_id(const char *path, uint8_t id[MS_BUILD_ID_MAX], size_t *len);

#endif

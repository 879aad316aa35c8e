/* A bounded look into an ELF file: open it safely, read its headers, find its tables.
 *
 * The file is hostile input and may change under us, so nothing is mapped (a truncation would be SIGBUS in the
 * recorder itself) and every read is a pread checked against the size seen at open. Only 64-bit little-endian
 * files are looked into; of others the identification is known and nothing else. libelf is not used here: this
 * runs in the recorder's own process, before any sandbox.
 *
 * All functions return 0 or a negative errno value; -ENOEXEC means "this is not what it should be".
 */
#ifndef MS_ELF_FILE_H
#define MS_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MS_BUILD_ID_MAX = 64, /* bytes; the linkers write 16 or 20 */
};

struct ms_elf_file {
	int fd;		     /* -1 = not open */
	bool fd_is_borrowed; /* release leaves it open */
	uint64_t size;	     /* bytes, at open */
	Elf64_Ehdr head;     /* of a 32-bit or big-endian file only e_ident, e_type and e_machine are set */
	bool is_elf64;	     /* 64-bit, little-endian: the tables below may be asked for */
	Elf64_Phdr *segments;
	size_t n_segments;
	Elf64_Shdr *sections;
	size_t n_sections; /* 0 also when the section headers are missing or unreadable */
};

/* Opens a regular file for reading without blocking on, or waking up, anything that is no regular file
 * (FIFO, terminal, device). Files larger than max_bytes are refused with -EFBIG; others that are not regular with
 * -EINVAL (-EISDIR for a directory). Returns a close-on-exec descriptor, which is the caller's, and sets *size. */
int ms_elf_open_regular(const char *path, uint64_t max_bytes, uint64_t *size);

/* Opens path and reads its headers. -ENOEXEC when it is no ELF file. Release in any case of success. */
int ms_elf_file_open(struct ms_elf_file *f, const char *path);

/* The same over a descriptor, which is borrowed: the caller keeps it open and closes it. */
int ms_elf_file_attach(struct ms_elf_file *f, int fd, uint64_t size);

/* Frees the tables and, for a file opened by path, closes it. Fine on a zeroed or released struct with fd -1. */
void ms_elf_file_release(struct ms_elf_file *f);

/* Reads exactly len bytes at off; -ENOEXEC when they lie outside the file. */
int ms_elf_read_at(const struct ms_elf_file *f, uint64_t off, void *buf, size_t len);

/* Reads len bytes at off into fresh memory with a NUL byte behind; the caller frees *out. */
int ms_elf_read_copy(const struct ms_elf_file *f, uint64_t off, uint64_t len, char **out);

/* First segment or section of a type; NULL when there is none. Lives as long as f. */
const Elf64_Phdr *ms_elf_segment(const struct ms_elf_file *f, uint32_t type);
const Elf64_Shdr *ms_elf_section(const struct ms_elf_file *f, uint32_t type);

/* The GNU build-id from the file's notes; *len is 0 when it has none. */
int ms_elf_file_build_id(const struct ms_elf_file *f, uint8_t id[MS_BUILD_ID_MAX], size_t *len);

#endif

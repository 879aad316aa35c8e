/* See program.h. A file is read in small pieces and believed in nothing: what does not add up is no obstacle. */
#include "program.h"

#include "rawcall.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum { HEAD = 2048, SEGMENTS_MAX = 32, PIECE = 64, DYNAMIC_MAX = 1024, SCRIPTS_MAX = 5, NAME = 64, ROOT = 0 };

static long read_at(int fd, void *to, size_t n, uint64_t at)
{
	return ms_rawcall(SYS_pread64, fd, (long)to, (long)n, (long)at, 0, 0);
}

/* ---- one ELF file ---- */

struct elf {
	int fd;
	size_t n_segments;
	Elf64_Phdr segments[SEGMENTS_MAX];
};

static const Elf64_Phdr *segment(const struct elf *f, uint32_t type)
{
	for (size_t i = 0; i < f->n_segments; i++) {
		if (f->segments[i].p_type == type)
			return &f->segments[i];
	}
	return NULL;
}

static bool file_offset(const struct elf *f, uint64_t address, uint64_t *offset)
{
	for (size_t i = 0; i < f->n_segments; i++) {
		const Elf64_Phdr *s = &f->segments[i];
		if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr < s->p_filesz) {
			*offset = s->p_offset + (address - s->p_vaddr);
			return true;
		}
	}
	return false;
}

/* Runtimes that insist on being first in a process, or on having malloc to themselves. */
static bool is_sanitizer(const char *library)
{
	static const char names[][16] = {"libasan.so", "libhwasan.so", "libtsan.so", "liblsan.so"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strncmp(library, names[i], strlen(names[i])) == 0)
			return true;
	}
	return strncmp(library, "libclang_rt.", 12) == 0 && !strstr(library, "ubsan") &&
	       strstr(library, "san");
}

struct dynamic {
	uint64_t strings;
	bool has_soname, needs_sanitizer;
};

/* One pass over the dynamic section: the first finds the strings, the second reads the names in them. */
static void walk(const struct elf *f, const Elf64_Phdr *s, struct dynamic *d, bool is_second)
{
	Elf64_Dyn piece[PIECE];
	uint64_t n = s->p_filesz / sizeof(*piece);
	for (uint64_t at = 0; at < n && at < DYNAMIC_MAX; at += PIECE) {
		long got = read_at(f->fd, piece, sizeof(piece), s->p_offset + at * sizeof(*piece));
		for (long i = 0; i < got / (long)sizeof(*piece) && at + (uint64_t)i < n; i++) {
			char name[NAME] = "";
			if (piece[i].d_tag == DT_NULL)
				return;
			if (piece[i].d_tag == DT_STRTAB)
				file_offset(f, piece[i].d_un.d_ptr, &d->strings);
			d->has_soname |= piece[i].d_tag == DT_SONAME;
			if (!is_second || piece[i].d_tag != DT_NEEDED)
				continue;
			read_at(f->fd, name, sizeof(name) - 1, d->strings + piece[i].d_un.d_val);
			d->needs_sanitizer |= is_sanitizer(name);
		}
	}
}

static struct dynamic read_dynamic(const struct elf *f)
{
	struct dynamic d = {0};
	const Elf64_Phdr *s = segment(f, PT_DYNAMIC);
	if (!s)
		return d;
	walk(f, s, &d, false);
	if (d.strings)
		walk(f, s, &d, true);
	return d;
}

static bool is_musl(const struct elf *f, const Elf64_Phdr *interpreter)
{
	char name[NAME] = "";
	read_at(f->fd, name, sizeof(name) - 1, interpreter->p_offset);
	return strstr(name, "/ld-musl-") != NULL;
}

static enum ms_obstacle in_elf(int fd, const char *head, size_t n)
{
	struct elf f = {.fd = fd};
	Elf64_Ehdr eh;
	if (n < sizeof(eh))
		return MS_OBSTACLE_NONE;
	memcpy(&eh, head, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64)
		return MS_OBSTACLE_ABI;
	f.n_segments = eh.e_phnum < SEGMENTS_MAX ? eh.e_phnum : SEGMENTS_MAX;
	if (eh.e_phentsize != sizeof(*f.segments) ||
		read_at(fd, f.segments, f.n_segments * sizeof(*f.segments), eh.e_phoff) !=
			(long)(f.n_segments * sizeof(*f.segments)))
		return MS_OBSTACLE_NONE;
	const Elf64_Phdr *interpreter = segment(&f, PT_INTERP);
	struct dynamic d = read_dynamic(&f);
	if (!interpreter) /* the dynamic loader has none either, but a name as a library */
		return d.has_soname ? MS_OBSTACLE_NONE : MS_OBSTACLE_STATIC;
	if (is_musl(&f, interpreter))
		return MS_OBSTACLE_LIBC;
	return d.needs_sanitizer ? MS_OBSTACLE_SANITIZER : MS_OBSTACLE_NONE;
}

/* ---- files ---- */

/* As the kernel sees it, mounts with nosuid apart. */
static bool gains_privilege(int fd)
{
	struct stat st;
	if (ms_rawcall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) < 0)
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != (uid_t)ms_rawcall(SYS_getuid, 0, 0, 0, 0, 0, 0))
		return true;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) &&
		st.st_gid != (gid_t)ms_rawcall(SYS_getgid, 0, 0, 0, 0, 0, 0))
		return true;
	return ms_rawcall(SYS_getuid, 0, 0, 0, 0, 0, 0) != ROOT &&
	       ms_rawcall(SYS_fgetxattr, fd, (long)"security.capability", 0, 0, 0, 0) > 0;
}

/* The program that runs the script whose first bytes are `head`; false if it can not be made out. */
static bool interpreter_of(char *head, char *path, size_t size)
{
	char *name = head + 2 + strspn(head + 2, " \t");
	size_t len = strcspn(name, " \t\n");
	if (len == 0 || len >= size)
		return false;
	memcpy(path, name, len);
	path[len] = '\0';
	return true;
}

/* What the file at fd puts in our way; for a script *path becomes its interpreter, else it becomes empty. */
static __attribute__((noinline)) enum ms_obstacle look_at(int fd, char *path, size_t size)
{
	char head[HEAD + 1];
	long n = read_at(fd, head, HEAD, 0);
	path[0] = '\0';
	if (n < 4)
		return MS_OBSTACLE_NONE;
	head[n] = '\0';
	if (memcmp(head, "#!", 2) == 0) {
		interpreter_of(head, path, size); /* no script gains privileges */
		return MS_OBSTACLE_NONE;
	}
	if (memcmp(head, ELFMAG, SELFMAG) != 0)
		return MS_OBSTACLE_NONE;
	return gains_privilege(fd) ? MS_OBSTACLE_PRIVILEGE : in_elf(fd, head, (size_t)n);
}

enum ms_obstacle ms_program_obstacle(int dirfd, const char *path)
{
	char interpreter[256];
	enum ms_obstacle obstacle = MS_OBSTACLE_NONE;
	for (int i = 0; i < SCRIPTS_MAX && path[0] && !obstacle; i++) {
		/* not to wait at a pipe */
		long fd = ms_rawcall(
			SYS_openat, dirfd, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, 0, 0);
		if (fd < 0)
			break;
		obstacle = look_at((int)fd, interpreter, sizeof(interpreter));
		ms_rawcall(SYS_close, fd, 0, 0, 0, 0, 0);
		path = interpreter;
	}
	return obstacle;
}

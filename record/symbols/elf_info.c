/* See elf_info.h. The dynamic section is read through the segments, as the loader does, so that it is found in files
 * without section headers; symbols are found through the sections, since only they tell how many there are. Symbol
 * tables are streamed in pieces and their names looked up in a short list: a 100 MB executable takes some 10 ms. */
#include "elf_info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	DYNAMIC_MAX = 1 << 16,	    /* entries looked at */
	SYMBOLS_PER_READ = 4096,
	STRINGS_MAX = 1 << 30, /* bytes of symbol names held at once */
};

struct marker {
	const char *name;
	unsigned sanitizer;    /* set when found, or 0 */
	const char *allocator; /* set when found, or NULL */
	bool is_malloc;
};

/* Libraries in DT_NEEDED, by prefix. */
static const struct marker library_markers[] = {
	{ .name = "libasan.so", .sanitizer = MS_SANITIZER_ADDRESS },
	{ .name = "libclang_rt.asan", .sanitizer = MS_SANITIZER_ADDRESS },
	{ .name = "libhwasan.so", .sanitizer = MS_SANITIZER_HWADDRESS },
	{ .name = "libclang_rt.hwasan", .sanitizer = MS_SANITIZER_HWADDRESS },
	{ .name = "libtsan.so", .sanitizer = MS_SANITIZER_THREAD },
	{ .name = "libclang_rt.tsan", .sanitizer = MS_SANITIZER_THREAD },
	{ .name = "libclang_rt.msan", .sanitizer = MS_SANITIZER_MEMORY },
	{ .name = "liblsan.so", .sanitizer = MS_SANITIZER_LEAK },
	{ .name = "libclang_rt.lsan", .sanitizer = MS_SANITIZER_LEAK },
	{ .name = "libubsan.so", .sanitizer = MS_SANITIZER_UNDEFINED },
	{ .name = "libclang_rt.ubsan", .sanitizer = MS_SANITIZER_UNDEFINED },
};

/* Functions the file itself defines, by whole name. The address runtime contains the leak runtime. */
static const struct marker symbol_markers[] = {
	{ .name = "__asan_init", .sanitizer = MS_SANITIZER_ADDRESS },
	{ .name = "__hwasan_init", .sanitizer = MS_SANITIZER_HWADDRESS },
	{ .name = "__tsan_init", .sanitizer = MS_SANITIZER_THREAD },
	{ .name = "__msan_init", .sanitizer = MS_SANITIZER_MEMORY },
	{ .name = "__lsan_init", .sanitizer = MS_SANITIZER_LEAK },
	{ .name = "__ubsan_handle_add_overflow", .sanitizer = MS_SANITIZER_UNDEFINED },
	{ .name = "malloc", .is_malloc = true },
	{ .name = "je_malloc", .allocator = "jemalloc" },
	{ .name = "_rjem_malloc", .allocator = "jemalloc" },
	{ .name = "mi_malloc", .allocator = "mimalloc" },
	{ .name = "tc_malloc", .allocator = "tcmalloc" },
	{ .name = "TCMallocInternalMalloc", .allocator = "tcmalloc" },
	{ .name = "runtime.mallocgc", .allocator = "Go" },
};

static void mark(struct ms_elf_info *info, const struct marker *m)
{
	info->sanitizers |= m->sanitizer;
	info->defines_malloc |= m->is_malloc;
	if (m->allocator && !info->allocator)
		info->allocator = m->allocator;
}

static void read_interpreter(const struct ms_elf_file *f, struct ms_elf_info *info)
{
	const Elf64_Phdr *seg = ms_elf_segment(f, PT_INTERP);

	info->is_static = !seg;
	if (!seg || seg->p_filesz == 0 || seg->p_filesz > sizeof(info->interpreter))
		return;
	if (ms_elf_read_at(f, seg->p_offset, info->interpreter, (size_t)seg->p_filesz) < 0)
		info->interpreter[0] = '\0';
	info->interpreter[sizeof(info->interpreter) - 1] = '\0';
	info->is_musl = strstr(info->interpreter, "/ld-musl-") != NULL;
}

/* File offset of a link-time address, or UINT64_MAX. */
static uint64_t address_offset(const struct ms_elf_file *f, uint64_t address)
{
	for (size_t i = 0; i < f->n_segments; i++) {
		const Elf64_Phdr *seg = &f->segments[i];

		if (seg->p_type == PT_LOAD && address >= seg->p_vaddr && address - seg->p_vaddr < seg->p_filesz &&
			seg->p_offset <= UINT64_MAX - seg->p_filesz)
			return seg->p_offset + (address - seg->p_vaddr);
	}
	return UINT64_MAX;
}

static void mark_library(struct ms_elf_info *info, const char *name)
{
	for (size_t i = 0; i < sizeof(library_markers) / sizeof(library_markers[0]); i++) {
		const char *prefix = library_markers[i].name;

		if (strncmp(name, prefix, strlen(prefix)) == 0)
			mark(info, &library_markers[i]);
	}
}

static uint64_t dynamic_value(const Elf64_Dyn *dynamic, size_t n, int64_t tag)
{
	for (size_t i = 0; i < n && dynamic[i].d_tag != DT_NULL; i++) {
		if (dynamic[i].d_tag == tag)
			return dynamic[i].d_un.d_val;
	}
	return 0;
}

static void read_needed(const struct ms_elf_file *f, struct ms_elf_info *info)
{
	const Elf64_Phdr *seg = ms_elf_segment(f, PT_DYNAMIC);
	char *copy = NULL, *names = NULL;
	uint64_t n, names_len;
	Elf64_Dyn *dynamic;

	if (!seg)
		return;
	n = seg->p_filesz / sizeof(Elf64_Dyn);
	if (n > DYNAMIC_MAX || ms_elf_read_copy(f, seg->p_offset, n * sizeof(Elf64_Dyn), &copy) < 0)
		return;
	dynamic = (Elf64_Dyn *)(void *)copy; /* fresh from malloc: aligned */
	/* The dynamic loader needs none to load it, and a name as a library is how to tell. */
	info->is_static &= dynamic_value(dynamic, n, DT_SONAME) == 0;
	names_len = dynamic_value(dynamic, n, DT_STRSZ);
	if (names_len > STRINGS_MAX ||
		ms_elf_read_copy(f, address_offset(f, dynamic_value(dynamic, n, DT_STRTAB)), names_len, &names) < 0)
		goto out;
	for (uint64_t i = 0; i < n && dynamic[i].d_tag != DT_NULL; i++) {
		if (dynamic[i].d_tag == DT_NEEDED && dynamic[i].d_un.d_val < names_len)
			mark_library(info, names + dynamic[i].d_un.d_val);
	}
out:
	free(names);
	free(copy);
}

static void mark_symbol(struct ms_elf_info *info, const char *name)
{
	for (size_t i = 0; i < sizeof(symbol_markers) / sizeof(symbol_markers[0]); i++) {
		/* The first letter decides nearly always, and the table is walked for every symbol. */
		if (name[0] == symbol_markers[i].name[0] && strcmp(name, symbol_markers[i].name) == 0)
			mark(info, &symbol_markers[i]);
	}
}

static bool is_defined_function(const Elf64_Sym *sym)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);

	return sym->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC);
}

/* Looks at every function the table defines. Reading stops quietly where the file ends. */
static void read_symbols(const struct ms_elf_file *f, const Elf64_Shdr *table, struct ms_elf_info *info)
{
	const Elf64_Shdr *strings;
	Elf64_Sym *syms = NULL;
	char *names = NULL;
	uint64_t n;

	if (!table || table->sh_link >= f->n_sections)
		return;
	strings = &f->sections[table->sh_link];
	if (strings->sh_size > STRINGS_MAX ||
		ms_elf_read_copy(f, strings->sh_offset, strings->sh_size, &names) < 0)
		return;
	syms = malloc(SYMBOLS_PER_READ * sizeof(*syms));
	n = table->sh_size < f->size ? table->sh_size / sizeof(*syms) : 0;
	for (uint64_t at = 0; syms && at < n; at += SYMBOLS_PER_READ) {
		size_t here = n - at < SYMBOLS_PER_READ ? (size_t)(n - at) : SYMBOLS_PER_READ;

		if (table->sh_offset > f->size ||
			ms_elf_read_at(f, table->sh_offset + at * sizeof(*syms), syms, here * sizeof(*syms)) < 0)
			break;
		for (size_t i = 0; i < here; i++) {
			if (is_defined_function(&syms[i]) && syms[i].st_name < strings->sh_size)
				mark_symbol(info, names + syms[i].st_name);
		}
	}
	free(syms);
	free(names);
}

static void read_elf(const struct ms_elf_file *f, struct ms_elf_info *info)
{
	info->kind = MS_FILE_ELF;
	info->elf_class = f->head.e_ident[EI_CLASS];
	info->elf_data = f->head.e_ident[EI_DATA];
	info->machine = f->head.e_machine;
	info->type = f->head.e_type;
	if (!f->is_elf64)
		return;
	read_interpreter(f, info);
	read_needed(f, info);
	read_symbols(f, ms_elf_section(f, SHT_DYNSYM), info);
	read_symbols(f, ms_elf_section(f, SHT_SYMTAB), info);
	if (ms_elf_file_build_id(f, info->build_id, &info->build_id_len) < 0)
		info->build_id_len = 0;
}

/* Splits "#! interpreter argument" as the kernel does: blanks are space and tab, the argument is all the rest. */
static void read_script(char *line, struct ms_elf_info *info)
{
	char *end = strchr(line, '\n');
	char *name, *arg;

	info->kind = MS_FILE_SCRIPT;
	if (end)
		*end = '\0';
	end = line + strlen(line);
	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	name = line + strspn(line, " \t");
	arg = name + strcspn(name, " \t");
	if (*arg)
		*arg++ = '\0';
	arg += strspn(arg, " \t");
	memcpy(info->interpreter, name, strlen(name) + 1); /* both fit: the line is no longer than either */
	memcpy(info->interpreter_arg, arg, strlen(arg) + 1);
}

static void read_other(int fd, struct ms_elf_info *info)
{
	char line[MS_INTERPRETER_MAX];
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

	if (n < 2 || line[0] != '#' || line[1] != '!')
		return;
	line[n] = '\0';
	read_script(line + 2, info);
}

static void read_inode(int fd, struct ms_elf_info *info)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	info->is_setuid = st.st_mode & S_ISUID;
	info->is_setgid = (st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP); /* else it is mandatory locking */
	info->has_capabilities = fgetxattr(fd, "security.capability", NULL, 0) > 0;
	info->gains_privilege = (info->is_setuid && st.st_uid != getuid()) ||
		(info->is_setgid && st.st_gid != getgid()) || (info->has_capabilities && getuid() != 0);
}

int ms_elf_info_read(const char *path, struct ms_elf_info *info)
{
	struct ms_elf_file f = { .fd = -1 };
	uint64_t size;
	int fd, rc;

	memset(info, 0, sizeof(*info));
	fd = ms_elf_open_regular(path, INT64_MAX, &size);
	if (fd < 0)
		return fd;
	read_inode(fd, info);
	rc = ms_elf_file_attach(&f, fd, size);
	if (rc == 0)
		read_elf(&f, info);
	else if (rc == -ENOEXEC)
		read_other(fd, info);
	if (rc == -ENOEXEC)
		rc = 0;
	else if (rc < 0)
		memset(info, 0, sizeof(*info));
	ms_elf_file_release(&f);
	close(fd);
	return rc;
}

int ms_elf_build_id(const char *path, uint8_t id[MS_BUILD_ID_MAX], size_t *len)
{
	struct ms_elf_file f;
	int rc = ms_elf_file_open(&f, path);

	*len = 0;
	if (rc < 0)
		return rc;
	rc = ms_elf_file_build_id(&f, id, len);
	ms_elf_file_release(&f);
	return rc;
}

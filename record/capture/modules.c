/* The table of modules and their units. See modules.h. */
#include "modules.h"

#include "libc_needs.h"
#include "rawcall.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

enum { MODULES_MAX = 1024, PATH_BYTES_MAX = 4095 };

/* Starts of the modules met and not ended; 0 = empty. */
static _Atomic uintptr_t starts[MODULES_MAX];
static _Atomic uint32_t n_starts; /* entries ever used */

void ms_modules_remember(const struct dl_find_object *found)
{
	uintptr_t start = (uintptr_t)found->dlfo_map_start;
	uint32_t n = atomic_load(&n_starts);
	for (uint32_t i = 0; i < n; i++) {
		if (atomic_load(&starts[i]) == start)
			return;
	}
	for (uint32_t i = 0; i < MODULES_MAX; i++) {
		uintptr_t empty = 0;
		if (!atomic_compare_exchange_strong(&starts[i], &empty, start))
			continue;
		while (n <= i && !atomic_compare_exchange_weak(&n_starts, &n, i + 1))
			;
		return;
	}
}

static bool is_loaded(uintptr_t start, struct dl_find_object *found)
{
	return _dl_find_object((void *)start, found) == 0 && (uintptr_t)found->dlfo_map_start == start;
}

bool ms_modules_next_loaded(uint32_t *cursor, struct dl_find_object *found)
{
	while (*cursor < atomic_load(&n_starts)) {
		uintptr_t start = atomic_load(&starts[(*cursor)++]);
		if (start && is_loaded(start, found))
			return true;
	}
	return false;
}

bool ms_modules_take_unloaded(uint64_t *map_start)
{
	for (uint32_t i = 0; i < atomic_load(&n_starts); i++) {
		struct dl_find_object found;
		uintptr_t start = atomic_load(&starts[i]);
		if (start && !is_loaded(start, &found) &&
			atomic_compare_exchange_strong(&starts[i], &start, 0)) {
			*map_start = start;
			return true;
		}
	}
	return false;
}

/* ---- its headers ---- */

/* The ELF header in memory: at the module's start, or, when FOUND is a later run of its segments, at its
 * base. */
static const Elf64_Ehdr *elf_header(const struct dl_find_object *found)
{
	struct dl_find_object first;
	const Elf64_Ehdr *eh = found->dlfo_map_start;
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) == 0)
		return eh;
	eh = (const void *)found->dlfo_link_map->l_addr;
	if (!eh || _dl_find_object((void *)found->dlfo_link_map->l_addr, &first) < 0 ||
		first.dlfo_link_map != found->dlfo_link_map || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;
	return eh;
}

/* Those within its first page, NULL if they are not. */
static const Elf64_Phdr *program_headers(const Elf64_Ehdr *eh)
{
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phoff % 8 ||
		eh->e_phoff + (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr) > MS_PAGE)
		return NULL;
	return (const void *)((const char *)eh + eh->e_phoff);
}

/* Copies the build id out of the notes in [at, end), which is mapped. */
static void find_build_id(struct ms_unit_module *unit, const char *at, const char *end)
{
	while ((size_t)(end - at) >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		memcpy(&note, at, sizeof(note));
		size_t name = ((size_t)note.n_namesz + 3) & ~(size_t)3,
		       desc = ((size_t)note.n_descsz + 3) & ~(size_t)3;
		at += sizeof(note);
		if ((size_t)(end - at) < name || (size_t)(end - at) - name < note.n_descsz)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(at, "GNU", 4) == 0) {
			size_t len = note.n_descsz < sizeof(unit->build_id) ? note.n_descsz
									    : sizeof(unit->build_id);
			memcpy(unit->build_id, at + name, len);
			unit->build_id_len = (uint8_t)len;
			return;
		}
		if ((size_t)(end - at) < name + desc)
			return;
		at += name + desc;
	}
}

/* Is [start, end) wholly in one readable segment? A module's headers may claim anything. */
static bool is_readable(const Elf64_Phdr *ph, unsigned n, uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < n; i++) {
		if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_R) && start >= ph[i].p_vaddr &&
			start <= end && end <= ph[i].p_vaddr + ph[i].p_filesz)
			return true;
	}
	return false;
}

static void add_build_id(struct ms_unit_module *unit, const struct dl_find_object *found)
{
	const Elf64_Ehdr *eh = elf_header(found);
	const Elf64_Phdr *ph = eh ? program_headers(eh) : NULL;
	if (!ph)
		return;
	uint64_t bias = found->dlfo_link_map->l_addr;
	for (unsigned i = 0; i < eh->e_phnum && !unit->build_id_len; i++) {
		uint64_t start = ph[i].p_vaddr, end = start + ph[i].p_memsz;
		if (ph[i].p_type == PT_NOTE && is_readable(ph, eh->e_phnum, start, end))
			find_build_id(unit, (const char *)(bias + start), (const char *)(bias + end));
	}
}

/* ---- its path ---- */

/* A name that is not absolute (LD_LIBRARY_PATH=., dlopen("./plugin.so")) says nothing to whoever does not know where the
 * process was when it loaded the module. The kernel knows the file. */
static bool is_relative(const struct dl_find_object *found)
{
	const char *name = found->dlfo_link_map->l_name;
	return name[0] && name[0] != '/';
}

static char *spell_hex(char *out, uint64_t n)
{
	unsigned shift = 60;
	while (shift > 0 && n >> shift == 0)
		shift -= 4;
	for (;; shift -= 4) {
		*out++ = "0123456789abcdef"[n >> shift & 15];
		if (shift == 0)
			return out;
	}
}

/* End of the mapping that the module begins with, that of its first segment; 0 if it cannot be told. */
static uint64_t end_of_first(const struct dl_find_object *found)
{
	const Elf64_Ehdr *eh = elf_header(found);
	const Elf64_Phdr *ph = eh ? program_headers(eh) : NULL;
	uint64_t start = (uintptr_t)found->dlfo_map_start, bias = found->dlfo_link_map->l_addr;
	for (unsigned i = 0; ph && i < eh->e_phnum; i++) {
		uint64_t at = bias + ph[i].p_vaddr;
		if (ph[i].p_type == PT_LOAD && at >= start && at - start < MS_PAGE)
			return (at + ph[i].p_filesz + MS_PAGE - 1) & ~(uint64_t)(MS_PAGE - 1);
	}
	return 0;
}

/* Bytes of the path of the file that is mapped there, put at out, which has room for PATH_BYTES_MAX; 0 if it has
 * none, or the kernel may not be asked. */
static size_t mapped_path(const struct dl_find_object *found, char *out)
{
	static const char gone[] = " (deleted)";
	char link[64] = "/proc/self/map_files/", *at = link + strlen(link);
	uint64_t end = end_of_first(found);
	if (!end || !ms_may_ask())
		return 0;
	at = spell_hex(at, (uintptr_t)found->dlfo_map_start);
	*at++ = '-';
	*spell_hex(at, end) = 0;
	long n = ms_rawcall(SYS_readlinkat, AT_FDCWD, (long)link, (long)out, PATH_BYTES_MAX, 0, 0);
	size_t len = n > 0 && n < PATH_BYTES_MAX && out[0] == '/' ? (size_t)n : 0;
	bool is_gone = len >= sizeof(gone) && memcmp(out + len - (sizeof(gone) - 1), gone, sizeof(gone) - 1) == 0;
	return is_gone ? 0 : len;
}

static size_t put_path(const struct dl_find_object *found, char *out)
{
	const char *name = found->dlfo_link_map->l_name;
	size_t n = is_relative(found) ? mapped_path(found, out) : 0;
	if (n == 0) {
		n = strnlen(name, PATH_BYTES_MAX);
		memcpy(out, name, n);
	}
	return n;
}

/* ---- the unit ---- */

static size_t words_for(size_t path_bytes)
{
	return (sizeof(struct ms_unit_module) + path_bytes + 7) / 8;
}

size_t ms_module_unit_room(const struct dl_find_object *found)
{
	return words_for(is_relative(found) ? PATH_BYTES_MAX : strnlen(found->dlfo_link_map->l_name, PATH_BYTES_MAX));
}

size_t ms_module_unit_write(const struct dl_find_object *found, uint64_t stamp, uint64_t *words)
{
	char *path = (char *)words + sizeof(struct ms_unit_module);
	size_t path_len = put_path(found, path), n = words_for(path_len);
	struct ms_unit_module unit = {
		.head = MS_UNIT_HEAD(MS_U_MODULE, stamp),
		.map_start = (uintptr_t)found->dlfo_map_start,
		.map_end = (uintptr_t)found->dlfo_map_end,
		.bias = found->dlfo_link_map->l_addr,
		.words = (uint16_t)n,
		.path_len = (uint16_t)path_len,
	};
	add_build_id(&unit, found);
	memcpy(words, &unit, sizeof(unit));
	memset(path + path_len, 0, n * 8 - sizeof(unit) - path_len);
	return n;
}

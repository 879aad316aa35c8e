/* See elf_symtab.h. libelf checks that names lie in their string table and are terminated (elf_strptr), and converts
 * and bounds the symbols themselves. */
#include "elf_symtab.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ms_function_symbol {
	uint64_t start;
	uint64_t size;	      /* 0 = not said */
	uint64_t section_end; /* where it ends at the latest */
	const char *name;     /* NULL while plt_name counts */
	size_t plt_name;      /* offset into plt_names, whose memory still moves */
	uint8_t rank;	      /* lower is better; see rank_of */
};

static int add_symbol(struct ms_symtab *t, const struct ms_function_symbol *symbol)
{
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 1024;
		void *symbols = reallocarray(t->symbols, room, sizeof(*t->symbols));

		if (!symbols)
			return -ENOMEM;
		t->symbols = symbols;
		t->room = room;
	}
	t->symbols[t->n++] = *symbol;
	return 0;
}

static unsigned leading_underscores(const char *name)
{
	/* Those of the C++ and Rust manglings stand for nothing. */
	if (strncmp(name, "_Z", 2) == 0 || strncmp(name, "_R", 2) == 0)
		return 0;
	return (unsigned)strspn(name, "_");
}

/* The part of the order that fits into a number: most significant criterion first. */
static uint8_t rank_of(const GElf_Sym *sym, const char *name)
{
	unsigned type = GELF_ST_TYPE(sym->st_info), bind = GELF_ST_BIND(sym->st_info);
	unsigned underscores = leading_underscores(name);
	unsigned rank = type == STT_NOTYPE;

	rank = rank << 1 | (bind == STB_LOCAL);
	rank = rank << 1 | (sym->st_size == 0);
	rank = rank << 2 | (underscores < 3 ? underscores : 3);
	rank = rank << 1 | (bind == STB_WEAK);
	rank = rank << 1 | (strchr(name, '.') != NULL);
	return (uint8_t)rank;
}

/* NULL for a symbol that names no code of this file. */
static const GElf_Shdr *code_section(Elf *elf, const GElf_Sym *sym, GElf_Word extended, GElf_Shdr *section)
{
	unsigned type = GELF_ST_TYPE(sym->st_info);
	size_t number = sym->st_shndx == SHN_XINDEX ? extended : sym->st_shndx;

	if (type != STT_FUNC && type != STT_NOTYPE && type != STT_GNU_IFUNC)
		return NULL;
	if (number == SHN_UNDEF || (number >= SHN_LORESERVE && sym->st_shndx != SHN_XINDEX))
		return NULL;
	if (!gelf_getshdr(elf_getscn(elf, number), section) || !(section->sh_flags & SHF_EXECINSTR))
		return NULL;
	if (sym->st_value < section->sh_addr || sym->st_value - section->sh_addr >= section->sh_size)
		return NULL;
	return section;
}

static int add_table(struct ms_symtab *t, Elf *elf, Elf_Scn *scn, const GElf_Shdr *table, Elf_Data *extended)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t n = data && table->sh_entsize ? data->d_size / table->sh_entsize : 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n && i <= INT32_MAX; i++) {
		GElf_Word number = 0;
		GElf_Shdr section;
		const char *name;
		GElf_Sym sym;

		if (!gelf_getsymshndx(data, extended, (int)i, &sym, &number) ||
			!code_section(elf, &sym, number, &section))
			continue;
		name = elf_strptr(elf, table->sh_link, sym.st_name);
		if (!name || !*name)
			continue;
		rc = add_symbol(t,
			&(struct ms_function_symbol){ .start = sym.st_value,
				.size = sym.st_size,
				.section_end = section.sh_addr + section.sh_size,
				.name = name,
				.rank = rank_of(&sym, name) });
	}
	return rc;
}

/* The section of numbers too large for a symbol that belongs to the table numbered `table`, or NULL. */
static Elf_Data *extended_numbers(Elf *elf, size_t table)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr head;

	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		if (gelf_getshdr(scn, &head) && head.sh_type == SHT_SYMTAB_SHNDX && head.sh_link == table)
			return elf_getdata(scn, NULL);
	}
	return NULL;
}

/* What the sections tell about the PLT: slot i of `slots` jumps through relocation i of `relocations`. */
struct plt {
	GElf_Shdr slots;
	size_t n_reserved; /* slots at the front that belong to the loader */
	Elf_Scn *relocations;
};

enum {
	PLT_SLOT = 16, /* bytes, on x86-64 in all of its layouts */
};

static bool find_plt(Elf *elf, struct plt *plt)
{
	Elf_Scn *scn = NULL;
	size_t names;
	bool has_slots = false;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return false;
	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		GElf_Shdr head;
		const char *name = gelf_getshdr(scn, &head) ? elf_strptr(elf, names, head.sh_name) : NULL;

		if (!name)
			continue;
		if (strcmp(name, ".rela.plt") == 0 && head.sh_type == SHT_RELA)
			plt->relocations = scn;
		/* With CET the calls go to .plt.sec, which has no reserved slot, and .plt only serves lazy binding. */
		if (strcmp(name, ".plt.sec") == 0 || (strcmp(name, ".plt") == 0 && !has_slots)) {
			plt->slots = head;
			plt->n_reserved = strcmp(name, ".plt") == 0;
			has_slots = true;
		}
	}
	return has_slots && plt->relocations;
}

static int add_plt_slot(struct ms_symtab *t, uint64_t start, const char *callee)
{
	static const char suffix[] = "@plt";
	size_t len = strcspn(callee, "@");

	if (len > UINT16_MAX)
		return 0;
	if (t->plt_names_len + len + sizeof(suffix) > t->plt_names_room) {
		size_t room = 2 * (t->plt_names_room + len + sizeof(suffix));
		char *names = realloc(t->plt_names, room);

		if (!names)
			return -ENOMEM;
		t->plt_names = names;
		t->plt_names_room = room;
	}
	memcpy(t->plt_names + t->plt_names_len, callee, len);
	memcpy(t->plt_names + t->plt_names_len + len, suffix, sizeof(suffix));
	t->plt_names_len += len + sizeof(suffix);
	return add_symbol(t,
		&(struct ms_function_symbol){ .start = start,
			.size = PLT_SLOT,
			.section_end = start + PLT_SLOT,
			.plt_name = t->plt_names_len - len - sizeof(suffix) });
}

static int add_plt(struct ms_symtab *t, Elf *elf)
{
	GElf_Shdr relocations, symbols;
	Elf_Data *rela, *syms;
	Elf_Scn *scn;
	struct plt plt = { 0 };
	size_t n;
	int rc = 0;

	if (!find_plt(elf, &plt) || plt.slots.sh_type != SHT_PROGBITS || !gelf_getshdr(plt.relocations, &relocations))
		return 0;
	scn = elf_getscn(elf, relocations.sh_link);
	rela = elf_getdata(plt.relocations, NULL);
	syms = elf_getdata(scn, NULL);
	if (!rela || !syms || !gelf_getshdr(scn, &symbols) || !relocations.sh_entsize)
		return 0;
	n = rela->d_size / relocations.sh_entsize;
	for (size_t i = 0; rc == 0 && i < n && i <= INT32_MAX; i++) {
		uint64_t offset = (i + plt.n_reserved) * PLT_SLOT;
		const char *name;
		GElf_Rela entry;
		GElf_Sym sym;

		if (offset + PLT_SLOT > plt.slots.sh_size)
			break;
		if (!gelf_getrela(rela, (int)i, &entry) || GELF_R_SYM(entry.r_info) > INT32_MAX ||
			!gelf_getsym(syms, (int)GELF_R_SYM(entry.r_info), &sym))
			continue;
		name = elf_strptr(elf, symbols.sh_link, sym.st_name);
		if (name && *name)
			rc = add_plt_slot(t, plt.slots.sh_addr + offset, name);
	}
	return rc;
}

int ms_symtab_add(struct ms_symtab *t, Elf *elf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr head;
	int rc = 0;

	while (rc == 0 && (scn = elf_nextscn(elf, scn)) != NULL) {
		if (gelf_getshdr(scn, &head) && (head.sh_type == SHT_SYMTAB || head.sh_type == SHT_DYNSYM))
			rc = add_table(t, elf, scn, &head, extended_numbers(elf, elf_ndxscn(scn)));
	}
	return rc < 0 ? rc : add_plt(t, elf);
}

static int compare_symbols(const void *left, const void *right)
{
	const struct ms_function_symbol *a = left, *b = right;
	size_t a_len, b_len;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	a_len = strnlen(a->name, UINT16_MAX); /* bounded: a million aliases of one endless name */
	b_len = strnlen(b->name, UINT16_MAX);
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return strncmp(a->name, b->name, UINT16_MAX);
}

/* Adds the best symbol of each address that has a size (or has none, as asked). symbols are sorted. */
static int map_symbols(struct ms_symtab *t, struct ms_interval_map *map, const struct ms_interval_map *covered)
{
	int rc = 0;

	for (size_t i = 0, next; rc == 0 && i < t->n; i = next) {
		const struct ms_function_symbol *s = &t->symbols[i];
		uint64_t end = s->size < s->section_end - s->start ? s->start + s->size : s->section_end;

		for (next = i + 1; next < t->n && t->symbols[next].start == s->start; next++)
			;
		if (s->size == 0 && covered && !ms_interval_map_get(covered, s->start)) {
			end = s->section_end;
			if (next < t->n && t->symbols[next].start < end)
				end = t->symbols[next].start;
		}
		rc = ms_interval_map_add(map, s->start, end, (uint32_t)i);
	}
	return rc;
}

int ms_symtab_finish(struct ms_symtab *t)
{
	struct ms_interval_map sized = { 0 };
	int rc;

	for (size_t i = 0; i < t->n; i++) {
		if (!t->symbols[i].name)
			t->symbols[i].name = t->plt_names + t->symbols[i].plt_name;
	}
	if (t->n > 0)
		qsort(t->symbols, t->n, sizeof(*t->symbols), compare_symbols);
	rc = map_symbols(t, &sized, NULL);
	if (rc == 0)
		rc = ms_interval_map_finish(&sized);
	if (rc == 0)
		rc = map_symbols(t, &t->map, &sized);
	if (rc == 0)
		rc = ms_interval_map_finish(&t->map);
	ms_interval_map_release(&sized);
	return rc;
}

const char *ms_symtab_get(const struct ms_symtab *t, uint64_t address)
{
	const struct ms_interval *hit = ms_interval_map_get(&t->map, address);

	return hit ? t->symbols[hit->value].name : NULL;
}

void ms_symtab_release(struct ms_symtab *t)
{
	free(t->symbols);
	free(t->plt_names);
	ms_interval_map_release(&t->map);
	*t = (struct ms_symtab){ 0 };
}

/* See definition.h. */
#include "definition.h"

#include <elf.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

/* How many modules there were at the start: these stay, and stand before all others. 0: not known yet. */
static _Atomic uint32_t n_at_start;

struct search {
	const char *name;
	uintptr_t not_in, caller;
	uint32_t n; /* modules seen */
	uintptr_t at_start, later, own; /* definitions found, the first of each kind */
};

/* A module's tables, as far as lookups need them. */
struct tables {
	const Elf64_Sym *symbols;
	const char *strings;
	const uint32_t *gnu_hash, *hash;
	const Elf64_Half *versions;
};

/* ---- one module ---- */

static bool holds(const struct dl_phdr_info *info, uintptr_t address)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *p = &info->dlpi_phdr[i];
		if (p->p_type == PT_LOAD && address - (info->dlpi_addr + p->p_vaddr) < p->p_memsz)
			return true;
	}
	return false;
}

/* The loader has turned most modules' pointers into addresses; of those it must not write to, it has not. */
static const void *pointer(const struct dl_phdr_info *info, uint64_t value)
{
	return (const void *)(value < info->dlpi_addr ? value + info->dlpi_addr : value);
}

static bool read_tables(const struct dl_phdr_info *info, struct tables *t)
{
	const Elf64_Dyn *dynamic = NULL;
	*t = (struct tables){0};
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const Elf64_Dyn *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		const void *at = pointer(info, dynamic->d_un.d_ptr);
		if (dynamic->d_tag == DT_SYMTAB)
			t->symbols = at;
		else if (dynamic->d_tag == DT_STRTAB)
			t->strings = at;
		else if (dynamic->d_tag == DT_GNU_HASH)
			t->gnu_hash = at;
		else if (dynamic->d_tag == DT_HASH)
			t->hash = at;
		else if (dynamic->d_tag == DT_VERSYM)
			t->versions = at;
	}
	return t->symbols && t->strings;
}

/* Is symbol i the function, and its default version? */
static bool fits(const struct tables *t, uint32_t i, const char *name)
{
	enum { HIDDEN_VERSION = 0x8000 };
	const Elf64_Sym *s = &t->symbols[i];
	unsigned type = ELF64_ST_TYPE(s->st_info), bind = ELF64_ST_BIND(s->st_info);
	return s->st_shndx != SHN_UNDEF && s->st_value && bind != STB_LOCAL &&
	       (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) &&
	       !(t->versions && t->versions[i] & HIDDEN_VERSION) && strcmp(t->strings + s->st_name, name) == 0;
}

static uint32_t find_by_gnu_hash(const struct tables *t, const char *name)
{
	const uint32_t *head = t->gnu_hash, n_buckets = head[0], first = head[1], n_bloom = head[2], shift = head[3];
	const uint64_t *bloom = (const uint64_t *)(const void *)(head + 4);
	const uint32_t *buckets = (const uint32_t *)(const void *)(bloom + n_bloom), *chain = buckets + n_buckets;
	uint32_t h = 5381;
	for (const char *c = name; *c; c++)
		h = h * 33 + (unsigned char)*c;
	if (n_buckets == 0 || n_bloom == 0)
		return 0;
	uint64_t word = bloom[(h / 64) % n_bloom];
	if (!(word >> h % 64 & word >> (h >> shift) % 64 & 1))
		return 0;
	for (uint32_t i = buckets[h % n_buckets]; i >= first && i != 0; i++) {
		uint32_t entry = chain[i - first];
		if ((entry | 1) == (h | 1) && fits(t, i, name))
			return i;
		if (entry & 1)
			break;
	}
	return 0;
}

static uint32_t find_by_hash(const struct tables *t, const char *name)
{
	uint32_t n_buckets = t->hash[0], h = 0;
	for (const char *c = name; *c; c++) {
		h = (h << 4) + (unsigned char)*c;
		uint32_t high = h & 0xf0000000u;
		h = (h ^ high >> 24) & ~high;
	}
	if (n_buckets == 0)
		return 0;
	uint32_t i = t->hash[2 + h % n_buckets];
	while (i && !fits(t, i, name))
		i = t->hash[2 + n_buckets + i];
	return i;
}

static uintptr_t find_in(const struct dl_phdr_info *info, const char *name)
{
	struct tables t;
	if (!read_tables(info, &t))
		return 0;
	uint32_t i = t.gnu_hash ? find_by_gnu_hash(&t, name) : t.hash ? find_by_hash(&t, name) : 0;
	if (i == 0)
		return 0;
	uintptr_t at = info->dlpi_addr + t.symbols[i].st_value;
	if (ELF64_ST_TYPE(t.symbols[i].st_info) == STT_GNU_IFUNC)
		at = ((uintptr_t(*)(void))at)();
	return at;
}

/* ---- all of them ---- */

static int look_at(struct dl_phdr_info *info, size_t size, void *ctx)
{
	static const char here;
	struct search *s = ctx;
	uint32_t at_start = atomic_load(&n_at_start), i = s->n++;
	(void)size;
	if (holds(info, (uintptr_t)&here) || holds(info, s->not_in))
		return 0;
	uintptr_t found = find_in(info, s->name);
	if (!found)
		return 0;
	if (at_start == 0 || i < at_start) {
		s->at_start = found;
		return 1;
	}
	if (!s->later)
		s->later = found;
	if (!s->own && holds(info, s->caller))
		s->own = found;
	return 0;
}

struct ms_definition ms_definition_find(const char *name, uintptr_t not_in, uintptr_t caller)
{
	struct search s = {.name = name, .not_in = not_in, .caller = caller};
	dl_iterate_phdr(look_at, &s);
	if (s.at_start)
		return (struct ms_definition){s.at_start, true};
	return (struct ms_definition){s.own ? s.own : s.later, false};
}

static int count(struct dl_phdr_info *info, size_t size, void *n)
{
	(void)info;
	(void)size;
	++*(uint32_t *)n;
	return 0;
}

void ms_definition_note_start(void)
{
	uint32_t n = 0;
	dl_iterate_phdr(count, &n);
	atomic_store(&n_at_start, n);
}

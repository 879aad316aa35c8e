/* Looking the operators up. See operators_real.h. Only what the loader has mapped is read: dynamic sections,
 * hash tables, names. */
#include "operators_real.h"

#include "libc_needs.h"
#include "real.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

struct ms_operators ms_operators;

/* In the order of the enum. No pointers: they would need relocation. */
static const char names[MS_N_FORMS][40] = {
	"_Znwm",
	"_Znam",
	"_ZnwmRKSt9nothrow_t",
	"_ZnamRKSt9nothrow_t",
	"_ZnwmSt11align_val_t",
	"_ZnamSt11align_val_t",
	"_ZnwmSt11align_val_tRKSt9nothrow_t",
	"_ZnamSt11align_val_tRKSt9nothrow_t",
	"_ZdlPv",
	"_ZdaPv",
	"_ZdlPvm",
	"_ZdaPvm",
	"_ZdlPvRKSt9nothrow_t",
	"_ZdaPvRKSt9nothrow_t",
	"_ZdlPvSt11align_val_t",
	"_ZdaPvSt11align_val_t",
	"_ZdlPvmSt11align_val_t",
	"_ZdaPvmSt11align_val_t",
	"_ZdlPvSt11align_val_tRKSt9nothrow_t",
	"_ZdaPvSt11align_val_tRKSt9nothrow_t",
};

/* ---- one module ---- */

struct symbols {
	const Elf64_Sym *table;
	const char *text;
	const uint32_t *gnu_hash, *hash;
	uintptr_t base;
};

/* The loader has made addresses of these in most modules, but not in the vdso. */
static const void *at(uintptr_t base, uintptr_t p)
{
	return (const void *)(p < base ? p + base : p);
}

static bool find_symbols(const struct dl_phdr_info *info, struct symbols *s)
{
	*s = (struct symbols){.base = info->dlpi_addr};
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		const Elf64_Dyn *d = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
		for (; d->d_tag != DT_NULL; d++) {
			if (d->d_tag == DT_SYMTAB)
				s->table = at(s->base, d->d_un.d_ptr);
			else if (d->d_tag == DT_STRTAB)
				s->text = at(s->base, d->d_un.d_ptr);
			else if (d->d_tag == DT_GNU_HASH)
				s->gnu_hash = at(s->base, d->d_un.d_ptr);
			else if (d->d_tag == DT_HASH)
				s->hash = at(s->base, d->d_un.d_ptr);
		}
	}
	return s->table && s->text && (s->gnu_hash || s->hash);
}

/* The address of symbol i if it is a function of that name that other modules can call; else 0. */
static uintptr_t function_at(const struct symbols *s, uint32_t i, const char *name)
{
	const Elf64_Sym *sym = &s->table[i];
	unsigned type = ELF64_ST_TYPE(sym->st_info), bind = ELF64_ST_BIND(sym->st_info);
	unsigned visibility = ELF64_ST_VISIBILITY(sym->st_other);
	if (sym->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_NOTYPE) ||
		(bind != STB_GLOBAL && bind != STB_WEAK) ||
		(visibility != STV_DEFAULT && visibility != STV_PROTECTED))
		return 0;
	return strcmp(s->text + sym->st_name, name) == 0 ? s->base + sym->st_value : 0;
}

static uint32_t hash_of(const char *name)
{
	uint32_t h = 5381;
	for (; *name; name++)
		h = h * 33 + (unsigned char)*name;
	return h;
}

static uintptr_t find_in_gnu_hash(const struct symbols *s, const char *name)
{
	const uint32_t *h = s->gnu_hash;
	uint32_t n_buckets = h[0], first = h[1], n_bloom = h[2], hash = hash_of(name);
	const uint32_t *buckets = h + 4 + 2 * (size_t)n_bloom, *chain = buckets + n_buckets;
	uint32_t i = n_buckets ? buckets[hash % n_buckets] : 0;
	for (; i >= first && i != 0; i++) {
		uint32_t have = chain[i - first];
		uintptr_t found = (have | 1) == (hash | 1) ? function_at(s, i, name) : 0;
		if (found || have & 1)
			return found;
	}
	return 0;
}

static uintptr_t find_function(const struct symbols *s, const char *name)
{
	if (s->gnu_hash)
		return find_in_gnu_hash(s, name);
	for (uint32_t i = 1; i < s->hash[1]; i++) {
		uintptr_t found = function_at(s, i, name);
		if (found)
			return found;
	}
	return 0;
}

/* ---- all modules ---- */

struct search {
	bool is_behind_us, is_unseen;
	uintptr_t found[MS_N_FORMS];
};

static bool is_us(const struct dl_phdr_info *info)
{
	static const char here;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];
		if (ph->p_type == PT_LOAD &&
			(uintptr_t)&here - (info->dlpi_addr + ph->p_vaddr) < ph->p_memsz)
			return true;
	}
	return false;
}

static int look_into(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct search *search = ctx;
	struct symbols symbols;
	(void)size;
	if (is_us(info)) {
		search->is_behind_us = true;
		return 0;
	}
	if (!find_symbols(info, &symbols))
		return 0;
	for (unsigned form = 0; form < MS_N_FORMS; form++) {
		uintptr_t found = search->found[form] ? 0 : find_function(&symbols, names[form]);
		if (found && !search->is_behind_us)
			search->is_unseen = true;
		else if (found)
			search->found[form] = found;
	}
	return 0;
}

static void find_module(uintptr_t code, uintptr_t *start, uintptr_t *end)
{
	struct dl_find_object found;
	*start = *end = 0;
	if (ms_libc_is_known() && _dl_find_object((void *)code, &found) == 0) {
		*start = (uintptr_t)found.dlfo_map_start;
		*end = (uintptr_t)found.dlfo_map_end;
	}
}

static void publish(const struct search *search)
{
	uintptr_t start, end;
	bool has_own = false, is_plain = !search->is_unseen && !atomic_load(&ms_operators.is_unseen);
	find_module((uintptr_t)find_module, &start, &end);
	atomic_store(&ms_operators.us_start, start);
	atomic_store(&ms_operators.us_end, end);
	find_module((uintptr_t)ms_real.malloc, &start, &end);
	for (unsigned form = 0; form < MS_N_FORMS; form++)
		has_own |= search->found[form] >= start && search->found[form] < end;
	if (has_own) {
		atomic_store(&ms_operators.own_end, end);
		atomic_store(&ms_operators.own_start, start);
	}
	if (search->is_unseen)
		atomic_store(&ms_operators.is_unseen, true);
	for (unsigned form = 0; form < MS_N_FORMS; form++) {
		bool is_own = search->found[form] >= start && search->found[form] < end;
		atomic_store(&ms_operators.real[form], search->found[form]);
		atomic_store(&ms_operators.plain[form], is_plain && !is_own ? search->found[form] : 0);
	}
}

uintptr_t ms_operators_find(enum ms_operator_form form)
{
	uintptr_t found = atomic_load_explicit(&ms_operators.real[form], memory_order_relaxed);
	struct search search = {0};
	if (found || !ms_real_prepare())
		return found;
	dl_iterate_phdr(look_into, &search);
	publish(&search);
	return search.found[form];
}

void ms_operators_give_up(void)
{
	atomic_store(&ms_operators.is_unseen, true);
	for (unsigned form = 0; form < MS_N_FORMS; form++)
		atomic_store(&ms_operators.plain[form], 0);
}

void ms_operators_check_loaded(void)
{
	struct dl_find_object found;
	bool is_gone = false;
	for (unsigned form = 0; form < MS_N_FORMS && !is_gone; form++) {
		uintptr_t real = atomic_load(&ms_operators.real[form]);
		is_gone = real && ms_libc_is_known() && _dl_find_object((void *)real, &found) < 0;
	}
	for (unsigned form = 0; form < MS_N_FORMS && is_gone; form++) {
		atomic_store(&ms_operators.plain[form], 0);
		atomic_store(&ms_operators.real[form], 0);
	}
}

/* See elf_exports.h. Symbols are found through the sections, since only they tell how many there are. */
#include "elf_exports.h"

#include <errno.h>
#include <stdlib.h>

#include "elf_file.h"

enum { TABLE_MAX = 1 << 28 }; /* bytes of symbols, and of their names */

static void visit_all(const Elf64_Sym *syms, uint64_t n, const char *names, uint64_t names_len,
	void (*visit)(void *ctx, const char *name, bool is_defined), void *ctx)
{
	for (uint64_t i = 1; i < n; i++) {
		const Elf64_Sym *s = &syms[i];
		unsigned bind = ELF64_ST_BIND(s->st_info);

		if (s->st_name != 0 && s->st_name < names_len && bind != STB_LOCAL)
			visit(ctx, names + s->st_name, s->st_shndx != SHN_UNDEF);
	}
}

int ms_elf_exports(const char *path, void (*visit)(void *ctx, const char *name, bool is_defined), void *ctx)
{
	char *syms = NULL, *names = NULL;
	const Elf64_Shdr *table, *strings;
	struct ms_elf_file f;
	int rc = ms_elf_file_open(&f, path);

	if (rc < 0)
		return rc;
	table = f.is_elf64 ? ms_elf_section(&f, SHT_DYNSYM) : NULL;
	rc = f.is_elf64 ? 0 : -ENOEXEC;
	if (!table || table->sh_link >= f.n_sections)
		goto out;
	strings = &f.sections[table->sh_link];
	rc = -EFBIG;
	if (table->sh_size > TABLE_MAX || strings->sh_size > TABLE_MAX)
		goto out;
	rc = ms_elf_read_copy(&f, table->sh_offset, table->sh_size, &syms);
	if (rc == 0)
		rc = ms_elf_read_copy(&f, strings->sh_offset, strings->sh_size, &names);
	if (rc == 0) /* fresh from malloc: aligned */
		visit_all((const Elf64_Sym *)(void *)syms, table->sh_size / sizeof(Elf64_Sym), names, strings->sh_size, visit,
			ctx);
out:
	free(names);
	free(syms);
	ms_elf_file_release(&f);
	return rc;
}

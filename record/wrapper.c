/* wrapper.c - an ELF shared object for x86-64, written by hand.
 *
 *	page 0	r--	headers, .hash, .dynsym, .dynstr, .rela	 so much as the loader reads
 *	page n	r-x	struct ms_wrapped of each function, their names, a trampoline for each
 *	page m	rw-	.dynamic, and the one word that the loader fills with the address of MS_WRAP_ENTRY
 *
 * A trampoline touches r11 alone, which belongs to nobody between a call and its function (it is the PLT's), and no
 * stack: it needs no unwind information, and whatever the arguments are, they stay.
 *
 * Rejected: a compiler or linker at run time (there may be none), a fixed number of functions exported under names
 * that are patched (names have any length), patching the GOTs of all modules in memory (calls before us, dlsym and
 * modules to come would go past it). */
#include "wrapper.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, TRAMPOLINE = 32, N_SEGMENTS = 5, N_DYNAMIC = 11, SLOT_OFF = N_DYNAMIC * sizeof(Elf64_Dyn) };

/* Offsets in the file, which are its addresses too. */
struct layout {
	uint32_t n;	   /* functions */
	uint64_t hash, symbols, strings, strings_len, rela, head_end;
	uint64_t code, names, trampolines, code_end;
	uint64_t data, slot, end;
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static struct layout lay_out(const struct ms_wraps *w)
{
	struct layout l = {.n = w->n};
	uint64_t names = 0;
	for (uint32_t i = 0; i < w->n; i++)
		names += strlen(w->functions[i].name) + 1;
	l.hash = sizeof(Elf64_Ehdr) + N_SEGMENTS * sizeof(Elf64_Phdr);
	/* one bucket a function, and a chain for each symbol: none, the entry, the functions */
	l.symbols = round_up(l.hash + (2 + l.n + l.n + 2) * sizeof(uint32_t), 8);
	l.strings = l.symbols + (l.n + 2) * sizeof(Elf64_Sym);
	l.strings_len = 1 + sizeof MS_WRAP_ENTRY + sizeof MS_WRAP_FILE + names;
	l.rela = round_up(l.strings + l.strings_len, 8);
	l.head_end = l.rela + sizeof(Elf64_Rela);
	l.code = round_up(l.head_end, PAGE);
	l.names = l.code + l.n * sizeof(struct ms_wrapped);
	l.trampolines = round_up(l.names + names, TRAMPOLINE);
	l.code_end = l.trampolines + (uint64_t)l.n * TRAMPOLINE;
	l.data = round_up(l.code_end, PAGE);
	l.slot = l.data + SLOT_OFF;
	l.end = l.slot + sizeof(uint64_t);
	return l;
}

static void put(unsigned char *image, uint64_t at, const void *what, size_t len)
{
	memcpy(image + at, what, len);
}

static void put_headers(unsigned char *image, const struct layout *l)
{
	const Elf64_Ehdr head = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = N_SEGMENTS,
	};
	const uint64_t dynamic = N_DYNAMIC * sizeof(Elf64_Dyn);
	const Elf64_Phdr segments[N_SEGMENTS] = {
		{PT_LOAD, PF_R, 0, 0, 0, l->head_end, l->head_end, PAGE},
		{PT_LOAD, PF_R | PF_X, l->code, l->code, l->code, l->code_end - l->code, l->code_end - l->code, PAGE},
		{PT_LOAD, PF_R | PF_W, l->data, l->data, l->data, l->end - l->data, l->end - l->data, PAGE},
		{PT_DYNAMIC, PF_R | PF_W, l->data, l->data, l->data, dynamic, dynamic, 8},
		{.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16}, /* or the loader makes stacks executable */
	};
	put(image, 0, &head, sizeof head);
	put(image, sizeof head, segments, sizeof segments);
}

/* The hash of DT_HASH. */
static uint32_t hash_of(const char *name)
{
	uint32_t h = 0;
	for (; *name; name++) {
		h = (h << 4) + (unsigned char)*name;
		uint32_t high = h & 0xf0000000u;
		h = (h ^ high >> 24) & ~high;
	}
	return h;
}

/* Symbol 1 is the entry, which is not here; function i is symbol i + 2. */
static void put_symbols(unsigned char *image, const struct layout *l, const struct ms_wraps *w)
{
	uint32_t *words = (uint32_t *)(void *)(image + l->hash), *buckets = words + 2, *chains = buckets + l->n;
	uint64_t at = 1;
	Elf64_Sym symbol = {.st_name = (Elf64_Word)at, .st_info = ELF64_ST_INFO(STB_WEAK, STT_NOTYPE)};
	words[0] = l->n;
	words[1] = l->n + 2;
	put(image, l->strings + at, MS_WRAP_ENTRY, sizeof MS_WRAP_ENTRY);
	put(image, l->symbols + sizeof symbol, &symbol, sizeof symbol);
	at += sizeof MS_WRAP_ENTRY;
	put(image, l->strings + at, MS_WRAP_FILE, sizeof MS_WRAP_FILE);
	at += sizeof MS_WRAP_FILE;
	for (uint32_t i = 0; i < l->n; i++) {
		const char *name = w->functions[i].name;
		uint32_t *bucket = &buckets[hash_of(name) % l->n];
		symbol = (Elf64_Sym){
			.st_name = (Elf64_Word)at,
			.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
			.st_shndx = 1, /* any but undefined: there are no sections */
			.st_value = l->trampolines + (uint64_t)i * TRAMPOLINE,
			.st_size = TRAMPOLINE,
		};
		put(image, l->symbols + (i + 2) * sizeof symbol, &symbol, sizeof symbol);
		put(image, l->strings + at, name, strlen(name) + 1);
		at += strlen(name) + 1;
		chains[i + 2] = *bucket;
		*bucket = i + 2;
	}
}

static void put_dynamic(unsigned char *image, const struct layout *l)
{
	const Elf64_Rela rela = {.r_offset = l->slot, .r_info = ELF64_R_INFO(1, R_X86_64_GLOB_DAT)};
	const Elf64_Dyn dynamic[N_DYNAMIC] = {
		{DT_SONAME, {1 + sizeof MS_WRAP_ENTRY}},
		{DT_HASH, {l->hash}},
		{DT_SYMTAB, {l->symbols}},
		{DT_SYMENT, {sizeof(Elf64_Sym)}},
		{DT_STRTAB, {l->strings}},
		{DT_STRSZ, {l->strings_len}},
		{DT_RELA, {l->rela}},
		{DT_RELASZ, {sizeof(Elf64_Rela)}},
		{DT_RELAENT, {sizeof(Elf64_Rela)}},
		{DT_FLAGS_1, {DF_1_NODELETE}},
		{DT_NULL, {0}},
	};
	put(image, l->rela, &rela, sizeof rela);
	put(image, l->data, dynamic, sizeof dynamic);
}

static void put_distance(unsigned char *image, uint64_t at, uint64_t to)
{
	int32_t distance = (int32_t)((int64_t)to - (int64_t)(at + 4));
	put(image, at, &distance, sizeof distance);
}

static void put_functions(unsigned char *image, const struct layout *l, const struct ms_wraps *w)
{
	static const unsigned char code[TRAMPOLINE] = {
		0xf3, 0x0f, 0x1e, 0xfa,			  /* endbr64 */
		0x4c, 0x8d, 0x1d, 0, 0, 0, 0,		  /* lea wrapped(%rip), %r11 */
		0xff, 0x25, 0, 0, 0, 0,			  /* jmp *slot(%rip) */
		0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc};
	uint64_t name = l->names;
	for (uint32_t i = 0; i < l->n; i++) {
		struct ms_wrapped wrapped = w->functions[i].as;
		uint64_t at = l->code + i * sizeof wrapped, trampoline = l->trampolines + (uint64_t)i * TRAMPOLINE;
		size_t len = strlen(w->functions[i].name) + 1;
		wrapped.name_off = (uint32_t)(name - at);
		put(image, at, &wrapped, sizeof wrapped);
		put(image, name, w->functions[i].name, len);
		name += len;
		put(image, trampoline, code, sizeof code);
		put_distance(image, trampoline + 7, at);
		put_distance(image, trampoline + 13, l->slot);
	}
}

/* A directory may be mounted so that nothing in it can be executed: then the loader would complain in every program. */
static int try_to_map(const char *path, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	void *at = mmap(NULL, len, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	int rc = at == MAP_FAILED ? -errno : 0;
	if (rc == 0)
		munmap(at, len);
	close(fd);
	return rc;
}

static int write_file(const char *path, const unsigned char *image, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		return -errno;
	size_t done = 0;
	int error = 0;
	while (done < len && !error) {
		ssize_t n = write(fd, image + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			error = n == 0 ? EIO : errno;
	}
	if (close(fd) && !error)
		error = errno;
	if (!error)
		error = -try_to_map(path, len);
	if (error)
		unlink(path);
	return -error;
}

int ms_wrapper_make(struct ms_wrapper *wrapper, const struct ms_wraps *wraps, const char *directory)
{
	const struct layout l = lay_out(wraps);
	int n = snprintf(wrapper->path, sizeof wrapper->path, "%s/" MS_WRAP_FILE, directory);
	int rc = -EINVAL;
	unsigned char *image = NULL;
	if (n > 0 && (size_t)n < sizeof wrapper->path && !strpbrk(wrapper->path, " :\t\n")) {
		image = calloc(1, l.end);
		rc = image ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		put_headers(image, &l);
		put_symbols(image, &l, wraps);
		put_dynamic(image, &l);
		put_functions(image, &l, wraps);
		rc = write_file(wrapper->path, image, l.end);
	}
	if (rc < 0)
		wrapper->path[0] = 0;
	free(image);
	return rc;
}

void ms_wrapper_release(struct ms_wrapper *wrapper, bool is_in_use)
{
	if (wrapper->path[0] && !is_in_use)
		unlink(wrapper->path);
	wrapper->path[0] = 0;
}

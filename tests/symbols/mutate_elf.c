/* Damages a program again and again and resolves addresses in it, beside an intact one:
 *
 *	mutate_elf PROGRAM INTACT SCRATCH-FILE N-MUTATIONS SEED
 *
 * Every damaged copy must be survived and all that is said about it readable; the intact module's answers must be the
 * same each time. Bytes are changed where the parsers look: headers, symbol tables and debug information rather than
 * code. Then the program is cut at every fiftieth of its length. Prints what became of the copies.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf_file.h"
#include "symbols.h"

enum {
	QUERIES_EACH = 100,
	N_CUTS = 50,
	MODULES = 2, /* damaged, intact */
};

struct program {
	const char *path;
	uint8_t *bytes;
	uint64_t size;
	struct ms_elf_file elf;
};

struct outcome {
	unsigned n_whole, n_partly, n_refused, n_changed, n_named;
};

static _Noreturn void fail(const char *what, unsigned round)
{
	fprintf(stderr, "mutate_elf: round %u: %s\n", round, what);
	exit(1);
}

static void load(struct program *p, const char *path)
{
	char *bytes;

	p->path = path;
	if (ms_elf_file_open(&p->elf, path) < 0 || ms_elf_read_copy(&p->elf, 0, p->elf.size, &bytes) < 0)
		fail("cannot read the program", 0);
	p->bytes = (uint8_t *)bytes;
	p->size = p->elf.size;
}

/* Addresses spread evenly over the code. */
static void spread_queries(const struct program *p, uint32_t module, struct ms_symbol_query *queries)
{
	const Elf64_Phdr *code = NULL;

	for (size_t i = 0; i < p->elf.n_segments; i++) {
		if (p->elf.segments[i].p_type == PT_LOAD && (p->elf.segments[i].p_flags & PF_X))
			code = &p->elf.segments[i];
	}
	if (!code)
		fail("no code", 0);
	for (uint64_t i = 0; i < QUERIES_EACH; i++)
		queries[i] = (struct ms_symbol_query){ .module = module, .offset = code->p_vaddr + 1 + i * code->p_memsz / QUERIES_EACH };
}

/* One interesting byte: of the headers, or of a section that is neither code nor data. */
static uint64_t pick_byte(const struct program *p)
{
	const struct ms_elf_file *elf = &p->elf;

	for (int tries = 0; tries < 100; tries++) {
		size_t i = (size_t)rand() % (elf->n_sections + 2);
		const Elf64_Shdr *sec;

		if (i == elf->n_sections)
			return (uint64_t)rand() % 1024;
		if (i == elf->n_sections + 1)
			return elf->head.e_shoff + (uint64_t)rand() % (elf->n_sections * sizeof(*sec));
		sec = &elf->sections[i];
		if (sec->sh_size > 0 && sec->sh_type != SHT_NOBITS && !(sec->sh_flags & (SHF_EXECINSTR | SHF_WRITE)))
			/* Half of the time near the front, where the unit and table headers are. */
			return sec->sh_offset + (uint64_t)rand() % (rand() % 2 && sec->sh_size > 64 ? 64 : sec->sh_size);
	}
	return 0;
}

static void damage(const struct program *p, uint8_t *copy)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };

	for (int n = 1 << rand() % 6; n > 0; n--) {
		uint8_t *byte = copy + pick_byte(p) % p->size;

		*byte = (uint8_t)(rand() % 2 ? *byte ^ 1 << rand() % 8 : values[rand() % 5]);
	}
}

static void write_scratch(const char *path, const uint8_t *bytes, uint64_t size)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(bytes, 1, size, f) != size || fclose(f) != 0)
		fail("cannot write the scratch file", 0);
}

/* Reads every frame of the queries [first, first + QUERIES_EACH) and returns a digest of all they say. */
static uint64_t digest(const struct ms_symbols *symbols, size_t first, unsigned *n_named)
{
	uint64_t sum = 5381;

	for (size_t i = first; i < first + QUERIES_EACH; i++) {
		size_t n;
		const struct ms_symbol_frame *frames = ms_symbols_frames(symbols, i, &n);

		for (size_t f = 0; f < n; f++) {
			const char *texts[] = { frames[f].function ? frames[f].function : "", frames[f].file ? frames[f].file : "" };

			for (size_t t = 0; t < 2; t++)
				for (const char *c = texts[t]; *c; c++)
					sum = sum * 33 + (uint8_t)*c;
			sum = sum * 33 + frames[f].line;
			*n_named += f == 0 && frames[f].function;
		}
	}
	return sum;
}

/* pristine is the digest of the program before it was damaged. */
static void survive(const char *scratch, const struct program *intact, const struct ms_symbol_query *queries,
	unsigned round, struct outcome *outcome, uint64_t *pristine)
{
	static const struct ms_symbol_options limits = { .cpu_seconds = 10, .wall_seconds = 60, .memory_bytes = 512 << 20 };
	const struct ms_symbol_module modules[MODULES] = { { .path = scratch }, { .path = intact->path } };
	static uint64_t wanted;
	const struct ms_symbol_report *report;
	struct ms_symbols *symbols;
	unsigned n_named = 0;
	uint64_t got;

	if (ms_symbols_resolve(modules, MODULES, queries, (size_t)MODULES * QUERIES_EACH, &limits, &symbols) != 0)
		fail("resolve failed as a whole", round);
	got = digest(symbols, QUERIES_EACH, &n_named);
	if (n_named < QUERIES_EACH / 2 || (wanted && got != wanted))
		fail("the intact module's names changed", round);
	wanted = got;
	got = digest(symbols, 0, &outcome->n_named);
	if (round == 0)
		*pristine = got;
	outcome->n_changed += got != *pristine;
	report = ms_symbols_report(symbols, 0);
	if (!report->was_read && !report->problem)
		fail("a module that was not read has no problem", round);
	/* 1 is a sanitizer's exit status, and EPERM; the parser itself never ends with it. */
	if (report->problem && strstr(report->problem, strerror(1)))
		fail("a sanitizer ended the parser", round);
	*(report->was_read && !report->problem ? &outcome->n_whole
		: report->was_read	       ? &outcome->n_partly
					       : &outcome->n_refused) += 1;
	if (report->problem && getenv("MUTATE_ELF_VERBOSE"))
		fprintf(stderr, "%u: %s\n", round, report->problem);
	ms_symbols_free(symbols);
}

int main(int argc, char **argv)
{
	struct program program, intact;
	struct ms_symbol_query queries[MODULES * QUERIES_EACH];
	struct outcome outcome = { 0 };
	unsigned n, rounds = 0;
	uint64_t pristine = 0;
	uint8_t *copy;

	if (argc != 6)
		return 2;
	load(&program, argv[1]);
	load(&intact, argv[2]);
	n = (unsigned)atoi(argv[4]);
	srand((unsigned)atoi(argv[5]));
	spread_queries(&program, 0, queries);
	spread_queries(&intact, 1, queries + QUERIES_EACH);
	copy = malloc(program.size);
	if (!copy)
		return 2;
	write_scratch(argv[3], program.bytes, program.size);
	survive(argv[3], &intact, queries, rounds++, &outcome, &pristine);
	for (; rounds <= n; rounds++) {
		memcpy(copy, program.bytes, program.size);
		damage(&program, copy);
		write_scratch(argv[3], copy, program.size);
		survive(argv[3], &intact, queries, rounds, &outcome, &pristine);
	}
	for (uint64_t cut = 0; cut < N_CUTS; cut++, rounds++) {
		write_scratch(argv[3], program.bytes, program.size * cut / N_CUTS);
		survive(argv[3], &intact, queries, rounds, &outcome, &pristine);
	}
	printf("%u copies: %u read, %u in part, %u refused; %u with other answers, %u names\n", rounds, outcome.n_whole,
		outcome.n_partly, outcome.n_refused, outcome.n_changed, outcome.n_named);
	free(copy);
	free(program.bytes);
	free(intact.bytes);
	ms_elf_file_release(&program.elf);
	ms_elf_file_release(&intact.elf);
	return outcome.n_changed > rounds / 4 ? 0 : 1; /* else the damage was done where nobody looks */
}

/*
 * The .eh_frame reader against elfutils' libdw, row by row over whole ELF files, and against damage.
 * `test_cfi FILE...` compares other files than the default ones and prints what kinds of rules they hold.
 */
#include "cfi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka wants the three above it */
#include <cmocka.h>

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* An ELF file laid out in memory as the loader would, never run. */
struct image {
	int fd;
	Elf *elf;
	Dwarf_CFI *cfi;
	unsigned char *memory;
	size_t size;
	uintptr_t bias; /* address in memory - address in the file */
	struct ms_cfi_module module;
};

static void lay_out(struct image *im)
{
	size_t n = 0;
	GElf_Addr low = UINT64_MAX, high = 0, hdr = 0;

	assert_int_equal(elf_getphdrnum(im->elf, &n), 0);
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr p;

		assert_non_null(gelf_getphdr(im->elf, (int)i, &p));
		if (p.p_type == PT_GNU_EH_FRAME)
			hdr = p.p_vaddr;
		if (p.p_type != PT_LOAD)
			continue;
		low = p.p_vaddr < low ? p.p_vaddr : low;
		high = p.p_vaddr + p.p_memsz > high ? p.p_vaddr + p.p_memsz : high;
	}
	assert_true(hdr >= low && hdr < high);
	im->size = high - low;
	im->memory = mmap(
		NULL, im->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(im->memory != MAP_FAILED);
	im->bias = (uintptr_t)im->memory - low;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr p;

		gelf_getphdr(im->elf, (int)i, &p);
		if (p.p_type == PT_LOAD && p.p_filesz)
			assert_int_equal(
				pread(im->fd, im->memory + (p.p_vaddr - low), p.p_filesz, (off_t)p.p_offset),
				p.p_filesz);
	}
	im->module = (struct ms_cfi_module){
		(uintptr_t)im->memory, (uintptr_t)im->memory + im->size, hdr + im->bias};
}

static void image_open(struct image *im, const char *path)
{
	elf_version(EV_CURRENT);
	im->fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(im->fd >= 0);
	im->elf = elf_begin(im->fd, ELF_C_READ, NULL);
	assert_non_null(im->elf);
	im->cfi = dwarf_getcfi_elf(im->elf);
	assert_non_null(im->cfi);
	lay_out(im);
}

static void image_close(struct image *im)
{
	dwarf_cfi_end(im->cfi);
	elf_end(im->elf);
	close(im->fd);
	munmap(im->memory, im->size);
}

/* The constant C if the operations say "CFA + C". */
static bool is_cfa_plus(const Dwarf_Op *ops, size_t n, int64_t *off)
{
	*off = n == 2 ? (int64_t)ops[1].number : 0;
	return n >= 1 && n <= 2 && ops[0].atom == DW_OP_call_frame_cfa &&
	       (n == 1 || ops[1].atom == DW_OP_plus_uconst);
}

/* What libdw makes of the same row, as a rule; MS_CFI_NONE: of a shape this test leaves to the reader. */
static ms_cfi_rule expected_rule(Dwarf_Frame *frame, bool is_signal)
{
	Dwarf_Op memory[3], *ops;
	size_t n;
	int64_t off, cfa_off;
	enum ms_cfi_kind kind;
	enum ms_cfi_bp bp = MS_CFI_BP_SAME;

	if (is_signal || dwarf_frame_register(frame, 16, memory, &ops, &n) != 0 ||
		!is_cfa_plus(ops, n, &off) || off != -8)
		return MS_CFI_NONE;
	if (dwarf_frame_cfa(frame, &ops, &n) != 0 || n != 1)
		return MS_CFI_NONE;
	kind = ops[0].atom == DW_OP_breg7 ? MS_CFI_SP : ops[0].atom == DW_OP_breg6 ? MS_CFI_BP : MS_CFI_NONE;
	cfa_off = (int64_t)ops[0].number;
	if (ops[0].atom == DW_OP_bregx) {
		kind = ops[0].number == 7 ? MS_CFI_SP : ops[0].number == 6 ? MS_CFI_BP : MS_CFI_NONE;
		cfa_off = (int64_t)ops[0].number2;
	}
	if (kind == MS_CFI_NONE || dwarf_frame_register(frame, 6, memory, &ops, &n) != 0)
		return MS_CFI_NONE;
	off = 0;
	if (n == 2 && ops[1].atom == DW_OP_breg6) { /* an expression, which starts with the CFA pushed */
		off = (int64_t)ops[1].number;
		bp = MS_CFI_BP_BP;
	} else if (n != 0) {
		if (!is_cfa_plus(ops, n, &off))
			return MS_CFI_NONE;
		bp = MS_CFI_BP_CFA;
	}
	return ms_cfi_make(kind, (int32_t)cfa_off, bp, (int32_t)off);
}

struct tally {
	uint64_t n_rows, n_unequal, kinds[16];
};

static void compare_row(const struct image *im, struct tally *t, Dwarf_Frame *frame, Dwarf_Addr at)
{
	Dwarf_Addr start, end;
	bool is_signal;
	struct ms_cfi_code code;
	ms_cfi_rule want, have;

	assert_true(dwarf_frame_info(frame, &start, &end, &is_signal) >= 0);
	want = expected_rule(frame, is_signal);
	have = ms_cfi_rule_at(&im->module, at + im->bias, &code);
	t->n_rows++;
	t->kinds[ms_cfi_kind(have)]++;
	if (want == MS_CFI_NONE ? ms_cfi_kind(have) <= MS_CFI_BP : have != want)
		t->n_unequal++;
}

/* All rows of the entry whose code starts at AT. */
static void compare_entry(const struct image *im, struct tally *t, Dwarf_Addr at)
{
	struct ms_cfi_code code;

	(void)ms_cfi_rule_at(&im->module, at + im->bias, &code);
	while (at + im->bias < code.end) {
		Dwarf_Frame *frame;
		Dwarf_Addr start, end;
		bool is_signal;

		if (dwarf_cfi_addrframe(im->cfi, at, &frame) != 0)
			return;
		assert_true(dwarf_frame_info(frame, &start, &end, &is_signal) >= 0);
		compare_row(im, t, frame, at);
		compare_row(im, t, frame, end - 1);
		free(frame);
		if (end <= at)
			return;
		at = end;
	}
}

/* The sorted table of .eh_frame_hdr, as ld and lld write it: count at 8, pairs of int32 from 12 on. */
static int32_t table_word(const struct image *im, size_t i)
{
	int32_t word;

	memcpy(&word, (const void *)(im->module.eh_frame_hdr + 8 + 4 * i), sizeof(word));
	return word;
}

static void compare_file(const char *path, struct tally *t)
{
	struct image im;
	size_t n;

	*t = (struct tally){0};
	image_open(&im, path);
	n = (size_t)table_word(&im, 0);
	for (size_t i = 0; i < n; i++)
		compare_entry(&im, t,
			im.module.eh_frame_hdr + (uintptr_t)(intptr_t)table_word(&im, 1 + 2 * i) - im.bias);
	image_close(&im);
	print_message("%s: %zu entries, %lu rows: rsp %lu rbp %lu *rbp %lu plt %lu signal %lu end %lu cut "
		      "%lu unknown %lu\n",
		path, n, t->n_rows, t->kinds[MS_CFI_SP], t->kinds[MS_CFI_BP], t->kinds[MS_CFI_AT_BP],
		t->kinds[MS_CFI_PLT], t->kinds[MS_CFI_SIGNAL], t->kinds[MS_CFI_END], t->kinds[MS_CFI_CUT],
		t->kinds[MS_CFI_UNKNOWN]);
}

static const char *const *files;
static size_t n_files;

static void every_row_is_what_libdw_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_files; i++) {
		struct tally t;

		compare_file(files[i], &t);
		assert_true(t.n_rows > 0);
		assert_int_equal(t.n_unequal, 0);
		assert_int_equal(t.kinds[MS_CFI_UNKNOWN], 0);
		assert_true(t.kinds[MS_CFI_CUT] * 50 < t.n_rows);
	}
}

static void libc_has_its_signal_frame_and_its_ends(void **state)
{
	struct tally t;

	(void)state;
	compare_file(LIBC_FILE, &t);
	assert_true(t.kinds[MS_CFI_SIGNAL] > 0);
	assert_true(t.kinds[MS_CFI_END] > 0);
	assert_true(t.kinds[MS_CFI_PLT] > 0);
}

static void code_outside_of_entries_is_unknown(void **state)
{
	struct ms_cfi_code code;
	struct image im;

	(void)state;
	image_open(&im, LIBC_FILE);
	assert_int_equal(ms_cfi_kind(ms_cfi_rule_at(&im.module, im.module.start, &code)), MS_CFI_UNKNOWN);
	assert_int_equal(code.end, 0);
	im.module.eh_frame_hdr = 0;
	assert_int_equal(ms_cfi_kind(ms_cfi_rule_at(&im.module, im.module.start + im.size / 2, &code)),
		MS_CFI_UNKNOWN);
	image_close(&im);
}

/* Without the linker's table the entries are walked; the answers must be the same. */
static void missing_table_changes_nothing(void **state)
{
	enum { COUNT_ENC = 2, OMIT = 0xff };
	struct ms_cfi_code code, again;
	struct image im;
	size_t n;

	(void)state;
	image_open(&im, LIBC_FILE);
	n = (size_t)table_word(&im, 0);
	for (size_t i = 0; i < n; i += 97) {
		unsigned char *count_enc =
			(unsigned char *)im.memory + (im.module.eh_frame_hdr - im.module.start) + COUNT_ENC;
		unsigned char kept = *count_enc;
		uintptr_t pc = im.module.eh_frame_hdr + (uintptr_t)(intptr_t)table_word(&im, 1 + 2 * i) + 1;
		ms_cfi_rule rule = ms_cfi_rule_at(&im.module, pc, &code);

		*count_enc = OMIT;
		assert_int_equal(ms_cfi_rule_at(&im.module, pc, &again), rule);
		assert_int_equal(again.start, code.start);
		*count_enc = kept;
	}
	image_close(&im);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 11;
}

/* Bytes flipped at random, and the range cut off at a page that cannot be read: answers may be wrong, no
 * more. */
static void damage_is_survived(void **state)
{
	struct image im;
	struct ms_cfi_code code;
	uint64_t seed = 0x9e3779b97f4a7c15;
	size_t hdr_off, end;
	unsigned n_kinds[16] = {0};

	(void)state;
	image_open(&im, TEST_FILE);
	hdr_off = im.module.eh_frame_hdr - im.module.start;
	for (unsigned i = 0; i < 200000; i++) {
		size_t at = hdr_off + next_random(&seed) % (i % 2 ? 4096 : 64);
		uintptr_t pc = im.module.start + next_random(&seed) % im.size;
		unsigned char kept;

		if (at >= im.size)
			continue;
		kept = im.memory[at];
		im.memory[at] = (unsigned char)next_random(&seed);
		n_kinds[ms_cfi_kind(ms_cfi_rule_at(&im.module, pc, &code))]++;
		if (i % 16) /* or the damage adds up */
			im.memory[at] = kept;
	}
	assert_true(n_kinds[MS_CFI_UNKNOWN] > 0);
	end = (im.size - 1) / 4096 * 4096;
	for (; end > hdr_off; end -= 4096) {
		mprotect(im.memory + end, 4096, PROT_NONE);
		im.module.end = im.module.start + end;
		for (unsigned i = 0; i < 1000; i++)
			(void)ms_cfi_rule_at(
				&im.module, im.module.start + next_random(&seed) % im.size, &code);
	}
	image_close(&im);
}

int main(int argc, char **argv)
{
	static const char *const own_files[] = {TEST_FILE, LIBC_FILE, DW_FILE};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_what_libdw_says),
		cmocka_unit_test(libc_has_its_signal_frame_and_its_ends),
		cmocka_unit_test(code_outside_of_entries_is_unknown),
		cmocka_unit_test(missing_table_changes_nothing),
		cmocka_unit_test(damage_is_survived),
	};

	files = argc > 1 ? (const char *const *)argv + 1 : own_files;
	n_files = argc > 1 ? (size_t)argc - 1 : sizeof(own_files) / sizeof(own_files[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

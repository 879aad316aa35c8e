/* See symbol_parser.h. */
#include "symbol_parser.h"

#include <elfutils/libdw.h>
#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "demangle.h"
#include "dwarf_frames.h"
#include "elf_symtab.h"

enum {
	/* Frames per address kept at most, and on average over the module. A hostile file could claim 2^16 inlined calls
	 * at every address; real code stays below 40, on average below 5. */
	INLINE_MAX = 128,
	FRAMES_AVERAGE_MAX = 32,
};

struct parser {
	const struct ms_parser_job *job;
	const uint64_t *addresses; /* those of the job, or those awaited */
	size_t n_addresses;
	struct ms_reply *reply;
	Elf *elf;
	struct ms_debug_file debug;
	Dwarf *dwarf;
	struct ms_symtab symtab;
	struct ms_dwarf_units units;   /* these two: all empty when there is no debug information */
	struct ms_dwarf_frames frames;
	char *name, *bare;	       /* MS_NAME_MAX bytes each: for the demangler, and for a name cut out for it */
};

/* Lowest address of executable code. */
static uint64_t code_start(Elf *elf)
{
	uint64_t start = UINT64_MAX;
	size_t n;

	if (elf_getphdrnum(elf, &n) < 0)
		return 0;
	for (size_t i = 0; i < n && i <= INT32_MAX; i++) {
		GElf_Phdr seg;

		if (gelf_getphdr(elf, (int)i, &seg) && seg.p_type == PT_LOAD && (seg.p_flags & PF_X) && seg.p_vaddr < start)
			start = seg.p_vaddr;
	}
	return start == UINT64_MAX ? 0 : start;
}

static int read_symbols(struct parser *p)
{
	int rc = ms_symtab_add(&p->symtab, p->elf);

	if (rc == 0 && p->debug.elf)
		rc = ms_symtab_add(&p->symtab, p->debug.elf);
	if (rc == 0)
		rc = ms_symtab_finish(&p->symtab);
	if (p->symtab.n > 0)
		p->reply->head.flags |= MS_REPLY_SYMBOL_TABLE;
	return rc;
}

static int add_note(struct parser *p)
{
	const char *sentence = NULL;
	char missing[128];

	if (p->frames.n_units_without_dwo > 0) {
		snprintf(missing, sizeof(missing), "the .dwo files of %zu of %zu compilation units were not found",
			p->frames.n_units_without_dwo, p->frames.n_units);
		sentence = missing;
	} else if (!p->dwarf && p->debug.was_rejected) {
		sentence = "separate debug information was found, but it is of another build";
	}
	return ms_reply_add_string(p->reply, sentence, &p->reply->head.note);
}

/* libdw does not return from here, and its own handler would run the recorder's exit handlers. */
__attribute__((noreturn)) static void exit_without_memory(void)
{
	_exit(ENOMEM);
}

static int read_debug_info(struct parser *p)
{
	Elf *source;
	int rc = 0;

	if (!ms_has_debug_info(p->elf))
		ms_debug_file_find(&p->debug, p->elf, p->job->path, p->job->debug_dir, p->job->open_file);
	if (!p->job->uses_debug_info)
		return 0;
	source = p->debug.elf ? p->debug.elf : p->elf;
	ms_debug_sections_trim(source);
	p->dwarf = ms_has_debug_info(source) ? dwarf_begin_elf(source, DWARF_C_READ, NULL) : NULL;
	if (p->dwarf) {
		dwarf_new_oom_handler(p->dwarf, exit_without_memory);
		p->reply->head.flags |= MS_REPLY_DEBUG_INFO;
		rc = ms_dwarf_units_get(&p->units, p->dwarf, code_start(p->elf));
	}
	return rc;
}

static int await_addresses(struct parser *p)
{
	p->addresses = p->job->addresses;
	p->n_addresses = p->job->n_addresses;
	return p->job->await ? p->job->await(&p->addresses, &p->n_addresses) : 0;
}

static int find_frames(struct parser *p)
{
	int rc = p->dwarf ? ms_dwarf_frames_get(&p->frames, &p->units, p->addresses, p->n_addresses, p->reply) : 0;

	return rc == 0 && p->job->uses_debug_info ? add_note(p) : rc;
}

/* "memcpy@@GLIBC_2.14" is memcpy; "_Znwm@plt" is "operator new(unsigned long)@plt". */
static const char *name_of_versioned(struct parser *p, const char *symbol, const char *suffix)
{
	size_t len = (size_t)(suffix - symbol);
	const char *name;

	if (len >= MS_NAME_MAX)
		return symbol;
	memcpy(p->bare, symbol, len);
	p->bare[len] = '\0';
	name = ms_demangle(p->bare, p->name);
	if (strcmp(suffix, "@plt") != 0)
		return name;
	if (name == p->bare)
		name = memcpy(p->name, p->bare, len + 1);
	len = strlen(name);
	if (len + sizeof("@plt") <= MS_NAME_MAX)
		memcpy(p->name + len, "@plt", sizeof("@plt"));
	return name;
}

static int symbol_name(struct parser *p, uint64_t address, uint32_t *string)
{
	const char *symbol = ms_symtab_get(&p->symtab, address);
	const char *suffix = symbol ? strchr(symbol, '@') : NULL;

	if (suffix)
		symbol = name_of_versioned(p, symbol, suffix);
	else if (symbol)
		symbol = ms_demangle(symbol, p->name);
	return ms_reply_add_string(p->reply, symbol, string);
}

/* g++ does not give functions of internal linkage their linkage name; their symbol has it, and so the namespace and
 * parameters. Cold and cloned parts keep the name of the whole. */
static int complete_name(struct parser *p, uint64_t address, uint32_t *string)
{
	const char *symbol = ms_symtab_get(&p->symtab, address);
	char *clone;

	if (!symbol || (strncmp(symbol, "_Z", 2) != 0 && strncmp(symbol, "_R", 2) != 0) ||
		ms_demangle(symbol, p->name) != p->name)
		return 0;
	clone = strstr(p->name, " [clone ");
	if (clone)
		*clone = '\0';
	return ms_reply_add_string(p->reply, p->name, string);
}

/* The frames of one address: innermost first, each with the place the next inner one was called from. */
static int add_frames(struct parser *p, uint64_t address, const struct ms_dwarf_place *place)
{
	struct ms_reply_frame frame = { .file = place->file, .line = place->line };
	uint32_t at = place->frame;
	int rc = 0;

	if (p->reply->head.n_frames > FRAMES_AVERAGE_MAX * (uint64_t)p->n_addresses + UINT16_MAX)
		return -EOVERFLOW;
	for (unsigned n = 1; rc == 0 && at != MS_NO_FRAME && p->frames.frames[at].caller != MS_NO_FRAME; n++) {
		const struct ms_dwarf_frame *inlined = &p->frames.frames[at];

		frame.function = inlined->function;
		frame.flags = MS_REPLY_INLINED;
		rc = n < INLINE_MAX ? ms_reply_add_frame(p->reply, &frame) : 0;
		frame = (struct ms_reply_frame){ .file = inlined->call_file, .line = inlined->call_line };
		at = inlined->caller;
	}
	if (at != MS_NO_FRAME)
		frame.function = p->frames.frames[at].function;
	if (rc == 0 && at != MS_NO_FRAME && p->frames.frames[at].is_bare)
		rc = complete_name(p, address, &frame.function);
	if (rc == 0 && frame.function == 0)
		rc = symbol_name(p, address, &frame.function);
	if (rc == 0 && (frame.function || frame.file))
		rc = ms_reply_add_frame(p->reply, &frame);
	return rc;
}

static int add_queries(struct parser *p)
{
	static const struct ms_dwarf_place nowhere = { .frame = MS_NO_FRAME };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->n_addresses; i++) {
		rc = ms_reply_begin_query(p->reply);
		if (rc == 0)
			rc = add_frames(p, p->addresses[i], p->frames.places ? &p->frames.places[i] : &nowhere);
	}
	return rc;
}

int ms_symbol_parse(const struct ms_parser_job *job, struct ms_reply *reply)
{
	struct parser p = { .job = job, .reply = reply, .debug = { .fd = -1 } };
	int rc = -ENOEXEC;

	elf_version(EV_CURRENT);
	p.elf = elf_begin(job->fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	if (!p.elf || elf_kind(p.elf) != ELF_K_ELF)
		goto out;
	p.name = malloc(MS_NAME_MAX);
	p.bare = malloc(MS_NAME_MAX);
	rc = p.name && p.bare ? read_debug_info(&p) : -ENOMEM;
	if (rc == 0)
		rc = read_symbols(&p);
	if (rc == 0)
		rc = await_addresses(&p);
	if (rc == 0)
		rc = find_frames(&p);
	if (rc == 0)
		rc = add_queries(&p);
out:
	free(p.name);
	free(p.bare);
	ms_dwarf_frames_release(&p.frames);
	ms_dwarf_units_release(&p.units);
	ms_symtab_release(&p.symtab);
	dwarf_end(p.dwarf);
	ms_debug_file_release(&p.debug);
	elf_end(p.elf);
	return rc;
}

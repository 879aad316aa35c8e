/* See debug_file.h. */
#include "debug_file.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool ms_has_debug_info(Elf *elf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr head;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return false;
	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		const char *name = gelf_getshdr(scn, &head) ? elf_strptr(elf, names, head.sh_name) : NULL;

		if (name && head.sh_type != SHT_NOBITS &&
			(strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0))
			return true;
	}
	return false;
}

/* Sections that say nothing of functions and lines. */
static bool is_beside_the_point(const char *name)
{
	static const char *const names[] = {".debug_loclists", ".debug_loc", ".debug_aranges", ".debug_frame",
		".debug_macro", ".debug_macinfo", ".debug_pubnames"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

void ms_debug_sections_trim(Elf *elf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr head;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return;
	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		const char *name = gelf_getshdr(scn, &head) ? elf_strptr(elf, names, head.sh_name) : NULL;

		if (!name || !(head.sh_flags & SHF_COMPRESSED) || !is_beside_the_point(name))
			continue;
		head.sh_type = SHT_NOBITS;
		(void)gelf_update_shdr(scn, &head);
	}
}

/* The CRC of .gnu_debuglink: CRC-32 as in zlib, over the whole file. */
static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
	uint32_t table[256], crc = UINT32_MAX;

	for (uint32_t i = 0; i < 256; i++) {
		uint32_t rest = i;

		for (int bit = 0; bit < 8; bit++)
			rest = rest >> 1 ^ (rest & 1 ? 0xedb88320u : 0);
		table[i] = rest;
	}
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

/* What a separate file of debug information has to match. */
struct claim {
	const void *build_id;
	ssize_t build_id_len; /* <= 0: none */
	bool has_crc;
	GElf_Word crc;
};

static bool belongs(Elf *elf, const struct claim *claim)
{
	const void *id;
	ssize_t id_len = dwelf_elf_gnu_build_id(elf, &id);
	const char *bytes;
	size_t len;

	if (id_len > 0 && claim->build_id_len > 0)
		return id_len == claim->build_id_len && memcmp(id, claim->build_id, (size_t)id_len) == 0;
	bytes = claim->has_crc ? elf_rawfile(elf, &len) : NULL;
	return bytes && crc32_of((const uint8_t *)bytes, len) == claim->crc;
}

/* Tries one path. Returns whether it was the right file; then out holds it. */
static bool try_path(struct ms_debug_file *out, const char *path, const struct claim *claim, ms_open_function *open_file)
{
	int fd = open_file(path);
	bool is_ours;

	if (fd < 0)
		return false;
	out->elf = elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	out->fd = fd;
	is_ours = out->elf && elf_kind(out->elf) == ELF_K_ELF && belongs(out->elf, claim);
	if (is_ours && ms_has_debug_info(out->elf))
		return true;
	out->was_rejected |= !is_ours;
	ms_debug_file_release(out);
	return false;
}

bool ms_debug_file_place(const uint8_t *build_id, size_t len, const char *debug_dir, char path[MS_DEBUG_PATH_ROOM])
{
	enum { REST = 200 };
	int at;

	if (len < 2 || len > 64)
		return false;
	at = snprintf(path, MS_DEBUG_PATH_ROOM - REST, "%s/.build-id/%02x/", debug_dir, build_id[0]);
	if (at < 0 || at >= MS_DEBUG_PATH_ROOM - REST)
		return false;
	for (size_t i = 1; i < len; i++)
		at += snprintf(path + at, MS_DEBUG_PATH_ROOM - (size_t)at, "%02x", build_id[i]);
	snprintf(path + at, MS_DEBUG_PATH_ROOM - (size_t)at, ".debug");
	return true;
}

static bool try_build_id(struct ms_debug_file *out, const struct claim *claim, const char *debug_dir,
	ms_open_function *open_file)
{
	char path[MS_DEBUG_PATH_ROOM];

	return claim->build_id_len > 0 &&
	       ms_debug_file_place(claim->build_id, (size_t)claim->build_id_len, debug_dir, path) &&
	       try_path(out, path, claim, open_file);
}

static bool try_link(struct ms_debug_file *out, const struct claim *claim, const char *path, const char *link,
	const char *debug_dir, ms_open_function *open_file)
{
	const struct {
		const char *before, *after; /* the directory of path */
	} places[] = { { "", "" }, { "", ".debug/" }, { debug_dir, "" } };
	const char *slash = strrchr(path, '/');
	int dir_len = slash ? (int)(slash + 1 - path) : 0;

	if (strchr(link, '/')) /* by its definition it has no directory: this one wants to lead elsewhere */
		return false;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char candidate[MS_DEBUG_PATH_ROOM];
		int len = snprintf(candidate, sizeof(candidate), "%s%.*s%s%s", places[i].before, dir_len, path,
			places[i].after, link);

		if (len > 0 && (size_t)len < sizeof(candidate) && try_path(out, candidate, claim, open_file))
			return true;
	}
	return false;
}

void ms_debug_file_find(struct ms_debug_file *out, Elf *elf, const char *path, const char *debug_dir,
	ms_open_function *open_file)
{
	struct claim claim = { 0 };
	const char *link = dwelf_elf_gnu_debuglink(elf, &claim.crc);

	*out = (struct ms_debug_file){ .fd = -1 };
	claim.build_id_len = dwelf_elf_gnu_build_id(elf, &claim.build_id);
	if (try_build_id(out, &claim, debug_dir, open_file))
		return;
	claim.has_crc = link != NULL;
	if (link)
		try_link(out, &claim, path, link, debug_dir, open_file);
}

void ms_debug_file_release(struct ms_debug_file *f)
{
	if (f->elf)
		elf_end(f->elf);
	if (f->fd >= 0)
		close(f->fd);
	f->elf = NULL;
	f->fd = -1;
}

/* See elf_file.h. Sizes from the file are compared with the file's size before they size anything, so memory
 * stays below a small multiple of what is really there. */
#include "elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NOTES_MAX = 1 << 20, /* bytes of notes looked at per segment; core-file sized notes are not ours */
};

static int regular_size(const struct stat *st, uint64_t max_bytes, uint64_t *size)
{
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	if ((uint64_t)st->st_size > max_bytes)
		return -EFBIG;
	*size = (uint64_t)st->st_size;
	return 0;
}

int ms_elf_open_regular(const char *path, uint64_t max_bytes, uint64_t *size)
{
	struct stat st;
	int fd, rc;

	/* Look before opening: merely opening a device or a FIFO can have effects. */
	if (stat(path, &st) < 0)
		return -errno;
	rc = regular_size(&st, max_bytes, size);
	if (rc < 0)
		return rc;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fstat(fd, &st) < 0 ? -errno : regular_size(&st, max_bytes, size);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

int ms_elf_read_at(const struct ms_elf_file *f, uint64_t off, void *buf, size_t len)
{
	char *at = buf;

	if (off > f->size || len > f->size - off)
		return -ENOEXEC;
	while (len > 0) {
		ssize_t n = pread(f->fd, at, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENOEXEC; /* shrunk since open */
		at += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int ms_elf_read_copy(const struct ms_elf_file *f, uint64_t off, uint64_t len, char **out)
{
	char *copy;
	int rc;

	if (off > f->size || len > f->size - off)
		return -ENOEXEC;
	copy = malloc((size_t)len + 1);
	if (!copy)
		return -ENOMEM;
	rc = ms_elf_read_at(f, off, copy, (size_t)len);
	if (rc < 0) {
		free(copy);
		return rc;
	}
	copy[len] = '\0';
	*out = copy;
	return 0;
}

/* A table of n entries of `want` bytes each; *out stays NULL when it is empty. */
static int read_table(const struct ms_elf_file *f, uint64_t off, uint64_t n, size_t entsize, size_t want, void **out)
{
	char *copy;
	int rc;

	if (n == 0)
		return 0;
	if (entsize != want || n > f->size / want)
		return -ENOEXEC;
	rc = ms_elf_read_copy(f, off, n * want, &copy);
	if (rc == 0)
		*out = copy;
	return rc;
}

static int read_segments(struct ms_elf_file *f)
{
	void *table = NULL;
	int rc = read_table(f, f->head.e_phoff, f->head.e_phnum, f->head.e_phentsize, sizeof(Elf64_Phdr), &table);

	if (rc < 0)
		return rc;
	f->segments = table;
	f->n_segments = table ? f->head.e_phnum : 0;
	return 0;
}

/* Section headers are a convenience (a stripped or cut file may have none): failing to read them is no error. */
static int read_sections(struct ms_elf_file *f)
{
	uint64_t n = f->head.e_shnum;
	void *table = NULL;
	int rc;

	if (f->head.e_shoff == 0)
		return 0;
	if (n == 0) { /* more than 65279 sections: the count is in the first header */
		Elf64_Shdr first;

		rc = ms_elf_read_at(f, f->head.e_shoff, &first, sizeof(first));
		if (rc < 0)
			return 0;
		n = first.sh_size;
	}
	rc = read_table(f, f->head.e_shoff, n, f->head.e_shentsize, sizeof(Elf64_Shdr), &table);
	if (rc < 0)
		return rc == -ENOEXEC ? 0 : rc;
	f->sections = table;
	f->n_sections = table ? (size_t)n : 0;
	return 0;
}

static int read_head(struct ms_elf_file *f)
{
	enum { SHORT_HEAD = EI_NIDENT + 4 }; /* e_ident, e_type, e_machine: the same place in both classes */
	int rc = ms_elf_read_at(f, 0, &f->head, SHORT_HEAD);

	if (rc < 0)
		return rc;
	if (memcmp(f->head.e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	f->is_elf64 = f->head.e_ident[EI_CLASS] == ELFCLASS64 && f->head.e_ident[EI_DATA] == ELFDATA2LSB;
	return f->is_elf64 ? ms_elf_read_at(f, 0, &f->head, sizeof(f->head)) : 0;
}

/* Reads all headers of an open file; on failure the tables are freed, the descriptor is not touched. */
static int read_headers(struct ms_elf_file *f)
{
	int rc = read_head(f);

	if (rc == 0 && f->is_elf64)
		rc = read_segments(f);
	if (rc == 0 && f->is_elf64)
		rc = read_sections(f);
	if (rc < 0) {
		free(f->segments);
		free(f->sections);
	}
	return rc;
}

int ms_elf_file_attach(struct ms_elf_file *f, int fd, uint64_t size)
{
	int rc;

	*f = (struct ms_elf_file){ .fd = fd, .size = size };
	rc = read_headers(f);
	if (rc < 0)
		*f = (struct ms_elf_file){ .fd = -1 };
	else
		f->fd_is_borrowed = true;
	return rc;
}

int ms_elf_file_open(struct ms_elf_file *f, const char *path)
{
	uint64_t size = 0;
	int fd = ms_elf_open_regular(path, INT64_MAX, &size);
	int rc;

	*f = (struct ms_elf_file){ .fd = -1 };
	if (fd < 0)
		return fd;
	rc = ms_elf_file_attach(f, fd, size);
	if (rc < 0)
		close(fd);
	else
		f->fd_is_borrowed = false;
	return rc;
}

void ms_elf_file_release(struct ms_elf_file *f)
{
	free(f->segments);
	free(f->sections);
	if (f->fd >= 0 && !f->fd_is_borrowed)
		close(f->fd);
	*f = (struct ms_elf_file){ .fd = -1 };
}

const Elf64_Phdr *ms_elf_segment(const struct ms_elf_file *f, uint32_t type)
{
	for (size_t i = 0; i < f->n_segments; i++) {
		if (f->segments[i].p_type == type)
			return &f->segments[i];
	}
	return NULL;
}

const Elf64_Shdr *ms_elf_section(const struct ms_elf_file *f, uint32_t type)
{
	for (size_t i = 0; i < f->n_sections; i++) {
		if (f->sections[i].sh_type == type)
			return &f->sections[i];
	}
	return NULL;
}

static uint64_t align_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Finds the build-id in one run of notes. unit is their alignment (4, or 8 for .note.gnu.property's segment). */
static bool note_build_id(const char *notes, uint64_t len, uint64_t unit, uint8_t *id, size_t *id_len)
{
	uint64_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr head;
		uint64_t name = at + sizeof(head), desc, next;

		memcpy(&head, notes + at, sizeof(head));
		desc = align_up(name + head.n_namesz, unit); /* 32-bit sizes: cannot overflow */
		next = align_up(desc + head.n_descsz, unit);
		if (desc + head.n_descsz > len)
			return false;
		if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && memcmp(notes + name, "GNU", 4) == 0 &&
			head.n_descsz > 0 && head.n_descsz <= MS_BUILD_ID_MAX) {
			memcpy(id, notes + desc, head.n_descsz);
			*id_len = head.n_descsz;
			return true;
		}
		if (next > len)
			return false;
		at = next;
	}
	return false;
}

/* Looks for the build-id in the notes at [off, off + len). Returns 1 when found, 0 when not, or a negative errno. */
static int find_build_id(const struct ms_elf_file *f, uint64_t off, uint64_t len, uint64_t align, uint8_t *id,
	size_t *id_len)
{
	char *notes;
	bool found;
	int rc;

	if (len > NOTES_MAX)
		return 0;
	rc = ms_elf_read_copy(f, off, len, &notes);
	if (rc < 0)
		return rc == -ENOEXEC ? 0 : rc; /* outside a cut file; other notes may be whole */
	found = note_build_id(notes, len, align == 8 ? 8 : 4, id, id_len);
	free(notes);
	return found;
}

int ms_elf_file_build_id(const struct ms_elf_file *f, uint8_t id[MS_BUILD_ID_MAX], size_t *len)
{
	int rc = 0;

	*len = 0;
	for (size_t i = 0; rc == 0 && i < f->n_segments; i++) {
		const Elf64_Phdr *seg = &f->segments[i];

		if (seg->p_type == PT_NOTE)
			rc = find_build_id(f, seg->p_offset, seg->p_filesz, seg->p_align, id, len);
	}
	for (size_t i = 0; rc == 0 && i < f->n_sections; i++) { /* files of debug information may have no segments */
		const Elf64_Shdr *sec = &f->sections[i];

		if (sec->sh_type == SHT_NOTE)
			rc = find_build_id(f, sec->sh_offset, sec->sh_size, sec->sh_addralign, id, len);
	}
	return rc < 0 ? rc : 0;
}

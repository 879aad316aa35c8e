/* See filecode.h. The file is the program's choice, and may be anything. */
#include "filecode.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SEGMENTS = 64, PAGE = 4096 };

static bool read_at(int fd, void *to, size_t n, uint64_t offset)
{
	return offset < INT64_MAX && pread(fd, to, n, (off_t)offset) == (ssize_t)n;
}

/* A pipe would wait for a writer, and a device may do anything. */
static int open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool find_bias(int fd, uint64_t addr, uint64_t offset, uint64_t *bias)
{
	Elf64_Phdr segments[MAX_SEGMENTS];
	Elf64_Ehdr head;

	if (!read_at(fd, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
		head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof(*segments) || head.e_phnum > MAX_SEGMENTS ||
		!read_at(fd, segments, head.e_phnum * sizeof(*segments), head.e_phoff))
		return false;
	for (unsigned i = 0; i < head.e_phnum; i++) {
		const Elf64_Phdr *s = &segments[i];

		if (s->p_type != PT_LOAD || !(s->p_flags & PF_X) || offset < s->p_offset - s->p_offset % PAGE ||
			offset >= s->p_offset + s->p_filesz)
			continue;
		*bias = addr - offset - (s->p_vaddr - s->p_offset);
		return true;
	}
	return false;
}

bool ms_filecode_bias(const char *path, uint64_t addr, uint64_t offset, uint64_t *bias)
{
	int fd = open_regular(path);
	bool is_found = fd >= 0 && find_bias(fd, addr, offset, bias);

	if (fd >= 0)
		close(fd);
	return is_found;
}

/* See module_file.h. */
#include "module_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_file.h"

/* 0, or a negative errno and why it is not to be believed. */
static int check(const struct ms_elf_file *f, const struct ms_symbol_module *wanted, char problem[MS_PROBLEM_MAX])
{
	uint8_t id[MS_BUILD_ID_MAX];
	size_t len = 0;
	int rc = ms_elf_file_build_id(f, id, &len);

	if (rc < 0) {
		snprintf(problem, MS_PROBLEM_MAX, "its build-id cannot be read");
		return rc;
	}
	if (wanted->build_id_len > 0 && (len != wanted->build_id_len || memcmp(id, wanted->build_id, len) != 0)) {
		snprintf(problem, MS_PROBLEM_MAX,
			"the file there now is another build than the one that ran (build-id differs)");
		return -ESTALE;
	}
	return 0;
}

int ms_module_file_open(const struct ms_symbol_module *wanted, uint64_t max_bytes, uint64_t *size,
	char problem[MS_PROBLEM_MAX])
{
	int fd = ms_elf_open_regular(wanted->path, max_bytes, size);
	struct ms_elf_file f;
	int rc;

	if (fd < 0) {
		snprintf(problem, MS_PROBLEM_MAX, "it cannot be opened: %s",
			fd == -EINVAL ? "it is no regular file" : strerror(-fd));
		return fd;
	}
	rc = ms_elf_file_attach(&f, fd, *size);
	if (rc < 0 || !f.is_elf64) {
		snprintf(problem, MS_PROBLEM_MAX, "%s",
			rc == -ENOMEM ? "there is not enough memory to read it" : "it is no 64-bit ELF file");
		rc = rc < 0 ? rc : -ENOEXEC;
	} else {
		rc = check(&f, wanted, problem);
		ms_elf_file_release(&f);
	}
	if (rc < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

struct ms_file_stamp ms_file_stamp(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return (struct ms_file_stamp){ 0 };
	return (struct ms_file_stamp){ .device = st.st_dev,
		.inode = st.st_ino,
		.bytes = (uint64_t)st.st_size,
		.changed_s = st.st_ctim.tv_sec,
		.changed_ns = st.st_ctim.tv_nsec };
}

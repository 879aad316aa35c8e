/* libFuzzer: any bytes as the executable that is looked at before it is started, and as a mangled name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "demangle.h"
#include "elf_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demangle(const uint8_t *data, size_t size)
{
	static char buf[MS_NAME_MAX];
	char *name = malloc(size + 1);

	if (!name)
		return;
	memcpy(name, data, size);
	name[size] = '\0';
	if (strlen(ms_demangle(name, buf)) > size + MS_NAME_MAX)
		abort();
	free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ms_elf_info info;
	char path[64];
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (ms_elf_info_read(path, &info) == 0 && info.build_id_len > MS_BUILD_ID_MAX)
		abort();
	close(fd);
	demangle(data, size);
	return 0;
}

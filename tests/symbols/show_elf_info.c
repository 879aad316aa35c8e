/* Prints what ms_elf_info_read finds out about each file named, one line a file: the facts that are set. */
#include <stdio.h>
#include <string.h>

#include "elf_info.h"

static void show_flag(bool is_set, const char *word)
{
	if (is_set)
		printf(" %s", word);
}

static void show_elf(const struct ms_elf_info *info)
{
	printf("elf%d machine=%u", info->elf_class == ELFCLASS64 ? 64 : 32, info->machine);
	show_flag(info->is_static, "static");
	show_flag(info->is_musl, "musl");
	show_flag(info->defines_malloc, "defines-malloc");
	show_flag(info->sanitizers & MS_SANITIZER_ADDRESS, "asan");
	show_flag(info->sanitizers & MS_SANITIZER_HWADDRESS, "hwasan");
	show_flag(info->sanitizers & MS_SANITIZER_THREAD, "tsan");
	show_flag(info->sanitizers & MS_SANITIZER_MEMORY, "msan");
	show_flag(info->sanitizers & MS_SANITIZER_LEAK, "lsan");
	show_flag(info->sanitizers & MS_SANITIZER_UNDEFINED, "ubsan");
	if (info->allocator)
		printf(" allocator=%s", info->allocator);
	if (info->interpreter[0])
		printf(" interpreter=%s", info->interpreter);
	printf(" build-id=");
	for (size_t i = 0; i < info->build_id_len; i++)
		printf("%02x", info->build_id[i]);
}

static void show(const char *path)
{
	struct ms_elf_info info;
	int rc = ms_elf_info_read(path, &info);

	if (rc < 0) {
		printf("error: %s\n", strerror(-rc));
		return;
	}
	if (info.kind == MS_FILE_ELF)
		show_elf(&info);
	else if (info.kind == MS_FILE_SCRIPT)
		printf("script [%s] [%s]", info.interpreter, info.interpreter_arg);
	else
		printf("other");
	show_flag(info.is_setuid, "setuid");
	show_flag(info.is_setgid, "setgid");
	show_flag(info.has_capabilities, "capabilities");
	show_flag(info.gains_privilege, "gains-privilege");
	putchar('\n');
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		show(argv[i]);
	return 0;
}

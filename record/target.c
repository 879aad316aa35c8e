/* See target.h. */
#include "target.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_info.h"

#define SCRIPTS_MAX 5 /* as many interpreters of interpreters as the kernel follows */

static void __attribute__((format(printf, 3, 4)))
judge(struct ms_target *t, enum ms_target_verdict verdict, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(t->why, sizeof t->why, format, args);
	va_end(args);
	t->verdict = verdict;
}

/* 0 if path may be executed, else errno. */
static int try(const char *path)
{
	struct stat st;
	if (stat(path, &st))
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return access(path, X_OK) ? errno : 0;
}

static int find_in_path(const char *name, struct ms_target *t)
{
	const char *dirs = getenv("PATH");
	int error = ENOENT;
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; dirs;
		dirs = strchr(dirs, ':') ? strchr(dirs, ':') + 1 : NULL) {
		int len = (int)strcspn(dirs, ":");
		int n = snprintf(t->path, sizeof t->path, "%.*s%s%s", len, dirs, len ? "/" : "", name);
		if (n < 0 || (size_t)n >= sizeof t->path)
			continue;
		int failure = try(t->path);
		if (failure == 0)
			return 0;
		if (failure == EACCES)
			error = EACCES;
	}
	return error;
}

static int find(const char *argv0, struct ms_target *t)
{
	int error;
	if (strchr(argv0, '/')) {
		error = strlen(argv0) < sizeof t->path ? 0 : ENAMETOOLONG;
		if (!error) {
			memcpy(t->path, argv0, strlen(argv0) + 1);
			error = try(t->path);
		}
	} else {
		error = *argv0 ? find_in_path(argv0, t) : ENOENT;
	}
	if (error)
		t->path[0] = 0;
	return error;
}

static const char *sanitizer_name(unsigned sanitizers)
{
	if (sanitizers & (MS_SANITIZER_ADDRESS | MS_SANITIZER_HWADDRESS))
		return "address";
	if (sanitizers & MS_SANITIZER_THREAD)
		return "thread";
	return sanitizers & MS_SANITIZER_MEMORY ? "memory" : "leak";
}

static void judge_elf(struct ms_target *t, const struct ms_elf_info *e)
{
	unsigned sanitizers = e->sanitizers & ~(unsigned)MS_SANITIZER_UNDEFINED;
	if (e->elf_class != ELFCLASS64 || e->elf_data != ELFDATA2LSB || e->machine != EM_X86_64)
		judge(t, MS_TARGET_UNFIT,
			"cannot record '%s': it is a program for another machine or ABI than x86-64: "
			"record a 64-bit build of it",
			t->path);
	else if (e->is_static)
		judge(t, MS_TARGET_UNFIT,
			"cannot record '%s': it is statically linked%s%s: the capture library can not get into it; "
			"link it dynamically",
			t->path, e->allocator ? ", with " : "", e->allocator ? e->allocator : "");
	else if (e->is_musl)
		judge(t, MS_TARGET_UNFIT,
			"cannot record '%s': it uses musl libc: the capture library needs glibc; build it for glibc", t->path);
	else if (e->gains_privilege)
		judge(t, MS_TARGET_UNFIT,
			"cannot record '%s': it gains privileges when it starts (setuid, setgid or capabilities), so the "
			"dynamic linker ignores LD_PRELOAD: record a copy without them, or as the user it "
			"becomes",
			t->path);
	else if (sanitizers)
		judge(t, MS_TARGET_UNFIT,
			"cannot record '%s': it is built with -fsanitize=%s, which replaces malloc itself: record a build "
			"without it",
			t->path, sanitizer_name(sanitizers));
	else if (e->defines_malloc)
		judge(t, MS_TARGET_DOUBTFUL,
			"'%s' brings its own malloc%s%s%s: its own calls will not be seen; build it "
			"with the allocator of libc, or with a shared one",
			t->path, e->allocator ? " (" : "", e->allocator ? e->allocator : "",
			e->allocator ? ")" : "");
}

static void judge_file(struct ms_target *t)
{
	struct ms_elf_info e;
	for (int i = 0; i < SCRIPTS_MAX; i++) {
		if (ms_elf_info_read(t->path, &e))
			return; /* executable but not readable: exec will tell */
		if (e.kind != MS_FILE_SCRIPT)
			break;
		if (!e.interpreter[0])
			return; /* the same */
		if (access(e.interpreter, X_OK)) {
			judge(t, errno == ENOENT ? MS_TARGET_NOT_FOUND : MS_TARGET_NOT_EXECUTABLE,
				"cannot run '%s': its interpreter '%s': %s", t->path, e.interpreter,
				strerror(errno));
			return;
		}
		snprintf(t->path, sizeof t->path, "%s", e.interpreter);
	}
	if (e.kind == MS_FILE_ELF)
		judge_elf(t, &e);
}

void ms_target_inspect(const char *argv0, struct ms_target *t)
{
	memset(t, 0, sizeof *t);
	int error = find(argv0, t);
	if (error == ENOENT || error == ENOTDIR)
		judge(t, MS_TARGET_NOT_FOUND, "cannot run '%s': no such %s", argv0,
			strchr(argv0, '/') ? "file" : "command in PATH");
	else if (error)
		judge(t, MS_TARGET_NOT_EXECUTABLE, "cannot run '%s': %s", argv0, strerror(error));
	else
		judge_file(t);
}

/* See demangle.h. The callback variants of libiberty are used: they allocate next to nothing, hand out the text piece
 * by piece, and can be left in the middle by longjmp, which is the only way to stop an exploding name. (The Rust one
 * holds a short array while it prints a non-ASCII identifier; should the limit strike just then, that is lost.) */
#include "demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

struct output {
	char *buf;
	size_t len;
	jmp_buf full;
};

static void append(const char *text, size_t len, void *opaque)
{
	struct output *out = opaque;

	if (len >= MS_NAME_MAX - out->len)
		longjmp(out->full, 1);
	memcpy(out->buf + out->len, text, len);
	out->len += len;
}

typedef int demangler(const char *mangled, int options, demangle_callbackref callback, void *opaque);

static const char *try_demangler(demangler *demangle, const char *mangled, char *buf)
{
	struct output out = { .buf = buf };

	if (setjmp(out.full) != 0)
		return NULL;
	if (!demangle(mangled, DMGL_PARAMS | DMGL_ANSI, append, &out) || out.len == 0)
		return NULL;
	buf[out.len] = '\0';
	return buf;
}

const char *ms_demangle(const char *mangled, char *buf)
{
	const char *name = NULL;

	if (strnlen(mangled, MS_NAME_MAX) == MS_NAME_MAX)
		return mangled;
	/* Legacy Rust looks like C++ with a hash behind: Rust is asked first, and refuses what is not its own. */
	if (strncmp(mangled, "_R", 2) == 0 || strncmp(mangled, "_ZN", 3) == 0)
		name = try_demangler(rust_demangle_callback, mangled, buf);
	if (!name && (strncmp(mangled, "_Z", 2) == 0 || strncmp(mangled, "_GLOBAL_", 8) == 0))
		name = try_demangler(cplus_demangle_v3_callback, mangled, buf);
	return name ? name : mangled;
}

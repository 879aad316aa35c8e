/* The name a developer wrote, from the one the linker saw: C++ (Itanium), Rust (v0, and legacy without its hash).
 *
 * The demangler is libiberty's. A mangled name is hostile input: one of a few hundred bytes can stand for gigabytes
 * of text, so the output is cut off at a limit and the work with it, and libiberty's recursion limits stay on.
 */
#ifndef MS_DEMANGLE_H
#define MS_DEMANGLE_H

#include <stddef.h>

enum {
	MS_NAME_MAX = 64 << 10, /* bytes of any one name, with its NUL; longer ones stay mangled or are cut */
};

/* Demangles mangled (NUL-terminated) into buf, which has MS_NAME_MAX bytes. Returns buf, or mangled itself when it is
 * no mangled name, is malformed, or would be too long. One thread at a time per buf. */
const char *ms_demangle(const char *mangled, char *buf);

#endif

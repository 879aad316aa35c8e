/* libc_needs.h - what only glibc has. A program of another libc may find this library in its LD_PRELOAD, and a loader
 * that misses a symbol ends the program: so these are weak, and without them the library is silent. */
#ifndef MS_LIBC_NEEDS_H
#define MS_LIBC_NEEDS_H

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdbool.h>
#include <stddef.h>

#pragma weak _dl_find_object
#pragma weak dladdr1
#pragma weak gnu_get_libc_version

static inline bool ms_libc_is_known(void)
{
	return _dl_find_object != NULL && gnu_get_libc_version != NULL;
}

#endif

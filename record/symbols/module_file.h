/* The file of a module: opened if it is one that may be believed, and recognised again later.
 *
 * A path is believed when the file there has the build-id of the one that ran, or when it is not known what that was.
 */
#ifndef MS_MODULE_FILE_H
#define MS_MODULE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols.h"

enum {
	MS_PROBLEM_MAX = 256, /* bytes of a sentence about a module, with the NUL */
};

/* Opens the module's file and sets *size. Returns a descriptor, which is the caller's, or a negative errno with the
 * reason in problem, which is else left alone. */
int ms_module_file_open(const struct ms_symbol_module *wanted, uint64_t max_bytes, uint64_t *size,
	char problem[MS_PROBLEM_MAX]);

/* Which file it is, and in which state: equal as bytes for as long as nobody touches it. */
struct ms_file_stamp {
	uint64_t device, inode, bytes;
	int64_t changed_s, changed_ns;
};

/* Of the file at path; all zeros when there is none. */
struct ms_file_stamp ms_file_stamp(const char *path);

#endif

/* Names for addresses: module and offset → function, file, line and the calls inlined there, from ELF and DWARF.
 *
 *	struct ms_symbols *symbols;
 *	if (ms_symbols_resolve(modules, n_modules, queries, n_queries, NULL, &symbols) == 0) {
 *		size_t n;
 *		const struct ms_symbol_frame *frames = ms_symbols_frames(symbols, 0, &n);
 *		…	frames[0] is the innermost; n is 0 when nothing is known
 *	}
 *	ms_symbols_free(symbols);
 *
 * All queries of a recording go into one call: the cost is that of the compilation units touched, not of the
 * addresses (100,000 addresses of a 100 MB C++ program take about as long as 1,000).
 *
 * Files are hostile input: each module is parsed in a sandboxed child process with limits on memory and time
 * (symbol_child.h). What goes wrong with one module costs that module only, and is told in its report. When debug
 * information proves unusable, the symbol table is tried alone.
 */
#ifndef MS_SYMBOLS_H
#define MS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ms_symbol_module {
	const char *path;	 /* as this process can open it */
	const uint8_t *build_id; /* of the file that was running; without one (length 0) the file at path is believed */
	size_t build_id_len;
};

struct ms_symbol_query {
	uint32_t module; /* index into the modules */
	uint64_t offset; /* a return address in the module's link-time address space (run-time address minus load bias);
			  * what is looked up is the call before it, offset - 1 */
};

struct ms_symbol_options {
	const char *debug_dir;	 /* root of separate debug information; NULL = "/usr/lib/debug" */
	uint64_t memory_bytes;	 /* for one module's parser, besides its files; 0 = 2 GiB */
	uint64_t max_file_bytes; /* larger files are not read; 0 = 16 GiB */
	unsigned cpu_seconds;	 /* per module; 0 = 60 */
	unsigned wall_seconds;	 /* per module; 0 = 180 */
	bool (*is_cancelled)(void); /* asked now and then, and when a signal comes: true ends the lookup, what is known by
				     * then is kept; NULL = never */
	struct ms_forerunner *forerunner; /* parsers that may be ready already; NULL = none */
};

/* The options as they are used: defaults filled in. given may be NULL. */
struct ms_symbol_options ms_symbol_options_complete(const struct ms_symbol_options *given);

/* Names and paths are as the file has them: any bytes but NUL, not necessarily UTF-8, at most 64 KiB. */
struct ms_symbol_frame {
	const char *function; /* demangled; NULL = unknown */
	const char *file;     /* NULL = unknown */
	uint32_t line;	      /* 0 = unknown */
	bool is_inlined;      /* into the frame that follows */
};

struct ms_symbol_report {
	bool was_read;		/* false: none of its addresses has a name, and problem says why */
	bool has_debug_info;	/* files, lines and inlined calls */
	bool has_symbol_table;	/* names of functions */
	const char *problem;	/* a sentence about the module without its path, lower case, no full stop; NULL = none.
				 * A module that was read may have one too (names only, parts missing). */
};

struct ms_symbols; /* opaque; immutable, so any number of threads may read it */

/* Resolves n_queries queries; they may repeat and come in any order. options may be NULL. All arguments are only read,
 * and not kept. Returns 0 and a new *out (also when every module failed: see the reports), -EINVAL when a query's
 * module does not exist or there are more than 2^31 queries, or -ENOMEM; *out is NULL then. Forks: see symbol_child.h
 * for what that asks of other threads. Does not return before all children are gone. */
int ms_symbols_resolve(const struct ms_symbol_module *modules, size_t n_modules, const struct ms_symbol_query *queries,
	size_t n_queries, const struct ms_symbol_options *options, struct ms_symbols **out);

/* The frames of query i (as numbered at resolve), innermost first; *n may be 0. Lives as long as symbols. */
const struct ms_symbol_frame *ms_symbols_frames(const struct ms_symbols *symbols, size_t query, size_t *n);

/* What became of module i. Of a module without queries nothing was read, and it has no problem. */
const struct ms_symbol_report *ms_symbols_report(const struct ms_symbols *symbols, size_t module);

/* NULL is fine. */
void ms_symbols_free(struct ms_symbols *symbols);

#endif

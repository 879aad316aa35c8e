/* Gets parsers of modules ready while the program still runs, so that at its end they only have to be asked.
 *
 * Most of what a module's names cost does not depend on the addresses: compressed debug information is inflated, units
 * and symbols are put in order. While the program runs, another core has time for that. So a process of its own, forked
 * while the recorder is small and has one thread, is told of modules as they come up, starts the sandboxed child
 * (symbol_child.h) of each that is worth it, and opens files for it. The child then waits on a socket whose other end
 * the recorder holds, and nobody else.
 *
 * Nothing depends on it: a module that was not prepared, whose file has changed since, or whose parser has died is read
 * at the end like all others. The process has no descriptor of the recorder's but its socket, and no terminal; it and
 * the children end with the recorder, however that ends.
 *
 * Rejected: a thread that forks (it would duplicate a large process, page by page); executing msrecord again (3 ms of the
 * dynamic linker for each parser); libdeflate and two children at the end instead (still three times as late with libc's
 * debug file).
 */
#ifndef MS_FORERUNNER_H
#define MS_FORERUNNER_H

#include <stddef.h>
#include <stdint.h>

#include "symbol_child.h"
#include "symbols.h"

/* Starts the process. options (may be NULL) as for ms_symbols_resolve; strings in them are only read. NULL: it could not
 * be started. */
struct ms_forerunner *ms_forerunner_open(const struct ms_symbol_options *options);

/* Tells it of a module whose names will be wanted; of one told before, nothing happens. Never blocks. */
void ms_forerunner_tell(struct ms_forerunner *f, const struct ms_symbol_module *module);

/* Asks the module's parser, which is then the caller's: returns its socket (see ms_early_child_hear), or a negative
 * errno when there is none. */
int ms_forerunner_ask(struct ms_forerunner *f, const struct ms_symbol_module *module, const uint64_t *addresses, size_t n,
	const struct ms_child_limits *limits);

/* Lets it end, with all parsers that have not been asked, without waiting for that. */
void ms_forerunner_dismiss(struct ms_forerunner *f);

/* Returns when it has ended. NULL is fine. */
void ms_forerunner_close(struct ms_forerunner *f);

#endif

/* resolve.h - msrecord --resolve: names for a trace that was written without them. */
#ifndef MS_RESOLVE_H
#define MS_RESOLVE_H

#include <stdbool.h>

/* Completes the trace at path by the symbols it lacks and puts it in its own place, or at output if that is
 * not NULL
 * ("-": standard output); an existing output is an error unless is_forced. The new file appears when it is
 * whole. Says what it did, or what went wrong. 0, or -1. */
int ms_resolve(const char *path, const char *output, bool is_forced);

#endif

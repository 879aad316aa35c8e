/* definition.h - who defines a function: what dlsym(RTLD_NEXT) would say, without what it does besides.
 *
 * dlsym allocates when it finds nothing, and does not see what stands in libraries that dlopen has loaded for
 * themselves. Here the loaded modules' own tables are read, in the order in which they were loaded. */
#ifndef MS_DEFINITION_H
#define MS_DEFINITION_H

#include <stdbool.h>
#include <stdint.h>

struct ms_definition {
	uintptr_t function; /* 0: nobody does */
	bool is_for_all;    /* the same whoever asks: it was there when the program started */
};

/* The first definition of `name` in a module that has neither this library's code nor the address `not_in`. Among
 * modules that came after the program's start, that of the module around `caller` goes first. Takes the loader's lock. */
struct ms_definition ms_definition_find(const char *name, uintptr_t not_in, uintptr_t caller);

/* To be called when the modules that are there are those the program starts with. */
void ms_definition_note_start(void);

#endif

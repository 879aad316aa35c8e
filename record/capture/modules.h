/* modules.h - the files with code that this process has been seen to run: what the recorder is told of them.
 *
 * The unwinder meets them (each run of segments on its own, if a module has holes); dlclose may end them.
 * Lock-free: a fixed table, filled by whoever meets a module, read by whoever closes one. When the table is
 * full, later modules are announced all the same, but their end is not. */
#ifndef MS_MODULES_H
#define MS_MODULES_H

#include "wire.h"

#include <dlfcn.h>
#include <stdbool.h>

/* Keeps a module in mind. */
void ms_modules_remember(const struct dl_find_object *found);

/* Goes through the modules still loaded: *cursor starts at 0. False at the end. */
bool ms_modules_next_loaded(uint32_t *cursor, struct dl_find_object *found);

/* Forgets one module that is no longer loaded and gives its start; false if there is none. Concurrent callers
 * get different ones. */
bool ms_modules_take_unloaded(uint64_t *map_start);

/* The most words that the MS_U_MODULE unit for a module may need, and the unit itself: returns its words. */
size_t ms_module_unit_room(const struct dl_find_object *found);
size_t ms_module_unit_write(const struct dl_find_object *found, uint64_t stamp, uint64_t *words);

#endif

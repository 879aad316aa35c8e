/* mapcall.h - a call of the mapping layer: from the words of its unit to what the trace says of it. */
#ifndef MS_MAPCALL_H
#define MS_MAPCALL_H

#include <stddef.h>
#include <stdint.h>

#include "mstrace.h"
#include "queue.h"

/* Calls of one thread that have begun and not returned. More than one only when handlers of signals map. */
enum { MS_MAP_BEGINS_MAX = 4 };
struct ms_map_begins {
	struct {
		uint64_t addr;	/* MS_MAP_ADDR of the call */
		uint64_t event; /* number of the first event that comes after it began */
	} calls[MS_MAP_BEGINS_MAX];
	uint32_t n;
};
void ms_map_begins_put(struct ms_map_begins *b, uint64_t addr, uint64_t event);
/* Takes the latest with that address out and gives its event; `other` if there is none. */
uint64_t ms_map_begins_take(struct ms_map_begins *b, uint64_t addr, uint64_t other);

/* Fills *call but for file and begun. *path, *path_len: the file's path, not terminated, inside the item. All that is in
 * the item is checked here. */
void ms_map_call_get(const struct ms_item *item, struct mst_map_call *call, const char **path, size_t *path_len);

#endif

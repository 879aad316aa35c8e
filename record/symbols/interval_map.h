/* Which of many address intervals does an address belong to, when intervals may overlap.
 *
 * Symbols overlap (aliases, labels inside functions), compilation units overlap (identical code folded by the
 * linker), and a hostile file may overlap anything. The rule is the nearest one: of all intervals that hold an
 * address, the one that starts last; of equal starts, the one added first. finish() cuts the set into disjoint
 * segments by that rule once, O(n log n) and at most 2n segments, so that a lookup is a plain binary search.
 */
#ifndef MS_INTERVAL_MAP_H
#define MS_INTERVAL_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ms_interval {
	uint64_t start, end; /* [start, end), never empty */
	uint32_t value;	     /* the caller's */
};

struct ms_interval_map {
	struct ms_interval *items; /* before finish: as added; after: disjoint, ascending */
	size_t n, room;
};

/* Adds an interval; an empty or reversed one is ignored. 0 or -ENOMEM. Growth doubles. */
int ms_interval_map_add(struct ms_interval_map *m, uint64_t start, uint64_t end, uint32_t value);

/* Makes the map searchable; nothing may be added afterwards. 0 or -ENOMEM. */
int ms_interval_map_finish(struct ms_interval_map *m);

/* The segment that holds address, or NULL. Its bounds are those of the segment, not of the interval added. */
const struct ms_interval *ms_interval_map_get(const struct ms_interval_map *m, uint64_t address);

/* Frees the memory; fine on a zeroed map. */
void ms_interval_map_release(struct ms_interval_map *m);

#endif

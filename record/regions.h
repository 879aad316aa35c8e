/* regions.h - the text of /proc/PID/maps, line by line. It is attacker text: nothing is believed of it but that it has lines. */
#ifndef MS_REGIONS_H
#define MS_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ms_region_line {
	uint64_t start, end, offset;
	uint32_t prot; /* PROT_* */
	bool is_shared;
	const char *name; /* inside the text, not terminated */
	size_t name_len;  /* 0: anonymous */
};

/* Reads the line at *at, a place in text[0..len), starting with 0, and goes on to the next: 1 and *line; 0 at the end.
 * Lines that are none are stepped over. */
int ms_regions_next(const char *text, size_t len, size_t *at, struct ms_region_line *line);

#endif

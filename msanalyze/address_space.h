/* address_space.h - the address space of one process as far as it is known: which call mapped what (FORMAT.md 7.1).
 *
 *	pieces      disjoint ranges, sorted by address, each of one region
 *	regions     what one call mapped, or what was there from the start; lives as long as it has a piece
 *
 * A region may be cut, moved and partly replaced; it stays the region of the call that made it. What the program did not
 * map itself (libc's own mappings) is not known, and unmapping it changes nothing. Ranges are whole pages. */
#ifndef MSANALYZE_ADDRESS_SPACE_H
#define MSANALYZE_ADDRESS_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum region_kind { REGION_ANONYMOUS, REGION_FILE, REGION_STACK, REGION_HEAP };

struct region {
	uint64_t start;	     /* address when it was mapped; of one that was moved as a whole, since then */
	uint64_t size;	     /* bytes when it was mapped */
	uint64_t live_bytes; /* now */
	uint64_t peak_bytes;
	uint64_t mapped_ns;
	uint64_t unmapped_ns; /* UINT64_MAX: still there */
	uint64_t event;	      /* number of the event that mapped it; with is_initial 0 */
	uint32_t process, stack;
	uint32_t file; /* string id, 0 = none */
	uint32_t prot; /* when it was mapped */
	uint8_t kind;
	bool is_initial, is_shared;
	bool is_inherited; /* is_initial, and copied by a fork from the parent that has it */
};

struct region_piece {
	uint64_t start, end;
	uint64_t event; /* number + 1 of the event that put it here, 0: from the start */
	uint32_t region;
};

/* Zero-initialise; `gone` and `ctx` may be set. */
struct regions {
	struct region *all; /* entry 0 is unused; slots of regions that are gone are used again */
	uint32_t n, free; /* free: first of a list threaded through .file, 0 = none */
	size_t cap;
	struct region_piece *pieces;
	size_t n_pieces, cap_pieces;
	uint64_t live_bytes; /* of all but the initial ones, to which the inherited belong */
	uint64_t initial_bytes;
	/* A region has lost its last piece, or is being given up. */
	void (*gone)(void *ctx, const struct region *region);
	void *ctx;
};

/* All end the program without memory. Times and event numbers are those of the call. */

/* [start, end) is now of a new region like *like, whatever was there. */
void regions_map(struct regions *s, uint64_t start, uint64_t end, const struct region *like);
/* [start, end) is unmapped, as far as events before `begun` had mapped it. */
void regions_unmap(struct regions *s, uint64_t start, uint64_t end, uint64_t begun, uint64_t now_ns);
/* [from, from + from_size) is now at `to`, with to_size bytes; what was longer before is gone, what is longer now is of
 * the last region in it, or of one like *like if nothing was known there. is_kept: the old range stays as well. */
void regions_move(struct regions *s, uint64_t from, uint64_t from_size, uint64_t to, uint64_t to_size, uint64_t begun,
	bool is_kept, const struct region *like);
/* Everything is unmapped: the process has ended. Regions keep what was live; `gone` is told. */
void regions_end(struct regions *s);
/* A forked child's: a copy of the parent's, all of it inherited, as process `process`. */
void regions_copy(struct regions *to, const struct regions *from, uint32_t process);
void regions_release(struct regions *s);

#endif

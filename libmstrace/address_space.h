/* address_space.h - the address space of one process as far as it is known: which call mapped what (FORMAT.md 7.1).
 *
 *	pieces      disjoint ranges, sorted by address, each of one region
 *	regions     what one call mapped, or what was there from the start; lives as long as it has a piece
 *
 * A region may be cut, moved and partly replaced; it stays the region of the call that made it. What the program did not
 * map itself (libc's own mappings) is not known, and unmapping it changes nothing. Ranges are whole pages.
 *
 * Want of memory latches in `failed`: the space is then safe to release, and of no other use. */
#ifndef MST_ADDRESS_SPACE_H
#define MST_ADDRESS_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mstrace.h"

struct mst_extent {
	uint64_t start, end;
	uint64_t event; /* number + 1 of the event that put it here, 0: from the start */
	uint32_t region;
};

/* Zero-initialise; `gone` and `ctx` may be set. */
struct mst_address_space {
	struct mst_mapped *all; /* entry 0 is unused; slots of regions that are gone are used again */
	uint32_t n, free; /* free: first of a list threaded through .file, 0 = none */
	size_t cap;
	struct mst_extent *pieces;
	size_t n_pieces, cap_pieces;
	uint64_t live_bytes; /* of all but the initial ones, to which the inherited belong */
	uint64_t initial_bytes;
	uint64_t n_mapped, mapped_bytes; /* all regions that mst_address_space_map and _move made, but for initial ones */
	bool failed;
	/* A region has lost its last piece, or is being given up. May be NULL. */
	void (*gone)(void *ctx, const struct mst_mapped *region);
	void *ctx;
};

/* Times and event numbers are those of the call. */

/* [start, end) is now of a new region like *like, whatever was there. */
void mst_address_space_map(struct mst_address_space *s, uint64_t start, uint64_t end, const struct mst_mapped *like);
/* [start, end) is unmapped, as far as events before `begun` had mapped it. */
void mst_address_space_unmap(
	struct mst_address_space *s, uint64_t start, uint64_t end, uint64_t begun, uint64_t now_ns);
/* [from, from + from_size) is now at `to`, with to_size bytes; what was longer before is gone, what is longer now is of
 * the last region in it, or of one like *like if nothing was known there. is_kept: the old range stays as well. */
void mst_address_space_move(struct mst_address_space *s, uint64_t from, uint64_t from_size, uint64_t to,
	uint64_t to_size, uint64_t begun, bool is_kept, const struct mst_mapped *like);
/* A forked child's: a copy of the parent's, all of it inherited, as process `process`. *to is empty. */
void mst_address_space_copy(struct mst_address_space *to, const struct mst_address_space *from, uint32_t process);
/* Forgets what is inherited, without telling, and gives back its memory. */
void mst_address_space_disown(struct mst_address_space *s);

/* A region as it was, without pieces yet; its number. mst_address_space_adopted must follow when all are there. */
uint32_t mst_address_space_adopt(struct mst_address_space *s, const struct mst_mapped *region);
/* A piece of it, from any bytes whatever. */
void mst_address_space_adopt_piece(struct mst_address_space *s, const struct mst_extent *piece);
/* Puts the pieces in order; those that overlap others, and regions without any, are dropped. */
void mst_address_space_adopted(struct mst_address_space *s);

/* Tells of every region that has a piece, in no order, as it is. */
void mst_address_space_end(struct mst_address_space *s);
void mst_address_space_release(struct mst_address_space *s);
#endif

/* spaces.h - the inside of struct mst_spaces, for trim.c, which stores it. */
#ifndef MST_SPACES_H
#define MST_SPACES_H

#include "address_space.h"
#include "lifetimes.h"
#include "mstrace.h"

struct mst_space { /* of a process */
	struct mst_address_space at;
	uint64_t peak_bytes, peak_ns; /* of at.live_bytes */
	bool is_adopted; /* from a checkpoint, though its start has not been passed yet */
	bool is_ended;   /* with keeps_ended: `at` is what the process had mapped itself and left */
};

struct mst_spaces {
	const struct mst_reader *events; /* gives the calls, and the checkpoint */
	const struct mst_reader *names;  /* gives processes, threads and regions: mostly the same */
	struct mst_spaces_options opt;
	bool keeps_ended;
	uint64_t page;
	struct mst_space **spaces; /* by process id; NULL: not started, or ended */
	size_t cap;
	struct mst_lifetimes lifetimes;
	size_t next_region; /* of the reader's list: where the next process's begin */
	struct mst_mapped_totals totals;
	bool has_begun;
};
#endif

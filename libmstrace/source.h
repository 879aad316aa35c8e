/* source.h - the bytes of a file, pipe or growing file, seen through a window that moves forward.
 *
 * A reader asks for a view of bytes [offset, offset + want) and gets as many as there are. A regular file is read
 * with pread, so any offset may be asked for, and a file that shrinks under us ends early instead of raising SIGBUS
 * as a mapping would. Of a pipe only bytes from `keep` on are there.
 * Memory: one window, as large as the largest view asked for plus the read-ahead. */
#ifndef MST_SOURCE_H
#define MST_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mstrace.h"

struct mst_source {
	int fd;          /* borrowed */
	bool is_file;    /* regular: any offset, any time */
	bool follow;     /* at the end of a file wait for more; cleared by who knows that no more comes */
	uint64_t keep;   /* the reader may still ask for bytes from this offset on (of a pipe; it never goes back) */
	uint64_t start;  /* file offset of window[0] */
	uint8_t *window;
	size_t len, cap;
	bool at_end;     /* a pipe has ended */
};

/* Starts at offset 0 of fd. */
void mst_source_init(struct mst_source *s, int fd, bool follow);
void mst_source_release(struct mst_source *s);

/* Makes [offset, offset + want) visible, or as much of it as is there without waiting, but at least `least` bytes
 * of it. *bytes and *n (<= want; < least only at the end of the data) live until the next call.
 * 0, MST_ENOMEM, MST_EIO (problem filled), or MST_EARG for an offset before `keep` in a pipe. */
int mst_source_view(struct mst_source *s, uint64_t offset, size_t least, size_t want, const uint8_t **bytes, size_t *n,
	struct mst_problem *problem);

/* Length of a regular file now; 0 for anything else. */
uint64_t mst_source_size(const struct mst_source *s);
#endif

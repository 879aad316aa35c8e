/* cut_frame.h - damage, as opposed to the frame that a kill of the recorder cuts short in the middle of write(2). */
#ifndef CUT_FRAME_H
#define CUT_FRAME_H

#include <sys/stat.h>

#include "mstrace.h"

/* Damaged places of the trace in `path`, which r has read, without the one where a file without END ends inside a frame. */
static inline uint64_t damaged_places(const struct mst_reader *r, const char *path)
{
	struct mst_loss loss;
	struct stat file;
	size_t n;
	const struct mst_damage *place = mst_reader_damage(r, &n);

	mst_reader_loss(r, &loss);
	if (loss.is_truncated && n > 0 && n == loss.places && stat(path, &file) == 0 &&
		place[n - 1].offset + place[n - 1].length == (uint64_t)file.st_size)
		loss.places--;
	return loss.places;
}

#endif

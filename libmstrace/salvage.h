/* salvage.h - the copy of a file's intact frames, and what may be put behind them. */
#ifndef MST_SALVAGE_H
#define MST_SALVAGE_H

#include "output.h"
#include "reader.h"

/* mst_salvage with a chance to add frames: `add` (may be NULL) is called when the last frame has been copied and
 * before INDEX and END; *r then knows all dictionaries. Its negative result ends the copy. */
int mst_salvage_and_add(int in, int out,
	int (*add)(void *ctx, const struct mst_reader *r, struct mst_output *out), void *ctx,
	struct mst_verify_result *result, struct mst_problem *problem);
#endif

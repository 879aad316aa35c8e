/* share.h - segments as msrecord makes them: sealed memfds, filled in, mapped, and tied to its own life.
 *
 *	our mapping:  | private page: list node | control | slots | ... the segment, shared with the program |
 *
 * The kernel marks control.recorder_lock with FUTEX_OWNER_DIED when the thread that called ms_share_init
 * ends, however it ends: the word is on that thread's robust list. The list's nodes lie in a private page in
 * front of each segment, at one distance from the futex word as the kernel wants it, where no traced program
 * can reach them. The kernel walks at most 2048 nodes: who has one of the segments beyond that will find that nothing is
 * freed any more. */
#ifndef MS_SHARE_H
#define MS_SHARE_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"

struct ms_share {
	struct ms_segment segment;
	unsigned char *mapping; /* MS_PAGE + MS_SEGMENT_SIZE bytes; NULL = not mapped */
};

/* What goes into every control page. */
struct ms_share_config {
	uint64_t clock_base;
	enum ms_clock clock;
	enum ms_on_full on_full;
	uint32_t stack_depth;
	uint32_t free_stacks;
	uint32_t backlog; /* chunks */
};

/* The calling thread holds the lock of all segments from now on. To be called once, by the main thread,
 * before any segment is made. 0 or a negative errno. */
int ms_share_init(void);

/* Makes a segment. *fd is its descriptor, to be passed on and closed by the caller. 0, or a negative errno:
 * then there is nothing to close. Any thread. */
int ms_share_open(const struct ms_share_config *config, struct ms_share *share, int *fd);

/* Unmaps; the program's own mapping stays with it. Any thread; all zeros is fine. */
void ms_share_close(struct ms_share *share);

/* Ends this recording for the program: it goes silent, and whoever waits for room goes on. */
void ms_share_detach(const struct ms_share *share);

/* Tells the program whether its acquisitions are wanted (wire.h, "Pauses"); one that shares nothing is left alone. On return every thread of it knows, or will
 * when it looks. */
void ms_share_pause(const struct ms_share *share, bool is_paused);
/* Does the program think that they are not? */
bool ms_share_is_paused(const struct ms_share *share);

/* After chunks or slots were given back: wakes those who wait for them. */
void ms_share_freed(const struct ms_share *share);

#endif

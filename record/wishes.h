/* wishes.h - what options, signals and other msrecords want of a recording while it runs: pause, resume, mark, tell how it
 * stands, end.
 *
 * A wish is done at once, and leaves a remark, which the session puts to its place in the order. */
#ifndef MS_WISHES_H
#define MS_WISHES_H

#include "session.h"

/* A mark, pause or resume from outside, on its way to its place in the order. */
struct ms_remark {
	struct ms_remark *next;
	enum mst_annotation_kind kind;
	struct ms_process *process; /* NULL: all */
	uint64_t stamp;
	size_t name_len;
	char name[];
};

/* Behind those there are. 0 or MST_ENOMEM. */
int ms_wishes_add_remark(struct ms_session *s, enum mst_annotation_kind kind, struct ms_process *proc,
	const char *name, size_t name_len, uint64_t stamp);

/* What options, signals and other msrecords want now. 0 or MST_ENOMEM. */
int ms_wishes_see_to(struct ms_session *s);
/* How many nanoseconds it is until that has something to do by the clock. */
uint64_t ms_wishes_until_next(struct ms_session *s);

/* A process that keeps silent without having said that it would: it has written over its control page, or two of its
 * threads, or it and we, spoke at the same time. The trace must not say that it is recorded. `now` is CLOCK_MONOTONIC.
 * 0 or MST_ENOMEM. */
int ms_wishes_see_to_mute(struct ms_session *s, struct ms_process *proc, uint64_t now);

#endif

/* annotate.c - what mstrace/annotate.h declares: the program's own words about its recording.
 *
 * A pause is told first and then made known to the other threads, a resume likewise: msrecord decides by the stamp of
 * the unit (wire.h, "Pauses"), so what other threads do in between is on the right side of it. */
#include "emit.h"
#include "hook.h"

#include <string.h>

HOOK void ms_start(void);
HOOK void ms_stop(void);
HOOK void ms_mark(const char *name);

static void tell_pause(enum ms_unit_kind kind, const void *frame)
{
	struct ms_call call;
	if (!ms_enter_for(&call, frame, MS_NEED_NOTHING))
		return;
	if (ms_emit_annotation(&call, kind, NULL, 0))
		ms_pause_set(kind == MS_U_PAUSE);
	ms_leave(&call);
}

HOOK void ms_start(void)
{
	tell_pause(MS_U_RESUME, __builtin_frame_address(0));
}

HOOK void ms_stop(void)
{
	tell_pause(MS_U_PAUSE, __builtin_frame_address(0));
}

HOOK void ms_mark(const char *name)
{
	struct ms_call call;
	uint64_t words[1 + (MS_MARK_MAX + 7) / 8] = {0};
	words[0] = name ? strnlen(name, MS_MARK_MAX) : 0;
	if (words[0])
		memcpy(words + 1, name, words[0]);
	if (!ms_enter_for(&call, __builtin_frame_address(0), MS_NEED_NOTHING))
		return;
	ms_emit_annotation(&call, MS_U_MARK, words, 1 + (words[0] + 7) / 8);
	ms_leave(&call);
}

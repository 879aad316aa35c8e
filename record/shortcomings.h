/* shortcomings.h - what a recording lacks, and why: said when it is over, where there is something to say.
 *
 * A trace that is empty, or without a program, a pool, some events, looks like one of a program that did little. So what went
 * unrecorded is named, as far as anybody knows of it; and what nobody can know is guessed from what the program became. */
#ifndef MS_SHORTCOMINGS_H
#define MS_SHORTCOMINGS_H

#include "session.h"

/* After ms_session_run. library: the path of the capture library. is_selective: only some programs were to be recorded. */
void ms_shortcomings_say(
	const struct ms_session *s, const struct mst_totals *totals, const char *library, bool is_selective);

#endif

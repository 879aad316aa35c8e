/* population.h - who is being recorded: processes that come, and that end.
 *
 * They come by way of the server. That they have ended their pidfds say, or /proc, if all there is to see of an exec is that
 * another program runs. How one has ended its parent learns, and we do as far as the kernel tells. */
#ifndef MS_POPULATION_H
#define MS_POPULATION_H

#include "session.h"

/* Takes in who has come. 0, or MST_ENOMEM: whoever cannot be taken in has been sent on unrecorded. */
int ms_population_take_arrivals(struct ms_session *s);
/* Notes who has ended, and when the command itself has. */
void ms_population_take_deaths(struct ms_session *s);
/* Looks from time to time whether the process still runs the program that it came with. `now` is CLOCK_MONOTONIC. */
void ms_population_check(struct ms_session *s, struct ms_process *proc, uint64_t now);

#endif

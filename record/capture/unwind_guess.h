/* unwind_guess.h - the way out of code without unwind information: generated, or hand-written. */
#ifndef MS_UNWIND_GUESS_H
#define MS_UNWIND_GUESS_H

#include "unwind_walk.h"

/* F, a frame in such code, becomes its caller. STEP_CUT: that is not certain enough; F is as it was. */
enum step ms_guess_step(struct walk *w, struct ms_unwind_frame *f);

/* The same where the table has MS_CFI_FRAME or MS_CFI_POP: sure, unless the code has been replaced, so the caller has to look
 * like one. */
enum step ms_guess_step_again(struct walk *w, struct ms_unwind_frame *f, ms_cfi_rule rule);

#endif

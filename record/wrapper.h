/* wrapper.h - the shared object whose functions --wrap puts before the program's own (wire.h "The wrapper library"). */
#ifndef MS_WRAPPER_H
#define MS_WRAPPER_H

#include <stdbool.h>

#include "wraps.h"

struct ms_wrapper {
	char path[4096]; /* "" = there is none */
};

/* Writes it into the directory. 0, or a negative errno; -EINVAL: LD_PRELOAD could not name it there. */
int ms_wrapper_make(struct ms_wrapper *wrapper, const struct ms_wraps *wraps, const char *directory);
/* Removes it; but while programs run that may start others with it, it has to stay: the loader would complain. */
void ms_wrapper_release(struct ms_wrapper *wrapper, bool is_in_use);

#endif

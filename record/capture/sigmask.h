/* sigmask.h - a stretch of code that no signal handler interrupts: coming to life, where locks of the loader
 * are held and state is half made. Never on the path of an ordinary event. */
#ifndef MS_SIGMASK_H
#define MS_SIGMASK_H

#include "rawcall.h"

#include <signal.h>
#include <stdint.h>

/* All but SIGSYS, by which a sandbox emulates system calls: blocked, it would kill. */
static inline uint64_t ms_signals_block(void)
{
	uint64_t all = ~(UINT64_C(1) << (SIGSYS - 1)), old = 0;
	ms_rawcall(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&old, sizeof(all), 0, 0);
	return old;
}

static inline void ms_signals_restore(uint64_t old)
{
	ms_rawcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, sizeof(old), 0, 0);
}

#endif

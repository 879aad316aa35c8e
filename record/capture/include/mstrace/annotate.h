/* mstrace/annotate.h - what a program may say about its recording, from C or C++.
 *
 *	#include <mstrace/annotate.h>
 *
 *	ms_mark("parsed");         a name for this place among the events
 *	ms_stop(); ... ms_start(); what is allocated between the two is not recorded
 *
 * There is no library to link. The functions are in the capture library, which msrecord puts into the programs it
 * runs; the declarations are weak, so that elsewhere, also in a static program, a call is a comparison with NULL and
 * does nothing. They are macros of the same names: to take an address is to get one that may be NULL.
 *
 * All three may be called in any thread, in signal handlers, and at any time; they keep errno. ms_start and ms_stop
 * concern the calling process and what it forks later; a program started by exec begins as msrecord was told last
 * (--paused, --delay, --control). A program that is to be recorded between two places only is run with --paused.
 * While recording is stopped, releases of blocks that were acquired before are still known. */
#ifndef MSTRACE_ANNOTATE_H
#define MSTRACE_ANNOTATE_H

#ifdef __cplusplus
extern "C" {
#endif

#define MSTRACE_WEAK __attribute__((weak, visibility("default")))

/* Records from here on, until ms_stop. */
MSTRACE_WEAK void ms_start(void);
/* Does not record from here on, until ms_start. */
MSTRACE_WEAK void ms_stop(void);
/* Gives this place a name, of which the first 255 bytes count; NULL is the empty one. Also while stopped. */
MSTRACE_WEAK void ms_mark(const char *name);

#undef MSTRACE_WEAK

/* Position-dependent code would ask the linker, which knows of no ms_start; the global offset table asks when the program
 * is loaded. */
#if defined __x86_64__ && !defined __PIC__
#define MSTRACE_FIND(function) \
	__extension__({ \
		__typeof__(&function) mstrace_found_; \
		__asm__(".weak " #function "\n\tmovq " #function "@GOTPCREL(%%rip), %0" : "=r"(mstrace_found_)); \
		mstrace_found_; \
	})
#else
#define MSTRACE_FIND(function) (&function)
#endif

#define ms_start() (MSTRACE_FIND(ms_start) ? MSTRACE_FIND(ms_start)() : (void)0)
#define ms_stop() (MSTRACE_FIND(ms_stop) ? MSTRACE_FIND(ms_stop)() : (void)0)
#define ms_mark(name) (MSTRACE_FIND(ms_mark) ? MSTRACE_FIND(ms_mark)(name) : (void)0)

#ifdef __cplusplus
}
#endif

#endif

/* program.h - a look at a program that is about to be started: can this library follow into it?
 *
 * msrecord looks at the command itself with more leisure (record/target.c); this is for what the command starts.
 * It runs where exec runs: after fork, after vfork in borrowed memory, in signal handlers. So: raw system calls,
 * some kilobytes of stack, nothing kept. */
#ifndef MS_PROGRAM_H
#define MS_PROGRAM_H

#include "wire.h"

/* Why the library can not record the program at path (relative to dirfd as openat has it), a script's
 * interpreter in its place; MS_OBSTACLE_NONE also if that can not be found out. */
enum ms_obstacle ms_program_obstacle(int dirfd, const char *path);

#endif

/* epilogue.h - how a function without unwind information will return. */
#ifndef MS_EPILOGUE_H
#define MS_EPILOGUE_H

#include <stdbool.h>
#include <stdint.h>

/* Can code be looked at that may vanish at any time? Not if the kernel may not be asked, or refuses to say. */
bool ms_code_is_readable(void);

/* Bytes of this process that need not be mapped. False: not all of them can be read. */
bool ms_code_read(uintptr_t at, unsigned char *to, uintptr_t n);

/*
 * The code at IP (the start of an instruction) goes on to restore the stack pointer from rbp, so rbp is the frame pointer of
 * its function. False: that is not so on the way it looked along, or it cannot be told. Looks at code that may vanish at any
 * time, through the kernel: some microseconds. Any thread, any signal handler; 700 bytes of stack.
 */
bool ms_epilogue_restores_sp(uintptr_t ip);

#endif

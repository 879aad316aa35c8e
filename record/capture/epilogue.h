/* epilogue.h - how a function without unwind information will return. */
#ifndef MS_EPILOGUE_H
#define MS_EPILOGUE_H

#include "cfi.h"

#include <stdbool.h>
#include <stdint.h>

/* Can code be looked at that may vanish at any time? Not if the kernel may not be asked, or refuses to say. */
bool ms_code_is_readable(void);

/* Bytes of this process that need not be mapped. False: not all of them can be read. */
bool ms_code_read(uintptr_t at, unsigned char *to, uintptr_t n);

/*
 * The rule that the code from IP on (the start of an instruction) will return by: MS_CFI_BP where it goes on to restore rsp
 * from rbp, which is its frame pointer then; MS_CFI_SP where it adds to rsp what it took, and returns; MS_CFI_UNKNOWN where
 * neither is seen. Looks at code that may vanish at any time, through the kernel: some microseconds. Any thread, any signal
 * handler; 700 bytes of stack.
 */
ms_cfi_rule ms_epilogue_rule(uintptr_t ip);

#endif

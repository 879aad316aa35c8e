/* protection.h - the protection and the flags of a mapping, in words. */
#ifndef MS_CLI_PROTECTION_H
#define MS_CLI_PROTECTION_H

#include "out.h"

/* "rw-", as /proc/PID/maps has it; other bits follow as a number: "rw-+0x1000000". */
void ms_protection_print(struct ms_out *o, uint32_t prot);

/* The flags of mmap: "private|anonymous"; what has no name here as a number. */
void ms_map_flags_print(struct ms_out *o, uint32_t flags);

#endif

/* Bytes, durations and counts, from text and to text.
 *
 * Parsing is exact integer arithmetic (no double ever rounds a size), refuses overflow and rests, and never
 * looks at the locale. Printing has two forms: rounded for eyes ("1.21 MiB") and exact, which the parser
 * reads back to the same number. */
#ifndef MS_CLI_UNITS_H
#define MS_CLI_UNITS_H

#include "out.h"

/* What an option of the kind accepts, for messages: "a size such as 4096, 64K, 1.5M or 2GiB". */
extern const char ms_size_syntax[];
extern const char ms_duration_syntax[];
extern const char ms_count_syntax[];

/* "4096", "64K", "1.5M", "2GiB", "3 MB". K M G T P E and KiB…: powers of 1024; kB, KB, MB…: of 1000; B or
 * nothing: bytes. A fraction must come out at whole bytes or is rounded down. 0, or -1: *bytes is as before. */
int ms_parse_size(const char *text, uint64_t *bytes);

/* "1.5s", "250ms", "10us", "7ns", "2min", "1h"; a plain number is seconds. 0, or -1 leaving *ns alone. */
int ms_parse_duration(const char *text, uint64_t *ns);

/* Decimal, or hexadecimal with 0x. 0, or -1 leaving *n alone. */
int ms_parse_count(const char *text, uint64_t *n);

/* "0 B", "999 B", "1.21 MiB": three significant digits. */
void ms_print_size(struct ms_out *o, uint64_t bytes);

/* "0 s", "15 ns", "1.21 ms", "59.9 s", "2min 05s", "1h 02min". */
void ms_print_duration(struct ms_out *o, uint64_t ns);

/* Seconds with as many decimals as needed and the unit: "1.5s". ms_parse_duration() reads it back exactly. */
void ms_print_duration_exact(struct ms_out *o, uint64_t ns);

/* With thousands separated: "12,345,678". */
void ms_print_count(struct ms_out *o, uint64_t n);

#endif

/* Files for a process that may not open any: the sandboxed parser of ELF files asks its parent over a socket.
 *
 * Which files a parser needs shows only while it parses (libdw opens .dwo and supplementary files where the file says
 * they are), so they cannot all be opened before the sandbox is closed. The parent opens for it, and only what a parser
 * of ELF files can have any business with: regular files that begin like an ELF file, for reading.
 *
 * One question is one SOCK_SEQPACKET message, the path; the answer is a 4-byte errno (0 = fine) and, then, the
 * descriptor.
 */
#ifndef MS_FILE_BROKER_H
#define MS_FILE_BROKER_H

#include <stdint.h>

/* Parser's side. Asks for path on socket. Returns a descriptor or a negative errno; ends the process when the parent is
 * gone. Async-signal-safe. */
int ms_broker_ask(int socket, const char *path);

/* Parent's side. Answers one question waiting on socket. *opened is increased by the size of the file given away.
 * Returns 1, 0 when the other side has closed, or a negative errno. */
int ms_broker_answer(int socket, uint64_t max_bytes, uint64_t *opened);

#endif

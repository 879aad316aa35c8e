/* The limits under which hostile files are parsed: memory, processor time, and system calls.
 *
 * After ms_sandbox_enter the process can compute, allocate, read what it has open, write to what it has open for
 * writing, and ask the broker for files (file_broker.h) — open() goes there by itself, so libraries need not know. It
 * cannot create, change or delete a file, reach the network, signal, trace or start anything, or make memory
 * executable. The filter is plain BPF: one dependency less, and the list is short.
 */
#ifndef MS_SANDBOX_H
#define MS_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

struct ms_sandbox_limits {
	uint64_t memory_bytes; /* address space on top of what the process has at entry */
	unsigned cpu_seconds;
};

/* For a freshly forked child. Closes every descriptor but the n in keep (standard input, output and error become
 * /dev/null), forgets the parent's signal handlers, sets the limits, and closes the sandbox; broker (in keep) is its
 * socket for files. 0 or a negative errno. Where the kernel has no seccomp the other limits hold alone. */
int ms_sandbox_enter(const struct ms_sandbox_limits *limits, int broker, const int *keep, size_t n);

/* Its first step alone: closes every descriptor but the n in keep, and makes the standard ones /dev/null. */
int ms_sandbox_close_descriptors(const int *keep, size_t n);

#endif

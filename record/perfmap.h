/* perfmap.h - the names a program gives to the code it generates: its perf map, /tmp/perf-PID.map.
 *
 * A runtime that was asked to (node --perf-basic-prof, python -X perf) appends a line "START SIZE name", in
 * hexadecimal, for each piece of code it makes. Addresses are used again, so the last line that covers an address
 * counts. The file is hostile input: anybody may write anything there, of any size, also while it is read. */
#ifndef MS_PERFMAP_H
#define MS_PERFMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MS_PERFMAP_MAX (64u << 20)     /* bytes; of a longer file the end */
#define MS_PERFMAP_NAME_MAX 4096u      /* longer names are cut */

struct ms_perfmap {
	char *text; /* malloc'ed */
	size_t len;
};

struct ms_perfmap_query {
	uint64_t addr;
	const char *name; /* out: in the map's text, not terminated; NULL = no line covers it */
	uint32_t len;
};

/* Reads the map of the process that sees itself as pid. tmp_dir is a descriptor of its /tmp, AT_FDCWD if it is ours. A
 * file that is not regular, is not owned by `owner` or root, or was last written before
 * not_before_ns (CLOCK_REALTIME; a process before it had the same id) is none. 0 or a negative errno. */
int ms_perfmap_read(int tmp_dir, uint32_t pid, uid_t owner, uint64_t not_before_ns, struct ms_perfmap *out);
void ms_perfmap_release(struct ms_perfmap *m);

/* Answers n queries, which must be sorted by addr; names live as long as the map. 0, or -1 without memory. Takes time
 * proportional to the map's lines and the queries, whatever the lines say. */
int ms_perfmap_find(const struct ms_perfmap *m, struct ms_perfmap_query *queries, size_t n);

#endif

/* modmap.h - which module covers which addresses of a process, at the present place of the order.
 *
 * A forked child starts with its parent's map; most children never change it, so maps are shared by count and
 * copied by the first change. */
#ifndef MS_MODMAP_H
#define MS_MODMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ms_modmap_entry {
	uint64_t start, end, bias;
	uint32_t module;  /* id in the trace */
	uint32_t process; /* id of the one whose mapping the trace knows it as; forked children inherit it */
	bool is_ours;	  /* the capture library: its frames belong to no stack */
};

struct ms_modmap {
	uint32_t refs;
	size_t n, cap;
	struct ms_modmap_entry *entries; /* by start, not overlapping */
};

/* An empty map with one reference, or NULL. */
struct ms_modmap *ms_modmap_new(void);
struct ms_modmap *ms_modmap_share(struct ms_modmap *m); /* one more reference to the same map */
void ms_modmap_free(struct ms_modmap *m);		/* drops a reference; NULL is fine */

/* Puts e into *m, taking away whatever overlaps it (*covered then says so). *m is replaced by a copy if it is
 * shared. 0, or -1 without memory: then nothing has changed. */
int ms_modmap_put(struct ms_modmap **m, const struct ms_modmap_entry *e, bool *covered);
/* Takes away the entry that starts at start and copies it to *gone. 1, 0 if there is none, or -1 without
 * memory. */
int ms_modmap_take(struct ms_modmap **m, uint64_t start, struct ms_modmap_entry *gone);

/* The entry that covers addr, or NULL. Valid until the next change. */
const struct ms_modmap_entry *ms_modmap_get(const struct ms_modmap *m, uint64_t addr);

#endif

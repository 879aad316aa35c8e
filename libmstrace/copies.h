/* copies.h - blocks that their owner has released while a forked child still has a copy of them.
 *
 * Who tells what an inherited block was when the child releases it must know it for longer than its owner does: until
 * the last process ends that was forked between acquisition and release. How many there are is bounded by the blocks
 * that lived at the forks of running processes. */
#ifndef MST_COPIES_H
#define MST_COPIES_H

#include "liveset.h"

struct mst_heir { /* a running process that comes from a fork */
	uint64_t start; /* number of the first event after the fork: what was released before is not inherited */
	uint64_t base;	/* ordinals below it are */
	uint32_t process;
};

/* Zero-initialise. */
struct mst_copies {
	struct mst_heir *heirs; /* in the order of their starts, and so of their bases */
	size_t n_heirs, cap_heirs;
	uint64_t below;		   /* ordinals from here on are nobody's heirloom: the greatest base; 0 without heirs */
	struct mst_liveset blocks; /* time_ns: the number of the event that released it */
	uint32_t sweep_at;	   /* when there are so many, those without heirs go */
	bool is_set_up;
};

void mst_copies_release(struct mst_copies *c);

/* A process has come from a fork, before event `start`. One that is told late (its base is then not less than those of
 * others) counts as if it came behind those told before. MST_ENOMEM is the only failure. */
int mst_copies_fork(struct mst_copies *c, uint32_t process, uint64_t start, uint64_t base);
/* A process has ended, forked or not. */
void mst_copies_end(struct mst_copies *c, uint32_t process);

/* Its owner releases b by event number `event`; only of use where b->alloc < c->below. */
int mst_copies_keep(struct mst_copies *c, const struct mst_live *b, uint64_t event);
/* What the block was; NULL if it is not known. Valid until the next call. */
const struct mst_live *mst_copies_find(const struct mst_copies *c, uint64_t alloc);

#endif

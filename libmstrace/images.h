/* images.h - what lives in each process image, for the writer.
 *
 * An image is an address map (and one for each pool) plus the ordinal from which on its blocks are its own: what it inherited at a fork has
 * a smaller one. A fork point is an image waiting for its process to show up. */
#ifndef MST_IMAGES_H
#define MST_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addrmap.h"

/* What a pool has given to a process and not taken back. */
struct mst_image_pool {
	uint32_t pool; /* string id */
	struct mst_addrmap *map;
};

struct mst_image {
	struct mst_addrmap *map; /* NULL: nothing lives here (yet, or any more) */
	uint64_t first_own;      /* blocks with a smaller ordinal were inherited */
	uint64_t live_bytes;     /* of its own blocks */
	bool has_ended;
	struct mst_image_pool *pools; /* one for each pool seen, few */
	uint32_t n_pools;
};

struct mst_fork_point {
	struct mst_image image;
	uint64_t token, event; /* event: number of the first event after the fork */
};

struct mst_images {
	struct mst_image *images; /* by process id; grows by doubling */
	size_t n, cap;
	struct mst_fork_point *points; /* few, unordered */
	size_t n_points, cap_points;
	uint64_t last_token;
};

void mst_images_release(struct mst_images *x);

/* An empty image for the next process id. first_own: the next ordinal. 0 or MST_ENOMEM. */
int mst_images_add(struct mst_images *x, uint32_t process, uint64_t first_own);
/* Notes what lives in `parent` now. 0, MST_EARG or MST_ENOMEM. */
int mst_images_fork(struct mst_images *x, uint32_t parent, uint64_t first_own, uint64_t event, uint64_t *token);
/* Gives the image of a fork point to `process`, whose image has just been added, and *event. False: no such point. */
bool mst_images_adopt(struct mst_images *x, uint64_t token, uint32_t process, uint64_t *event);
void mst_images_drop(struct mst_images *x, uint64_t token);
/* The process has ended: nothing lives in it any more. */
void mst_images_end(struct mst_images *x, uint32_t process);

/* What lives in a pool of the image; if `add`, made where nothing does yet. NULL: nothing, or no memory to add it. */
struct mst_addrmap *mst_image_pool(struct mst_image *image, uint32_t pool, bool add);

/* NULL for an unknown process. */
static inline struct mst_image *mst_images_get(const struct mst_images *x, uint32_t process)
{
	return process < x->n ? &x->images[process] : NULL;
}
#endif

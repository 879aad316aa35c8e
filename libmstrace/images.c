#include "images.h"

#include <stdlib.h>
#include <string.h>

#include "mstrace.h"

/* Nothing lives in it any more. */
static void empty_image(struct mst_image *image)
{
	mst_addrmap_free(image->map);
	for (uint32_t i = 0; i < image->n_pools; i++)
		mst_addrmap_free(image->pools[i].map);
	free(image->pools);
	image->map = NULL;
	image->pools = NULL;
	image->n_pools = 0;
}

/* What lives in `from` lives in *to, which is empty, as well. */
static int clone_image(const struct mst_image *from, struct mst_image *to)
{
	if (from->map && !(to->map = mst_addrmap_clone(from->map)))
		return MST_ENOMEM;
	if (from->n_pools && !(to->pools = calloc(from->n_pools, sizeof(*to->pools))))
		return MST_ENOMEM;
	for (; to->n_pools < from->n_pools; to->n_pools++) {
		struct mst_image_pool *pool = &to->pools[to->n_pools];

		pool->pool = from->pools[to->n_pools].pool;
		pool->map = mst_addrmap_clone(from->pools[to->n_pools].map);
		if (!pool->map)
			return MST_ENOMEM;
	}
	return 0;
}

struct mst_addrmap *mst_image_pool(struct mst_image *image, uint32_t pool, bool add)
{
	for (uint32_t i = 0; i < image->n_pools; i++)
		if (image->pools[i].pool == pool)
			return image->pools[i].map;
	if (!add)
		return NULL;
	struct mst_image_pool *grown = realloc(image->pools, (image->n_pools + 1) * sizeof(*grown));

	if (!grown)
		return NULL;
	image->pools = grown;
	grown[image->n_pools].pool = pool;
	grown[image->n_pools].map = mst_addrmap_new();
	return grown[image->n_pools].map ? grown[image->n_pools++].map : NULL;
}

void mst_images_release(struct mst_images *x)
{
	for (size_t i = 0; i < x->n; i++)
		empty_image(&x->images[i]);
	for (size_t i = 0; i < x->n_points; i++)
		empty_image(&x->points[i].image);
	free(x->images);
	free(x->points);
	*x = (struct mst_images){0};
}

int mst_images_add(struct mst_images *x, uint32_t process, uint64_t first_own)
{
	if (process >= x->cap) {
		size_t cap = process < 8 ? 16 : 2 * (size_t)process;
		struct mst_image *grown = realloc(x->images, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		x->images = grown;
		x->cap = cap;
	}
	memset(x->images + x->n, 0, (process + 1 - x->n) * sizeof(*x->images));
	x->n = process + 1;
	x->images[process].first_own = first_own;
	return 0;
}

int mst_images_fork(struct mst_images *x, uint32_t parent, uint64_t first_own, uint64_t event, uint64_t *token)
{
	const struct mst_image *from = mst_images_get(x, parent);
	struct mst_fork_point p = {.image = {.first_own = first_own}, .event = event};

	if (!from || parent == 0)
		return MST_EARG;
	if (x->n_points == x->cap_points) {
		size_t cap = x->cap_points ? 2 * x->cap_points : 4;
		struct mst_fork_point *grown = realloc(x->points, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		x->points = grown;
		x->cap_points = cap;
	}
	if (clone_image(from, &p.image) < 0) {
		empty_image(&p.image);
		return MST_ENOMEM;
	}
	*token = p.token = ++x->last_token;
	x->points[x->n_points++] = p;
	return 0;
}

static struct mst_fork_point *find_point(const struct mst_images *x, uint64_t token)
{
	for (size_t i = 0; i < x->n_points; i++)
		if (x->points[i].token == token)
			return &x->points[i];
	return NULL;
}

bool mst_images_adopt(struct mst_images *x, uint64_t token, uint32_t process, uint64_t *event)
{
	struct mst_fork_point *p = find_point(x, token);

	if (!p)
		return false;
	x->images[process] = p->image;
	*event = p->event;
	*p = x->points[--x->n_points];
	return true;
}

void mst_images_drop(struct mst_images *x, uint64_t token)
{
	struct mst_fork_point *p = find_point(x, token);

	if (!p)
		return;
	empty_image(&p->image);
	*p = x->points[--x->n_points];
}

void mst_images_end(struct mst_images *x, uint32_t process)
{
	struct mst_image *image = mst_images_get(x, process);

	if (!image)
		return;
	empty_image(image);
	image->has_ended = true;
}

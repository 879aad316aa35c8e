/* See writer_resolve.h. */
#include "writer_resolve.h"

/* ---- runs ------------------------------------------------------------------------------------------------- */

int mst_run_begin(struct mst_writer *w, uint32_t thread, struct mst_run *r)
{
	struct mst_image *image = mst_images_get(&w->images, w->threads[thread].process);

	if (!image->map && !image->has_ended && !(image->map = mst_addrmap_new()))
		return MST_ENOMEM;
	*r = (struct mst_run){
		.image = image,
		.map = image->map,
		.ordinal = w->resolve_ordinal,
		.first_own = image->first_own,
		.now_bytes = w->now_bytes,
		.peak_bytes = w->totals.peak_bytes,
	};
	return 0;
}

void mst_run_end(struct mst_writer *w, const struct mst_run *r)
{
	struct mst_evt *evt = &w->fill->evt;

	w->totals.live_blocks += r->ordinal - w->resolve_ordinal - r->n_ended;
	w->totals.live_bytes += r->acquired_bytes - r->ended_bytes;
	w->totals.allocated_bytes += r->acquired_bytes;
	w->totals.frees += r->n_released;
	w->totals.unknown_frees += w->has_paused ? 0 : r->n_unknown;
	w->totals.overlaps += r->n_overlaps;
	w->totals.peak_bytes = r->peak_bytes;
	r->image->live_bytes += r->now_bytes - w->now_bytes;
	w->now_bytes = r->now_bytes;
	w->resolve_ordinal = r->ordinal;
	evt->alloc_bytes += r->acquired_bytes;
	evt->freed_bytes += r->ended_bytes;
	evt->n_free += r->n_released;
	evt->n_unowned += r->n_unknown + r->n_inherited;
}

/* ---- events of the batch ---------------------------------------------------------------------------------- */

/* Event i of the batch releases a block and says how large it takes it to be. */
static int resolve_release(struct mst_writer *w, struct mst_run *r, uint32_t i)
{
	struct mst_batch_arrays *a = w->fill->arrays;
	uint64_t said = a->size[i];
	bool is_sized = w->traits[a->op[i]] & MST_TRAIT_SIZED;
	struct mst_live block;
	int rc = mst_run_release(r, a->freed_addr[i], &block);

	if (is_sized)
		a->size[i] = 0;
	if (rc <= 0)
		return rc;
	a->freed[i] = block.ordinal;
	return is_sized && said != block.size ? mst_batch_add_extra(w->fill, i, MST_EXTRA_SAID_SIZE, said) : 0;
}

static int resolve(struct mst_writer *w, struct mst_run *r, uint32_t i)
{
	struct mst_batch_arrays *a = w->fill->arrays;
	struct mst_writer_thread *t = &w->threads[a->thread[i]];
	unsigned trait = w->traits[a->op[i]], op = a->op[i] & MST_OP_MAX;
	int rc = 0;

	a->freed[i] = 0;
	if (trait & MST_TRAIT_FAILED)
		return 0;
	if (op == MST_OP_REALLOC_END) {
		a->freed[i] = t->begun;
		t->begun = 0;
	} else if (trait & MST_TRAIT_RELEASES && a->freed_addr[i] != 0) {
		rc = resolve_release(w, r, i);
	} else if (trait & MST_TRAIT_SIZED) {
		a->size[i] = 0; /* of no block: a release has no size in the file */
	}
	if (op == MST_OP_REALLOC_BEGIN && a->freed_addr[i] != 0)
		t->begun = a->freed[i];
	return rc == 0 && trait & MST_TRAIT_ACQUIRES ? mst_run_acquire(r, a->addr[i], a->size[i]) : rc;
}

/* Those of the thread of event i: returns the first that is none, or `end`. */
static uint32_t resolve_run(struct mst_writer *w, uint32_t i, uint32_t end, int *rc)
{
	const uint32_t *threads = w->fill->arrays->thread, thread = threads[i];
	struct mst_run run;

	*rc = mst_run_begin(w, thread, &run);
	if (*rc < 0)
		return i;
	for (; i < end && threads[i] == thread && *rc == 0; i++)
		*rc = resolve(w, &run, i);
	mst_run_end(w, &run);
	return i;
}

int mst_writer_resolve_upto(struct mst_writer *w, uint32_t end)
{
	int rc = 0;

	while (w->resolved < end && rc == 0)
		w->resolved = resolve_run(w, w->resolved, end, &rc);
	return mst_writer_check(w, rc, "");
}

int mst_writer_settle(struct mst_writer *w)
{
	return w->rc < 0 ? w->rc : mst_writer_resolve_upto(w, w->fill->ev.n);
}

/* ---- pools ------------------------------------------------------------------------------------------------ */

int mst_writer_resolve_pool_call(struct mst_writer *w, const struct mst_event *ev, struct mst_pool_call *call)
{
	struct mst_image *image = mst_images_get(&w->images, w->threads[ev->thread].process);
	bool is_realloc = ev->op == MST_OP_POOL_REALLOC, acquires = is_realloc || ev->op == MST_OP_POOL_ALLOC;
	uint64_t released = is_realloc ? call->old_addr : acquires ? 0 : call->addr;
	struct mst_addrmap *map = image ? mst_image_pool(image, call->pool, acquires && !image->has_ended) : NULL;
	struct mst_live block;
	int rc;

	if (image && !map && acquires && !image->has_ended)
		return MST_ENOMEM;
	if (map && released != 0) {
		rc = mst_addrmap_remove(map, released, &block);
		if (rc < 0)
			return rc;
		call->freed = rc > 0 ? block.ordinal : 0;
	}
	if (!acquires)
		return 0;
	call->alloc = w->next_pool_ordinal++;
	rc = map && call->addr ? mst_addrmap_insert(map, call->addr, call->alloc, call->size, &block) : 0;
	return rc < 0 ? rc : 0;
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

int mst_writer_knows(struct mst_writer *w, uint32_t process, uint64_t addr)
{
	const struct mst_image *image;

	if (mst_writer_settle(w) < 0)
		return w->rc;
	image = mst_images_get(&w->images, process);
	return image && image->map && mst_addrmap_has(image->map, addr);
}

int mst_writer_pool_knows(const struct mst_writer *w, uint32_t process, uint32_t pool, uint64_t addr)
{
	struct mst_image *image = mst_images_get(&w->images, process);
	const struct mst_addrmap *map = image ? mst_image_pool(image, pool, false) : NULL;

	return map && mst_addrmap_has(map, addr);
}

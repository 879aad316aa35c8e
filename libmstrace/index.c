#include "index.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "mstrace.h"

void mst_index_release(struct mst_index *x)
{
	free(x->entries);
	*x = (struct mst_index){0};
}

static int reserve(struct mst_index *x, size_t more)
{
	size_t cap = x->cap ? 2 * x->cap : 64;
	struct mst_index_entry *grown;

	if (x->cap - x->n >= more)
		return 0;
	if (cap < x->n + more)
		cap = x->n + more;
	grown = realloc(x->entries, cap * sizeof(*grown));
	if (!grown)
		return MST_ENOMEM;
	x->entries = grown;
	x->cap = cap;
	return 0;
}

int mst_index_add(struct mst_index *x, const struct mst_frame *f, const struct mst_evt *evt)
{
	struct mst_index_entry e = {
		.offset = f->offset,
		.size = mst_frame_size(f),
		.seq = f->seq,
		.n_items = f->n_items,
		.kind = f->kind,
	};

	if (evt) {
		e.first_event = evt->first_event;
		e.t_first_ns = evt->time_first << evt->time_shift;
		e.t_last_ns = evt->time_last << evt->time_shift;
		e.live_blocks = evt->live_blocks;
	}
	if (reserve(x, 1) < 0)
		return MST_ENOMEM;
	x->entries[x->n++] = e;
	return 0;
}

/* Each entry is a row; all but kind and n_items say the difference to what the entry before leads one to expect. */
uint32_t mst_index_encode(const struct mst_index *x, size_t first, struct mst_buffer *out)
{
	uint32_t n = (uint32_t)(x->n - first < MST_INDEX_ENTRIES_MAX ? x->n - first : MST_INDEX_ENTRIES_MAX);
	uint64_t end = 0, seq = 0, event = 0, time = 0;

	for (size_t i = first; i < first + n; i++) {
		const struct mst_index_entry *e = &x->entries[i];

		mst_buffer_put8(out, (uint8_t)e->kind);
		mst_buffer_put_varint(out, e->n_items);
		mst_buffer_put_varint(out, e->offset - end);
		mst_buffer_put_varint(out, e->size);
		mst_buffer_put_varint(out, e->seq - seq);
		end = e->offset + e->size;
		seq = e->seq + 1;
		if (e->kind != MST_KIND_EVT)
			continue;
		mst_buffer_put_varint(out, e->first_event - event);
		mst_buffer_put_varint(out, e->t_first_ns - time);
		mst_buffer_put_varint(out, e->t_last_ns - e->t_first_ns);
		event = e->first_event + e->n_items;
		time = e->t_last_ns;
	}
	return n;
}

/* base + varint, which must stay a valid number. */
static uint64_t get_after(struct mst_cursor *c, uint64_t base)
{
	return base + mst_get_varint_max(c, (uint64_t)MST_NUMBER_MAX - base);
}

static void get_entry(struct mst_cursor *c, struct mst_index_entry *e, const struct mst_index_entry *before,
	uint64_t *event, uint64_t *time)
{
	*e = (struct mst_index_entry){0};
	e->kind = mst_get8(c);
	e->n_items = (uint32_t)mst_get_varint_max(c, UINT32_MAX);
	e->offset = get_after(c, before ? before->offset + before->size : 0);
	e->size = mst_get_varint_max(c, MST_HEADER_MAX + MST_STORED_MAX);
	e->seq = get_after(c, before ? before->seq + 1 : 0);
	if (e->size < MST_HEADER_MIN || e->offset > (uint64_t)MST_NUMBER_MAX - e->size || e->seq == MST_NUMBER_MAX)
		mst_cursor_fail(c);
	if (c->failed || e->kind != MST_KIND_EVT)
		return;
	e->first_event = get_after(c, *event);
	e->t_first_ns = get_after(c, *time);
	e->t_last_ns = get_after(c, e->t_first_ns);
	if (e->first_event > (uint64_t)MST_NUMBER_MAX - e->n_items)
		mst_cursor_fail(c);
	*event = e->first_event + e->n_items;
	*time = e->t_last_ns;
}

int mst_index_decode(struct mst_index *x, uint32_t n_items, const uint8_t *raw, size_t len, uint64_t limit,
	const char **why)
{
	struct mst_cursor c = mst_cursor_over(raw, len);
	const struct mst_index_entry *last = x->n ? &x->entries[x->n - 1] : NULL;
	uint64_t floor = last ? last->offset + last->size : 0;
	uint64_t event = 0, time = 0;
	struct mst_index_entry *e;

	*why = "index entries out of range";
	if (n_items > MST_INDEX_ENTRIES_MAX || n_items > len / 5 || n_items > limit / MST_HEADER_MIN)
		return MST_EDAMAGED;
	if (n_items == 0)
		return len == 0 ? 0 : MST_EDAMAGED;
	if (reserve(x, n_items) < 0)
		return MST_ENOMEM;
	e = x->entries + x->n;
	for (uint32_t i = 0; i < n_items; i++)
		get_entry(&c, &e[i], i ? &e[i - 1] : NULL, &event, &time);
	if (!mst_cursor_finish(&c))
		return MST_EDAMAGED;
	if (e[0].offset < floor || e[n_items - 1].offset + e[n_items - 1].size > limit)
		return MST_EDAMAGED;
	x->n += n_items;
	return 0;
}

size_t mst_index_find_time(const struct mst_index *x, uint64_t t_ns)
{
	size_t i = 0;

	while (i < x->n && (x->entries[i].kind != MST_KIND_EVT || x->entries[i].t_last_ns < t_ns))
		i++;
	return i;
}

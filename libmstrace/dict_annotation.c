/* dict_annotation.c - API: rows of kind, length, and so many bytes: event, time, process, thread, name.
 *
 * Rows carry their length, so that a reader can step over kinds of later versions. They ascend by event over the whole
 * file: a reader that goes from front to back meets each before the events it stands before. */
#include "dict.h"

#include <stdlib.h>
#include <string.h>

int mst_dict_add_annotation(struct mst_dict *d, const struct mst_annotation *a)
{
	if (d->n_annotations == d->cap_annotations) {
		size_t cap = d->cap_annotations + d->cap_annotations / 2 + 1;
		struct mst_annotation *grown = realloc(d->annotations, cap * sizeof(*grown));

		if (!grown)
			return MST_ENOMEM;
		d->annotations = grown;
		d->cap_annotations = cap;
	}
	d->annotations[d->n_annotations++] = *a;
	return 0;
}

void mst_annotation_encode(const struct mst_annotation *a, struct mst_buffer *out)
{
	const uint64_t fields[] = {a->event, a->time_ns, a->process, a->thread, a->name};
	size_t len = 0;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		len += mst_varint_size(fields[i]);
	mst_buffer_put_varint(out, a->kind);
	mst_buffer_put_varint(out, len);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		mst_buffer_put_varint(out, fields[i]);
}

static bool is_known(uint64_t kind)
{
	return kind >= MST_ANNOTATION_MARK && kind <= MST_ANNOTATION_RESUME;
}

static uint64_t last_event(const struct mst_dict *d)
{
	return d->n_annotations ? d->annotations[d->n_annotations - 1].event : 0;
}

/* The row's bytes as the fields of *a. False: they are not such. */
static bool row_decode(const uint8_t *row, size_t len, struct mst_annotation *a)
{
	struct mst_cursor c = mst_cursor_over(row, len);

	a->event = mst_get_varint_max(&c, MST_NUMBER_MAX);
	a->time_ns = mst_get_varint_max(&c, MST_NUMBER_MAX);
	a->process = (uint32_t)mst_get_varint_max(&c, MST_PROCESSES_MAX);
	a->thread = (uint32_t)mst_get_varint_max(&c, MST_THREADS_MAX);
	a->name = (uint32_t)mst_get_varint_max(&c, MST_IDS_MAX);
	return !c.failed;
}

/* One row. 0, MST_EDAMAGED with *why, or MST_ENOMEM. */
static int take_row(struct mst_dict *d, struct mst_cursor *c, const char **why)
{
	uint64_t kind = mst_get_varint(c), len = mst_get_varint(c);
	const uint8_t *row = mst_get_bytes(c, len);
	struct mst_annotation a;

	if (row && !is_known(kind))
		return 0;
	memset(&a, 0, sizeof(a));
	a.kind = (uint32_t)kind;
	if (!row || !row_decode(row, len, &a)) {
		*why = "an annotation is out of range";
		return MST_EDAMAGED;
	}
	if (a.event < last_event(d)) {
		*why = "an annotation stands before the one it follows";
		return MST_EDAMAGED;
	}
	return mst_dict_add_annotation(d, &a);
}

/* All rows or none: those of a damaged frame would stand in no order with what follows. */
int mst_annotations_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	size_t n_before = d->n_annotations;
	int rc = 0;

	for (uint32_t i = 0; i < n_items && rc == 0; i++)
		rc = take_row(d, c, why);
	if (rc == 0 && mst_cursor_left(c) != 0) {
		*why = "annotations end before their frame";
		rc = MST_EDAMAGED;
	}
	if (rc < 0)
		d->n_annotations = n_before;
	return rc;
}

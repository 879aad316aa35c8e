/* dict_thread.c - THREAD: per entry a row that starts with its id. */
#include "dict.h"

#include <string.h>

void mst_thread_encode(const struct mst_dict *d, uint32_t id, struct mst_buffer *out)
{
	const struct mst_thread *t = mst_table_get(&d->threads, id);

	mst_buffer_put_varint(out, id);
	mst_buffer_put_varint(out, t->process);
	mst_buffer_put_varint(out, t->tid);
	mst_buffer_put_varint(out, t->name);
	mst_buffer_put_varint(out, t->start_ns);
	mst_buffer_put_varint(out, t->end_ns + 1); /* no end: 0 */
	mst_buffer_put_varint(out, t->lost_events);
}

int mst_threads_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	for (uint32_t i = 0; i < n_items && !c->failed; i++) {
		uint32_t id = (uint32_t)mst_get_varint_max(c, MST_THREADS_MAX);
		struct mst_thread t;
		int rc;

		memset(&t, 0, sizeof(t));
		t.process = (uint32_t)mst_get_varint_max(c, MST_PROCESSES_MAX);
		t.tid = (uint32_t)mst_get_varint_max(c, UINT32_MAX);
		t.name = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
		t.start_ns = mst_get_varint_max(c, MST_NUMBER_MAX);
		t.end_ns = mst_get_varint_max(c, MST_NUMBER_MAX) - 1;
		t.lost_events = mst_get_varint_max(c, MST_NUMBER_MAX);
		if (c->failed || id == 0 || t.process == 0) {
			*why = "a thread entry is out of range";
			return MST_EDAMAGED;
		}
		rc = mst_dict_replace(&d->threads, id, &t, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

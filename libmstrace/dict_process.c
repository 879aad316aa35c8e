/* dict_process.c - PROC: per entry a row that starts with its id. Few, and said again when something ends. */
#include "dict.h"

#include <string.h>

/* "No end" is UINT64_MAX in memory and 0 in the file, so that it is one byte. */
static void put_end(struct mst_buffer *out, uint64_t end)
{
	mst_buffer_put_varint(out, end + 1);
}

static uint64_t get_end(struct mst_cursor *c)
{
	return mst_get_varint_max(c, MST_NUMBER_MAX) - 1;
}

void mst_process_encode(const struct mst_dict *d, uint32_t id, struct mst_buffer *out)
{
	const struct mst_process *p = mst_table_get(&d->processes, id);

	mst_buffer_put_varint(out, id);
	mst_buffer_put_varint(out, p->pid);
	mst_buffer_put_varint(out, p->parent);
	mst_buffer_put_varint(out, p->exe);
	mst_buffer_put_varint(out, p->cmdline);
	mst_buffer_put8(out, p->origin);
	mst_buffer_put8(out, p->fate);
	mst_buffer_put_varint(out, mst_zigzag(p->status));
	mst_buffer_put_varint(out, p->start_ns);
	mst_buffer_put_varint(out, p->end_ns);
	mst_buffer_put_varint(out, p->start_event);
	put_end(out, p->end_event);
	mst_buffer_put_varint(out, p->lost_events);
	mst_buffer_put_varint(out, p->lost_bytes);
	mst_buffer_put_varint(out, p->stall_ns);
}

int mst_processes_decode(struct mst_dict *d, uint32_t n_items, struct mst_cursor *c, const char **why)
{
	for (uint32_t i = 0; i < n_items && !c->failed; i++) {
		uint32_t id = (uint32_t)mst_get_varint_max(c, MST_PROCESSES_MAX);
		struct mst_process p;
		int rc;

		memset(&p, 0, sizeof(p));
		p.pid = (uint32_t)mst_get_varint_max(c, UINT32_MAX);
		p.parent = (uint32_t)mst_get_varint_max(c, MST_PROCESSES_MAX);
		p.exe = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
		p.cmdline = (uint32_t)mst_get_varint_max(c, MST_IDS_MAX);
		p.origin = mst_get8(c);
		p.fate = mst_get8(c);
		p.status = (int32_t)mst_unzigzag(mst_get_varint_max(c, UINT32_MAX));
		p.start_ns = mst_get_varint_max(c, MST_NUMBER_MAX);
		p.end_ns = mst_get_varint_max(c, MST_NUMBER_MAX);
		p.start_event = mst_get_varint_max(c, MST_NUMBER_MAX);
		p.end_event = get_end(c);
		p.lost_events = mst_get_varint_max(c, MST_NUMBER_MAX);
		p.lost_bytes = mst_get_varint_max(c, MST_NUMBER_MAX);
		p.stall_ns = mst_get_varint_max(c, MST_NUMBER_MAX);
		if (c->failed || id == 0 || (p.parent >= id && p.parent != 0)) {
			*why = "a process entry is out of range";
			return MST_EDAMAGED;
		}
		rc = mst_dict_replace(&d->processes, id, &p, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* writer_process.c - processes and threads: their entries, and the images in which their blocks live.
 *
 * What concerns an image waits until the live map is up to the last event: a fork inherits what lives at its place
 * in the order. */
#include "writer.h"

#include <stdlib.h>
#include <string.h>

#include "writer_resolve.h"

/* ---- processes -------------------------------------------------------------------------------------------- */

/* A process with an empty image. */
static int add_process(struct mst_writer *w, const struct mst_process *p, uint64_t start_event, uint32_t *id)
{
	struct mst_process entry;
	int rc;

	memset(&entry, 0, sizeof(entry));
	entry.pid = p->pid;
	entry.parent = p->parent;
	entry.exe = p->exe;
	entry.cmdline = p->cmdline;
	entry.origin = p->origin;
	entry.start_ns = p->start_ns;
	entry.start_event = start_event;
	entry.end_event = UINT64_MAX;
	if (mst_writer_settle(w) < 0)
		return w->rc;
	rc = mst_ledger_process(&w->ledger, &entry, id);
	if (rc == 0)
		rc = mst_images_add(&w->images, *id, w->next_ordinal);
	return mst_writer_check(w, rc, "a process's parent is unknown");
}

int mst_writer_process(struct mst_writer *w, const struct mst_process *p, uint32_t *id)
{
	uint64_t token;
	int rc;

	if (p->origin != MST_ORIGIN_FORK)
		return add_process(w, p, w->totals.events, id);
	rc = mst_writer_fork_point(w, p->parent, &token);
	if (rc == 0)
		rc = mst_writer_process_forked(w, p, token, id);
	return rc;
}

int mst_writer_fork_point(struct mst_writer *w, uint32_t parent, uint64_t *token)
{
	if (mst_writer_settle(w) < 0)
		return w->rc;
	return mst_writer_check(w, mst_images_fork(&w->images, parent, w->next_ordinal, w->totals.events, token),
		"a forked process's parent is unknown");
}

int mst_writer_process_forked(struct mst_writer *w, const struct mst_process *p, uint64_t token, uint32_t *id)
{
	uint64_t event;
	int rc = add_process(w, p, w->totals.events, id);

	if (rc < 0)
		return rc;
	if (!mst_images_adopt(&w->images, token, *id, &event))
		return mst_writer_fail(w, MST_EARG, "the fork point is unknown");
	mst_ledger_change_process(&w->ledger, *id)->start_event = event;
	return 0;
}

void mst_writer_fork_drop(struct mst_writer *w, uint64_t token)
{
	mst_images_drop(&w->images, token);
}

int mst_writer_process_end(struct mst_writer *w, uint32_t id, const struct mst_process *p)
{
	struct mst_process *entry;

	if (mst_writer_settle(w) < 0)
		return w->rc;
	if (!mst_images_get(&w->images, id) || id == 0)
		return mst_writer_fail(w, MST_EARG, "the process that ends is unknown");
	entry = mst_ledger_change_process(&w->ledger, id);
	if (!entry)
		return mst_writer_fail(w, MST_ENOMEM, "");
	entry->fate = p->fate;
	entry->status = p->status;
	entry->end_ns = p->end_ns;
	entry->lost_events = p->lost_events;
	entry->lost_bytes = p->lost_bytes;
	entry->stall_ns = p->stall_ns;
	entry->end_event = w->totals.events;
	w->now_bytes -= mst_images_get(&w->images, id)->live_bytes;
	mst_images_get(&w->images, id)->live_bytes = 0;
	mst_images_end(&w->images, id);
	return 0;
}

/* ---- threads ---------------------------------------------------------------------------------------------- */

static int reserve_thread(struct mst_writer *w, uint32_t id)
{
	size_t cap = id < 32 ? 64 : 2 * (size_t)id;
	struct mst_writer_thread *grown;

	if (id < w->cap_threads)
		return 0;
	grown = realloc(w->threads, cap * sizeof(*grown));
	if (!grown)
		return MST_ENOMEM;
	memset(grown + w->cap_threads, 0, (cap - w->cap_threads) * sizeof(*grown));
	w->threads = grown;
	w->cap_threads = cap;
	return 0;
}

static struct mst_thread clean_thread(const struct mst_thread *t)
{
	struct mst_thread c;

	memset(&c, 0, sizeof(c));
	c.process = t->process;
	c.tid = t->tid;
	c.name = t->name;
	c.start_ns = t->start_ns;
	c.end_ns = t->end_ns;
	c.lost_events = t->lost_events;
	return c;
}

int mst_writer_thread(struct mst_writer *w, const struct mst_thread *t, uint32_t *id)
{
	struct mst_thread entry = clean_thread(t);
	int rc = reserve_thread(w, mst_table_last(&w->ledger.dict.threads) + 1);

	if (rc == 0)
		rc = mst_ledger_thread(&w->ledger, &entry, id);
	if (rc == 0) {
		w->threads[*id].process = t->process;
		w->n_threads = *id;
	}
	return mst_writer_check(w, rc, "a thread's process is unknown");
}

int mst_writer_thread_update(struct mst_writer *w, uint32_t id, const struct mst_thread *t)
{
	struct mst_thread *entry = mst_ledger_change_thread(&w->ledger, id);

	if (!entry || t->process != entry->process)
		return mst_writer_fail(w, MST_EARG, "the thread to be updated is unknown, or of another process");
	*entry = clean_thread(t);
	return 0;
}

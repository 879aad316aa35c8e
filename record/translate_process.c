/* translate_process.c - processes and threads: who they are, what they lost, how they ended.
 *
 * They are introduced when their first item comes, so that ids and places in the trace are in its order. */
#include "translator.h"

#include <string.h>
#include <sys/mman.h>

#include "regions.h"

/* ---- processes -------------------------------------------------------------------------------------- */

/* The image that became proc by exec, or that started or forked it, as far as the trace knows it; NULL. */
static struct ms_process *ancestor(const struct ms_process *proc)
{
	struct ms_process *parent = NULL;
	uint32_t ppid = proc->arrival->hello.ppid;
	for (struct ms_process *other = proc->next; other; other = other->next) { /* those before it */
		if (!other->id)
			continue;
		if (other->pid == proc->pid && (other->fate == MST_FATE_EXEC || proc->arrival->obstacle))
			return other;
		if (!parent && other->own_pid == ppid && other->pid != proc->pid)
			parent = other;
	}
	return parent;
}

static int introduce_forked(
	struct ms_translator *tr, struct ms_process *proc, struct mst_process *p, struct ms_fork_point *point)
{
	p->parent = point->parent->id;
	ms_modmap_free(proc->modules);
	proc->modules = ms_modmap_share(point->modules);
	int rc = mst_writer_process_forked(tr->writer, p, point->token, &proc->id);
	if (rc >= 0)
		rc = ms_translator_inherit_pause(tr, proc, point->is_paused, point->n_pauses);
	ms_fork_point_free(point);
	return rc;
}

/* A fork that left no mark in the parent's stream (raw clone): what lives in the parent now is the best
 * guess. */
static void inherit_unmarked(struct ms_process *proc, const struct ms_process *parent, struct mst_process *p)
{
	bool is_running = parent && parent->modules;
	p->origin = is_running ? MST_ORIGIN_FORK : MST_ORIGIN_ATTACH;
	if (!is_running)
		return;
	ms_modmap_free(proc->modules);
	proc->modules = ms_modmap_share(parent->modules);
}

/* What the image had mapped when it came to us. */
static int tell_regions(struct ms_translator *tr, const struct ms_process *proc)
{
	const struct ms_arrival *a = proc->arrival;
	const char *exe = a->exe ? a->exe : "";
	struct ms_region_line line;
	int rc = 0;
	for (size_t at = 0; rc >= 0 && ms_regions_next(a->maps, a->maps_len, &at, &line) > 0;) {
		struct mst_region region = {
			.process = proc->id,
			.start = line.start,
			.end = line.end,
			.offset = line.offset,
			.prot = line.prot,
			.is_shared = line.is_shared,
		};
		rc = ms_translator_intern(tr, line.name, line.name_len, &region.name);
		if (tr->wraps && line.prot & PROT_EXEC)
			ms_wraps_look(tr->wraps, line.name, line.name_len,
				line.name_len == a->exe_len && memcmp(line.name, exe, a->exe_len) == 0);
		if (rc >= 0)
			rc = mst_writer_region(tr->writer, &region);
	}
	if (tr->wraps && a->maps_len)
		ms_wraps_begin(tr->wraps, exe, a->exe_len);
	return rc;
}

int ms_translator_introduce_process(struct ms_translator *tr, struct ms_process *proc)
{
	const struct ms_arrival *a = proc->arrival;
	struct mst_process p = {
		.pid = proc->pid,
		.status = 0,
		.start_ns = ms_clock_ns(tr->clock, proc->start_stamp),
		.end_event = UINT64_MAX,
	};
	int rc = ms_translator_intern(tr, a->exe, a->exe_len, &p.exe);
	if (rc >= 0)
		rc = ms_translator_intern(tr, a->cmdline, a->cmdline_len, &p.cmdline);
	if (rc < 0)
		return rc;
	if (a->hello.image == MS_IMAGE_FORKED) {
		struct ms_fork_point *point = ms_translator_claim_point(tr, a->hello.fork_id);
		p.origin = MST_ORIGIN_FORK;
		if (point)
			return introduce_forked(tr, proc, &p, point);
	}
	struct ms_process *parent = ancestor(proc);
	p.parent = parent ? parent->id : 0;
	if (a->hello.image == MS_IMAGE_FORKED)
		inherit_unmarked(proc, parent, &p);
	else if (parent)
		p.origin = MST_ORIGIN_EXEC;
	else
		p.origin = proc->pid == tr->first_pid ? MST_ORIGIN_START : MST_ORIGIN_EXEC;
	bool is_paused = a->hello.image == MS_IMAGE_FORKED && parent ? parent->is_paused : tr->is_paused;
	rc = mst_writer_process(tr->writer, &p, &proc->id);
	if (rc >= 0)
		rc = ms_translator_inherit_pause(tr, proc, is_paused, tr->n_pauses);
	return rc < 0 ? rc : tell_regions(tr, proc);
}

int ms_translator_tell_unfollowed(struct ms_translator *tr, const struct ms_process *parent, uint64_t why, uint64_t ns)
{
	unsigned obstacle = why == MS_OBSTACLE_REACH ? MST_OBSTACLE_REACH : MST_OBSTACLE_SANDBOX;
	struct mst_process p = {
		.parent = parent->id,
		.origin = MST_ORIGIN_FORK,
		.fate = MST_FATE_UNRECORDED,
		.status = (int32_t)obstacle,
		.start_ns = ns,
		.end_ns = ns,
		.end_event = UINT64_MAX,
	};
	uint32_t id;
	int rc = ms_translator_intern(tr, parent->arrival->exe, parent->arrival->exe_len, &p.exe);
	if (rc >= 0)
		rc = mst_writer_process(tr->writer, &p, &id);
	if (rc < 0)
		return rc;
	tr->n_unfollowed[obstacle]++;
	return mst_writer_process_end(tr->writer, id, &p);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

static void fill_thread(const struct ms_tenant *t, struct mst_thread *thread)
{
	*thread = (struct mst_thread){
		.process = t->process->id,
		.tid = t->tid,
		.start_ns = t->start_ns,
		.end_ns = UINT64_MAX,
		.lost_events = t->told_loss,
	};
}

static int introduce_thread(struct ms_translator *tr, struct ms_tenant *t)
{
	struct mst_thread thread;
	t->start_ns = ms_clock_ns(tr->clock, t->start_stamp);
	fill_thread(t, &thread);
	int rc = ms_translator_intern(tr, t->name, strnlen(t->name, sizeof t->name), &thread.name);
	return rc < 0 ? rc : mst_writer_thread(tr->writer, &thread, &t->thread);
}

int ms_translator_introduce(struct ms_translator *tr, struct ms_tenant *t)
{
	int rc = t->process->id ? 0 : ms_translator_introduce_process(tr, t->process);
	return rc < 0 ? rc : introduce_thread(tr, t);
}

int ms_translator_update_thread(struct ms_translator *tr, const struct ms_tenant *t, uint64_t end_ns)
{
	struct mst_thread thread;
	fill_thread(t, &thread);
	thread.end_ns = end_ns;
	int rc = ms_translator_intern(tr, t->name, strnlen(t->name, sizeof t->name), &thread.name);
	return rc < 0 ? rc : mst_writer_thread_update(tr->writer, t->thread, &thread);
}

/* ---- losses ----------------------------------------------------------------------------------------- */

static int tell_lost(struct ms_translator *tr, struct ms_tenant *t, uint64_t events, uint64_t bytes,
	uint64_t first_ns, uint64_t last_ns)
{
	t->told_loss += events;
	t->process->lost_events += events;
	t->process->lost_bytes += bytes;
	return mst_writer_loss(tr->writer, t->thread, first_ns, last_ns, events, bytes, MST_LOSS_DROPPED);
}

int ms_translator_tell_loss(struct ms_translator *tr, struct ms_tenant *t, const uint64_t *w, uint64_t ns)
{
	uint64_t first_ns = ms_clock_ns(tr->clock, w[3] & (UINT64_MAX >> 8));
	if (first_ns > ns)
		first_ns = ns;
	return tell_lost(tr, t, ms_process_believe(w[1]), ms_process_believe(w[2]), first_ns, ns);
}

/* ---- ends ------------------------------------------------------------------------------------------- */

int ms_translate_thread_end(
	struct ms_translator *tr, struct ms_tenant *t, uint64_t lost_events, uint64_t lost_bytes)
{
	int rc = 0;
	uint64_t now_ns = ms_clock_ns(tr->clock, tr->last_stamp);
	if (!t->thread && (lost_events || t->faults))
		rc = ms_translator_introduce(tr, t);
	if (rc < 0 || !t->thread)
		return rc;
	if (lost_events)
		rc = tell_lost(tr, t, lost_events, lost_bytes, now_ns, now_ns);
	if (rc >= 0 && t->faults) /* how many went, nobody knows */
		rc = mst_writer_loss(tr->writer, t->thread, now_ns, now_ns, 0, 0, MST_LOSS_TORN);
	uint64_t end_ns = t->end_stamp == UINT64_MAX ? UINT64_MAX : ms_clock_ns(tr->clock, t->end_stamp);
	return rc < 0 ? rc : ms_translator_update_thread(tr, t, end_ns);
}

int ms_translate_process_end(
	struct ms_translator *tr, struct ms_process *proc, uint64_t lost_events, uint64_t lost_bytes)
{
	uint64_t now_ns = ms_clock_ns(tr->clock, tr->last_stamp);
	int rc = proc->id ? 0 : ms_translator_introduce_process(tr, proc);
	if (rc >= 0 && lost_events)
		rc = mst_writer_loss(
			tr->writer, 0, now_ns, now_ns, lost_events, lost_bytes, MST_LOSS_DROPPED);
	if (rc >= 0)
		rc = ms_translate_costs(tr, proc, lost_events);
	if (rc < 0)
		return rc;
	const struct mst_process p = {
		.fate = proc->fate,
		.status = proc->status,
		.end_ns = ms_clock_ns(tr->clock, proc->end_stamp),
		.lost_events = proc->lost_events + lost_events,
		.lost_bytes = proc->lost_bytes + lost_bytes,
		.stall_ns = proc->stall_ns,
	};
	return mst_writer_process_end(tr->writer, proc->id, &p);
}

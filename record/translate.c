/* See translate.h. */
#include "translate.h"

#include "costs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "filecode.h"
#include "mapcall.h"
#include "regions.h"

#define FORK_POINTS_MAX 32u /* unclaimed ones per image: children that never call the heap never claim */

struct ms_fork_point {
	struct ms_fork_point *next;
	struct ms_process *parent;
	struct ms_modmap *modules;
	uint64_t fork_id;
	uint64_t token;
	bool is_paused;	   /* the parent was */
	uint64_t n_pauses; /* said for all until then */
};

void ms_translator_init(
	struct ms_translator *tr, struct mst_writer *w, struct ms_clock_map *clock, uint32_t first_pid)
{
	memset(tr, 0, sizeof *tr);
	tr->writer = w;
	tr->clock = clock;
	tr->first_pid = first_pid;
}

/* ---- fork points ------------------------------------------------------------------------------------ */

static void point_free(struct ms_fork_point *point)
{
	point->parent->n_fork_points--;
	ms_modmap_free(point->modules);
	free(point);
}

void ms_translator_release(struct ms_translator *tr)
{
	while (tr->points) {
		struct ms_fork_point *next = tr->points->next;
		mst_writer_fork_drop(tr->writer, tr->points->token);
		point_free(tr->points);
		tr->points = next;
	}
}

static void drop_oldest_point(struct ms_translator *tr, const struct ms_process *parent)
{
	struct ms_fork_point **oldest = NULL;
	for (struct ms_fork_point **at = &tr->points; *at; at = &(*at)->next)
		if ((*at)->parent == parent)
			oldest = at;
	if (!oldest)
		return;
	struct ms_fork_point *point = *oldest;
	*oldest = point->next;
	mst_writer_fork_drop(tr->writer, point->token);
	point_free(point);
}

static int add_point(struct ms_translator *tr, struct ms_process *parent, uint64_t fork_id)
{
	struct ms_fork_point *point = calloc(1, sizeof *point);
	if (!point)
		return MST_ENOMEM;
	int rc = mst_writer_fork_point(tr->writer, parent->id, &point->token);
	if (rc < 0) {
		free(point);
		return rc;
	}
	point->parent = parent;
	point->modules = ms_modmap_share(parent->modules);
	point->fork_id = fork_id;
	point->is_paused = parent->is_paused;
	point->n_pauses = tr->n_pauses;
	point->next = tr->points;
	tr->points = point;
	if (++parent->n_fork_points > FORK_POINTS_MAX)
		drop_oldest_point(tr, parent);
	return 0;
}

/* The point that fork_id names, taken out of the list; NULL if there is none. */
static struct ms_fork_point *claim_point(struct ms_translator *tr, uint64_t fork_id)
{
	for (struct ms_fork_point **at = &tr->points; fork_id && *at; at = &(*at)->next) {
		struct ms_fork_point *point = *at;
		if (point->fork_id != fork_id)
			continue;
		*at = point->next;
		return point;
	}
	return NULL;
}

/* ---- pauses ----------------------------------------------------------------------------------------- */

static void set_pause(struct ms_process *proc, bool is_paused, uint64_t stamp)
{
	if (is_paused && !proc->is_paused)
		proc->pause_stamp = stamp;
	else if (!is_paused && proc->is_paused)
		proc->resume_stamp = stamp;
	proc->is_paused = is_paused;
	proc->mute_since_ns = 0;
}

/* By stamps, so that a call that comes late is judged by when it was made. */
static bool is_in_pause(const struct ms_process *proc, uint64_t stamp)
{
	return stamp >= proc->pause_stamp && (proc->is_paused || stamp < proc->resume_stamp);
}

static bool has_paused(const struct ms_process *proc)
{
	return proc->is_paused || proc->resume_stamp;
}

static int annotate(struct ms_translator *tr, enum mst_annotation_kind kind, const struct ms_process *proc,
	uint32_t thread, uint32_t name, uint64_t ns)
{
	tr->has_paused |= kind == MST_ANNOTATION_PAUSE;
	const struct mst_annotation a = {
		.kind = kind, .process = proc ? proc->id : 0, .thread = thread, .name = name, .time_ns = ns};
	return mst_writer_annotation(tr->writer, &a);
}

/* A process that has just been introduced is paused or not like all others, or, if its parent was not, like that: then
 * the trace is told. */
static int inherit_pause(struct ms_translator *tr, struct ms_process *proc, bool was_paused, uint64_t n_pauses)
{
	bool is_paused = n_pauses == tr->n_pauses ? was_paused : tr->is_paused;
	set_pause(proc, is_paused, 0);
	if (is_paused == tr->is_paused)
		return 0;
	return annotate(tr, is_paused ? MST_ANNOTATION_PAUSE : MST_ANNOTATION_RESUME, proc, 0, 0,
		ms_clock_ns(tr->clock, proc->start_stamp));
}

/* ---- processes and threads -------------------------------------------------------------------------- */

static int intern(struct ms_translator *tr, const char *s, size_t len, uint32_t *id)
{
	if (len == 0) {
		*id = 0;
		return 0;
	}
	return mst_writer_string(tr->writer, s, len, id);
}

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
		rc = inherit_pause(tr, proc, point->is_paused, point->n_pauses);
	point_free(point);
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
		rc = intern(tr, line.name, line.name_len, &region.name);
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

static int introduce_process(struct ms_translator *tr, struct ms_process *proc)
{
	const struct ms_arrival *a = proc->arrival;
	struct mst_process p = {
		.pid = proc->pid,
		.status = 0,
		.start_ns = ms_clock_ns(tr->clock, proc->start_stamp),
		.end_event = UINT64_MAX,
	};
	int rc = intern(tr, a->exe, a->exe_len, &p.exe);
	if (rc >= 0)
		rc = intern(tr, a->cmdline, a->cmdline_len, &p.cmdline);
	if (rc < 0)
		return rc;
	if (a->hello.image == MS_IMAGE_FORKED) {
		struct ms_fork_point *point = claim_point(tr, a->hello.fork_id);
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
		rc = inherit_pause(tr, proc, is_paused, tr->n_pauses);
	return rc < 0 ? rc : tell_regions(tr, proc);
}

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
	int rc = intern(tr, t->name, strnlen(t->name, sizeof t->name), &thread.name);
	return rc < 0 ? rc : mst_writer_thread(tr->writer, &thread, &t->thread);
}

static int introduce(struct ms_translator *tr, struct ms_tenant *t)
{
	int rc = t->process->id ? 0 : introduce_process(tr, t->process);
	return rc < 0 ? rc : introduce_thread(tr, t);
}

static int update_thread(struct ms_translator *tr, const struct ms_tenant *t, uint64_t end_ns)
{
	struct mst_thread thread;
	fill_thread(t, &thread);
	thread.end_ns = end_ns;
	int rc = intern(tr, t->name, strnlen(t->name, sizeof t->name), &thread.name);
	return rc < 0 ? rc : mst_writer_thread_update(tr->writer, t->thread, &thread);
}

/* ---- mappings --------------------------------------------------------------------------------------- */

static uint64_t next_event(const struct ms_translator *tr)
{
	struct mst_totals totals;
	mst_writer_totals(tr->writer, &totals);
	return totals.events;
}

/* ---- modules and stacks ----------------------------------------------------------------------------- */

static int find_module(struct ms_translator *tr, const struct ms_process *proc,
	const struct ms_unit_module_view *view, uint32_t *id)
{
	struct mst_module m = {.build_id_len = (uint8_t)view->build_id_len};
	const char *path = view->path_len ? view->path : proc->arrival->exe;
	size_t len = view->path_len ? view->path_len : proc->arrival->exe_len;
	char name[4097];
	struct stat st;
	memcpy(m.build_id, view->build_id, view->build_id_len);
	if (len && len < sizeof name) {
		memcpy(name, path, len);
		name[len] = 0;
		if (name[0] == '/' && !stat(name, &st) && S_ISREG(st.st_mode)) {
			m.file_size = (uint64_t)st.st_size;
			m.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
		}
	}
	if (tr->wraps)
		ms_wraps_look(tr->wraps, path, len, !view->path_len);
	int rc = intern(tr, path, len, &m.path);
	return rc < 0 ? rc : mst_writer_module(tr->writer, &m, id);
}

/* Is it the capture library? Its hooks stand in a stack where what they have called calls the heap again. */
static bool is_ours(const struct ms_unit_module_view *view)
{
	static const char name[] = "/libmscapture.so";
	size_t len = sizeof name - 1;
	return view->path_len >= len && !memcmp(view->path + view->path_len - len, name, len);
}

static int put_module(struct ms_translator *tr, struct ms_process *proc, const struct ms_modmap_entry *e, uint64_t ns)
{
	const struct ms_modmap_entry *known = ms_modmap_get(proc->modules, e->start);
	bool has_covered = false;
	if (known && known->start == e->start && known->end == e->end && known->bias == e->bias &&
		known->module == e->module)
		return 0; /* told twice, as by a forked child that does not know what its parent told */
	if (ms_modmap_put(&proc->modules, e, &has_covered))
		return MST_ENOMEM;
	if (has_covered || proc->has_unknown) {
		proc->era++;
		proc->has_unknown = false;
	}
	const struct mst_mapping mapping = {
		.process = proc->id,
		.module = e->module,
		.start = e->start,
		.end = e->end,
		.bias = e->bias,
		.load_ns = ns,
		.unload_ns = UINT64_MAX,
	};
	return mst_writer_mapping(tr->writer, &mapping);
}

static int tell_module(
	struct ms_translator *tr, struct ms_process *proc, const struct ms_note *note, uint64_t ns)
{
	struct ms_unit_module_view view;
	struct ms_modmap_entry e;
	if (!ms_unit_module_get(note->words, note->n_words, &view))
		return 0;
	int rc = find_module(tr, proc, &view, &e.module);
	if (rc < 0)
		return rc;
	e.start = view.map_start;
	e.end = view.map_end;
	e.bias = view.bias;
	e.process = proc->id;
	e.is_ours = is_ours(&view);
	return put_module(tr, proc, &e, ns);
}

static int tell_unmodule(struct ms_translator *tr, struct ms_process *proc, uint64_t start, uint64_t ns)
{
	struct ms_modmap_entry gone;
	int rc = ms_modmap_take(&proc->modules, start, &gone);
	if (rc <= 0)
		return rc < 0 ? MST_ENOMEM : 0;
	proc->era++;
	if (gone.process != proc->id)
		return 0; /* inherited: the trace has it as the parent's */
	return mst_writer_unmapping(tr->writer, proc->id, start, ns);
}

/* A module of the process whose file has this name, or else a new one. */
static int find_module_of_file(struct ms_translator *tr, const struct ms_process *proc, uint32_t file, uint32_t *id)
{
	const struct mst_module m = {.path = file};
	for (size_t i = 0; i < proc->modules->n; i++) {
		*id = proc->modules->entries[i].module;
		if (mst_writer_get_module(tr->writer, *id)->path == file)
			return 0;
	}
	return mst_writer_module(tr->writer, &m, id);
}

/* The process has mapped something by itself: code of a file has the file's names. */
static int tell_mapped_code(
	struct ms_translator *tr, struct ms_process *proc, const struct mst_map_call *call, uint64_t ns)
{
	struct ms_modmap_entry e = {.start = call->addr, .end = call->addr + call->length, .process = proc->id};
	size_t len;
	const char *path = call->file ? mst_writer_get_string(tr->writer, call->file, &len) : NULL;
	char name[4097];
	if (!path || !(call->prot & PROT_EXEC) || len >= sizeof name || e.end <= e.start)
		return 0;
	memcpy(name, path, len);
	name[len] = 0;
	if (!ms_filecode_bias(name, call->addr, call->offset, &e.bias))
		return 0;
	int rc = find_module_of_file(tr, proc, call->file, &e.module);
	return rc < 0 ? rc : put_module(tr, proc, &e, ns);
}

/* What a process has unmapped by itself is no module's any more. */
static int tell_unmapped_code(
	struct ms_translator *tr, struct ms_process *proc, const struct mst_map_call *call, uint64_t ns)
{
	const struct ms_modmap_entry *e = ms_modmap_get(proc->modules, call->addr);
	if (!e || e->start != call->addr || e->end - e->start > call->length)
		return 0;
	return tell_unmodule(tr, proc, e->start, ns);
}

/* The code of the trace for a return address. 1; 0 if it is of the capture library, which stands in no stack; or negative. */
static int find_code(struct ms_translator *tr, struct ms_process *proc, uint64_t ip, uint32_t *code)
{
	const struct ms_modmap_entry *e = ms_modmap_get(proc->modules, ip);
	proc->has_unknown |= !e;
	if (e && e->is_ours)
		return 0;
	int rc = mst_writer_code(tr->writer, e ? e->module : 0, e ? ip - e->bias : ip, code);
	if (rc >= 0 && !e)
		ms_process_add_stray(proc, ip, *code);
	return rc < 0 ? rc : 1;
}

/* The same, which programs ask of few addresses again and again: each new stack has some. */
static int recall_code(struct ms_translator *tr, struct ms_process *proc, uint64_t ip, uint32_t *code)
{
	size_t at = ip * 0x9e3779b97f4a7c15u >> (64 - MS_KNOWN_CODES_BITS);
	struct ms_known_code *known = proc->known_codes ? &proc->known_codes[at] : NULL;
	if (known && known->ip == ip && known->era == proc->era) {
		*code = known->code;
		return 1;
	}
	int rc = find_code(tr, proc, ip, code);
	if (rc > 0 && known)
		*known = (struct ms_known_code){.ip = ip, .code = *code, .era = proc->era};
	return rc;
}

static int resolve_node(struct ms_translator *tr, struct ms_process *proc, struct ms_node *node)
{
	uint32_t code;
	/* A node's parent has a smaller number and was resolved before. */
	uint32_t parent = node->parent <= MS_NODE_CUT ? node->parent : proc->tree.nodes[node->parent].stack;
	int rc = recall_code(tr, proc, node->ip, &code);
	if (rc == 0)
		node->stack = parent;
	else if (rc > 0)
		rc = mst_writer_stack(tr->writer, parent, code, &node->stack);
	if (rc >= 0)
		node->era = proc->era;
	return rc;
}

/* The trace's stack id of a node. */
static int find_stack(struct ms_translator *tr, struct ms_process *proc, uint32_t node, uint32_t *stack)
{
	struct ms_node *nodes = proc->tree.nodes;
	if (nodes[node].era != proc->era && node > MS_NODE_CUT) {
		size_t n = 0;
		for (uint32_t at = node; at > MS_NODE_CUT && nodes[at].era != proc->era;
			at = nodes[at].parent)
			tr->climb[n++] = at;
		while (n > 0) {
			int rc = resolve_node(tr, proc, &nodes[tr->climb[--n]]);
			if (rc < 0)
				return rc;
		}
	}
	*stack = node > MS_NODE_CUT ? nodes[node].stack : MST_STACK_NONE;
	return 0;
}

/* ---- notes ------------------------------------------------------------------------------------------ */

static int tell_lost(struct ms_translator *tr, struct ms_tenant *t, uint64_t events, uint64_t bytes,
	uint64_t first_ns, uint64_t last_ns)
{
	t->told_loss += events;
	t->process->lost_events += events;
	t->process->lost_bytes += bytes;
	return mst_writer_loss(tr->writer, t->thread, first_ns, last_ns, events, bytes, MST_LOSS_DROPPED);
}

static int tell_loss(struct ms_translator *tr, struct ms_tenant *t, const uint64_t *w, uint64_t ns)
{
	uint64_t first_ns = ms_clock_ns(tr->clock, w[3] & (UINT64_MAX >> 8));
	if (first_ns > ns)
		first_ns = ns;
	return tell_lost(tr, t, ms_process_believe(w[1]), ms_process_believe(w[2]), first_ns, ns);
}

/* A program that will not come; nothing is known of it but that, and who started it. */
static int tell_unfollowed(struct ms_translator *tr, const struct ms_process *parent, uint64_t why, uint64_t ns)
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
	int rc = intern(tr, parent->arrival->exe, parent->arrival->exe_len, &p.exe);
	if (rc >= 0)
		rc = mst_writer_process(tr->writer, &p, &id);
	if (rc < 0)
		return rc;
	tr->n_unfollowed[obstacle]++;
	return mst_writer_process_end(tr->writer, id, &p);
}

/* A mark, pause or resume from the program itself. */
static int tell_annotation(
	struct ms_translator *tr, struct ms_tenant *t, const struct ms_item *item, uint64_t ns)
{
	const struct ms_note *note = item->note;
	enum mst_annotation_kind kind = item->kind == MS_U_MARK	   ? MST_ANNOTATION_MARK
					: item->kind == MS_U_PAUSE ? MST_ANNOTATION_PAUSE
								   : MST_ANNOTATION_RESUME;
	uint32_t name = 0;
	if (kind != MST_ANNOTATION_MARK)
		set_pause(t->process, kind == MST_ANNOTATION_PAUSE, MS_ITEM_STAMP(item->key));
	int rc = kind == MST_ANNOTATION_MARK ? intern(tr, (const char *)&note->words[2], note->words[1], &name) : 0;
	return rc < 0 ? rc : annotate(tr, kind, t->process, t->thread, name, ns);
}

static int tell_note(struct ms_translator *tr, struct ms_tenant *t, const struct ms_item *item, uint64_t ns)
{
	const struct ms_note *note = item->note;
	switch (item->kind) {
	case MS_U_MODULE:
		return tell_module(tr, t->process, note, ns);
	case MS_U_UNMODULE:
		return tell_unmodule(tr, t->process, note->words[1], ns);
	case MS_U_NAME:
		memcpy(t->name, &note->words[1], sizeof t->name);
		return update_thread(tr, t, UINT64_MAX);
	case MS_U_LOSS:
		return tell_loss(tr, t, note->words, ns);
	case MS_U_MAP_BEGIN:
		ms_map_begins_put(&t->begins, note->words[1], next_event(tr));
		return 0;
	case MS_U_UNFOLLOWED:
		return tell_unfollowed(tr, t->process, note->words[1], ns);
	case MS_U_FORK:
		return add_point(tr, t->process, note->words[1]);
	case MS_U_MARK:
	case MS_U_PAUSE:
	case MS_U_RESUME:
		return tell_annotation(tr, t, item, ns);
	default:
		return 0;
	}
}

/* ---- events ----------------------------------------------------------------------------------------- */

/* The pool of a call (a struct ms_pending knows it by that number), or 0: no pool's, or a function that nobody wraps. */
static uint32_t pool_of(const struct ms_translator *tr, const struct ms_item *item)
{
	const struct ms_wrap_function *f =
		mst_op_pools(item->kind) ? ms_wraps_get(tr->wraps, item->align) : NULL;
	return f ? f->as.pool + 1 : 0;
}

/* The string id of a pool's name. */
static int name_pool(struct ms_translator *tr, uint32_t pool, uint32_t *id)
{
	struct ms_wrap_pool *p = &tr->wraps->pools[pool - 1];
	int rc = p->string ? 0 : mst_writer_string(tr->writer, p->name, strlen(p->name), &p->string);
	*id = p->string;
	return rc;
}

static int tell_pool_call(struct ms_translator *tr, const struct ms_item *item, struct mst_event *ev)
{
	struct ms_wrap_function *f = ms_wraps_get(tr->wraps, item->align);
	struct mst_pool_call call = {.addr = item->addr, .size = item->size};
	int rc = name_pool(tr, f->as.pool + 1, &call.pool);
	if (rc < 0)
		return rc;
	call.old_addr = ev->op == MST_OP_POOL_REALLOC ? item->old_addr : 0;
	ev->align = 0;
	f->n_calls++;
	tr->wraps->pools[f->as.pool].n_calls++;
	return mst_writer_pool_event(tr->writer, ev, &call);
}

/* Is a block of the pool, or of the heap (0), at addr in the trace? 1, 0, or negative. */
static int is_block_known(
	struct ms_translator *tr, const struct ms_process *proc, uint32_t pool, uint64_t addr)
{
	uint32_t id;
	if (!pool)
		return mst_writer_knows(tr->writer, proc->id, addr);
	int rc = name_pool(tr, pool, &id);
	return rc < 0 ? rc : mst_writer_pool_knows(tr->writer, proc->id, id, addr);
}

static int tell(struct ms_translator *tr, const struct ms_tenant *t, const struct ms_item *item, unsigned op,
	uint64_t ns)
{
	struct mst_event ev = {
		.thread = t->thread,
		.op = (uint8_t)op,
		.flags = item->flags & MS_UF_FAILED ? MST_EV_FAILED : 0,
		.time_ns = ns,
		.size = item->size,
		.addr = item->addr,
		.old_addr = item->old_addr,
		.align = item->align,
		.err = item->err,
	};
	int rc = find_stack(tr, t->process, item->node, &ev.stack);
	if (rc < 0)
		return rc;
	if (MS_ITEM_STAMP(item->key) < tr->last_stamp) {
		ev.flags |= MST_EV_LATE;
		tr->n_late++;
	}
	return mst_op_pools(op) ? tell_pool_call(tr, item, &ev) : mst_writer_event(tr->writer, &ev);
}

static int tell_mapping(struct ms_translator *tr, struct ms_tenant *t, const struct ms_item *item, uint64_t ns)
{
	struct mst_event ev = {
		.thread = t->thread,
		.op = item->kind,
		.flags = item->flags & MS_UF_FAILED ? MST_EV_FAILED : 0,
		.time_ns = ns,
		.err = item->err,
	};
	struct mst_map_call call;
	const char *path;
	size_t path_len;
	ms_map_call_get(item, &call, &path, &path_len);
	call.begun = next_event(tr);
	if (item->more && (ev.op == MST_OP_MUNMAP || ev.op == MST_OP_MREMAP || ev.op == MST_OP_BRK ||
				  ev.op == MST_OP_SBRK))
		call.begun = ms_map_begins_take(&t->begins, item->more->words[MS_MAP_ADDR], call.begun);
	int rc = intern(tr, path, path_len, &call.file);
	if (rc >= 0)
		rc = find_stack(tr, t->process, item->node, &ev.stack);
	if (rc >= 0 && !(ev.flags & MST_EV_FAILED) && ev.op == MST_OP_MMAP)
		rc = tell_mapped_code(tr, t->process, &call, ns);
	if (rc >= 0 && !(ev.flags & MST_EV_FAILED) && ev.op == MST_OP_MUNMAP)
		rc = tell_unmapped_code(tr, t->process, &call, ns);
	if (rc < 0)
		return rc;
	if (MS_ITEM_STAMP(item->key) < tr->last_stamp) {
		ev.flags |= MST_EV_LATE;
		tr->n_late++;
	}
	return mst_writer_map_event(tr->writer, &ev, &call);
}

static int begin_realloc(
	struct ms_process *proc, const struct ms_tenant *t, const struct ms_item *item, uint32_t pool)
{
	if (proc->n_pending == proc->cap_pending) {
		size_t cap = proc->cap_pending * 2 + 8;
		struct ms_pending *grown = realloc(proc->pending, cap * sizeof *grown);
		if (!grown)
			return MST_ENOMEM;
		proc->pending = grown;
		proc->cap_pending = cap;
	}
	proc->pending[proc->n_pending++] = (struct ms_pending){
		.tenant = t,
		.addr = item->addr,
		.stamp = MS_ITEM_STAMP(item->key),
		.pool = pool,
		.function = item->align,
	};
	return 0;
}

/* addr has been acquired, so every realloc under way of a block there has released it by now. During a pause the
 * acquisition may have gone unseen, and the release of what was acquired tells of it. */
static int split_reallocs(
	struct ms_translator *tr, struct ms_process *proc, uint32_t pool, uint64_t addr, uint64_t ns)
{
	for (size_t i = 0; i < proc->n_pending; i++) {
		struct ms_pending *p = &proc->pending[i];
		if (p->addr != addr || p->pool != pool || p->is_split)
			continue;
		p->is_split = true;
		int rc = has_paused(proc) ? is_block_known(tr, proc, pool, addr) : 1;
		p->is_unknown = rc == 0;
		/* At the place it had to come before: its own stamp is behind us. */
		const struct ms_item begin = {
			.key = MS_ITEM_KEY(tr->last_stamp, false), .addr = addr, .align = pool ? p->function : 0};
		if (rc > 0)
			rc = tell(tr, p->tenant, &begin, pool ? MST_OP_POOL_FREE : MST_OP_REALLOC_BEGIN, ns);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What became of a realloc's begin before its end came. */
enum begun { BEGUN_WHOLE, BEGUN_SPLIT, BEGUN_SPLIT_UNTOLD };

/* Takes the matching begin away, if there is one (it may be lost). */
static enum begun end_pending(
	struct ms_process *proc, const struct ms_tenant *t, uint32_t pool, uint64_t old_addr)
{
	for (size_t i = proc->n_pending; i-- > 0;) {
		struct ms_pending p = proc->pending[i];
		if (p.tenant != t || p.pool != pool || p.addr != old_addr)
			continue;
		proc->pending[i] = proc->pending[--proc->n_pending];
		return !p.is_split ? BEGUN_WHOLE : p.is_unknown ? BEGUN_SPLIT_UNTOLD : BEGUN_SPLIT;
	}
	return BEGUN_WHOLE;
}

static bool acquires(unsigned op)
{
	return mst_op_acquires(op) || op == MST_OP_POOL_ALLOC || op == MST_OP_POOL_REALLOC;
}

/* A call in a pause, its realloc's BEGIN taken away: told if it releases a block that the trace knows. */
static int tell_paused(struct ms_translator *tr, struct ms_tenant *t, struct ms_item *item, unsigned op,
	uint32_t pool, enum begun begun, uint64_t ns)
{
	uint64_t released = item->flags & MS_UF_OLD ? item->old_addr : item->addr;
	if (item->flags & MS_UF_FAILED || begun == BEGUN_SPLIT_UNTOLD ||
		(acquires(op) && !(item->flags & MS_UF_OLD)))
		return 0;
	int rc = begun == BEGUN_SPLIT ? 1 : is_block_known(tr, t->process, pool, released);
	item->node = MS_NODE_NONE;
	return rc > 0 ? tell(tr, t, item, op, ns) : rc;
}

static int tell_call(struct ms_translator *tr, struct ms_tenant *t, struct ms_item *item, uint64_t ns)
{
	struct ms_process *proc = t->process;
	enum begun begun = BEGUN_WHOLE;
	unsigned op = item->kind;
	bool is_failed = item->flags & MS_UF_FAILED;
	uint32_t pool = pool_of(tr, item);
	if (mst_op_pools(op) && !pool)
		return 0; /* the program has scribbled */
	if (op == MST_OP_REALLOC_BEGIN || op == MS_POOL_REALLOC_BEGIN)
		return begin_realloc(proc, t, item, pool);
	if (item->flags & MS_UF_OLD) {
		bool is_free = op == MST_OP_REALLOC_FREE || op == MST_OP_POOL_REALLOC_FREE;
		begun = end_pending(proc, t, pool, item->old_addr);
		if (begun != BEGUN_WHOLE && is_free)
			return 0; /* all of it has been told */
		if (begun != BEGUN_WHOLE && !is_failed)
			op = pool ? MST_OP_POOL_ALLOC : MST_OP_REALLOC_END;
		if (is_free)
			item->addr = item->old_addr;
	}
	if (proc->n_pending && !is_failed && (acquires(op) || has_paused(proc))) {
		int rc = split_reallocs(tr, proc, pool, item->addr, ns);
		if (rc < 0)
			return rc;
	}
	if (is_in_pause(proc, MS_ITEM_STAMP(item->key)))
		return tell_paused(tr, t, item, op, pool, begun, ns);
	return tell(tr, t, item, op, ns);
}

int ms_translate_annotation(struct ms_translator *tr, enum mst_annotation_kind kind, struct ms_process *proc,
	const char *name, size_t name_len, uint64_t stamp)
{
	bool is_pause = kind == MST_ANNOTATION_PAUSE;
	uint32_t id = 0;
	int rc = proc && !proc->id ? introduce_process(tr, proc) : intern(tr, name, name_len, &id);
	if (rc < 0)
		return rc;
	if (proc) {
		set_pause(proc, is_pause, stamp);
	} else if (kind != MST_ANNOTATION_MARK) {
		tr->is_paused = is_pause;
		tr->n_pauses++;
		for (struct ms_process *p = tr->processes; p; p = p->next)
			set_pause(p, is_pause, stamp);
	}
	return annotate(tr, kind, proc, 0, id, ms_clock_ns(tr->clock, stamp));
}

/* ---- items ------------------------------------------------------------------------------------------ */

static int translate_one(struct ms_translator *tr, struct ms_tenant *t, struct ms_item *item)
{
	uint64_t stamp = MS_ITEM_STAMP(item->key);
	uint64_t ns = ms_clock_ns(tr->clock, stamp);
	int rc = t->thread ? 0 : introduce(tr, t);
	if (rc >= 0 && (item->kind < MST_OP_MMAP || mst_op_pools(item->kind)))
		rc = tell_call(tr, t, item, ns);
	else if (rc >= 0)
		rc = mst_op_maps(item->kind) ? tell_mapping(tr, t, item, ns) : tell_note(tr, t, item, ns);
	if (mst_op_maps(item->kind))
		free(item->more);
	else if (item->kind >= MS_U_MODULE)
		free(item->note);
	if (stamp > tr->last_stamp)
		tr->last_stamp = stamp;
	return rc;
}

/* Ends the realloc of this tenant that is the only one under way, if it is of that block. */
static bool end_only_pending(struct ms_process *proc, const struct ms_tenant *t, uint64_t old_addr)
{
	const struct ms_pending *p = proc->pending;
	if (proc->n_pending != 1 || p->tenant != t || p->pool || p->addr != old_addr || p->is_split)
		return false;
	proc->n_pending = 0;
	return true;
}

/* A call that succeeded, with nothing special about it, that nobody's realloc concerns; the realloc that it ends is ended. */
static inline bool is_ordinary(struct ms_process *proc, const struct ms_tenant *t, const struct ms_item *item)
{
	if (item->kind >= MST_OP_MMAP || item->kind == MST_OP_REALLOC_FREE || item->flags & MS_UF_FAILED || item->align)
		return false;
	return item->flags & MS_UF_OLD ? end_only_pending(proc, t, item->old_addr) : proc->n_pending == 0;
}

/* Puts what most items are to the calls on their way: ordinary ones in their order, and the beginnings of reallocs, as long as
 * no pause concerns them. Returns how many it took; the next one is to be told by itself. */
static uint32_t gather_calls(
	struct ms_translator *tr, const struct ms_tenant *t, const struct ms_item *items, uint32_t n)
{
	struct ms_process *proc = t->process;
	const struct ms_node *nodes = proc->tree.nodes;
	const uint32_t era = proc->era;
	uint64_t last_stamp = tr->last_stamp;
	struct mst_call *call = tr->calls + tr->n_calls;
	uint32_t i = 0;
	if (!t->thread || proc->is_paused || proc->resume_stamp > last_stamp)
		return 0;
	for (; i < n; i++) {
		const struct ms_item *item = &items[i];
		uint64_t stamp = MS_ITEM_STAMP(item->key);
		if (stamp < last_stamp)
			break;
		if (item->kind == MST_OP_REALLOC_BEGIN) {
			if (begin_realloc(proc, t, item, 0) < 0)
				break;
			last_stamp = stamp;
			continue;
		}
		if (!is_ordinary(proc, t, item))
			break;
		uint32_t stack = nodes[item->node].stack;
		if (nodes[item->node].era != era && find_stack(tr, proc, item->node, &stack) < 0)
			break;
		*call++ = (struct mst_call){
			.time_ns = ms_clock_ns(tr->clock, stamp),
			.size = item->size,
			.addr = item->addr,
			.old_addr = item->old_addr,
			.stack = stack,
			.op = item->kind,
		};
		last_stamp = stamp;
	}
	tr->n_calls = (uint32_t)(call - tr->calls);
	tr->last_stamp = last_stamp;
	return i;
}

static int send_calls(struct ms_translator *tr, const struct ms_tenant *t)
{
	uint32_t n = tr->n_calls;
	tr->n_calls = 0;
	return n ? mst_writer_calls(tr->writer, t->thread, tr->calls, n) : 0;
}

int ms_translate(void *ctx, struct ms_queue *q, struct ms_item *items, uint32_t *n)
{
	struct ms_translator *tr = ctx;
	struct ms_tenant *t = (struct ms_tenant *)(void *)q;
	uint32_t i = 0;
	int rc = 0;
	while (rc >= 0 && i < *n) {
		i += gather_calls(tr, t, items + i, *n - i);
		if (i == *n)
			break;
		rc = send_calls(tr, t);
		if (rc >= 0)
			rc = translate_one(tr, t, &items[i++]);
	}
	int sent = send_calls(tr, t);
	*n = i;
	tr->error = rc < 0 ? rc : sent < 0 ? sent : 0;
	return tr->error;
}

/* ---- samples ---------------------------------------------------------------------------------------- */

int ms_translate_sample(struct ms_translator *tr, struct mst_sample *sample, uint64_t stamp)
{
	uint64_t ns = ms_clock_ns(tr->clock, stamp);
	sample->time_ns = ns > tr->sampled_ns ? ns : tr->sampled_ns;
	tr->sampled_ns = sample->time_ns;
	return mst_writer_sample(tr->writer, sample);
}

int ms_translate_reading(struct ms_translator *tr, struct ms_reading *r)
{
	struct ms_process *proc = r->who;
	if (proc && proc->is_dead && r->stamp > proc->end_stamp)
		return 0;
	int rc = proc && !proc->id ? introduce_process(tr, proc) : 0;
	r->sample.process = proc ? proc->id : 0;
	if (rc >= 0 && r->group)
		rc = intern(tr, r->group, strlen(r->group), &r->sample.group);
	return rc < 0 ? rc : ms_translate_sample(tr, &r->sample, r->stamp);
}

int ms_translate_costs(struct ms_translator *tr, struct ms_process *proc, uint64_t lost_events)
{
	struct mst_sample costs;
	if (!proc->id)
		return 0;
	ms_costs_of_process(proc, tr->clock, lost_events, &costs);
	costs.process = proc->id;
	return ms_translate_sample(tr, &costs, proc->is_dead ? proc->end_stamp : tr->last_stamp);
}

/* ---- ends ------------------------------------------------------------------------------------------- */

int ms_translate_thread_end(
	struct ms_translator *tr, struct ms_tenant *t, uint64_t lost_events, uint64_t lost_bytes)
{
	int rc = 0;
	uint64_t now_ns = ms_clock_ns(tr->clock, tr->last_stamp);
	if (!t->thread && (lost_events || t->faults))
		rc = introduce(tr, t);
	if (rc < 0 || !t->thread)
		return rc;
	if (lost_events)
		rc = tell_lost(tr, t, lost_events, lost_bytes, now_ns, now_ns);
	if (rc >= 0 && t->faults) /* how many went, nobody knows */
		rc = mst_writer_loss(tr->writer, t->thread, now_ns, now_ns, 0, 0, MST_LOSS_TORN);
	uint64_t end_ns = t->end_stamp == UINT64_MAX ? UINT64_MAX : ms_clock_ns(tr->clock, t->end_stamp);
	return rc < 0 ? rc : update_thread(tr, t, end_ns);
}

int ms_translate_process_end(
	struct ms_translator *tr, struct ms_process *proc, uint64_t lost_events, uint64_t lost_bytes)
{
	uint64_t now_ns = ms_clock_ns(tr->clock, tr->last_stamp);
	int rc = proc->id ? 0 : introduce_process(tr, proc);
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

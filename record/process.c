/* See process.h. */
#include "process.h"

#include <stdlib.h>
#include <string.h>

#include "procfs.h"

#define NAME_SOON_NS 50000000u	  /* a thread is often named just after its start ... */
#define NAME_AGAIN_NS 1000000000u /* ... and seldom later */
#define REAP_NS 10000000u
#define REAP_SHARE 20u /* at most 1/20 of the time goes into looking for ended threads */
#define PATIENCE_TIMES 16u /* at most; less than the program waits for us */
#define HAS_RUN_TICKS 3u /* of processor time: a unit takes less */

struct ms_process *ms_process_new(struct ms_arrival *arrival)
{
	struct ms_process *proc = calloc(1, sizeof *proc);
	struct ms_modmap *modules = ms_modmap_new();
	if (!proc || !modules || ms_stacktree_init(&proc->tree)) {
		free(proc);
		ms_modmap_free(modules);
		ms_share_detach(&arrival->share);
		ms_arrival_free(arrival);
		return NULL;
	}
	proc->arrival = arrival;
	proc->pid = (uint32_t)arrival->pid;
	proc->own_pid = arrival->hello.pid;
	proc->start_stamp = arrival->stamp;
	proc->modules = modules;
	proc->known_codes = calloc((size_t)1 << MS_KNOWN_CODES_BITS, sizeof *proc->known_codes);
	proc->era = 1;
	return proc;
}

void ms_process_close(struct ms_process *proc, struct ms_pool *pool)
{
	if (!proc->arrival)
		return;
	for (uint32_t i = 0; i < proc->n_tenants; i++)
		ms_tenant_free(proc->tenants[i], pool);
	free(proc->tenants);
	proc->tenants = NULL;
	proc->n_tenants = proc->cap_tenants = proc->n_live = 0;
	ms_stacktree_release(&proc->tree);
	ms_modmap_free(proc->modules);
	proc->modules = NULL;
	free(proc->known_codes);
	proc->known_codes = NULL;
	free(proc->strays);
	proc->strays = NULL;
	proc->n_strays = proc->cap_strays = 0;
	free(proc->pending);
	proc->pending = NULL;
	proc->n_pending = proc->cap_pending = 0;
	ms_arrival_free(proc->arrival);
	proc->arrival = NULL;
}

void ms_process_free(struct ms_process *proc, struct ms_pool *pool)
{
	if (!proc)
		return;
	ms_process_close(proc, pool);
	free(proc);
}

void ms_process_add_stray(struct ms_process *proc, uint64_t ip, uint32_t code)
{
	if (proc->n_strays == proc->cap_strays) {
		size_t cap = proc->cap_strays ? proc->cap_strays * 2 : 64;
		struct ms_stray *grown =
			cap <= MS_STRAYS_MAX ? realloc(proc->strays, cap * sizeof *grown) : NULL;
		if (!grown)
			return;
		proc->strays = grown;
		proc->cap_strays = cap;
	}
	proc->strays[proc->n_strays++] = (struct ms_stray){ip, code};
}

/* ---- tenants come ----------------------------------------------------------------------------------- */

static void find_outer_tid(const struct ms_process *proc, struct ms_tenant *t)
{
	if (proc->own_pid == proc->pid)
		t->outer_tid = t->tid;
	else if (!t->outer_tid)
		t->outer_tid = (uint32_t)ms_procfs_outer_tid((pid_t)proc->pid, t->tid);
}

static void ask_name(struct ms_process *proc, struct ms_tenant *t)
{
	char name[sizeof t->name];
	ssize_t n = ms_procfs_thread_name((pid_t)proc->pid, (pid_t)t->outer_tid, name, sizeof name);
	if (n <= 0)
		return;
	memset(t->name, 0, sizeof t->name);
	memcpy(t->name, name, (size_t)n);
}

/* A thread's id is used again only after its end. */
static void end_namesake(struct ms_process *proc, const struct ms_tenant *t)
{
	for (uint32_t i = 0; i < proc->n_tenants; i++)
		if (proc->tenants[i] && proc->tenants[i] != t && proc->tenants[i]->tid == t->tid)
			proc->tenants[i]->is_gone = true;
}

/* Beyond it no stamp read until now can be. Not counted from the start of the pass: we may have been stopped since, and
 * the program not. */
static uint64_t horizon_of(const struct ms_scan *scan)
{
	return ms_ticks_now(scan->clock) + scan->leeway;
}

static struct ms_tenant *welcome(struct ms_process *proc, uint32_t index, const struct ms_scan *scan)
{
	struct ms_slot *slot = &ms_process_segment(proc)->slots[index];
	struct ms_tenant *t = ms_tenant_new(proc, index, scan->stack_depth);
	if (!t)
		return NULL;
	t->tid = atomic_load_explicit(&slot->tid, memory_order_relaxed);
	t->start_stamp = atomic_load_explicit(&slot->start_stamp, memory_order_relaxed);
	if (t->start_stamp < proc->start_stamp || t->start_stamp > horizon_of(scan))
		t->start_stamp = proc->start_stamp;
	t->is_gone = proc->is_dead;
	t->next_name_ns = ms_monotonic_ns() + NAME_SOON_NS;
	find_outer_tid(proc, t);
	if (!proc->is_dead)
		ask_name(proc, t);
	proc->tenants[index] = t;
	proc->n_live++;
	end_namesake(proc, t);
	return t;
}

static int look_up_to(struct ms_process *proc, uint32_t high)
{
	if (high > proc->cap_tenants) {
		uint32_t cap = proc->cap_tenants ? proc->cap_tenants : 16;
		while (cap < high)
			cap *= 2;
		struct ms_tenant **grown = realloc(proc->tenants, cap * sizeof(*grown));
		if (!grown)
			return -1;
		proc->tenants = grown;
		proc->cap_tenants = cap;
	}
	while (proc->n_tenants < high)
		proc->tenants[proc->n_tenants++] = NULL;
	return 0;
}

/* ---- the scan --------------------------------------------------------------------------------------- */

/* Is a thread that is in the middle of a unit still about to go on? Where more threads want to run than can, it may have
 * been kept from it for as long as this lasts. If it has run since, or is at something else, it was torn out of its hook. */
static bool is_kept_waiting(const struct ms_process *proc, struct ms_tenant *t)
{
	uint64_t before = t->cpu_ticks;
	bool was_asked = t->was_asked;
	char state;
	if (proc->is_dead || !ms_procfs_thread_state((pid_t)proc->pid, (pid_t)t->outer_tid, &state, &t->cpu_ticks))
		return false;
	t->was_asked = true;
	return (state == 'R' || state == 'D') && !(was_asked && t->cpu_ticks - before >= HAS_RUN_TICKS);
}

/* Is the unit that t has had on its way since busy_since to be waited for? */
static bool is_waited_for(const struct ms_process *proc, struct ms_tenant *t, const struct ms_scan *scan)
{
	if (t->is_given_up || scan->now <= t->patient_until)
		return !t->is_given_up;
	t->is_given_up = scan->now - t->busy_since > PATIENCE_TIMES * scan->patience || !is_kept_waiting(proc, t);
	t->patient_until = scan->now + scan->patience;
	return !t->is_given_up;
}

/* Before which stamp nothing more comes from t, whose slot looked like this and has been drained up to it.
 * `has_moved`: something new had been published. */
static uint64_t bound_of(const struct ms_process *proc, struct ms_tenant *t, struct ms_look look, const struct ms_scan *scan,
	bool has_moved)
{
	uint64_t idle = scan->now > scan->guard ? scan->now - scan->guard : 0;
	if (!look.busy) {
		t->busy_since = 0;
		return idle;
	}
	if (!t->busy_since || has_moved) {
		t->busy_since = scan->now;
		t->patient_until = scan->now + scan->patience;
		t->was_asked = t->is_given_up = false;
	}
	/* Not waited for: if its unit comes after all, it comes late. */
	return is_waited_for(proc, t, scan) ? t->last_stamp : idle;
}

static int scan_tenant(struct ms_process *proc, struct ms_tenant *t, struct ms_scan *scan)
{
	struct ms_segment *seg = ms_process_segment(proc);
	bool was_gone = t->is_gone; /* before the look: then the look is the last */
	struct ms_look look = ms_slot_look(&seg->slots[t->cursor.slot]);
	bool has_moved = !ms_tenant_is_drained(t, look.committed);
	int rc = 1;
	if (has_moved) {
		uint64_t before = t->queue.n;
		t->horizon = horizon_of(scan);
		rc = ms_tenant_drain(t, seg, &proc->tree, scan->drain, look, scan->max_items);
		scan->n_units += t->queue.n - before;
		if (rc < 0 || ms_merge_update(scan->merge, &t->queue))
			return -1;
	}
	uint64_t bound = rc == 0 ? t->last_stamp : bound_of(proc, t, look, scan, has_moved);
	scan->is_behind |= rc == 0;
	if (rc > 0 && was_gone) {
		t->is_over = true;
		bound = UINT64_MAX;
	}
	if (bound > t->bound)
		t->bound = bound;
	return 0;
}

int ms_process_scan(struct ms_process *proc, struct ms_scan *scan)
{
	struct ms_segment *seg = ms_process_segment(proc);
	uint32_t high = atomic_load_explicit(&seg->control->slots_high, memory_order_acquire);
	if (high > seg->n_slots)
		high = seg->n_slots;
	uint64_t units_before = scan->n_units;
	if (atomic_load_explicit(&seg->control->chunks_in_use, memory_order_relaxed) >= seg->backlog)
		ms_chunks_recount(seg);
	uint32_t n_chunks = atomic_load_explicit(&seg->control->chunks_in_use, memory_order_relaxed);
	proc->n_chunks = n_chunks < seg->n_chunks ? n_chunks : seg->n_chunks;
	if (proc->n_chunks > proc->max_chunks)
		proc->max_chunks = proc->n_chunks;
	if (look_up_to(proc, high))
		return -1;
	for (uint32_t i = 0; i < proc->n_tenants; i++) {
		struct ms_tenant *t = proc->tenants[i];
		if (!t) {
			if (atomic_load_explicit(&seg->slots[i].state, memory_order_acquire) == MS_SLOT_FREE)
				continue; /* anything else is live, or was and has been written over */
			t = welcome(proc, i, scan);
			if (!t)
				return -1;
		}
		if (t->is_over)
			continue;
		if (scan_tenant(proc, t, scan))
			return -1;
		if (t->bound < scan->bound)
			scan->bound = t->bound;
	}
	if (scan->n_units != units_before)
		ms_share_freed(&proc->arrival->share);
	return 0;
}

/* ---- tenants go ------------------------------------------------------------------------------------- */

static bool is_among(const uint32_t *sorted, size_t n, uint32_t tid)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (sorted[mid] < tid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && sorted[low] == tid;
}

static void refresh_names(struct ms_process *proc, uint64_t now_ns)
{
	for (uint32_t i = 0; i < proc->n_tenants; i++) {
		struct ms_tenant *t = proc->tenants[i];
		if (!t || t->is_gone || now_ns < t->next_name_ns)
			continue;
		ask_name(proc, t);
		t->next_name_ns = now_ns + NAME_AGAIN_NS;
	}
}

/* May the thread end before the image? Its first one stays in the list of its threads as long as there are others. */
static bool may_end(const struct ms_process *proc, const struct ms_tenant *t)
{
	return t && !t->is_gone && t->tid != proc->own_pid;
}

static void look_for_ended(struct ms_process *proc)
{
	uint32_t *alive = NULL;
	size_t cap = 0;
	ssize_t n = ms_procfs_threads((pid_t)proc->pid, &alive, &cap);
	for (uint32_t i = 0; n > 0 && i < proc->n_tenants; i++) {
		struct ms_tenant *t = proc->tenants[i];
		if (!may_end(proc, t))
			continue;
		find_outer_tid(proc, t);
		t->is_gone = t->outer_tid && !is_among(alive, (size_t)n, t->outer_tid) &&
			     !ms_procfs_has_thread((pid_t)proc->pid, (pid_t)t->outer_tid);
	}
	free(alive);
}

void ms_process_reap(struct ms_process *proc, uint64_t now_ns)
{
	bool wants_look = false;
	if (proc->is_dead || now_ns < proc->next_reap_ns)
		return;
	for (uint32_t i = 0; i < proc->n_tenants; i++)
		wants_look |= may_end(proc, proc->tenants[i]);
	if (wants_look)
		look_for_ended(proc);
	refresh_names(proc, now_ns);
	uint64_t cost_ns = ms_monotonic_ns() - now_ns;
	proc->next_reap_ns = now_ns + REAP_NS + cost_ns * REAP_SHARE;
}

void ms_process_die(struct ms_process *proc, uint8_t fate, int32_t status, uint64_t end_stamp)
{
	if (proc->is_dead)
		return;
	proc->is_dead = true;
	proc->fate = fate;
	proc->status = status;
	proc->end_stamp = end_stamp;
	for (uint32_t i = 0; i < proc->n_tenants; i++)
		if (proc->tenants[i])
			proc->tenants[i]->is_gone = true;
}

bool ms_process_is_finished(const struct ms_process *proc)
{
	return proc->is_dead && proc->n_live == 0;
}

void ms_process_part(struct ms_process *proc, struct ms_tenant *t, struct ms_pool *pool)
{
	struct ms_segment *seg = ms_process_segment(proc);
	struct ms_slot *slot = &seg->slots[t->cursor.slot];
	proc->stall_ns += ms_process_believe(atomic_load_explicit(&slot->stall_ns, memory_order_relaxed));
	proc->hook_ticks += ms_process_believe(atomic_load_explicit(&slot->hook_ticks, memory_order_relaxed));
	proc->hooks_timed += ms_process_believe(atomic_load_explicit(&slot->hooks_timed, memory_order_relaxed));
	proc->faults += t->faults;
	proc->tenants[t->cursor.slot] = NULL;
	proc->n_live--;
	for (size_t i = proc->n_pending; i-- > 0;)
		if (proc->pending[i].tenant == t)
			proc->pending[i] = proc->pending[--proc->n_pending];
	ms_tenant_leave(t, seg);
	ms_share_freed(&proc->arrival->share);
	ms_tenant_free(t, pool);
}

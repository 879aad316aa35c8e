/* events.c - all events that pass the filters, in total order.
 *
 * A release names its block by ordinal; what the block's address and size were is known to the replay, which
 * therefore takes every event, printed or not, from the first on. Threads are resolved once each. */
#include "dump.h"
#include "print.h"
#include "report.h"
#include "room.h"

#include <stdlib.h>

struct who { /* a thread, resolved */
	uint32_t pid, tid;
	bool is_known, is_wanted;
};

struct filter {
	const struct options *options;
	const struct mst_reader *reader;
	uint64_t ops;	 /* bit n: op n is wanted */
	struct who *who; /* by thread id */
	size_t cap_who;
	struct who nobody; /* threads that are in no table */
};

static bool is_listed(const struct ms_u64_list *list, uint32_t id)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i] == id)
			return true;
	return list->n == 0;
}

static struct who resolve(const struct filter *f, uint32_t thread)
{
	const struct mst_thread *t = mst_reader_thread(f->reader, thread);
	const struct mst_process *process = t ? mst_reader_process(f->reader, t->process) : NULL;
	struct who w = {process ? process->pid : 0, t ? t->tid : 0, true, false};

	w.is_wanted = is_listed(&f->options->pids, w.pid) && is_listed(&f->options->tids, w.tid);
	return w;
}

static const struct who *who_is(struct filter *f, uint32_t thread)
{
	uint32_t n = mst_reader_n_threads(f->reader) + 1;

	if (thread < f->cap_who && f->who[thread].is_known)
		return &f->who[thread];
	if (thread >= n) {
		f->nobody = resolve(f, 0);
		return &f->nobody;
	}
	f->who = ms_room_zeroed(f->who, &f->cap_who, n, sizeof(*f->who));
	f->who[thread] = resolve(f, thread);
	return &f->who[thread];
}

/* The operations --op asks for; dies if it does not know one. */
static uint64_t wanted_ops(const struct ms_string_list *names)
{
	uint64_t ops = 0;

	for (size_t i = 0; i < names->n; i++) {
		unsigned op = mst_op_from_name(names->items[i]);

		if (op == 0)
			ms_die("--op: there is no operation '%s'", names->items[i]);
		ops |= UINT64_C(1) << op;
	}
	return names->n ? ops : UINT64_MAX;
}

static bool is_wanted(const struct filter *f, const struct mst_event *ev)
{
	return ev->time_ns >= f->options->from_ns && ev->time_ns <= f->options->to_ns &&
	       f->ops >> (ev->op & 63u) & 1;
}

/* Prints the annotations that stand before an event, from *next on. Filters apply as far as they can: one that is for all
 * processes is of every process, and one that no thread made is of every thread. */
static void print_annotations(struct filter *f, struct printer *p, uint64_t event, size_t *next)
{
	const struct options *o = f->options;
	const struct mst_annotation *a;

	for (; (a = mst_reader_annotation(f->reader, *next)) && a->event <= event; ++*next) {
		const struct mst_process *process = mst_reader_process(f->reader, a->process);
		const struct mst_thread *thread = mst_reader_thread(f->reader, a->thread);
		uint32_t pid = process ? process->pid : 0, tid = thread ? thread->tid : 0;

		if (o->ops.n == 0 && a->time_ns >= o->from_ns && a->time_ns <= o->to_ns &&
			(pid == 0 || is_listed(&o->pids, pid)) && (tid == 0 || is_listed(&o->tids, tid)))
			print_annotation(p, a, pid, tid);
	}
}

/* Replays and prints until the end, the limit, or nobody listens. Returns whether the end was reached. */
static bool print_events(const char *path, struct mst_reader *r, struct mst_replay *replay, struct filter *f,
	struct printer *p, uint64_t *n_read)
{
	uint64_t left = f->options->limit ? f->options->limit : UINT64_MAX;
	size_t next_annotation = 0;
	const struct mst_event *events;
	size_t n;
	int rc;

	while ((rc = mst_reader_next_batch(r, &events, &n)) > 0) {
		for (size_t i = 0; i < n; i++) {
			struct mst_event ev = events[i];

			if (next_annotation < mst_reader_n_annotations(r))
				print_annotations(f, p, ev.number, &next_annotation);
			if (mst_replay_apply(replay, &ev) < 0)
				ms_die("out of memory");
			++*n_read;
			if (!is_wanted(f, &ev))
				continue;
			const struct who *w = who_is(f, ev.thread);

			if (!w->is_wanted)
				continue;
			print_event(p, &ev, w->pid, w->tid);
			if (--left == 0)
				return false;
		}
		if (p->out->error)
			return false;
	}
	if (rc < 0)
		ms_trace_die(r, path, rc);
	print_annotations(f, p, UINT64_MAX, &next_annotation);
	return true;
}

/* What is missing in the part that was read, when that was not all of it. */
static int report_part(const struct mst_reader *r, const char *path)
{
	struct mst_loss loss;
	size_t n;
	const struct mst_damage *damage = mst_reader_damage(r, &n);

	mst_reader_loss(r, &loss);
	ms_trace_report_damage(path, damage, n, loss.places);
	return loss.places ? MS_EXIT_GAPS : MS_EXIT_OK;
}

int dump_events(const char *path, const struct options *options)
{
	struct ms_out out;
	struct mst_reader *r = ms_trace_open(path, NULL);
	struct filter f = {.options = options, .reader = r, .ops = wanted_ops(&options->ops)};
	struct printer p = {.out = &out, .reader = r, .with_stacks = options->with_stacks};
	struct mst_replay *replay = NULL;
	uint64_t n_read = 0;

	bool is_known = ms_trace_load_tables(r, path);

	if (is_known && dump_unknown_pid(r, options))
		ms_die("no process %llu in '%s'", (unsigned long long)*dump_unknown_pid(r, options), path);
	if (!is_known && options->with_stacks)
		ms_info("'%s' is a pipe: the names of functions come at its end, until then stacks are printed as module "
			"and offset", path);
	if (mst_replay_new(r, &(struct mst_replay_options){.keep_copies = true}, &replay) < 0)
		ms_die("out of memory");
	p.format = options->format == FORMAT_TEXT || options->format == FORMAT_CSV
			   ? (enum dump_format)options->format
			   : FORMAT_JSONL;
	ms_out_init_memory(&p.text);
	ms_out_init_memory(&p.scratch);
	ms_report_open(&out, NULL, 0);
	print_header(&p);
	bool is_whole = print_events(path, r, replay, &f, &p, &n_read);

	ms_out_flush(&out);
	int status = is_whole ? ms_trace_report_gaps(r, path, n_read) : report_part(r, path);

	if (is_whole && dump_unknown_pid(r, options)) {
		ms_error("no process %llu in '%s'", (unsigned long long)*dump_unknown_pid(r, options), path);
		status = MS_EXIT_FAIL;
	}

	status = ms_report_close(&out, NULL, status);
	printer_release(&p);
	free(f.who);
	mst_replay_free(replay);
	mst_reader_close(r);
	return status;
}

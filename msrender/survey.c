/* The replay keeps counters per stack; everything here is read off them after the pass. The pass always goes
 * to the end of the trace, also when counting stops earlier: names and damage come until the last frame. */
#include "survey.h"

#include "progress.h"
#include "report.h"
#include "trace.h"
#include "units.h"

#include <stdlib.h>

const char *const survey_value_names[] = {"bytes", "count", "live", "peak", "leaked", "temporary", NULL};

/* A wrong pid would give an empty picture; say which there are. */
static void check_pid(const struct survey *s)
{
	struct ms_out known;
	uint32_t n = mst_reader_n_processes(s->reader), last = 0;

	if (!s->options.pid)
		return;
	ms_out_init_memory(&known);
	for (uint32_t id = 1; id <= n; id++) {
		const struct mst_process *p = mst_reader_process(s->reader, id);

		if (p && p->pid == s->options.pid) {
			ms_out_release(&known);
			return;
		}
		if (!p || p->pid == last || known.len > 100)
			continue;
		ms_out_printf(&known, "%s%u", known.len ? ", " : "", p->pid);
		last = p->pid;
	}
	ms_die("no process %llu in '%s': it has %u: %s", (unsigned long long)s->options.pid, s->path, n,
		ms_out_text(&known));
}

/* How many of the events happened until at_ns. The order decides: what comes after the first later event does
 * not count. */
static size_t count_until(const struct mst_event *events, size_t n, uint64_t at_ns)
{
	size_t i = 0;

	if (at_ns == SURVEY_TO_THE_END)
		return n;
	while (i < n && events[i].time_ns <= at_ns)
		i++;
	return i;
}

static uint64_t latest_ns(const struct mst_event *events, size_t n, uint64_t last_ns)
{
	for (size_t i = 0; i < n; i++)
		last_ns = events[i].time_ns > last_ns ? events[i].time_ns : last_ns;
	return last_ns;
}

static void read_events(struct survey *s)
{
	const struct mst_totals *end = mst_reader_end(s->reader);
	const struct mst_event *events;
	struct ms_progress progress;
	bool is_counting = true;
	size_t n;
	int rc;

	ms_progress_begin(&progress, "events", end ? end->events : 0, s->options.is_quiet);
	while ((rc = mst_reader_next_batch(s->reader, &events, &n)) > 0) {
		size_t n_counted = is_counting ? count_until(events, n, s->options.at_ns) : 0;

		if (mst_replay_apply_batch(s->replay, events, n_counted) < 0)
			ms_die("cannot replay '%s': out of memory", s->path);
		is_counting = n_counted == n;
		s->n_events += n;
		s->last_ns = latest_ns(events, n, s->last_ns);
		ms_progress_update(&progress, s->n_events);
	}
	ms_progress_end(&progress);
	if (rc < 0)
		ms_trace_die(s->reader, s->path, rc);
}

void survey_run(struct survey *s, const char *path, const struct survey_options *opt)
{
	const struct mst_reader_options columns = {
		.columns = MST_COL_TIME | MST_COL_STACK | MST_COL_SIZE | MST_COL_FREED};
	const struct mst_replay_options counting = {.only_pid = (uint32_t)opt->pid, .by_stack = true};

	*s = (struct survey){.path = path, .options = *opt};
	s->reader = ms_trace_open(path, &columns);
	ms_trace_load_tables(s->reader, path);
	if (mst_replay_new(s->reader, &counting, &s->replay) < 0)
		ms_die("cannot replay '%s': out of memory", path);
	read_events(s);
	check_pid(s);
	s->status = ms_trace_report_gaps(s->reader, path, s->n_events);
}

void survey_release(struct survey *s)
{
	mst_replay_free(s->replay);
	mst_reader_close(s->reader);
}

uint64_t survey_weight(const struct mst_counters *c, enum survey_value value)
{
	switch (value) {
	case SURVEY_BYTES:
		return c->allocated_bytes;
	case SURVEY_COUNT:
		return c->allocs;
	case SURVEY_PEAK:
		return c->peak_bytes;
	case SURVEY_TEMPORARY:
		return c->temporary;
	case SURVEY_LIVE:
	case SURVEY_LEAKED:
		break;
	}
	return c->live_bytes;
}

enum view_unit survey_unit(enum survey_value value)
{
	return value == SURVEY_COUNT || value == SURVEY_TEMPORARY ? VIEW_ALLOCATIONS : VIEW_BYTES;
}

uint64_t survey_duration_ns(const struct survey *s)
{
	const struct mst_totals *end = mst_reader_end(s->reader);

	return end && end->duration_ns > s->last_ns ? end->duration_ns : s->last_ns;
}

/* ---- the tree ---- */

static struct view_text string_of(const struct mst_reader *r, uint32_t id)
{
	struct view_text t = {NULL, 0};

	if (id)
		t.s = mst_reader_string(r, id, &t.n);
	return t;
}

static bool is_unnamed(const struct mst_callnode *n)
{
	return !n->function && !n->is_cut;
}

/* "libfoo.so+0x1234", or the bare address of code that no file holds. */
static void write_label(struct ms_out *o, const struct mst_reader *r, const struct mst_callnode *n)
{
	const struct mst_code *code = mst_reader_code(r, n->code);
	const char *path = ms_trace_module_path(r, n->module);
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (path)
		ms_out_printf(o, "%s+", slash ? slash + 1 : path);
	ms_out_str(o, "0x");
	ms_out_hex(o, code ? code->offset : 0);
	ms_out_char(o, '\0');
}

static struct view_text module_of(const struct mst_reader *r, uint32_t id)
{
	const struct mst_module *m = id ? mst_reader_module(r, id) : NULL;

	return string_of(r, m ? m->path : 0);
}

static struct view_node view_of(const struct mst_reader *r, const struct mst_callnode *n)
{
	static const char cut[] = "[cut stack]";
	struct view_node v = {
		.parent = n->parent,
		.first_child = n->first_child,
		.next_sibling = n->next_sibling,
		.name = string_of(r, n->function),
		.module = module_of(r, n->module),
		.file = string_of(r, n->file),
		.line = n->line,
		.is_inlined = n->is_inlined,
		.is_cut = n->is_cut,
		.self = n->self,
		.total = n->total,
	};

	if (n->is_cut)
		v.name = (struct view_text){cut, sizeof(cut) - 1};
	return v;
}

/* The labels lie one behind the other, in the order of the nodes that need one. */
static void convert_nodes(const struct mst_reader *r, const struct mst_callnode *from, struct survey_tree *t)
{
	const char *label;

	for (uint32_t i = 1; i < t->tree.n_nodes; i++)
		if (is_unnamed(&from[i]))
			write_label(&t->labels, r, &from[i]);
	label = ms_out_text(&t->labels);
	for (uint32_t i = 0; i < t->tree.n_nodes; i++) {
		t->nodes[i] = view_of(r, &from[i]);
		if (i == 0 || !is_unnamed(&from[i]))
			continue;
		t->nodes[i].name = (struct view_text){label, strlen(label)};
		label += strlen(label) + 1;
	}
	t->nodes[0].name = (struct view_text){"all", 3};
}

static void add_weights(const struct survey *s, enum survey_value value, struct mst_calltree *calls)
{
	for (uint32_t stack = 0; stack < mst_replay_n_stacks(s->replay); stack++) {
		const struct mst_counters *c = mst_replay_stack(s->replay, stack);
		uint64_t weight = c ? survey_weight(c, value) : 0;

		if (weight && mst_calltree_add(calls, stack, weight) < 0)
			ms_die("out of memory");
	}
}

void survey_build_tree(const struct survey *s, enum survey_value value, struct survey_tree *out)
{
	struct mst_calltree *calls = NULL;
	const struct mst_callnode *from;

	if (mst_calltree_new(s->reader, &calls) < 0)
		ms_die("out of memory");
	add_weights(s, value, calls);
	from = mst_calltree_finish(calls, &out->tree.n_nodes);
	out->nodes = from ? calloc(out->tree.n_nodes, sizeof(*out->nodes)) : NULL;
	if (!out->nodes)
		ms_die("out of memory");
	ms_out_init_memory(&out->labels);
	convert_nodes(s->reader, from, out);
	out->tree.nodes = out->nodes;
	out->tree.unit = survey_unit(value);
	mst_calltree_free(calls);
}

void survey_release_tree(struct survey_tree *t)
{
	free(t->nodes);
	ms_out_release(&t->labels);
	*t = (struct survey_tree){.labels = {.fd = -1}};
}

/* ---- the sentences ---- */

/* The command, arguments apart by blanks. */
static void write_command(struct ms_out *o, const struct mst_header *h)
{
	for (size_t i = 0; i < h->cmdline_len; i++)
		if (h->cmdline[i])
			ms_out_char(o, h->cmdline[i]);
		else if (i + 1 < h->cmdline_len)
			ms_out_char(o, ' ');
}

static void write_what(struct ms_out *o, const struct survey *s, enum survey_value value)
{
	static const char *const what[] = {"Bytes allocated", "Allocations", "Bytes live",
		"Bytes live at the peak", "Bytes never freed", "Temporary allocations"};

	ms_out_str(o, what[value]);
	if (value == SURVEY_PEAK) {
		ms_out_str(o, " (at ");
		ms_print_duration(o, mst_replay_peak_time_ns(s->replay));
		ms_out_char(o, ')');
	}
	if (s->options.at_ns != SURVEY_TO_THE_END) {
		ms_out_str(o, value == SURVEY_LIVE ? " at " : " until ");
		ms_print_duration(o, s->options.at_ns);
	} else if (value == SURVEY_LIVE) {
		ms_out_str(o, " at the end");
	}
	if (s->options.pid)
		ms_out_printf(o, ", process %llu", (unsigned long long)s->options.pid);
}

static void write_caption(struct ms_out *o, const struct survey *s)
{
	uint32_t n_processes = mst_reader_n_processes(s->reader);
	uint32_t n_threads = mst_reader_n_threads(s->reader);

	ms_print_duration(o, survey_duration_ns(s));
	ms_out_str(o, ", ");
	ms_print_count(o, s->n_events);
	ms_out_printf(o, " events, %u process%s, %u thread%s", n_processes, n_processes == 1 ? "" : "es",
		n_threads, n_threads == 1 ? "" : "s");
}

static void write_gaps(struct ms_out *o, const struct survey *s)
{
	uint64_t lost = ms_trace_lost_events(s->reader);
	struct mst_loss loss;

	mst_reader_loss(s->reader, &loss);
	ms_out_str(o, "The trace has gaps");
	if (loss.places)
		ms_out_printf(o, ", %llu damaged places, at least %llu events missing",
			(unsigned long long)loss.places, (unsigned long long)loss.events);
	if (loss.is_truncated)
		ms_out_str(o, ", its end is missing");
	if (lost)
		ms_out_printf(o, ", %llu events lost while recording", (unsigned long long)lost);
}

void survey_describe(const struct survey *s, enum survey_value value, struct survey_facts *out)
{
	ms_out_init_memory(&out->title);
	ms_out_init_memory(&out->caption);
	ms_out_init_memory(&out->gaps);
	write_what(&out->title, s, value);
	ms_out_str(&out->title, ": ");
	write_command(&out->title, mst_reader_header(s->reader));
	write_caption(&out->caption, s);
	if (s->status == MS_EXIT_GAPS)
		write_gaps(&out->gaps, s);
	out->facts = (struct view_facts){
		.title = ms_out_text(&out->title),
		.caption = ms_out_text(&out->caption),
		.gaps = out->gaps.len ? ms_out_text(&out->gaps) : NULL,
	};
}

void survey_release_facts(struct survey_facts *f)
{
	ms_out_release(&f->title);
	ms_out_release(&f->caption);
	ms_out_release(&f->gaps);
}

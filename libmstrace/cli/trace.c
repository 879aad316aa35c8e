/* Messages about a trace have one shape: the trace in quotes, what is missing, and how much of what there
 * was. Damage is a warning and a status of its own, never a reason to stop: what is intact is worth it. */
#include "trace.h"

#include "report.h"
#include "room.h"
#include "units.h"

#include <string.h>

enum { MAX_PLACES = 10 };

void ms_trace_die_of(const char *path, int rc, const struct mst_problem *problem)
{
	if (problem && problem->os_errno)
		ms_die("cannot read '%s': %s", path, strerror(problem->os_errno));
	ms_die("cannot read '%s': %s", path, problem && problem->text[0] ? problem->text : mst_strerror(rc));
}

struct mst_reader *ms_trace_open(const char *path, const struct mst_reader_options *opt)
{
	struct mst_reader *r = NULL;
	struct mst_problem problem = {0};
	int rc = mst_reader_open(path, opt, &r, &problem);

	if (rc < 0)
		ms_trace_die_of(path, rc, &problem);
	return r;
}

struct mst_reader *ms_trace_open_fd(int fd, const char *path, const struct mst_reader_options *opt)
{
	struct mst_reader *r = NULL;
	struct mst_problem problem = {0};
	int rc = mst_reader_open_fd(fd, opt, &r, &problem);

	if (rc < 0)
		ms_trace_die_of(path, rc, &problem);
	return r;
}

void ms_trace_die(const struct mst_reader *r, const char *path, int rc)
{
	ms_trace_die_of(path, rc, mst_reader_problem(r));
}

bool ms_trace_load_tables(struct mst_reader *r, const char *path)
{
	int rc = mst_reader_load_tables(r);

	if (rc < 0 && rc != MST_EARG)
		ms_trace_die(r, path, rc);
	return rc == 0;
}

/* ---- what is missing ---- */

static void say_place(const char *path, const struct mst_damage *d)
{
	struct ms_out lost;

	ms_out_init_memory(&lost);
	if (d->events == UINT64_MAX)
		ms_out_str(&lost, ", an unknown number of events lost");
	else if (d->events > 0) {
		ms_out_str(&lost, ", ");
		ms_print_count(&lost, d->events);
		ms_out_str(&lost, d->events == 1 ? " event lost" : " events lost");
	}
	ms_warn("'%s': damaged at byte %llu, %llu bytes: %s%s", path, (unsigned long long)d->offset,
		(unsigned long long)d->length, d->problem.text, ms_out_text(&lost));
	ms_out_release(&lost);
}

void ms_trace_report_damage(const char *path, const struct mst_damage *damage, size_t n, uint64_t n_places)
{
	size_t shown = n < MAX_PLACES ? n : MAX_PLACES;

	for (size_t i = 0; i < shown; i++)
		say_place(path, &damage[i]);
	if (n_places > shown)
		ms_warn("'%s': and %llu more damaged places (msdump --verify lists them)", path,
			(unsigned long long)(n_places - shown));
}

/* How many events some listed place has lost is not known. */
static bool is_a_lower_bound(const struct mst_damage *damage, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (damage[i].events == UINT64_MAX)
			return true;
	return false;
}

/* "12 of 3,456 events (0.34 %) are missing" */
static void say_missing(const char *path, const struct mst_loss *loss, bool is_least, uint64_t n_events)
{
	struct ms_out line;
	uint64_t all = n_events + loss->events;

	if (is_least && !loss->events)
		return; /* the place itself says that the number is not known */
	if (!loss->events) {
		ms_warn("'%s': no event is missing there", path);
		return;
	}
	ms_out_init_memory(&line);
	if (is_least)
		ms_out_str(&line, "at least ");
	ms_print_count(&line, loss->events);
	ms_out_str(&line, " of ");
	ms_print_count(&line, all);
	ms_out_printf(&line, " events (%.2f %%) are missing",
		all ? 100.0 * (double)loss->events / (double)all : 0.0);
	if (loss->uncertain_blocks) {
		ms_out_str(&line, "; ");
		ms_print_count(&line, loss->uncertain_blocks);
		ms_out_str(&line, " blocks (");
		ms_print_size(&line, loss->uncertain_bytes);
		ms_out_str(&line, ") may have been released among them");
	}
	ms_warn("'%s': %s", path, ms_out_text(&line));
	ms_out_release(&line);
}

uint64_t ms_trace_lost_events(const struct mst_reader *r)
{
	const struct mst_totals *end = mst_reader_end(r);
	uint64_t lost = 0;

	if (end)
		return end->lost_events;
	for (uint32_t id = 1; id <= mst_reader_n_processes(r); id++) {
		const struct mst_process *p = mst_reader_process(r, id);

		lost += p ? p->lost_events : 0;
	}
	return lost;
}

/* What is not there on purpose is no gap, but has to be known by whoever reads the numbers. */
static void say_bounds(const struct mst_reader *r, const char *path)
{
	const struct mst_checkpoint *c = mst_reader_checkpoint(r);
	const struct mst_totals *end = mst_reader_end(r);
	struct ms_out line;

	if (end && end->is_limited)
		ms_info("'%s': the recording ended at the size set for it (--max-size); the program went on", path);
	if (!c || !c->event)
		return;
	ms_out_init_memory(&line);
	ms_print_count(&line, c->event);
	ms_out_str(&line, " events before these were dropped (flight recorder); the ");
	ms_print_count(&line, c->live_blocks);
	ms_out_str(&line, " blocks that lived then are known; the highest peak before was ");
	ms_print_size(&line, c->peak_bytes);
	ms_info("'%s': %s", path, ms_out_text(&line));
	ms_out_release(&line);
}

int ms_trace_report_gaps(const struct mst_reader *r, const char *path, uint64_t n_events)
{
	const struct mst_totals *end = mst_reader_end(r);
	uint64_t lost = ms_trace_lost_events(r);
	struct mst_loss loss;
	size_t n;
	const struct mst_damage *damage = mst_reader_damage(r, &n);
	int status = MS_EXIT_OK;

	mst_reader_loss(r, &loss);
	say_bounds(r, path);
	if (loss.places > 0) {
		ms_trace_report_damage(path, damage, n, loss.places);
		say_missing(path, &loss, is_a_lower_bound(damage, n), n_events);
		status = MS_EXIT_GAPS;
	}
	if (loss.is_truncated || !end) {
		ms_warn("'%s': incomplete: it ends before its end frame (still recording, cut off, or the recorder "
			"was killed)", path);
		status = MS_EXIT_GAPS;
	} else if (!end->is_clean) {
		ms_warn("'%s': incomplete: %s", path,
			end->is_salvaged ? "it is what was intact of a damaged or unfinished trace"
					 : "the recording did not end in the ordinary way");
		status = MS_EXIT_GAPS;
	}
	if (lost > 0) {
		ms_warn("'%s': %llu events were lost while recording", path, (unsigned long long)lost);
		status = MS_EXIT_GAPS;
	}
	return status;
}

/* ---- stacks ---- */

const char *ms_trace_string(const struct mst_reader *r, uint32_t id)
{
	size_t len;
	const char *s = id ? mst_reader_string(r, id, &len) : NULL;

	return s && len ? s : NULL; /* an id whose entry was lost reads as the empty string */
}

const char *ms_trace_module_path(const struct mst_reader *r, uint32_t module)
{
	const struct mst_module *m = module ? mst_reader_module(r, module) : NULL;

	return m ? ms_trace_string(r, m->path) : NULL;
}

static void add_frame(struct ms_frames *f, struct ms_table_frame frame)
{
	f->items = ms_room(f->items, &f->cap, f->n + 1, sizeof(*f->items));
	f->items[f->n++] = frame;
}

/* Stands for the module of code that is in none: a program made it while it ran. */
static const char generated_code[] = "[jit]";

void ms_trace_add_code(const struct mst_reader *r, uint32_t id, struct ms_frames *f)
{
	const struct mst_code *code = mst_reader_code(r, id);
	struct ms_table_frame frame = {
		.module = code ? ms_trace_module_path(r, code->module) : NULL,
		.offset = code ? code->offset : 0,
	};
	size_t n;
	const struct mst_symbol *s = mst_reader_symbols(r, id, &n);

	if (code && code->module == 0)
		frame.module = generated_code;
	if (n == 0)
		add_frame(f, frame);
	for (size_t i = 0; i < n; i++) {
		frame.function = ms_trace_string(r, s[i].function);
		frame.file = ms_trace_string(r, s[i].file);
		frame.line = s[i].line;
		frame.is_inlined = s[i].is_inlined;
		add_frame(f, frame);
	}
}

void ms_trace_frames(const struct mst_reader *r, uint32_t stack, struct ms_frames *f)
{
	f->n = 0;
	f->is_cut = false;
	while (stack > MST_STACK_CUT) {
		const struct mst_stack *s = mst_reader_stack(r, stack);

		if (!s || s->parent >= stack) { /* its entry was in a lost frame: so are its callers */
			stack = MST_STACK_CUT;
			break;
		}
		ms_trace_add_code(r, s->code, f);
		stack = s->parent;
	}
	if (stack == MST_STACK_CUT) {
		f->is_cut = true;
		add_frame(f, (struct ms_table_frame){.is_cut = true});
	}
}

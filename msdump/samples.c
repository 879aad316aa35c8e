/* samples.c - all samples: what the kernel counted for each process, control group and the recorder, when.
 *
 * They stand between the events; the number of the event that comes next says where. */
#include "dump.h"
#include "escape.h"
#include "json.h"
#include "report.h"
#include "trace.h"
#include "units.h"

struct place {
	const struct mst_reader *reader;
	const struct options *options;
	struct ms_out *out;
	enum dump_format format;
	uint64_t left; /* to print */
};

static const char *subject_of(const struct mst_sample *s)
{
	return s->process ? "process" : s->group ? "group" : "recorder";
}

static const struct mst_process *process_of(const struct place *p, const struct mst_sample *s)
{
	return s->process ? mst_reader_process(p->reader, s->process) : NULL;
}

static bool is_known(const struct mst_sample *s, unsigned field)
{
	return s->known >> field & 1 && mst_sample_field_name(field);
}

/* ---- JSON ---- */

static void put_number(struct ms_json *j, const char *key, uint64_t v, bool is_known)
{
	ms_json_key(j, key);
	if (is_known)
		ms_json_u64(j, v);
	else
		ms_json_null(j);
}

static void print_json(const struct place *p, const struct mst_sample *s)
{
	const struct mst_process *process = process_of(p, s);
	const char *group;
	struct ms_json j;
	size_t len;

	ms_json_init(&j, p->out, false);
	ms_json_object(&j);
	ms_json_put_str(&j, "sample", subject_of(s));
	ms_json_put_u64(&j, "time_ns", s->time_ns);
	ms_json_put_u64(&j, "event", s->event);
	put_number(&j, "process", s->process, s->process != 0);
	put_number(&j, "pid", process ? process->pid : 0, process != NULL);
	ms_json_key(&j, "group");
	group = mst_reader_string(p->reader, s->group, &len);
	if (len)
		ms_json_strn(&j, group, len);
	else
		ms_json_null(&j);
	ms_json_put_u64(&j, "cost_ns", s->cost_ns);
	for (unsigned field = 1; field < MST_SAMPLE_FIELDS; field++)
		if (is_known(s, field))
			ms_json_put_u64(&j, mst_sample_field_name(field), s->value[field]);
	ms_json_end(&j);
	ms_json_line(&j);
}

/* ---- CSV ---- */

static void print_csv_header(struct ms_out *o)
{
	ms_out_str(o, "sample,time_ns,event,process,pid,group,cost_ns");
	for (unsigned field = 1; field < MST_SAMPLE_FIELDS; field++)
		if (mst_sample_field_name(field))
			ms_out_printf(o, ",%s", mst_sample_field_name(field));
	ms_out_str(o, "\r\n");
}

static void put_cell(struct ms_out *o, uint64_t v, bool is_known)
{
	ms_out_char(o, ',');
	if (is_known)
		ms_out_printf(o, "%llu", (unsigned long long)v);
}

static void print_csv(const struct place *p, const struct mst_sample *s)
{
	const struct mst_process *process = process_of(p, s);
	size_t len;
	const char *group = mst_reader_string(p->reader, s->group, &len);

	ms_out_str(p->out, subject_of(s));
	put_cell(p->out, s->time_ns, true);
	put_cell(p->out, s->event, true);
	put_cell(p->out, s->process, s->process != 0);
	put_cell(p->out, process ? process->pid : 0, process != NULL);
	ms_out_char(p->out, ',');
	ms_escape_csv(p->out, group, len, false);
	put_cell(p->out, s->cost_ns, true);
	for (unsigned field = 1; field < MST_SAMPLE_FIELDS; field++)
		if (mst_sample_field_name(field))
			put_cell(p->out, s->value[field], is_known(s, field));
	ms_out_str(p->out, "\r\n");
}

/* ---- text ---- */

static void put_value(struct ms_out *o, unsigned field, uint64_t v)
{
	enum mst_sample_unit unit = mst_sample_field_unit(field);

	if (unit == MST_UNIT_NS)
		ms_print_duration(o, v);
	else if (unit == MST_UNIT_COUNT)
		ms_print_count(o, v);
	else if (v == MST_NO_LIMIT)
		ms_out_str(o, "none");
	else
		ms_print_size(o, v);
}

static void print_text(const struct place *p, const struct mst_sample *s)
{
	const struct mst_process *process = process_of(p, s);
	size_t len;
	const char *group = mst_reader_string(p->reader, s->group, &len);

	ms_print_duration_exact(p->out, s->time_ns);
	ms_out_printf(p->out, " before event %llu: %s", (unsigned long long)s->event, subject_of(s));
	if (process)
		ms_out_printf(p->out, " %u", process->pid);
	if (len && !s->process) {
		ms_out_char(p->out, ' ');
		ms_escape_text(p->out, group, len);
	}
	for (unsigned field = 1; field < MST_SAMPLE_FIELDS; field++) {
		if (!is_known(s, field))
			continue;
		ms_out_printf(p->out, "; %s ", mst_sample_field_name(field));
		put_value(p->out, field, s->value[field]);
	}
	ms_out_char(p->out, '\n');
}

/* ---- the pass ---- */

static bool is_wanted(const struct place *p, const struct mst_sample *s)
{
	const struct ms_u64_list *pids = &p->options->pids;
	const struct mst_process *process = process_of(p, s);

	if (s->time_ns < p->options->from_ns || s->time_ns > p->options->to_ns)
		return false;
	for (size_t i = 0; i < pids->n; i++)
		if (process && pids->items[i] == process->pid)
			return true;
	return pids->n == 0;
}

/* False: enough has been printed. */
static bool print_those_before(struct place *p, struct mst_reader *r, uint64_t event)
{
	struct mst_sample s;

	while (mst_reader_next_sample(r, event, &s)) {
		if (!is_wanted(p, &s))
			continue;
		if (p->format == FORMAT_TEXT)
			print_text(p, &s);
		else if (p->format == FORMAT_CSV)
			print_csv(p, &s);
		else
			print_json(p, &s);
		if (--p->left == 0)
			return false;
	}
	return !p->out->error;
}

int dump_samples(const char *path, const struct options *options)
{
	struct ms_out out;
	/* Events are decoded no further than the order needs. */
	struct mst_reader *r = ms_trace_open(
		path, &(struct mst_reader_options){.columns = MST_COL_TIME, .samples = true});
	struct place p = {.reader = r, .options = options, .out = &out};
	const struct mst_event *events;
	uint64_t n_events = 0;
	bool has_more = true;
	size_t n;
	int rc = 0;

	if (ms_trace_load_tables(r, path) && dump_unknown_pid(r, options))
		ms_die("no process %llu in '%s'", (unsigned long long)*dump_unknown_pid(r, options), path);
	p.left = options->limit ? options->limit : UINT64_MAX;
	p.format = options->format == FORMAT_TEXT || options->format == FORMAT_CSV
			   ? (enum dump_format)options->format
			   : FORMAT_JSONL;
	ms_report_open(&out, NULL, 0);
	if (p.format == FORMAT_CSV)
		print_csv_header(&out);
	while (has_more && (rc = mst_reader_next_batch(r, &events, &n)) > 0) {
		n_events += n;
		has_more = print_those_before(&p, r, UINT64_MAX);
	}
	if (rc < 0)
		ms_trace_die(r, path, rc);
	ms_out_flush(&out);
	int status = has_more ? ms_trace_report_gaps(r, path, n_events) : MS_EXIT_OK;

	if (has_more && dump_unknown_pid(r, options)) {
		ms_error("no process %llu in '%s'", (unsigned long long)*dump_unknown_pid(r, options), path);
		status = MS_EXIT_FAIL;
	}

	status = ms_report_close(&out, NULL, status);
	mst_reader_close(r);
	return status;
}

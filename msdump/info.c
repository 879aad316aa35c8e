/* info.c - what the file consists of: who wrote it about what, and which frames take how much room. */
#include "dump.h"
#include "json.h"
#include "report.h"
#include "room.h"
#include "table.h"
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KINDS = 32 };

static const struct ms_column facts[] = {
	{"path", "trace", MS_COLUMN_STRING},
	{"bytes", "size", MS_COLUMN_BYTES},
	{"format", "format", MS_COLUMN_STRING},
	{"tool", "written by", MS_COLUMN_STRING},
	{"command", "command", MS_COLUMN_STRING},
	{"cwd", "directory", MS_COLUMN_STRING},
	{"host", "host", MS_COLUMN_STRING},
	{"kernel", "kernel", MS_COLUMN_STRING},
	{"arch", "architecture", MS_COLUMN_STRING},
	{"cpus", "processors", MS_COLUMN_COUNT},
	{"page_size", "page size", MS_COLUMN_BYTES},
	{"start", "started", MS_COLUMN_STRING},
	{"start_realtime_ns", "started, ns since 1970", MS_COLUMN_NUMBER},
	{"clock", "clock", MS_COLUMN_STRING},
	{"time_unit_ns", "unit of time", MS_COLUMN_DURATION},
	{"addresses", "addresses recorded", MS_COLUMN_BOOL},
	{"free_stacks", "stacks of frees recorded", MS_COLUMN_BOOL},
	{"stack_depth", "deepest stack allowed", MS_COLUMN_COUNT},
	{"duration_ns", "duration", MS_COLUMN_DURATION},
	{"events", "events", MS_COLUMN_COUNT},
	{"bytes_per_event", "bytes per event", MS_COLUMN_STRING},
	{"compression", "compression of frames", MS_COLUMN_STRING},
	{"frames", "frames", MS_COLUMN_COUNT},
	{"processes", "processes", MS_COLUMN_COUNT},
	{"threads", "threads", MS_COLUMN_COUNT},
	{"modules", "modules", MS_COLUMN_COUNT},
	{"codes", "code addresses", MS_COLUMN_COUNT},
	{"stacks", "nodes of the stack tree", MS_COLUMN_COUNT},
	{"mappings", "mappings", MS_COLUMN_COUNT},
	{"has_index", "index", MS_COLUMN_BOOL},
	{"has_end", "end frame", MS_COLUMN_BOOL},
	{"complete", "complete", MS_COLUMN_BOOL},
};

static const struct ms_column kinds[] = {
	{"kind", "frames", MS_COLUMN_STRING},
	{"frames", "number", MS_COLUMN_COUNT},
	{"stored_bytes", "stored", MS_COLUMN_BYTES},
	{"raw_bytes", "raw", MS_COLUMN_BYTES},
	{"percent", "share", MS_COLUMN_PERCENT},
};

/* A pipe is read once, but is wanted twice: for the tables and for the frames. It goes to an unnamed file. */
static int spool(int fd, const char *path)
{
	FILE *spooled = tmpfile();
	char buf[1 << 16];
	ssize_t n;

	if (!spooled)
		ms_die("cannot create a temporary file: %s", strerror(errno));
	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ms_die("cannot read '%s': %s", path, strerror(errno));
		if (fwrite(buf, 1, (size_t)n, spooled) != (size_t)n)
			ms_die("cannot write a temporary file: %s", strerror(errno));
	}
	if (fflush(spooled) != 0)
		ms_die("cannot write a temporary file: %s", strerror(errno));
	int copy = dup(fileno(spooled));

	fclose(spooled);
	if (copy < 0 || lseek(copy, 0, SEEK_SET) != 0)
		ms_die("cannot read a temporary file: %s", strerror(errno));
	return copy;
}

static int open_seekable(const char *path)
{
	int fd = dump_open(path);

	return lseek(fd, 0, SEEK_CUR) < 0 ? spool(fd, path) : fd;
}

static void add_words(struct ms_table *t, const char *s, size_t n)
{
	char *line = ms_zeroed(n, 1);

	for (size_t i = 0; i < n; i++)
		line[i] = s[i] ? s[i] : ' ';
	ms_table_stringn(t, line, n);
	free(line);
}

static void add_date(struct ms_table *t, uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm tm;
	char date[64];

	if (realtime_ns && gmtime_r(&seconds, &tm) &&
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm))
		ms_table_string(t, date);
	else
		ms_table_absent(t);
}

/* part / whole with two decimals. */
static void add_ratio(struct ms_table *t, uint64_t part, uint64_t whole)
{
	char ratio[64];

	if (whole == 0) {
		ms_table_absent(t);
		return;
	}
	snprintf(ratio, sizeof(ratio), "%.2f", (double)part / (double)whole);
	ms_table_string(t, ratio);
}

static void add_header(struct ms_table *t, const char *path, const struct mst_header *h, uint64_t bytes)
{
	char format[16];

	snprintf(format, sizeof(format), "%u.%u", h->format_major, h->format_minor);
	ms_table_string(t, path);
	ms_table_number(t, bytes);
	ms_table_string(t, format);
	ms_table_string(t, h->tool);
	add_words(t, h->cmdline, h->cmdline_len);
	ms_table_string(t, h->cwd);
	ms_table_string(t, h->host);
	ms_table_string(t, h->kernel);
	ms_table_string(t, h->arch);
	ms_table_number(t, h->n_cpus);
	ms_table_number(t, h->page_size);
	add_date(t, h->start_realtime_ns);
	ms_table_number(t, h->start_realtime_ns);
	ms_table_string(t, h->clock);
	ms_table_number(t, UINT64_C(1) << (h->time_shift & 63));
	ms_table_number(t, h->has_addresses);
	ms_table_number(t, h->has_free_stacks);
	ms_table_number(t, h->stack_depth);
}

static uint64_t sum(const uint64_t *by_kind)
{
	uint64_t all = 0;

	for (size_t i = 0; i < KINDS; i++)
		all += by_kind[i];
	return all;
}

static struct ms_table *facts_table(
	const char *path, const struct mst_reader *r, const struct mst_verify_result *v, bool is_sound)
{
	const struct mst_totals *end = mst_reader_end(r);
	struct ms_table *t = ms_table_new(facts, sizeof(facts) / sizeof(*facts));

	ms_table_row(t);
	add_header(t, path, mst_reader_header(r), v->bytes);
	if (end)
		ms_table_number(t, end->duration_ns);
	else
		ms_table_absent(t);
	ms_table_number(t, v->n_events);
	add_ratio(t, v->bytes, v->n_events);
	add_ratio(t, sum(v->raw_by_kind), sum(v->stored_by_kind));
	ms_table_number(t, v->n_frames);
	ms_table_number(t, mst_reader_n_processes(r));
	ms_table_number(t, mst_reader_n_threads(r));
	ms_table_number(t, mst_reader_n_modules(r));
	ms_table_number(t, mst_reader_n_codes(r));
	ms_table_number(t, mst_reader_n_stacks(r) ? mst_reader_n_stacks(r) - MST_STACK_CUT : 0);
	ms_table_number(t, mst_reader_n_mappings(r));
	ms_table_number(t, v->has_index);
	ms_table_number(t, v->has_end);
	ms_table_number(t, is_sound && end && end->is_clean && ms_trace_lost_events(r) == 0);
	return t;
}

static struct ms_table *kinds_table(const struct mst_verify_result *v)
{
	struct ms_table *t = ms_table_new(kinds, sizeof(kinds) / sizeof(*kinds));
	uint64_t all = sum(v->stored_by_kind);

	for (unsigned k = 0; k < KINDS; k++) {
		const char *name = mst_frame_kind_name(k);

		if (v->frames_by_kind[k] == 0)
			continue;
		ms_table_row(t);
		ms_table_string(t, k == KINDS - 1 ? "others" : name ? name : "unknown");
		ms_table_number(t, v->frames_by_kind[k]);
		ms_table_number(t, v->stored_by_kind[k]);
		ms_table_number(t, v->raw_by_kind[k]);
		ms_table_number(t, all ? v->stored_by_kind[k] * 10000 / all : 0);
	}
	return t;
}

static void print_info(const struct ms_table *head, const struct ms_table *rows, int format, struct ms_out *o)
{
	if (format == FORMAT_JSON || format == FORMAT_JSONL) {
		struct ms_json j;

		ms_json_init(&j, o, format == FORMAT_JSON);
		ms_json_object(&j);
		ms_table_json_members(head, &j);
		ms_json_key(&j, "kinds");
		ms_table_json(rows, &j, false);
		ms_json_end(&j);
		ms_json_line(&j);
	} else if (format == FORMAT_CSV) {
		ms_table_print(rows, MS_FORMAT_CSV, o, (struct ms_table_style){0});
	} else {
		ms_table_print(head, MS_FORMAT_TEXT, o, (struct ms_table_style){.is_record = true});
		ms_out_char(o, '\n');
		ms_table_print(
			rows, MS_FORMAT_TEXT, o, (struct ms_table_style){.width = ms_terminal_width(o->fd)});
	}
}

int dump_info(const char *path, const struct options *options)
{
	int fd = open_seekable(path);
	struct mst_reader *r = ms_trace_open_fd(fd, path, NULL);
	struct mst_verify_result v = {0};
	struct mst_problem problem = {0};
	struct ms_out out;
	int rc;

	ms_trace_load_tables(r, path);
	if (lseek(fd, 0, SEEK_SET) < 0)
		ms_die("cannot read '%s': %s", path, strerror(errno));
	rc = mst_verify(fd, &v, NULL, NULL, NULL, &problem);
	if (rc < 0 && rc != MST_EDAMAGED)
		ms_die("cannot read '%s': %s", path, problem.text[0] ? problem.text : mst_strerror(rc));
	struct ms_table *head = facts_table(path, r, &v, rc == 0);
	struct ms_table *rows = kinds_table(&v);

	ms_report_open(&out, NULL, 0);
	print_info(head, rows, options->format, &out);
	int status = ms_trace_report_gaps(r, path, v.n_events);

	if (rc == MST_EDAMAGED && status == MS_EXIT_OK) {
		ms_warn("'%s': damaged; msdump --verify says where", path);
		status = MS_EXIT_GAPS;
	}
	ms_table_free(head);
	ms_table_free(rows);
	mst_reader_close(r);
	close(fd);
	return ms_report_close(&out, NULL, status);
}

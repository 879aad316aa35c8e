/* soundness.c - is every byte of the file what was written, and if not, what can be saved? */
#include "dump.h"
#include "json.h"
#include "report.h"
#include "trace.h"
#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int dump_open(const char *path)
{
	if (strcmp(path, "-") == 0)
		return STDIN_FILENO;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		ms_die("cannot read '%s': %s", path, strerror(errno));
	return fd;
}

/* Prints places as they are found; there may be more than fit in memory. */
struct places {
	struct ms_out *out;
	struct ms_json *json; /* NULL = text */
};

static void json_place(struct ms_json *j, const struct mst_damage *d)
{
	ms_json_object(j);
	ms_json_put_u64(j, "offset", d->offset);
	ms_json_put_u64(j, "length", d->length);
	ms_json_key(j, "frame");
	if (d->problem.frame == UINT64_MAX)
		ms_json_null(j);
	else
		ms_json_u64(j, d->problem.frame);
	ms_json_put_u64(j, "first_event", d->first_event);
	ms_json_key(j, "events");
	if (d->events == UINT64_MAX)
		ms_json_null(j);
	else
		ms_json_u64(j, d->events);
	ms_json_put_str(j, "problem", d->problem.text);
	ms_json_end(j);
}

static void text_place(struct ms_out *o, const struct mst_damage *d)
{
	ms_out_str(o, "damaged: byte ");
	ms_out_u64(o, d->offset);
	ms_out_str(o, ", length ");
	ms_out_u64(o, d->length);
	if (d->problem.frame != UINT64_MAX) {
		ms_out_str(o, ", frame ");
		ms_out_u64(o, d->problem.frame);
	}
	ms_out_printf(o, ": %s", d->problem.text);
	if (d->events == UINT64_MAX) {
		ms_out_str(o, "; an unknown number of events lost");
	} else if (d->events) {
		ms_out_str(o, "; events ");
		ms_out_u64(o, d->first_event);
		ms_out_str(o, " to ");
		ms_out_u64(o, d->first_event + d->events - 1);
		ms_out_str(o, " lost");
	}
	ms_out_char(o, '\n');
}

static void on_damage(void *ctx, const struct mst_damage *d)
{
	struct places *places = ctx;

	if (places->json)
		json_place(places->json, d);
	else
		text_place(places->out, d);
}

static void json_verdict(struct ms_json *j, const struct mst_verify_result *v, bool is_sound)
{
	ms_json_put_bool(j, "sound", is_sound);
	ms_json_put_bool(j, "truncated", v->loss.is_truncated);
	ms_json_put_bool(j, "has_end", v->has_end);
	ms_json_put_bool(j, "has_index", v->has_index);
	ms_json_put_u64(j, "bytes", v->bytes);
	ms_json_put_u64(j, "frames", v->n_frames);
	ms_json_put_u64(j, "events", v->n_events);
	ms_json_put_u64(j, "damaged_places", v->loss.places);
	ms_json_put_u64(j, "lost_frames", v->loss.frames);
	ms_json_put_u64(j, "lost_events", v->loss.events);
	ms_json_put_u64(j, "uncertain_blocks", v->loss.uncertain_blocks);
	ms_json_put_u64(j, "uncertain_bytes", v->loss.uncertain_bytes);
}

/* "1 event", "12,345 events" */
static void count_of(struct ms_out *o, uint64_t n, const char *thing)
{
	ms_print_count(o, n);
	ms_out_printf(o, " %s%s", thing, n == 1 ? "" : "s");
}

/* "sound: 12 intact frames, 345,678 events, 456,789 bytes" */
static void text_verdict(struct ms_out *o, const struct mst_verify_result *v, bool is_sound)
{
	ms_out_str(o, is_sound ? "sound: " : "not sound: ");
	count_of(o, v->n_frames, "intact frame");
	ms_out_str(o, ", ");
	count_of(o, v->n_events, "event");
	ms_out_str(o, ", ");
	count_of(o, v->bytes, "byte");
	ms_out_char(o, '\n');
	if (is_sound)
		return;
	ms_out_str(o, "lost: ");
	count_of(o, v->loss.places, "damaged place");
	ms_out_str(o, ", ");
	count_of(o, v->loss.events, "event");
	ms_out_str(o, " known to be missing, ");
	ms_print_size(o, v->loss.uncertain_bytes);
	ms_out_str(o, " uncertain\n");
	if (v->loss.is_truncated)
		ms_out_str(o, "incomplete: the file ends before its end frame\n");
}

int dump_verify(const char *path, const struct options *options)
{
	bool is_json = options->format == FORMAT_JSON || options->format == FORMAT_JSONL;
	struct mst_problem problem = {0};
	struct mst_verify_result result = {0};
	struct ms_out out;
	struct ms_json j;
	struct places places = {&out, is_json ? &j : NULL};
	int fd = dump_open(path);

	ms_report_open(&out, NULL, 0);
	ms_json_init(&j, &out, options->format == FORMAT_JSON);
	if (is_json) {
		ms_json_object(&j);
		ms_json_key(&j, "damage");
		ms_json_array(&j);
	}
	int rc = mst_verify(fd, &result, NULL, on_damage, &places, &problem);

	if (rc < 0 && rc != MST_EDAMAGED)
		ms_trace_die_of(path, rc, &problem);
	if (is_json) {
		ms_json_end(&j);
		json_verdict(&j, &result, rc == 0);
		ms_json_end(&j);
		ms_json_line(&j);
	} else {
		text_verdict(&out, &result, rc == 0);
	}
	close(fd);
	return ms_report_close(&out, NULL, rc == 0 ? MS_EXIT_OK : MS_EXIT_NO);
}

static void say_salvaged(const char *path, const struct mst_verify_result *v)
{
	struct ms_out line;

	ms_out_init_memory(&line);
	count_of(&line, v->n_frames, "intact frame");
	ms_out_str(&line, " with ");
	count_of(&line, v->n_events, "event");
	ms_info("'%s': copied %s", path, ms_out_text(&line));
	line.len = 0;
	count_of(&line, v->loss.places, "damaged place");
	ms_out_str(&line, ", ");
	count_of(&line, v->loss.events, "event");
	if (v->loss.places)
		ms_warn("'%s': %s known to be missing", path, ms_out_text(&line));
	if (v->loss.is_truncated)
		ms_warn("'%s': incomplete: it ends before its end frame", path);
	ms_out_release(&line);
}

int dump_salvage(const char *path, const struct options *options)
{
	struct mst_problem problem = {0};
	struct mst_verify_result result = {0};
	struct ms_out out;
	int fd = dump_open(path);

	ms_report_open(&out, options->salvage, options->is_forced ? 0 : MS_OUT_NEW);
	int rc = mst_salvage(fd, out.fd, &result, &problem);

	close(fd);
	if (rc < 0 && rc != MST_EDAMAGED) {
		ms_out_release(&out);
		ms_trace_die_of(path, rc, &problem);
	}
	say_salvaged(path, &result);
	bool is_whole = result.loss.places == 0 && !result.loss.is_truncated;

	return ms_report_close(&out, options->salvage, is_whole ? MS_EXIT_OK : MS_EXIT_GAPS);
}

/* format.c - what the format costs for real recordings: format TRACE...
 *
 * Per trace: bytes per event by frame kind and by event column, and how many events a second of one core's time writes
 * (live map, columns, zstd, hashes; to /dev/null), hands to the second thread (what the recorder's own thread pays),
 * and reads with all columns, and without addresses. The writer is given the trace's own dictionaries and events, from memory. A trace longer than MAX_EVENTS is measured by
 * its beginning. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "column.h"
#include "format.h"
#include "mstrace.h"
#include "reader.h"

#define MAX_EVENTS ((size_t)8 << 20)

/* CPU time of this thread: other programs on the machine do not change the figures. */
static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(int rc, const char *what, const char *path)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "format: %s of '%s': %s\n", what, path, mst_strerror(rc));
	exit(2);
}

/* ---- sizes ------------------------------------------------------------------------------------------------ */

struct sizes {
	uint64_t columns[256];
	uint64_t events;
};

static const char *column_name(unsigned id)
{
	static const char *const names[MST_COLUMN_END] = {
		"", "THREAD", "RUN_SLOT", "RUN_LENGTH", "SITE_CODE", "SITE_INDEX", "SITE_OP", "SITE_STACK", "TIME_SMALL",
		"TIME_LARGE", "SIZE", "REF", "REF_CROSS", "REF_OLD", "REF_ADDR", "ADDR_CODE", "ADDR_ESCAPE", "EXTRA",
		"MAPPING", "POOL",
	};

	return id < MST_COLUMN_END ? names[id] : "unknown";
}

/* Adds up the directory of one event frame (FORMAT.md "Event frames"). */
static int add_columns(void *ctx, const struct mst_frame *f, const struct mst_evt *evt)
{
	struct sizes *s = ctx;
	struct mst_cursor c;
	uint32_t n;

	if (!evt)
		return 0;
	c = mst_cursor_over(f->payload, f->stored_len);
	n = mst_get32(&c);
	for (uint32_t i = 0; i < n && !c.failed; i++) {
		unsigned id = mst_get8(&c);

		mst_get_bytes(&c, 3);
		s->columns[id] += mst_get32(&c);
		mst_get32(&c);
	}
	s->events += f->n_items;
	return 0;
}

static void print_sizes(const char *path)
{
	struct mst_verify_result v;
	struct sizes s = {0};
	struct mst_reader *r;
	struct mst_event ev;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	double n;

	must(fd, "opening", path);
	must(mst_verify(fd, &v, NULL, NULL, NULL, NULL), "verification", path);
	must(mst_reader_new(fd, false, NULL, &r), "opening", path);
	r->on_frame = add_columns;
	r->ctx = &s;
	while (mst_reader_next(r, &ev) > 0)
		;
	mst_reader_close(r);
	close(fd);
	n = (double)(s.events ? s.events : 1);
	printf("%s: %llu events, %llu bytes: %.3f bytes per event\n", path, (unsigned long long)s.events,
		(unsigned long long)v.bytes, (double)v.bytes / n);
	for (unsigned kind = 0; kind < MST_KIND_LIMIT; kind++)
		if (v.frames_by_kind[kind])
			printf("  %-12s %8.4f  %10llu bytes in %llu frames\n", mst_frame_kind_name(kind),
				(double)v.stored_by_kind[kind] / n, (unsigned long long)v.stored_by_kind[kind],
				(unsigned long long)v.frames_by_kind[kind]);
	for (unsigned id = 0; id < 256; id++)
		if (s.columns[id])
			printf("    %-12s %8.4f\n", column_name(id), (double)s.columns[id] / n);
}

/* ---- speed ------------------------------------------------------------------------------------------------ */

static double read_rate(const char *path, unsigned columns)
{
	struct mst_reader_options opt = {.columns = columns};
	const struct mst_event *events;
	struct mst_reader *r;
	size_t n, sum = 0;
	double start;

	must(mst_reader_open(path, &opt, &r, NULL), "opening", path);
	start = seconds();
	while (mst_reader_next_batch(r, &events, &n) > 0)
		sum += n;
	start = seconds() - start;
	mst_reader_close(r);
	return (double)sum / start / 1e6;
}

/* Events with all that a writer wants to know: the replay fills in addresses of what is released. */
static struct mst_event *load_events(struct mst_reader *r, size_t *n)
{
	struct mst_event *events = malloc(MAX_EVENTS * sizeof(*events));
	struct mst_replay_options opt = {0};
	struct mst_replay *replay;

	*n = 0;
	if (!events || mst_replay_new(r, &opt, &replay) < 0)
		return NULL;
	while (*n < MAX_EVENTS && mst_reader_next(r, &events[*n]) > 0)
		if (mst_replay_apply(replay, &events[(*n)++]) < 0)
			break;
	mst_replay_free(replay);
	return events;
}

/* Process k must be said before what refers to it; which process a fork came from does not matter for speed. */
static int copy_tables(const struct mst_reader *r, struct mst_writer *w)
{
	uint32_t id;
	int rc = 0;

	for (uint32_t i = 1; i <= mst_reader_n_codes(r) && rc == 0; i++)
		rc = mst_writer_code(w, 0, i, &id);
	for (uint32_t i = MST_STACK_FIRST; i <= mst_reader_n_stacks(r) && rc == 0; i++)
		rc = mst_writer_stack(w, mst_reader_stack(r, i)->parent, mst_reader_stack(r, i)->code, &id);
	for (uint32_t i = 1; i <= mst_reader_n_processes(r) && rc == 0; i++) {
		struct mst_process p = *mst_reader_process(r, i);

		p.origin = MST_ORIGIN_START;
		p.exe = p.cmdline = 0;
		rc = mst_writer_process(w, &p, &id);
	}
	for (uint32_t i = 1; i <= mst_reader_n_threads(r) && rc == 0; i++) {
		struct mst_thread t = *mst_reader_thread(r, i);

		t.name = 0;
		rc = mst_writer_thread(w, &t, &id);
	}
	return rc;
}

static double write_rate(const struct mst_reader *r, const char *path, const struct mst_event *events, size_t n,
	bool threaded)
{
	struct mst_writer_options opt = {.header = *mst_reader_header(r), .threaded = threaded};
	struct mst_writer *w;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	double start;

	must(mst_writer_open(fd, &opt, &w), "writing", path);
	must(copy_tables(r, w), "writing tables", path);
	start = seconds();
	for (size_t i = 0; i < n; i++) {
		struct mst_event ev = events[i];

		must(mst_writer_event(w, &ev), "writing events", path);
	}
	must(mst_writer_flush(w), "writing", path);
	start = seconds() - start;
	must(mst_writer_close(w, true, 0, NULL), "closing", path);
	close(fd);
	return (double)n / start / 1e6;
}

static void print_speed(const char *path)
{
	struct mst_reader *r;
	struct mst_event *events;
	size_t n;

	must(mst_reader_open(path, NULL, &r, NULL), "opening", path);
	must(mst_reader_load_tables(r), "loading tables", path);
	events = load_events(r, &n);
	must(events ? 0 : MST_ENOMEM, "loading events", path);
	printf("  million events a second: write %.1f, hand to a second thread %.1f; read all columns %.1f, "
	       "without addresses %.1f\n",
		write_rate(r, path, events, n, false), write_rate(r, path, events, n, true),
		read_rate(path, MST_COL_ALL), read_rate(path, MST_COL_ALL & ~MST_COL_ADDR));
	free(events);
	mst_reader_close(r);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		print_sizes(argv[i]);
		print_speed(argv[i]);
	}
	return 0;
}

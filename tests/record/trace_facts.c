/* trace_facts TRACE [SIZE...]: what a trace says, as one JSON object, through libmstrace alone. For the tests
 * of msrecord, which must not depend on another tool being right. Of blocks of the SIZEs it says how many were
 * acquired and released by the same process, and how many calls for one failed. Exit 0, or 2 if the file is
 * no trace. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cut_frame.h"
#include "mstrace.h"

#define PROCESSES_MAX 100000u

static uint64_t foreign[PROCESSES_MAX]; /* releases of unknown blocks, by process */

static void print_string(const struct mst_reader *r, uint32_t id)
{
	size_t len = 0;
	const char *s = id ? mst_reader_string(r, id, &len) : "";
	putchar('"');
	for (size_t i = 0; i < len; i++)
		if (s[i] < ' ' || s[i] == '"' || s[i] == '\\' || s[i] == 127)
			printf("\\u%04x", (unsigned char)s[i]);
		else
			putchar(s[i]);
	putchar('"');
}

static void print_process(const struct mst_reader *r, struct mst_replay *replay, uint32_t id)
{
	const struct mst_process *p = mst_reader_process(r, id);
	const struct mst_counters *c = mst_replay_process(replay, id);
	printf("%s\n  {\"id\": %u, \"pid\": %u, \"parent\": %u, \"origin\": %u, \"fate\": %u, \"status\": %d, "
	       "\"start_event\": %" PRIu64 ", \"end_event\": %" PRId64 ", \"stall_ns\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"allocs\": %" PRIu64 ", \"frees\": %" PRIu64
	       ", \"failed\": %" PRIu64 ", \"foreign\": %" PRIu64 ", \"allocated_bytes\": %" PRIu64
	       ", \"live_blocks\": %" PRIu64 ", \"live_bytes\": %" PRIu64 ", \"exe\": ",
		id > 1 ? "," : "", id, p->pid, p->parent, p->origin, p->fate, p->status, p->start_event,
		(int64_t)p->end_event, p->stall_ns, p->lost_events, c ? c->allocs : 0, c ? c->frees : 0,
		c ? c->failed : 0, foreign[id], c ? c->allocated_bytes : 0, c ? c->live_blocks : 0,
		c ? c->live_bytes : 0);
	print_string(r, p->exe);
	printf(", \"cmdline\": ");
	print_string(r, p->cmdline);
	putchar('}');
}

static void print_functions(const struct mst_reader *r)
{
	bool is_first = true;
	printf("\n ],\n \"functions\": [");
	for (uint32_t code = 1; code <= mst_reader_n_codes(r); code++) {
		size_t n;
		const struct mst_symbol *s = mst_reader_symbols(r, code, &n);
		for (size_t i = 0; i < n; i++) {
			if (!s[i].function)
				continue;
			printf("%s", is_first ? "" : ", ");
			is_first = false;
			print_string(r, s[i].function);
		}
	}
}

static void print_tables(const struct mst_reader *r, struct mst_replay *replay)
{
	printf(" \"processes\": [");
	for (uint32_t id = 1; id <= mst_reader_n_processes(r); id++)
		print_process(r, replay, id);
	printf("\n ],\n \"threads\": [");
	for (uint32_t id = 1; id <= mst_reader_n_threads(r); id++) {
		const struct mst_thread *t = mst_reader_thread(r, id);
		printf("%s{\"process\": %u, \"tid\": %u, \"has_ended\": %s, \"start_ns\": %" PRIu64 ", \"end_ns\": %" PRIu64
		       ", \"lost\": %" PRIu64 ", \"name\": ",
			id > 1 ? ", " : "", t->process, t->tid, t->end_ns == UINT64_MAX ? "false" : "true",
			t->start_ns, t->end_ns, t->lost_events);
		print_string(r, t->name);
		putchar('}');
	}
	print_functions(r);
	printf("]\n}\n");
}

struct seen {
	uint64_t events, late, unstacked, splits, last_ns, backwards;
	uint64_t ops[MST_OP_MAX + 1];
};

/* A size asked after. */
struct size_count {
	uint64_t size, acquired, released, failed;
};

static void count_size(const struct mst_event *ev, struct size_count *sizes, int n_sizes)
{
	for (int i = 0; i < n_sizes; i++) {
		if (sizes[i].size != ev->size)
			continue;
		sizes[i].acquired += ev->alloc != 0;
		sizes[i].released += ev->freed && !ev->alloc && !(ev->flags & MST_EV_INHERITED);
		sizes[i].failed += !!(ev->flags & MST_EV_FAILED);
	}
}

static void print_sizes(const struct size_count *sizes, int n_sizes)
{
	printf(" \"sizes\": {");
	for (int i = 0; i < n_sizes; i++)
		printf("%s\"%" PRIu64 "\": [%" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", i ? ", " : "",
			sizes[i].size, sizes[i].acquired, sizes[i].released, sizes[i].failed);
	printf("},\n");
}

static void count(const struct mst_reader *r, const struct mst_event *ev, struct seen *seen)
{
	const struct mst_thread *t = mst_reader_thread(r, ev->thread);
	seen->events++;
	seen->late += !!(ev->flags & MST_EV_LATE);
	seen->unstacked += ev->stack == 0;
	seen->splits += ev->op == MST_OP_REALLOC_BEGIN;
	seen->backwards += ev->time_ns < seen->last_ns && !(ev->flags & MST_EV_LATE);
	seen->last_ns = ev->time_ns > seen->last_ns ? ev->time_ns : seen->last_ns;
	seen->ops[ev->op & MST_OP_MAX]++;
	foreign[t && t->process < PROCESSES_MAX ? t->process : 0] += !!(ev->flags & MST_EV_FOREIGN);
}

static void print_seen(const struct mst_reader *r, const char *path, const struct seen *seen)
{
	const struct mst_totals *end = mst_reader_end(r);
	struct mst_loss loss;
	mst_reader_loss(r, &loss);
	printf("{\n \"events\": %" PRIu64 ", \"late\": %" PRIu64 ", \"unstacked\": %" PRIu64
	       ", \"splits\": %" PRIu64 ", \"backwards\": %" PRIu64 ",\n \"damaged\": %" PRIu64
	       ", \"truncated\": %s,\n",
		seen->events, seen->late, seen->unstacked, seen->splits, seen->backwards, damaged_places(r, path),
		loss.is_truncated ? "true" : "false");
	if (end)
		printf(" \"end\": {\"events\": %" PRIu64 ", \"overlaps\": %" PRIu64
		       ", \"clean\": %s, \"exit\": %d, \"lost\": %" PRIu64 "},\n",
			end->events, end->overlaps, end->is_clean ? "true" : "false", end->exit_status,
			end->lost_events);
	printf(" \"ops\": {");
	bool is_first = true;
	for (unsigned op = 1; op <= MST_OP_MAX; op++) {
		if (!seen->ops[op])
			continue;
		printf("%s\"%s\": %" PRIu64, is_first ? "" : ", ", mst_op_name(op), seen->ops[op]);
		is_first = false;
	}
	printf("},\n");
}

int main(int argc, char **argv)
{
	struct mst_reader *r = NULL;
	struct mst_replay *replay = NULL;
	struct mst_problem problem;
	struct seen seen = {0};
	struct mst_event ev;
	int n_sizes = argc > 2 ? argc - 2 : 0;
	struct size_count *sizes = calloc((size_t)n_sizes + 1, sizeof(*sizes));
	for (int i = 0; sizes && i < n_sizes; i++)
		sizes[i].size = strtoull(argv[i + 2], NULL, 10);
	int rc = argc >= 2 && sizes ? mst_reader_open(argv[1], NULL, &r, &problem) : MST_EARG;
	if (rc == 0)
		rc = mst_replay_new(r, &(struct mst_replay_options){0}, &replay);
	while (rc >= 0 && (rc = mst_reader_next(r, &ev)) > 0) {
		rc = mst_replay_apply(replay, &ev);
		count(r, &ev, &seen);
		count_size(&ev, sizes, n_sizes);
	}
	if (rc < 0) {
		fprintf(stderr, "trace_facts: %s\n", mst_strerror(rc));
		return 2;
	}
	print_seen(r, argv[1], &seen);
	print_sizes(sizes, n_sizes);
	print_tables(r, replay);
	mst_replay_free(replay);
	mst_reader_close(r);
	free(sizes);
	return 0;
}

/* bench_replay TRACE - what replaying costs beside decoding: events per second and core of each, over the
 * whole trace, best of three. Decoding is timed with the columns that the replay needs; the replay runs on
 * the same batches. */
#include "mstrace.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench_replay: %s: %s\n", what, mst_strerror(rc));
	exit(1);
}

struct cost {
	double decode, replay;
	uint64_t events;
};

static struct cost measure(const char *path, bool by_stack)
{
	unsigned columns = MST_COL_TIME | MST_COL_SIZE | MST_COL_FREED | (by_stack ? MST_COL_STACK : 0u);
	struct mst_reader *r = NULL;
	struct mst_replay *p = NULL;
	const struct mst_event *events;
	struct cost cost = {0};
	size_t n;
	int rc;

	must(mst_reader_open(path, &(struct mst_reader_options){.columns = columns}, &r, NULL), path);
	must(mst_replay_new(r, &(struct mst_replay_options){.by_stack = by_stack}, &p), "replay");
	for (double at = seconds(), then;; at = then) {
		rc = mst_reader_next_batch(r, &events, &n);
		then = seconds();
		cost.decode += then - at;
		if (rc <= 0)
			break;
		must(mst_replay_apply_batch(p, events, n), "apply");
		at = then;
		then = seconds();
		cost.replay += then - at;
		cost.events += n;
	}
	must(rc, path);
	mst_replay_free(p);
	mst_reader_close(r);
	return cost;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: bench_replay TRACE\n");
		return 2;
	}
	for (int by_stack = 0; by_stack <= 1; by_stack++) {
		struct cost best = measure(argv[1], by_stack);

		for (int i = 0; i < 2; i++) {
			struct cost c = measure(argv[1], by_stack);

			best.decode = c.decode < best.decode ? c.decode : best.decode;
			best.replay = c.replay < best.replay ? c.replay : best.replay;
		}
		printf("%-16s decode %6.1f M events/s, replay %6.1f M events/s, together %6.1f\n",
			by_stack ? "by stack" : "totals only", (double)best.events / best.decode / 1e6,
			(double)best.events / best.replay / 1e6,
			(double)best.events / (best.decode + best.replay) / 1e6);
	}
	return 0;
}

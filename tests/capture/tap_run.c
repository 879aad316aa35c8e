/* tap_run.c - run a program under the small recorder and print what came: for a look by hand and for
 * benchmarks.
 *
 *	tap_run [-s DEPTH] [-b BACKLOG] [-f] [-d] [-m] [-n] LIBRARY[:MORE] -- PROGRAM ARGS...
 *	-f stacks of frees; -d drop when full; -m CLOCK_MONOTONIC; -n drain only, keep nothing */
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void print_image(struct tap_image *image)
{
	struct tap_count c = tap_replay(image);
	printf("image pid=%d %s events=%zu threads=%u allocs=%lu frees=%lu live=%lu/%lu failed=%lu "
	       "overlaps=%lu foreign=%lu"
	       " bad_reallocs=%lu lost=%lu+%lu disorder=%lu modules=%zu forks=%zu stall_ms=%.1f%s\n",
		image->pid, image->hello.image == MS_IMAGE_FORKED ? "forked" : "new", image->n_events,
		image->n_threads, c.allocs, c.frees, c.live_blocks, c.live_bytes, c.n_failed, c.overlaps,
		c.foreign_frees, c.bad_reallocs, image->lost_events, image->untold_events, image->n_disorder,
		image->n_modules, image->n_forks, (double)image->stall_ns / 1e6,
		image->is_broken ? " BROKEN" : "");
}

int main(int argc, char **argv)
{
	struct tap_options o = {.stack_depth = 256};
	int c;
	while ((c = getopt(argc, argv, "+s:b:fdmn")) > 0) {
		switch (c) {
		case 's':
			o.stack_depth = (uint32_t)atoi(optarg);
			break;
		case 'b':
			o.backlog = (uint32_t)atoi(optarg);
			break;
		case 'f':
			o.free_stacks = true;
			break;
		case 'd':
			o.on_full = MS_FULL_DROP;
			break;
		case 'm':
			o.clock = MS_CLOCK_MONOTONIC;
			break;
		case 'n':
			o.discard = true;
			break;
		default:
			return 2;
		}
	}
	if (argc - optind < 3 || strcmp(argv[optind + 1], "--") != 0)
		return 2;
	o.capture_library = argv[optind];
	struct tap *tap = tap_open(&o);
	int status = tap_wait(tap, tap_spawn(tap, argv + optind + 2, NULL));
	for (size_t i = 0; i < tap->n_images; i++)
		print_image(tap->images[i]);
	if (o.discard)
		printf("drained %.1f MB\n", (double)tap->n_discarded / 1e6);
	tap_close(tap);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* See bounds.h. */
#include "bounds.h"

#include <string.h>

#include "units.h"

#define FRAMES_AT_LEAST 64u /* a bound should be worth so many frames */
#define BYTES_PER_EVENT 2u  /* about */

bool ms_bounds_parse_keep(const char *text, struct ms_bounds *b)
{
	bool has_unit = text[strspn(text, "0123456789.")] != 0;
	b->keep_bytes = b->keep_ns = 0;
	if (has_unit && ms_parse_duration(text, &b->keep_ns) == 0)
		return true;
	return ms_parse_size(text, &b->keep_bytes) == 0;
}

const char *ms_bounds_fault(const struct ms_bounds *b)
{
	if (b->max_bytes && (b->keep_bytes || b->keep_ns))
		return "--max-size keeps the beginning and --keep-last the end: choose one";
	if (b->max_bytes && b->max_bytes < MS_BOUNDS_MIN_BYTES)
		return "--max-size must be 1M or more";
	if (b->keep_bytes && b->keep_bytes < MS_BOUNDS_MIN_BYTES)
		return "--keep-last must be 1M or more, or a time of 1s or more";
	if (b->keep_ns && b->keep_ns < MS_BOUNDS_MIN_NS)
		return "--keep-last must be 1s or more, or a size of 1M or more";
	return NULL;
}

static int begin(void *ctx)
{
	return ms_tracefile_begin_next(ctx);
}

static int commit(void *ctx, int fd)
{
	return ms_tracefile_commit_next(ctx, fd);
}

static void abandon(void *ctx, int fd)
{
	ms_tracefile_abandon_next(ctx, fd);
}

void ms_bounds_apply(const struct ms_bounds *b, struct ms_tracefile *f, struct mst_writer_options *opt)
{
	uint64_t bytes = b->max_bytes ? b->max_bytes : b->keep_bytes;
	uint64_t events = bytes / FRAMES_AT_LEAST / BYTES_PER_EVENT;
	opt->max_bytes = b->max_bytes;
	if (bytes && events < 65536)
		opt->frame_events = (uint32_t)events;
	if (b->keep_ns && b->keep_ns / 8 < 1000000000u)
		opt->frame_ns = b->keep_ns / 8;
	if (b->keep_bytes || b->keep_ns)
		opt->keep = (struct mst_keep){
			.bytes = b->keep_bytes,
			.time_ns = b->keep_ns,
			.begin = begin,
			.commit = commit,
			.abandon = abandon,
			.ctx = f,
		};
}

/* writer.c - a trace's beginning and end. See writer.h. */
#include "writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "keeper.h"
#include "problem.h"

#define DEFAULT_FRAME_NS UINT64_C(1000000000)

/* ---- failures --------------------------------------------------------------------------------------------- */

int mst_writer_fail(struct mst_writer *w, int rc, const char *what)
{
	if (rc == MST_ENOMEM)
		w->rc = mst_problem_memory(&w->problem);
	else
		mst_problem_set(&w->problem, rc, 0, MST_NO_FRAME, "%s", what);
	return rc;
}

int mst_writer_wait(struct mst_writer *w)
{
	mst_handover_wait(&w->handover);
	if (w->rc == 0 && w->output.rc < 0) {
		w->rc = w->output.rc;
		w->problem = w->output.problem;
	}
	return w->rc;
}

const struct mst_problem *mst_writer_problem(const struct mst_writer *w)
{
	return &w->problem;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

/* Copies a string of the caller's to *text, which moves on; NULL stays NULL. */
static const char *keep_text(char **text, const char *s, size_t len)
{
	char *kept = *text;

	if (!s)
		return NULL;
	memcpy(kept, s, len);
	kept[len] = 0;
	*text += len + 1;
	return kept;
}

/* The caller's strings may go away; the HEADER frame is said again at the close. */
static int keep_header(struct mst_writer *w, const struct mst_header *h)
{
	const char *const from[] = {h->tool, h->host, h->kernel, h->arch, h->clock, h->cwd};
	const char **const to[] = {&w->header.tool, &w->header.host, &w->header.kernel, &w->header.arch,
		&w->header.clock, &w->header.cwd};
	size_t size = h->cmdline_len + 1;
	char *text;

	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		size += from[i] ? strlen(from[i]) + 1 : 0;
	w->header = *h;
	w->header_text = text = malloc(size);
	if (!text)
		return MST_ENOMEM;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		*to[i] = keep_text(&text, from[i], from[i] ? strlen(from[i]) : 0);
	w->header.cmdline = keep_text(&text, h->cmdline, h->cmdline ? h->cmdline_len : 0);
	return 0;
}

/* Not 0. Where the kernel gives no random numbers, one that no other file of this machine will have. */
static uint64_t draw_number(void)
{
	struct timespec now = {0};
	uint64_t n = 0;

	while (getrandom(&n, sizeof(n), 0) < 0 && errno == EINTR)
		;
	if (n == 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		n = ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) * 0x9e3779b97f4a7c15u ^ (uint64_t)getpid();
	}
	return n ? n : 1;
}

static void writer_free(struct mst_writer *w)
{
	mst_handover_release(&w->handover);
	mst_keeper_free(w->output.keeper);
	mst_output_release(&w->output);
	mst_ledger_release(&w->ledger);
	mst_images_release(&w->images);
	mst_samples_release(&w->samples);
	mst_batch_release(&w->batches[0]);
	mst_batch_release(&w->batches[1]);
	free(w->header_text);
	free(w->threads);
	free(w);
}

static uint8_t trait_of(unsigned op_byte)
{
	unsigned op = op_byte & MST_OP_MAX;
	unsigned layer = (mst_op_maps(op) ? MST_TRAIT_MAPS : 0u) | (mst_op_pools(op) ? MST_TRAIT_POOLS : 0u);

	if (op_byte & MST_OPBIT_FAILED)
		return (uint8_t)(MST_TRAIT_FAILED | layer);
	return (uint8_t)(layer | (mst_op_acquires(op) ? MST_TRAIT_ACQUIRES : 0u) |
		(mst_op_releases(op) ? MST_TRAIT_RELEASES : 0u) | (mst_op_is_sized(op) ? MST_TRAIT_SIZED : 0u) |
		(op == MST_OP_REALLOC_BEGIN || op == MST_OP_REALLOC_END ? MST_TRAIT_SPLIT : 0u));
}

int mst_writer_open(int fd, const struct mst_writer_options *opt, struct mst_writer **out)
{
	struct mst_writer *w;
	int rc;

	if (opt->header.time_shift > MST_TIME_SHIFT_MAX || opt->frame_events > MST_FRAME_EVENTS_MAX)
		return MST_EARG;
	w = calloc(1, sizeof(*w));
	if (!w)
		return MST_ENOMEM;
	mst_handover_init(&w->handover, &w->output);
	mst_ledger_init(&w->ledger, draw_number());
	w->frame_events = opt->frame_events ? opt->frame_events : MST_FRAME_EVENTS_MAX;
	w->frame_ns = opt->frame_ns ? opt->frame_ns : DEFAULT_FRAME_NS;
	w->copy_stacks = opt->copy_stacks;
	w->max_bytes = opt->max_bytes;
	w->next_ordinal = w->resolve_ordinal = w->next_pool_ordinal = 1;
	w->n_stacks = MST_STACK_CUT;
	for (unsigned byte = 0; byte < sizeof(w->traits); byte++)
		w->traits[byte] = trait_of(byte);
	w->fill = &w->batches[0];
	rc = keep_header(w, &opt->header);
	if (rc == 0)
		rc = mst_output_init(&w->output, fd, opt->file_id ? opt->file_id : draw_number(), opt->level);
	if (rc == 0 && (opt->keep.bytes || opt->keep.time_ns))
		rc = mst_keeper_new(&opt->keep, &w->output.keeper);
	for (unsigned i = 0; i < 2 && rc == 0; i++)
		rc = mst_batch_init(&w->batches[i]);
	if (rc == 0)
		rc = mst_output_header(&w->output, &w->header, 0);
	if (rc == 0)
		rc = mst_output_write(&w->output);
	if (rc == 0 && opt->threaded)
		rc = mst_handover_start(&w->handover);
	if (rc < 0) {
		writer_free(w);
		return rc;
	}
	*out = w;
	return 0;
}

/* ---- what there is so far --------------------------------------------------------------------------------- */

void mst_writer_totals(const struct mst_writer *w, struct mst_totals *out)
{
	*out = w->totals;
	out->duration_ns = w->max_units << w->header.time_shift;
	out->exit_status = -1;
}

int mst_writer_flush(struct mst_writer *w)
{
	if (mst_writer_close_batch(w) < 0)
		return w->rc;
	return mst_writer_wait(w);
}

int mst_writer_kept(struct mst_writer *w, struct mst_kept *out)
{
	*out = (struct mst_kept){0};
	if (mst_writer_flush(w) < 0)
		return w->rc;
	if (w->output.keeper)
		mst_keeper_tell(w->output.keeper, out);
	return 0;
}

/* ---- closing ---------------------------------------------------------------------------------------------- */

/* Says again what a damaged file needs most, dearest first, each kind only if it is small beside the file. */
static int write_copies(struct mst_writer *w)
{
	static const unsigned kinds[] = {MST_KIND_PROC, MST_KIND_THREAD, MST_KIND_MODULE, MST_KIND_MAP,
		MST_KIND_STRING, MST_KIND_CODE, MST_KIND_STACK};
	struct mst_output *o = &w->output;
	uint64_t left = o->offset / MST_COPY_DIVISOR;
	struct mst_pages *pages = &w->fill->pages;

	mst_output_header(o, &w->header, MST_FLAG_COPY);
	for (size_t i = 0; i <= sizeof(kinds) / sizeof(kinds[0]); i++) {
		bool wanted = i > 0 && kinds[i - 1] == MST_KIND_STACK;

		if (!(wanted && w->copy_stacks) && mst_output_limit(o, left) == 0)
			left -= o->bytes.len;
		if (mst_output_write(o) < 0 || i == sizeof(kinds) / sizeof(kinds[0]))
			break;
		mst_pages_clear(pages);
		if (mst_ledger_all(&w->ledger, kinds[i], pages) < 0)
			return mst_writer_fail(w, MST_ENOMEM, "");
		mst_output_pages(o, pages, MST_FLAG_COPY);
	}
	return mst_writer_wait(w);
}

int mst_writer_close(struct mst_writer *w, bool is_clean, int exit_status, uint64_t *bytes)
{
	struct mst_totals totals;
	int rc;

	if (!w)
		return 0;
	rc = mst_writer_flush(w);
	mst_handover_stop(&w->handover);
	mst_keeper_free(w->output.keeper);
	w->output.keeper = NULL;
	if (rc == 0)
		rc = write_copies(w);
	if (rc == 0) {
		mst_writer_totals(w, &totals);
		totals.exit_status = exit_status;
		mst_output_end(&w->output, &totals, (is_clean ? MST_END_CLEAN : 0u) | (w->is_limited ? MST_END_LIMITED : 0u));
		rc = mst_output_write(&w->output);
	}
	if (bytes)
		*bytes = w->output.offset;
	writer_free(w);
	return rc;
}

/* fuzz_reader.c - any bytes as a file, read in every way there is.
 *
 * The first byte says whether the hashes of what looks like frames are made right first: without that no mutation
 * would get past them. Then: read to the end, by file and by pipe; tables ahead; seek; replay from the checkpoint, if
 * there is one; verify; salvage, whose output must itself read without damage other than what is missing. */
#include "bytes.h"
#include "format.h"
#include "mstrace.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* Makes the hashes of everything that looks like a frame right. */
static void mend(uint8_t *p, size_t len)
{
	size_t at = 0;

	while (len - at >= MST_HEADER_MIN) {
		uint8_t *h = p + at;
		size_t header_len = mst_load16(h + MST_AT_HEADER_LEN), stored = mst_load32(h + MST_AT_STORED_LEN);
		uint64_t id = mst_load64(h + MST_AT_FILE_ID);

		if (memcmp(h, MST_SYNC, MST_SYNC_LEN) != 0 || header_len < MST_HEADER_MIN || header_len > MST_HEADER_MAX ||
			header_len > len - at) {
			at++;
			continue;
		}
		if (stored > len - at - header_len) {
			stored = len - at - header_len;
			mst_store32(h + MST_AT_STORED_LEN, (uint32_t)stored);
		}
		if (h[MST_AT_CODEC] == MST_CODEC_STORED)
			mst_store32(h + MST_AT_RAW_LEN, (uint32_t)stored);
		mst_store64(h + MST_AT_PAYLOAD_HASH, XXH3_64bits_withSeed(h + header_len, stored, id));
		mst_store64(h + header_len - MST_HASH_LEN, XXH3_64bits_withSeed(h, header_len - MST_HASH_LEN, id));
		at += header_len + stored;
	}
}

static int file_of(const uint8_t *p, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, p, len) == (ssize_t)len);
	return fd;
}

/* Walks what an entry leads to, as a tool would. */
static void follow_names(const struct mst_reader *r, const struct mst_event *ev)
{
	const struct mst_thread *t = mst_reader_thread(r, ev->thread);
	uint32_t stack = ev->stack;
	unsigned steps = 0;

	if (t)
		must(mst_reader_string(r, t->name, NULL) != NULL);
	for (const struct mst_stack *s; (s = mst_reader_stack(r, stack)) != NULL; stack = s->parent) {
		size_t n;

		must(s->parent < stack);
		mst_reader_symbols(r, s->code, &n);
		if (++steps > 10000)
			break;
	}
}

static int read_events(struct mst_reader *r, uint64_t *n)
{
	struct mst_event ev;
	uint64_t next = 0;
	int rc;

	*n = 0;
	while ((rc = mst_reader_next(r, &ev)) > 0) {
		must(ev.number >= next);
		next = ev.number + 1;
		follow_names(r, &ev);
		++*n;
	}
	return rc;
}

static void read_file(int fd)
{
	struct mst_problem problem;
	struct mst_reader *r;
	struct mst_event ev;
	uint64_t n, again;

	if (mst_reader_open_fd(fd, NULL, &r, &problem) < 0) {
		must(problem.code < 0 && problem.text[0] != 0);
		return;
	}
	/* A table that needs a newer reader ends the first pass; the second has no need of it. */
	if (read_events(r, &n) == 0 && mst_reader_load_tables(r) == 0 && read_events(r, &again) == 0)
		must(again == n);
	if (mst_reader_seek_time(r, 1000000) == 0 && mst_reader_next(r, &ev) > 0)
		must(ev.time_ns >= 1000000);
	mst_reader_close(r);
}

static int count_block(void *ctx, const struct mst_block *b)
{
	uint64_t *last = ctx;

	must(b->alloc > *last);
	*last = b->alloc;
	return 0;
}

static void see_region(void *ctx, const struct mst_mapped *region)
{
	(void)ctx;
	must(region->kind <= MST_MAPPED_HEAP && !region->is_inherited);
	must(region->live_bytes == 0 || region->live_bytes <= region->peak_bytes);
}

/* The live set, and what is mapped, from what lived at the beginning. */
static void replay_file(int fd)
{
	const struct mst_replay_options by_stack = {.by_stack = true}, of_pool = {.only_pool = "arena"};
	const struct mst_spaces_options counting = {.gone = see_region};
	const struct mst_event *events;
	struct mst_replay *p, *pool;
	struct mst_spaces *spaces;
	struct mst_reader *r;
	uint64_t last = 0;
	size_t n;

	if (mst_reader_open_fd(fd, NULL, &r, NULL) < 0)
		return;
	must(mst_replay_new(r, &by_stack, &p) == 0);
	must(mst_replay_new(r, &of_pool, &pool) == 0);
	must(mst_spaces_new(r, &counting, &spaces) == 0);
	for (bool is_first = true; mst_reader_next_batch(r, &events, &n) > 0; is_first = false) {
		if (is_first && mst_reader_checkpoint(r)) {
			must(mst_reader_each_checkpoint_block(r, count_block, &last) == 0);
			must(last < mst_reader_checkpoint(r)->next_alloc);
		}
		must(mst_replay_apply_batch(p, events, n) == 0);
		must(mst_replay_apply_batch(pool, events, n) == 0);
		must(mst_spaces_apply_batch(spaces, events, n) == 0);
	}
	last = 0;
	must(mst_replay_each_live(p, count_block, &last) == 0);
	last = 0;
	must(mst_replay_each_live(pool, count_block, &last) == 0);
	must(mst_spaces_end(spaces) == 0);
	mst_spaces_free(spaces);
	mst_replay_free(pool);
	mst_replay_free(p);
	mst_reader_close(r);
}

static void read_pipe(const uint8_t *p, size_t len)
{
	struct mst_reader *r;
	uint64_t n;
	int ends[2];

	if (len > 60000) /* what a pipe holds */
		return;
	must(pipe(ends) == 0 && write(ends[1], p, len) == (ssize_t)len);
	close(ends[1]);
	if (mst_reader_open_fd(ends[0], NULL, &r, NULL) == 0) {
		read_events(r, &n);
		mst_reader_close(r);
	}
	close(ends[0]);
}

static void salvage(int fd)
{
	struct mst_verify_result found, left;
	struct mst_problem problem;
	int out = memfd_create("salvaged", MFD_CLOEXEC);
	int verified = mst_verify(fd, &found, NULL, NULL, NULL, &problem);

	if (mst_salvage(fd, out, &found, &problem) == 0) {
		int rc = mst_verify(out, &left, NULL, NULL, NULL, &problem);

		must(rc == 0 || rc == MST_EDAMAGED || rc == MST_EVERSION); /* what needs a newer reader still does */
		must(left.n_events == found.n_events && !left.loss.is_truncated);
		if (verified == 0)
			must(rc == 0);
	}
	close(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *p;
	int fd;

	if (size == 0)
		return 0;
	mallopt(M_MMAP_THRESHOLD, 128 << 10); /* else each reader's scratch is cleared, not mapped */
	p = malloc(size);
	must(p != NULL);
	memcpy(p, data + 1, size - 1);
	if (data[0] & 1)
		mend(p, size - 1);
	fd = file_of(p, size - 1);
	read_file(fd);
	replay_file(fd);
	read_pipe(p, size - 1);
	salvage(fd);
	close(fd);
	free(p);
	return 0;
}

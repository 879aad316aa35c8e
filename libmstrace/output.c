#include "output.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "header.h"
#include "problem.h"

#define DEFAULT_LEVEL 3

int mst_output_init(struct mst_output *o, int fd, uint64_t file_id, int level)
{
	*o = (struct mst_output){.fd = fd, .file_id = file_id, .level = level ? level : DEFAULT_LEVEL};
	o->packer = mst_packer_new(o->level);
	return o->packer ? 0 : MST_ENOMEM;
}

void mst_output_release(struct mst_output *o)
{
	mst_packer_free(o->packer);
	mst_event_encoder_free(o->encoder);
	mst_index_release(&o->index);
	mst_buffer_release(&o->bytes);
}

static int out_of_memory(struct mst_output *o)
{
	return o->rc = mst_problem_memory(&o->problem);
}

/* Packs one frame of any kind and notes it in the index. */
static int add_frame(struct mst_output *o, struct mst_frame *f, const uint8_t *extension, const uint8_t *raw,
	size_t len, const struct mst_evt *evt)
{
	if (o->rc < 0)
		return o->rc;
	f->file_id = o->file_id;
	f->seq = o->seq;
	f->offset = o->offset + o->bytes.len;
	if (mst_frame_pack(o->packer, f, extension, raw, len, &o->bytes) < 0)
		return out_of_memory(o);
	if (f->kind != MST_KIND_INDEX && f->kind != MST_KIND_END && mst_index_add(&o->index, f, evt) < 0)
		return out_of_memory(o);
	o->seq++;
	return 0;
}

int mst_output_header(struct mst_output *o, const struct mst_header *h, uint32_t flags)
{
	struct mst_buffer raw = {0};
	struct mst_frame f = {
		.header_len = MST_HEADER_MIN,
		.kind = MST_KIND_HEADER,
		.codec = MST_CODEC_STORED,
		.flags = MST_FLAG_CRITICAL | flags,
	};
	int rc;

	f.n_items = mst_header_encode(h, &raw);
	rc = raw.failed ? out_of_memory(o) : add_frame(o, &f, NULL, raw.bytes, raw.len, NULL);
	mst_buffer_release(&raw);
	return rc;
}

int mst_output_pages(struct mst_output *o, const struct mst_pages *pages, uint32_t flags)
{
	for (size_t i = 0; i < pages->n && o->rc == 0; i++) {
		const struct mst_page *p = &pages->pages[i];
		struct mst_frame f = {
			.header_len = MST_HEADER_MIN,
			.kind = p->kind,
			.codec = MST_CODEC_ZSTD,
			.flags = flags,
			.n_items = p->n_items,
		};

		add_frame(o, &f, NULL, pages->raw.bytes + p->start, p->len, NULL);
	}
	return o->rc;
}

int mst_output_events(struct mst_output *o, const struct mst_events *ev, const struct mst_evt *evt, uint32_t flags)
{
	uint8_t extension[MST_EVT_EXTENSION_LEN];
	struct mst_frame f = {
		.header_len = MST_EVT_HEADER_LEN,
		.kind = MST_KIND_EVT,
		.codec = MST_CODEC_STORED, /* its columns are compressed one by one */
		.flags = MST_FLAG_CRITICAL | flags,
		.n_items = ev->n,
	};
	const uint8_t *payload;
	const char *why;
	size_t len;
	int rc;

	if (o->rc < 0)
		return o->rc;
	if (!o->encoder && mst_event_encoder_new(o->level, &o->encoder) < 0)
		return out_of_memory(o);
	rc = mst_event_encode(o->encoder, ev, &payload, &len, &why);
	if (rc == MST_EARG)
		return o->rc = mst_problem_set(&o->problem, rc, o->offset, o->seq, "events not encodable: %s", why);
	if (rc < 0)
		return out_of_memory(o);
	mst_evt_store(evt, extension);
	return add_frame(o, &f, extension, payload, len, evt);
}

int mst_output_checkpoint(struct mst_output *o, const struct mst_checkpoint_part *part, const struct mst_block *blocks,
	uint32_t n)
{
	uint8_t extension[MST_CHECKPOINT_EXTENSION_LEN];
	struct mst_buffer raw = {0};
	struct mst_frame f = {
		.header_len = MST_CHECKPOINT_HEADER_LEN,
		.kind = part->pool ? MST_KIND_POOL : MST_KIND_CHECKPOINT,
		.codec = MST_CODEC_ZSTD,
		.flags = part->pool ? 0 : MST_FLAG_CRITICAL,
		.n_items = n,
	};
	int rc;

	mst_checkpoint_store(part, extension);
	mst_checkpoint_encode(blocks, n, part->time_shift, &raw);
	rc = raw.failed ? out_of_memory(o) : add_frame(o, &f, extension, raw.bytes, raw.len, NULL);
	mst_buffer_release(&raw);
	return rc;
}

int mst_output_space(struct mst_output *o, const struct mst_space_part *part, const struct mst_space_rows *rows)
{
	uint8_t extension[MST_SPACE_EXTENSION_LEN];
	struct mst_buffer raw = {0};
	struct mst_frame f = {
		.header_len = MST_SPACE_HEADER_LEN,
		.kind = MST_KIND_SPACE,
		.codec = MST_CODEC_ZSTD,
		.n_items = rows->n,
	};
	int rc;

	mst_space_part_store(part, extension);
	mst_space_rows_encode(rows, &raw);
	rc = raw.failed ? out_of_memory(o) : add_frame(o, &f, extension, raw.bytes, raw.len, NULL);
	mst_buffer_release(&raw);
	return rc;
}

int mst_output_copy(struct mst_output *o, const struct mst_frame *f, const struct mst_evt *evt)
{
	struct mst_frame copy = *f;

	if (o->rc < 0)
		return o->rc;
	copy.seq = o->seq;
	copy.offset = o->offset + o->bytes.len;
	if (mst_frame_copy(f, o->seq, &o->bytes) < 0 || mst_index_add(&o->index, &copy, evt) < 0)
		return out_of_memory(o);
	o->seq++;
	return 0;
}

static int add_index(struct mst_output *o, uint64_t *last_offset)
{
	struct mst_buffer raw = {0};
	size_t done = 0;
	int rc = o->rc;

	*last_offset = MST_NO_OFFSET;
	while (done < o->index.n && rc == 0) {
		uint8_t extension[MST_INDEX_HEADER_LEN - MST_HEADER_MIN];
		struct mst_frame f = {
			.header_len = MST_INDEX_HEADER_LEN, .kind = MST_KIND_INDEX, .codec = MST_CODEC_ZSTD};

		mst_buffer_clear(&raw);
		f.n_items = mst_index_encode(&o->index, done, &raw);
		mst_store64(extension, *last_offset);
		*last_offset = o->offset + o->bytes.len;
		rc = raw.failed ? out_of_memory(o) : add_frame(o, &f, extension, raw.bytes, raw.len, NULL);
		done += f.n_items;
	}
	mst_buffer_release(&raw);
	return rc;
}

int mst_output_end(struct mst_output *o, const struct mst_totals *totals, uint32_t flags)
{
	struct mst_end end = {.totals = *totals, .flags = flags};
	uint8_t extension[MST_END_EXTENSION_LEN];
	struct mst_frame f = {
		.header_len = MST_END_HEADER_LEN, .kind = MST_KIND_END, .codec = MST_CODEC_STORED};
	int rc = add_index(o, &end.index_offset);

	if (rc < 0)
		return rc;
	mst_end_store(&end, extension);
	return add_frame(o, &f, extension, NULL, 0, NULL);
}

int mst_output_limit(struct mst_output *o, uint64_t most)
{
	if (o->bytes.len <= most)
		return 0;
	while (o->index.n != 0 && o->index.entries[o->index.n - 1].offset >= o->offset) {
		o->seq = o->index.entries[--o->index.n].seq;
	}
	mst_buffer_clear(&o->bytes);
	return 1;
}

/* write(2) until all is written: short writes, signals and non-blocking pipes are no failures. */
static int write_all(struct mst_output *o, const uint8_t *bytes, size_t len)
{
	while (len != 0) {
		ssize_t n = write(o->fd, bytes, len);

		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
			o->offset += (uint64_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd p = {.fd = o->fd, .events = POLLOUT};
			poll(&p, 1, -1);
		} else if (errno != EINTR) {
			return o->rc = mst_problem_os(&o->problem, o->offset, "write");
		}
	}
	return 0;
}

int mst_output_write(struct mst_output *o)
{
	if (o->rc == 0 && write_all(o, o->bytes.bytes, o->bytes.len) == 0)
		mst_buffer_clear(&o->bytes);
	return o->rc;
}

int mst_output_raw(struct mst_output *o, const uint8_t *bytes, size_t len)
{
	return o->rc < 0 ? o->rc : write_all(o, bytes, len);
}

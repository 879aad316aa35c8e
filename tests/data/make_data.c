/* make_data.c - made the first version of the files of this directory: make_data DIRECTORY writes NAME.mst for each.
 *
 * Not part of any test: what is tested are the .mst.hex files, which stay as they are when the library changes. A new file
 * is made here, turned into hex by annotate.py and read before it is committed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bytes.h"
#include "extension.h"
#include "frame.h"
#include "header.h"
#include "mstrace.h"
#include "layered_trace.h"
#include "sample_trace.h"
#include "trim.h"

#define FILE_ID UINT64_C(0x0123456789abcdef)

/* A file as a list of whole frames, to be changed and put together again. */
struct parts {
	struct mst_buffer frames[64];
	size_t n;
};

static void must(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "make_data: %s\n", what);
		exit(1);
	}
}

static void split(struct parts *p, const uint8_t *bytes, size_t len)
{
	*p = (struct parts){0};
	for (size_t at = 0; at < len;) {
		struct mst_frame f;

		must(mst_frame_parse(bytes + at, len - at, &f) == MST_HEADER_GOOD, "cannot split");
		mst_buffer_put(&p->frames[p->n++], bytes + at, (size_t)mst_frame_size(&f));
		at += (size_t)mst_frame_size(&f);
	}
}

static void save(const char *name, const struct parts *p)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s.mst", name);
	f = fopen(path, "wb");
	must(f != NULL, path);
	for (size_t i = 0; i < p->n; i++)
		must(fwrite(p->frames[i].bytes, 1, p->frames[i].len, f) == p->frames[i].len, path);
	must(fclose(f) == 0, path);
}

static struct mst_buffer pack(struct mst_frame f, const uint8_t *extension, const void *raw, size_t len)
{
	struct mst_buffer out = {0};
	struct mst_packer *packer = mst_packer_new(3);

	f.header_len = f.header_len ? f.header_len : MST_HEADER_MIN;
	f.file_id = f.file_id ? f.file_id : FILE_ID;
	must(mst_frame_pack(packer, &f, extension, raw, len, &out) == 0, "cannot pack");
	mst_packer_free(packer);
	return out;
}

/* The frame again with another number; everything else as it is. */
static struct mst_buffer renumber(const struct mst_buffer *frame, uint64_t seq)
{
	struct mst_buffer out = {0};
	struct mst_frame f;

	must(mst_frame_parse(frame->bytes, frame->len, &f) == MST_HEADER_GOOD, "cannot renumber");
	f.seq = seq;
	f.codec = MST_CODEC_STORED; /* what is compressed stays as it is */
	out = pack(f, frame->bytes + MST_AT_EXTENSION, frame->bytes + f.header_len, f.stored_len);
	return out;
}

/* One process, one thread, one malloc of 100 bytes, one free of it: the least there is to say. */
static void make_smallest(struct parts *p)
{
	struct mst_writer_options opt = {
		.header = {.time_shift = 8, .has_addresses = true, .tool = "hand"}, .file_id = FILE_ID};
	struct mst_process process = {.pid = 42, .origin = MST_ORIGIN_START};
	struct mst_thread thread = {.process = 1, .tid = 42, .end_ns = UINT64_MAX};
	struct mst_event acquired = {.op = MST_OP_MALLOC, .thread = 1, .time_ns = 1024, .size = 100,
		.addr = 0x5555000012a0};
	struct mst_event released = {.op = MST_OP_FREE, .thread = 1, .time_ns = 2560, .addr = 0x5555000012a0};
	struct mst_writer *w;
	uint8_t bytes[8192];
	uint32_t id;
	int fd = memfd_create("smallest", MFD_CLOEXEC);
	ssize_t len;

	must(mst_writer_open(fd, &opt, &w) == 0 && mst_writer_process(w, &process, &id) == 0 &&
		mst_writer_thread(w, &thread, &id) == 0 && mst_writer_event(w, &acquired) == 0 &&
		mst_writer_event(w, &released) == 0 && mst_writer_close(w, true, 0, NULL) == 0, "smallest");
	len = pread(fd, bytes, sizeof(bytes), 0);
	split(p, bytes, (size_t)len);
	close(fd);
}

/* Every call of the mapping layer between a malloc and its free; what the process had mapped before. */
static void make_mappings(struct parts *p)
{
	static const struct {
		uint8_t op, flags;
		struct mst_map_call call;
	} calls[] = {
		{MST_OP_MMAP, 0, {.addr = 0x7f0000000000, .length = 10000, .prot = 3, .flags = 0x22, .fd = -1}},
		{MST_OP_MMAP, 0,
			{.addr = 0x7f0000010000, .length = 8192, .prot = 1, .flags = 2, .fd = 3, .offset = 4096, .file = 2}},
		{MST_OP_MMAP, MST_EV_FAILED, {.length = UINT64_C(1) << 46, .prot = 3, .flags = 0x22, .fd = -1}},
		{MST_OP_MADVISE, 0, {.addr = 0x7f0000000000, .length = 4096, .flags = 4}},
		{MST_OP_MPROTECT, 0, {.addr = 0x7f0000001000, .length = 4096}},
		{MST_OP_MREMAP, 0, {.addr = 0x7f0000020000, .length = 20480, .old_addr = 0x7f0000000000,
			.old_length = 12288, .flags = 1, .begun = 6}},
		{MST_OP_MUNMAP, 0, {.addr = 0x7f0000021000, .length = 4096, .begun = 5}},
		{MST_OP_SBRK, 0, {.addr = 0x555500003000, .old_addr = 0x555500002000, .length = 4096}},
		{MST_OP_BRK, 0, {.addr = 0x555500002800, .old_addr = 0x555500003000, .length = 2048}},
	};
	struct mst_writer_options opt = {
		.header = {.has_addresses = true, .tool = "hand", .page_size = 4096}, .file_id = FILE_ID};
	struct mst_process process = {.pid = 42, .origin = MST_ORIGIN_START};
	struct mst_thread thread = {.process = 1, .tid = 42, .end_ns = UINT64_MAX};
	struct mst_region heap = {.process = 1, .name = 1, .start = 0x555500000000, .end = 0x555500002000, .prot = 3};
	struct mst_region file = {.process = 1, .name = 2, .start = 0x400000, .end = 0x401000, .offset = 8192, .prot = 5,
		.is_shared = true};
	struct mst_event malloced = {.op = MST_OP_MALLOC, .thread = 1, .time_ns = 10, .size = 100, .addr = 0x555500000010};
	struct mst_event freed = {.op = MST_OP_FREE, .thread = 1, .time_ns = 99, .addr = 0x555500000010};
	struct mst_writer *w;
	uint8_t bytes[8192];
	uint32_t id;
	int fd = memfd_create("mappings", MFD_CLOEXEC);

	must(mst_writer_open(fd, &opt, &w) == 0 && mst_writer_string(w, "[heap]", 6, &id) == 0 &&
		mst_writer_string(w, "/usr/share/data", 15, &id) == 0 && mst_writer_process(w, &process, &id) == 0 &&
		mst_writer_thread(w, &thread, &id) == 0 && mst_writer_region(w, &heap) == 0 &&
		mst_writer_region(w, &file) == 0 && mst_writer_event(w, &malloced) == 0, "mappings");
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct mst_event ev = {.op = calls[i].op, .flags = calls[i].flags, .thread = 1, .time_ns = 20 + i,
			.err = calls[i].flags ? 12 : 0};
		struct mst_map_call call = calls[i].call;

		call.begun = call.begun ? call.begun : i + 1;
		must(mst_writer_map_event(w, &ev, &call) == 0, "a mapping");
	}
	must(mst_writer_event(w, &freed) == 0 && mst_writer_close(w, true, 0, NULL) == 0, "mappings");
	split(p, bytes, (size_t)pread(fd, bytes, sizeof(bytes), 0));
	close(fd);
}

/* Every call of two pools, in a block of the heap. */
static void make_pools(struct parts *p)
{
	static const struct {
		uint8_t op, flags;
		struct mst_pool_call call;
	} calls[] = {
		{MST_OP_POOL_ALLOC, 0, {.pool = 1, .addr = 0x555500000010, .size = 24}},
		{MST_OP_POOL_ALLOC, 0, {.pool = 2, .addr = 0x555500000010, .size = 8}},
		{MST_OP_POOL_REALLOC, 0, {.pool = 1, .addr = 0x555500000040, .old_addr = 0x555500000010, .size = 48}},
		{MST_OP_POOL_ALLOC, MST_EV_FAILED, {.pool = 1, .size = UINT64_C(1) << 46}},
		{MST_OP_POOL_REALLOC, MST_EV_FAILED, {.pool = 1, .old_addr = 0x555500000040, .size = UINT64_C(1) << 46}},
		{MST_OP_POOL_FREE, 0, {.pool = 1, .addr = 0x555500000010}}, /* is the other pool's */
		{MST_OP_POOL_REALLOC, 0, {.pool = 2, .addr = 0x555500000080, .size = 1}},
		{MST_OP_POOL_REALLOC_FREE, 0, {.pool = 2, .addr = 0x555500000010}},
		{MST_OP_POOL_FREE, 0, {.pool = 1, .addr = 0x555500000040}},
	};
	struct mst_writer_options opt = {.header = {.has_addresses = true, .tool = "hand"}, .file_id = FILE_ID};
	struct mst_process process = {.pid = 42, .origin = MST_ORIGIN_START};
	struct mst_thread thread = {.process = 1, .tid = 42, .end_ns = UINT64_MAX};
	struct mst_event malloced = {.op = MST_OP_MALLOC, .thread = 1, .time_ns = 10, .size = 4096, .addr = 0x555500000010};
	struct mst_event freed = {.op = MST_OP_FREE, .thread = 1, .time_ns = 99, .addr = 0x555500000010};
	struct mst_writer *w;
	uint8_t bytes[8192];
	uint32_t id;
	int fd = memfd_create("pools", MFD_CLOEXEC);

	must(mst_writer_open(fd, &opt, &w) == 0 && mst_writer_string(w, "arena", 5, &id) == 0 &&
		mst_writer_string(w, "slab \"\n", 7, &id) == 0 && mst_writer_process(w, &process, &id) == 0 &&
		mst_writer_thread(w, &thread, &id) == 0 && mst_writer_event(w, &malloced) == 0, "pools");
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct mst_event ev = {.op = calls[i].op, .flags = calls[i].flags, .thread = 1, .time_ns = 20 + i,
			.err = calls[i].flags ? 12 : 0};
		struct mst_pool_call call = calls[i].call;

		must(mst_writer_pool_event(w, &ev, &call) == 0, "a pool's call");
	}
	must(mst_writer_event(w, &freed) == 0 && mst_writer_close(w, true, 0, NULL) == 0, "pools");
	split(p, bytes, (size_t)pread(fd, bytes, sizeof(bytes), 0));
	close(fd);
}

static void make_tables(struct parts *p)
{
	struct sample s;

	sample_make(&s, &(struct sample_options){.n_events = 60, .frame_events = 20, .seed = 7, .file_id = FILE_ID,
		.n_strings = 40});
	split(p, s.bytes, s.len);
	sample_release(&s);
}

/* `smallest`, with a process, its control group and the recorder measured three times. */
static void make_samples(struct parts *p)
{
	struct mst_writer_options opt = {
		.header = {.time_shift = 8, .has_addresses = true, .tool = "hand"}, .file_id = FILE_ID};
	struct mst_process process = {.pid = 42, .origin = MST_ORIGIN_START};
	struct mst_thread thread = {.process = 1, .tid = 42, .end_ns = UINT64_MAX};
	struct mst_writer *w;
	uint8_t bytes[8192];
	uint32_t id, group;
	int fd = memfd_create("samples", MFD_CLOEXEC);
	ssize_t len;

	must(mst_writer_open(fd, &opt, &w) == 0 && mst_writer_process(w, &process, &id) == 0 &&
		mst_writer_thread(w, &thread, &id) == 0 && mst_writer_string(w, "/app", 4, &group) == 0, "samples");
	for (uint32_t i = 0; i < 9; i++) {
		struct mst_sample s = {.time_ns = 1000000 * (i + 1), .cost_ns = 40000 + i, .process = i % 3 == 0,
			.group = i % 3 < 2 ? group : 0};
		struct mst_event ev = {.op = MST_OP_MALLOC, .thread = 1, .time_ns = s.time_ns + 1, .size = 100,
			.addr = 0x1000 * (i + 1)};
		unsigned field = i % 3 == 1 ? MST_SAMPLE_GROUP_MAX : MST_SAMPLE_RSS;

		s.known = UINT64_C(1) << field | UINT64_C(1) << MST_SAMPLE_MAJOR_FAULTS;
		s.value[field] = i == 4 ? MST_NO_LIMIT : 4096 * (uint64_t)(i + 1);
		if (i == 3)
			s.known = UINT64_C(1) << MST_SAMPLE_PSS; /* and nothing else is known */
		must(mst_writer_sample(w, &s) == 0 && mst_writer_event(w, &ev) == 0, "samples");
	}
	must(mst_writer_close(w, true, 0, NULL) == 0, "samples");
	len = pread(fd, bytes, sizeof(bytes), 0);
	split(p, bytes, (size_t)len);
	close(fd);
}

/* ---- files of later versions ------------------------------------------------------------------------------ */

/* `smallest` with a frame of a later version as its third. There is no index: a reader needs none. */
static void with_payload(struct parts *p, struct mst_frame f, const void *payload, size_t len)
{
	struct parts smallest;

	make_smallest(&smallest);
	*p = smallest;
	f.seq = 2;
	p->frames[2] = pack(f, NULL, payload, len);
	p->frames[3] = renumber(&smallest.frames[2], 3);
	p->frames[4] = renumber(&smallest.frames[3], 4);
	p->n = 5;
}

static struct mst_buffer end_frame(uint64_t seq)
{
	struct mst_end end = {.index_offset = MST_NO_OFFSET, .flags = MST_END_CLEAN,
		.totals = {.events = 2, .allocs = 1, .frees = 1, .duration_ns = 2560, .allocated_bytes = 100}};
	uint8_t extension[MST_END_EXTENSION_LEN];

	mst_end_store(&end, extension);
	return pack((struct mst_frame){.kind = MST_KIND_END, .header_len = MST_END_HEADER_LEN, .seq = seq}, extension,
		NULL, 0);
}

static void save_with_end(const char *name, struct parts *p)
{
	p->frames[p->n] = end_frame(p->n);
	p->n++;
	save(name, p);
}

static void make_later(void)
{
	const struct {
		const char *name;
		struct mst_frame frame;
	} frames[] = {
		{"good-later-kind", {.kind = 99}},
		{"good-later-flag", {.kind = 99, .flags = 1u << 9}},
		{"unsupported-critical-kind", {.kind = 99, .flags = MST_FLAG_CRITICAL}},
		{"unsupported-refused-flag", {.kind = MST_KIND_STRING, .flags = 1u << 20}},
	};

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct parts p;

		with_payload(&p, frames[i].frame, "later", 5);
		save_with_end(frames[i].name, &p);
	}
}

static void make_annotations(void)
{
	static const char good[] = "\x01\x05\x00\x01\x01\x01\x00"  /* a mark by thread 1 of process 1, without a name */
				   "\x02\x05\x01\x02\x00\x00\x00"  /* pause of all */
				   "\x09\x03" "abc"                    /* a later kind */
				   "\x03\x07\x01\x05\x00\x00\x00zz" /* resume, with fields of a later version */
				   "\x01\x05\x02\x09\x00\x00\x07"; /* a mark behind the last event, whose name is lost */
	static const char back[] = "\x01\x05\x01\x01\x01\x01\x00" "\x02\x05\x00\x02\x00\x00\x00";
	struct parts p;

	with_payload(&p, (struct mst_frame){.kind = MST_KIND_API, .n_items = 5}, good, sizeof(good) - 1);
	save_with_end("good-annotations", &p);
	with_payload(&p, (struct mst_frame){.kind = MST_KIND_API, .n_items = 2}, back, sizeof(back) - 1);
	save_with_end("bad-annotation-order", &p);
}

static void put_tag(struct mst_buffer *b, unsigned tag, const void *value, size_t len)
{
	uint8_t head[6];

	mst_store16(head, (uint16_t)tag);
	mst_store32(head + 2, (uint32_t)len);
	mst_buffer_put(b, head, sizeof(head));
	mst_buffer_put(b, value, len);
}

/* `smallest` with another HEADER payload. */
static void with_header(const char *name, const uint8_t version[8], size_t version_len, unsigned more_tag)
{
	struct mst_buffer raw = {0};
	struct parts p;

	put_tag(&raw, MST_TAG_VERSION | MST_TAG_CRITICAL, version, version_len);
	put_tag(&raw, MST_TAG_TIME_SHIFT, "\x08", 1);
	if (more_tag)
		put_tag(&raw, more_tag, "later", 5);
	make_smallest(&p);
	p.frames[0] = pack((struct mst_frame){.kind = MST_KIND_HEADER, .flags = MST_FLAG_CRITICAL,
		.n_items = more_tag ? 3 : 2}, NULL, raw.bytes, raw.len);
	p.frames[p.n - 2] = end_frame(p.n - 2);
	p.n--;
	save(name, &p);
}

static void make_headers(void)
{
	static const uint8_t now[12] = {1, 0, 0, 0, 1, 0, 0, 0, 7, 7, 7, 7};
	static const uint8_t minor[8] = {1, 0, 9, 0, 1, 0, 0, 0};
	static const uint8_t min_reader[8] = {1, 0, 9, 0, 1, 0, 9, 0};
	static const uint8_t major[8] = {2, 0, 0, 0, 2, 0, 0, 0};

	with_header("good-later-tag", now, 8, 200);
	with_header("good-longer-version", now, 12, 0);
	with_header("good-later-minor", minor, 8, 0);
	with_header("unsupported-min-reader", min_reader, 8, 0);
	with_header("unsupported-major", major, 8, 0);
	with_header("unsupported-critical-tag", now, 8, 200 | MST_TAG_CRITICAL);
}

/* An event frame with a longer extension: readers must step over what they do not know. */
static void make_longer_extension(void)
{
	uint8_t extension[MST_EVT_EXTENSION_LEN + 16];
	struct mst_frame f;
	struct parts p;

	make_smallest(&p);
	must(mst_frame_parse(p.frames[3].bytes, p.frames[3].len, &f) == MST_HEADER_GOOD, "longer extension");
	memset(extension, 0xee, sizeof(extension));
	memcpy(extension, f.header + MST_AT_EXTENSION, MST_EVT_EXTENSION_LEN);
	f.header_len = (uint16_t)(f.header_len + 16);
	p.frames[3] = pack(f, extension, p.frames[3].bytes + MST_EVT_HEADER_LEN, f.stored_len);
	p.frames[p.n - 2] = end_frame(p.n - 2);
	p.n--;
	save("good-longer-extension", &p);
}

/* ---- files without their oldest events --------------------------------------------------------------------- */

/* `whole` without its first event frame, as a flight recorder would leave it. */
static void cut_first(const struct parts *whole, struct parts *p)
{
	struct mst_totals totals;
	struct mst_trim t = {.in = memfd_create("whole", MFD_CLOEXEC)};
	struct mst_output out;
	uint8_t bytes[65536];
	int fd = memfd_create("kept", MFD_CLOEXEC);
	uint64_t end = 0, offset = 0;

	for (size_t i = 0; i < whole->n; i++) {
		const struct mst_buffer *b = &whole->frames[i];
		struct mst_frame f;

		must(mst_frame_parse(b->bytes, b->len, &f) == MST_HEADER_GOOD, "checkpoint");
		offset += b->len;
		if (f.kind == MST_KIND_EVT && t.cut_event == 0) {
			t.cut_event = f.n_items;
			t.cut_offset = offset;
		}
		if (f.kind == MST_KIND_INDEX)
			end = offset - b->len;
		if (f.kind == MST_KIND_END) {
			struct mst_end e;
			const char *why;

			must(mst_end_load(&f, &e, &why), "checkpoint");
			totals = e.totals;
		}
		must(write(t.in, b->bytes, b->len) == (ssize_t)b->len, "checkpoint");
	}
	must(mst_output_init(&out, fd, FILE_ID, 3) == 0, "checkpoint");
	t.out = &out;
	must(mst_trim_begin(&t) == 0 && mst_trim_copy(&t, t.cut_offset, end) == 0, "checkpoint");
	must(mst_output_end(&out, &totals, MST_END_CLEAN | MST_END_LIMITED) == 0 && mst_output_write(&out) == 0, "checkpoint");
	mst_output_release(&out);
	split(p, bytes, (size_t)pread(fd, bytes, sizeof(bytes), 0));
	close(fd);
	close(t.in);
}

static void spoil(struct parts *p, unsigned kind)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->frames[i].bytes[MST_AT_KIND] == kind)
			p->frames[i].bytes[p->frames[i].len - 9] ^= 0x10;
}

/* The files good-checkpoint and bad-checkpoint-bit are from before POOL and SPACE frames; these have them. */
static void make_checkpoint(void)
{
	struct parts whole, p;
	uint8_t bytes[65536];
	int fd = layered_make(&(struct layered_options){.n_events = 90, .frame_events = 60, .seed = 2, .file_id = FILE_ID,
		.n_pages = 30});

	split(&whole, bytes, (size_t)pread(fd, bytes, sizeof(bytes), 0));
	close(fd);
	cut_first(&whole, &p);
	save("good-checkpoint-layers", &p);
	spoil(&p, MST_KIND_SPACE);
	save("bad-checkpoint-space", &p);
	spoil(&p, MST_KIND_SPACE);
	spoil(&p, MST_KIND_POOL);
	save("bad-checkpoint-pool", &p);
}

/* ---- damaged files ---------------------------------------------------------------------------------------- */

static void make_damaged(void)
{
	struct parts p, q;

	make_smallest(&p);
	p.frames[3].bytes[p.frames[3].len - 9] ^= 0x10;
	save("bad-payload-bit", &p);
	make_smallest(&p);
	p.frames[3].bytes[70] ^= 1;
	save("bad-header-bit", &p);
	make_smallest(&p);
	p.frames[0].bytes[p.frames[0].len - 1] = 1;
	save("bad-pad", &p);
	make_smallest(&p);
	p.n--;
	save("bad-no-end", &p);
	make_smallest(&p);
	p.frames[--p.n].len -= 8;
	p.n++;
	save("bad-cut", &p);
	make_smallest(&p);
	memmove(&p.frames[3], &p.frames[4], (p.n - 4) * sizeof(p.frames[0]));
	p.n--;
	save("bad-missing-frame", &p);
	make_smallest(&p);
	memmove(&p.frames[5], &p.frames[4], (p.n - 4) * sizeof(p.frames[0]));
	p.frames[4] = p.frames[3];
	p.n++;
	save("bad-frame-twice", &p);
	make_smallest(&p);
	make_smallest(&q);
	p.frames[2] = pack((struct mst_frame){.kind = MST_KIND_STRING, .file_id = 5, .seq = 2}, NULL, "", 0);
	save("bad-foreign-frame", &p);
	make_smallest(&p);
	p.frames[0].len = 0;
	save("bad-no-header", &p);
	make_smallest(&p);
	/* A stack whose parent stands behind it, in a frame that is otherwise right. */
	p.frames[2] = pack((struct mst_frame){.kind = MST_KIND_STACK, .seq = 2, .n_items = 1}, NULL, "\x02\x01\x05\x00", 4);
	save("bad-stack-parent", &p);
	make_smallest(&p);
	p.frames[2] = pack((struct mst_frame){.kind = MST_KIND_STRING, .seq = 2, .n_items = 1}, NULL, "\x01\xff\xff\xff\x0f",
		5);
	save("bad-string-length", &p);
}

int main(int argc, char **argv)
{
	struct parts p;

	must(argc == 2 && chdir(argv[1]) == 0, "give a directory");
	make_smallest(&p);
	save("good-smallest", &p);
	make_mappings(&p);
	save("good-mappings", &p);
	make_pools(&p);
	save("good-pools", &p);
	make_tables(&p);
	save("good-every-table", &p);
	make_samples(&p);
	save("good-samples", &p);
	make_later();
	make_annotations();
	make_headers();
	make_longer_extension();
	make_checkpoint();
	make_damaged();
	return 0;
}

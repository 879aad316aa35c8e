#include "header.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "format.h"

/* ---- encode: tag u16, length u32, value ------------------------------------------------------------------- */

struct tags {
	struct mst_buffer *out;
	uint32_t n;
};

static void put_tag(struct tags *t, unsigned tag, const void *value, size_t len)
{
	uint8_t head[6];

	mst_store16(head, (uint16_t)tag);
	mst_store32(head + 2, (uint32_t)len);
	mst_buffer_put(t->out, head, sizeof(head));
	mst_buffer_put(t->out, value, len);
	t->n++;
}

static void put_number(struct tags *t, unsigned tag, uint64_t value, size_t len)
{
	uint8_t bytes[8];

	mst_store64(bytes, value);
	put_tag(t, tag, bytes, len);
}

static void put_text(struct tags *t, unsigned tag, const char *s, size_t len)
{
	if (s)
		put_tag(t, tag, s, len < MST_STRING_MAX ? len : MST_STRING_MAX);
}

static void put_string(struct tags *t, unsigned tag, const char *s)
{
	put_text(t, tag, s, s ? strlen(s) : 0);
}

uint32_t mst_header_encode(const struct mst_header *h, struct mst_buffer *out)
{
	struct tags t = {out, 0};
	uint8_t version[8], start[16];

	mst_store16(version, MST_FORMAT_MAJOR);
	mst_store16(version + 2, MST_FORMAT_MINOR);
	mst_store16(version + 4, MST_MIN_READER_MAJOR);
	mst_store16(version + 6, MST_MIN_READER_MINOR);
	mst_store64(start, h->start_realtime_ns);
	mst_store64(start + 8, h->start_monotonic_ns);
	put_tag(&t, MST_TAG_VERSION | MST_TAG_CRITICAL, version, sizeof(version));
	put_number(&t, MST_TAG_TIME_SHIFT, h->time_shift, 1);
	put_number(&t, MST_TAG_CONTENT, (h->has_addresses ? MST_CONTENT_ADDRESSES : 0u) |
		(h->has_free_stacks ? MST_CONTENT_FREE_STACKS : 0u), 4);
	put_number(&t, MST_TAG_STACK_DEPTH, h->stack_depth, 4);
	put_tag(&t, MST_TAG_START, start, sizeof(start));
	put_number(&t, MST_TAG_PAGE_SIZE, h->page_size, 4);
	put_number(&t, MST_TAG_N_CPUS, h->n_cpus, 4);
	put_string(&t, MST_TAG_TOOL, h->tool);
	put_string(&t, MST_TAG_HOST, h->host);
	put_string(&t, MST_TAG_KERNEL, h->kernel);
	put_string(&t, MST_TAG_ARCH, h->arch);
	put_string(&t, MST_TAG_CLOCK, h->clock);
	put_string(&t, MST_TAG_CWD, h->cwd);
	put_text(&t, MST_TAG_CMDLINE, h->cmdline, h->cmdline_len);
	return t.n;
}

/* ---- decode ----------------------------------------------------------------------------------------------- */

static int get_version(struct mst_cursor *c, struct mst_header *h, const char **why)
{
	unsigned min_major, min_minor;

	h->format_major = mst_get16(c);
	h->format_minor = mst_get16(c);
	min_major = mst_get16(c);
	min_minor = mst_get16(c);
	if (c->failed)
		return 0;
	if (h->format_major > MST_FORMAT_MAJOR || min_major > MST_FORMAT_MAJOR ||
		(min_major == MST_FORMAT_MAJOR && min_minor > MST_FORMAT_MINOR)) {
		*why = "it was written for a newer version of this program";
		return MST_EVERSION;
	}
	return 0;
}

/* The value as a string of its own at *text, which moves on. */
static const char *get_text(struct mst_cursor *c, char **text, size_t *len)
{
	char *s = *text;

	*len = mst_cursor_left(c);
	mst_put_bytes((uint8_t *)s, mst_get_bytes(c, *len), *len);
	s[*len] = 0;
	*text += *len + 1;
	return s;
}

static int get_tag(unsigned tag, struct mst_cursor *c, struct mst_header *h, char **text, const char **why)
{
	size_t len;

	switch (tag & ~MST_TAG_CRITICAL) {
	case MST_TAG_VERSION:
		return get_version(c, h, why);
	case MST_TAG_TIME_SHIFT:
		h->time_shift = mst_get8(c);
		break;
	case MST_TAG_CONTENT: {
		uint32_t content = mst_get32(c);
		h->has_addresses = content & MST_CONTENT_ADDRESSES;
		h->has_free_stacks = content & MST_CONTENT_FREE_STACKS;
		break;
	}
	case MST_TAG_STACK_DEPTH:
		h->stack_depth = mst_get32(c);
		break;
	case MST_TAG_START:
		h->start_realtime_ns = mst_get64(c);
		h->start_monotonic_ns = mst_get64(c);
		break;
	case MST_TAG_PAGE_SIZE:
		h->page_size = mst_get32(c);
		break;
	case MST_TAG_N_CPUS:
		h->n_cpus = mst_get32(c);
		break;
	case MST_TAG_TOOL:
		h->tool = get_text(c, text, &len);
		break;
	case MST_TAG_HOST:
		h->host = get_text(c, text, &len);
		break;
	case MST_TAG_KERNEL:
		h->kernel = get_text(c, text, &len);
		break;
	case MST_TAG_ARCH:
		h->arch = get_text(c, text, &len);
		break;
	case MST_TAG_CLOCK:
		h->clock = get_text(c, text, &len);
		break;
	case MST_TAG_CWD:
		h->cwd = get_text(c, text, &len);
		break;
	case MST_TAG_CMDLINE:
		h->cmdline = get_text(c, text, &h->cmdline_len);
		break;
	default:
		if (tag & MST_TAG_CRITICAL) {
			*why = "its header has a fact this program must understand and does not";
			return MST_EVERSION;
		}
	}
	return 0;
}

static struct mst_header empty_header(void)
{
	return (struct mst_header){
		.tool = "", .host = "", .kernel = "", .arch = "", .clock = "", .cwd = "", .cmdline = ""};
}

int mst_header_decode(const uint8_t *raw, size_t len, uint32_t n_items, struct mst_header *h, char **text,
	const char **why)
{
	struct mst_cursor c = mst_cursor_over(raw, len);
	char *next;
	int rc = 0;

	*why = "the header's facts are cut short";
	if (len > MST_HEADER_RAW_MAX || n_items > len / 6)
		return MST_EDAMAGED;
	free(*text);
	next = *text = malloc(len + n_items + 1);
	if (!next)
		return MST_ENOMEM;
	*h = empty_header();
	for (uint32_t i = 0; i < n_items && rc == 0; i++) {
		unsigned tag = mst_get16(&c);
		size_t value_len = mst_get32(&c);
		const uint8_t *bytes = mst_get_bytes(&c, value_len);
		struct mst_cursor value = mst_cursor_over(bytes, bytes ? value_len : 0);

		/* Values may grow at their end in later versions, so bytes left over are no fault. */
		if (i == 0 && (tag & ~MST_TAG_CRITICAL) != MST_TAG_VERSION)
			mst_cursor_fail(&c);
		if (bytes)
			rc = get_tag(tag, &value, h, &next, why);
		if (value.failed)
			mst_cursor_fail(&c);
	}
	if (rc < 0)
		return rc;
	if (h->time_shift > MST_TIME_SHIFT_MAX)
		mst_cursor_fail(&c);
	return mst_cursor_finish(&c) ? 0 : MST_EDAMAGED;
}

/* See symbol_reply.h. */
#include "symbol_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "demangle.h"

static const uint32_t reply_magic = 0x5359524d;

/* Makes room for `more` items behind n; doubles. */
static int grow(void **items, size_t *room, size_t n, size_t more, size_t item_size)
{
	size_t want = *room ? *room : 1024;
	void *fresh;

	if (n + more <= *room)
		return 0;
	while (want < n + more)
		want *= 2;
	fresh = reallocarray(*items, want, item_size);
	if (!fresh)
		return -ENOMEM;
	*items = fresh;
	*room = want;
	return 0;
}

static uint32_t hash_text(const char *text, size_t len)
{
	uint32_t hash = 2166136261u; /* FNV-1a: names are short, and there are few of them */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * 16777619u;
	return hash;
}

/* The slot of text in the index, or the empty slot where it belongs. */
static uint32_t *find_slot(const struct ms_reply *r, const char *text, size_t len)
{
	size_t mask = r->index_size - 1;
	size_t at = hash_text(text, len) & mask;

	for (;; at = (at + 1) & mask) {
		const char *have = r->index[at] ? r->strings + r->index[at] - 1 : NULL;

		if (!have || (strncmp(have, text, len) == 0 && have[len] == '\0'))
			return &r->index[at];
	}
}

static int grow_index(struct ms_reply *r)
{
	struct ms_reply bigger = *r;

	bigger.index_size = r->index_size ? r->index_size * 2 : 1024;
	bigger.index = calloc(bigger.index_size, sizeof(*bigger.index));
	if (!bigger.index)
		return -ENOMEM;
	for (size_t i = 0; i < r->index_size; i++) {
		const char *text = r->strings + r->index[i] - 1;

		if (r->index[i])
			*find_slot(&bigger, text, strlen(text)) = r->index[i];
	}
	free(r->index);
	r->index = bigger.index;
	r->index_size = bigger.index_size;
	return 0;
}

int ms_reply_add_string(struct ms_reply *r, const char *text, uint32_t *string)
{
	size_t len = text ? strnlen(text, MS_NAME_MAX - 1) : 0;
	void *strings = r->strings;
	uint32_t *slot;

	*string = 0;
	if (len == 0)
		return 0;
	if ((r->index_used + 1) * 2 > r->index_size && grow_index(r) < 0)
		return -ENOMEM;
	slot = find_slot(r, text, len);
	if (*slot == 0) {
		if (r->head.strings_len + len + 1 > MS_REPLY_STRINGS_MAX ||
			grow(&strings, &r->strings_room, r->head.strings_len, len + 1, 1) < 0)
			return -ENOMEM;
		r->strings = strings;
		memcpy(r->strings + r->head.strings_len, text, len);
		r->strings[r->head.strings_len + len] = '\0';
		*slot = r->head.strings_len + 1;
		r->head.strings_len += (uint32_t)len + 1;
		r->index_used++;
	}
	*string = *slot;
	return 0;
}

int ms_reply_begin_query(struct ms_reply *r)
{
	void *first = r->first;

	if (r->head.n_queries == UINT32_MAX - 1 ||
		grow(&first, &r->first_room, r->head.n_queries, 2, sizeof(*r->first)) < 0)
		return -ENOMEM;
	r->first = first;
	r->first[r->head.n_queries++] = r->head.n_frames;
	r->first[r->head.n_queries] = r->head.n_frames;
	return 0;
}

int ms_reply_add_frame(struct ms_reply *r, const struct ms_reply_frame *frame)
{
	void *frames = r->frames;

	if (r->head.n_frames >= MS_REPLY_FRAMES_MAX ||
		grow(&frames, &r->frames_room, r->head.n_frames, 1, sizeof(*r->frames)) < 0)
		return -ENOMEM;
	r->frames = frames;
	r->frames[r->head.n_frames++] = *frame;
	r->first[r->head.n_queries] = r->head.n_frames;
	return 0;
}

static int write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static size_t first_bytes(const struct ms_reply *r)
{
	return ((size_t)r->head.n_queries + 1) * sizeof(*r->first);
}

int ms_reply_write(struct ms_reply *r, int fd)
{
	static const uint32_t no_queries[1] = { 0 };
	int rc;

	r->head.magic = reply_magic;
	rc = write_all(fd, &r->head, sizeof(r->head));
	if (rc == 0)
		rc = write_all(fd, r->first ? r->first : no_queries, first_bytes(r));
	if (rc == 0)
		rc = write_all(fd, r->frames, r->head.n_frames * sizeof(*r->frames));
	if (rc == 0)
		rc = write_all(fd, r->strings, r->head.strings_len);
	return rc;
}

static int is_string(const struct ms_reply *r, uint32_t string)
{
	return string <= r->head.strings_len;
}

/* Everything the accessors rely on, after the sizes have been found to add up. */
static int check(const struct ms_reply *r)
{
	const struct ms_reply_head *head = &r->head;

	if (head->strings_len > 0 && r->strings[head->strings_len - 1] != '\0')
		return -EPROTO;
	if (r->first[0] != 0 || r->first[head->n_queries] != head->n_frames || !is_string(r, head->note))
		return -EPROTO;
	for (uint32_t i = 0; i < head->n_queries; i++) {
		if (r->first[i] > r->first[i + 1])
			return -EPROTO;
	}
	for (uint32_t i = 0; i < head->n_frames; i++) {
		if (!is_string(r, r->frames[i].function) || !is_string(r, r->frames[i].file))
			return -EPROTO;
	}
	return 0;
}

int ms_reply_parse(struct ms_reply *r, void *bytes, size_t len, size_t n_queries)
{
	struct ms_reply parsed = { 0 };
	size_t first_len, frames_len;
	char *at = bytes;
	int rc;

	if (len < sizeof(parsed.head))
		return -EPROTO;
	memcpy(&parsed.head, at, sizeof(parsed.head));
	if (parsed.head.magic != reply_magic || parsed.head.n_queries != n_queries ||
		parsed.head.n_frames > MS_REPLY_FRAMES_MAX || parsed.head.strings_len > MS_REPLY_STRINGS_MAX)
		return -EPROTO;
	first_len = first_bytes(&parsed);
	frames_len = parsed.head.n_frames * sizeof(*parsed.frames);
	if (len - sizeof(parsed.head) != first_len + frames_len + parsed.head.strings_len)
		return -EPROTO;
	at += sizeof(parsed.head);
	parsed.first = (uint32_t *)(void *)at; /* from malloc, and all before it is a multiple of 4 */
	parsed.frames = (struct ms_reply_frame *)(void *)(at + first_len);
	parsed.strings = at + first_len + frames_len;
	rc = check(&parsed);
	if (rc < 0)
		return rc;
	parsed.block = bytes;
	*r = parsed;
	return 0;
}

const char *ms_reply_text(const struct ms_reply *r, uint32_t string)
{
	return string ? r->strings + string - 1 : NULL;
}

void ms_reply_release(struct ms_reply *r)
{
	if (r->block) {
		free(r->block);
	} else {
		free(r->first);
		free(r->frames);
		free(r->strings);
	}
	free(r->index);
	*r = (struct ms_reply){ 0 };
}

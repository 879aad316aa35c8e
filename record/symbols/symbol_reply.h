/* What the parser of one module answers: for each address asked, its frames. It is built in the child, crosses a pipe
 * as bytes, and is checked from first to last byte in the parent, which trusts the child no more than the file.
 *
 * The bytes, in the machine's own order (both ends are one program):
 *
 *	struct head | first[n_queries + 1] (u32: where its frames begin) | frames[n_frames] | strings
 *
 * A string is an offset into the strings plus 1; 0 is "unknown". The last byte of the strings is NUL, so any offset
 * inside is a string.
 */
#ifndef MS_SYMBOL_REPLY_H
#define MS_SYMBOL_REPLY_H

#include <stddef.h>
#include <stdint.h>

enum {
	MS_REPLY_FRAMES_MAX = 1 << 24,
	MS_REPLY_STRINGS_MAX = 1 << 28, /* bytes */

	MS_REPLY_DEBUG_INFO = 1 << 0,	/* the module's debug information was found and read */
	MS_REPLY_SYMBOL_TABLE = 1 << 1, /* it has at least one symbol of a function */

	MS_REPLY_INLINED = 1 << 0, /* frame flag: inlined into the frame that follows */
};

struct ms_reply_frame {
	uint32_t function, file; /* strings */
	uint32_t line;		 /* 0 = unknown */
	uint32_t flags;
};

struct ms_reply_head {
	uint32_t magic;
	uint32_t flags;
	uint32_t note; /* string: a sentence for the user on what is missing, or 0 */
	uint32_t n_queries, n_frames, strings_len;
};

struct ms_reply {
	struct ms_reply_head head;
	uint32_t *first;
	struct ms_reply_frame *frames;
	char *strings;
	void *block; /* of a parsed reply: the bytes all three stand in; NULL while building */
	/* Of the builder only. */
	size_t first_room, frames_room, strings_room;
	uint32_t *index; /* open addressing, power of two, string or 0 */
	size_t index_size, index_used;
};

/* Builder. All return 0 or -ENOMEM (also when the reply would pass its limits). */

/* Finds or adds text (cut at MS_NAME_MAX) and sets *string; NULL and "" are 0. */
int ms_reply_add_string(struct ms_reply *r, const char *text, uint32_t *string);

/* Begins the next query: the frames added until the next call are its. */
int ms_reply_begin_query(struct ms_reply *r);
int ms_reply_add_frame(struct ms_reply *r, const struct ms_reply_frame *frame);

/* Writes the whole reply to fd. 0 or a negative errno. */
int ms_reply_write(struct ms_reply *r, int fd);

/* Decodes bytes into r, which then owns them; on failure the caller still does. -EPROTO when anything in them is not
 * as said above, or the answer is not to n_queries questions. */
int ms_reply_parse(struct ms_reply *r, void *bytes, size_t len, size_t n_queries);

/* The text of a string of a built or parsed reply; NULL for 0. Lives as long as r, while nothing is added. */
const char *ms_reply_text(const struct ms_reply *r, uint32_t string);

void ms_reply_release(struct ms_reply *r);

#endif

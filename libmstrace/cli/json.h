/* A streaming JSON writer: commas, nesting and escaping are its business, memory is O(1).
 *
 * Numbers: an unsigned beyond 2^53 is written as a string, since most parsers would silently round it.
 * Strings: see ms_escape_json() for bytes that are not UTF-8. Misuse (a key outside an object, an unclosed
 * array) is a bug and asserts. */
#ifndef MS_CLI_JSON_H
#define MS_CLI_JSON_H

#include "out.h"

#define MS_JSON_MAX_NUMBER (UINT64_C(1) << 53)

struct ms_json {
	struct ms_out *out;
	uint64_t is_object;   /* bit d: level d is an object, else an array */
	uint64_t is_nonempty; /* bit d: level d has a member already */
	unsigned depth;       /* open levels, at most 63 */
	bool is_pretty;       /* one member a line, indented by two */
	bool has_key;         /* a key waits for its value */
};

/* Writes to out, which stays the caller's. */
void ms_json_init(struct ms_json *j, struct ms_out *out, bool is_pretty);

void ms_json_object(struct ms_json *j); /* begins */
void ms_json_array(struct ms_json *j);	/* begins */
void ms_json_end(struct ms_json *j);	/* ends the innermost object or array */

/* Ends a top-level value with a newline; the next one may follow (JSON lines). */
void ms_json_line(struct ms_json *j);

/* key is ours, never from a trace. */
void ms_json_key(struct ms_json *j, const char *key);

/* NULL is written as null. */
void ms_json_str(struct ms_json *j, const char *s);
void ms_json_strn(struct ms_json *j, const char *s, size_t n);
void ms_json_u64(struct ms_json *j, uint64_t v);
void ms_json_i64(struct ms_json *j, int64_t v);
void ms_json_f64(struct ms_json *j, double v, int decimals); /* not finite: null */
void ms_json_bool(struct ms_json *j, bool v);
void ms_json_null(struct ms_json *j);
void ms_json_hex(struct ms_json *j, uint64_t v);	/* "0x7f00" */
void ms_json_u64_str(struct ms_json *j, uint64_t v); /* "123", whatever its size */

/* key and value at once, the common case. */
void ms_json_put_str(struct ms_json *j, const char *key, const char *s);
void ms_json_put_u64(struct ms_json *j, const char *key, uint64_t v);
void ms_json_put_bool(struct ms_json *j, const char *key, bool v);
void ms_json_put_hex(struct ms_json *j, const char *key, uint64_t v);

#endif

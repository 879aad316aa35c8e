/* unit.h - one unit of the wire, decoded.
 *
 * Bytes come from the traced program and may be anything: every length is checked against what is there
 * before it is used, and nothing is believed that the wire's rules forbid. The decoder works on a private
 * copy of the bytes (drain.c makes it), so what was checked cannot change afterwards. It is inline because it
 * is the recorder's innermost loop: one call per event. */
#ifndef MS_UNIT_H
#define MS_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mstrace.h"
#include "wire.h"

#define MS_UNIT_DEPTH_MAX 4096u /* the format's limit on stack depth */

struct ms_unit {
	uint64_t stamp;
	uint64_t addr;
	uint64_t size;
	uint64_t old_addr;
	uint64_t align;
	const uint64_t *more; /* kinds 32..47: n_more >= MS_MAP_WORDS words, enum ms_map_word; inside the words given */
	uint32_t n_more;      /* else 0 */
	const uint64_t *push; /* n_push return addresses, outermost first; inside the words given */
	uint32_t n_push;
	uint32_t keep;
	uint8_t kind;  /* enum mst_op, 1..63 */
	uint8_t flags; /* enum ms_unit_flag */
};

/* Decodes the heap call at w[0..n), n > 0, whose kind is in 1..63. Returns the words it takes, 0 if it is
 * malformed or longer than n. */
static inline size_t ms_unit_decode(const uint64_t *w, size_t n, struct ms_unit *u)
{
	if (n < 2)
		return 0;
	u->kind = (uint8_t)MS_UNIT_KIND(w[0]);
	u->stamp = MS_UNIT_STAMP(w[0]);
	u->addr = w[1] & MS_ADDR_MASK;
	u->flags = (uint8_t)(w[1] >> 48);
	uint64_t n_push = w[1] >> 56;
	u->size = u->old_addr = u->align = 0;
	u->keep = u->n_more = 0;
	size_t i = 2;
	if (u->flags & MS_UF_SHORT) {
		u->n_push = 0;
		u->push = w + 2;
		/* no word 2, no stack of its own: anything else is not what a capture library writes */
		if (n_push || !(u->flags & (MS_UF_SAME | MS_UF_NO_STACK)) || (u->flags & MS_UF_BIG_SIZE))
			return 0;
	} else {
		/* the fixed words that follow, counted first so that one comparison bounds them all */
		size_t fixed = 3 + (size_t)(n_push == 255) + (size_t) !!(u->flags & MS_UF_BIG_SIZE);
		if (n < fixed)
			return 0;
		if (n_push == 255)
			n_push = w[i++];
		u->size = w[i] & MS_ADDR_MASK;
		u->keep = (uint32_t)(w[i++] >> 48);
		if (u->flags & MS_UF_BIG_SIZE)
			u->size = w[i++];
	}
	if (u->size > INT64_MAX)
		return 0;
	size_t optional = (size_t) !!(u->flags & MS_UF_OLD) + (size_t) !!(u->flags & MS_UF_ALIGN);
	if (n_push > MS_UNIT_DEPTH_MAX || n - i < optional + n_push)
		return 0;
	if (u->flags & MS_UF_OLD)
		u->old_addr = w[i++];
	if (u->flags & MS_UF_ALIGN) {
		u->align = w[i++];
		if (mst_op_maps(u->kind)) {
			if (u->align < MS_MAP_WORDS || n - i < n_push || n - i - n_push < u->align)
				return 0;
			u->more = w + i;
			u->n_more = (uint32_t)u->align;
			u->align = 0;
			i += u->n_more;
		}
	}
	u->n_push = (uint32_t)n_push;
	u->push = w + i;
	return i + n_push;
}

/* Words of the unit of another kind at w[0..n), n > 0; 0 if it is malformed, longer than n or of no known
 * kind. */
size_t ms_unit_other_words(const uint64_t *w, size_t n);

/* A module unit whose words ms_unit_other_words has accepted: its parts. path is not terminated. */
struct ms_unit_module_view {
	uint64_t map_start, map_end, bias;
	const char *path;
	size_t path_len;
	const uint8_t *build_id;
	size_t build_id_len;
};
/* False if its numbers make no sense (an empty range, lengths that do not fit). */
bool ms_unit_module_get(const uint64_t *w, size_t words, struct ms_unit_module_view *m);

#endif

/* See mapcall.h. */
#include "mapcall.h"

#include <string.h>

#include "tenant.h"
#include "wire.h"

void ms_map_begins_put(struct ms_map_begins *b, uint64_t addr, uint64_t event)
{
	if (b->n == MS_MAP_BEGINS_MAX) { /* the oldest will not return any more: a jump out of a handler */
		memmove(&b->calls[0], &b->calls[1], sizeof b->calls - sizeof b->calls[0]);
		b->n--;
	}
	b->calls[b->n].addr = addr;
	b->calls[b->n++].event = event;
}

uint64_t ms_map_begins_take(struct ms_map_begins *b, uint64_t addr, uint64_t other)
{
	for (uint32_t i = b->n; i-- > 0;) {
		if (b->calls[i].addr != addr)
			continue;
		b->n = i; /* what began inside it has ended, or never will */
		return b->calls[i].event;
	}
	return other;
}

static uint32_t low(uint64_t word)
{
	return (uint32_t)word;
}

static uint32_t high(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

void ms_map_call_get(const struct ms_item *item, struct mst_map_call *call, const char **path, size_t *path_len)
{
	static const uint64_t nothing[MS_MAP_WORDS];
	const struct ms_note *more = item->more;
	const uint64_t *w = more ? more->words : nothing;
	bool is_failed = item->flags & MS_UF_FAILED;
	*path_len = 0;
	*call = (struct mst_map_call){.addr = w[MS_MAP_ADDR], .length = item->size, .flags = high(w[MS_MAP_FLAGS])};
	switch (item->kind) {
	case MST_OP_MMAP:
		call->addr = is_failed ? call->addr : item->addr;
		call->prot = low(w[MS_MAP_FLAGS]);
		call->offset = w[MS_MAP_MORE];
		call->fd = (int32_t)low(w[MS_MAP_FILE]);
		*path_len = high(w[MS_MAP_FILE]);
		break;
	case MST_OP_MREMAP:
		call->addr = is_failed ? call->addr : item->addr;
		call->old_addr = w[MS_MAP_ADDR];
		call->old_length = w[MS_MAP_MORE];
		break;
	case MST_OP_BRK:
	case MST_OP_SBRK:
		call->addr = w[MS_MAP_MORE];
		call->old_addr = w[MS_MAP_ADDR];
		break;
	case MST_OP_MPROTECT:
		call->prot = low(w[MS_MAP_FLAGS]);
		break;
	default:
		break;
	}
	*path = (const char *)(w + MS_MAP_WORDS);
	if (!more || *path_len > (more->n_words - MS_MAP_WORDS) * sizeof(uint64_t) || memchr(*path, 0, *path_len))
		*path_len = 0;
}

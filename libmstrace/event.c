/* event.c - the whole of an event frame: its parts in order, over scratch that is made once.
 *
 * What each part does and why stands in event_<part>.c; what they share, in event_frame.h. An encoder and a decoder are
 * the same scratch with different neighbours: a compressor and room for the payload here, room for the arrays there. */
#include "event.h"

#include "event_frame.h"
#include "mstrace.h"

#include <stdlib.h>

#define PAYLOAD_MAX MST_EVENT_PAYLOAD_MAX(MST_FRAME_EVENTS_MAX)

struct mst_event_encoder {
	struct mst_event_frame f;
	uint8_t arena[PAYLOAD_MAX];
	uint8_t payload[MST_COLUMNS_BOUND(PAYLOAD_MAX)];
};

struct mst_event_decoder {
	struct mst_event_frame f;
	uint8_t arena[PAYLOAD_MAX];
	uint8_t op[MST_FRAME_EVENTS_MAX];
	uint32_t thread[MST_FRAME_EVENTS_MAX], stack[MST_FRAME_EVENTS_MAX];
	uint64_t time[MST_FRAME_EVENTS_MAX], size[MST_FRAME_EVENTS_MAX], freed[MST_FRAME_EVENTS_MAX],
		addr[MST_FRAME_EVENTS_MAX], freed_addr[MST_FRAME_EVENTS_MAX];
	struct mst_extra extra[MST_EVENT_EXTRAS_MAX(MST_FRAME_EVENTS_MAX)];
};

static uint8_t trait_of(uint8_t op_byte)
{
	unsigned op = op_byte & MST_OP_MAX, trait = op_byte & MST_OPBIT_LATE ? MST_SITE_LATE : 0;
	bool refers = mst_op_releases(op) || op == MST_OP_REALLOC_END;

	if (mst_op_maps(op))
		trait |= MST_SITE_MAPS;
	if (mst_op_pools(op))
		trait |= MST_SITE_POOLS;
	if (refers)
		trait |= MST_SITE_REFERS;
	if (op_byte & MST_OPBIT_FAILED)
		return (uint8_t)(trait | MST_SITE_FAILED | MST_SITE_SIZED);
	if (mst_op_acquires(op))
		trait |= MST_SITE_ACQUIRES | MST_SITE_SIZED;
	if (mst_op_releases(op))
		trait |= MST_SITE_RELEASES;
	return (uint8_t)trait;
}

/* The rest of it, MiBs, is as malloc gives it: to clear it would touch what most traces never need. */
static void init_frame(struct mst_event_frame *f, uint8_t *arena)
{
	memset(&f->cols, 0, sizeof(f->cols));
	f->n_identity = 0;
	for (unsigned op = 0; op < 256; op++)
		f->trait[op] = trait_of((uint8_t)op);
	f->cols.arena = arena;
}

/* ---- encoding ------------------------------------------------------------------------------------------- */

int mst_event_encoder_new(int level, struct mst_event_encoder **out)
{
	struct mst_event_encoder *e = malloc(sizeof(*e));

	if (!e)
		return MST_ENOMEM;
	init_frame(&e->f, e->arena);
	e->f.cols.compressor = mst_columns_compressor(level);
	if (!e->f.cols.compressor) {
		mst_event_encoder_free(e);
		return MST_ENOMEM;
	}
	*out = e;
	return 0;
}

void mst_event_encoder_free(struct mst_event_encoder *e)
{
	if (!e)
		return;
	ZSTD_freeCCtx(e->f.cols.compressor);
	free(e);
}

static bool encode_parts(struct mst_event_frame *f)
{
	if (!mst_event_encode_order(f) || !mst_event_encode_sites(f))
		return false;
	mst_event_group_sites(f);
	return mst_event_encode_time(f) && mst_event_encode_size(f) && mst_event_encode_refs(f) &&
		mst_event_encode_addrs(f) && mst_event_encode_extra(f) && mst_event_encode_maps(f) &&
		mst_event_encode_pools(f);
}

int mst_event_encode(struct mst_event_encoder *e, const struct mst_events *ev, const uint8_t **payload, size_t *len,
	const char **why)
{
	struct mst_event_frame *f = &e->f;

	if (ev->n == 0 || ev->n > MST_FRAME_EVENTS_MAX || ev->n_extra > MST_EVENT_EXTRAS_MAX(ev->n) ||
		ev->first_alloc == 0 || ev->first_alloc > UINT64_MAX / 2) {
		*why = "the number of events, extras or the first ordinal is out of range";
		return MST_EARG;
	}
	f->ev = *ev;
	mst_columns_begin(&f->cols, ev->n, ev->n_extra);
	if (!encode_parts(f)) {
		*why = f->cols.fault.why;
		return f->cols.fault.code;
	}
	*len = mst_columns_pack(&f->cols, e->payload, sizeof(e->payload));
	*payload = e->payload;
	*why = "the compressor has no memory";
	return *len > 0 ? 0 : MST_ENOMEM;
}

/* ---- decoding ------------------------------------------------------------------------------------------- */

int mst_event_decoder_new(struct mst_event_decoder **out)
{
	struct mst_event_decoder *d = malloc(sizeof(*d));

	if (!d)
		return MST_ENOMEM;
	init_frame(&d->f, d->arena);
	d->f.cols.decompressor = ZSTD_createDCtx();
	if (!d->f.cols.decompressor) {
		free(d);
		return MST_ENOMEM;
	}
	*out = d;
	return 0;
}

void mst_event_decoder_free(struct mst_event_decoder *d)
{
	if (!d)
		return;
	ZSTD_freeDCtx(d->f.cols.decompressor);
	free(d);
}

/* The columns that decoding must produce to produce those asked for. */
static unsigned with_dependencies(unsigned columns)
{
	return columns & MST_COL_ADDR ? columns | MST_COL_SIZE | MST_COL_FREED : columns;
}

/* Points f->ev at the arrays of what will be decoded. */
static void lay_out(struct mst_event_decoder *d, const struct mst_events *head, unsigned columns)
{
	bool has_nameless = columns & MST_COL_FREED && d->f.cols.at[MST_COLUMN_REF_ADDR].raw_len > 0;

	d->f.has_maps = columns & MST_COL_MAPS && d->f.cols.at[MST_COLUMN_MAPPING].raw_len > 0;
	d->f.has_pools = columns & MST_COL_POOLS && d->f.cols.at[MST_COLUMN_POOL].raw_len > 0;
	d->f.ev = (struct mst_events){
		.n = head->n,
		.first_alloc = head->first_alloc,
		.first_time = head->first_time,
		.op = d->op,
		.thread = d->thread,
		.time = columns & MST_COL_TIME ? d->time : NULL,
		.stack = columns & MST_COL_STACK ? d->stack : NULL,
		.size = columns & MST_COL_SIZE ? d->size : NULL,
		.freed = columns & MST_COL_FREED ? d->freed : NULL,
		.addr = columns & MST_COL_ADDR ? d->addr : NULL,
		.freed_addr = columns & MST_COL_ADDR || has_nameless ? d->freed_addr : NULL,
		.extra = columns & MST_COL_EXTRA ? d->extra : NULL,
	};
}

static bool decode_parts(struct mst_event_frame *f)
{
	if (!mst_event_decode_order(f) || !mst_event_decode_sites(f, f->ev.stack != NULL))
		return false;
	if (f->ev.time || f->ev.size || f->ev.freed || f->has_maps || f->has_pools)
		mst_event_group_sites(f);
	return (!f->ev.time || mst_event_decode_time(f)) && (!f->ev.size || mst_event_decode_size(f)) &&
		(!f->ev.freed || mst_event_decode_refs(f)) && (!f->ev.addr || mst_event_decode_addrs(f)) &&
		(!f->ev.extra || mst_event_decode_extra(f)) && (!f->has_maps || mst_event_decode_maps(f)) &&
		(!f->has_pools || mst_event_decode_pools(f));
}

int mst_event_decode(struct mst_event_decoder *d, const void *payload, size_t len, unsigned columns,
	struct mst_events *ev, const char **why)
{
	struct mst_event_frame *f = &d->f;

	if (ev->n == 0 || ev->n > MST_FRAME_EVENTS_MAX || ev->first_alloc == 0 || ev->first_alloc > UINT64_MAX / 2) {
		*why = "the number of events or the first ordinal is out of range";
		return MST_EDAMAGED;
	}
	if (mst_columns_unpack(&f->cols, payload, len, MST_EVENT_PAYLOAD_MAX(ev->n))) {
		lay_out(d, ev, with_dependencies(columns));
		decode_parts(f); /* what it finds wrong is latched */
	}
	if (f->cols.fault.code != 0) {
		*why = f->cols.fault.why;
		return f->cols.fault.code;
	}
	*ev = f->ev;
	return 0;
}

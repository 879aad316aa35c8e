/* fuzz_events.c - any bytes as the payload of an event frame.
 *
 * The input is a head (below) and a body. With `is_columns` set the body is a list (id u8, len u16, bytes) of raw columns
 * that is made into a well-formed payload, so that mutations reach the columns' decoders; otherwise it is the payload
 * itself, directory, zstd frames and all. What decodes must keep the invariants of event.h, must come out the same when
 * its columns are decoded in another company, and must survive being encoded and decoded again. */
#include "bytes.h"
#include "column.h"
#include "event.h"
#include "mstrace.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_LEN 8 /* n - 1 u16, first_alloc - 1 u24, first_time u8, columns u8, is_columns u8 */
#define BODY_MAX 65536

static struct mst_event_encoder *encoder;
static struct mst_event_decoder *decoder, *second;

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void start_once(void)
{
	if (encoder)
		return;
	must(mst_event_encoder_new(1, &encoder) == 0 && mst_event_decoder_new(&decoder) == 0 &&
		mst_event_decoder_new(&second) == 0);
}

/* Columns that come in order become a payload; returns its length. */
static size_t build_payload(struct mst_cursor c, uint8_t *out)
{
	uint8_t *dir = out + 4, *body = out + 4 + 255 * 12;
	uint32_t count = 0;

	while (mst_cursor_left(&c) > 3 && count < 255) {
		uint8_t id = mst_get8(&c);
		uint16_t len = mst_get16(&c);
		size_t left = mst_cursor_left(&c);
		if (len > left)
			len = (uint16_t)left;
		dir = mst_put8(dir, (uint8_t)(id & 0x1f));
		dir = mst_put8(dir, (uint8_t)(id >> 5 ? 1u << (id >> 5 & 3) : 0)); /* encoding */
		dir = mst_put16(dir, 0);
		dir = mst_put32(dir, len);
		dir = mst_put32(dir, len);
		body = mst_put_bytes(body, mst_get_bytes(&c, len), len);
		count++;
	}
	mst_put32(out, count);
	size_t body_len = (size_t)(body - (out + 4 + 255 * 12));
	memmove(dir, out + 4 + 255 * 12, body_len);
	return (size_t)(dir - out) + body_len;
}

static void check_invariants(const struct mst_events *ev)
{
	uint64_t own = ev->first_alloc, now = ev->first_time;

	for (uint32_t i = 0; i < ev->n; i++) {
		bool failed = ev->op[i] & MST_OPBIT_FAILED;
		unsigned op = ev->op[i] & MST_OP_MAX;
		must(ev->thread[i] > 0 && op > 0);
		must(ev->freed[i] < own && (ev->freed[i] == 0 || !failed));
		must(ev->op[i] & MST_OPBIT_LATE || ev->time[i] >= now);
		if (!(ev->op[i] & MST_OPBIT_LATE))
			now = ev->time[i];
		own += !failed && mst_op_acquires(op);
	}
	must(own - ev->first_alloc == ev->n_alloc);
	must(ev->n_extra <= MST_EVENT_EXTRAS_MAX(ev->n));
}

static void check_same(const struct mst_events *a, const struct mst_events *b)
{
	must(a->n == b->n && a->n_alloc == b->n_alloc);
	must(memcmp(a->op, b->op, a->n) == 0 && memcmp(a->thread, b->thread, a->n * sizeof(a->thread[0])) == 0);
	must(!b->time || memcmp(a->time, b->time, a->n * sizeof(a->time[0])) == 0);
	must(!b->stack || memcmp(a->stack, b->stack, a->n * sizeof(a->stack[0])) == 0);
	must(!b->size || memcmp(a->size, b->size, a->n * sizeof(a->size[0])) == 0);
	must(!b->freed || memcmp(a->freed, b->freed, a->n * sizeof(a->freed[0])) == 0);
	must(!b->addr || memcmp(a->addr, b->addr, a->n * sizeof(a->addr[0])) == 0);
	must(!b->addr || memcmp(a->freed_addr, b->freed_addr, a->n * sizeof(a->addr[0])) == 0);
	must(!b->extra || a->n_extra == b->n_extra);
	for (uint32_t x = 0; b->extra && x < b->n_extra; x++)
		must(a->extra[x].index == b->extra[x].index && a->extra[x].kind == b->extra[x].kind &&
			a->extra[x].value == b->extra[x].value);
}

static void check_again(const struct mst_events *ev)
{
	struct mst_events out = {.n = ev->n, .first_alloc = ev->first_alloc, .first_time = ev->first_time};
	const uint8_t *payload;
	size_t len;
	const char *why;

	must(mst_event_encode(encoder, ev, &payload, &len, &why) == 0);
	must(mst_event_decode(second, payload, len, MST_COL_ALL, &out, &why) == 0);
	check_same(ev, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t built[BODY_MAX + 8192];
	struct mst_cursor c = mst_cursor_over(data, size);
	struct mst_events head = {.n = 1u + mst_get16(&c), .first_alloc = 1u + mst_get16(&c)};

	head.first_alloc += (uint64_t)mst_get8(&c) << 16;
	head.first_time = mst_get8(&c);
	unsigned columns = mst_get8(&c);
	bool is_columns = mst_get8(&c) & 1;
	if (c.failed || size > BODY_MAX)
		return 0;
	start_once();
	const uint8_t *payload = c.p;
	size_t len = mst_cursor_left(&c);
	if (is_columns) {
		len = build_payload(c, built);
		payload = built;
	}
	struct mst_events ev = head, part = head;
	const char *why = NULL;
	int rc = mst_event_decode(decoder, payload, len, MST_COL_ALL, &ev, &why);
	int part_rc = mst_event_decode(second, payload, len, columns & MST_COL_ALL, &part, &why);
	if (rc != 0) {
		must(why != NULL);
		return 0;
	}
	must(part_rc == 0);
	check_invariants(&ev);
	check_same(&ev, &part);
	check_again(&ev);
	return 0;
}

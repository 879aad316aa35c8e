#include "bytes.h"
#include "column.h"
#include "event.h"
#include "mstrace.h"
#include "sample_events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct mst_event_encoder *encoder;
static struct mst_event_decoder *decoder;

static int open_codec(void **state)
{
	(void)state;
	return mst_event_encoder_new(0, &encoder) || mst_event_decoder_new(&decoder);
}

static int close_codec(void **state)
{
	(void)state;
	mst_event_encoder_free(encoder);
	mst_event_decoder_free(decoder);
	return 0;
}

/* What decoding gives back of freed_addr: nothing where the ordinal of an older block says enough; without the
 * addresses, nothing but that of unknown blocks. */
static uint64_t carried_freed_addr(const struct mst_events *ev, unsigned columns, uint32_t i)
{
	if (!(columns & MST_COL_ADDR) && ev->freed[i] != 0)
		return 0;
	return ev->freed[i] != 0 && ev->freed[i] < ev->first_alloc ? 0 : ev->freed_addr[i];
}

static bool has_nameless_releases(const struct mst_events *ev)
{
	for (uint32_t i = 0; i < ev->n; i++)
		if (ev->freed[i] == 0 && ev->freed_addr[i] != 0)
			return true;
	return false;
}

static void assert_same_extras(const struct mst_events *ev, const struct mst_events *out)
{
	assert_int_equal(out->n_extra, ev->n_extra);
	for (uint32_t x = 0; x < ev->n_extra; x++) {
		assert_int_equal(out->extra[x].index, ev->extra[x].index);
		assert_int_equal(out->extra[x].kind, ev->extra[x].kind);
		assert_true(out->extra[x].value == ev->extra[x].value);
	}
}

/* Every column asked for equals ev's, every other is NULL. */
static void assert_same(const struct mst_events *ev, const struct mst_events *out, unsigned columns)
{
	assert_int_equal(out->n, ev->n);
	assert_int_equal(out->n_alloc, ev->n_alloc);
	assert_memory_equal(out->op, ev->op, ev->n);
	assert_memory_equal(out->thread, ev->thread, ev->n * sizeof(ev->thread[0]));
	assert_int_equal(out->time != NULL, (columns & MST_COL_TIME) != 0);
	assert_int_equal(out->stack != NULL, (columns & MST_COL_STACK) != 0);
	assert_int_equal(out->size != NULL, (columns & (MST_COL_SIZE | MST_COL_ADDR)) != 0);
	assert_int_equal(out->freed != NULL, (columns & (MST_COL_FREED | MST_COL_ADDR)) != 0);
	assert_int_equal(out->addr != NULL, (columns & MST_COL_ADDR) != 0);
	assert_int_equal(out->freed_addr != NULL,
		columns & MST_COL_ADDR || (columns & MST_COL_FREED && has_nameless_releases(ev)));
	if (out->time)
		assert_memory_equal(out->time, ev->time, ev->n * sizeof(ev->time[0]));
	if (out->stack)
		assert_memory_equal(out->stack, ev->stack, ev->n * sizeof(ev->stack[0]));
	if (out->size)
		assert_memory_equal(out->size, ev->size, ev->n * sizeof(ev->size[0]));
	if (out->freed)
		assert_memory_equal(out->freed, ev->freed, ev->n * sizeof(ev->freed[0]));
	if (out->addr)
		assert_memory_equal(out->addr, ev->addr, ev->n * sizeof(ev->addr[0]));
	for (uint32_t i = 0; out->freed_addr && i < ev->n; i++)
		assert_true(out->freed_addr[i] == carried_freed_addr(ev, columns, i));
	if (columns & MST_COL_EXTRA)
		assert_same_extras(ev, out);
	else
		assert_int_equal(out->n_extra, 0);
}

static void encode(const struct mst_events *ev, const uint8_t **payload, size_t *len)
{
	const char *why = "";

	if (mst_event_encode(encoder, ev, payload, len, &why) != 0)
		fail_msg("%s", why);
	assert_true(*len <= MST_EVENT_PAYLOAD_MAX(ev->n));
}

static struct mst_events header_of(const struct mst_events *ev)
{
	return (struct mst_events){.n = ev->n, .first_alloc = ev->first_alloc, .first_time = ev->first_time};
}

static void assert_round_trip(const struct mst_events *ev, unsigned columns)
{
	const uint8_t *payload;
	size_t len;
	const char *why = "";
	struct mst_events out = header_of(ev);

	encode(ev, &payload, &len);
	if (mst_event_decode(decoder, payload, len, columns, &out, &why) != 0)
		fail_msg("%s", why);
	assert_same(ev, &out, columns);
}

static void round_trip_of(const struct sample_options *opt, unsigned columns)
{
	struct mst_events ev = sample_arrays(opt->n);

	sample_fill(&ev, opt);
	assert_round_trip(&ev, columns);
	sample_release(&ev);
}

/* ---- round trips ---------------------------------------------------------------------------------------- */

static void every_frame_comes_back(void **state)
{
	static const uint32_t counts[] = {1, 2, 63, 64, 65, 1000, 1025, 5000};
	static const uint32_t threads[] = {1, 2, 7, 200};

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct sample_options opt = {
			.seed = seed,
			.n = counts[seed % 8],
			.n_threads = threads[seed / 8 % 4],
			.n_stacks = 1 + (uint32_t)(seed * seed % 999),
			.first_alloc = 1 + (seed % 3) * 100000,
			.first_time = seed << 20,
			.has_addresses = seed % 5 != 0,
			.has_rarities = seed % 2 == 0,
		};
		round_trip_of(&opt, MST_COL_ALL);
	}
}

static void greatest_frame_comes_back(void **state)
{
	struct sample_options opt = {.seed = 5,
		.n = MST_FRAME_EVENTS_MAX,
		.n_threads = 6,
		.n_stacks = 70000,
		.first_alloc = 1u << 20,
		.has_addresses = true,
		.has_rarities = true};

	(void)state;
	round_trip_of(&opt, MST_COL_ALL);
	opt.n_threads = 1;
	round_trip_of(&opt, MST_COL_ALL);
}

static void any_choice_of_columns_decodes_alone(void **state)
{
	struct sample_options opt = {.seed = 9,
		.n = 3000,
		.n_threads = 3,
		.n_stacks = 50,
		.first_alloc = 500,
		.has_addresses = true,
		.has_rarities = true};

	(void)state;
	for (unsigned columns = 0; columns <= MST_COL_ALL; columns++)
		round_trip_of(&opt, columns);
}

static void one_thread_per_event_comes_back(void **state)
{
	uint32_t n = MST_FRAME_EVENTS_MAX;
	struct mst_events ev = sample_arrays(n);

	(void)state;
	ev.first_alloc = 1;
	ev.n_alloc = n;
	for (uint32_t i = 0; i < n; i++) {
		ev.op[i] = MST_OP_MALLOC;
		ev.thread[i] = UINT32_MAX - i;
		ev.stack[i] = UINT32_MAX - i * 65537;
		ev.addr[i] = 16 * (uint64_t)(i + 1);
	}
	assert_round_trip(&ev, MST_COL_ALL);
	sample_release(&ev);
}

static void extreme_values_come_back(void **state)
{
	struct mst_events ev = sample_arrays(6);

	(void)state;
	ev.first_alloc = UINT64_MAX / 2;
	ev.first_time = 3;
	for (uint32_t i = 0; i < 6; i++) {
		ev.op[i] = i % 2 ? MST_OP_FREE : MST_OP_MALLOC;
		ev.thread[i] = i % 2 ? UINT32_MAX : 1;
		ev.stack[i] = i % 2 ? UINT32_MAX : 0;
		ev.time[i] = i < 3 ? 3 : UINT64_MAX;
		ev.size[i] = i % 2 ? 0 : UINT64_MAX - i;
		ev.addr[i] = i % 2 ? 0 : UINT64_MAX - 15 * (uint64_t)i;
	}
	ev.op[4] |= MST_OPBIT_LATE;
	ev.time[4] = 0;
	ev.n_alloc = 3;
	ev.freed[1] = 1;
	ev.freed[3] = UINT64_MAX / 2 - 1;
	ev.freed_addr[5] = UINT64_MAX;
	assert_round_trip(&ev, MST_COL_ALL);
	sample_release(&ev);
}

/* A realloc that was split: END names the block that BEGIN has released already. */
static void split_realloc_comes_back(void **state)
{
	static const uint8_t ops[] = {MST_OP_MALLOC, MST_OP_REALLOC_BEGIN, MST_OP_MALLOC, MST_OP_REALLOC_END, MST_OP_FREE};
	static const uint64_t freed[] = {0, 10, 0, 10, 12};
	static const uint64_t addr[] = {0x1000, 0, 0x1000, 0x2000, 0};
	static const uint64_t freed_addr[] = {0, 0x1000, 0, 0x1000, 0x2000};
	struct mst_events ev = sample_arrays(5);

	(void)state;
	ev.first_alloc = 10;
	ev.n_alloc = 3;
	for (uint32_t i = 0; i < 5; i++) {
		ev.op[i] = ops[i];
		ev.thread[i] = i == 2 ? 2 : 1;
		ev.freed[i] = freed[i];
		ev.addr[i] = addr[i];
		ev.freed_addr[i] = freed_addr[i];
	}
	assert_round_trip(&ev, MST_COL_ALL);
	sample_release(&ev);
}

static void reserved_operations_pass_through(void **state)
{
	struct mst_events ev = sample_arrays(3);

	(void)state;
	ev.first_alloc = 1;
	for (uint32_t i = 0; i < 3; i++) {
		ev.op[i] = (uint8_t)(40 + i);
		ev.thread[i] = 1;
		ev.stack[i] = 5;
	}
	assert_round_trip(&ev, MST_COL_ALL);
	sample_release(&ev);
}

/* ---- what an encoder refuses ---------------------------------------------------------------------------- */

/* Four lawful events: malloc, free of it, malloc, realloc of it. */
static struct mst_events four_events(void)
{
	struct mst_events ev = sample_arrays(4);

	ev.first_alloc = 1;
	ev.n_alloc = 3;
	for (uint32_t i = 0; i < 4; i++) {
		ev.op[i] = i == 1 ? MST_OP_FREE : i == 3 ? MST_OP_REALLOC : MST_OP_MALLOC;
		ev.thread[i] = 1;
		ev.size[i] = i == 1 ? 0 : 10;
		ev.addr[i] = i == 1 ? 0 : 64;
	}
	ev.freed[1] = 1;
	ev.freed[3] = 2;
	ev.freed_addr[1] = ev.freed_addr[3] = 64;
	return ev;
}

static void assert_refused(struct mst_events *ev)
{
	const uint8_t *payload;
	size_t len;
	const char *why = NULL;

	assert_int_equal(mst_event_encode(encoder, ev, &payload, &len, &why), MST_EARG);
	assert_non_null(why);
	sample_release(ev);
}

#define ASSERT_REFUSED_WITH(change)                                                                                    \
	do {                                                                                                           \
		struct mst_events ev = four_events();                                                                  \
		change;                                                                                                \
		assert_refused(&ev);                                                                                   \
	} while (0)

static void lawless_events_are_refused(void **state)
{
	struct mst_events good = four_events();

	(void)state;
	assert_round_trip(&good, MST_COL_ALL);
	sample_release(&good);
	ASSERT_REFUSED_WITH(ev.n = 0);
	ASSERT_REFUSED_WITH(ev.n = MST_FRAME_EVENTS_MAX + 1);
	ASSERT_REFUSED_WITH(ev.n_alloc = 2);
	ASSERT_REFUSED_WITH(ev.first_alloc = 0);
	ASSERT_REFUSED_WITH(ev.thread[2] = 0);
	ASSERT_REFUSED_WITH(ev.op[2] = MST_OPBIT_LATE);
	ASSERT_REFUSED_WITH(ev.time[1] = 1);
	ASSERT_REFUSED_WITH(ev.first_time = 1);
	ASSERT_REFUSED_WITH(ev.size[1] = 1);
	ASSERT_REFUSED_WITH(ev.addr[1] = 1);
	ASSERT_REFUSED_WITH(ev.freed[0] = 1);
	ASSERT_REFUSED_WITH(ev.freed[1] = 2);
	ASSERT_REFUSED_WITH(ev.freed_addr[2] = 1);
	ASSERT_REFUSED_WITH(ev.op[1] |= MST_OPBIT_FAILED);
	ASSERT_REFUSED_WITH((ev.n_extra = 1, ev.extra[0] = (struct mst_extra){4, 1, 1}));
	ASSERT_REFUSED_WITH((ev.n_extra = 2, ev.extra[0] = ev.extra[1] = (struct mst_extra){1, 1, 1}));
	ASSERT_REFUSED_WITH(ev.n_extra = 9);
}

/* ---- what a decoder refuses ----------------------------------------------------------------------------- */

/* Any bytes: an answer, and if it is yes, then values that keep the invariants. */
static void assert_lawful_or_refused(const uint8_t *payload, size_t len, struct mst_events head)
{
	struct mst_events out = head;
	const char *why = NULL;
	uint64_t own = head.first_alloc;

	if (mst_event_decode(decoder, payload, len, MST_COL_ALL, &out, &why) != 0) {
		assert_non_null(why);
		return;
	}
	for (uint32_t i = 0; i < out.n; i++) {
		assert_true(out.thread[i] > 0);
		assert_true(out.freed[i] < own);
		own += !(out.op[i] & MST_OPBIT_FAILED) && mst_op_acquires(out.op[i] & MST_OP_MAX);
	}
	assert_true(own - head.first_alloc == out.n_alloc);
}

static void every_cut_is_refused(void **state)
{
	struct sample_options opt = {.seed = 3,
		.n = 300,
		.n_threads = 2,
		.n_stacks = 30,
		.first_alloc = 9,
		.has_addresses = true,
		.has_rarities = true};
	struct mst_events ev = sample_arrays(opt.n);
	const uint8_t *payload;
	size_t len;
	const char *why;

	(void)state;
	sample_fill(&ev, &opt);
	encode(&ev, &payload, &len);
	for (size_t cut = 0; cut < len; cut++) {
		struct mst_events out = header_of(&ev);
		assert_int_equal(mst_event_decode(decoder, payload, cut, MST_COL_ALL, &out, &why), MST_EDAMAGED);
	}
	sample_release(&ev);
}

static void every_flipped_bit_is_survived(void **state)
{
	struct sample_options opt = {.seed = 4,
		.n = 400,
		.n_threads = 3,
		.n_stacks = 30,
		.first_alloc = 9,
		.has_addresses = true,
		.has_rarities = true};
	struct mst_events ev = sample_arrays(opt.n);
	const uint8_t *payload;
	size_t len;

	(void)state;
	sample_fill(&ev, &opt);
	encode(&ev, &payload, &len);
	uint8_t *copy = malloc(len);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		memcpy(copy, payload, len);
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_lawful_or_refused(copy, len, header_of(&ev));
	}
	free(copy);
	sample_release(&ev);
}

static void wrong_counts_in_the_header_are_refused(void **state)
{
	struct sample_options opt = {.seed = 6, .n = 200, .n_threads = 2, .n_stacks = 30, .first_alloc = 9, .has_addresses = true};
	struct mst_events ev = sample_arrays(opt.n);
	const uint8_t *payload;
	size_t len;
	const char *why;

	(void)state;
	sample_fill(&ev, &opt);
	encode(&ev, &payload, &len);
	for (uint32_t n = 0; n < 2 * opt.n; n++) {
		struct mst_events out = {.n = n, .first_alloc = 9};
		if (n != opt.n)
			assert_int_equal(mst_event_decode(decoder, payload, len, MST_COL_ALL, &out, &why), MST_EDAMAGED);
	}
	struct mst_events out = {.n = UINT32_MAX, .first_alloc = 9};
	assert_int_equal(mst_event_decode(decoder, payload, len, 0, &out, &why), MST_EDAMAGED);
	sample_release(&ev);
}

/* The payload of four_events with one more column in its directory. */
static size_t with_unknown_column(uint8_t *out, uint8_t id, uint8_t flags)
{
	struct mst_events ev = four_events();
	const uint8_t *payload;
	size_t len;

	encode(&ev, &payload, &len);
	uint32_t count = mst_load32(payload);
	uint8_t *p = mst_put32(out, count + 1);
	p = mst_put_bytes(p, payload + 4, 12 * count);
	p = mst_put32(p, id | (uint32_t)flags << 24);
	p = mst_put32(p, 1);
	p = mst_put32(p, 1);
	p = mst_put_bytes(p, payload + 4 + 12 * count, len - 4 - 12 * count);
	p = mst_put8(p, 0);
	sample_release(&ev);
	return (size_t)(p - out);
}

static void unknown_columns_are_skipped_unless_needed(void **state)
{
	struct mst_events ev = four_events(), out = header_of(&ev);
	uint8_t payload[4096];
	size_t len = with_unknown_column(payload, 200, 0);
	const char *why;

	(void)state;
	assert_int_equal(mst_event_decode(decoder, payload, len, MST_COL_ALL, &out, &why), 0);
	assert_same(&ev, &out, MST_COL_ALL);
	len = with_unknown_column(payload, 200, MST_COLUMN_NEEDED);
	assert_int_equal(mst_event_decode(decoder, payload, len, MST_COL_ALL, &out, &why), MST_EVERSION);
	sample_release(&ev);
}

static void a_column_twice_is_refused(void **state)
{
	struct mst_events ev = four_events(), out = header_of(&ev);
	uint8_t payload[4096];
	size_t len = with_unknown_column(payload, MST_COLUMN_THREAD, 0);
	const char *why;

	(void)state;
	assert_int_equal(mst_event_decode(decoder, payload, len, MST_COL_ALL, &out, &why), MST_EDAMAGED);
	sample_release(&ev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_comes_back),
		cmocka_unit_test(greatest_frame_comes_back),
		cmocka_unit_test(any_choice_of_columns_decodes_alone),
		cmocka_unit_test(one_thread_per_event_comes_back),
		cmocka_unit_test(extreme_values_come_back),
		cmocka_unit_test(split_realloc_comes_back),
		cmocka_unit_test(reserved_operations_pass_through),
		cmocka_unit_test(lawless_events_are_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(every_flipped_bit_is_survived),
		cmocka_unit_test(wrong_counts_in_the_header_are_refused),
		cmocka_unit_test(unknown_columns_are_skipped_unless_needed),
		cmocka_unit_test(a_column_twice_is_refused),
	};

	return cmocka_run_group_tests(tests, open_codec, close_codec);
}

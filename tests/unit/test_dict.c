/* test_dict.c - tables: round trips are the fuzz target's business; here is what must be refused, what holes do, and
 * what memory a hostile id may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dict.h"
#include "ledger.h"

static int decode(struct mst_dict *d, unsigned kind, uint32_t n, const char *bytes, size_t len)
{
	const char *why = "";
	int rc = mst_dict_decode(d, kind, n, (const uint8_t *)bytes, len, &why);

	if (rc == MST_EDAMAGED)
		assert_true(strlen(why) > 0);
	return rc;
}

#define DECODE(d, kind, n, text) decode(d, kind, n, text, sizeof(text) - 1)

static void strings_come_back_by_id(void **state)
{
	struct mst_dict d;
	size_t len;

	(void)state;
	mst_dict_init(&d);
	assert_int_equal(DECODE(&d, MST_KIND_STRING, 3, "\x01\x01\x00\x02"
							"abc"), 0);
	assert_string_equal(mst_dict_string(&d, 1, &len), "a");
	assert_string_equal(mst_dict_string(&d, 2, &len), "");
	assert_string_equal(mst_dict_string(&d, 3, &len), "bc");
	assert_int_equal(len, 2);
	assert_null(mst_dict_string(&d, 4, &len));
	assert_null(mst_dict_string(&d, 0, &len));
	mst_dict_release(&d);
}

static void the_same_again_is_fine_and_something_else_is_not(void **state)
{
	struct mst_dict d;

	(void)state;
	mst_dict_init(&d);
	assert_int_equal(DECODE(&d, MST_KIND_STRING, 1, "\x01\x01z"), 0);
	assert_int_equal(DECODE(&d, MST_KIND_STRING, 1, "\x01\x01z"), 0);
	assert_int_equal(DECODE(&d, MST_KIND_STRING, 1, "\x01\x01y"), MST_EDAMAGED);
	assert_int_equal(DECODE(&d, MST_KIND_STRING, 1, "\x01\x02zz"), MST_EDAMAGED);
	assert_int_equal(DECODE(&d, MST_KIND_CODE, 1, "\x01\x00\x08"), 0);
	assert_int_equal(DECODE(&d, MST_KIND_CODE, 1, "\x01\x00\x08"), 0);
	assert_int_equal(DECODE(&d, MST_KIND_CODE, 1, "\x01\x00\x0a"), MST_EDAMAGED);
	mst_dict_release(&d);
}

static void payloads_that_break_the_rules_are_refused(void **state)
{
	static const struct {
		unsigned kind;
		uint32_t n;
		const char *bytes;
		size_t len;
	} cases[] = {
#define CASE(kind, n, text) {kind, n, text, sizeof(text) - 1}
		CASE(MST_KIND_STRING, 1, "\x00\x01x"),                     /* id 0 */
		CASE(MST_KIND_STRING, 1, "\x01\x02x"),                     /* a length beyond the payload */
		CASE(MST_KIND_STRING, 1, "\x01\x01xy"),                    /* bytes left over */
		CASE(MST_KIND_STRING, 9, "\x01\x01x"),                     /* more entries than bytes */
		CASE(MST_KIND_STRING, 2, "\xff\xff\xff\xff\x0f\x00\x00"),  /* ids beyond the last */
		CASE(MST_KIND_STRING, 1, "\x01\x81\x80\x04" "x"),          /* longer than a string may be */
		CASE(MST_KIND_STRING, 1, "\x01\x81\x00" "x"),              /* a varint that is not canonical */
		CASE(MST_KIND_MODULE, 1, "\x01\x01\x21"),                  /* a build id of 33 bytes */
		CASE(MST_KIND_MODULE, 1, "\x01\x01\x02x"),                 /* a build id cut short */
		CASE(MST_KIND_STACK, 1, "\x01\x01\x00\x00"),               /* id 1 is no entry */
		CASE(MST_KIND_STACK, 1, "\x02\x01\x02\x00"),               /* parent 1 by distance */
		CASE(MST_KIND_STACK, 1, "\x05\x01\x06\x00"),               /* parent 0 by distance */
		CASE(MST_KIND_STACK, 1, "\x02\x01\x00\x01"),               /* code 0 */
		CASE(MST_KIND_STACK, 1, "\x02\x00\x00\x00"),               /* code 0 again */
		CASE(MST_KIND_PROC, 1, "\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), /* id 0 */
		CASE(MST_KIND_PROC, 1, "\x02\x01\x02\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), /* own parent */
		CASE(MST_KIND_THREAD, 1, "\x01\x00\x05\x00\x00\x00\x00"),  /* of no process */
		CASE(MST_KIND_THREAD, 1, "\x81\x80\x40\x01\x05\x00\x00\x00\x00"), /* id beyond the last */
		CASE(MST_KIND_MAP, 1, "\x01\x01\x00\x01\x01\x00\x00\x00"), /* of no module */
		CASE(MST_KIND_MAP, 1, "\x01\x01\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00"), /* wraps */
		CASE(MST_KIND_SYM, 1, "\x01\x81\x02"),                     /* more symbols than allowed */
		CASE(MST_KIND_SYM, 1, "\x01\x01\x01\x01"),                 /* a column missing */
		CASE(MST_KIND_SYM, 1, "\x01\x01\x01\x01\x80\x80\x80\x80\x80\x01"), /* line beyond 32 bits */
		CASE(MST_KIND_LOSS, 1, "\x01\x01\x05\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x01"), /* time beyond the last */
		CASE(MST_KIND_API, 1, "\x01\x04\x01\x01\x01\x01"),       /* a row too short for its fields */
		CASE(MST_KIND_API, 1, "\x01\x06\x01\x01\x01\x01\x01"),   /* longer than the payload */
		CASE(MST_KIND_API, 1, "\x09\x02\x01"),                   /* the same, of a kind not known */
		CASE(MST_KIND_API, 2, "\x01\x05\x05\x01\x01\x01\x01\x01\x05\x04\x01\x01\x01\x01"), /* goes back */
		CASE(MST_KIND_API, 1, "\x01\x07\x01\x01\x81\x80\x40\x01\x01"), /* process beyond the last */
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mst_dict d;

		mst_dict_init(&d);
		if (decode(&d, cases[i].kind, cases[i].n, cases[i].bytes, cases[i].len) != MST_EDAMAGED)
			fail_msg("case %zu was not refused", i);
		mst_dict_release(&d);
	}
}

static void every_cut_of_a_payload_is_refused(void **state)
{
	static const char payload[] = "\x01\x2a\x00\x03\x04\x01\x01\x06\x07\x08\x09\x00\x01\x02\x03";

	(void)state;
	for (size_t len = 0; len < sizeof(payload) - 1; len++) {
		struct mst_dict d;

		mst_dict_init(&d);
		assert_int_equal(decode(&d, MST_KIND_PROC, 1, payload, len), MST_EDAMAGED);
		mst_dict_release(&d);
	}
}

static void records_said_again_replace(void **state)
{
	const struct mst_thread *t;
	struct mst_dict d;

	(void)state;
	mst_dict_init(&d);
	assert_int_equal(DECODE(&d, MST_KIND_THREAD, 1, "\x01\x01\x05\x00\x00\x00\x00"), 0);
	t = mst_table_get(&d.threads, 1);
	assert_true(t->end_ns == UINT64_MAX);
	assert_int_equal(DECODE(&d, MST_KIND_THREAD, 1, "\x01\x01\x05\x09\x00\x08\x03"), 0);
	t = mst_table_get(&d.threads, 1);
	assert_int_equal(t->name, 9);
	assert_int_equal(t->end_ns, 7);
	assert_int_equal(t->lost_events, 3);
	mst_dict_release(&d);
}

static void annotations_of_later_kinds_are_stepped_over(void **state)
{
	struct mst_dict d;

	(void)state;
	mst_dict_init(&d);
	assert_int_equal(DECODE(&d, MST_KIND_API, 3, "\x07\x00" "\x02\x07\x05\x06\x01\x02\x00zz" "\x7f\x03xyz"), 0);
	assert_int_equal(d.n_annotations, 1);
	assert_int_equal(d.annotations[0].kind, MST_ANNOTATION_PAUSE);
	assert_int_equal(d.annotations[0].event, 5);
	assert_int_equal(d.annotations[0].time_ns, 6);
	assert_int_equal(d.annotations[0].process, 1);
	assert_int_equal(d.annotations[0].thread, 2);
	assert_int_equal(DECODE(&d, MST_KIND_API, 1, "\x01\x05\x04\x00\x00\x00\x00"), MST_EDAMAGED); /* of the frame before */
	mst_dict_release(&d);
}

static void holes_cost_nothing_and_can_be_filled(void **state)
{
	struct mst_dict d;
	size_t len;

	(void)state;
	mst_dict_init(&d);
	assert_int_equal(DECODE(&d, MST_KIND_STRING, 1, "\xfe\xff\xff\xff\x0e\x01" "b"), 0); /* a very great id */
	assert_int_equal(DECODE(&d, MST_KIND_STRING, 1, "\x01\x01" "a"), 0);
	assert_int_equal(d.strings.n_pieces, 2);
	assert_true(d.strings.pieces[0].cap + d.strings.pieces[1].cap < 10);
	assert_null(mst_dict_string(&d, 2, &len));
	assert_int_equal(DECODE(&d, MST_KIND_STRING, 2, "\x02\x01\x01" "cd"), 0);
	assert_string_equal(mst_dict_string(&d, 3, &len), "d");
	assert_int_equal(mst_table_last(&d.strings), 0xeffffffe);
	mst_dict_release(&d);
}

static void a_table_in_too_many_pieces_is_damage(void **state)
{
	struct mst_dict d;
	unsigned n = 0;
	int rc = 0;

	(void)state;
	mst_dict_init(&d);
	for (uint32_t id = 2; rc == 0 && n < 10000; id += 2, n++) {
		char payload[8];
		uint8_t *end = mst_put_varint((uint8_t *)payload, id);

		*end++ = 0;
		*end++ = 0;
		rc = decode(&d, MST_KIND_CODE, 1, payload, (size_t)(end - (uint8_t *)payload));
	}
	assert_int_equal(rc, MST_EDAMAGED);
	assert_int_equal(n, MST_PIECES_MAX + 1);
	mst_dict_release(&d);
}

/* ---- the writer's side ------------------------------------------------------------------------------------ */

static void equal_content_has_one_id(void **state)
{
	struct mst_ledger l;
	struct mst_module m = {.build_id = {1}, .build_id_len = 1};
	uint32_t a, b, module, code, again, stack;

	(void)state;
	mst_ledger_init(&l, 5);
	assert_int_equal(mst_ledger_string(&l, "x", 1, &a), 0);
	assert_int_equal(mst_ledger_string(&l, "x", 1, &b), 0);
	assert_int_equal(a, b);
	assert_int_equal(mst_ledger_string(&l, "x\0", 2, &b), 0);
	assert_int_equal(b, a + 1);
	m.path = a;
	assert_int_equal(mst_ledger_module(&l, &m, &module), 0);
	m.build_id[20] = 9; /* beyond its length: no part of it */
	assert_int_equal(mst_ledger_module(&l, &m, &again), 0);
	assert_int_equal(module, again);
	assert_int_equal(mst_ledger_code(&l, module, 0x10, &code), 0);
	assert_int_equal(mst_ledger_code(&l, module, 0x10, &again), 0);
	assert_int_equal(code, again);
	assert_int_equal(mst_ledger_stack(&l, MST_STACK_CUT, code, &stack), 0);
	assert_int_equal(stack, MST_STACK_FIRST);
	assert_int_equal(mst_ledger_stack(&l, MST_STACK_NONE, code, &again), 0);
	assert_int_not_equal(stack, again);
	assert_int_equal(mst_ledger_stack(&l, MST_STACK_CUT, code, &again), 0);
	assert_int_equal(stack, again);
	mst_ledger_release(&l);
}

static void ids_that_do_not_exist_are_refused(void **state)
{
	struct mst_ledger l;
	struct mst_module m = {.path = 1};
	struct mst_thread t = {.process = 1};
	struct mst_process p = {.parent = 1};
	struct mst_mapping map = {.process = 1, .module = 1};
	struct mst_symbol s = {0};
	uint32_t id;

	(void)state;
	mst_ledger_init(&l, 5);
	assert_int_equal(mst_ledger_module(&l, &m, &id), MST_EARG);
	assert_int_equal(mst_ledger_code(&l, 1, 0, &id), MST_EARG);
	assert_int_equal(mst_ledger_stack(&l, 0, 1, &id), MST_EARG);
	assert_int_equal(mst_ledger_stack(&l, 7, 0, &id), MST_EARG);
	assert_int_equal(mst_ledger_thread(&l, &t, &id), MST_EARG);
	assert_int_equal(mst_ledger_process(&l, &p, &id), MST_EARG);
	assert_int_equal(mst_ledger_mapping(&l, &map), MST_EARG);
	assert_int_equal(mst_ledger_symbols(&l, 1, &s, 1), MST_EARG);
	assert_null(mst_ledger_change_process(&l, 1));
	mst_ledger_release(&l);
}

static void a_change_is_written_once_however_often_it_is_made(void **state)
{
	struct mst_ledger l;
	struct mst_pages pages = {0};
	struct mst_process p = {.pid = 1};
	uint32_t id;

	(void)state;
	mst_ledger_init(&l, 5);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(mst_ledger_process(&l, &p, &id), 0);
	for (unsigned i = 0; i < 9; i++)
		mst_ledger_change_process(&l, 1 + i % 3)->status = (int32_t)i;
	assert_int_equal(mst_ledger_pending(&l, &pages), 0);
	assert_int_equal(pages.n, 1);
	assert_int_equal(pages.pages[0].kind, MST_KIND_PROC);
	assert_int_equal(pages.pages[0].n_items, 3);
	mst_pages_clear(&pages);
	assert_int_equal(mst_ledger_pending(&l, &pages), 0);
	assert_int_equal(pages.n, 0);
	mst_pages_release(&pages);
	mst_ledger_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_come_back_by_id),
		cmocka_unit_test(the_same_again_is_fine_and_something_else_is_not),
		cmocka_unit_test(payloads_that_break_the_rules_are_refused),
		cmocka_unit_test(every_cut_of_a_payload_is_refused),
		cmocka_unit_test(annotations_of_later_kinds_are_stepped_over),
		cmocka_unit_test(records_said_again_replace),
		cmocka_unit_test(holes_cost_nothing_and_can_be_filled),
		cmocka_unit_test(a_table_in_too_many_pieces_is_damage),
		cmocka_unit_test(equal_content_has_one_id),
		cmocka_unit_test(ids_that_do_not_exist_are_refused),
		cmocka_unit_test(a_change_is_written_once_however_often_it_is_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

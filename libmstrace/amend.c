/* amend.c - symbols for a trace that has been written.
 *
 * Its frames are copied as they are, and STRING and SYM frames are put behind them: ids go on where the trace's
 * end. They are drawn from a ledger of their own that begins there, as if all before it had been written already. A string
 * that the trace knows under another id is thus written again, which costs bytes and nothing else; to know them all
 * would cost a pass over them in memory for the few that symbols share. */
#include <string.h>

#include "salvage.h"

struct mst_amendment {
	const struct mst_reader *reader;
	struct mst_ledger ledger;
	int (*amend)(void *ctx, struct mst_amendment *a);
	void *ctx;
};

const struct mst_reader *mst_amendment_reader(const struct mst_amendment *a)
{
	return a->reader;
}

int mst_amendment_string(struct mst_amendment *a, const char *s, size_t len, uint32_t *id)
{
	return mst_ledger_string(&a->ledger, s, len, id);
}

int mst_amendment_symbols(struct mst_amendment *a, uint32_t code, const struct mst_symbol *s, size_t n)
{
	return mst_ledger_symbols(&a->ledger, code, s, n);
}

/* Makes the ledger go on behind the ids that r knows: stand-ins for the last of them, marked as written. */
static int begin_behind(struct mst_ledger *l, const struct mst_reader *r)
{
	uint32_t last_string = mst_table_last(&r->dict.strings), last_code = mst_table_last(&r->dict.codes);
	struct mst_code code;
	const char *why;
	int rc = 0;

	memset(&code, 0, sizeof(code));
	if (last_string)
		rc = mst_dict_put_string(&l->dict, last_string, "", 0, &why);
	if (rc == 0 && last_code)
		rc = mst_dict_put(&l->dict.codes, last_code, &code, &why);
	l->strings_done = last_string;
	l->codes_done = last_code;
	return rc;
}

static int add(void *ctx, const struct mst_reader *r, struct mst_output *out)
{
	struct mst_amendment *a = ctx;
	struct mst_pages pages = {0};
	int rc;

	a->reader = r;
	mst_ledger_init(&a->ledger, out->file_id);
	rc = begin_behind(&a->ledger, r);
	if (rc == 0)
		rc = a->amend(a->ctx, a);
	if (rc == 0)
		rc = mst_ledger_pending(&a->ledger, &pages);
	if (rc == 0)
		rc = mst_output_pages(out, &pages, 0);
	mst_pages_release(&pages);
	mst_ledger_release(&a->ledger);
	return rc;
}

int mst_amend(int in, int out, int (*amend)(void *ctx, struct mst_amendment *a), void *ctx,
	struct mst_verify_result *result, struct mst_problem *problem)
{
	struct mst_amendment a = {.amend = amend, .ctx = ctx};

	return mst_salvage_and_add(in, out, add, &a, result, problem);
}

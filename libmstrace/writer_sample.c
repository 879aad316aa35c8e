/* writer_sample.c - samples: gathered until the next frame goes out. */
#include "writer.h"

static const char *sample_fault(const struct mst_writer *w, const struct mst_sample *s)
{
	if (s->process > mst_table_last(&w->ledger.dict.processes) || s->group > mst_table_last(&w->ledger.dict.strings))
		return "a sample's process or group is unknown";
	if (s->time_ns < w->sampled_ns || s->time_ns > MST_NUMBER_MAX || s->cost_ns > MST_NUMBER_MAX)
		return "a sample's time is out of range, or goes back";
	for (unsigned field = 0; field < MST_SAMPLE_FIELDS; field++)
		if (s->known >> field & 1 && (s->value[field] > MST_NUMBER_MAX || field == 0))
			return "a sample's value is out of range";
	return NULL;
}

int mst_writer_sample(struct mst_writer *w, const struct mst_sample *s)
{
	const char *fault = sample_fault(w, s);

	if (w->rc < 0)
		return w->rc;
	if (fault)
		return mst_writer_fail(w, MST_EARG, fault);
	if (mst_samples_add(&w->samples, s) < 0)
		return mst_writer_fail(w, MST_ENOMEM, "");
	w->samples.items[w->samples.n - 1].event = w->totals.events;
	w->sampled_ns = s->time_ns;
	return w->samples.n == MST_SAMPLES_MAX ? mst_writer_close_batch(w) : 0;
}

int mst_writer_put_samples(struct mst_writer *w, struct mst_pages *pages)
{
	size_t start = pages->raw.len;
	uint32_t n = (uint32_t)w->samples.n;

	if (n == 0)
		return 0;
	w->samples.n = 0;
	if (mst_samples_encode(w->samples.items, n, &pages->raw) < 0)
		return MST_ENOMEM;
	return mst_pages_add(pages, MST_KIND_SAMPLE, n, start);
}

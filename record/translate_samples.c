/* translate_samples.c - what the kernel said, and what being recorded cost, at its place in the order. */
#include "translator.h"

#include <string.h>

#include "costs.h"

int ms_translate_sample(struct ms_translator *tr, struct mst_sample *sample, uint64_t stamp)
{
	uint64_t ns = ms_clock_ns(tr->clock, stamp);
	sample->time_ns = ns > tr->sampled_ns ? ns : tr->sampled_ns;
	tr->sampled_ns = sample->time_ns;
	return mst_writer_sample(tr->writer, sample);
}

int ms_translate_reading(struct ms_translator *tr, struct ms_reading *r)
{
	struct ms_process *proc = r->who;
	if (proc && proc->is_dead && r->stamp > proc->end_stamp)
		return 0;
	int rc = proc && !proc->id ? ms_translator_introduce_process(tr, proc) : 0;
	r->sample.process = proc ? proc->id : 0;
	if (rc >= 0 && r->group)
		rc = ms_translator_intern(tr, r->group, strlen(r->group), &r->sample.group);
	return rc < 0 ? rc : ms_translate_sample(tr, &r->sample, r->stamp);
}

int ms_translate_costs(struct ms_translator *tr, struct ms_process *proc, uint64_t lost_events)
{
	struct mst_sample costs;
	if (!proc->id)
		return 0;
	ms_costs_of_process(proc, tr->clock, lost_events, &costs);
	costs.process = proc->id;
	return ms_translate_sample(tr, &costs, proc->is_dead ? proc->end_stamp : tr->last_stamp);
}

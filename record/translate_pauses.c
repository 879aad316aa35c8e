/* translate_pauses.c - what was said about the recording, by the program or from outside. */
#include "translator.h"

static void set_pause(struct ms_process *proc, bool is_paused, uint64_t stamp)
{
	if (is_paused && !proc->is_paused)
		proc->pause_stamp = stamp;
	else if (!is_paused && proc->is_paused)
		proc->resume_stamp = stamp;
	proc->is_paused = is_paused;
	proc->mute_since_ns = 0;
}

static int annotate(struct ms_translator *tr, enum mst_annotation_kind kind, const struct ms_process *proc,
	uint32_t thread, uint32_t name, uint64_t ns)
{
	tr->has_paused |= kind == MST_ANNOTATION_PAUSE;
	const struct mst_annotation a = {
		.kind = kind, .process = proc ? proc->id : 0, .thread = thread, .name = name, .time_ns = ns};
	return mst_writer_annotation(tr->writer, &a);
}

int ms_translator_inherit_pause(struct ms_translator *tr, struct ms_process *proc, bool was_paused, uint64_t n_pauses)
{
	bool is_paused = n_pauses == tr->n_pauses ? was_paused : tr->is_paused;
	set_pause(proc, is_paused, 0);
	if (is_paused == tr->is_paused)
		return 0;
	return annotate(tr, is_paused ? MST_ANNOTATION_PAUSE : MST_ANNOTATION_RESUME, proc, 0, 0,
		ms_clock_ns(tr->clock, proc->start_stamp));
}

int ms_translator_tell_annotation(
	struct ms_translator *tr, struct ms_tenant *t, const struct ms_item *item, uint64_t ns)
{
	const struct ms_note *note = item->note;
	enum mst_annotation_kind kind = item->kind == MS_U_MARK	   ? MST_ANNOTATION_MARK
					: item->kind == MS_U_PAUSE ? MST_ANNOTATION_PAUSE
								   : MST_ANNOTATION_RESUME;
	uint32_t name = 0;
	if (kind != MST_ANNOTATION_MARK)
		set_pause(t->process, kind == MST_ANNOTATION_PAUSE, MS_ITEM_STAMP(item->key));
	int rc = kind == MST_ANNOTATION_MARK ? ms_translator_intern(tr, (const char *)&note->words[2], note->words[1], &name) : 0;
	return rc < 0 ? rc : annotate(tr, kind, t->process, t->thread, name, ns);
}

int ms_translate_annotation(struct ms_translator *tr, enum mst_annotation_kind kind, struct ms_process *proc,
	const char *name, size_t name_len, uint64_t stamp)
{
	bool is_pause = kind == MST_ANNOTATION_PAUSE;
	uint32_t id = 0;
	int rc = proc && !proc->id ? ms_translator_introduce_process(tr, proc) : ms_translator_intern(tr, name, name_len, &id);
	if (rc < 0)
		return rc;
	if (proc) {
		set_pause(proc, is_pause, stamp);
	} else if (kind != MST_ANNOTATION_MARK) {
		tr->is_paused = is_pause;
		tr->n_pauses++;
		for (struct ms_process *p = tr->processes; p; p = p->next)
			set_pause(p, is_pause, stamp);
	}
	return annotate(tr, kind, proc, 0, id, ms_clock_ns(tr->clock, stamp));
}

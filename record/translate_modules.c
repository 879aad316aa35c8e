/* translate_modules.c - where code lies in a process, at the present place of the order. */
#include "translator.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "filecode.h"

static int find_module(struct ms_translator *tr, const struct ms_process *proc,
	const struct ms_unit_module_view *view, uint32_t *id)
{
	struct mst_module m = {.build_id_len = (uint8_t)view->build_id_len};
	const char *path = view->path_len ? view->path : proc->arrival->exe;
	size_t len = view->path_len ? view->path_len : proc->arrival->exe_len;
	char name[4097];
	struct stat st;
	memcpy(m.build_id, view->build_id, view->build_id_len);
	if (len && len < sizeof name) {
		memcpy(name, path, len);
		name[len] = 0;
		if (name[0] == '/' && !stat(name, &st) && S_ISREG(st.st_mode)) {
			m.file_size = (uint64_t)st.st_size;
			m.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
		}
	}
	if (tr->wraps)
		ms_wraps_look(tr->wraps, path, len, !view->path_len);
	int rc = ms_translator_intern(tr, path, len, &m.path);
	return rc < 0 ? rc : mst_writer_module(tr->writer, &m, id);
}

/* Is it the capture library? Its hooks stand in a stack where what they have called calls the heap again. */
static bool is_ours(const struct ms_unit_module_view *view)
{
	static const char name[] = "/libmscapture.so";
	size_t len = sizeof name - 1;
	return view->path_len >= len && !memcmp(view->path + view->path_len - len, name, len);
}

static int put_module(struct ms_translator *tr, struct ms_process *proc, const struct ms_modmap_entry *e, uint64_t ns)
{
	const struct ms_modmap_entry *known = ms_modmap_get(proc->modules, e->start);
	bool has_covered = false;
	if (known && known->start == e->start && known->end == e->end && known->bias == e->bias &&
		known->module == e->module)
		return 0; /* told twice, as by a forked child that does not know what its parent told */
	if (ms_modmap_put(&proc->modules, e, &has_covered))
		return MST_ENOMEM;
	if (has_covered || proc->has_unknown) {
		proc->era++;
		proc->has_unknown = false;
	}
	const struct mst_mapping mapping = {
		.process = proc->id,
		.module = e->module,
		.start = e->start,
		.end = e->end,
		.bias = e->bias,
		.load_ns = ns,
		.unload_ns = UINT64_MAX,
	};
	return mst_writer_mapping(tr->writer, &mapping);
}

int ms_translator_tell_module(
	struct ms_translator *tr, struct ms_process *proc, const struct ms_note *note, uint64_t ns)
{
	struct ms_unit_module_view view;
	struct ms_modmap_entry e;
	if (!ms_unit_module_get(note->words, note->n_words, &view))
		return 0;
	int rc = find_module(tr, proc, &view, &e.module);
	if (rc < 0)
		return rc;
	e.start = view.map_start;
	e.end = view.map_end;
	e.bias = view.bias;
	e.process = proc->id;
	e.is_ours = is_ours(&view);
	return put_module(tr, proc, &e, ns);
}

int ms_translator_tell_unmodule(struct ms_translator *tr, struct ms_process *proc, uint64_t start, uint64_t ns)
{
	struct ms_modmap_entry gone;
	int rc = ms_modmap_take(&proc->modules, start, &gone);
	if (rc <= 0)
		return rc < 0 ? MST_ENOMEM : 0;
	proc->era++;
	if (gone.process != proc->id)
		return 0; /* inherited: the trace has it as the parent's */
	return mst_writer_unmapping(tr->writer, proc->id, start, ns);
}

/* A module of the process whose file has this name, or else a new one. */
static int find_module_of_file(struct ms_translator *tr, const struct ms_process *proc, uint32_t file, uint32_t *id)
{
	const struct mst_module m = {.path = file};
	for (size_t i = 0; i < proc->modules->n; i++) {
		*id = proc->modules->entries[i].module;
		if (mst_writer_get_module(tr->writer, *id)->path == file)
			return 0;
	}
	return mst_writer_module(tr->writer, &m, id);
}

int ms_translator_tell_mapped_code(
	struct ms_translator *tr, struct ms_process *proc, const struct mst_map_call *call, uint64_t ns)
{
	struct ms_modmap_entry e = {.start = call->addr, .end = call->addr + call->length, .process = proc->id};
	size_t len;
	const char *path = call->file ? mst_writer_get_string(tr->writer, call->file, &len) : NULL;
	char name[4097];
	if (!path || !(call->prot & PROT_EXEC) || len >= sizeof name || e.end <= e.start)
		return 0;
	memcpy(name, path, len);
	name[len] = 0;
	if (!ms_filecode_bias(name, call->addr, call->offset, &e.bias))
		return 0;
	int rc = find_module_of_file(tr, proc, call->file, &e.module);
	return rc < 0 ? rc : put_module(tr, proc, &e, ns);
}

int ms_translator_tell_unmapped_code(
	struct ms_translator *tr, struct ms_process *proc, const struct mst_map_call *call, uint64_t ns)
{
	const struct ms_modmap_entry *e = ms_modmap_get(proc->modules, call->addr);
	if (!e || e->start != call->addr || e->end - e->start > call->length)
		return 0;
	return ms_translator_tell_unmodule(tr, proc, e->start, ns);
}

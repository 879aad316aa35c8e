/* See jit.h. */
#include "jit.h"

#include <stdlib.h>
#include <string.h>

#include "perfmap.h"

#define AMBIGUOUS UINT32_MAX

void ms_jit_release(struct ms_jit *j)
{
	free(j->names);
	*j = (struct ms_jit){0};
}

static int by_address(const void *a, const void *b)
{
	const struct ms_stray *x = a, *y = b;
	return (x->ip > y->ip) - (x->ip < y->ip);
}

static int reserve(struct ms_jit *j, uint32_t code)
{
	if (code < j->cap)
		return 0;
	uint32_t cap = code < UINT32_MAX / 2 ? code * 2 + 64 : UINT32_MAX;
	uint32_t *grown = realloc(j->names, cap * sizeof *grown);
	if (!grown)
		return MST_ENOMEM;
	memset(grown + j->cap, 0, (cap - j->cap) * sizeof *grown);
	j->names = grown;
	j->cap = cap;
	return 0;
}

static int tell_name(struct ms_jit *j, struct mst_writer *w, uint32_t code, const struct ms_perfmap_query *q)
{
	struct mst_symbol symbol = {0};
	int rc = reserve(j, code);
	if (rc >= 0)
		rc = mst_writer_string(w, q->name, q->len, &symbol.function);
	if (rc < 0 || j->names[code] == symbol.function || j->names[code] == AMBIGUOUS)
		return rc;
	j->n_named += !j->names[code];
	if (j->names[code]) { /* another process says otherwise */
		symbol.function = 0;
		j->n_named--;
	}
	j->names[code] = symbol.function ? symbol.function : AMBIGUOUS;
	return mst_writer_symbols(w, code, &symbol, 1);
}

static int ask(struct ms_jit *j, struct mst_writer *w, const struct ms_process *proc, const struct ms_perfmap *map)
{
	size_t n = proc->n_strays;
	struct ms_perfmap_query *queries = calloc(n, sizeof *queries);
	int rc = queries ? 0 : MST_ENOMEM;
	qsort(proc->strays, n, sizeof *proc->strays, by_address);
	for (size_t i = 0; rc == 0 && i < n; i++)
		queries[i].addr = proc->strays[i].ip - 1; /* the call, not what comes after it */
	if (rc == 0 && ms_perfmap_find(map, queries, n))
		rc = MST_ENOMEM;
	for (size_t i = 0; rc >= 0 && i < n; i++)
		if (queries[i].name)
			rc = tell_name(j, w, proc->strays[i].code, &queries[i]);
	free(queries);
	return rc;
}

int ms_jit_tell(struct ms_jit *j, struct mst_writer *w, struct ms_process *proc, uint64_t started_ns)
{
	struct ms_perfmap map;
	const struct ms_arrival *a = proc->arrival;
	/* After an exec the map is the next image's. */
	if (!proc->n_strays || !a || a->tmp_dir == -1 || proc->fate == MST_FATE_EXEC ||
		ms_perfmap_read(a->tmp_dir, proc->own_pid, a->uid, started_ns, &map) < 0)
		return 0;
	int rc = ask(j, w, proc, &map);
	ms_perfmap_release(&map);
	return rc;
}

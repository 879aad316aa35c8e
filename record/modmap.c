/* See modmap.h. A sorted array: maps have tens of entries and change at dlopen, lookups happen once per new
 * stack node. */
#include "modmap.h"

#include <stdlib.h>
#include <string.h>

struct ms_modmap *ms_modmap_new(void)
{
	struct ms_modmap *m = calloc(1, sizeof *m);
	if (m)
		m->refs = 1;
	return m;
}

struct ms_modmap *ms_modmap_share(struct ms_modmap *m)
{
	m->refs++;
	return m;
}

void ms_modmap_free(struct ms_modmap *m)
{
	if (!m || --m->refs)
		return;
	free(m->entries);
	free(m);
}

/* The first entry that ends after addr. */
static size_t first_after(const struct ms_modmap *m, uint64_t addr)
{
	size_t low = 0, high = m->n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (m->entries[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Makes *m a map of our own with room for one more entry. */
static int make_own(struct ms_modmap **m)
{
	struct ms_modmap *old = *m;
	if (old->refs == 1 && old->n < old->cap)
		return 0;
	size_t cap = old->n < old->cap ? old->cap : old->cap * 2 + 16;
	struct ms_modmap_entry *entries = malloc(cap * sizeof *entries);
	struct ms_modmap *own = old->refs == 1 ? old : ms_modmap_new();
	if (!entries || !own) {
		free(entries);
		if (own != old)
			free(own);
		return -1;
	}
	if (old->n)
		memcpy(entries, old->entries, old->n * sizeof *entries);
	own->n = old->n;
	own->cap = cap;
	if (own == old)
		free(old->entries);
	else
		ms_modmap_free(old);
	own->entries = entries;
	*m = own;
	return 0;
}

static void remove_range(struct ms_modmap *m, size_t first, size_t last)
{
	memmove(m->entries + first, m->entries + last, (m->n - last) * sizeof *m->entries);
	m->n -= last - first;
}

int ms_modmap_put(struct ms_modmap **m, const struct ms_modmap_entry *e, bool *covered)
{
	if (make_own(m))
		return -1;
	struct ms_modmap *own = *m;
	size_t at = first_after(own, e->start), last = at;
	while (last < own->n && own->entries[last].start < e->end)
		last++;
	*covered = last > at;
	if (*covered)
		remove_range(own, at, last);
	memmove(own->entries + at + 1, own->entries + at, (own->n - at) * sizeof *own->entries);
	own->entries[at] = *e;
	own->n++;
	return 0;
}

int ms_modmap_take(struct ms_modmap **m, uint64_t start, struct ms_modmap_entry *gone)
{
	size_t at = first_after(*m, start);
	if (at == (*m)->n || (*m)->entries[at].start != start)
		return 0;
	if (make_own(m))
		return -1;
	*gone = (*m)->entries[at];
	remove_range(*m, at, at + 1);
	return 1;
}

const struct ms_modmap_entry *ms_modmap_get(const struct ms_modmap *m, uint64_t addr)
{
	size_t at = first_after(m, addr);
	return at < m->n && m->entries[at].start <= addr ? &m->entries[at] : NULL;
}

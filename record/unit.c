/* See unit.h: the units that are not heap calls. */
#include "unit.h"

#include <string.h>

static size_t module_words(const uint64_t *w, size_t n)
{
	struct ms_unit_module m;
	if (n * 8 < sizeof m)
		return 0;
	memcpy(&m, w, sizeof m);
	return m.words * 8u >= sizeof m && m.words <= n ? m.words : 0;
}

size_t ms_unit_other_words(const uint64_t *w, size_t n)
{
	size_t words = 0;
	switch (MS_UNIT_KIND(w[0])) {
	case MS_U_MARK:
		words = n > 1 && w[1] <= MS_MARK_MAX ? 2 + (w[1] + 7) / 8 : 0;
		break;
	case MS_U_PAUSE:
	case MS_U_RESUME:
		words = 1;
		break;
	case MS_U_MODULE:
		return module_words(w, n);
	case MS_U_UNMODULE:
	case MS_U_FORK:
	case MS_U_MAP_BEGIN:
	case MS_U_UNFOLLOWED:
		words = 2;
		break;
	case MS_U_NAME:
		words = 3;
		break;
	case MS_U_LOSS:
		words = 5;
		break;
	}
	return words <= n ? words : 0;
}

bool ms_unit_module_get(const uint64_t *w, size_t words, struct ms_unit_module_view *m)
{
	const struct ms_unit_module *u = (const struct ms_unit_module *)(const void *)w;
	m->map_start = u->map_start;
	m->map_end = u->map_end;
	m->bias = u->bias;
	m->path = (const char *)(u + 1);
	m->path_len = u->path_len;
	m->build_id = u->build_id;
	m->build_id_len = u->build_id_len;
	return u->map_start < u->map_end && u->build_id_len <= sizeof u->build_id &&
	       u->path_len <= words * 8 - sizeof *u && !memchr(m->path, 0, u->path_len);
}

/* See wraps.h. */
#include "wraps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf_exports.h"

enum { NAME_MAX_BYTES = 1024 };

/* ---- what is said ------------------------------------------------------------------------------------ */

/* One of "alloc=...", up to a comma. */
struct piece {
	const char *key, *value; /* not terminated */
	size_t key_len, value_len;
};

static bool take_piece(const char **at, struct piece *p)
{
	size_t len = strcspn(*at, ",");
	const char *equals = memchr(*at, '=', len);
	if (!equals)
		return false;
	p->key = *at;
	p->key_len = (size_t)(equals - *at);
	p->value = equals + 1;
	p->value_len = len - p->key_len - 1;
	*at += len + ((*at)[len] == ',');
	return p->value_len > 0;
}

static bool is_key(const struct piece *p, const char *key)
{
	return p->key_len == strlen(key) && memcmp(p->key, key, p->key_len) == 0;
}

/* The number of an argument at *at, before `end`; 0 if none is there. */
static uint8_t take_number(const char **at, const char *end)
{
	if (*at == end || **at < '1' || **at > '6')
		return 0;
	return (uint8_t)(*(*at)++ - '0');
}

/* ":BLOCK" and ":SIZE" or ":SIZE*COUNT", as the role has them. */
static bool take_arguments(struct ms_wrapped *as, const char *at, const char *end)
{
	bool has_block = as->role != MS_WRAP_ALLOC, has_size = as->role != MS_WRAP_FREE;
	if (at == end)
		return true;
	if (has_block && (*at++ != ':' || (as->block = take_number(&at, end)) == 0))
		return false;
	if (has_size && (at == end || *at++ != ':' || (as->size = take_number(&at, end)) == 0))
		return false;
	if (has_size && at < end && *at == '*') {
		at++;
		as->count = take_number(&at, end);
		return as->count != 0 && at == end;
	}
	return at == end;
}

static int fault(char why[512], const char *what, const char *s, size_t len)
{
	snprintf(why, 512, "'%.*s' %s", (int)(len < 200 ? len : 200), s, what);
	return -1;
}

static bool is_known(const struct ms_wraps *w, const char *name, size_t len)
{
	for (uint32_t i = 0; i < w->n; i++)
		if (strlen(w->functions[i].name) == len && memcmp(w->functions[i].name, name, len) == 0)
			return true;
	return false;
}

static int add_function(struct ms_wraps *w, enum ms_wrap_role role, const struct piece *p, char why[512])
{
	const char *end = p->value + p->value_len, *colon = memchr(p->value, ':', p->value_len);
	size_t len = colon ? (size_t)(colon - p->value) : p->value_len;
	struct ms_wrapped as = {.number = w->n, .pool = w->n_pools, .role = (uint8_t)role};
	as.block = role == MS_WRAP_ALLOC ? 0 : 1;
	as.size = role == MS_WRAP_FREE ? 0 : role == MS_WRAP_ALLOC ? 1 : 2;
	if (len == 0 || len > NAME_MAX_BYTES)
		return fault(why, "has no name of a function that can be used", p->key, p->key_len + 1 + p->value_len);
	if (!take_arguments(&as, colon ? colon : end, end))
		return fault(why,
			role == MS_WRAP_FREE    ? "should end in :BLOCK, the number (1 to 6) of an argument"
			: role == MS_WRAP_ALLOC ? "should end in :SIZE or :SIZE*COUNT, numbers (1 to 6) of arguments"
						: "should end in :BLOCK:SIZE or :BLOCK:SIZE*COUNT, numbers (1 to 6) of arguments",
			p->value, p->value_len);
	if (is_known(w, p->value, len))
		return fault(why, "is named twice", p->value, len);
	if (w->n == MS_WRAPS_MAX)
		return fault(why, "is one function too many: there may be 64", p->value, len);
	char *name = strndup(p->value, len);
	if (!name)
		return fault(why, "needs more memory than there is", p->value, len);
	w->functions[w->n++] = (struct ms_wrap_function){.name = name, .as = as};
	return 0;
}

static int set_name(struct ms_wraps *w, const char *name, size_t len, char why[512])
{
	struct ms_wrap_pool *pool = &w->pools[w->n_pools];
	free(pool->name);
	pool->name = strndup(name, len);
	return pool->name ? 0 : fault(why, "needs more memory than there is", name, len);
}

static int add_pieces(struct ms_wraps *w, const char *spec, char why[512])
{
	struct piece p;
	for (const char *at = spec; *at;) {
		const char *start = at;
		int rc = -1;
		if (!take_piece(&at, &p))
			return fault(why, "is not alloc=NAME, free=NAME or realloc=NAME", start, strcspn(start, ","));
		if (is_key(&p, "alloc"))
			rc = add_function(w, MS_WRAP_ALLOC, &p, why);
		else if (is_key(&p, "free"))
			rc = add_function(w, MS_WRAP_FREE, &p, why);
		else if (is_key(&p, "realloc"))
			rc = add_function(w, MS_WRAP_REALLOC, &p, why);
		else if (is_key(&p, "name"))
			rc = set_name(w, p.value, p.value_len, why);
		else
			fault(why, "is not alloc=NAME, free=NAME, realloc=NAME or name=TEXT", start, strcspn(start, ","));
		if (rc < 0)
			return rc;
	}
	return 0;
}

int ms_wraps_add(struct ms_wraps *w, const char *spec, char why[512])
{
	uint32_t first = w->n, alloc = first;
	if (w->n_pools == MS_WRAPS_MAX)
		return fault(why, "is one pool too many: there may be 64", spec, strlen(spec));
	if (add_pieces(w, spec, why) < 0)
		return -1;
	while (alloc < w->n && w->functions[alloc].as.role != MS_WRAP_ALLOC)
		alloc++;
	if (alloc == w->n)
		return fault(why, "names no function that allocates: alloc=NAME,free=NAME", spec, strlen(spec));
	const char *name = w->functions[alloc].name;
	if (!w->pools[w->n_pools].name && set_name(w, name, strlen(name), why) < 0)
		return -1;
	name = w->pools[w->n_pools].name;
	for (uint32_t i = 0; i < w->n_pools; i++)
		if (strcmp(w->pools[i].name, name) == 0)
			return fault(why, "is the name of two pools: give one of them another by name=TEXT", name, strlen(name));
	w->n_pools++;
	return 0;
}

void ms_wraps_release(struct ms_wraps *w)
{
	for (uint32_t i = 0; i < w->n; i++)
		free(w->functions[i].name);
	for (uint32_t i = 0; i < MS_WRAPS_MAX; i++)
		free(w->pools[i].name);
	for (size_t i = 0; i < w->n_files; i++)
		free(w->files[i]);
	free(w->files);
	free(w->program);
	*w = (struct ms_wraps){0};
}

/* ---- who has them ------------------------------------------------------------------------------------ */

struct look {
	struct ms_wraps *wraps;
	bool is_executable;
	const char *taken; /* of the capture library: the first name met */
};

static struct ms_wrap_function *by_name(struct ms_wraps *w, const char *name)
{
	for (uint32_t i = 0; i < w->n; i++)
		if (w->functions[i].name[0] == name[0] && strcmp(w->functions[i].name, name) == 0)
			return &w->functions[i];
	return NULL;
}

static void note_export(void *ctx, const char *name, bool is_defined)
{
	struct look *look = ctx;
	struct ms_wrap_function *f = is_defined ? by_name(look->wraps, name) : NULL;
	if (!f)
		return;
	f->in_executable |= look->is_executable;
	f->in_library |= !look->is_executable;
}

static void note_taken(void *ctx, const char *name, bool is_defined)
{
	struct look *look = ctx;
	struct ms_wrap_function *f = by_name(look->wraps, name);
	(void)is_defined; /* what it calls itself would come back to it without end */
	if (f && !look->taken)
		look->taken = f->name;
}

const char *ms_wraps_taken_name(struct ms_wraps *w, const char *library)
{
	struct look look = {.wraps = w};
	ms_elf_exports(library, note_taken, &look);
	return look.taken;
}

/* True if the file is new. Without memory it is looked at again. */
static bool remember(struct ms_wraps *w, char *path)
{
	if (w->n_files == w->cap_files) {
		size_t cap = w->cap_files ? 2 * w->cap_files : 32;
		char **grown = realloc(w->files, cap * sizeof *grown);
		if (!grown)
			return false;
		w->files = grown;
		w->cap_files = cap;
	}
	w->files[w->n_files++] = path;
	return true;
}

void ms_wraps_look(struct ms_wraps *w, const char *path, size_t len, bool is_executable)
{
	struct look look = {.wraps = w, .is_executable = is_executable};
	if (len == 0 || path[0] != '/')
		return;
	for (size_t i = 0; i < w->n_files; i++)
		if (strlen(w->files[i]) == len && memcmp(w->files[i], path, len) == 0)
			return;
	const char *base = memrchr(path, '/', len) + 1;
	size_t base_len = len - (size_t)(base - path);
	if (base_len == sizeof MS_WRAP_FILE - 1 && memcmp(base, MS_WRAP_FILE, base_len) == 0)
		return; /* it exports them all */
	char *name = strndup(path, len);
	if (!name)
		return;
	ms_elf_exports(name, note_export, &look);
	if (!remember(w, name))
		free(name);
}

void ms_wraps_begin(struct ms_wraps *w, const char *path, size_t len)
{
	if (!w->program)
		w->program = strndup(path, len);
}

/* ---- what is to be said ------------------------------------------------------------------------------ */

static bool is_unseen(const struct ms_wrap_function *f)
{
	return f->in_executable && !f->in_library && !f->n_calls;
}

enum ms_wraps_verdict ms_wraps_finding(struct ms_wraps *w, uint32_t i, char why[512])
{
	struct ms_wrap_function *f = &w->functions[i];
	if (!w->program || f->is_told)
		return MS_WRAPS_FINE;
	if (is_unseen(f)) {
		snprintf(why, 512,
			"--wrap: '%.200s' stands in the executable itself, whose calls of it cannot be seen: it must be in a "
			"shared object",
			f->name);
		f->is_told = true;
		return MS_WRAPS_UNSEEN;
	}
	if (w->is_begun || f->in_library || f->n_calls)
		return MS_WRAPS_FINE;
	snprintf(why, 512,
		"--wrap: nothing that '%.120s' has loaded at its start exports '%.120s'; it will be recorded if a library "
		"loaded later does, or a program that is started",
		w->program, f->name);
	return MS_WRAPS_MISSING_YET;
}

void ms_wraps_found(struct ms_wraps *w)
{
	w->is_begun |= w->program != NULL;
}

bool ms_wraps_complaint(const struct ms_wraps *w, uint32_t i, char why[512])
{
	const struct ms_wrap_function *f = &w->functions[i];
	if (f->n_calls || f->is_told)
		return false;
	if (!f->in_library)
		snprintf(why, 512,
			"--wrap: no loaded object exports '%.200s': is it spelt so (see nm -D), in a shared object, and not "
			"hidden or static?",
			f->name);
	else if (w->pools[f->as.pool].n_calls == 0)
		snprintf(why, 512, "--wrap: '%.200s' was never called from another object than its own, or by way of its PLT",
			f->name);
	else
		return false;
	return true;
}

/* See dwarf_frames.h. No recursion on what the file says: the walk keeps its own stack of bounded depth. */
#include "dwarf_frames.h"

#include <dwarf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demangle.h"
#include "interval_map.h"

enum {
	DEPTH_MAX = 512, /* of nested DIEs; real ones stay below 100 */
};

/* Strings of the reply by the pointer libdw hands out, which is the same for every use of one name: most names are
 * met many times, and would be demangled and hashed each time. */
struct string_cache {
	const char **keys; /* open addressing, power of two, NULL = empty */
	uint32_t *strings;
	size_t size, used;
};

/* An address asked for. The targets are sorted by unit and address, so that those of one unit stand together although
 * a unit's code seldom does (cold parts, functions the linker has sorted or merged). */
struct target {
	uint64_t address;
	uint32_t unit;	/* index into the units, or MS_NO_FRAME */
	uint32_t index; /* into places */
};

struct resolver {
	const struct ms_dwarf_units *units;
	struct target *targets;
	struct ms_reply *reply;
	struct ms_dwarf_frames *out;
	struct string_cache functions, files;
	char *name; /* MS_NAME_MAX bytes in which names are completed */
	int rc;	    /* first failure; everything stops then */
};

/* The targets [first, end) belong to the unit that is being walked. */
struct walk {
	struct resolver *r;
	size_t first, end;
	const char *directory;	 /* relative names of files are relative to it; NULL = unknown */
	Dwarf_Files *call_files; /* file table of the unit's DIEs */
	size_t n_call_files;
	bool thorough; /* look into what normally holds no functions (types), or lies outside its parent's ranges */
};

static size_t cache_slot(const struct string_cache *c, const char *key)
{
	size_t at = (size_t)(((uintptr_t)key * 0x9e3779b97f4a7c15u) >> 20) & (c->size - 1);

	while (c->keys[at] && c->keys[at] != key)
		at = (at + 1) & (c->size - 1);
	return at;
}

static int cache_grow(struct string_cache *c)
{
	struct string_cache bigger = { .size = c->size ? c->size * 2 : 1024, .used = c->used };

	bigger.keys = calloc(bigger.size, sizeof(*bigger.keys));
	bigger.strings = calloc(bigger.size, sizeof(*bigger.strings));
	if (!bigger.keys || !bigger.strings) {
		free(bigger.keys);
		free(bigger.strings);
		return -ENOMEM;
	}
	for (size_t i = 0; i < c->size; i++) {
		if (c->keys[i]) {
			size_t at = cache_slot(&bigger, c->keys[i]);

			bigger.keys[at] = c->keys[i];
			bigger.strings[at] = c->strings[i];
		}
	}
	free(c->keys);
	free(c->strings);
	*c = bigger;
	return 0;
}

static void cache_release(struct string_cache *c)
{
	free(c->keys);
	free(c->strings);
}

/* Turns what libdw says into what is shown, in place or in buf, which has MS_NAME_MAX bytes. */
typedef const char *complete_function(const char *text, const char *directory, char *buf);

static const char *complete_function_name(const char *text, const char *directory, char *buf)
{
	(void)directory;
	return ms_demangle(text, buf);
}

/* libdw completes a name that stands in the directory of the compilation, but none with a directory of its own. */
static const char *complete_file_name(const char *text, const char *directory, char *buf)
{
	int len;

	if (!directory || text[0] == '/')
		return text;
	len = snprintf(buf, MS_NAME_MAX, "%s/%s", directory, text);
	return len > 0 && len < MS_NAME_MAX ? buf : text;
}

/* The reply's string for a text of the unit of w. A pointer means the same wherever it comes up: functions have no
 * directory, and each unit has its own file names. */
static uint32_t intern(const struct walk *w, struct string_cache *c, complete_function *complete, const char *text)
{
	struct resolver *r = w->r;
	uint32_t string = 0;
	size_t at;

	if (!text || r->rc < 0)
		return 0;
	if ((c->used + 1) * 2 > c->size && cache_grow(c) < 0)
		goto failed;
	at = cache_slot(c, text);
	if (c->keys[at])
		return c->strings[at];
	if (ms_reply_add_string(r->reply, complete(text, w->directory, r->name), &string) < 0)
		goto failed;
	c->keys[at] = text;
	c->strings[at] = string;
	c->used++;
	return string;
failed:
	r->rc = -ENOMEM;
	return 0;
}

static uint32_t intern_function(const struct walk *w, const char *name)
{
	return intern(w, &w->r->functions, complete_function_name, name);
}

static uint32_t intern_file(const struct walk *w, const char *name)
{
	return intern(w, &w->r->files, complete_file_name, name);
}

/* What linkers leave of discarded code: ranges at 0, at 1, or wrapped around from -1. */
static bool is_real_range(const struct ms_dwarf_units *units, uint64_t low, uint64_t high)
{
	return low < high && low > 1 && low >= units->code_start;
}

static int add_unit(struct ms_dwarf_units *map, Dwarf_CU *unit)
{
	if (map->n == map->room) {
		size_t room = map->room ? map->room * 2 : 256;
		void *units = reallocarray(map->units, room, sizeof(Dwarf_CU *));

		if (!units)
			return -ENOMEM;
		map->units = units;
		map->room = room;
	}
	map->units[map->n++] = unit;
	return 0;
}

static int add_unit_ranges(struct ms_dwarf_units *map, Dwarf_Die *die)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;
	int rc = 0;

	while (rc == 0 && (at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
		if (is_real_range(map, low, high))
			rc = ms_interval_map_add(&map->ranges, low, high, (uint32_t)(map->n - 1));
	}
	return rc;
}

int ms_dwarf_units_get(struct ms_dwarf_units *out, Dwarf *dwarf, uint64_t code_start)
{
	Dwarf_CU *unit = NULL;
	Dwarf_Die die;
	uint8_t type;
	int rc = 0;

	*out = (struct ms_dwarf_units){ .dwarf = dwarf, .code_start = code_start };
	while (rc == 0 && dwarf_get_units(dwarf, unit, &unit, NULL, &type, &die, NULL) == 0) {
		/* Of type and partial units (no code), and of unreadable ones, the tag is another or none. */
		if (dwarf_tag(&die) != DW_TAG_compile_unit && dwarf_tag(&die) != DW_TAG_skeleton_unit)
			continue;
		rc = add_unit(out, unit);
		if (rc == 0)
			rc = add_unit_ranges(out, &die);
	}
	return rc < 0 ? rc : ms_interval_map_finish(&out->ranges);
}

void ms_dwarf_units_release(struct ms_dwarf_units *units)
{
	free(units->units);
	ms_interval_map_release(&units->ranges);
	*units = (struct ms_dwarf_units){ 0 };
}

static struct ms_dwarf_place *place_of(const struct walk *w, size_t target)
{
	return &w->r->out->places[w->r->targets[target].index];
}

/* First of the walk's targets whose address is >= value. */
static size_t first_address(const struct walk *w, uint64_t value)
{
	size_t low = w->first, high = w->end;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (w->r->targets[mid].address < value)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const char *die_string(Dwarf_Die *die, unsigned attribute)
{
	Dwarf_Attribute attr;

	return dwarf_formstring(dwarf_attr_integrate(die, attribute, &attr));
}

static const char *linkage_name(Dwarf_Die *die)
{
	const char *name = die_string(die, DW_AT_linkage_name);

	return name ? name : die_string(die, DW_AT_MIPS_linkage_name);
}

static uint32_t die_number(Dwarf_Die *die, unsigned attribute)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;

	if (dwarf_formudata(dwarf_attr(die, attribute, &attr), &value) != 0 || value > INT32_MAX)
		return 0;
	return (uint32_t)value;
}

static uint32_t call_file(const struct walk *w, Dwarf_Die *die)
{
	uint32_t number = die_number(die, DW_AT_call_file);

	if (!w->call_files || number >= w->n_call_files)
		return 0;
	return intern_file(w, dwarf_filesrc(w->call_files, number, NULL, NULL));
}

static uint32_t add_frame(const struct walk *w, Dwarf_Die *die, uint32_t caller)
{
	struct ms_dwarf_frames *out = w->r->out;
	const char *name = linkage_name(die);
	struct ms_dwarf_frame *frame;

	if (out->n_frames == out->frames_room) {
		size_t room = out->frames_room ? out->frames_room * 2 : 1024;

		frame = room < MS_NO_FRAME ? reallocarray(out->frames, room, sizeof(*frame)) : NULL;
		if (!frame) {
			w->r->rc = -ENOMEM;
			return MS_NO_FRAME;
		}
		out->frames = frame;
		out->frames_room = room;
	}
	frame = &out->frames[out->n_frames];
	*frame = (struct ms_dwarf_frame){ .caller = caller,
		.function = intern_function(w, name ? name : die_string(die, DW_AT_name)),
		.is_bare = !name };
	if (caller != MS_NO_FRAME) {
		frame->call_file = call_file(w, die);
		frame->call_line = die_number(die, DW_AT_call_line);
	}
	return (uint32_t)out->n_frames++;
}

/* Gives every address in die's ranges that is now in `caller` a new frame for die. Returns the frame, or MS_NO_FRAME
 * when there was no such address. */
static uint32_t claim_addresses(const struct walk *w, Dwarf_Die *die, uint32_t caller)
{
	uint32_t frame = MS_NO_FRAME;
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;

	while (w->r->rc == 0 && (at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
		if (!is_real_range(w->r->units, low, high))
			continue;
		for (size_t i = first_address(w, low); i < w->end && w->r->targets[i].address < high; i++) {
			if (place_of(w, i)->frame != caller)
				continue;
			if (frame == MS_NO_FRAME)
				frame = add_frame(w, die, caller);
			place_of(w, i)->frame = frame;
		}
	}
	return frame;
}

/* Whether a block inside a function may hold anything of use. Most hold no address asked for. */
static bool block_holds_addresses(const struct walk *w, Dwarf_Die *die)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;
	bool has_ranges = false;

	while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
		size_t i = first_address(w, low);

		has_ranges = true;
		if (i < w->end && w->r->targets[i].address < high)
			return true;
	}
	return !has_ranges;
}

/* Looks at one DIE inside `caller`. Returns whether to go down into it, and sets the frame its children are in. */
static bool visit(const struct walk *w, Dwarf_Die *die, uint32_t caller, uint32_t *inner)
{
	*inner = caller;
	switch (dwarf_tag(die)) {
	case DW_TAG_subprogram:
		*inner = claim_addresses(w, die, MS_NO_FRAME);
		return *inner != MS_NO_FRAME || w->thorough;
	case DW_TAG_inlined_subroutine:
		if (caller == MS_NO_FRAME)
			return false;
		*inner = claim_addresses(w, die, caller);
		return *inner != MS_NO_FRAME;
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
		return w->thorough || (caller != MS_NO_FRAME && block_holds_addresses(w, die));
	case DW_TAG_namespace:
	case DW_TAG_module:
		return true;
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_interface_type:
	case DW_TAG_enumeration_type:
		return w->thorough;
	default:
		return false;
	}
}

struct level {
	Dwarf_Die die;
	uint32_t caller;
};

static void walk_dies(const struct walk *w, Dwarf_Die *unit)
{
	struct level *levels = malloc(DEPTH_MAX * sizeof(*levels));
	size_t depth = 1;

	if (!levels) {
		w->r->rc = -ENOMEM;
		return;
	}
	levels[0].caller = MS_NO_FRAME;
	if (dwarf_child(unit, &levels[0].die) != 0)
		depth = 0;
	while (depth > 0 && w->r->rc == 0) {
		struct level *top = &levels[depth - 1];
		uint32_t inner;

		if (visit(w, &top->die, top->caller, &inner) && depth < DEPTH_MAX &&
			dwarf_child(&top->die, &top[1].die) == 0) {
			top[1].caller = inner;
			depth++;
			continue;
		}
		while (depth > 0 && dwarf_siblingof(&levels[depth - 1].die, &levels[depth - 1].die) != 0)
			depth--;
	}
	free(levels);
}

/* Line of each address, from the unit that has the line table (the skeleton of a split one). */
static void find_lines(const struct walk *w, Dwarf_Die *unit)
{
	for (size_t i = w->first; i < w->end && w->r->rc == 0; i++) {
		struct ms_dwarf_place *place = place_of(w, i);
		Dwarf_Line *line = dwarf_getsrc_die(unit, w->r->targets[i].address);
		int number = 0;

		if (!line)
			continue;
		place->file = intern_file(w, dwarf_linesrc(line, NULL, NULL));
		if (dwarf_lineno(line, &number) == 0 && number > 0)
			place->line = (uint32_t)number;
	}
}

static bool has_unclaimed_target(const struct walk *w)
{
	for (size_t i = w->first; i < w->end; i++) {
		if (place_of(w, i)->frame == MS_NO_FRAME)
			return true;
	}
	return false;
}

static void resolve_unit(struct resolver *r, Dwarf_CU *unit, size_t first, size_t end)
{
	struct walk w = { .r = r, .first = first, .end = end };
	Dwarf_Die die, split, *code = &die; /* the half of a split unit that holds its functions */
	uint8_t type = 0;

	if (dwarf_cu_info(unit, NULL, &type, &die, &split, NULL, NULL, NULL) != 0)
		return;
	r->out->n_units++;
	if (type == DW_UT_skeleton && dwarf_tag(&split) == DW_TAG_compile_unit)
		code = &split;
	else if (type == DW_UT_skeleton)
		r->out->n_units_without_dwo++;
	w.directory = die_string(&die, DW_AT_comp_dir);
	if (dwarf_getsrcfiles(code, &w.call_files, &w.n_call_files) != 0)
		w.call_files = NULL;
	walk_dies(&w, code);
	if (has_unclaimed_target(&w)) {
		w.thorough = true;
		walk_dies(&w, code);
	}
	find_lines(&w, &die);
}

static int compare_targets(const void *left, const void *right)
{
	const struct target *a = left, *b = right;

	if (a->unit != b->unit)
		return a->unit < b->unit ? -1 : 1;
	return (a->address > b->address) - (a->address < b->address);
}

static int sort_targets(struct resolver *r, const uint64_t *addresses, size_t n)
{
	r->targets = reallocarray(NULL, n + 1, sizeof(*r->targets));
	if (!r->targets)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct ms_interval *hit = ms_interval_map_get(&r->units->ranges, addresses[i]);

		r->targets[i] = (struct target){ .address = addresses[i],
			.unit = hit ? hit->value : MS_NO_FRAME,
			.index = (uint32_t)i };
	}
	qsort(r->targets, n, sizeof(*r->targets), compare_targets);
	return 0;
}

static void resolve_targets(struct resolver *r, size_t n)
{
	for (size_t first = 0, end; first < n && r->rc == 0; first = end) {
		uint32_t unit = r->targets[first].unit;

		if (unit == MS_NO_FRAME)
			break; /* sorted last */
		for (end = first + 1; end < n && r->targets[end].unit == unit; end++)
			;
		resolve_unit(r, r->units->units[unit], first, end);
	}
}

int ms_dwarf_frames_get(struct ms_dwarf_frames *out, const struct ms_dwarf_units *units, const uint64_t *addresses,
	size_t n, struct ms_reply *reply)
{
	struct resolver r = { .units = units, .reply = reply, .out = out };

	*out = (struct ms_dwarf_frames){ .places = calloc(n + 1, sizeof(*out->places)) };
	r.name = malloc(MS_NAME_MAX);
	if (!out->places || !r.name)
		r.rc = -ENOMEM;
	for (size_t i = 0; out->places && i < n; i++)
		out->places[i].frame = MS_NO_FRAME;
	if (r.rc == 0)
		r.rc = sort_targets(&r, addresses, n);
	if (r.rc == 0)
		resolve_targets(&r, n);
	free(r.targets);
	free(r.name);
	cache_release(&r.functions);
	cache_release(&r.files);
	return r.rc;
}

void ms_dwarf_frames_release(struct ms_dwarf_frames *frames)
{
	free(frames->frames);
	free(frames->places);
	*frames = (struct ms_dwarf_frames){ 0 };
}

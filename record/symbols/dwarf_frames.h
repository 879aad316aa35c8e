/* Function, inlined calls, file and line of many addresses from DWARF, in one go.
 *
 * Per address libdw costs 15 ms on a large binary, and finds nothing where .debug_aranges is missing (clang). In batch
 * the cost is that of the compilation units touched: a map from address to unit is built once from the units' own
 * ranges, the addresses are sorted into it, and each unit touched is walked once. The walk goes down only into
 * functions that hold an address; each function or inlined call met becomes a node, and each address points to its
 * innermost node.
 *
 * DWARF 2 to 5, split units (.dwo files), supplementary files (dwz); what libdw cannot read is unknown, not an error.
 */
#ifndef MS_DWARF_FRAMES_H
#define MS_DWARF_FRAMES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interval_map.h"
#include "symbol_reply.h"

enum {
	MS_NO_FRAME = UINT32_MAX,
};

/* A function, or a call inlined into the one of `caller`. */
struct ms_dwarf_frame {
	uint32_t caller;    /* index of the frame it is inlined into; lower than its own; MS_NO_FRAME = a real function */
	uint32_t function;  /* string of the reply, demangled; 0 = unnamed */
	uint32_t call_file; /* where the inlined call stands: string of the reply, and line */
	uint32_t call_line;
	bool is_bare; /* function is its unqualified name only: the symbol table may know it better */
};

struct ms_dwarf_place {
	uint32_t frame; /* the innermost, or MS_NO_FRAME */
	uint32_t file;	/* string of the reply */
	uint32_t line;
};

/* Which unit an address belongs to. */
struct ms_dwarf_units {
	Dwarf *dwarf;
	uint64_t code_start;
	Dwarf_CU **units;
	size_t n, room;
	struct ms_interval_map ranges; /* value = index into units */
};

struct ms_dwarf_frames {
	struct ms_dwarf_frame *frames;
	size_t n_frames, frames_room;
	struct ms_dwarf_place *places; /* one per address asked */
	size_t n_units;		       /* units that hold addresses asked for */
	size_t n_units_without_dwo;    /* of those, split ones whose other half was not found */
};

/* Finds the units of dwarf, which is borrowed. Addresses below code_start are never matched: there linkers leave what
 * they discarded. 0 or -ENOMEM; release out in any case. */
int ms_dwarf_units_get(struct ms_dwarf_units *out, Dwarf *dwarf, uint64_t code_start);

void ms_dwarf_units_release(struct ms_dwarf_units *units);

/* Resolves n addresses (link-time, ascending, distinct). Strings go into reply. 0 or -ENOMEM; release out in any case. */
int ms_dwarf_frames_get(struct ms_dwarf_frames *out, const struct ms_dwarf_units *units, const uint64_t *addresses,
	size_t n, struct ms_reply *reply);

void ms_dwarf_frames_release(struct ms_dwarf_frames *frames);

#endif

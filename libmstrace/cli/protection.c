/* protection.c - Linux's numbers, whatever system this runs on. */
#include "protection.h"

enum { READ = 1, WRITE = 2, EXEC = 4, SHARING = 0xf };

void ms_protection_print(struct ms_out *o, uint32_t prot)
{
	uint32_t others = prot & ~(uint32_t)(READ | WRITE | EXEC);

	ms_out_char(o, prot & READ ? 'r' : '-');
	ms_out_char(o, prot & WRITE ? 'w' : '-');
	ms_out_char(o, prot & EXEC ? 'x' : '-');
	if (others) {
		ms_out_str(o, "+0x");
		ms_out_hex(o, others);
	}
}

void ms_map_flags_print(struct ms_out *o, uint32_t flags)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {{0x10, "fixed"}, {0x20, "anonymous"}, {0x100, "growsdown"}, {0x2000, "locked"}, {0x4000, "noreserve"},
		{0x8000, "populate"}, {0x10000, "nonblock"}, {0x20000, "stack"}, {0x40000, "hugetlb"}, {0x80000, "sync"},
		{0x100000, "fixed_noreplace"}};
	static const char *const sharing[] = {"0", "shared", "private", "shared_validate"};
	uint32_t left = flags & ~(uint32_t)SHARING, kind = flags & SHARING;

	if (kind < sizeof(sharing) / sizeof(*sharing))
		ms_out_str(o, sharing[kind]);
	else
		left |= kind;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!(left & names[i].bit))
			continue;
		left &= ~names[i].bit;
		ms_out_char(o, '|');
		ms_out_str(o, names[i].name);
	}
	if (left) {
		ms_out_str(o, "|0x");
		ms_out_hex(o, left);
	}
}

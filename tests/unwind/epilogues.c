/* epilogues LIBRARY: reads what objdump -d printed of a library, and holds what its code says of each place behind a call
 * against its unwind information, where there is any. One in a thousand may be wrong: a call that does not return, with
 * something else behind it. */
#include "epilogue.h"
#include "unwind_rules.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

/* rbp is the frame pointer of its function: it holds the place below the return address where the caller's is. */
static bool is_frame_pointer(ms_cfi_rule rule)
{
	return ms_cfi_kind(rule) == MS_CFI_BP && ms_cfi_cfa_off(rule) == 16;
}

struct totals {
	unsigned long n, n_found, n_unsure, n_wrong;
};

static void judge(struct totals *t, uintptr_t base, uintptr_t ip)
{
	struct ms_cfi_code code;
	ms_cfi_rule rule = ms_rules_read(ip - 1, &code), found;

	if (ms_cfi_kind(rule) == MS_CFI_UNKNOWN || ip >= code.end)
		return;
	t->n++;
	found = ms_epilogue_rule(ip);
	if (ms_cfi_kind(found) == MS_CFI_UNKNOWN)
		return;
	t->n_found++;
	if (ms_cfi_kind(found) == MS_CFI_SP && is_frame_pointer(rule))
		t->n_unsure++; /* two ways to say it: how far rsp and rbp are apart is not known here */
	else if ((ms_cfi_kind(found) == MS_CFI_BP ? !is_frame_pointer(rule) : found != rule) && t->n_wrong++ < 20)
		fprintf(stderr, "%lx: kind %d, %ld, %ld; found: kind %d, %ld, %ld\n", ip - base, ms_cfi_kind(rule),
			(long)ms_cfi_cfa_off(rule), (long)ms_cfi_bp_off(rule), ms_cfi_kind(found), (long)ms_cfi_cfa_off(found),
			(long)ms_cfi_bp_off(found));
}

int main(int argc, char **argv)
{
	void *handle = argc == 2 ? dlopen(argv[1], RTLD_LAZY) : NULL;
	bool is_behind_call = false;
	struct totals t = {0};
	struct link_map *map;
	char line[4096];

	if (!handle || dlinfo(handle, RTLD_DI_LINKMAP, &map))
		return 2;
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long offset;
		bool is_insn = line[0] == ' ' && sscanf(line, "%lx:", &offset) == 1;

		if (is_insn && is_behind_call)
			judge(&t, map->l_addr, map->l_addr + offset);
		is_behind_call = is_insn && strstr(line, "\tcall");
	}
	printf("%lu calls, %lu found, %lu of them unsure, %lu wrong\n", t.n, t.n_found, t.n_unsure, t.n_wrong);
	return t.n < 1000 || t.n_found < 100 || t.n_wrong > t.n_found / 1000;
}

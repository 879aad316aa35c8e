/* print_mapping.c - numbers are printed as the kernel's in JSON and CSV, by name in text. */
#include "print_mapping.h"

#include "escape.h"
#include "protection.h"

#include <inttypes.h>
#include <sys/mman.h>

static bool is_of_file(const struct mst_event *ev, const struct mst_map_call *call)
{
	return ev->op == MST_OP_MMAP && !(call->flags & MAP_ANONYMOUS);
}

static bool has_prot(const struct mst_event *ev)
{
	return ev->op == MST_OP_MMAP || ev->op == MST_OP_MPROTECT;
}

static bool has_begun(const struct mst_event *ev, const struct mst_map_call *call)
{
	return call->begun != ev->number;
}

/* ---- JSON ---- */

static void member_addr(struct ms_out *o, const char *key, uint64_t addr)
{
	if (addr)
		ms_out_printf(o, ",\"%s\":\"0x%" PRIx64 "\"", key, addr);
	else
		ms_out_printf(o, ",\"%s\":null", key);
}

/* Beyond 2^53 a string, as everywhere in these tools. */
static void member(struct ms_out *o, const char *key, uint64_t v)
{
	const char *quote = v > (UINT64_C(1) << 53) ? "\"" : "";

	ms_out_printf(o, ",\"%s\":%s%" PRIu64 "%s", key, quote, v, quote);
}

static void member_file(struct ms_out *o, const struct mst_reader *r, uint32_t file)
{
	size_t n;
	const char *path = mst_reader_string(r, file, &n);

	if (n == 0) {
		ms_out_str(o, ",\"file\":null");
		return;
	}
	ms_out_str(o, ",\"file\":\"");
	ms_escape_json(o, path, n);
	ms_out_char(o, '"');
}

void print_mapping_json(
	struct ms_out *o, const struct mst_reader *r, const struct mst_event *ev, const struct mst_map_call *call)
{
	if (ev->op == MST_OP_MREMAP || ev->op == MST_OP_BRK || ev->op == MST_OP_SBRK)
		member_addr(o, "old_addr", call->old_addr);
	if (ev->op == MST_OP_MREMAP)
		member(o, "old_size", call->old_length);
	if (has_prot(ev))
		member(o, "prot", call->prot);
	if (ev->op == MST_OP_MMAP || ev->op == MST_OP_MREMAP)
		member(o, "flags", call->flags);
	if (ev->op == MST_OP_MADVISE)
		member(o, "advice", call->flags);
	if (is_of_file(ev, call)) {
		ms_out_printf(o, ",\"fd\":%" PRId32, call->fd);
		member(o, "offset", call->offset);
		member_file(o, r, call->file);
	}
	if (has_begun(ev, call))
		member(o, "begun", call->begun);
}

/* ---- text ---- */

static void arguments_of_mmap(struct ms_out *o, const struct mst_reader *r, const struct mst_event *ev,
	const struct mst_map_call *call)
{
	size_t n;
	const char *path = mst_reader_string(r, call->file, &n);

	ms_out_u64(o, call->length);
	ms_out_str(o, ", ");
	ms_protection_print(o, call->prot);
	ms_out_str(o, ", ");
	ms_map_flags_print(o, call->flags);
	if (!is_of_file(ev, call))
		return;
	ms_out_printf(o, ", fd %" PRId32, call->fd);
	if (n) {
		ms_out_char(o, ' ');
		ms_escape_text(o, path, n);
	}
	ms_out_printf(o, ", offset %" PRIu64, call->offset);
}

static void arguments(struct ms_out *o, const struct mst_reader *r, const struct mst_event *ev,
	const struct mst_map_call *call)
{
	switch (ev->op) {
	case MST_OP_MMAP:
		arguments_of_mmap(o, r, ev, call);
		return;
	case MST_OP_MREMAP:
		ms_out_printf(o, "0x%" PRIx64 ", %" PRIu64 ", %" PRIu64 ", flags %" PRIu32, call->old_addr,
			call->old_length, call->length, call->flags);
		return;
	case MST_OP_BRK:
		ms_out_printf(o, "0x%" PRIx64, call->addr);
		return;
	case MST_OP_SBRK:
		ms_out_printf(o, "%s%" PRIu64, call->addr < call->old_addr ? "-" : "", call->length);
		return;
	default:
		ms_out_printf(o, "0x%" PRIx64 ", %" PRIu64, call->addr, call->length);
	}
	if (ev->op == MST_OP_MADVISE)
		ms_out_printf(o, ", advice %" PRIu32, call->flags);
	if (ev->op == MST_OP_MPROTECT) {
		ms_out_str(o, ", ");
		ms_protection_print(o, call->prot);
	}
}

void print_mapping_text(
	struct ms_out *o, const struct mst_reader *r, const struct mst_event *ev, const struct mst_map_call *call)
{
	const char *name = mst_op_name(ev->op);
	bool is_failed = ev->flags & MST_EV_FAILED;

	if (name)
		ms_out_str(o, name);
	else
		ms_out_printf(o, "op-%u", (unsigned)ev->op);
	ms_out_char(o, '(');
	arguments(o, r, ev, call);
	ms_out_char(o, ')');
	if (is_failed)
		return;
	if (ev->op == MST_OP_MMAP || ev->op == MST_OP_MREMAP)
		ms_out_printf(o, " = 0x%" PRIx64, call->addr);
	if (ev->op == MST_OP_SBRK || ev->op == MST_OP_BRK)
		ms_out_printf(o, " from 0x%" PRIx64, call->old_addr);
}

/* ---- CSV ---- */

static void field(struct ms_out *o, uint64_t v, bool is_there)
{
	ms_out_char(o, ',');
	if (is_there)
		ms_out_u64(o, v);
}

void print_mapping_csv(
	struct ms_out *o, const struct mst_reader *r, const struct mst_event *ev, const struct mst_map_call *call)
{
	size_t n;

	if (!call) {
		ms_out_str(o, ",,,,,,,");
		return;
	}
	const char *path = mst_reader_string(r, call->file, &n);
	bool has_flags = ev->op == MST_OP_MMAP || ev->op == MST_OP_MREMAP || ev->op == MST_OP_MADVISE;

	field(o, call->old_length, ev->op == MST_OP_MREMAP);
	field(o, call->prot, has_prot(ev));
	field(o, call->flags, has_flags);
	ms_out_char(o, ',');
	if (is_of_file(ev, call))
		ms_out_printf(o, "%" PRId32, call->fd);
	field(o, call->offset, is_of_file(ev, call));
	ms_out_char(o, ',');
	ms_escape_csv(o, path, n, false);
	field(o, call->begun, has_begun(ev, call));
}

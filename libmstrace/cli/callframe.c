/* The three forms of a frame. The path of a module is long and the same in every line: for eyes its last
 * component does, programs get all of it. */
#include "callframe.h"

#include "escape.h"

static const char cut_label[] = "(callers unknown)";

static void put_name(struct ms_out *o, const char *s)
{
	ms_escape_text(o, s, strlen(s));
}

static void put_place(struct ms_out *o, const struct ms_table_frame *f)
{
	put_name(o, f->file);
	if (f->line) {
		ms_out_char(o, ':');
		ms_out_u64(o, f->line);
	}
}

static void put_module(struct ms_out *o, const struct ms_table_frame *f)
{
	const char *slash = strrchr(f->module, '/');

	if (f->module[0] == '[') { /* what is no file has its brackets already */
		ms_out_str(o, "  ");
		put_name(o, f->module);
		if (!f->function) {
			ms_out_str(o, "+0x");
			ms_out_hex(o, f->offset);
		}
		return;
	}
	ms_out_str(o, "  [");
	put_name(o, slash ? slash + 1 : f->module);
	if (!f->function) {
		ms_out_str(o, "+0x");
		ms_out_hex(o, f->offset);
	}
	ms_out_char(o, ']');
}

void ms_callframe_text(struct ms_out *o, const struct ms_table_frame *f)
{
	if (f->is_cut)
		ms_out_str(o, cut_label);
	else
		put_name(o, f->function ? f->function : "??");
	if (f->is_inlined)
		ms_out_str(o, " (inlined)");
	if (f->file) {
		ms_out_str(o, "  ");
		put_place(o, f);
	}
	if (f->module) {
		put_module(o, f);
	} else if (!f->function && f->offset) { /* in no module: the offset is the address */
		ms_out_str(o, "  0x");
		ms_out_hex(o, f->offset);
	}
}

void ms_callframe_brief(struct ms_out *o, const struct ms_table_frame *f)
{
	if (f->is_cut) {
		ms_out_str(o, cut_label);
	} else if (f->function) {
		put_name(o, f->function);
	} else {
		put_name(o, f->module ? f->module : "");
		ms_out_str(o, "+0x");
		ms_out_hex(o, f->offset);
	}
	if (f->file) {
		ms_out_str(o, " (");
		put_place(o, f);
		ms_out_char(o, ')');
	}
}

void ms_callframe_json(struct ms_json *j, const struct ms_table_frame *f)
{
	ms_json_object(j);
	ms_json_put_str(j, "function", f->function);
	ms_json_put_str(j, "file", f->file);
	ms_json_key(j, "line");
	if (f->line)
		ms_json_u64(j, f->line);
	else
		ms_json_null(j);
	ms_json_put_str(j, "module", f->module);
	ms_json_put_bool(j, "inlined", f->is_inlined);
	if (!f->function && f->offset)
		ms_json_put_hex(j, "offset", f->offset);
	if (f->is_cut)
		ms_json_put_bool(j, "cut", true);
	ms_json_end(j);
}

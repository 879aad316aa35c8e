/* One function of a call stack, as it appears in each output. */
#ifndef MS_CLI_CALLFRAME_H
#define MS_CLI_CALLFRAME_H

#include "json.h"
#include "out.h"

/* NULL strings: unknown. */
struct ms_table_frame {
	const char *function;
	const char *file;
	const char *module;
	uint64_t line; /* 0: unknown */
	bool is_inlined;
	bool is_cut;	 /* no function: stands for callers that are not known */
	uint64_t offset; /* of the code in its module: names the frame when the function is unknown */
};

/* "function (inlined)  file:line  [module]", "??  [module+0xoffset]", "(callers unknown)"; of the module's
 * path only the last component. One line, without its newline; escaped for a terminal. */
void ms_callframe_text(struct ms_out *o, const struct ms_table_frame *f);

/* "function (file:line)" or "path+0xoffset": escaped for a terminal, to become a part of a CSV field. */
void ms_callframe_brief(struct ms_out *o, const struct ms_table_frame *f);

/* {"function", "file", "line", "module", "inlined"}, null where unknown; and "offset" when the function is
 * unknown, "cut": true where the stack is cut. */
void ms_callframe_json(struct ms_json *j, const struct ms_table_frame *f);

#endif

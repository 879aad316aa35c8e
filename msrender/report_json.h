/* The JSON report: everything the other outputs show, for programs. Its schema, with what each member means,
 * is spec/report.schema.json; a change of meaning raises REPORT_JSON_VERSION.
 *
 * Bounded: at most `top` entries in each list of sites, REPORT_JSON_MAX_RUNNERS processes and threads, and
 * REPORT_JSON_MAX_FRAMES functions in a stack; beside each list stands what it leaves out. */
#ifndef MS_RENDER_REPORT_JSON_H
#define MS_RENDER_REPORT_JSON_H

#include "survey.h"

enum { REPORT_JSON_VERSION = 1, REPORT_JSON_MAX_RUNNERS = 1000, REPORT_JSON_MAX_FRAMES = 256 };

/* value: what the list "sites" is ordered by. */
void report_json_write(const struct survey *s, enum survey_value value, uint64_t top, struct ms_out *out);

#endif

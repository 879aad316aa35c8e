/* Rows of typed cells, printed as text, CSV or JSON: the one way analyses show results.
 *
 *	static const struct ms_column columns[] = {
 *		{"calls", "calls", MS_COLUMN_COUNT}, {"bytes", "bytes", MS_COLUMN_BYTES},
 *		{"function", "site", MS_COLUMN_STRING},
 *	};
 *	struct ms_table *t = ms_table_new(columns, 3);
 *	ms_table_row(t);
 *	ms_table_number(t, 17);
 *	ms_table_number(t, 4096);
 *	ms_table_string(t, name);
 *	ms_table_print(t, MS_FORMAT_TEXT, &out, (struct ms_table_style){0});
 *
 * Rows are kept until printed (column widths need them all), so a table is for bounded results (--top N).
 *
 * Text: numbers right-aligned; sizes and durations rounded unless is_exact; on a terminal, strings are
 * shortened to fit.
 * CSV: header line of keys, exact plain numbers (bytes, nanoseconds), names escaped as ms_escape_csv() says.
 * JSON: an array of objects; with is_record the one object itself. Numbers are numbers up to 2^53; a column
 * in which any value is larger is written as strings throughout, so its type does not
 * change from row to row. Absent cells are "-" in text, empty in CSV, null in JSON. */
#ifndef MS_CLI_TABLE_H
#define MS_CLI_TABLE_H

#include "callframe.h"
#include "json.h"
#include "out.h"

enum ms_format { MS_FORMAT_TEXT, MS_FORMAT_CSV, MS_FORMAT_JSON };

/* The words for an option table: index = enum ms_format. */
extern const char *const ms_format_names[];

enum ms_column_type {
	MS_COLUMN_STRING,
	MS_COLUMN_COUNT,    /* "12,345" */
	MS_COLUMN_NUMBER,   /* an identifier such as a pid: never grouped */
	MS_COLUMN_BYTES,    /* "1.21 MiB" */
	MS_COLUMN_DIFFERENCE, /* bytes, signed: the number is an int64_t; "-1.21 MiB" */
	MS_COLUMN_DURATION, /* ns; "1.21 ms" */
	MS_COLUMN_PERCENT,  /* in hundredths of a percent: 1234 is "12.34" */
	MS_COLUMN_HEX,	    /* "0x7f00"; a string in JSON */
	MS_COLUMN_BOOL,	    /* 0 or 1; yes/no, true/false */
	MS_COLUMN_FRAMES,   /* a call stack; such columns are the last ones. The title, if any, stands above it */
};

struct ms_column {
	const char *key;   /* CSV header and JSON member: lower_case, with the unit when it has one */
	const char *title; /* text header */
	enum ms_column_type type;
};

struct ms_table_style {
	size_t width;	 /* text: columns of the terminal; 0: do not shorten */
	bool is_exact;	 /* text: plain numbers instead of rounded ones */
	bool is_machine; /* CSV: no ' in front of formulas */
	bool is_record;	 /* exactly one row: "title: value" lines in text, one object in JSON */
};

struct ms_table;

/* The columns are copied; their keys and titles stay the caller's and must live as long as the table. Never NULL: out of
 * memory ends the tool. */
struct ms_table *ms_table_new(const struct ms_column *columns, size_t n_columns);
void ms_table_free(struct ms_table *t);

/* Begins a row; its cells follow from left to right. Missing ones at the end are absent. */
void ms_table_row(struct ms_table *t);
void ms_table_number(struct ms_table *t, uint64_t v); /* any numeric column type */
void ms_table_string(struct ms_table *t, const char *s); /* copied; NULL: absent */
void ms_table_stringn(struct ms_table *t, const char *s, size_t n);
void ms_table_frames(struct ms_table *t, const struct ms_table_frame *frames, size_t n); /* copied, innermost first */
void ms_table_absent(struct ms_table *t);

size_t ms_table_rows(const struct ms_table *t);

void ms_table_print(const struct ms_table *t, enum ms_format format, struct ms_out *o,
	struct ms_table_style style);

/* The JSON form inside a larger document: the value (array, or object of a record) at the writer's place. */
void ms_table_json(const struct ms_table *t, struct ms_json *j, bool is_record);

/* The cells of the only row as members of the object that is open. */
void ms_table_json_members(const struct ms_table *t, struct ms_json *j);

#endif

/* Cells are small and flat: a number, or a place in one growing block of text, or a range of stack frames.
 * Nothing is freed piece by piece. */
#include "table.h"

#include "escape.h"
#include "room.h"
#include "units.h"

#include <assert.h>
#include <stdlib.h>

const char *const ms_format_names[] = {"text", "csv", "json", NULL};

enum cell_kind { CELL_ABSENT, CELL_NUMBER, CELL_STRING, CELL_FRAMES };

struct cell {
	enum cell_kind kind;
	uint64_t v; /* the number; offset into text; index of the first frame */
	size_t n;   /* bytes of text; frames */
};

struct frame {
	struct cell function, file, module;
	uint64_t line, offset;
	bool is_inlined, is_cut;
};

struct ms_table {
	struct ms_column *columns;
	size_t n_columns;
	struct cell *cells; /* n_rows * n_columns, row by row */
	size_t n_rows, cap_rows;
	size_t n_filled; /* cells of the last row that have been set */
	struct ms_out text;
	struct frame *frames;
	size_t n_frames, cap_frames;
};

enum { MIN_NAME_WIDTH = 16, COLUMN_GAP = 2, FRAME_INDENT = 4 };

struct ms_table *ms_table_new(const struct ms_column *columns, size_t n_columns)
{
	struct ms_table *t = ms_zeroed(1, sizeof(*t));

	t->columns = ms_zeroed(n_columns, sizeof(*columns));
	for (size_t c = 0; c < n_columns; c++)
		t->columns[c] = columns[c];
	t->n_columns = n_columns;
	ms_out_init_memory(&t->text);
	return t;
}

void ms_table_free(struct ms_table *t)
{
	if (!t)
		return;
	ms_out_release(&t->text);
	free(t->frames);
	free(t->cells);
	free(t->columns);
	free(t);
}

size_t ms_table_rows(const struct ms_table *t)
{
	return t->n_rows;
}

void ms_table_row(struct ms_table *t)
{
	t->cells = ms_room(t->cells, &t->cap_rows, t->n_rows + 1, t->n_columns * sizeof(*t->cells));
	memset(t->cells + t->n_rows * t->n_columns, 0, t->n_columns * sizeof(*t->cells));
	t->n_rows++;
	t->n_filled = 0;
}

static enum ms_column_type next_type(const struct ms_table *t)
{
	assert(t->n_rows > 0 && t->n_filled < t->n_columns);
	return t->columns[t->n_filled].type;
}

static void add_cell(struct ms_table *t, struct cell c)
{
	t->cells[(t->n_rows - 1) * t->n_columns + t->n_filled++] = c;
}

static struct cell keep_text(struct ms_table *t, const char *s, size_t n)
{
	struct cell c = {CELL_STRING, t->text.len, n};

	ms_out_write(&t->text, s, n);
	return c;
}

/* With its NUL, so that name_at() can hand it out. */
static struct cell keep_name(struct ms_table *t, const char *s)
{
	struct cell c = {.kind = CELL_ABSENT};

	if (!s)
		return c;
	c = keep_text(t, s, strlen(s) + 1);
	c.n--;
	return c;
}

void ms_table_number(struct ms_table *t, uint64_t v)
{
	assert(next_type(t) != MS_COLUMN_STRING && next_type(t) != MS_COLUMN_FRAMES);
	add_cell(t, (struct cell){CELL_NUMBER, v, 0});
}

void ms_table_stringn(struct ms_table *t, const char *s, size_t n)
{
	assert(next_type(t) == MS_COLUMN_STRING);
	add_cell(t, keep_text(t, s, n));
}

void ms_table_string(struct ms_table *t, const char *s)
{
	assert(next_type(t) == MS_COLUMN_STRING);
	add_cell(t, keep_name(t, s));
}

void ms_table_absent(struct ms_table *t)
{
	(void)next_type(t);
	add_cell(t, (struct cell){.kind = CELL_ABSENT});
}

void ms_table_frames(struct ms_table *t, const struct ms_table_frame *frames, size_t n)
{
	struct cell c = {CELL_FRAMES, t->n_frames, n};

	assert(next_type(t) == MS_COLUMN_FRAMES);
	for (size_t i = 0; i < n; i++) {
		t->frames = ms_room(t->frames, &t->cap_frames, t->n_frames + 1, sizeof(*t->frames));
		t->frames[t->n_frames++] = (struct frame){
			.function = keep_name(t, frames[i].function),
			.file = keep_name(t, frames[i].file),
			.module = keep_name(t, frames[i].module),
			.line = frames[i].line,
			.offset = frames[i].offset,
			.is_inlined = frames[i].is_inlined,
			.is_cut = frames[i].is_cut,
		};
	}
	add_cell(t, c);
}

static const struct cell *cell_at(const struct ms_table *t, size_t row, size_t column)
{
	return &t->cells[row * t->n_columns + column];
}

static const char *text_of(const struct ms_table *t, const struct cell *c)
{
	return c->n ? t->text.buf + c->v : "";
}

static const char *name_at(const struct ms_table *t, const struct cell *c)
{
	return c->kind == CELL_STRING ? t->text.buf + c->v : NULL;
}

static struct ms_table_frame frame_at(const struct ms_table *t, size_t i)
{
	const struct frame *f = &t->frames[i];

	return (struct ms_table_frame){
		.function = name_at(t, &f->function),
		.file = name_at(t, &f->file),
		.module = name_at(t, &f->module),
		.line = f->line,
		.offset = f->offset,
		.is_inlined = f->is_inlined,
		.is_cut = f->is_cut,
	};
}

static void print_percent(struct ms_out *o, uint64_t hundredths)
{
	ms_out_u64(o, hundredths / 100);
	ms_out_printf(o, ".%02u", (unsigned)(hundredths % 100));
}

/* The number of a signed cell without its sign, which is written. */
static uint64_t print_sign(struct ms_out *o, uint64_t v)
{
	if ((int64_t)v >= 0)
		return v;
	ms_out_char(o, '-');
	return -v;
}

/* ---- text ---- */

static void print_rounded(struct ms_out *o, enum ms_column_type type, uint64_t v)
{
	if (type == MS_COLUMN_BYTES)
		ms_print_size(o, v);
	else if (type == MS_COLUMN_DURATION)
		ms_print_duration(o, v);
	else
		ms_print_count(o, v);
}

static void print_text_cell(struct ms_out *o, const struct ms_table *t, const struct cell *c,
	enum ms_column_type type, bool is_exact)
{
	if (c->kind == CELL_ABSENT) {
		ms_out_char(o, '-');
	} else if (c->kind == CELL_STRING) {
		ms_escape_text(o, text_of(t, c), c->n);
	} else if (type == MS_COLUMN_PERCENT) {
		print_percent(o, c->v);
		ms_out_str(o, " %");
	} else if (type == MS_COLUMN_HEX) {
		ms_out_str(o, "0x");
		ms_out_hex(o, c->v);
	} else if (type == MS_COLUMN_BOOL) {
		ms_out_str(o, c->v ? "yes" : "no");
	} else if (type == MS_COLUMN_DIFFERENCE) {
		uint64_t v = print_sign(o, c->v);

		if (is_exact)
			ms_out_u64(o, v);
		else
			ms_print_size(o, v);
	} else if (is_exact || type == MS_COLUMN_NUMBER) {
		ms_out_u64(o, c->v);
	} else {
		print_rounded(o, type, c->v);
	}
}

static bool is_left_aligned(enum ms_column_type type)
{
	return type == MS_COLUMN_STRING;
}

static size_t n_flat_columns(const struct ms_table *t)
{
	size_t n = t->n_columns;

	while (n > 0 && t->columns[n - 1].type == MS_COLUMN_FRAMES)
		n--;
	return n;
}

static size_t natural_width(const struct ms_table *t, size_t column, bool is_exact, struct ms_out *scratch)
{
	size_t width = ms_text_width(t->columns[column].title, strlen(t->columns[column].title));

	for (size_t row = 0; row < t->n_rows; row++) {
		size_t w;

		scratch->len = 0;
		print_text_cell(scratch, t, cell_at(t, row, column), t->columns[column].type, is_exact);
		w = ms_text_width(scratch->buf, scratch->len);
		if (w > width)
			width = w;
	}
	return width;
}

/* Takes columns from the widest string column until the row fits or all are at MIN_NAME_WIDTH. */
static void shrink_widths(const struct ms_table *t, size_t *widths, size_t limit)
{
	for (;;) {
		size_t total = 0, widest = SIZE_MAX, second = MIN_NAME_WIDTH, give;

		for (size_t c = 0; c < n_flat_columns(t); c++) {
			total += widths[c] + (c ? COLUMN_GAP : 0);
			if (!is_left_aligned(t->columns[c].type) || widths[c] <= MIN_NAME_WIDTH)
				continue;
			if (widest == SIZE_MAX || widths[c] > widths[widest])
				widest = c;
		}
		if (total <= limit || widest == SIZE_MAX)
			return;
		for (size_t c = 0; c < n_flat_columns(t); c++)
			if (c != widest && is_left_aligned(t->columns[c].type) && widths[c] > second &&
				widths[c] < widths[widest])
				second = widths[c];
		give = widths[widest] - second;
		widths[widest] -= give < total - limit ? give : total - limit;
	}
}

/* Escaped text padded, or cut with a "…" at its end. */
static void put_aligned(struct ms_out *o, const char *s, size_t n, size_t width, bool is_left, bool is_last)
{
	size_t w = ms_text_width(s, n);

	if (w > width) {
		size_t kept = ms_text_prefix(s, n, width - 1);

		ms_out_write(o, s, kept);
		ms_out_str(o, "…");
		w = ms_text_width(s, kept) + 1;
		n = 0;
	} else if (!is_left) {
		ms_out_fill(o, ' ', width - w);
	}
	ms_out_write(o, s, n);
	if (is_left && !is_last && w < width)
		ms_out_fill(o, ' ', width - w);
}

static void print_text_frames(struct ms_out *o, const struct ms_table *t, const struct cell *c)
{
	if (c->kind == CELL_FRAMES && c->n == 0) {
		ms_out_fill(o, ' ', FRAME_INDENT);
		ms_out_str(o, "(no stack recorded)\n");
	}
	for (size_t i = 0; i < c->n; i++) {
		struct ms_table_frame f = frame_at(t, c->v + i);

		ms_out_fill(o, ' ', FRAME_INDENT);
		ms_callframe_text(o, &f);
		ms_out_char(o, '\n');
	}
}

/* The stacks of a row, from column n_flat on. */
static void print_text_stacks(struct ms_out *o, const struct ms_table *t, size_t row, size_t n_flat)
{
	for (size_t c = n_flat; c < t->n_columns; c++) {
		if (*t->columns[c].title) {
			ms_out_fill(o, ' ', FRAME_INDENT / 2);
			ms_out_printf(o, "%s\n", t->columns[c].title);
		}
		print_text_frames(o, t, cell_at(t, row, c));
	}
}

static void print_text_row(struct ms_out *o, const struct ms_table *t, size_t row, const size_t *widths,
	bool is_exact, struct ms_out *scratch)
{
	size_t n_flat = n_flat_columns(t);

	for (size_t c = 0; c < n_flat; c++) {
		enum ms_column_type type = t->columns[c].type;

		if (c)
			ms_out_fill(o, ' ', COLUMN_GAP);
		scratch->len = 0;
		print_text_cell(scratch, t, cell_at(t, row, c), type, is_exact);
		put_aligned(o, ms_out_text(scratch), scratch->len, widths[c], is_left_aligned(type),
			c + 1 == n_flat);
	}
	ms_out_char(o, '\n');
	print_text_stacks(o, t, row, n_flat);
}

static void print_text(const struct ms_table *t, struct ms_out *o, struct ms_table_style style)
{
	size_t *widths = ms_zeroed(t->n_columns, sizeof(*widths));
	size_t n_flat = n_flat_columns(t);
	struct ms_out scratch;

	ms_out_init_memory(&scratch);
	for (size_t c = 0; c < n_flat; c++)
		widths[c] = natural_width(t, c, style.is_exact, &scratch);
	if (style.width)
		shrink_widths(t, widths, style.width);
	for (size_t c = 0; c < n_flat; c++) {
		const struct ms_column *column = &t->columns[c];

		if (c)
			ms_out_fill(o, ' ', COLUMN_GAP);
		put_aligned(o, column->title, strlen(column->title), widths[c], is_left_aligned(column->type),
			c + 1 == n_flat);
	}
	ms_out_char(o, '\n');
	for (size_t row = 0; row < t->n_rows; row++)
		print_text_row(o, t, row, widths, style.is_exact, &scratch);
	ms_out_release(&scratch);
	free(widths);
}

static void print_text_record(const struct ms_table *t, struct ms_out *o, bool is_exact)
{
	size_t width = 0, n_flat = n_flat_columns(t);

	for (size_t c = 0; c < n_flat; c++)
		if (strlen(t->columns[c].title) > width)
			width = strlen(t->columns[c].title);
	for (size_t c = 0; c < n_flat; c++) {
		ms_out_printf(o, "%s:", t->columns[c].title);
		ms_out_fill(o, ' ', width - strlen(t->columns[c].title) + COLUMN_GAP);
		print_text_cell(o, t, cell_at(t, 0, c), t->columns[c].type, is_exact);
		ms_out_char(o, '\n');
	}
	print_text_stacks(o, t, 0, n_flat);
}

/* ---- CSV ---- */

/* A stack in one field: "function (file:line)", or "module+0xoffset", joined by newlines, innermost first. */
static void print_csv_frames(
	struct ms_out *o, const struct ms_table *t, const struct cell *c, bool is_machine)
{
	struct ms_out field;

	ms_out_init_memory(&field);
	for (size_t i = 0; i < c->n; i++) {
		struct ms_table_frame f = frame_at(t, c->v + i);

		if (i)
			ms_out_char(&field, '\n');
		ms_callframe_brief(&field, &f);
	}
	ms_escape_csv(o, ms_out_text(&field), field.len, is_machine);
	ms_out_release(&field);
}

static void print_csv_cell(struct ms_out *o, const struct ms_table *t, const struct cell *c,
	enum ms_column_type type, bool is_machine)
{
	if (c->kind == CELL_STRING) {
		ms_escape_csv(o, text_of(t, c), c->n, is_machine);
	} else if (c->kind == CELL_FRAMES) {
		print_csv_frames(o, t, c, is_machine);
	} else if (c->kind == CELL_NUMBER && type == MS_COLUMN_PERCENT) {
		print_percent(o, c->v);
	} else if (c->kind == CELL_NUMBER && type == MS_COLUMN_HEX) {
		ms_out_str(o, "0x");
		ms_out_hex(o, c->v);
	} else if (c->kind == CELL_NUMBER && type == MS_COLUMN_BOOL) {
		ms_out_str(o, c->v ? "true" : "false");
	} else if (c->kind == CELL_NUMBER && type == MS_COLUMN_DIFFERENCE) {
		ms_out_u64(o, print_sign(o, c->v));
	} else if (c->kind == CELL_NUMBER) {
		ms_out_u64(o, c->v);
	}
}

static void print_csv(const struct ms_table *t, struct ms_out *o, bool is_machine)
{
	for (size_t c = 0; c < t->n_columns; c++)
		ms_out_printf(o, "%s%s", c ? "," : "", t->columns[c].key);
	ms_out_str(o, "\r\n");
	for (size_t row = 0; row < t->n_rows; row++) {
		for (size_t c = 0; c < t->n_columns; c++) {
			if (c)
				ms_out_char(o, ',');
			print_csv_cell(o, t, cell_at(t, row, c), t->columns[c].type, is_machine);
		}
		ms_out_str(o, "\r\n");
	}
}

/* ---- JSON ---- */

static bool column_is_big(const struct ms_table *t, size_t column)
{
	for (size_t row = 0; row < t->n_rows; row++) {
		const struct cell *c = cell_at(t, row, column);

		if (c->kind == CELL_NUMBER && c->v > MS_JSON_MAX_NUMBER)
			return true;
	}
	return false;
}

static void json_frames(const struct ms_table *t, struct ms_json *j, const struct cell *c)
{
	ms_json_array(j);
	for (size_t i = 0; i < c->n; i++) {
		struct ms_table_frame f = frame_at(t, c->v + i);

		ms_callframe_json(j, &f);
	}
	ms_json_end(j);
}

static void json_cell(const struct ms_table *t, struct ms_json *j, const struct cell *c,
	enum ms_column_type type, bool is_big)
{
	if (c->kind == CELL_STRING)
		ms_json_strn(j, text_of(t, c), c->n);
	else if (c->kind == CELL_FRAMES)
		json_frames(t, j, c);
	else if (c->kind == CELL_ABSENT)
		ms_json_null(j);
	else if (type == MS_COLUMN_HEX)
		ms_json_hex(j, c->v);
	else if (type == MS_COLUMN_BOOL)
		ms_json_bool(j, c->v != 0);
	else if (type == MS_COLUMN_PERCENT)
		ms_json_f64(j, (double)c->v / 100, 2);
	else if (type == MS_COLUMN_DIFFERENCE)
		ms_json_i64(j, (int64_t)c->v);
	else if (is_big)
		ms_json_u64_str(j, c->v);
	else
		ms_json_u64(j, c->v);
}

static void json_members(const struct ms_table *t, struct ms_json *j, size_t row, const bool *is_big)
{
	for (size_t c = 0; c < t->n_columns; c++) {
		ms_json_key(j, t->columns[c].key);
		json_cell(t, j, cell_at(t, row, c), t->columns[c].type, is_big[c]);
	}
}

static bool *big_columns(const struct ms_table *t)
{
	bool *is_big = ms_zeroed(t->n_columns, sizeof(*is_big));

	for (size_t c = 0; c < t->n_columns; c++)
		is_big[c] = column_is_big(t, c);
	return is_big;
}

void ms_table_json_members(const struct ms_table *t, struct ms_json *j)
{
	bool *is_big = big_columns(t);

	assert(t->n_rows == 1);
	json_members(t, j, 0, is_big);
	free(is_big);
}

void ms_table_json(const struct ms_table *t, struct ms_json *j, bool is_record)
{
	bool *is_big = big_columns(t);

	if (!is_record)
		ms_json_array(j);
	for (size_t row = 0; row < t->n_rows; row++) {
		ms_json_object(j);
		json_members(t, j, row, is_big);
		ms_json_end(j);
	}
	if (!is_record)
		ms_json_end(j);
	free(is_big);
}

void ms_table_print(
	const struct ms_table *t, enum ms_format format, struct ms_out *o, struct ms_table_style style)
{
	assert(!style.is_record || t->n_rows == 1);
	if (format == MS_FORMAT_JSON) {
		struct ms_json j;

		ms_json_init(&j, o, true);
		ms_table_json(t, &j, style.is_record);
		ms_json_line(&j);
	} else if (format == MS_FORMAT_CSV) {
		print_csv(t, o, style.is_machine);
	} else if (style.is_record) {
		print_text_record(t, o, style.is_exact);
	} else {
		print_text(t, o, style);
	}
}

/* State is two bits a level, so nesting costs no memory and no recursion. */
#include "json.h"

#include "escape.h"

#include <assert.h>
#include <math.h>

void ms_json_init(struct ms_json *j, struct ms_out *out, bool is_pretty)
{
	*j = (struct ms_json){.out = out, .is_pretty = is_pretty};
}

static uint64_t level_bit(const struct ms_json *j)
{
	return UINT64_C(1) << j->depth;
}

static void new_line(struct ms_json *j)
{
	if (j->is_pretty) {
		ms_out_char(j->out, '\n');
		ms_out_fill(j->out, ' ', 2 * (size_t)j->depth);
	}
}

/* What stands before a member of the current level: comma and line break. */
static void begin_member(struct ms_json *j)
{
	if (j->depth == 0)
		return;
	if (j->is_nonempty & level_bit(j))
		ms_out_char(j->out, ',');
	j->is_nonempty |= level_bit(j);
	new_line(j);
}

static void begin_value(struct ms_json *j)
{
	assert(j->depth == 0 || !(j->is_object & level_bit(j)) || j->has_key);
	if (!j->has_key)
		begin_member(j);
	j->has_key = false;
}

static void open_level(struct ms_json *j, bool is_object)
{
	begin_value(j);
	assert(j->depth < 63);
	ms_out_char(j->out, is_object ? '{' : '[');
	j->depth++;
	j->is_nonempty &= ~level_bit(j);
	j->is_object &= ~level_bit(j);
	if (is_object)
		j->is_object |= level_bit(j);
}

void ms_json_object(struct ms_json *j)
{
	open_level(j, true);
}

void ms_json_array(struct ms_json *j)
{
	open_level(j, false);
}

void ms_json_end(struct ms_json *j)
{
	uint64_t bit = level_bit(j);

	assert(j->depth > 0 && !j->has_key);
	j->depth--;
	if (j->is_nonempty & bit)
		new_line(j);
	ms_out_char(j->out, j->is_object & bit ? '}' : ']');
}

void ms_json_line(struct ms_json *j)
{
	assert(j->depth == 0);
	ms_out_char(j->out, '\n');
}

void ms_json_key(struct ms_json *j, const char *key)
{
	assert(j->depth > 0 && (j->is_object & level_bit(j)) && !j->has_key);
	begin_member(j);
	ms_out_char(j->out, '"');
	ms_out_str(j->out, key);
	ms_out_str(j->out, j->is_pretty ? "\": " : "\":");
	j->has_key = true;
}

void ms_json_strn(struct ms_json *j, const char *s, size_t n)
{
	begin_value(j);
	ms_out_char(j->out, '"');
	ms_escape_json(j->out, s, n);
	ms_out_char(j->out, '"');
}

void ms_json_str(struct ms_json *j, const char *s)
{
	if (s)
		ms_json_strn(j, s, strlen(s));
	else
		ms_json_null(j);
}

void ms_json_u64_str(struct ms_json *j, uint64_t v)
{
	begin_value(j);
	ms_out_char(j->out, '"');
	ms_out_u64(j->out, v);
	ms_out_char(j->out, '"');
}

void ms_json_u64(struct ms_json *j, uint64_t v)
{
	if (v > MS_JSON_MAX_NUMBER) {
		ms_json_u64_str(j, v);
		return;
	}
	begin_value(j);
	ms_out_u64(j->out, v);
}

void ms_json_i64(struct ms_json *j, int64_t v)
{
	uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	bool is_big = magnitude > MS_JSON_MAX_NUMBER;

	begin_value(j);
	if (is_big)
		ms_out_char(j->out, '"');
	if (v < 0)
		ms_out_char(j->out, '-');
	ms_out_u64(j->out, magnitude);
	if (is_big)
		ms_out_char(j->out, '"');
}

void ms_json_f64(struct ms_json *j, double v, int decimals)
{
	if (!isfinite(v)) {
		ms_json_null(j);
		return;
	}
	begin_value(j);
	ms_out_printf(j->out, "%.*f", decimals, v);
}

void ms_json_bool(struct ms_json *j, bool v)
{
	begin_value(j);
	ms_out_str(j->out, v ? "true" : "false");
}

void ms_json_null(struct ms_json *j)
{
	begin_value(j);
	ms_out_str(j->out, "null");
}

void ms_json_hex(struct ms_json *j, uint64_t v)
{
	begin_value(j);
	ms_out_str(j->out, "\"0x");
	ms_out_hex(j->out, v);
	ms_out_char(j->out, '"');
}

void ms_json_put_str(struct ms_json *j, const char *key, const char *s)
{
	ms_json_key(j, key);
	ms_json_str(j, s);
}

void ms_json_put_u64(struct ms_json *j, const char *key, uint64_t v)
{
	ms_json_key(j, key);
	ms_json_u64(j, v);
}

void ms_json_put_bool(struct ms_json *j, const char *key, bool v)
{
	ms_json_key(j, key);
	ms_json_bool(j, v);
}

void ms_json_put_hex(struct ms_json *j, const char *key, uint64_t v)
{
	ms_json_key(j, key);
	ms_json_hex(j, v);
}

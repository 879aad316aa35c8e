/* Number, then unit from a table. The number is kept as mantissa and decimal exponent until the unit is
 * known, so that "1.5M" needs no floating point. */
#include "units.h"

#include <errno.h>
#include <stdlib.h>

const char ms_size_syntax[] = "a size such as 4096, 64K, 1.5M or 2GiB";
const char ms_duration_syntax[] = "a time such as 1.5s, 250ms, 10us, 2min or plain seconds";
const char ms_count_syntax[] = "a whole number such as 20 or 0x1f";

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"", 1},
	{"B", 1},
	{"K", 1ull << 10},
	{"k", 1ull << 10},
	{"M", 1ull << 20},
	{"G", 1ull << 30},
	{"T", 1ull << 40},
	{"P", 1ull << 50},
	{"E", 1ull << 60},
	{"KiB", 1ull << 10},
	{"MiB", 1ull << 20},
	{"GiB", 1ull << 30},
	{"TiB", 1ull << 40},
	{"PiB", 1ull << 50},
	{"EiB", 1ull << 60},
	{"kB", 1000},
	{"KB", 1000},
	{"MB", 1000000},
	{"GB", 1000000000},
	{"TB", 1000000000000},
	{"PB", 1000000000000000},
	{"EB", 1000000000000000000},
	{NULL, 0},
};

static const struct unit duration_units[] = {
	{"", 1000000000},
	{"s", 1000000000},
	{"ms", 1000000},
	{"us", 1000},
	{"µs", 1000},
	{"ns", 1},
	{"m", 60000000000},
	{"min", 60000000000},
	{"h", 3600000000000},
	{"d", 86400000000000},
	{NULL, 0},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads "123.45" as 12345 with 2 decimals. Returns the first character after it, or NULL. Decimals too
 * small to matter (beyond the 18th digit in all) are dropped. */
static const char *read_decimal(const char *s, uint64_t *mantissa, unsigned *n_decimals)
{
	uint64_t m = 0;
	unsigned decimals = 0;

	if (!is_digit(*s))
		return NULL;
	for (; is_digit(*s); s++)
		if (__builtin_mul_overflow(m, 10u, &m) || __builtin_add_overflow(m, (uint64_t)(*s - '0'), &m))
			return NULL;
	if (*s == '.' && !is_digit(s[1]))
		return NULL;
	if (*s == '.')
		for (s++; is_digit(*s); s++)
			if (m <= (UINT64_MAX - 9) / 10 && decimals < 18) {
				m = m * 10 + (uint64_t)(*s - '0');
				decimals++;
			}
	*mantissa = m;
	*n_decimals = decimals;
	return s;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	while (units->name && strcmp(units->name, name) != 0)
		units++;
	return units->name ? units : NULL;
}

static int parse_with_unit(const char *text, const struct unit *units, uint64_t *value)
{
	uint64_t mantissa = 0;
	unsigned n_decimals = 0;
	const char *rest = read_decimal(text, &mantissa, &n_decimals);
	const struct unit *unit;
	unsigned __int128 product;

	if (!rest)
		return -1;
	if (*rest == ' ' && rest[1])
		rest++;
	unit = find_unit(units, rest);
	if (!unit)
		return -1;
	product = (unsigned __int128)mantissa * unit->factor;
	while (n_decimals-- > 0)
		product /= 10;
	if (product > UINT64_MAX)
		return -1;
	*value = (uint64_t)product;
	return 0;
}

int ms_parse_size(const char *text, uint64_t *bytes)
{
	return parse_with_unit(text, size_units, bytes);
}

int ms_parse_duration(const char *text, uint64_t *ns)
{
	return parse_with_unit(text, duration_units, ns);
}

int ms_parse_count(const char *text, uint64_t *n)
{
	bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && text[2];
	const char *digits = is_hex ? text + 2 : text;
	char *end;
	unsigned long long v;

	/* strtoull would take blanks, signs and a second 0x. */
	if (!is_digit(*digits) && !(is_hex && strchr("abcdefABCDEF", *digits)))
		return -1;
	if (is_hex && (digits[1] == 'x' || digits[1] == 'X'))
		return -1;
	errno = 0;
	v = strtoull(digits, &end, is_hex ? 16 : 10);
	if (*end || errno)
		return -1;
	*n = v;
	return 0;
}

/* value/scale with three significant digits, rounded half up; value/scale < 10000. */
static void print_three_digits(struct ms_out *o, uint64_t value, uint64_t scale)
{
	unsigned __int128 v = value;
	uint64_t hundredths = (uint64_t)((v * 100 + scale / 2) / scale);
	uint64_t tenths = (uint64_t)((v * 10 + scale / 2) / scale);

	if (hundredths < 1000)
		ms_out_printf(o, "%u.%02u", (unsigned)(hundredths / 100), (unsigned)(hundredths % 100));
	else if (tenths < 1000)
		ms_out_printf(o, "%u.%u", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
	else
		ms_out_u64(o, (uint64_t)((v + scale / 2) / scale));
}

void ms_print_size(struct ms_out *o, uint64_t bytes)
{
	static const char names[] = "KMGTPE";
	unsigned i = 0;
	uint64_t scale = 1024;

	if (bytes < 1024) {
		ms_out_printf(o, "%u B", (unsigned)bytes);
		return;
	}
	/* Go on to the next unit where rounding would print 1024. */
	while (i < 5 && bytes >= scale * 1024 - scale / 2) {
		scale *= 1024;
		i++;
	}
	print_three_digits(o, bytes, scale);
	ms_out_printf(o, " %ciB", names[i]);
}

static void print_long_duration(struct ms_out *o, uint64_t seconds)
{
	if (seconds < 3600)
		ms_out_printf(o, "%umin %02us", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
	else
		ms_out_printf(o, "%lluh %02umin", (unsigned long long)(seconds / 3600),
			(unsigned)(seconds / 60 % 60));
}

void ms_print_duration(struct ms_out *o, uint64_t ns)
{
	static const struct unit steps[] = {{"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};
	size_t i = 0;

	if (ns < 1000) {
		ms_out_printf(o, ns ? "%u ns" : "%u s", (unsigned)ns);
		return;
	}
	while (i < 2 && ns >= steps[i].factor * 1000 - steps[i].factor / 2)
		i++;
	if (ns >= 60000000000 - 50000000) {
		print_long_duration(o, (ns + 500000000) / 1000000000);
		return;
	}
	print_three_digits(o, ns, steps[i].factor);
	ms_out_printf(o, " %s", steps[i].name);
}

void ms_print_duration_exact(struct ms_out *o, uint64_t ns)
{
	unsigned fraction = (unsigned)(ns % 1000000000);
	int n_decimals = 9;

	ms_out_u64(o, ns / 1000000000);
	while (fraction && fraction % 10 == 0) {
		fraction /= 10;
		n_decimals--;
	}
	if (fraction)
		ms_out_printf(o, ".%0*u", n_decimals, fraction);
	ms_out_char(o, 's');
}

void ms_print_count(struct ms_out *o, uint64_t n)
{
	char text[32];
	size_t i = sizeof(text);
	unsigned n_digits = 0;

	do {
		if (n_digits && n_digits % 3 == 0)
			text[--i] = ',';
		text[--i] = (char)('0' + n % 10);
		n /= 10;
		n_digits++;
	} while (n);
	ms_out_write(o, text + i, sizeof(text) - i);
}

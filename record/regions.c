/* See regions.h. A line: "7f00-7f01 rw-p 00000000 08:01 1234   /a/path". */
#include "regions.h"

#include <string.h>
#include <sys/mman.h>

struct scanner {
	const char *p, *end;
};

static bool take_hex(struct scanner *s, uint64_t *v)
{
	const char *from = s->p;
	*v = 0;
	for (; s->p < s->end && s->p - from < 16; s->p++) {
		char c = *s->p;
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
		if (digit == 16)
			break;
		*v = *v << 4 | digit;
	}
	return s->p > from;
}

static bool take_char(struct scanner *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* To behind the next run of blanks. */
static void skip_word(struct scanner *s)
{
	while (s->p < s->end && *s->p != ' ')
		s->p++;
	while (s->p < s->end && *s->p == ' ')
		s->p++;
}

static bool read_line(struct scanner s, struct ms_region_line *line)
{
	*line = (struct ms_region_line){0};
	if (!take_hex(&s, &line->start) || !take_char(&s, '-') || !take_hex(&s, &line->end) || !take_char(&s, ' ') ||
		s.end - s.p < 5 || line->end <= line->start)
		return false;
	line->prot = (s.p[0] == 'r' ? PROT_READ : 0u) | (s.p[1] == 'w' ? PROT_WRITE : 0u) |
		     (s.p[2] == 'x' ? PROT_EXEC : 0u);
	line->is_shared = s.p[3] == 's';
	skip_word(&s);
	if (!take_hex(&s, &line->offset))
		return false;
	skip_word(&s);
	skip_word(&s); /* device */
	skip_word(&s); /* inode */
	line->name = s.p;
	line->name_len = (size_t)(s.end - s.p);
	return true;
}

int ms_regions_next(const char *text, size_t len, size_t *at, struct ms_region_line *line)
{
	while (*at < len) {
		const char *from = text + *at, *newline = memchr(from, '\n', len - *at);
		const char *end = newline ? newline : text + len;
		*at = (size_t)(end - text) + 1;
		if (read_line((struct scanner){from, end}, line))
			return 1;
	}
	return 0;
}

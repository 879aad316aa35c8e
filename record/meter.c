/* See meter.h. The files are lines of a name and a number; a table says which name is which field. */
#include "meter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 8192u /* smaps_rollup and status take about 1.5 KiB */

static void set(struct mst_sample *s, unsigned field, uint64_t value)
{
	if (value > INT64_MAX)
		return;
	s->known |= UINT64_C(1) << field;
	s->value[field] = value;
}

/* ---- lines of "Name:  number kB" -------------------------------------------------------------------- */

struct line {
	const char *name; /* with what ends it */
	unsigned field;
	uint64_t unit;
};

static const struct line status_lines[] = {
	{"VmSize:", MST_SAMPLE_VIRTUAL, 1024},
	{"VmLck:", MST_SAMPLE_LOCKED, 1024},
	{"VmHWM:", MST_SAMPLE_PEAK_RSS, 1024},
	{"VmRSS:", MST_SAMPLE_RSS, 1024},
	{"RssAnon:", MST_SAMPLE_ANON, 1024},
	{"RssFile:", MST_SAMPLE_FILE, 1024},
	{"RssShmem:", MST_SAMPLE_SHMEM, 1024},
	{"VmPTE:", MST_SAMPLE_PAGE_TABLES, 1024},
	{"VmSwap:", MST_SAMPLE_SWAP, 1024},
	{"Threads:", MST_SAMPLE_THREADS, 1},
	{NULL, 0, 0},
};

static const struct line rollup_lines[] = {
	{"Rss:", MST_SAMPLE_RSS, 1024},
	{"Pss:", MST_SAMPLE_PSS, 1024},
	{"Pss_Anon:", MST_SAMPLE_PSS_ANON, 1024},
	{"Pss_File:", MST_SAMPLE_PSS_FILE, 1024},
	{"Pss_Shmem:", MST_SAMPLE_PSS_SHMEM, 1024},
	{"Shared_Clean:", MST_SAMPLE_SHARED_CLEAN, 1024},
	{"Shared_Dirty:", MST_SAMPLE_SHARED_DIRTY, 1024},
	{"Private_Clean:", MST_SAMPLE_PRIVATE_CLEAN, 1024},
	{"Private_Dirty:", MST_SAMPLE_PRIVATE_DIRTY, 1024},
	{"LazyFree:", MST_SAMPLE_LAZY_FREE, 1024},
	{"AnonHugePages:", MST_SAMPLE_ANON_HUGE, 1024},
	{"SwapPss:", MST_SAMPLE_SWAP_PSS, 1024},
	{NULL, 0, 0},
};

static const struct line event_lines[] = {
	{"low ", MST_SAMPLE_GROUP_LOW_EVENTS, 1},
	{"high ", MST_SAMPLE_GROUP_HIGH_EVENTS, 1},
	{"max ", MST_SAMPLE_GROUP_MAX_EVENTS, 1},
	{"oom ", MST_SAMPLE_GROUP_OOM_EVENTS, 1},
	{"oom_kill ", MST_SAMPLE_GROUP_OOM_KILLS, 1},
	{NULL, 0, 0},
};

/* A whole decimal number at p, blanks before it skipped. False: there is none before end. */
static bool get_number(const char **p, const char *end, uint64_t *value)
{
	const char *at = *p;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	const char *digits = at;
	for (*value = 0; at < end && *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*value, 10u, value) ||
			__builtin_add_overflow(*value, (uint64_t)(*at - '0'), value))
			return false;
	*p = at;
	return at > digits && at < end; /* a number at the very end may be cut */
}

static void parse_line(const char *at, const char *end, const struct line *lines, struct mst_sample *s)
{
	for (; lines->name; lines++) {
		size_t len = strlen(lines->name);
		uint64_t value;
		if ((size_t)(end - at) <= len || memcmp(at, lines->name, len) != 0)
			continue;
		at += len;
		if (get_number(&at, end, &value) && value < UINT64_MAX / 1024)
			set(s, lines->field, value * lines->unit);
		return;
	}
}

static void parse_lines(const char *text, size_t len, const struct line *lines, struct mst_sample *s)
{
	const char *end = text + len;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		if (!newline)
			return;
		parse_line(text, newline + 1, lines, s);
		text = newline + 1;
	}
}

void ms_meter_parse_status(const char *text, size_t len, struct mst_sample *s)
{
	parse_lines(text, len, status_lines, s);
}

void ms_meter_parse_rollup(const char *text, size_t len, struct mst_sample *s)
{
	parse_lines(text, len, rollup_lines, s);
}

/* ---- stat ------------------------------------------------------------------------------------------- */

/* Fields are counted from 1; the name, field 2, stands in parentheses and may hold anything. */
void ms_meter_parse_stat(const char *text, size_t len, struct mst_sample *s)
{
	enum { MINOR = 10, MAJOR = 12, USER = 14, SYSTEM = 15 };
	const char *end = text + len, *p = memrchr(text, ')', len);
	uint64_t cpu_ticks = 0, value;
	long tick_hz = sysconf(_SC_CLK_TCK);
	if (!p || end - p < 4)
		return;
	p += 4; /* ") S " */
	for (int field = 4; field <= SYSTEM; field++) {
		bool is_negative = p < end && *p == '-';
		p += is_negative;
		if (!get_number(&p, end, &value))
			return;
		p++;
		if (field == MINOR)
			set(s, MST_SAMPLE_MINOR_FAULTS, value);
		else if (field == MAJOR)
			set(s, MST_SAMPLE_MAJOR_FAULTS, value);
		else if (field >= USER)
			cpu_ticks += value;
	}
	if (tick_hz > 0 && cpu_ticks < UINT64_MAX / 1000000000u)
		set(s, MST_SAMPLE_CPU, cpu_ticks * (1000000000u / (uint64_t)tick_hz));
}

/* ---- processes -------------------------------------------------------------------------------------- */

/* The whole file, from its beginning: the kernel makes its text anew. Bytes, or 0. */
static size_t read_again(int fd, char *buf, size_t cap)
{
	buf[0] = 0;
	ssize_t n = fd < 0 ? 0 : pread(fd, buf, cap, 0);
	return n > 0 ? (size_t)n : 0;
}

static int open_below(int dir, const char *name)
{
	return openat(dir, name, O_RDONLY | O_CLOEXEC);
}

bool ms_meter_open(struct ms_meter *m, int proc_dir)
{
	m->status = open_below(proc_dir, "status");
	m->stat = open_below(proc_dir, "stat");
	m->rollup = open_below(proc_dir, "smaps_rollup");
	m->rollup_errno = m->rollup < 0 ? errno : 0;
	return m->status >= 0 || m->stat >= 0 || m->rollup >= 0;
}

static void close_file(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void ms_meter_close(struct ms_meter *m)
{
	close_file(&m->status);
	close_file(&m->stat);
	close_file(&m->rollup);
}

bool ms_meter_read(const struct ms_meter *m, struct mst_sample *s)
{
	char text[TEXT_MAX];
	uint64_t before = s->known;
	size_t n = read_again(m->status, text, sizeof text);
	ms_meter_parse_status(text, n, s);
	/* A zombie has a status, and no memory any more. */
	if (n && !(s->known >> MST_SAMPLE_RSS & 1)) {
		s->known = before;
		return false;
	}
	n = read_again(m->stat, text, sizeof text);
	ms_meter_parse_stat(text, n, s);
	return s->known != before;
}

bool ms_meter_read_rollup(const struct ms_meter *m, struct mst_sample *s)
{
	char text[TEXT_MAX];
	size_t n = read_again(m->rollup, text, sizeof text);
	ms_meter_parse_rollup(text, n, s);
	return n > 0;
}

/* ---- control groups --------------------------------------------------------------------------------- */

enum group_file { CURRENT, PEAK, MAX, HIGH, SWAP, SWAP_MAX, EVENTS, PRESSURE };

static const struct {
	const char *name;
	unsigned field; /* 0: more than one */
} group_files[MS_GROUP_FILES] = {
	[CURRENT] = {"memory.current", MST_SAMPLE_GROUP_CURRENT},
	[PEAK] = {"memory.peak", MST_SAMPLE_GROUP_PEAK},
	[MAX] = {"memory.max", MST_SAMPLE_GROUP_MAX},
	[HIGH] = {"memory.high", MST_SAMPLE_GROUP_HIGH},
	[SWAP] = {"memory.swap.current", MST_SAMPLE_GROUP_SWAP},
	[SWAP_MAX] = {"memory.swap.max", MST_SAMPLE_GROUP_SWAP_MAX},
	[EVENTS] = {"memory.events", 0},
	[PRESSURE] = {"memory.pressure", 0},
};

bool ms_group_meter_open(struct ms_group_meter *m, const char *directory)
{
	int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool has_any = false;
	for (size_t i = 0; i < MS_GROUP_FILES; i++) {
		m->files[i] = dir < 0 ? -1 : open_below(dir, group_files[i].name);
		has_any |= m->files[i] >= 0;
	}
	if (dir >= 0)
		close(dir);
	return has_any;
}

void ms_group_meter_close(struct ms_group_meter *m)
{
	for (size_t i = 0; i < MS_GROUP_FILES; i++)
		close_file(&m->files[i]);
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345" microseconds, and a line of "full". */
static void parse_pressure(const char *text, struct mst_sample *s)
{
	static const struct {
		const char *name;
		unsigned field;
	} lines[] = {{"some ", MST_SAMPLE_GROUP_PRESSURE_SOME}, {"full ", MST_SAMPLE_GROUP_PRESSURE_FULL}};
	for (size_t i = 0; i < 2; i++) {
		const char *line = strstr(text, lines[i].name), *total = line ? strstr(line, "total=") : NULL;
		uint64_t us;
		if (!total)
			continue;
		total += strlen("total=");
		if (get_number(&total, total + strlen(total), &us) && us < UINT64_MAX / 1000)
			set(s, lines[i].field, us * 1000);
	}
}

static void parse_group_file(size_t i, const char *text, size_t n, struct mst_sample *s)
{
	uint64_t value;
	if (i == EVENTS)
		parse_lines(text, n, event_lines, s);
	else if (i == PRESSURE)
		parse_pressure(text, s);
	else if (strncmp(text, "max\n", 4) == 0)
		set(s, group_files[i].field, MST_NO_LIMIT);
	else if (get_number(&text, text + n, &value))
		set(s, group_files[i].field, value);
}

void ms_group_meter_read(const struct ms_group_meter *m, struct mst_sample *s)
{
	char text[TEXT_MAX];
	for (size_t i = 0; i < MS_GROUP_FILES; i++) {
		size_t n = read_again(m->files[i], text, sizeof text - 1);
		text[n] = 0;
		if (n)
			parse_group_file(i, text, n, s);
	}
}

/* The mount point (field 5) of the first mount of type cgroup2, and its root (field 4), as spans of text. */
static bool find_mount(const char *mountinfo, const char **point, size_t *point_len, const char **root, size_t *root_len)
{
	for (const char *line = mountinfo; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		const char *end = strchrnul(line, '\n'), *type = strstr(line, " - cgroup2 "), *at = line;
		if (!type || type > end)
			continue;
		for (int field = 1; field < 4 && at; field++)
			at = strchr(at + (field > 1), ' ');
		if (!at)
			return false;
		*root = at + 1;
		*root_len = strcspn(*root, " \n");
		*point = *root + *root_len + 1;
		*point_len = strcspn(*point, " \n");
		return *root_len > 0 && *point < end;
	}
	return false;
}

bool ms_group_find(const char *cgroup, const char *mountinfo, char *directory, size_t cap, char *path, size_t path_cap)
{
	const char *line = strncmp(cgroup, "0::", 3) == 0 ? cgroup : strstr(cgroup, "\n0::"), *point, *root;
	size_t point_len, root_len;
	if (!line || !find_mount(mountinfo, &point, &point_len, &root, &root_len))
		return false;
	line += *line == '\n' ? 4 : 3;
	size_t len = strcspn(line, "\n");
	if (len >= path_cap)
		return false;
	memcpy(path, line, len);
	path[len] = 0;
	const char *below = path;
	if (root_len > 1 && strncmp(path, root, root_len) == 0)
		below += root_len;
	int n = snprintf(directory, cap, "%.*s%s", (int)point_len, point, below);
	return n > 0 && (size_t)n < cap;
}

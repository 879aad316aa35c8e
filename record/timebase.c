/* See timebase.h. A segment's rate is what leads from its start to where the next sample will want it to be:
 * the measured rate, bent so that a present error of e is gone after STEER_NS. */
#include "timebase.h"

#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define STEER_NS 100000000u /* one sampling interval */
#define STEP_NS 1000000u

static uint64_t clock_now(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t ms_monotonic_ns(void)
{
	return clock_now(CLOCK_MONOTONIC);
}

static bool file_has(const char *path, const char *word)
{
	char text[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	return strstr(text, word) != NULL;
}

/* The TSC is good enough for us exactly when the kernel found it good enough for itself and it ticks at one
 * rate in all power states. */
enum ms_clock ms_clock_choose(void)
{
	int tsc = PR_TSC_ENABLE;
	bool is_source = file_has("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
	bool is_steady =
		file_has("/proc/cpuinfo", " constant_tsc") && file_has("/proc/cpuinfo", " nonstop_tsc");
	prctl(PR_GET_TSC, &tsc);
	return is_source && is_steady && tsc == PR_TSC_ENABLE ? MS_CLOCK_TSC : MS_CLOCK_MONOTONIC;
}

const char *ms_clock_name(enum ms_clock kind)
{
	return kind == MS_CLOCK_TSC ? "tsc" : "monotonic";
}

static uint64_t raw_ticks(enum ms_clock kind)
{
	return kind == MS_CLOCK_TSC ? __rdtsc() : ms_monotonic_ns();
}

/* Both clocks at one instant: the closest of a few readings, since any may be interrupted. */
static void read_both(enum ms_clock kind, uint64_t *ticks, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;
	for (int i = 0; i < 5; i++) {
		uint64_t before = raw_ticks(kind);
		uint64_t now = ms_monotonic_ns();
		uint64_t width = raw_ticks(kind) - before;
		if (width >= best)
			continue;
		best = width;
		*ticks = before + width / 2;
		*ns = now;
	}
}

static struct ms_clock_segment *newest(struct ms_clock_map *c)
{
	return &c->segments[(c->n - 1) % MS_CLOCK_SEGMENTS];
}

static uint64_t along(const struct ms_clock_segment *s, uint64_t ticks)
{
	return s->ns + (uint64_t)(((unsigned __int128)(ticks - s->ticks) * s->rate) >> 32);
}

void ms_clock_start(struct ms_clock_map *c, enum ms_clock kind)
{
	memset(c, 0, sizeof *c);
	c->kind = kind;
	if (kind == MS_CLOCK_TSC)
		read_both(kind, &c->base, &c->monotonic_ns);
	else
		c->base = c->monotonic_ns = ms_monotonic_ns();
	c->realtime_ns = clock_now(CLOCK_REALTIME);
	c->n = c->stride = 1;
	c->segments[0].rate = 1ull << 32; /* a guess of 1 GHz, replaced by the first sample */
}

/* The rate since the origin: the longer it has been running, the better it is known. */
static void measure(struct ms_clock_map *c, uint64_t ticks, uint64_t ns)
{
	unsigned __int128 rate = ((unsigned __int128)(ns - c->origin_ns) << 32) / (ticks - c->origin_ticks);
	c->rate = rate > UINT64_MAX ? UINT64_MAX : (uint64_t)rate;
	c->rate += c->rate == 0;
	if (c->n == 1)
		c->segments[0].rate = c->rate; /* in place of the guess */
}

/* The oldest segment makes way for a new one. Where it began stays known, as far as there is room. */
static void set_milestone(struct ms_clock_map *c)
{
	unsigned number = c->n - MS_CLOCK_SEGMENTS;
	const struct ms_clock_segment *s = &c->segments[number % MS_CLOCK_SEGMENTS];
	if (number % c->stride)
		return;
	if (c->n_milestones == MS_CLOCK_MILESTONES) {
		c->n_milestones /= 2;
		c->stride *= 2;
		for (unsigned i = 1; i < c->n_milestones; i++)
			c->milestones[i] = c->milestones[2 * i];
		if (number % c->stride)
			return;
	}
	c->milestones[c->n_milestones++] = (struct ms_clock_milestone){s->ticks, s->ns};
}

void ms_clock_sample_at(struct ms_clock_map *c, uint64_t ticks, uint64_t ns)
{
	if (c->kind != MS_CLOCK_TSC || ticks <= newest(c)->ticks || ns <= c->sampled_ns)
		return;
	if (c->n == 1)
		measure(c, ticks, ns);
	uint64_t here = along(newest(c), ticks);
	uint64_t error = here > ns ? here - ns : ns - here;
	struct ms_clock_segment next = {.ticks = ticks, .ns = here};
	if (error > STEP_NS) { /* suspend or migration: what was measured across it means nothing */
		c->steps++;
		c->origin_ticks = ticks;
		c->origin_ns = ns;
	} else {
		measure(c, ticks, ns);
	}
	if (here < ns && error > STEP_NS) {
		next.ns = ns; /* a jump ahead keeps the order; steering over it would take minutes */
		error = 0;
	}
	if (error > STEER_NS / 2)
		error = STEER_NS / 2;
	unsigned __int128 bent =
		(unsigned __int128)c->rate * (here > ns ? STEER_NS - error : STEER_NS + error);
	next.rate = (uint64_t)(bent / STEER_NS);
	next.rate += next.rate == 0;
	if (c->n >= MS_CLOCK_SEGMENTS)
		set_milestone(c);
	c->segments[c->n++ % MS_CLOCK_SEGMENTS] = next;
	c->until = 0;
	c->sampled_ns = ns;
}

void ms_clock_sample(struct ms_clock_map *c)
{
	uint64_t ticks = 0, ns = 0;
	read_both(c->kind, &ticks, &ns);
	ms_clock_sample_at(c, ticks - c->base, ns - c->monotonic_ns);
}

uint64_t ms_ticks_now(const struct ms_clock_map *c)
{
	return raw_ticks(c->kind) - c->base;
}

uint64_t ms_clock_ticks(const struct ms_clock_map *c, uint64_t ns)
{
	if (c->kind != MS_CLOCK_TSC)
		return ns;
	uint64_t rate = c->segments[(c->n - 1) % MS_CLOCK_SEGMENTS].rate;
	return (uint64_t)(((unsigned __int128)ns << 32) / rate);
}

/* Before the oldest segment there is. */
static uint64_t long_ago(const struct ms_clock_map *c, uint64_t ticks, const struct ms_clock_segment *oldest)
{
	struct ms_clock_milestone to = {oldest->ticks, oldest->ns};
	for (unsigned i = c->n_milestones; i-- > 0;) {
		struct ms_clock_milestone from = c->milestones[i];
		if (from.ticks <= ticks)
			return from.ns + (uint64_t)((unsigned __int128)(to.ns - from.ns) * (ticks - from.ticks) /
						    (to.ticks - from.ticks));
		to = from;
	}
	return 0;
}

uint64_t ms_clock_ns_elsewhere(struct ms_clock_map *c, uint64_t ticks)
{
	if (c->kind != MS_CLOCK_TSC)
		return ticks;
	unsigned oldest = c->n > MS_CLOCK_SEGMENTS ? c->n - MS_CLOCK_SEGMENTS : 0;
	if (ticks < c->segments[oldest % MS_CLOCK_SEGMENTS].ticks)
		return long_ago(c, ticks, &c->segments[oldest % MS_CLOCK_SEGMENTS]);
	unsigned at = c->at < oldest ? oldest : c->at;
	while (at + 1 < c->n && ticks >= c->segments[(at + 1) % MS_CLOCK_SEGMENTS].ticks)
		at++;
	while (at > oldest && ticks < c->segments[at % MS_CLOCK_SEGMENTS].ticks)
		at--;
	c->at = at;
	c->here = c->segments[at % MS_CLOCK_SEGMENTS];
	c->until = at + 1 < c->n ? c->segments[(at + 1) % MS_CLOCK_SEGMENTS].ticks : UINT64_MAX;
	return along(&c->here, ticks);
}

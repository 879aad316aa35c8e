/* See recording_summary.h. Commands are printed so that they can be pasted into a shell. */
#include "recording_summary.h"

#include <string.h>

#include "report.h"
#include "units.h"

enum { LINE_ROOM = 5 * 4096 }; /* a path, quoted, and a few words */

/* A word of a shell command: quoted where it has to be. */
static void put_word(struct ms_out *o, const char *word)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,:@%+=-";
	if (*word && *word != '-' && strspn(word, plain) == strlen(word)) {
		ms_out_str(o, word);
		return;
	}
	ms_out_str(o, *word == '-' ? "./'" : "'");
	for (const char *p = word; *p; p++)
		ms_out_str(o, *p == '\'' ? "'\\''" : (char[]){*p, 0});
	ms_out_char(o, '\'');
}

static void put_counted(struct ms_out *o, uint64_t n, const char *one, const char *many)
{
	ms_print_count(o, n);
	ms_out_char(o, ' ');
	ms_out_str(o, n == 1 ? one : many);
}

static void say(struct ms_out *o)
{
	ms_info("%s", ms_out_text(o));
	ms_out_clear(o);
}

static void say_events(struct ms_out *o, const struct ms_summary *s)
{
	const struct mst_totals *t = &s->totals;
	put_counted(o, t->events, "event", "events");
	ms_out_str(o, " of ");
	put_counted(o, s->n_processes, "process", "processes");
	ms_out_str(o, " in ");
	ms_print_duration(o, t->duration_ns);
	ms_out_str(o, ": ");
	put_counted(o, t->allocs, "allocation", "allocations");
	ms_out_str(o, " (");
	ms_print_size(o, t->allocated_bytes);
	ms_out_str(o, "), ");
	put_counted(o, t->frees, "free", "frees");
	say(o);
}

static void say_heap(struct ms_out *o, const struct ms_summary *s)
{
	ms_out_str(o, "peak: ");
	ms_print_size(o, s->totals.peak_bytes);
	ms_out_str(o, "; never freed: ");
	ms_print_size(o, s->totals.live_bytes);
	ms_out_str(o, " in ");
	put_counted(o, s->totals.live_blocks, "block", "blocks");
	if (s->totals.lost_events) {
		ms_out_str(o, "; LOST: ");
		put_counted(o, s->totals.lost_events, "event", "events");
	} else {
		ms_out_str(o, "; no event lost");
	}
	say(o);
}

static void say_kept(struct ms_out *o, const struct ms_summary *s)
{
	if (!s->kept.dropped_events)
		return;
	ms_out_str(o, "kept: the last ");
	put_counted(o, s->totals.events - s->kept.dropped_events, "event", "events");
	ms_out_str(o, "; of the ");
	ms_print_count(o, s->kept.dropped_events);
	ms_out_str(o, " before, the blocks that were alive then");
	say(o);
}

static void say_file(struct ms_out *o, const struct ms_summary *s)
{
	ms_out_str(o, "trace: ");
	if (strcmp(s->path, "-") == 0)
		ms_out_str(o, "standard output");
	else
		put_word(o, s->path);
	ms_out_str(o, ", ");
	ms_print_size(o, s->bytes);
	uint64_t n_events = s->totals.events - s->kept.dropped_events;
	if (n_events)
		ms_out_printf(o, " (%.2f bytes per event)", (double)s->bytes / (double)n_events);
	say(o);
}

static struct ms_out buffer = {.fd = -1};

void ms_summary_prepare(void)
{
	ms_out_reserve(&buffer, LINE_ROOM);
}

void ms_summary_print(const struct ms_summary *s)
{
	if (s->n_processes) {
		say_events(&buffer, s);
		say_heap(&buffer, s);
	}
	say_kept(&buffer, s);
	say_file(&buffer, s);
	if (s->n_processes && strcmp(s->path, "-") != 0) {
		ms_out_str(&buffer, "next:  msanalyze leaks ");
		put_word(&buffer, s->path);
		say(&buffer);
		ms_out_str(&buffer, "       msrender flamegraph ");
		put_word(&buffer, s->path);
		ms_out_str(&buffer, " -o flame.svg");
		say(&buffer);
	}
}

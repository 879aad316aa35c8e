/* No thread, no timer: the clock is read at each update, a few nanoseconds through the vDSO. */
#include "progress.h"

#include "report.h"
#include "units.h"

#include <time.h>
#include <unistd.h>

enum { FIRST_NS = 500000000, STEP_NS = 100000000 };

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void put(struct ms_out *line)
{
	ssize_t ignored = write(STDERR_FILENO, line->buf, line->len);

	(void)ignored; /* a progress line that cannot be drawn is not missed */
}

void ms_progress_begin(struct ms_progress *p, const char *label, uint64_t total, bool is_quiet)
{
	*p = (struct ms_progress){.label = label, .total = total};
	p->is_shown = !is_quiet && ms_terminal_width(STDERR_FILENO) >= 40;
	if (p->is_shown)
		p->next_ns = now_ns() + FIRST_NS;
}

void ms_progress_update(struct ms_progress *p, uint64_t done)
{
	struct ms_out line;
	uint64_t now;

	if (!p->is_shown)
		return;
	now = now_ns();
	if (now < p->next_ns)
		return;
	p->next_ns = now + STEP_NS;
	p->is_drawn = true;
	ms_out_init_memory(&line);
	ms_out_printf(&line, "\r\033[K%s: ", ms_report_tool());
	ms_print_count(&line, done);
	ms_out_printf(&line, " %.20s", p->label);
	if (p->total >= done && p->total > 0)
		ms_out_printf(&line, " (%u %%)", (unsigned)((unsigned __int128)done * 100 / p->total));
	put(&line);
	ms_out_release(&line);
}

void ms_progress_end(struct ms_progress *p)
{
	struct ms_out line;

	if (!p->is_drawn)
		return;
	p->is_drawn = false;
	ms_out_init_memory(&line);
	ms_out_str(&line, "\r\033[K");
	put(&line);
	ms_out_release(&line);
}

/* See recorded_right.h. */
#include "recorded_right.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mstrace.h"

static const char native_output[] = "child 7\ndone\n"; /* of target_small */

static size_t read_text(const char *path, char *text, size_t room)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, room - 1, f) : 0;
	text[n] = 0;
	if (f)
		fclose(f);
	return n;
}

/* msrecord's directories: `remove` or only tell. */
static bool look_for_leftovers(bool removing)
{
	DIR *d = opendir(".");
	bool found = false;
	for (struct dirent *entry; d && (entry = readdir(d));) {
		if (strncmp(entry->d_name, "msrecord-", 9) != 0)
			continue;
		found = true;
		for (int i = 0; removing && i < 4; i++) {
			char path[400];
			snprintf(path, sizeof path, "%s/%s", entry->d_name, (const char *[]){"s", "n", "libmscapture.so", "libmswrap.so"}[i]);
			unlink(path);
		}
		if (removing)
			rmdir(entry->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

void outcome_clean_up(void)
{
	unlink(OUTCOME_TRACE);
	look_for_leftovers(true);
}

static void read_events(struct mst_outcome *o)
{
	struct mst_reader *r;
	struct mst_event ev;
	if (mst_reader_open(OUTCOME_TRACE, NULL, &r, NULL) < 0)
		return;
	o->is_trace = true;
	while (mst_reader_next(r, &ev) > 0)
		o->events++;
	const struct mst_totals *end = mst_reader_end(r);
	o->is_clean = end && end->is_clean;
	o->lost = end ? end->lost_events : 0;
	o->processes = mst_reader_n_processes(r);
	mst_reader_close(r);
}

static void read_trace(struct mst_outcome *o)
{
	struct mst_verify_result result = {0};
	struct mst_problem problem;
	int fd = open(OUTCOME_TRACE, O_RDONLY | O_CLOEXEC);
	o->has_file = fd >= 0;
	if (fd < 0)
		return;
	mst_verify(fd, &result, NULL, NULL, NULL, &problem);
	o->damaged = result.loss.places;
	close(fd);
	read_events(o);
}

void outcome_read(struct mst_outcome *o, int wait_status)
{
	char output[256];
	memset(o, 0, sizeof *o);
	o->wait_status = wait_status;
	o->has_output = read_text("out", output, sizeof output) > 0;
	o->has_native_output = strcmp(output, native_output) == 0;
	read_text("err", o->messages, sizeof o->messages);
	o->has_leftovers = look_for_leftovers(false);
	read_trace(o);
}

bool outcome_is_complete(const struct mst_outcome *o)
{
	return o->wait_status != -1 && WIFEXITED(o->wait_status) && o->has_native_output && o->is_clean &&
	       o->damaged == 0 && o->events > 0 && o->lost == 0;
}

static const char *find_fault(const struct mst_outcome *o, const struct mst_outcome *reference)
{
	int native = WEXITSTATUS(reference->wait_status);
	if (o->wait_status == -1)
		return "it hangs";
	if (!WIFEXITED(o->wait_status))
		return "msrecord was ended by a signal";
	int status = WEXITSTATUS(o->wait_status);
	bool is_explained = o->messages[0] || o->is_mute;
	if (o->has_output && !o->has_native_output)
		return "the command's output is not its own";
	if (!o->has_output) {
		if (status < 125 || status > 127)
			return "the command did not run, and the status does not say so";
		if (o->has_file && o->events)
			return "the command did not run, and a file with events is left";
		return is_explained ? NULL : "the command did not run, and no word was said";
	}
	if (status != native && (native != 0 || status != 125))
		return "the status is not the command's";
	if (o->damaged)
		return "the trace is damaged";
	bool is_whole = o->is_clean && o->events == reference->events && o->processes == reference->processes && !o->lost;
	if (!is_whole && !is_explained)
		return "the trace is not complete, and no word was said";
	if (status == 125 && o->is_clean && !is_explained)
		return "the trace is clean, and the status says it failed";
	if (status == 0 && !o->is_clean)
		return "the trace is cut off, and the status says it succeeded";
	return NULL;
}

bool outcome_is_right(const struct mst_outcome *o, const struct mst_outcome *reference, char *what, size_t room)
{
	const char *fault = find_fault(o, reference);
	if (fault && o->wait_status != -1)
		snprintf(what, room, "%s (msrecord: status %#x; %llu of %llu events, %u processes)", fault, (unsigned)o->wait_status,
			(unsigned long long)o->events, (unsigned long long)reference->events, o->processes);
	else
		snprintf(what, room, "%s", fault ? fault : "");
	return !fault;
}

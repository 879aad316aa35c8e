/* meter.h - what the kernel counts for a process or a control group, as fields of a sample.
 *
 * The files are opened once and read again and again with pread: a reading neither opens nor allocates anything.
 * Two prices: status and stat are cheap whatever the process's size; smaps_rollup walks its page tables and
 * holds its mmap lock meanwhile, so it is read apart and less often. What cannot be read is left unknown. Files of
 * a process that has ended give nothing, whatever process has its id now. */
#ifndef MS_METER_H
#define MS_METER_H

#include <stdbool.h>
#include <stddef.h>

#include "mstrace.h"

struct ms_meter {
	int status, stat, rollup; /* descriptors, -1 = not open */
	int rollup_errno;	  /* why rollup is not open */
};

/* Opens the files below proc_dir, a descriptor of /proc/PID. False: none could be opened. */
bool ms_meter_open(struct ms_meter *m, int proc_dir);
void ms_meter_close(struct ms_meter *m);
/* Adds what status and stat say to *s. False: the process has ended. */
bool ms_meter_read(const struct ms_meter *m, struct mst_sample *s);
/* Adds what smaps_rollup says. False: nothing. */
bool ms_meter_read_rollup(const struct ms_meter *m, struct mst_sample *s);

enum { MS_GROUP_FILES = 8 };

struct ms_group_meter {
	int files[MS_GROUP_FILES]; /* -1 = not open */
};

/* The same for a control group (version 2) and its directory. */
bool ms_group_meter_open(struct ms_group_meter *m, const char *directory);
void ms_group_meter_close(struct ms_group_meter *m);
void ms_group_meter_read(const struct ms_group_meter *m, struct mst_sample *s);

/* What the texts of these files say; for the above, and for tests. They may be cut anywhere. */
void ms_meter_parse_status(const char *text, size_t len, struct mst_sample *s);
void ms_meter_parse_stat(const char *text, size_t len, struct mst_sample *s);
void ms_meter_parse_rollup(const char *text, size_t len, struct mst_sample *s);

/* The directory of the control group that a process is in and its path, which also names it: from the text of
 * /proc/PID/cgroup and of /proc/self/mountinfo. False: there is none of version 2, or it does not fit. */
bool ms_group_find(const char *cgroup, const char *mountinfo, char *directory, size_t cap, char *path, size_t path_cap);

#endif

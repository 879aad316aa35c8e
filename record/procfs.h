/* procfs.h - what /proc says about other processes. It knows nothing else.
 *
 * A process may vanish at any moment and its names are attacker text: every call can fail, and gives bytes,
 * not strings to print. All functions are thread-safe. */
#ifndef MS_PROCFS_H
#define MS_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads /proc/PID/<file> into buf, at most cap bytes. Bytes read, or a negative errno. */
ssize_t ms_procfs_read(pid_t pid, const char *file, char *buf, size_t cap);

/* The same below a descriptor of /proc/PID, which means that very process for good: whatever process has its id
 * later. ms_procfs_dir opens one for as long as the process is known to be there; negative errno. */
int ms_procfs_dir(pid_t pid);
ssize_t ms_procfs_read_at(int proc_dir, const char *file, char *buf, size_t cap);
/* The text of /proc/PID/maps, as one moment has it; the caller frees it. NULL if it cannot be had. */
char *ms_procfs_maps(pid_t pid, size_t *len);

/* What the process whose /proc/PID that is sees as /tmp: AT_FDCWD if it sees the same files as we do, else a
 * descriptor, by which it can be reached also when the process and its mounts are gone; -1: it cannot be had. */
int ms_procfs_tmp(int proc_dir);

/* Path of the executable, without a NUL. Bytes, or a negative errno. */
ssize_t ms_procfs_exe(pid_t pid, char *buf, size_t cap);

/* Device and inode of the executable: changes with exec. False if it cannot be had. */
bool ms_procfs_exe_id(pid_t pid, uint64_t id[2]);

/* Name of a thread, without newline. tid as /proc shows it. Bytes, or a negative errno. */
ssize_t ms_procfs_thread_name(pid_t pid, pid_t tid, char *buf, size_t cap);

/* The thread ids of a process as /proc shows them, sorted. *tids is (re)allocated to hold them, *cap its
 * room. The number, or a negative errno. The kernel ends the list early when a thread ends while it is read:
 * who is missing in it may be alive (ms_procfs_has_thread). */
ssize_t ms_procfs_threads(pid_t pid, uint32_t **tids, size_t *cap);

/* Is there such a thread? True if that cannot be found out. */
bool ms_procfs_has_thread(pid_t pid, pid_t tid);

/* What a thread is at ('R' runs or waits for a processor, 'D' waits for the kernel, ...) and how much processor time it
 * has had, in ticks of sysconf(_SC_CLK_TCK). False if it cannot be had. */
bool ms_procfs_thread_state(pid_t pid, pid_t tid, char *state, uint64_t *cpu_ticks);

/* The thread id that /proc uses for the thread which, in another pid namespace, sees itself as tid. 0 if it
 * was not found. */
pid_t ms_procfs_outer_tid(pid_t pid, uint32_t tid);

/* Wait status of a zombie, if this kernel and our rights tell. False: not known. */
bool ms_procfs_exit_status(pid_t pid, int *wait_status);

/* How many processes carry `variable` ("NAME=value") in the environment they were started with, zombies apart, and those of
 * which counts() says no (NULL: it never does). Stops counting at max. */
size_t ms_procfs_count_with_env(
	const char *variable, bool (*counts)(const void *ctx, pid_t pid), const void *ctx, size_t max);

/* Has the process mapped a file of that name ("libx.so", in whatever directory)? */
bool ms_procfs_maps_file(pid_t pid, const char *name);

#endif

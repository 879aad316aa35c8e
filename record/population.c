/* See population.h. */
#include "population.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "procfs.h"

#define EXE_CHECK_NS 1000000000u

/* ---- arrivals ---------------------------------------------------------------------------------------- */

static int add_live(struct ms_session *s, struct ms_process *proc)
{
	if (s->n_live == s->cap_live) {
		size_t cap = s->cap_live * 2 + 16;
		struct ms_process **grown = realloc(s->live, cap * sizeof(*grown));
		if (!grown)
			return MST_ENOMEM;
		s->live = grown;
		s->cap_live = cap;
	}
	s->live[s->n_live++] = proc;
	return 0;
}

static void sample(struct ms_session *s, struct ms_process *proc)
{
	struct ms_arrival *a = proc->arrival;
	if (!s->options.sampler || a->proc_dir < 0)
		return;
	proc->subject = ms_sampler_add(s->options.sampler, a->proc_dir, proc);
	a->proc_dir = -1;
}

/* The image of the same process before an exec has ended. */
static void end_predecessor(struct ms_session *s, const struct ms_process *proc)
{
	for (size_t i = 0; i < s->n_live; i++)
		if (s->live[i] != proc && s->live[i]->pid == proc->pid)
			ms_process_die(s->live[i], MST_FATE_EXEC, 0, proc->start_stamp - 1);
}

/* Whoever cannot be taken in is sent on unrecorded; those behind it are left to detach_all. */
static int take_arrival(struct ms_session *s, struct ms_arrival *a)
{
	struct ms_process *proc = ms_process_new(a);
	if (!proc)
		return MST_ENOMEM;
	proc->next = s->translator.processes;
	s->translator.processes = proc;
	s->n_processes++;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = proc};
	if (epoll_ctl(s->poller, EPOLL_CTL_ADD, a->pidfd, &event) || add_live(s, proc)) {
		ms_share_detach(&a->share);
		return MST_ENOMEM;
	}
	end_predecessor(s, proc);
	sample(s, proc);
	return 0;
}

int ms_population_take_arrivals(struct ms_session *s)
{
	int rc = 0;
	for (struct ms_arrival *a; rc >= 0 && (a = ms_server_take(s->options.server));) {
		if (a->hello.image == MS_IMAGE_UNFOLLOWED)
			ms_absences_take(&s->absences, a);
		else
			rc = take_arrival(s, a);
	}
	return rc;
}

/* ---- deaths ------------------------------------------------------------------------------------------ */

static void die_by_status(struct ms_session *s, struct ms_process *proc, int wait_status)
{
	if (WIFSIGNALED(wait_status))
		ms_process_die(proc, MST_FATE_KILLED, WTERMSIG(wait_status), ms_ticks_now(&s->clock));
	else
		ms_process_die(proc, MST_FATE_EXITED, WEXITSTATUS(wait_status), ms_ticks_now(&s->clock));
}

#ifndef PIDFD_GET_INFO /* Linux 6.13; exit codes since 6.15 */
struct pidfd_info {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct pidfd_info)
#endif
#ifndef PIDFD_INFO_EXIT
#define PIDFD_INFO_EXIT (1ull << 3)
#endif

static bool ask_pidfd(int pidfd, int *wait_status)
{
	struct pidfd_info info = {.mask = PIDFD_INFO_EXIT};
	if (ioctl(pidfd, PIDFD_GET_INFO, &info) || !(info.mask & PIDFD_INFO_EXIT))
		return false;
	*wait_status = info.exit_code;
	return true;
}

/* How a process that is not our child has ended. Its zombie tells until its parent reaps it, its pidfd (on
 * new kernels) from then on. */
static bool learn_status(const struct ms_process *proc, int *wait_status)
{
	return ask_pidfd(proc->arrival->pidfd, wait_status) ||
	       ms_procfs_exit_status((pid_t)proc->pid, wait_status) ||
	       ask_pidfd(proc->arrival->pidfd, wait_status);
}

static void note_death(struct ms_session *s, struct ms_process *proc)
{
	int wait_status;
	epoll_ctl(s->poller, EPOLL_CTL_DEL, proc->arrival->pidfd, NULL);
	if (proc->is_dead)
		return;
	if ((pid_t)proc->pid == s->options.child->pid) {
		if (ms_child_poll(s->options.child))
			die_by_status(s, proc, s->options.child->wait_status);
		else
			ms_process_die(proc, MST_FATE_GONE, 0, ms_ticks_now(&s->clock));
	} else if (learn_status(proc, &wait_status)) {
		die_by_status(s, proc, wait_status);
	} else {
		ms_process_die(proc, MST_FATE_GONE, 0, ms_ticks_now(&s->clock));
	}
}

/* Where epoll does not work: a death that goes unnoticed would be waited for without end. */
static void ask_each(struct ms_session *s)
{
	for (size_t i = 0; i < s->n_live; i++) {
		struct pollfd p = {.fd = s->live[i]->arrival->pidfd, .events = POLLIN};
		if (!s->live[i]->is_dead && poll(&p, 1, 0) == 1)
			note_death(s, s->live[i]);
	}
}

void ms_population_take_deaths(struct ms_session *s)
{
	struct epoll_event events[64];
	int n = epoll_wait(s->poller, events, 64, 0);
	for (int i = 0; i < n; i++)
		note_death(s, events[i].data.ptr);
	if (n < 0)
		ask_each(s);
	if (!s->child_ended_ns && ms_child_poll(s->options.child)) {
		ms_signals_forget_child();
		s->child_ended_ns = ms_monotonic_ns();
	}
}

/* An exec of a program that our library does not get into leaves no trace but this. */
void ms_population_check(struct ms_session *s, struct ms_process *proc, uint64_t now)
{
	uint64_t id[2];
	if (proc->is_dead || now < proc->next_check_ns)
		return;
	proc->next_check_ns = now + EXE_CHECK_NS;
	if (proc->arrival->exe_id[1] && ms_procfs_exe_id((pid_t)proc->pid, id) &&
		(id[0] != proc->arrival->exe_id[0] || id[1] != proc->arrival->exe_id[1]))
		ms_process_die(proc, MST_FATE_EXEC, 0, ms_ticks_now(&s->clock));
}

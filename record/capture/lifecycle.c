/* Coming to life, once per process image, and everything a hook meets that is not the common case.
 *
 * Nothing happens before the first heap call, and nothing has to happen at the end: units are the recorder's
 * as soon as they are published. The first call resolves the real functions, looks for MSTRACE_SOCKET, and
 * attaches; without it the library is silent for good. A fork child finds ms_image_page cleared by the kernel
 * and attaches anew at its own first call, as MS_IMAGE_FORKED; a child that execs before it allocates costs
 * nothing. vfork and posix_spawn children share the page, the parent's memory and the parent's slot: their
 * calls are the parent's, which is suspended meanwhile. The attaching thread blocks signals, so no handler
 * meets it half done; other threads wait for it, as long as the handshake may take.
 *
 * Rejected: attaching from a constructor (calls come before it), pthread_atfork for the child's attachment
 * (raw clone and _Fork do not run it; and most children exec at once). */
#include "emit.h"
#include "definition.h"
#include "libc_needs.h"
#include "operators.h"
#include "pools.h"
#include "rawcall.h"
#include "real.h"
#include "sigmask.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- where the recorder is ---- */

static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];

static bool take_path(const char *value)
{
	size_t len = strlen(value);
	if (len == 0 || len >= sizeof(socket_path))
		return false;
	memcpy(socket_path, value, len + 1);
	return true;
}

/* The environment the kernel gave us, for calls that come before libc knows it. One variable is looked for,
 * so the bytes pass by one at a time. */
static bool take_path_from_proc(void)
{
	static const char name[] = MS_ENV_SOCKET "=";
	char buffer[512];
	size_t matched = 0, len = 0;
	long n;
	int fd = (int)ms_rawcall(
		SYS_openat, AT_FDCWD, (long)"/proc/self/environ", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return false;
	bool is_done = false, is_start = true;
	while (!is_done && (n = ms_rawcall(SYS_read, fd, (long)buffer, sizeof(buffer), 0, 0, 0)) > 0) {
		for (long i = 0; i < n && !is_done; i++) {
			if (matched == sizeof(name) - 1) {
				socket_path[len++] = buffer[i];
				is_done = buffer[i] == '\0' || len == sizeof(socket_path);
			} else if (is_start || matched) {
				matched = buffer[i] == name[matched] ? matched + 1 : 0;
			}
			is_start = buffer[i] == '\0';
		}
	}
	ms_rawcall(SYS_close, fd, 0, 0, 0, 0, 0);
	return is_done && len > 1 && socket_path[len - 1] == '\0';
}

/* True if this process shall be recorded; then socket_path is filled. */
static bool find_recorder(void)
{
	static const char name[] = MS_ENV_SOCKET "=";
	if (socket_path[0])
		return true; /* a fork child, which may have cleared its environment */
	if (getauxval(AT_SECURE))
		return false;
	if (!environ)
		return take_path_from_proc();
	for (char **e = environ; *e; e++) {
		if (strncmp(*e, name, sizeof(name) - 1) == 0)
			return take_path(*e + sizeof(name) - 1);
	}
	return false;
}

const char *ms_recorder_path(void)
{
	return !atomic_load(&ms_is_silent) && find_recorder() ? socket_path : NULL;
}

/* Does another thread of the parent process lend us its memory (vfork, posix_spawn)? Every thread that glibc
 * starts or forks has told the kernel where its list of robust locks is; these children have none. They must
 * not attach, for what they attach would be the parent's: under their pid, which ends soon. A child of a raw
 * system call of fork's kind has no list either, but memory of its own; a kernel that will not tell is taken to
 * mean a loan. */
static bool is_on_loan(void)
{
	void *head = NULL;
	size_t len;
	if (ms_rawcall(SYS_get_robust_list, 0, (long)&head, (long)&len, 0, 0, 0) != 0 || head)
		return false;
	long pid = ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0), parent = ms_rawcall(SYS_getppid, 0, 0, 0, 0, 0, 0);
	return ms_rawcall(SYS_kcmp, pid, parent, KCMP_VM, 0, 0, 0) <= 0;
}

/* ---- pauses ---- */

/* What this image knew last, and what the image it was forked from knew then: not in the page that forks clear. */
static _Atomic bool was_paused;
_Atomic bool ms_has_history;

static void know_pause(bool is_paused)
{
	atomic_store_explicit(&was_paused, is_paused, memory_order_relaxed);
	if (!is_paused)
		atomic_store_explicit(&ms_has_history, true, memory_order_relaxed);
	atomic_store_explicit(&ms_image_page.is_recording, !is_paused, memory_order_relaxed);
}

bool ms_pause_notice(void)
{
	bool is_paused = atomic_load_explicit(&ms_session.segment.control->paused, memory_order_relaxed);
	if (is_paused == atomic_load_explicit(&ms_image_page.is_recording, memory_order_relaxed))
		know_pause(is_paused);
	return is_paused;
}

void ms_pause_set(bool is_paused)
{
	atomic_store(&ms_session.segment.control->paused, is_paused);
	know_pause(is_paused);
}

/* In a session just opened. A forked image goes on as its parent did, whatever holds for new ones; if that was paused,
 * msrecord knows better whether it still is. */
static void adopt_pause(bool is_forked)
{
	if (is_forked && !atomic_load(&was_paused))
		atomic_store(&ms_session.segment.control->paused, 0);
	know_pause(atomic_load(&ms_session.segment.control->paused));
}

static bool is_needed(const struct ms_call *call)
{
	return !ms_pause_notice() || call->need == MS_NEED_NOTHING ||
	       (call->need == MS_NEED_HISTORY && atomic_load_explicit(&ms_has_history, memory_order_relaxed));
}

/* ---- attaching ---- */

/* The page must read as zero in fork children, or they would write into the parent's stream. */
static bool watch_for_forks(void)
{
	return ms_rawcall(SYS_madvise, (long)&ms_image_page, sizeof(ms_image_page), MADV_WIPEONFORK, 0, 0,
		       0) == 0;
}

/* Calls that went through unrecorded before there was a place to count them. */
static _Atomic uint64_t n_unattached;

static void count_unrecorded(void)
{
	_Atomic uint64_t *n = &n_unattached;
	if (atomic_load(&ms_image_page.is_attached))
		n = &ms_session.segment.control->unslotted_events;
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static void attach_image(void)
{
	bool is_forked = ms_session.base != NULL;
	if (!find_recorder() ||
		!ms_session_open(socket_path, is_forked ? MS_IMAGE_FORKED : MS_IMAGE_NEW, ms_tls.fork_id)) {
		ms_go_silent();
		return;
	}
	ms_tls.fork_id = 0;
	if (is_forked)
		ms_thread_inherit();
	ms_unwind_on_module(ms_emit_module);
	atomic_fetch_add(&ms_session.segment.control->unslotted_events, atomic_exchange(&n_unattached, 0));
	adopt_pause(is_forked);
	atomic_store(&ms_image_page.is_attached, 1);
}

/* Returns once the image is attached or silent. One thread attaches, the others wait for it. */
static void ensure_image(void)
{
	enum { PATIENCE_MS = 12000 };
	uint32_t free = 0;
	if (!watch_for_forks()) {
		ms_go_silent();
		return;
	}
	if (atomic_compare_exchange_strong(&ms_image_page.is_attaching, &free, 1)) {
		attach_image();
		return;
	}
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		struct timespec step = {.tv_nsec = 1000000};
		if (atomic_load(&ms_image_page.is_attached) || atomic_load(&ms_is_silent))
			return;
		ms_rawcall(SYS_nanosleep, (long)&step, 0, 0, 0, 0, 0);
	}
}

/* ---- calls off the fast path ---- */

static bool let_through(struct ms_call *call)
{
	call->thread = NULL;
	return false;
}

/* No slot: the event is lost. Looking for one costs; after a failure do so every so often only. */
static bool lose_unslotted(struct ms_call *call)
{
	enum { RETRY_AFTER = 1000 };
	if (ms_tls.slotless_calls != UINT32_MAX)
		ms_tls.slotless_calls = ms_tls.slotless_calls ? ms_tls.slotless_calls - 1 : RETRY_AFTER;
	count_unrecorded();
	return let_through(call);
}

static void claim_thread(struct ms_call *call)
{
	struct ms_thread *t = ms_thread_claim(call->mine);
	if (!t)
		return;
	ms_tls.guard = call->mine;
	call->thread = t;
	ms_emit_thread_name(call);
	ms_tls.guard = 0;
}

/* Nothing stands in the way any more. */
static bool enter_at_last(struct ms_call *call)
{
	call->thread = ms_tls.thread;
	ms_tls.guard = call->mine;
	atomic_signal_fence(memory_order_seq_cst);
	return true;
}

enum ms_met ms_meet_guard(uintptr_t frame)
{
	uintptr_t guard = ms_tls.guard;
	struct ms_thread *t = ms_tls.thread;
	bool is_ours = t && atomic_load(&ms_image_page.is_attached);
	bool is_operator = is_ours && guard & MS_GUARD_OPERATOR;
	if (is_operator && ms_operator_is_callers(t, frame))
		return MS_MET_CALLER;
	if (is_operator && ms_operator_surrounds(t, frame))
		return MS_MET_OTHER;
	enum ms_nesting nesting = ms_thread_nesting(guard, frame, ms_thread_is_hook);
	if (nesting == MS_NEST_LEFTOVER) {
		ms_tls.guard = frame | MS_GUARD_RECORDING;
		if (is_ours)
			ms_emit_recover(t);
		ms_tls.guard = 0;
		return MS_MET_NOTHING;
	}
	/* Not attached: a fork child's handler on top of the parent's hook. Attach when that hook is done. */
	if (!is_ours || (nesting == MS_NEST_ALLOCATOR && !is_operator))
		return MS_MET_CALLER;
	return (guard & MS_GUARD_PHASE) == MS_GUARD_PHASE && !t->side.may_move ? MS_MET_LOST : MS_MET_OTHER;
}

/* A hook inside a hook. */
static bool enter_nested(struct ms_call *call)
{
	struct ms_thread *t = ms_tls.thread;
	switch (ms_meet_guard(call->mine)) {
	case MS_MET_NOTHING:
		return ms_enter_for(call, (void *)call->mine, call->need);
	case MS_MET_CALLER:
		return let_through(call);
	case MS_MET_LOST:
		ms_emit_drop_aside(t);
		return let_through(call);
	case MS_MET_OTHER:
		break;
	}
	call->saved = ms_tls.guard;
	if (call->saved & MS_GUARD_PHASE)
		call->mine |= MS_GUARD_ASIDE;
	call->thread = t;
	ms_tls.guard = call->mine;
	return true;
}

/* The first call of a thread in a sandbox, in which signals cannot be blocked. A handler finds the guard, and its calls
 * go unrecorded. */
static void attach_confined(struct ms_call *call)
{
	ms_tls.guard = call->mine | MS_GUARD_RECORDING;
	atomic_signal_fence(memory_order_seq_cst);
	call->thread = ms_thread_claim(call->mine);
	atomic_signal_fence(memory_order_seq_cst);
	ms_tls.guard = 0;
}

/* What the first call of a process or of a thread does. */
static void attach_thread(struct ms_call *call)
{
	if (!ms_may_ask()) {
		attach_confined(call);
		return;
	}
	uint64_t mask = ms_signals_block();
	if (!atomic_load(&ms_image_page.is_attached))
		ensure_image();
	if (atomic_load(&ms_image_page.is_attached) && !ms_tls.thread && is_needed(call))
		claim_thread(call);
	ms_signals_restore(mask);
}

struct ms_thread *ms_thread_ready(uintptr_t frame)
{
	struct ms_call call = {.mine = frame};
	if (atomic_load_explicit(&ms_is_silent, memory_order_relaxed) || !ms_real_prepare() || !ms_libc_is_known())
		return NULL;
	if (atomic_load(&ms_image_page.is_attached) &&
		(ms_tls.thread || ms_tls.slotless_calls || !is_needed(&call)))
		return ms_tls.thread;
	bool may_ask = ms_may_ask();
	if (may_ask ? is_on_loan() : !atomic_load(&ms_image_page.is_attached))
		return NULL;
	attach_thread(&call);
	return atomic_load(&ms_image_page.is_attached) ? ms_tls.thread : NULL;
}

void ms_attach_while_allowed(uintptr_t frame)
{
	if (ms_may_ask() && !ms_tls.guard)
		ms_thread_ready(frame);
}

bool ms_enter_slow(struct ms_call *call)
{
	/* First, for an unrecorded process comes here with every call. */
	if (atomic_load_explicit(&ms_is_silent, memory_order_relaxed) || !ms_real_prepare())
		return let_through(call);
	bool is_attached = atomic_load_explicit(&ms_image_page.is_attached, memory_order_acquire);
	if (is_attached && !is_needed(call))
		return let_through(call);
	if (!ms_libc_is_known()) {
		ms_go_silent();
		return let_through(call);
	}
	if (ms_tls.guard)
		return enter_nested(call);
	if (is_attached && ms_tls.thread)
		return enter_at_last(call);
	if (is_attached && ms_tls.slotless_calls)
		return lose_unslotted(call);
	if (!ms_may_ask() && !atomic_load(&ms_image_page.is_attached)) {
		ms_go_silent(); /* a child: its parent has told of it */
		return let_through(call);
	}
	if (ms_may_ask() && is_on_loan()) {
		count_unrecorded();
		return let_through(call);
	}
	attach_thread(call);
	if (!atomic_load(&ms_image_page.is_attached) || !is_needed(call))
		return let_through(call);
	return ms_tls.thread ? enter_at_last(call) : lose_unslotted(call);
}

/* ---- fork ---- */

/* That a child, or what this process is about to become, will not be recorded: it cannot say so itself. */
static void emit_unfollowed(struct ms_call *call, uint64_t obstacle)
{
	ms_emit_note(call, MS_U_UNFOLLOWED, &obstacle, 1);
}

void ms_tell_of_unfollowed(uint32_t obstacle)
{
	struct ms_call call;
	if (ms_tls.guard || !ms_enter_for(&call, __builtin_frame_address(0), MS_NEED_NOTHING))
		return;
	emit_unfollowed(&call, obstacle);
	ms_leave(&call);
}

/* Marks, in the parent's stream, the place where the child's heap begins to be its own. */
static void before_fork(void)
{
	static _Atomic uint32_t n_forks;
	struct ms_call call;
	if (ms_tls.guard || !ms_enter_for(&call, __builtin_frame_address(0), MS_NEED_NOTHING))
		return;
	if (!ms_may_ask()) {
		emit_unfollowed(&call, MS_OBSTACLE_SANDBOX);
		ms_leave(&call);
		return;
	}
	uint64_t pid = (uint64_t)ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0);
	uint64_t id = pid << 32 | (atomic_fetch_add(&n_forks, 1) + 1);
	ms_emit_note(&call, MS_U_FORK, &id, 1);
	ms_leave(&call);
	ms_tls.fork_id = id;
}

static void after_fork_in_parent(void)
{
	ms_tls.fork_id = 0;
}

/* A handler that forks in the middle of a hook: the child will finish that hook, and finds memory of its own
 * where the parent's segment was. */
static void after_fork_in_child(void)
{
	if (ms_tls.guard && ms_session.base)
		ms_rawcall(SYS_mmap, (long)ms_session.base, (long)ms_session.size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* What pthread_atfork is made of: itself, it can not be weak. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *dso_handle) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

/* The executable's malloc may be a call of another one, whose place it takes in comparisons: then its symbol is
 * undefined. */
static bool is_in_executable(void *function)
{
	Dl_info info;
	void *symbol = NULL;
	return dladdr1 && dladdr1(function, &info, &symbol, RTLD_DL_SYMENT) && symbol &&
	       info.dli_saddr == function && ((const Elf64_Sym *)symbol)->st_shndx != SHN_UNDEF;
}

/* The program's calls of malloc go to the first one in it. An executable that exports its own is before us: nobody
 * would ever hear of this process, for no call would come. */
static void tell_of_other_malloc(void)
{
	static const char here;
	struct dl_find_object us, first;
	struct ms_notice n;
	if (!ms_libc_is_known() || _dl_find_object((void *)(uintptr_t)&here, &us) < 0 ||
		_dl_find_object((void *)(uintptr_t)malloc, &first) < 0 ||
		first.dlfo_link_map == us.dlfo_link_map || !is_in_executable((void *)(uintptr_t)malloc) ||
		!ms_recorder_path())
		return;
	ms_notice_of_self(&n, MS_OBSTACLE_ALLOCATOR);
	ms_session_notify(socket_path, &n);
}

/* Needs no lock of ours and may run late or never: forks before it are merely unmarked. */
__attribute__((constructor)) static void begin(void)
{
	tell_of_other_malloc();
	if (ms_pools_wrapper_path())
		ms_definition_note_start();
	if (__register_atfork)
		__register_atfork(before_fork, after_fork_in_parent, after_fork_in_child, __dso_handle);
}

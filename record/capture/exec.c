/* exec.c - the programs that a recorded process becomes or starts.
 *
 * The library gets into them by the environment, and some must not get it: an AddressSanitizer runtime refuses to
 * start when it is not first, a loader of another ABI complains on stderr. Others can not be followed at all, and
 * nobody would ever know that they ran. So each hook looks at the program (program.c) and
 *
 *	takes our name, with that of the wrapper library before it if there is one, out of LD_PRELOAD, if it would do harm there, or is not to be found (after chroot),
 *	puts it back in front, if the caller has set LD_PRELOAD to something else (env LD_PRELOAD=libjemalloc.so ...),
 *	tells the recorder of a program that will go unrecorded; and again, should the exec fail.
 *
 * In a sandbox (ms_may_ask) nothing is looked at: our name goes out of LD_PRELOAD, since what our start needs may be
 * forbidden to the program on pain of death.
 *
 * Whoever takes MSTRACE_SOCKET out of the environment (env -i) has meant it: that is told of, not mended.
 * The hooks run after fork and vfork: raw system calls, no heap, the new environment is on the stack. system(3) and
 * popen(3) start a shell behind our back, as harmless a program as there is; its own execs come through here again.
 *
 * Rejected: ASAN_OPTIONS=verify_asan_link_order=0 for all (the program sees it, and the runtime then calls hooks from
 * within its own start); watching /proc for children (what lives for a millisecond is missed). */
#include "hook.h"
#include "libc_needs.h"
#include "pools.h"
#include "program.h"
#include "rawcall.h"
#include "real.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRELOAD "LD_PRELOAD="
#define SEPARATORS " :" /* as the loader has it */

/* ---- the environment ---- */

/* What is to be done about one exec. */
struct plan {
	enum ms_obstacle obstacle;
	const char *ours;	   /* our name in LD_PRELOAD, "wrapper:name" if there is a wrapper; NULL if not known */
	const char *recorder;	   /* NULL: this process is not recorded */
	size_t n_env;		   /* entries */
	size_t preload_at;	   /* LD_PRELOAD's; n_env if there is none */
	const char *found;	   /* our name in its value, or NULL */
	bool adds, strips;
	bool is_told;
	bool is_confined;
	bool is_beyond_reach;	   /* no notice would get to the recorder */
};

static const char *library_name(void)
{
	static const char here;
	struct dl_find_object us;
	if (!ms_libc_is_known())
		return NULL;
	return _dl_find_object((void *)(uintptr_t)&here, &us) == 0 ? us.dlfo_link_map->l_name : NULL;
}

/* "wrapper:library", which stand side by side as msrecord has put them; "" without a wrapper. */
static char both_names[2 * PATH_MAX];

__attribute__((constructor)) static void join_names(void)
{
	const char *library = library_name(), *wrapper = ms_pools_wrapper_path();
	if (library && wrapper && strlen(library) + strlen(wrapper) + 2 <= sizeof(both_names))
		stpcpy(stpcpy(stpcpy(both_names, wrapper), ":"), library);
}

static const char *own_names(void)
{
	return both_names[0] ? both_names : library_name();
}

/* The element `name`, or elements, of the list in an LD_PRELOAD=... */
static const char *find_element(const char *list, const char *name)
{
	size_t len = strlen(name);
	for (;;) {
		list += strspn(list, SEPARATORS);
		size_t n = strcspn(list, SEPARATORS);
		if (n == 0)
			return NULL;
		if (strncmp(list, name, len) == 0 && (!list[len] || strchr(SEPARATORS, list[len])))
			return list;
		list += n;
	}
}

static bool names_recorder(const char *entry, const char *recorder)
{
	static const char name[] = MS_ENV_SOCKET "=";
	return strncmp(entry, name, sizeof(name) - 1) == 0 && strcmp(entry + sizeof(name) - 1, recorder) == 0;
}

/* As the user and below the root that this process has by now. */
static bool is_reachable(const char *path, int how)
{
	return ms_rawcall(SYS_faccessat, AT_FDCWD, (long)path, how, 0, 0, 0) == 0;
}

/* Nobody but its owner and root can connect. Capabilities that this process has kept are not the program's. */
static bool is_recorder_reachable(const char *socket)
{
	struct stat st;
	uid_t user = (uid_t)ms_rawcall(SYS_geteuid, 0, 0, 0, 0, 0, 0);
	return ms_rawcall(SYS_newfstatat, AT_FDCWD, (long)socket, (long)&st, 0, 0, 0) == 0 && (user == 0 || user == st.st_uid);
}

/* After chroot the loader would look for the library in vain, and say so; nor is the wrapper to be found when the
 * recording is over. */
static bool are_reachable(void)
{
	const char *wrapper = ms_pools_wrapper_path();
	return is_reachable(library_name(), R_OK) && (!wrapper || is_reachable(wrapper, R_OK));
}

/* `path` is NULL when it could not be found. */
static struct plan make_plan(int dirfd, const char *path, char *const env[])
{
	struct plan p = {0};
	bool is_known = false;
	p.is_confined = !ms_may_ask();
	p.ours = own_names();
	p.recorder = p.is_confined ? NULL : ms_recorder_path();
	for (; env && env[p.n_env]; p.n_env++)
		is_known = is_known || (p.recorder && names_recorder(env[p.n_env], p.recorder));
	p.preload_at = p.n_env;
	for (size_t i = 0; i < p.n_env && p.preload_at == p.n_env; i++) {
		if (strncmp(env[i], PRELOAD, sizeof(PRELOAD) - 1) == 0)
			p.preload_at = i;
	}
	if (p.ours && p.preload_at < p.n_env)
		p.found = find_element(env[p.preload_at] + sizeof(PRELOAD) - 1, p.ours);
	p.strips = p.is_confined && p.found;
	if (p.is_confined || !path || !p.ours || (!p.found && !p.recorder))
		return p;
	p.obstacle = ms_program_obstacle(dirfd, path);
	p.strips = p.found && (p.obstacle == MS_OBSTACLE_SANITIZER || p.obstacle == MS_OBSTACLE_ABI ||
				      !are_reachable());
	p.is_beyond_reach = p.recorder && !is_recorder_reachable(p.recorder) && is_reachable(path, X_OK);
	p.strips = p.strips || (p.found && p.is_beyond_reach);
	if (p.is_beyond_reach)
		p.obstacle = MS_OBSTACLE_REACH;
	if (!p.obstacle && p.recorder && !is_known)
		p.obstacle = MS_OBSTACLE_ENVIRONMENT;
	p.adds = !p.obstacle && p.recorder && !p.found && are_reachable();
	return p;
}

/* Room for the new environment: pointers, and the new value of one variable. */
static size_t plan_bytes(const struct plan *p, char *const env[])
{
	size_t old = p->preload_at < p->n_env ? strlen(env[p->preload_at]) : 0;
	return (p->n_env + 2) * sizeof(*env) + sizeof(PRELOAD) + old + 1 + strlen(p->ours);
}

/* The list without its element at `found`: the separator after it goes too, or the one before the last. */
static void write_stripped(char *to, const char *entry, const char *found, size_t len)
{
	const char *rest = found + len + strspn(found + len, SEPARATORS);
	size_t before = (size_t)(found - entry);
	while (!*rest && before > sizeof(PRELOAD) - 1 && strchr(SEPARATORS, entry[before - 1]))
		before--;
	memcpy(to, entry, before);
	memcpy(to + before, rest, strlen(rest) + 1);
}

static void write_extended(char *to, const char *ours, const char *old)
{
	to = stpcpy(stpcpy(to, PRELOAD), ours);
	if (*old)
		stpcpy(stpcpy(to, ":"), old);
}

/* Makes the new environment in `room`. */
static char *const *fill(const struct plan *p, char *const env[], void *room)
{
	char **copy = room, *value = (char *)(copy + p->n_env + 2);
	const char *old = p->preload_at < p->n_env ? env[p->preload_at] : PRELOAD;
	size_t n = 0;
	if (p->strips)
		write_stripped(value, old, p->found, strlen(p->ours));
	else
		write_extended(value, p->ours, old + sizeof(PRELOAD) - 1);
	bool is_empty = value[sizeof(PRELOAD) - 1] == '\0';
	for (size_t i = 0; i < p->n_env; i++) {
		if (i != p->preload_at)
			copy[n++] = env[i];
		else if (!is_empty)
			copy[n++] = value;
	}
	if (p->preload_at == p->n_env)
		copy[n++] = value;
	copy[n] = NULL;
	return copy;
}

/* In the hook's own frame. */
#define ENVIRONMENT(plan, env)                                                                               \
	((plan)->adds || (plan)->strips ? fill((plan), (env), __builtin_alloca(plan_bytes((plan), (env))))   \
					: (env))

/* ---- telling the recorder ---- */

static uint16_t add_text(struct ms_notice *n, size_t *at, const char *s)
{
	size_t len = strlen(s), room = sizeof(n->text) - *at;
	if (len > room)
		len = room;
	memcpy(n->text + *at, s, len);
	*at += len;
	return (uint16_t)len;
}

static void add_arguments(struct ms_notice *n, size_t *at, char *const argv[])
{
	size_t start = *at;
	for (size_t i = 0; argv && argv[i] && *at < sizeof(n->text); i++) {
		if (i)
			n->text[(*at)++] = '\0';
		add_text(n, at, argv[i]);
	}
	n->cmdline_len = (uint16_t)(*at - start);
}

static uint32_t ask_id(long number)
{
	return (uint32_t)ms_rawcall(number, 0, 0, 0, 0, 0, 0);
}

/* `child`: the process concerned, 0 for this one. */
static __attribute__((noinline)) void tell(
	const struct plan *p, enum ms_obstacle obstacle, pid_t child, const char *path, char *const argv[])
{
	struct ms_notice n;
	size_t at = 0;
	memset(&n, 0, sizeof(n));
	n.hello = (struct ms_hello){
		.magic = MS_WIRE_MAGIC, .abi = MS_WIRE_ABI, .image = MS_IMAGE_UNFOLLOWED};
	n.own_pid = ask_id(SYS_getpid);
	n.hello.pid = child ? (uint32_t)child : n.own_pid;
	n.hello.ppid = child ? n.own_pid : ask_id(SYS_getppid);
	n.obstacle = obstacle;
	n.path_len = add_text(&n, &at, path);
	add_arguments(&n, &at, argv);
	ms_session_notify(p->recorder, &n);
}

/* Where no notice can be sent from. */
static void tell_in_stream(const struct plan *p)
{
	if (p->strips && p->is_confined)
		ms_tell_of_unfollowed(MS_OBSTACLE_SANDBOX);
	else if (p->is_beyond_reach)
		ms_tell_of_unfollowed(MS_OBSTACLE_REACH);
}

static void tell_before(struct plan *p, const char *path, char *const argv[])
{
	p->is_told = p->obstacle && p->recorder && !p->is_beyond_reach;
	if (p->is_told)
		tell(p, p->obstacle, 0, path, argv);
	tell_in_stream(p);
}

static void tell_after_spawn(const struct plan *p, pid_t child, const char *path, char *const argv[])
{
	if (p->obstacle && p->recorder && !p->is_beyond_reach)
		tell(p, p->obstacle, child, path, argv);
	tell_in_stream(p);
}

/* The exec has returned, so it has failed. */
static int failed(const struct plan *p, int rc)
{
	int error = errno;
	if (p->is_told)
		tell(p, MS_OBSTACLE_NONE, 0, "", NULL);
	errno = error;
	return rc;
}

/* ---- where a program is ---- */

enum { PATH_ROOM = 1024 };

/* What execvp and posix_spawnp would start, or NULL; in a sandbox, where that is not to be found out, the name itself. */
static const char *find_program(const char *file, char room[PATH_ROOM])
{
	const char *dirs = getenv("PATH");
	if (strchr(file, '/') || !ms_may_ask())
		return file;
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; *file; dirs++) {
		size_t len = strcspn(dirs, ":"), name = strlen(file);
		if (len + 1 + name < PATH_ROOM) {
			memcpy(room, dirs, len);
			room[len] = '/';
			memcpy(room + len + (len != 0), file, name + 1);
			if (ms_rawcall(SYS_faccessat, AT_FDCWD, (long)room, X_OK, 0, 0, 0) == 0)
				return room;
		}
		dirs += len;
		if (!*dirs)
			break;
	}
	return NULL;
}

/* ---- the hooks ---- */

HOOK int execve(const char *path, char *const argv[], char *const env[])
{
	ms_real_prepare();
	struct plan p = make_plan(AT_FDCWD, path, env);
	tell_before(&p, path, argv);
	return failed(&p, ms_real.execve(path, argv, ENVIRONMENT(&p, env)));
}

HOOK int execv(const char *path, char *const argv[])
{
	ms_real_prepare();
	struct plan p = make_plan(AT_FDCWD, path, environ);
	tell_before(&p, path, argv);
	if (p.adds || p.strips)
		return failed(&p, ms_real.execve(path, argv, ENVIRONMENT(&p, environ)));
	return failed(&p, ms_real.execv(path, argv));
}

HOOK int execvp(const char *file, char *const argv[])
{
	char room[PATH_ROOM];
	ms_real_prepare();
	const char *path = find_program(file, room);
	struct plan p = make_plan(AT_FDCWD, path, environ);
	tell_before(&p, path, argv);
	if (p.adds || p.strips)
		return failed(&p, ms_real.execvpe(file, argv, ENVIRONMENT(&p, environ)));
	return failed(&p, ms_real.execvp(file, argv));
}

HOOK int execvpe(const char *file, char *const argv[], char *const env[])
{
	char room[PATH_ROOM];
	ms_real_prepare();
	const char *path = find_program(file, room);
	struct plan p = make_plan(AT_FDCWD, path, env);
	tell_before(&p, path, argv);
	return failed(&p, ms_real.execvpe(file, argv, ENVIRONMENT(&p, env)));
}

/* "/proc/self/fd/N": there is a file whatever it is called. */
static void name_descriptor(char name[32], int fd)
{
	char digits[12];
	unsigned n = 0, left = fd < 0 ? 0 : (unsigned)fd;
	do
		digits[n++] = (char)('0' + left % 10);
	while ((left /= 10) != 0);
	name = stpcpy(name, "/proc/self/fd/");
	while (n)
		*name++ = digits[--n];
	*name = '\0';
}

HOOK int fexecve(int fd, char *const argv[], char *const env[])
{
	char name[32];
	ms_real_prepare();
	name_descriptor(name, fd);
	struct plan p = make_plan(AT_FDCWD, name, env);
	tell_before(&p, name, argv);
	return failed(&p, ms_real.fexecve(fd, argv, ENVIRONMENT(&p, env)));
}

HOOK int execveat(int dirfd, const char *path, char *const argv[], char *const env[], int flags)
{
	char name[32];
	ms_real_prepare();
	const char *looked_at = path;
	if (!*path && flags & AT_EMPTY_PATH) {
		name_descriptor(name, dirfd);
		looked_at = name;
	}
	struct plan p = make_plan(dirfd, looked_at, env);
	tell_before(&p, looked_at, argv);
	return failed(&p, ms_real.execveat(dirfd, path, argv, ENVIRONMENT(&p, env), flags));
}

/* The arguments of execl and its like as an array, on the stack of the hook. `args` stands before the second. */
static size_t count_arguments(va_list args)
{
	size_t n = 1;
	while (va_arg(args, char *))
		n++;
	return n + 1;
}

static void collect_arguments(char **argv, size_t n, const char *first, va_list args)
{
	argv[0] = (char *)(uintptr_t)first;
	for (size_t i = 1; i < n; i++)
		argv[i] = va_arg(args, char *);
}

#define ARGUMENTS(argv, first)                                                                               \
	va_list args_;                                                                                       \
	va_start(args_, first);                                                                              \
	size_t n_ = count_arguments(args_);                                                                  \
	va_end(args_);                                                                                       \
	char **argv = __builtin_alloca(n_ * sizeof(*argv));                                                  \
	va_start(args_, first);                                                                              \
	collect_arguments(argv, n_, first, args_)

HOOK int execl(const char *path, const char *arg, ...)
{
	ARGUMENTS(argv, arg);
	va_end(args_);
	return execv(path, argv);
}

HOOK int execlp(const char *file, const char *arg, ...)
{
	ARGUMENTS(argv, arg);
	va_end(args_);
	return execvp(file, argv);
}

HOOK int execle(const char *path, const char *arg, ...)
{
	ARGUMENTS(argv, arg);
	char *const *env = va_arg(args_, char *const *);
	va_end(args_);
	return execve(path, argv, env);
}

HOOK ms_spawn_function posix_spawn, posix_spawnp;

HOOK int posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attributes,
	char *const argv[], char *const env[])
{
	pid_t child = 0;
	ms_real_prepare();
	struct plan p = make_plan(AT_FDCWD, path, env);
	int rc = ms_real.posix_spawn(&child, path, actions, attributes, argv, ENVIRONMENT(&p, env));
	if (rc == 0 && pid)
		*pid = child;
	if (rc == 0)
		tell_after_spawn(&p, child, path, argv);
	return rc;
}

HOOK int posix_spawnp(pid_t *pid, const char *file, const void *actions, const void *attributes,
	char *const argv[], char *const env[])
{
	char room[PATH_ROOM];
	pid_t child = 0;
	ms_real_prepare();
	const char *path = find_program(file, room);
	struct plan p = make_plan(AT_FDCWD, path, env);
	int rc = ms_real.posix_spawnp(&child, file, actions, attributes, argv, ENVIRONMENT(&p, env));
	if (rc == 0 && pid)
		*pid = child;
	if (rc == 0)
		tell_after_spawn(&p, child, path, argv);
	return rc;
}

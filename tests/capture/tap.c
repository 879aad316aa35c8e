/* See tap.h. */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static void *grown(void *p, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return p;
	*cap = need * 2;
	p = realloc(p, *cap * size);
	if (!p)
		die("realloc");
	return p;
}

/* ---- images ---- */

static int make_segment(struct tap *tap, struct tap_image *image)
{
	int fd = memfd_create("tap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)MS_SEGMENT_SIZE) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		die("memfd");
	image->base = mmap(NULL, MS_SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (image->base == MAP_FAILED)
		die("mmap");
	struct ms_control *c = image->base;
	const struct tap_options *o = &tap->options;
	c->magic = MS_WIRE_MAGIC;
	c->abi = MS_WIRE_ABI;
	c->size = sizeof(*c);
	c->clock = o->clock ? o->clock : MS_CLOCK_TSC;
	c->clock_base = 0;
	c->on_full = o->on_full ? o->on_full : MS_FULL_BLOCK;
	c->stack_depth = o->stack_depth;
	c->free_stacks = o->free_stacks;
	c->backlog = o->backlog ? o->backlog : MS_BACKLOG_CHUNKS;
	c->n_chunks = MS_MAX_CHUNKS;
	c->n_slots = o->n_slots ? o->n_slots : MS_MAX_SLOTS;
	if (!ms_segment_view(&image->segment, image->base))
		die("segment");
	image->cursors = calloc(MS_MAX_SLOTS, sizeof(*image->cursors));
	image->is_followed = calloc(MS_MAX_SLOTS, sizeof(bool));
	image->slot_thread = calloc(MS_MAX_SLOTS, sizeof(uint32_t));
	image->slot_stack = calloc(MS_MAX_SLOTS, sizeof(uint32_t));
	image->slot_depth = calloc(MS_MAX_SLOTS, sizeof(uint32_t));
	image->slot_stamp = calloc(MS_MAX_SLOTS, sizeof(uint64_t));
	return fd;
}

static void welcome(struct tap *tap, int sock)
{
	struct ms_hello hello;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct ms_welcome reply = {
		MS_WIRE_MAGIC, MS_WIRE_ABI, tap->options.refuse ? MS_NOT_FOLLOWED : MS_WELCOME};
	struct iovec io = {&reply, sizeof(reply)};
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1};
	if (recv(sock, &hello, sizeof(hello), 0) != sizeof(hello) ||
		getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return;
	int fd = -1;
	if (!tap->options.refuse) {
		struct tap_image *image = calloc(1, sizeof(*image));
		if (!image)
			die("calloc");
		fd = make_segment(tap, image);
		image->hello = hello;
		image->pid = cred.pid;
		image->process = (int)syscall(SYS_pidfd_open, cred.pid, 0);
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		size_t n = atomic_load(&tap->n_images);
		if (n == sizeof(tap->images) / sizeof(tap->images[0]))
			die("images");
		tap->images[n] = image;
		atomic_store(&tap->n_images, n + 1);
	}
	sendmsg(sock, &msg, MSG_NOSIGNAL);
	if (fd >= 0)
		close(fd);
}

/* ---- units ---- */

static bool is_mapping(uint32_t kind)
{
	return kind >= 32 && kind < 48;
}

static bool is_pool(uint32_t kind)
{
	return kind >= 48 && kind < 64;
}

static void take_module(struct tap_image *image, const uint64_t *u, uint64_t stamp)
{
	struct ms_unit_module m;
	memcpy(&m, u, sizeof(m));
	if (image->n_modules == sizeof(image->modules) / sizeof(image->modules[0]))
		return;
	struct tap_module *out = &image->modules[image->n_modules++];
	*out = (struct tap_module){m.map_start, m.map_end, m.bias, stamp, "", {0}, m.build_id_len, false};
	memcpy(out->build_id, m.build_id, sizeof(m.build_id));
	size_t len = m.path_len < sizeof(out->path) - 1 ? m.path_len : sizeof(out->path) - 1;
	memcpy(out->path, (const char *)u + sizeof(m), len);
}

/* The stack of a heap call: kept frames of the slot's previous one, then the pushed ones. */
static void take_stack(struct tap_image *image, uint32_t slot, struct tap_event *ev, uint32_t keep,
	const uint64_t *push, uint32_t n_push)
{
	if (ev->flags & MS_UF_NO_STACK)
		return;
	if (ev->flags & MS_UF_SAME) {
		ev->stack = image->slot_stack[slot];
		ev->depth = image->slot_depth[slot];
		return;
	}
	if (keep > image->slot_depth[slot]) {
		image->is_broken = true;
		return;
	}
	image->ips = grown(image->ips, &image->cap_ips, image->n_ips + keep + n_push, sizeof(uint64_t));
	uint64_t *to = image->ips + image->n_ips;
	memcpy(to, image->ips + image->slot_stack[slot], keep * sizeof(uint64_t));
	memcpy(to + keep, push, n_push * sizeof(uint64_t));
	image->slot_stack[slot] = ev->stack = (uint32_t)image->n_ips;
	image->slot_depth[slot] = ev->depth = keep + n_push;
	image->n_ips += keep + n_push;
}

/* A call; returns its words. */
static size_t take_call(struct tap_image *image, uint32_t slot, const uint64_t *u)
{
	const uint64_t *at = u + 2;
	struct tap_event ev = {
		.stamp = MS_UNIT_STAMP(u[0]), .kind = MS_UNIT_KIND(u[0]), .addr = u[1] & MS_ADDR_MASK};
	uint64_t n_push = u[1] >> 56, keep = 0;
	ev.flags = (uint32_t)(u[1] >> 48 & 0xff);
	if (n_push == 255)
		n_push = *at++;
	if (!(ev.flags & MS_UF_SHORT)) {
		ev.size = *at & ((UINT64_C(1) << 48) - 1);
		keep = *at++ >> 48;
	}
	if (ev.flags & MS_UF_BIG_SIZE)
		ev.size = *at++;
	if (ev.flags & MS_UF_OLD)
		ev.old = *at++;
	if (ev.flags & MS_UF_ALIGN)
		ev.align = *at++;
	if (is_mapping(ev.kind)) {
		image->more = grown(image->more, &image->cap_more, image->n_more + ev.align, sizeof(uint64_t));
		if (ev.align) /* nothing to copy from or to, perhaps */
			memcpy(image->more + image->n_more, at, ev.align * sizeof(uint64_t));
		ev.more = (uint32_t)image->n_more;
		image->n_more += ev.align;
		at += ev.align;
	}
	ev.thread = image->slot_thread[slot];
	ev.tid = image->segment.slots[slot].tid;
	ev.seq = (uint32_t)image->n_events;
	take_stack(image, slot, &ev, (uint32_t)keep, at, (uint32_t)n_push);
	image->events = grown(image->events, &image->cap_events, image->n_events + 1, sizeof(ev));
	image->events[image->n_events++] = ev;
	return (size_t)(at - u) + n_push;
}

static size_t take_note(struct tap_image *image, uint32_t slot, const uint64_t *u)
{
	struct tap_name *name = &image->names[image->n_names];
	switch (MS_UNIT_KIND(u[0])) {
	case MS_U_MODULE:
		take_module(image, u, MS_UNIT_STAMP(u[0]));
		return ((const struct ms_unit_module *)(const void *)u)->words;
	case MS_U_UNMODULE:
		for (size_t i = 0; i < image->n_modules; i++)
			image->modules[i].is_unloaded |= image->modules[i].start == u[1];
		return 2;
	case MS_U_NAME:
		if (image->n_names < sizeof(image->names) / sizeof(image->names[0])) {
			name->tid = image->segment.slots[slot].tid;
			memcpy(name->name, u + 1, 16);
			image->n_names++;
		}
		return 3;
	case MS_U_LOSS:
		image->lost_events += u[1];
		image->n_losses++;
		return 5;
	case MS_U_MAP_BEGIN:
		image->n_map_begins++;
		return 2;
	case MS_U_FORK:
		if (image->n_forks < sizeof(image->forks) / sizeof(image->forks[0]))
			image->forks[image->n_forks++] = u[1];
		return 2;
	default:
		image->is_broken = true;
		return 1;
	}
}

static void take_units(struct tap_image *image, uint32_t slot, const unsigned char *bytes, uint32_t len)
{
	const uint64_t *u = (const void *)bytes, *end = u + len / 8;
	while (u < end && !image->is_broken) {
		unsigned kind = MS_UNIT_KIND(u[0]);
		image->n_disorder += MS_UNIT_STAMP(u[0]) < image->slot_stamp[slot];
		image->slot_stamp[slot] = MS_UNIT_STAMP(u[0]);
		u += kind > 0 && kind < 64 ? take_call(image, slot, u) : take_note(image, slot, u);
	}
	if (u != end)
		image->is_broken = true;
}

/* ---- draining ---- */

static bool thread_is_gone(const struct tap_image *image, uint32_t tid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task/%u", image->pid, tid);
	return access(path, F_OK) < 0;
}

static bool drain_slot(struct tap *tap, struct tap_image *image, uint32_t i, bool check_gone, bool is_over)
{
	struct ms_slot *s = &image->segment.slots[i];
	uint32_t tid = atomic_load(&s->tid);
	const unsigned char *bytes;
	uint32_t len;
	bool is_live = atomic_load(&s->state) == MS_SLOT_LIVE, did = false;
	int rc;
	bool gone =
		check_gone && tid && (is_over || thread_is_gone(image, tid)); /* asked before the last look */
	if (is_live && !image->is_followed[i]) {
		image->is_followed[i] = true;
		image->cursors[i] = ms_cursor_start(i);
		image->slot_thread[i] = image->n_threads++;
		image->slot_stamp[i] = 0;
		image->slot_depth[i] = 0;
	}
	if (!is_live)
		return false;
	struct ms_look look = ms_slot_look(s);
	while ((rc = ms_cursor_next(&image->segment, &image->cursors[i], look.committed, &bytes, &len)) > 0) {
		did = true;
		if (tap->options.discard)
			tap->n_discarded += len;
		else
			take_units(image, i, bytes, len);
	}
	if (tap->options.pause_after && image->n_events >= tap->options.pause_after) {
		tap->options.pause_after = 0;
		atomic_store(&tap->pause, true);
	}
	if (rc < 0)
		image->is_broken = true;
	if (gone) {
		image->untold_events += atomic_load(&s->lost_events) + atomic_load(&s->aside);
		image->stall_ns += atomic_load(&s->stall_ns);
		ms_slot_release(&image->segment, &image->cursors[i]);
		image->is_followed[i] = false;
		did = true;
	}
	return did;
}

static bool drain(struct tap *tap, struct tap_image *image, bool check_gone, bool is_over)
{
	struct ms_control *c = image->segment.control;
	bool did = false;
	for (uint32_t i = 0, n = atomic_load(&c->slots_high); i < n; i++)
		did |= drain_slot(tap, image, i, check_gone, is_over);
	if (did && ms_arena_freed(&image->segment))
		syscall(SYS_futex, &c->free_gen, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
	return did;
}

/* Who had ended and been reaped when it was let in has no pidfd. */
static void check_gone(struct tap *tap, struct tap_image *image)
{
	struct pollfd p = {image->process, POLLIN, 0};
	if (image->is_gone || (image->process >= 0 && poll(&p, 1, 0) <= 0))
		return;
	drain(tap, image, true, true);
	image->untold_events += atomic_load(&image->segment.control->unslotted_events);
	munmap(image->base, MS_SEGMENT_SIZE);
	if (image->process >= 0)
		close(image->process);
	atomic_store(&image->is_gone, true); /* from here on it is the caller's */
}

static void *serve(void *arg)
{
	struct tap *tap = arg;
	for (unsigned pass = 0; !atomic_load(&tap->stop); pass++) {
		struct pollfd p = {tap->listener, POLLIN, 0};
		bool did = false;
		while (!tap->options.mute && poll(&p, 1, 0) > 0) {
			int sock = accept4(tap->listener, NULL, NULL, SOCK_CLOEXEC);
			if (sock < 0)
				break;
			welcome(tap, sock);
			close(sock);
		}
		for (size_t i = 0; i < tap->n_images && !atomic_load(&tap->pause); i++) {
			if (tap->images[i]->is_gone)
				continue;
			did |= drain(tap, tap->images[i], pass % 16 == 0, false);
			check_gone(tap, tap->images[i]);
		}
		/* Looking without pause would take the writers' cache lines away with every look. */
		if (!did || tap->options.discard) {
			p.revents = 0;
			poll(&p, 1, 1);
		}
	}
	return NULL;
}

struct tap *tap_open(const struct tap_options *options)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (!tap)
		die("calloc");
	tap->options = *options;
	snprintf(tap->dir, sizeof(tap->dir), "/tmp/tap.XXXXXX");
	if (!mkdtemp(tap->dir))
		die("mkdtemp");
	snprintf(tap->path, sizeof(tap->path), "%s/socket", tap->dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", tap->path);
	tap->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (tap->listener < 0 || bind(tap->listener, (void *)&addr, sizeof(addr)) < 0 ||
		listen(tap->listener, 4096) < 0)
		die("socket");
	snprintf(tap->preload_env, sizeof(tap->preload_env), "LD_PRELOAD=%s%s%s%s%s", options->wrapper ? options->wrapper : "",
		options->wrapper ? ":" : "", options->capture_library,
		options->preload ? ":" : "", options->preload ? options->preload : "");
	snprintf(tap->socket_env, sizeof(tap->socket_env), MS_ENV_SOCKET "=%s", tap->path);
	if (pthread_create(&tap->thread, NULL, serve, tap) != 0)
		die("pthread_create");
	return tap;
}

pid_t tap_spawn(struct tap *tap, char *const argv[], char *const extra[])
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	putenv(tap->preload_env);
	putenv(tap->socket_env);
	for (; extra && *extra; extra++)
		putenv(*extra);
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

int tap_wait(struct tap *tap, pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	for (bool busy = true; busy;) {
		busy = false;
		for (size_t i = 0; i < tap->n_images; i++)
			busy |= !tap->images[i]->is_gone;
		usleep(1000);
	}
	return status;
}

static void free_image(struct tap_image *image)
{
	free(image->cursors);
	free(image->is_followed);
	free(image->slot_thread);
	free(image->slot_stack);
	free(image->slot_depth);
	free(image->slot_stamp);
	free(image->events);
	free(image->ips);
	free(image->more);
	free(image);
}

void tap_close(struct tap *tap)
{
	atomic_store(&tap->stop, true);
	pthread_join(tap->thread, NULL);
	close(tap->listener);
	unlink(tap->path);
	rmdir(tap->dir);
	for (size_t i = 0; i < tap->n_images; i++)
		free_image(tap->images[i]);
	free(tap);
}

/* ---- replay ---- */

enum { KIND_FREE = 10, KIND_REALLOC_FREE = 14, KIND_REALLOC_BEGIN = 15 };

static bool is_release(const struct tap_event *e)
{
	return e->kind >= KIND_FREE && !is_mapping(e->kind);
}

static int by_stamp(const void *a, const void *b)
{
	const struct tap_event *x = a, *y = b;
	if (x->stamp != y->stamp)
		return x->stamp < y->stamp ? -1 : 1;
	if (is_release(x) != is_release(y))
		return is_release(x) ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

struct live {
	uint64_t addr, size; /* addr 0: empty; size UINT64_MAX: released */
};

struct live_map {
	struct live *at;
	size_t mask;
};

static struct live *live_at(struct live_map *m, uint64_t addr)
{
	size_t i = (addr >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20 & m->mask;
	while (m->at[i].addr && m->at[i].addr != addr)
		i = (i + 1) & m->mask;
	return &m->at[i];
}

static void replay_acquire(struct tap_count *c, struct live_map *m, uint64_t addr, uint64_t size)
{
	struct live *l = live_at(m, addr);
	if (l->addr && l->size != UINT64_MAX) {
		c->overlaps++;
		c->live_blocks--;
		c->live_bytes -= l->size;
	}
	*l = (struct live){addr, size};
	c->allocs++;
	c->allocated_bytes += size;
	c->live_blocks++;
	c->live_bytes += size;
}

static uint64_t replay_release(struct tap_count *c, struct live_map *m, uint64_t addr)
{
	struct live *l = live_at(m, addr);
	uint64_t size = l->size;
	c->frees++;
	if (!l->addr || size == UINT64_MAX) {
		c->foreign_frees++;
		return UINT64_MAX;
	}
	c->live_blocks--;
	c->live_bytes -= size;
	l->size = UINT64_MAX;
	return size;
}

/* realloc: its BEGIN releases, a failed outcome takes that back. */
static void replay_outcome(
	struct tap_count *c, struct live_map *m, const struct tap_event *e, uint64_t began_size)
{
	if (e->flags & MS_UF_FAILED) {
		c->frees--;
		if (began_size == UINT64_MAX) {
			c->foreign_frees--;
			return;
		}
		replay_acquire(c, m, e->old, began_size);
		c->allocs--;
		c->allocated_bytes -= began_size;
	} else if (e->kind != KIND_REALLOC_FREE) {
		replay_acquire(c, m, e->addr, e->size);
	}
}

struct tap_count tap_replay(struct tap_image *image)
{
	struct tap_count c = {0};
	struct live_map m = {.mask = 1024 - 1};
	while (m.mask < image->n_events * 2)
		m.mask = m.mask * 2 + 1;
	m.at = calloc(m.mask + 1, sizeof(*m.at));
	struct {
		uint64_t old, size;
	} *began = calloc(image->n_threads + 1, sizeof(*began));
	if (!m.at || !began)
		die("calloc");
	qsort(image->events, image->n_events, sizeof(*image->events), by_stamp);
	for (size_t i = 0; i < image->n_events; i++) {
		const struct tap_event *e = &image->events[i];
		c.n_kind[e->kind]++;
		if (is_mapping(e->kind) || is_pool(e->kind))
			continue; /* no part of the heap */
		c.n_failed += (e->flags & MS_UF_FAILED) != 0;
		if (e->kind == KIND_REALLOC_BEGIN) {
			c.bad_reallocs += began[e->thread].old != 0;
			began[e->thread].old = e->addr;
			began[e->thread].size = replay_release(&c, &m, e->addr);
		} else if (e->flags & MS_UF_OLD) {
			c.bad_reallocs += began[e->thread].old != e->old;
			began[e->thread].old = 0;
			replay_outcome(&c, &m, e, began[e->thread].size);
		} else if (e->flags & MS_UF_FAILED) {
			continue;
		} else if (is_release(e)) {
			replay_release(&c, &m, e->addr);
		} else {
			replay_acquire(&c, &m, e->addr, e->size);
		}
	}
	free(m.at);
	free(began);
	return c;
}

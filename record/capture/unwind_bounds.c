/*
 * Where the calling thread's stack ends, from /proc/self/maps, without stdio or memory.
 *
 * Only the upper end bounds loads: they go upward from sp. The lower end decides whether an sp is on this
 * stack at all. The main thread's stack grows, so for it the lower end is where the next mapping below ends:
 * the kernel keeps that gap free of everything but the stack. A thread's mapping also holds its thread
 * control block, above the stack proper; the kernel may have merged foreign mappings above that, so the
 * block, not the mapping's end, is the bound. A mapping that is neither is nobody's known stack.
 *
 * Rejected: pthread_getattr_np (allocates, uses stdio), the private fields of struct pthread.
 */
#include "rawcall.h"
#include "unwind.h"

#include <fcntl.h>
#include <stdbool.h>

_Atomic uint32_t ms_is_confined; /* here, since the unwinder needs nobody else */

/* Reads the file byte by byte through a small buffer. */
struct source {
	long fd;
	unsigned at, end;
	char bytes[512];
};

static int next_byte(struct source *s)
{
	if (s->at == s->end) {
		long got = ms_rawcall(SYS_read, s->fd, (long)s->bytes, sizeof(s->bytes), 0, 0, 0);

		if (got <= 0)
			return -1;
		s->at = 0;
		s->end = (unsigned)got;
	}
	return (unsigned char)s->bytes[s->at++];
}

/* A hexadecimal number and the byte behind it, which is consumed. */
static uintptr_t next_hex(struct source *s, int *behind)
{
	uintptr_t value = 0;

	for (;;) {
		int c = next_byte(s);

		if (c >= '0' && c <= '9')
			value = value << 4 | (uintptr_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uintptr_t)(c - 'a' + 10);
		else {
			*behind = c;
			return value;
		}
	}
}

struct mapping {
	uintptr_t lo, hi;
	bool is_readable, is_main_stack;
};

/* One line: "lo-hi rw-p offset dev inode   [stack]". False at the end of the file, or if it is no such line.
 */
static bool next_mapping(struct source *s, struct mapping *m)
{
	static const char name[] = "[stack]";
	unsigned matched = 0;
	int c;

	m->lo = next_hex(s, &c);
	if (c != '-')
		return false;
	m->hi = next_hex(s, &c);
	if (c != ' ')
		return false;
	m->is_readable = next_byte(s) == 'r';
	while ((c = next_byte(s)) >= 0 && c != '\n') {
		if (matched < sizeof(name) - 1 && c == name[matched])
			matched++;
		else
			matched = c == name[0];
	}
	m->is_main_stack = matched == sizeof(name) - 1;
	return c == '\n';
}

static uintptr_t thread_control_block(void)
{
	uintptr_t tcb;

	__asm__("mov %%fs:0, %0" : "=r"(tcb));
	return tcb;
}

static bool is_main_thread(void)
{
	return ms_rawcall(SYS_gettid, 0, 0, 0, 0, 0, 0) == ms_rawcall(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* The stack that SP is on if M, which lies above a mapping that ends at BELOW, is that stack's mapping. */
static struct ms_unwind_bounds stack_in(const struct mapping *m, uintptr_t below, uintptr_t sp)
{
	const uintptr_t max_growth = UINT64_C(1) << 34;
	uintptr_t tcb = thread_control_block();

	if (sp < m->lo || sp >= m->hi || !m->is_readable)
		return (struct ms_unwind_bounds){0, 0};
	if (m->is_main_stack)
		return (struct ms_unwind_bounds){
			m->hi - below > max_growth ? m->hi - max_growth : below, m->hi};
	if (sp < tcb && tcb < m->hi && !is_main_thread())
		return (struct ms_unwind_bounds){m->lo, tcb & ~(uintptr_t)7};
	return (struct ms_unwind_bounds){0, 0};
}

struct ms_unwind_bounds ms_unwind_find_stack(uintptr_t sp)
{
	struct ms_unwind_bounds bounds = {0, 0};
	struct source s = {.at = 0, .end = 0};
	struct mapping m;
	uintptr_t below = 0;

	if (!ms_may_ask())
		return bounds;
	s.fd = ms_rawcall(SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (s.fd < 0)
		return bounds;
	while (bounds.hi == 0 && next_mapping(&s, &m) && m.lo <= sp) {
		bounds = stack_in(&m, below, sp);
		below = m.hi;
	}
	ms_rawcall(SYS_close, s.fd, 0, 0, 0, 0, 0);
	return bounds;
}

/*
 * System calls without libc: no errno, no cancellation point, no symbol that the traced program could
 * replace. A negative result is -errno, as the kernel gives it.
 */
#ifndef MS_RAWCALL_H
#define MS_RAWCALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Set for good when the program confines itself by a seccomp filter, which may kill for a call that the program does
 * not know it makes. (confinement.c) */
extern _Atomic uint32_t ms_is_confined;

/* May the kernel be asked for what a program without us would not ask for? If not, a new thread still gets its slot,
 * by mmap alone, but has no stacks; fork children and other programs go unrecorded. */
static inline bool ms_may_ask(void)
{
	return atomic_load_explicit(&ms_is_confined, memory_order_relaxed) == 0;
}

static inline long ms_rawcall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#endif

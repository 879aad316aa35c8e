/*
 * System calls without libc: no errno, no cancellation point, no symbol that the traced program could
 * replace. A negative result is -errno, as the kernel gives it.
 */
#ifndef MS_RAWCALL_H
#define MS_RAWCALL_H

#include <sys/syscall.h>

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

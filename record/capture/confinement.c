/* confinement.c - noticing that the program locks itself in. See ms_may_ask in rawcall.h.
 *
 * A seccomp filter is set by prctl (interpose.c) or by syscall(SYS_seccomp, ...), as libseccomp does. A process that has
 * not attached by then could not any more, so it does first. syscall(3) must be passed on without a frame of ours in
 * between: programs make system calls by it that return twice. So it is assembler that looks at two registers and
 * jumps. Filters that a program had before it was started, or sets by an
 * instruction of its own, go unseen. */
#include "hook.h"
#include "rawcall.h"
#include "real.h"
#include "thread.h"

#include <errno.h>

#define NAKED __attribute__((naked))

void *ms_real_syscall;

/* In place of what glibc does then, as long as glibc's function is not known. */
__attribute__((used, visibility("hidden"))) long ms_syscall_failed(long result);
long ms_syscall_failed(long result)
{
	errno = (int)-result;
	return -1;
}

/* The program is about to set a filter. */
__attribute__((used, visibility("hidden"))) void ms_syscall_confines(void);
void ms_syscall_confines(void)
{
	ms_attach_while_allowed((uintptr_t)__builtin_frame_address(0));
	atomic_store(&ms_is_confined, 1);
}

HOOK NAKED long syscall(long number, ...);
HOOK NAKED long syscall(__attribute__((unused)) long number, ...)
{
	__asm__("	cmpl $317, %edi\n" /* SYS_seccomp */
		"	je 2f\n"
		"1:	movq ms_real_syscall(%rip), %rax\n"
		"	testq %rax, %rax\n"
		"	je 3f\n"
		"	jmp *%rax\n"
		"2:	cmpl $1, %esi\n" /* SECCOMP_SET_MODE_FILTER */
		"	jne 1b\n"
		"	testq %rcx, %rcx\n" /* without a filter it only asks whether there is such a call */
		"	je 1b\n"
		"	pushq %rdi\n"
		"	.cfi_adjust_cfa_offset 8\n"
		"	pushq %rsi\n"
		"	.cfi_adjust_cfa_offset 8\n"
		"	pushq %rdx\n"
		"	.cfi_adjust_cfa_offset 8\n"
		"	pushq %rcx\n"
		"	.cfi_adjust_cfa_offset 8\n"
		"	pushq %r8\n"
		"	.cfi_adjust_cfa_offset 8\n"
		"	pushq %r9\n"
		"	.cfi_adjust_cfa_offset 8\n"
		"	subq $8, %rsp\n"
		"	.cfi_adjust_cfa_offset 8\n"
		"	call ms_syscall_confines\n"
		"	addq $8, %rsp\n"
		"	.cfi_adjust_cfa_offset -8\n"
		"	popq %r9\n"
		"	.cfi_adjust_cfa_offset -8\n"
		"	popq %r8\n"
		"	.cfi_adjust_cfa_offset -8\n"
		"	popq %rcx\n"
		"	.cfi_adjust_cfa_offset -8\n"
		"	popq %rdx\n"
		"	.cfi_adjust_cfa_offset -8\n"
		"	popq %rsi\n"
		"	.cfi_adjust_cfa_offset -8\n"
		"	popq %rdi\n"
		"	.cfi_adjust_cfa_offset -8\n"
		"	jmp 1b\n"
		"3:	movq %rdi, %rax\n"
		"	movq %rsi, %rdi\n"
		"	movq %rdx, %rsi\n"
		"	movq %rcx, %rdx\n"
		"	movq %r8, %r10\n"
		"	movq %r9, %r8\n"
		"	movq 8(%rsp), %r9\n"
		"	syscall\n"
		"	cmpq $-4095, %rax\n"
		"	jae 4f\n"
		"	ret\n"
		"4:	movq %rax, %rdi\n"
		"	jmp ms_syscall_failed\n");
}

/* Whether rbp is the frame pointer of code that nothing describes: see epilogue.h. */
#include "epilogue.h"
#include "insn.h"

/* cmocka needs its four headers first, in this order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

static unsigned char *page; /* one, and after it one that cannot be read */

static ms_cfi_rule rule_of(const char *bytes, size_t n)
{
	memset(page, 0xcc, 4096);
	memcpy(page + 64, bytes, n);
	return ms_epilogue_rule((uintptr_t)page + 64);
}

static bool has_frame(uintptr_t ip)
{
	return ms_epilogue_rule(ip) == ms_cfi_make(MS_CFI_BP, 16, MS_CFI_BP_CFA, -16);
}

static bool restores(const char *bytes, size_t n)
{
	(void)rule_of(bytes, n);
	return has_frame((uintptr_t)page + 64);
}

#define RESTORES(bytes) assert_true(restores(bytes, sizeof(bytes) - 1))
#define DOES_NOT(bytes) assert_false(restores(bytes, sizeof(bytes) - 1))

static void function_that_restores_sp_from_bp_has_a_frame(void **state)
{
	(void)state;
	RESTORES("\xc9\xc3");					 /* leave; ret */
	RESTORES("\x48\x89\xc7\x48\x89\xec\x5d\xc3");		 /* mov %rax,%rdi; mov %rbp,%rsp; pop %rbp; ret */
	RESTORES("\x48\x8b\xe5\x5d\xff\xe1");			 /* the other encoding, and a jump */
	RESTORES("\x48\x8d\x65\xf0\x5b\x41\x5c\x5d\xc3");	 /* lea -16(%rbp),%rsp; pop %rbx; pop %r12; pop %rbp */
	RESTORES("\xff\xd0\xe8\x10\x00\x00\x00\xc9\xc3");	 /* calls return */
	RESTORES("\x66\x0f\x6f\x04\x24\x0f\x1f\x44\x00\x00\xc9"); /* other instructions */
}

static void function_that_does_not_has_none(void **state)
{
	(void)state;
	DOES_NOT("\x48\x83\xc4\x08\xc3");	  /* add $8,%rsp; ret */
	DOES_NOT("\x48\x83\xc4\x08\x5b\x5d\xc3"); /* … pop %rbx; pop %rbp; ret */
	DOES_NOT("\x55\x48\x89\xe5\xc9\xc3");	  /* the next function: push %rbp; mov %rsp,%rbp; leave; ret */
	DOES_NOT("\xeb\x02\xc9\xc3\x48\x8b\xec\xc9\xc3");
	DOES_NOT("\xc8\x10\x00\x00\xc9\xc3"); /* enter $16, $0 */
	DOES_NOT("\x0f\x0b\xc9\xc3");	      /* ud2 */
	DOES_NOT("\xff\xe0\xc9\xc3");	      /* jmp *%rax */
	DOES_NOT("\x48\x89\xec\xc3"); /* mov %rbp,%rsp for another reason */
	DOES_NOT("\x48\x8d\x65\xf0\x5b\x5d\xc3");
	DOES_NOT("\xf4\xc9");
	DOES_NOT("\x06\xc9"); /* no instruction */
}

#define POPS(bytes, cfa, bp)                                                                                 \
	assert_int_equal(rule_of(bytes, sizeof(bytes) - 1),                                                  \
		ms_cfi_make(MS_CFI_SP, cfa, (bp) ? MS_CFI_BP_CFA : MS_CFI_BP_SAME, bp))
#define UNKNOWN(bytes) assert_int_equal(ms_cfi_kind(rule_of(bytes, sizeof(bytes) - 1)), MS_CFI_UNKNOWN)

static void function_that_gives_back_what_it_took_has_a_rule(void **state)
{
	(void)state;
	POPS("\x48\x83\xc4\x08\xc3", 16, 0);			       /* add $8,%rsp; ret */
	POPS("\x48\x81\xc4\x88\x01\x00\x00\xc3", 400, 0);		       /* add $392,%rsp; ret */
	POPS("\x48\x8d\x64\x24\x18\xc3", 32, 0);		       /* lea 24(%rsp),%rsp; ret */
	POPS("\x59\x48\x89\xc7\xc3", 16, 0);			       /* pop %rcx; mov %rax,%rdi; ret */
	POPS("\x48\x83\xc4\x10\x5d\xc3", 32, -16);		       /* add $16,%rsp; pop %rbp; ret */
	POPS("\x5b\x5d\x41\x5c\xc3", 32, -24);			       /* pop %rbx; pop %rbp; pop %r12; ret */
	POPS("\x48\x8b\x6c\x24\x10\x48\x83\xc4\x18\xc3", 32, -16); /* mov 16(%rsp),%rbp; add $24,%rsp; ret */
	POPS("\x48\x83\xec\x10\xff\xd0\x48\x83\xc4\x18\xc3", 16, 0);     /* sub $16,%rsp; call *%rax; … */
	POPS("\x48\x89\xc5\x5d\xc3", 16, -16);			       /* rbp is used for something meanwhile */
	POPS("\x49\x3b\x67\x50\x48\x83\xc4\x08\xc3", 16, 0);	       /* cmp 80(%r15),%rsp */
}

static void stack_that_is_not_known_is_not_guessed(void **state)
{
	(void)state;
	UNKNOWN("\xc3");				     /* of another function: this one was called, so it took 8 bytes */
	UNKNOWN("\x48\x83\xc4\x10\xc3");		     /* not aligned */
	UNKNOWN("\x48\x83\xc4\x08\xc2\x08\x00");	     /* ret $8 */
	UNKNOWN("\x48\x01\xc4\x58\xc3");		     /* add %rax,%rsp */
	UNKNOWN("\x48\x89\xdc\x58\xc3");		     /* mov %rbx,%rsp */
	UNKNOWN("\x48\x8b\x23\x58\xc3");		     /* mov (%rbx),%rsp */
	UNKNOWN("\x48\x83\xe4\xf0\x58\xc3");		     /* and $-16,%rsp */
	UNKNOWN("\x48\x94\x58\xc3");			     /* xchg %rax,%rsp */
	UNKNOWN("\x5c\x58\xc3");			     /* pop %rsp */
	UNKNOWN("\x48\x89\xc5\x58\xc3");		     /* mov %rax,%rbp: and the caller's is gone */
	UNKNOWN("\x48\x83\xec\x08\xc3");		     /* less than nothing */
	UNKNOWN("\x48\x83\xc4\x07\x48\xff\xc4\xc3");	     /* inc %rsp */
}

static void jumps_are_followed(void **state)
{
	(void)state;
	RESTORES("\xeb\x03\xcc\xcc\xcc\xc9\xc3");
	RESTORES("\xe9\x01\x00\x00\x00\xc3\xc9\xc3");
	RESTORES("\xeb\x02\xc9\xc3\xeb\xfc");		      /* back */
	RESTORES("\x74\x01\xcc\xc9\xc3");		      /* je over int3 */
	RESTORES("\x0f\x84\x02\x00\x00\x00\x0f\x0b\xc9\xc3"); /* je over ud2 */
	RESTORES("\x74\x02\xeb\xfe\xc9\xc3");		      /* je out of a loop */
	RESTORES("\x75\x04\x74\x04\xeb\xfa\xcc\xcc\xc9\xc3"); /* the loop's exit in its head */
	DOES_NOT("\xeb\xfe\xc9\xc3");
	DOES_NOT("\x90\x74\xfd\xeb\xfb\xc9"); /* loops without a way out */
}

static void way_that_is_found_first_decides(void **state)
{
	(void)state;
	DOES_NOT("\x74\x01\xc3\xc9\xc3");
	RESTORES("\x74\x01\xc9\xc3");
}

static void code_is_read_to_its_end_only(void **state)
{
	(void)state;
	memset(page, 0x90, 4096);
	assert_false(has_frame((uintptr_t)page + 1000));
	page[4095] = 0xc9;
	assert_true(has_frame((uintptr_t)page + 1000));
	assert_true(has_frame((uintptr_t)page + 4095));
	page[4095] = 0xe9; /* the distance is on the next page */
	assert_false(has_frame((uintptr_t)page + 4000));
	assert_false(has_frame((uintptr_t)page + 4096));
	assert_false(has_frame(UINTPTR_MAX - 3));
	assert_false(has_frame(8));
}

/* Whatever the bytes: an answer, and an instruction that ends within them. */
static void any_bytes_are_survived(void **state)
{
	uint64_t seed = 88172645463325252u;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		unsigned opcode;

		for (unsigned i = 0; i < 4096; i++) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			page[i] = (unsigned char)(round % 2 ? seed : seed % 3 == 0 ? seed >> 8 : 0x74);
		}
		(void)has_frame((uintptr_t)page + round % 4096);
		for (unsigned n = 0; n <= MS_INSN_MAX; n++)
			assert_true(ms_insn_size(page + 4096 - n, n, &opcode) <= n);
	}
}

static int set_up(void **state)
{
	(void)state;
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED || munmap(page + 4096, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(function_that_restores_sp_from_bp_has_a_frame),
		cmocka_unit_test(function_that_does_not_has_none),
		cmocka_unit_test(function_that_gives_back_what_it_took_has_a_rule),
		cmocka_unit_test(stack_that_is_not_known_is_not_guessed),
		cmocka_unit_test(jumps_are_followed),
		cmocka_unit_test(way_that_is_found_first_decides),
		cmocka_unit_test(code_is_read_to_its_end_only),
		cmocka_unit_test(any_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}

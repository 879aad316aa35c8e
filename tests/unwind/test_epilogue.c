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

static bool restores(const char *bytes, size_t n)
{
	memset(page, 0xcc, 4096);
	memcpy(page + 64, bytes, n);
	return ms_epilogue_restores_sp((uintptr_t)page + 64);
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
	assert_false(ms_epilogue_restores_sp((uintptr_t)page + 1000));
	page[4095] = 0xc9;
	assert_true(ms_epilogue_restores_sp((uintptr_t)page + 1000));
	assert_true(ms_epilogue_restores_sp((uintptr_t)page + 4095));
	page[4095] = 0xe9; /* the distance is on the next page */
	assert_false(ms_epilogue_restores_sp((uintptr_t)page + 4000));
	assert_false(ms_epilogue_restores_sp((uintptr_t)page + 4096));
	assert_false(ms_epilogue_restores_sp(UINTPTR_MAX - 3));
	assert_false(ms_epilogue_restores_sp(8));
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
		(void)ms_epilogue_restores_sp((uintptr_t)page + round % 4096);
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
		cmocka_unit_test(jumps_are_followed),
		cmocka_unit_test(way_that_is_found_first_decides),
		cmocka_unit_test(code_is_read_to_its_end_only),
		cmocka_unit_test(any_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}

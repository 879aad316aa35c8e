/* op.c - what is known of each call: its name, and whether it acquires or releases a block of the heap.
 *
 * One table, indexed by the number that stands in the file (FORMAT.md "Operations"). Numbers without an entry are
 * reserved: they name nothing, acquire nothing and release nothing, so a reader carries them through unharmed. */
#include "mstrace.h"

#include <string.h>

static const struct op {
	const char *name;
	bool acquires, releases, is_sized;
} ops[MST_OP_MAX + 1] = {
	[MST_OP_MALLOC] = {"malloc", true, false, false},
	[MST_OP_CALLOC] = {"calloc", true, false, false},
	[MST_OP_REALLOC] = {"realloc", true, true, false},
	[MST_OP_REALLOCARRAY] = {"reallocarray", true, true, false},
	[MST_OP_POSIX_MEMALIGN] = {"posix_memalign", true, false, false},
	[MST_OP_ALIGNED_ALLOC] = {"aligned_alloc", true, false, false},
	[MST_OP_MEMALIGN] = {"memalign", true, false, false},
	[MST_OP_VALLOC] = {"valloc", true, false, false},
	[MST_OP_PVALLOC] = {"pvalloc", true, false, false},
	[MST_OP_FREE] = {"free", false, true, false},
	[MST_OP_FREE_SIZED] = {"free_sized", false, true, true},
	[MST_OP_FREE_ALIGNED_SIZED] = {"free_aligned_sized", false, true, true},
	[MST_OP_CFREE] = {"cfree", false, true, false},
	[MST_OP_REALLOC_FREE] = {"realloc_free", false, true, false},
	[MST_OP_REALLOC_BEGIN] = {"realloc_begin", false, true, false},
	[MST_OP_REALLOC_END] = {"realloc_end", true, false, false},
	[MST_OP_NEW] = {"new", true, false, false},
	[MST_OP_NEW_ARRAY] = {"new_array", true, false, false},
	[MST_OP_NEW_NOTHROW] = {"new_nothrow", true, false, false},
	[MST_OP_NEW_ARRAY_NOTHROW] = {"new_array_nothrow", true, false, false},
	[MST_OP_DELETE] = {"delete", false, true, false},
	[MST_OP_DELETE_ARRAY] = {"delete_array", false, true, false},
	[MST_OP_DELETE_SIZED] = {"delete_sized", false, true, true},
	[MST_OP_DELETE_ARRAY_SIZED] = {"delete_array_sized", false, true, true},
	[MST_OP_MMAP] = {"mmap", false, false, false},
	[MST_OP_MUNMAP] = {"munmap", false, false, false},
	[MST_OP_MREMAP] = {"mremap", false, false, false},
	[MST_OP_BRK] = {"brk", false, false, false},
	[MST_OP_SBRK] = {"sbrk", false, false, false},
	[MST_OP_MADVISE] = {"madvise", false, false, false},
	[MST_OP_MPROTECT] = {"mprotect", false, false, false},
	[MST_OP_POOL_ALLOC] = {"pool_alloc", false, false, false},
	[MST_OP_POOL_FREE] = {"pool_free", false, false, false},
	[MST_OP_POOL_REALLOC] = {"pool_realloc", false, false, false},
	[MST_OP_POOL_REALLOC_FREE] = {"pool_realloc_free", false, false, false},
};

bool mst_op_acquires(unsigned op)
{
	return op <= MST_OP_MAX && ops[op].acquires;
}

bool mst_op_releases(unsigned op)
{
	return op <= MST_OP_MAX && ops[op].releases;
}

bool mst_op_is_sized(unsigned op)
{
	return op <= MST_OP_MAX && ops[op].is_sized;
}

const char *mst_op_name(unsigned op)
{
	return op <= MST_OP_MAX ? ops[op].name : NULL;
}

unsigned mst_op_from_name(const char *name)
{
	for (unsigned op = 0; op <= MST_OP_MAX; op++)
		if (ops[op].name && strcmp(ops[op].name, name) == 0)
			return op;
	return 0;
}

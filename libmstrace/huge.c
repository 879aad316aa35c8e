#include "huge.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

void mst_huge_wish(void *table, size_t bytes)
{
	uintptr_t start = ((uintptr_t)table + MST_HUGE_PAGE - 1) & ~(MST_HUGE_PAGE - 1);
	uintptr_t end = ((uintptr_t)table + bytes) & ~(MST_HUGE_PAGE - 1);

	if (start < end)
		(void)madvise((void *)start, end - start, MADV_HUGEPAGE);
}

void *mst_huge_alloc(size_t size)
{
	void *p = aligned_alloc(size < MST_HUGE_PAGE ? MST_HUGE_SMALL : MST_HUGE_PAGE, size);

	if (p)
		mst_huge_wish(p, size);
	return p;
}

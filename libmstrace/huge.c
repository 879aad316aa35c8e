#include "huge.h"

#include <stdlib.h>
#include <sys/mman.h>

void *mst_huge_alloc(size_t size)
{
	void *p = aligned_alloc(size < MST_HUGE_PAGE ? MST_HUGE_SMALL : MST_HUGE_PAGE, size);

	if (p && size >= MST_HUGE_PAGE)
		(void)madvise(p, size, MADV_HUGEPAGE); /* a kernel without them gives small ones */
	return p;
}

// own_operators.cc - operators new and delete of a library that is no allocator, or of the program itself.
//
// KIND malloc   what libstdc++ does, plain forms only
//      header   a header before the block, so that malloc never gave what new returns
//      trailer  more than was asked for
//      pool     pieces of a slab that malloc gave
#include <cstdlib>
#include <new>

namespace {
enum { MALLOC, HEADER, TRAILER, POOL };

void *acquire(size_t size)
{
	static char *slab;
	static size_t left;
	switch (KIND) {
	case HEADER: {
		char *p = static_cast<char *>(malloc(size + 64));
		return p + 64;
	}
	case TRAILER:
		return malloc(size + 8);
	case POOL:
		size = (size + 63) & ~size_t(63);
		if (left < size) {
			slab = static_cast<char *>(malloc(300000));
			left = 300000;
		}
		left -= size;
		return slab + left;
	}
	return malloc(size);
}

void release(void *p)
{
	if (KIND == HEADER && p)
		free(static_cast<char *>(p) - 64);
	else if (KIND != POOL)
		free(p);
}
}

void *operator new(size_t size)
{
	return acquire(size);
}

void operator delete(void *p) noexcept
{
	release(p);
}

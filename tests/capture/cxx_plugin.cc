// cxx_plugin.cc - loaded by a program that knows no C++. With OWN_OPERATORS they are in this module, and go with it.
#include <cstdio>
#include <new>

extern "C" int run_plugin()
{
#ifdef OWN_OPERATORS
	operator delete(operator new(20093));
	printf("new 20093 0 ok\ndelete 20093 0 ok\n");
	return 0;
#endif
	operator delete(operator new(20091));
	delete[] new (std::nothrow) char[20092];
	volatile size_t huge = size_t(1) << 60;
	try {
		operator delete(operator new(huge));
		return 1;
	} catch (const std::bad_alloc &) {
	}
	printf("new 20091 0 ok\ndelete 20091 0 ok\nnew_array_nothrow 20092 0 ok\ndelete_array 20092 0 ok\n"
	       "new 1152921504606846976 0 failed\n");
	return 0;
}

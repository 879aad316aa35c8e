// cxx_plugin.cc - loaded by a program that knows no C++.
#include <cstdio>
#include <new>

extern "C" int run_plugin()
{
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

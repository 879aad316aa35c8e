/* loads_cxx.c - a C program that loads C++ code, twice, and keeps it to itself: loads_cxx PLUGIN. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	for (int i = 0; i < 2 && argc > 1; i++) {
		void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		int (*run)(void) = plugin ? (int (*)(void))dlsym(plugin, "run_plugin") : NULL;
		if (!run || run() || dlerror())
			return 1;
		fflush(stdout);
		dlclose(plugin);
	}
	return 0;
}

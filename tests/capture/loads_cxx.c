/* loads_cxx.c - a C program that loads C++ code, twice, to different places, and keeps it to itself: loads_cxx PLUGIN. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	for (int i = 0; i < 2 && argc > 1; i++) {
		void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		int (*run)(void) = plugin ? (int (*)(void))dlsym(plugin, "run_plugin") : NULL;
		if (!run || run() || dlerror())
			return 1;
		fflush(stdout);
		dlclose(plugin);
		mmap((void *)((uintptr_t)run & ~(uintptr_t)4095), 4096, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	}
	return 0;
}
